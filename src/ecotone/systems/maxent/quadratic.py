"""Small quadratic problems with an L1 penalty, the inner step of the Maxent solver.

minimise over b:  g.(b - b0) + (b - b0)'H(b - b0) / 2 + sum_k l_k |b_k|.

An active-set method: variables that violate optimality join with the sign that lowers the objective, a Cholesky solve finds the
joint minimum for these signs, and a search over the places where variables change their signs ends the step. Nearly
collinear hinges, over which coordinate descent crawls, are moved together. Letters: A variables, K of them not zero.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.linalg import get_lapack_funcs

Array = np.ndarray
RIDGE = 1e-7  # relative; identical columns stay solvable
STEPS = 200
posv: Any = get_lapack_funcs("posv", (np.zeros(1),))


def l1_quadratic(hessian: Array, gradient: Array, start: Array, penalty: Array, *, tolerance: float = 1e-2) -> Array:
    """Solves a problem approximately; never ends above the start.

    Args:
        hessian: (A, A) positive semi-definite.
        gradient: (A,) at the start.
        start: (A,).
        penalty: (A,) finite and not negative.
        tolerance: Ends when no variable's optimality is violated by more than this times the largest violation at the start.

    Returns:
        (A,) solution.
    """
    ridge = RIDGE
    while True:
        try:
            return _solve(hessian, gradient, start, penalty, tolerance, ridge)
        except np.linalg.LinAlgError:
            if ridge > 1e-2:
                return start.copy()
            ridge *= 10


def _solve(hessian: Array, gradient: Array, start: Array, limit: Array, tolerance: float, ridge: float) -> Array:
    matrix = hessian.copy()
    diagonal = matrix.diagonal()
    fixed = diagonal <= 0
    matrix.flat[:: len(start) + 1] += ridge * diagonal + 1e-300
    b, r = start.copy(), gradient.copy()
    sign = np.sign(b)
    goal = 0.0
    single = False
    for turn in range(STEPS):
        excess = np.abs(r) - limit
        zero = b == 0
        excess[~zero | fixed] = 0.0
        worst = excess.max(initial=0.0)
        held = np.abs(r + sign * limit)[~zero].max(initial=0.0)
        if not turn:
            goal = tolerance * max(worst, held) + 1e-14
        if max(worst, held) <= goal:
            break
        join = excess >= max(worst if single else 0.3 * worst, goal)
        sign[join] = -np.sign(r[join])
        support = np.flatnonzero(~zero | join)
        new, support = _minimum(matrix, r, b, sign, limit, support)
        if not len(support):
            if single:
                break
            single = True
            sign[join] = 0.0
            continue
        move = _search(matrix, r, b, new, limit, support)
        single = False
        r += matrix[support].T @ (move - b[support])
        b[support] = move
        sign = np.sign(b)
    return b


def _minimum(matrix: Array, r: Array, b: Array, sign: Array, limit: Array, support: Array) -> tuple[Array, Array]:
    """The support's joint minimum for the given signs; variables that would leave zero against their sign are dropped."""
    while len(support):
        value, side = b[support], sign[support]
        target = -(r[support] + side * limit[support])
        _, step, info = posv(matrix[support[:, None], support], target)
        if info:
            raise np.linalg.LinAlgError
        wrong = (value == 0) & (step * side <= 0)
        if not wrong.any():
            return value + step, support
        support = support[~wrong]
    return np.zeros(0), support


def _search(matrix: Array, r: Array, b: Array, new: Array, limit: Array, support: Array) -> Array:
    """The best of the whole step, its parts to each change of sign, and the whole step with such variables left at zero."""
    old, cost = b[support], limit[support]
    step = new - old
    across = np.sign(old) * np.sign(new) < 0
    if not across.any():
        return new
    length = -old[across] / step[across]
    tries = old + np.concatenate([length, [1.0, 1.0]])[:, None] * step
    tries[np.arange(len(length)), np.flatnonzero(across)] = 0.0
    tries[-1, across] = 0.0
    moves = tries - old
    gain = moves @ r[support] + (np.abs(tries) - np.abs(old)) @ cost
    gain += 0.5 * ((moves @ matrix[support[:, None], support]) * moves).sum(1)
    best = int(gain.argmin())
    # up to the first change of sign the objective falls, if by less than can be seen
    return tries[best] if gain[best] < 0 else tries[int(length.argmin())]
