"""All Maxent problems of a job at once: proximal Newton on working sets, each problem ended by its own certificate.

Per problem s:  min over beta of  log sum_i w_si exp(x_i.beta) - m_s.beta + sum_k l_sk |beta_k|.

One iteration takes one matrix product for all gradients, small Hessians on the working sets (non-zero and violating features)
over the rows that a systematic sample of the softmax hits, a quadratic step each (`quadratic.py`), one matrix product for
the change of the logits and an exact line search on them. The sample grows when progress slows down, so that the
end is a full Newton step. Gradients, objectives and certificates are float64.

Letters: S problems, R rows (sites and cells), F features, A working set.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from ecotone.systems.maxent.certificate import duality_gap, matched_gap, objective, residual
from ecotone.systems.maxent.quadratic import l1_quadratic
from ecotone.systems.maxent.unbounded import records_at_an_end, separates

Array = np.ndarray
TOLERANCE = 1e-5
BLOCK_NUMBERS = 12_000_000  # logits held at once
FIRST_SAMPLE = 2048
SHORTEST = 2.0**-20
PIECE = 4096  # rows
NEARLY = 0.01  # of a feature's deviation
FALLING = 20  # iterations for a problem without a finite optimum
LEAST_VARIANCE = 1e-8  # of a feature in a sample, relative to that over the background
STILL = 1e-14  # nats, no progress


@dataclass(frozen=True)
class Problems:
    """What is solved.

    Attributes:
        features: (R, F).
        weight: (G, R) background weights; a row of zeros in all is allowed.
        group: (S,) which row of `weight` a problem uses.
        added: (S, R) CSR, weight added for a problem's own presences.
        records: (S, R) CSR, records per row; every row with records has a positive weight.
        penalty: (S, F), infinite where a feature is not allowed.
    """

    features: Array
    weight: Array
    group: Array
    added: sparse.csr_array
    records: sparse.csr_array
    penalty: Array


@dataclass(frozen=True)
class Solution:
    """What was found.

    Attributes:
        beta: (S, F).
        objective: (S,) nats.
        gap: (S,) objective above the optimum, at most.
        residual: (S,) largest violation of optimality relative to the penalty.
        iterations: (S,).
        converged: (S,) gap within the tolerance.
        unbounded: (S,) there is no finite optimum: unpenalised features separate the records, and the objective falls for
            ever. The gap is then the distance to its infimum.
    """

    beta: Array
    objective: Array
    gap: Array
    residual: Array
    iterations: Array
    converged: Array
    unbounded: Array

    @classmethod
    def empty(cls, problems: int, features: int) -> Solution:
        """All coefficients 0, nothing to improve."""
        gap, off, value = np.zeros(problems), np.zeros(problems), np.zeros(problems)
        none, every = np.zeros(problems, bool), np.ones(problems, bool)
        return cls(np.zeros((problems, features)), value, gap, off, np.zeros(problems, int), every, none)

    def take(self, at: Array, other: Solution) -> None:
        """Puts the problems of another solution into rows `at`."""
        for name in self.__dataclass_fields__:
            getattr(self, name)[at] = getattr(other, name)


def solve(problems: Problems, *, tolerance: float = TOLERANCE, max_iterations: int = 100) -> Solution:
    """Solves all problems.

    Args:
        problems: See `Problems`.
        tolerance: Largest duality gap in nats. A gap g bounds KL(optimum || softmax) by g, hence any predicted share of
            the background by sqrt(g / 2): 1e-5 keeps them within 0.0023 in total variation.
        max_iterations: Ends problems that do not get there. Those known to have no finite optimum end after `FALLING`.
    """
    x = np.asarray(problems.features, dtype=np.float64)
    r, f = x.shape
    s = problems.penalty.shape[0]
    out = Solution.empty(s, f)
    narrow = np.ascontiguousarray(x.T, dtype=np.float32)  # (F, R) for gathering columns
    size = max(1, min(64, BLOCK_NUMBERS // max(r, 1)))
    for start in range(0, s, size):
        columns = np.arange(start, min(start + size, s))
        _Block(x, narrow, problems, columns, tolerance, max_iterations).run(out)
    return out


class _Block:
    """Problems that share the matrix products; finished ones leave."""

    def __init__(
        self, x: Array, narrow: Array, problems: Problems, columns: Array, tolerance: float, max_iterations: int
    ) -> None:
        self.x, self.narrow, self.columns = x, narrow, columns
        self.tolerance, self.max_iterations = tolerance, max_iterations
        weight = problems.weight[problems.group[columns]] + problems.added[columns].toarray()  # (S, R)
        self.weight = weight / weight.sum(1, keepdims=True)
        records = sparse.csr_array(problems.records[columns], dtype=np.float64)
        share = sparse.csr_array(records.multiply(1.0 / np.asarray(records.sum(1)).reshape(-1, 1)))
        self.mean = np.asarray(share @ x)
        entries = share.tocoo()
        self.entry_problem, self.entry_row, self.entry_share = entries.row, entries.col, entries.data
        self.penalty = problems.penalty[columns].astype(np.float64)
        s = len(columns)
        self.beta, self.z = np.zeros((s, x.shape[1])), np.zeros((s, x.shape[0]))
        first, second = self.weight @ x, np.zeros((s, x.shape[1]))
        for row in range(0, x.shape[0], PIECE):
            second += self.weight[:, row : row + PIECE] @ x[row : row + PIECE] ** 2
        self.scale = np.sqrt(np.maximum(second - first**2, 0.0)) + 1e-12
        self.sample = np.full(s, FIRST_SAMPLE)
        self.exact = np.zeros(s, bool)  # Hessians in float64
        self.last_gap, self.last_value = np.full(s, np.inf), np.full(s, np.inf)
        which = problems.group[columns]
        parts = (problems.added[columns], problems.records[columns], self.penalty)
        self.unbounded = records_at_an_end(x, problems.weight, which, *parts)

    def run(self, out: Solution) -> None:
        self._softmax(self.z)
        for iteration in range(self.max_iterations + 1):
            moment = self.q @ self.x
            gap, off = self._gap(moment), residual(moment, self.mean, self.beta, self.penalty)
            self._gap_unpenalised(moment, gap)
            value = objective(self.log_sum, self.mean, self.beta, self.penalty)
            still = value > self.last_value - STILL
            ended = gap <= self.tolerance
            leave = ended | (iteration == self.max_iterations) | (still & self.exact)
            leave |= self.unbounded & (iteration >= FALLING)
            if leave.any():
                at = self.columns[leave]
                out.unbounded[at] = [self._falls(j) for j in np.flatnonzero(leave).tolist()]
                out.beta[at], out.gap[at], out.residual[at] = self.beta[leave], gap[leave], off[leave]
                out.objective[at] = value[leave]
                out.iterations[at], out.converged[at] = iteration, ended[leave]
                self._keep(~leave)
                moment, gap, value, still = moment[~leave], gap[~leave], value[~leave], still[~leave]
            if not len(self.columns):
                return
            slow = (gap > 0.1 * self.last_gap) & (iteration > 0)
            self.sample = np.minimum(np.where(slow, self.sample * 2, self.sample), self.x.shape[0])
            self.sample[still], self.exact = self.x.shape[0], self.exact | still
            self.last_gap, self.last_value = gap, value
            self._step(moment)

    # -------------------------------------------------------------------------------------------- parts
    def _softmax(self, z: Array) -> None:
        top = np.where(self.weight > 0, z, -np.inf).max(1)
        e = self.weight * np.exp(np.minimum(z - top[:, None], 0.0))
        total = e.sum(1)
        self.q = e / total[:, None]
        self.log_sum = top + np.log(total)

    def _gap(self, moment: Array) -> Array:
        at = (self.entry_problem, self.entry_row)
        return duality_gap(
            log_sum=self.log_sum,
            moment=moment,
            mean=self.mean,
            beta=self.beta,
            penalty=self.penalty,
            problem=self.entry_problem,
            record=self.entry_share,
            own=self.q[at],
            log_ratio=self.z[at] - self.log_sum[self.entry_problem],
            log_weight=np.log(self.weight[at]),
        )

    def _gap_unpenalised(self, moment: Array, gap: Array) -> None:
        """Lowers the gaps of problems with unpenalised features once their moments nearly agree."""
        off = np.where(self.penalty == 0, np.abs(moment - self.mean) / self.scale, 0.0).max(1, initial=0.0)
        for j in np.flatnonzero((off > 0) & (off < NEARLY) & (gap > self.tolerance) & ~self.unbounded):
            mine = self.entry_problem == j
            records = np.zeros(self.x.shape[0])
            records[self.entry_row[mine]] = self.entry_share[mine]
            better = matched_gap(
                self.x,
                q=self.q[j],
                weight=self.weight[j],
                records=records,
                log_sum=float(self.log_sum[j]),
                mean=self.mean[j],
                beta=self.beta[j],
                penalty=self.penalty[j],
            )
            gap[j] = min(gap[j], better)

    def _falls(self, j: int) -> bool:
        """Whether the problem is known to have no finite optimum, or its coefficients show that now."""
        free = self.penalty[j] == 0
        if self.unbounded[j] or not self.beta[j, free].any():
            return bool(self.unbounded[j])
        own = self.entry_row[self.entry_problem == j]
        return separates(self.x[:, free], self.weight[j] > 0, own, self.beta[j, free])

    def _keep(self, stay: Array) -> None:
        for name in (
            "columns",
            "weight",
            "mean",
            "penalty",
            "beta",
            "z",
            "scale",
            "sample",
            "exact",
            "last_gap",
            "last_value",
            "unbounded",
            "q",
            "log_sum",
        ):
            setattr(self, name, getattr(self, name)[stay])
        position = np.cumsum(stay) - 1
        inside = stay[self.entry_problem]
        self.entry_problem = position[self.entry_problem[inside]]
        self.entry_row, self.entry_share = self.entry_row[inside], self.entry_share[inside]

    def _step(self, moment: Array) -> None:
        v = moment - self.mean
        move = np.zeros_like(self.beta)
        for j, index in enumerate(self._working_sets(v)):
            hessian = self._hessian(j, index, moment[j, index])
            if self.sample[j] * 2 < self.x.shape[0]:  # a sample may miss all rows where a feature varies
                least = LEAST_VARIANCE * self.scale[j, index] ** 2
                hessian.flat[:: len(index) + 1] = np.maximum(hessian.diagonal(), least)
            start = self.beta[j, index]
            move[j, index] = l1_quadratic(hessian, v[j, index], start, self.penalty[j, index]) - start
        self._line_search(v, move)

    def _working_sets(self, v: Array) -> list[Array]:
        """S times feature numbers: non-zero ones and the worst violators."""
        allowed = np.isfinite(self.penalty)
        excess = np.where(allowed, np.abs(v) - np.where(allowed, self.penalty, 0.0), -1.0) / self.scale
        used = self.beta != 0
        score = np.where(used, np.inf, excess)
        room = used.sum(1) + np.maximum(24, used.sum(1))
        order = np.argsort(-score, axis=1, kind="stable")
        count = np.minimum(room, (score > 0).sum(1))
        return [np.sort(row[:n]) for row, n in zip(order, count, strict=True)]

    def _hessian(self, j: int, features: Array, mean: Array) -> Array:
        """(A, A) covariance under q over a systematic sample of rows, or over all."""
        q = self.q[j]
        size = int(self.sample[j])
        if self.exact[j]:
            rows = self.x[:, features] - mean
            return (rows * q[:, None]).T @ rows
        if size * 2 < len(q):
            edges = np.cumsum(q)
            rows = np.searchsorted(edges, (np.arange(size) + 0.5) / size * edges[-1])
            rows, times = np.unique(np.minimum(rows, len(q) - 1), return_counts=True)
            share = times / size
            part = self.narrow[features].take(rows, axis=1)
            mean = part @ share
        else:
            share, part = q, self.narrow[features]
        part -= mean[:, None].astype(np.float32)
        part *= np.sqrt(share).astype(np.float32)
        return (part @ part.T).astype(np.float64)

    def _line_search(self, v: Array, move: Array) -> None:
        dz = move @ self.x.T
        limit = np.where(np.isfinite(self.penalty), self.penalty, 0.0)
        now = objective(self.log_sum, self.mean, self.beta, self.penalty)
        slope = (v * move).sum(1) + (limit * (np.abs(self.beta + move) - np.abs(self.beta))).sum(1)
        length = np.ones(len(now))
        open_ = slope < 0
        length[~open_] = 0.0
        log_sum = self.log_sum.copy()
        q = self.q
        todo = np.flatnonzero(open_)
        while len(todo):
            z = self.z[todo] + length[todo, None] * dz[todo]
            top = np.where(self.weight[todo] > 0, z, -np.inf).max(1)
            e = self.weight[todo] * np.exp(np.minimum(z - top[:, None], 0.0))
            total = e.sum(1)
            value = top + np.log(total)
            beta = self.beta[todo] + length[todo, None] * move[todo]
            reached = objective(value, self.mean[todo], beta, self.penalty[todo])
            fine = reached <= now[todo] + 1e-4 * length[todo] * slope[todo] + 1e-14
            done = todo[fine]
            log_sum[done] = value[fine]
            q[done] = e[fine] / total[fine, None]
            self.z[done], self.beta[done] = z[fine], beta[fine]
            todo = todo[~fine]
            length[todo] /= 2
            todo = todo[length[todo] >= SHORTEST]
        self.log_sum, self.q = log_sum, q
