"""Many small quadratic problems with an L1 penalty at once, the inner step of the Maxent solver.

minimise over b:  r.(b - b0) + (b - b0)'H(b - b0) / 2 + sum_k l_k |b_k|, for S problems padded to A variables.

Sweeps of coordinate descent find the signs; steps to the stationary point on the variables that are not zero, cut where a
variable changes its sign, end the slow tail that nearly collinear hinges would otherwise have. Letters: S problems, A variables.
"""

from __future__ import annotations

import numpy as np

Array = np.ndarray
RIDGE = 1e-7  # relative; identical columns stay solvable


def l1_quadratic(
    hessian: Array, gradient: Array, start: Array, penalty: Array, *, rounds: int = 60, tolerance: float = 1e-3
) -> Array:
    """Solves the problems approximately; never ends above the start.

    Args:
        hessian: (S, A, A) positive semi-definite; rows and columns of padding are zero.
        gradient: (S, A) at the start.
        start: (S, A).
        penalty: (S, A), not negative, infinite on padding.
        rounds: Most rounds of two sweeps and one subspace step.
        tolerance: Ends when no variable's optimality is violated by more than this times the largest violation at the start.

    Returns:
        (S, A) solutions.
    """
    a = start.shape[1]
    if a == 0:
        return start.copy()
    diagonal = np.einsum("saa->sa", hessian)
    ridge = RIDGE * diagonal + 1e-300
    rows = np.ascontiguousarray(hessian.transpose(1, 0, 2))  # (A, S, A)
    rows[np.arange(a), :, np.arange(a)] += ridge.T
    curvature = np.ascontiguousarray((diagonal + ridge).T)  # (A, S)
    ok = np.isfinite(penalty) & (diagonal > 0)
    limit = np.where(ok, penalty, 0.0)
    step = np.where(ok.T, 1.0 / np.where(ok.T, curvature, 1.0), 0.0)
    threshold = limit.T * step
    b, r = start.T.copy(), gradient.copy()  # (A, S), (S, A)
    first = _violation(r, b.T, limit, ok).max(1)
    goal = tolerance * first + 1e-14
    for turn in range(rounds):
        for _ in range(2):
            for k in range(a):
                old = b[k]
                free = old - r[:, k] * step[k]
                new = free - np.minimum(np.maximum(free, -threshold[k]), threshold[k])
                move = np.where(ok[:, k], new - old, 0.0)
                if move.any():
                    b[k] = old + move
                    r += move[:, None] * rows[k]
        if turn and (_violation(r, b.T, limit, ok).max(1) <= goal).all():
            break
        b, r = _subspace_step(rows, r, b, limit, ok)
    return b.T.copy()


def _violation(r: Array, b: Array, limit: Array, ok: Array) -> Array:
    """(S, A) distance of the gradient from the penalty's subdifferential."""
    off = np.where(b != 0, np.abs(r + np.sign(b) * limit), np.maximum(np.abs(r) - limit, 0.0))
    return np.where(ok, off, 0.0)


def _subspace_step(rows: Array, r: Array, b: Array, limit: Array, ok: Array) -> tuple[Array, Array]:
    """Moves the non-zero variables to their joint minimum, or as far as no sign changes."""
    value = b.T
    support = (value != 0) & ok
    hessian = rows.transpose(1, 0, 2)
    target = np.where(support, -(r + np.sign(value) * limit), 0.0)
    # only the supports are solved, padded to the largest with rows of the identity
    count = support.sum(1)
    size = max(int(count.max()), 1)
    index = np.argsort(~support, axis=1, kind="stable")[:, :size]
    each = np.arange(len(value))[:, None]
    real = np.arange(size) < count[:, None]
    matrix = hessian[each[:, :, None], index[:, :, None], index[:, None, :]]
    matrix *= real[:, :, None] & real[:, None, :]
    matrix[:, np.arange(size), np.arange(size)] += ~real
    try:
        short = np.linalg.solve(matrix, target[each, index][:, :, None])[:, :, 0]
    except np.linalg.LinAlgError:
        return b, r
    delta = np.zeros_like(value)
    delta[each, index] = np.where(real, short, 0.0)
    slope = (target * delta).sum(1)  # the decrease promised
    good = np.isfinite(delta).all(1) & (slope > 0)
    delta = np.where(good[:, None], delta, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        crossing = np.where(support & (value * delta < 0), -value / delta, np.inf)
    length = np.minimum(1.0, crossing.min(1))
    stop = support & (crossing <= length[:, None])
    moved = np.where(stop, 0.0, value + length[:, None] * delta)
    change = np.einsum("sab,sb->sa", hessian, moved - value)
    # several variables may reach 0 at once: longer steps that stop each of them there, if they are better
    best = _gain(value, moved, r, change, limit)
    full = length >= 1.0
    for share in (1.0, 0.3, 0.1):
        if full.all():
            break
        bent = np.where(crossing <= share, 0.0, value + share * delta)
        turned = np.einsum("sab,sb->sa", hessian, bent - value)
        gain = _gain(value, bent, r, turned, limit)
        better = (gain < best) & ~full
        moved, change = np.where(better[:, None], bent, moved), np.where(better[:, None], turned, change)
        best = np.where(better, gain, best)
    return moved.T.copy(), r + change


def _gain(start: Array, end: Array, r: Array, change: Array, limit: Array) -> Array:
    """(S,) change of the objective of the quadratic problems."""
    move = end - start
    return ((r + 0.5 * change) * move).sum(1) + (limit * (np.abs(end) - np.abs(start))).sum(1)
