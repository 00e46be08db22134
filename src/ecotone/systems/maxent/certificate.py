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
    return objective(log_sum, mean, beta, penalty) + divergence
