"""How far a Maxent solution is from the best one, at most.

The problem  min over beta of  log sum_i w_i exp(x_i.beta) - m.beta + sum_k l_k |beta_k|  (w sums to 1, m the records' mean
features) has the dual  max over q of  -KL(q || w)  subject to |E_q x_k - m_k| <= l_k  (Dudik, Phillips and Schapire 2007).
Any feasible q bounds the optimum from below. We take q = (1 - t) softmax + t p with p the distribution of the records and t
the least share that makes it feasible; records lie in the support of w, so it always exists. Letters: S problems, R rows,
F features, E records (row and problem of each).
"""

from __future__ import annotations

import numpy as np

Array = np.ndarray


def objective(log_sum: Array, mean: Array, beta: Array, penalty: Array) -> Array:
    """(S,) primal objective in nats."""
    cost = np.where(beta != 0, np.abs(beta) * np.where(np.isfinite(penalty), penalty, 0.0), 0.0)
    return log_sum - (mean * beta).sum(1) + cost.sum(1)


def residual(moment: Array, mean: Array, beta: Array, penalty: Array) -> Array:
    """(S,) largest violation of the optimality condition, relative to the penalty (absolute where that is 0)."""
    v = moment - mean
    allowed = np.isfinite(penalty)
    limit = np.where(allowed, penalty, 0.0)
    off = np.where(beta != 0, np.abs(v + np.sign(beta) * limit), np.maximum(np.abs(v) - limit, 0.0))
    off = np.where(allowed, off / np.where(limit > 0, limit, 1.0), 0.0)
    return off.max(1, initial=0.0)


def duality_gap(
    *,
    log_sum: Array,
    moment: Array,
    mean: Array,
    beta: Array,
    penalty: Array,
    problem: Array,
    record: Array,
    own: Array,
    log_ratio: Array,
    log_weight: Array,
) -> Array:
    """(S,) primal minus dual objective, in nats; not negative, 0 at the optimum.

    Args:
        log_sum: (S,) log sum_i w_i exp(z_i).
        moment: (S, F) E_q x under the softmax q.
        mean: (S, F) the records' mean.
        beta: (S, F).
        penalty: (S, F); infinite where a feature is not allowed.
        problem: (E,) problem of each row with records.
        record: (E,) its share p of that problem's records.
        own: (E,) softmax q at these rows.
        log_ratio: (E,) log q / w there.
        log_weight: (E,) log w there.
    """
    off = np.abs(moment - mean)
    allowed = np.isfinite(penalty)
    share = np.where(allowed & (off > penalty), 1.0 - np.where(allowed, penalty, 0.0) / np.maximum(off, 1e-300), 0.0)
    t = share.max(1, initial=0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_rest = np.log1p(-t)  # minus infinity where only the records are feasible
        rest = np.where(t < 1, (1 - t) * (log_rest + (moment * beta).sum(1) - log_sum), 0.0)
        mixed = (1 - t[problem]) * own + t[problem] * record
        before = np.where(t[problem] < 1, (1 - t[problem]) * own * (log_rest[problem] + log_ratio), 0.0)
        change = np.where(mixed > 0, mixed * (np.log(mixed) - log_weight), 0.0) - before
    divergence = rest + np.bincount(problem, change, minlength=len(t))
    return np.maximum(objective(log_sum, mean, beta, penalty) + divergence, 0.0)  # rounding


def matched_gap(
    x: Array,
    *,
    q: Array,
    weight: Array,
    records: Array,
    log_sum: float,
    mean: Array,
    beta: Array,
    penalty: Array,
) -> float:
    """Gap of one problem with unpenalised features, whose moments a feasible q has to match exactly.

    Mixing with the records reaches that only at t = 1, so q is first tilted, q (1 + (x - E_q x).d) with d from a linear system,
    until the moments of the unpenalised features agree; what rounding leaves (1e-9 of a feature's deviation) is allowed.

    Args:
        x: (R, F).
        q: (R,) softmax.
        weight: (R,) w.
        records: (R,) p.
        log_sum: log sum_i w_i exp(z_i).
        mean: (F,).
        beta: (F,).
        penalty: (F,).

    Returns:
        The gap in nats, infinite where the tilted q is no distribution.
    """
    free = penalty == 0
    moment = q @ x
    centred = x[:, free] - moment[free]
    covariance = (centred * q[:, None]).T @ centred
    tilt = np.linalg.lstsq(covariance, (mean - moment)[free], rcond=1e-12)[0]
    factor = 1.0 + centred @ tilt
    if (factor[q > 0] < 0).any():
        return float("inf")
    q = q * factor / (q * factor).sum()
    moment = q @ x
    deviation = np.sqrt(np.maximum(q @ x**2 - moment**2, 0.0))
    allowed = np.isfinite(penalty)
    limit = np.where(allowed, penalty, 0.0) + 1e-9 * deviation + 1e-12
    off = np.abs(moment - mean)
    share = np.where(allowed & (off > limit), 1.0 - limit / np.maximum(off, 1e-300), 0.0)
    t = share.max(initial=0.0)
    mixed = (1 - t) * q + t * records
    some = mixed > 0
    divergence = float((mixed[some] * (np.log(mixed[some]) - np.log(weight[some]))).sum())
    primal = objective(np.array([log_sum]), mean[None], beta[None], penalty[None])[0]
    return float(primal) + divergence
