"""From sites, records and background to convex problems: one per species and variant (replicate, fold, hidden covariate).

Letters: N sites, U uniform cells, R rows (N sites, then U cells), S species, V variants, F features. Problem v * S + j is
species j of variant v.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from ecotone.data.features import FeatureMap
from ecotone.systems.maxent.config import Config
from ecotone.systems.maxent.regularisation import feature_classes, penalties
from ecotone.systems.maxent.solve import Problems, Solution, solve

Array = np.ndarray


@dataclass(frozen=True)
class Sites:
    """What all variants share.

    Attributes:
        covariates: (N, P) sites.
        counts: (N, S) records, CSR.
        log_weight: (N,) log-weight of a site as background.
        cells: (U, P) uniform cells.
        cell_log_weight: (U,).
    """

    covariates: Array
    counts: sparse.csr_array
    log_weight: Array
    cells: Array
    cell_log_weight: Array


@dataclass(frozen=True)
class Variant:
    """How one set of problems differs.

    Attributes:
        uniform_share: Share of the background weight on uniform cells.
        rows: Sites that exist; all by default.
        hidden: Covariate whose features are not allowed.
        counts: (N, S) other records, such as a bootstrap replicate; the sites with records of `Sites` stay background.
        multiplier: Instead of the configured one.
        kinds: Feature kinds instead of the configured ones.
    """

    uniform_share: float
    rows: Array | None = None
    hidden: str | None = None
    counts: sparse.csr_array | None = None
    multiplier: float | None = None
    kinds: str | tuple[str, ...] | None = None


def solve_variants(sites: Sites, variants: Sequence[Variant], features: FeatureMap, config: Config) -> Solution:
    """Solves all species of all variants in one batch; a species without records keeps all coefficients at 0."""
    v, s = len(variants), sites.counts.shape[1]
    n, u = len(sites.covariates), len(sites.cells)
    x = np.concatenate([features.transform(sites.covariates), features.transform(sites.cells, unseen="baseline")])
    weight, group = _background(sites, variants)
    twin = _twins(sites)
    records, added = [], []
    for number, variant in enumerate(variants):
        mine, more = _records(sites, variant, weight[group[number]], twin)
        records.append(mine)
        added.append(more)
    every, extra = sparse.csr_array(sparse.vstack(records)), sparse.csr_array(sparse.vstack(added))
    used = np.flatnonzero((weight > 0).any(0) | (np.asarray((every + extra).sum(0)).ravel() > 0))
    if len(used) < n + u:
        x, weight, every, extra = x[used], weight[:, used], every[:, used], extra[:, used]
    some = np.flatnonzero(np.asarray(every.sum(1)).ravel() > 0)
    solution = Solution.empty(v * s, x.shape[1])
    if not len(some) or not x.shape[1]:
        return solution
    extent = np.stack([np.ptp(x[w > 0], axis=0) for w in weight])  # (G, F)
    of_problem = np.asarray(group)[some // s]
    multiplier = np.array([config.multiplier if v.multiplier is None else v.multiplier for v in variants])
    penalty = penalties(
        every[some],
        x,
        features.feature_kinds,
        _allowed(every[some], some // s, variants, features, config),
        spread=extent[of_problem],
        multiplier=multiplier[some // s],
    )
    problems = Problems(x, weight, of_problem, extra[some], every[some], penalty)
    found = solve(problems, tolerance=config.tolerance, max_iterations=config.max_iterations)
    solution.take(some, found)
    return solution


def _background(sites: Sites, variants: Sequence[Variant]) -> tuple[Array, list[int]]:
    """(G, R) weights that sum to 1, and which of them each variant uses."""
    n, u = len(sites.covariates), len(sites.cells)
    rows, group, known = [], [], {}
    for variant in variants:
        key = (variant.uniform_share, None if variant.rows is None else variant.rows.tobytes())
        if key not in known:
            known[key] = len(rows)
            weight = np.zeros(n + u)
            if variant.uniform_share < 1:
                at = slice(None) if variant.rows is None else variant.rows
                w = np.exp(sites.log_weight[at])
                weight[np.arange(n)[at]] = (1 - variant.uniform_share) * w / w.sum()
            if variant.uniform_share > 0:
                w = np.exp(sites.cell_log_weight)
                weight[n:] = variant.uniform_share * w / w.sum()
            rows.append(weight)
        group.append(known[key])
    return np.stack(rows), group


def _twins(sites: Sites) -> Array:
    """(N,) row of a uniform cell with the covariates of the site and some weight, or -1."""
    n = len(sites.covariates)
    first: dict[bytes, int] = {}
    for row in np.flatnonzero(np.isfinite(sites.cell_log_weight)):
        first.setdefault((sites.cells[row] + 0.0).tobytes(), n + int(row))
    return np.array([first.get((site + 0.0).tobytes(), -1) for site in sites.covariates], dtype=np.int64)


def _records(sites: Sites, variant: Variant, weight: Array, twin: Array) -> tuple[sparse.csr_array, sparse.csr_array]:
    """(S, R) records and weights added for presences that are not in the background.

    As in maxnet an added presence weighs as much as one background site. A site counts once however many records it holds.
    """
    n = len(sites.covariates)
    shape = (sites.counts.shape[1], len(weight))
    inside = np.ones(n, bool)
    if variant.rows is not None:
        inside[:] = False
        inside[variant.rows] = True
    row = np.arange(n)
    outside = weight[:n] == 0
    row = np.where(outside & (twin >= 0) & (weight[twin] > 0), twin, row)

    def at(counts: sparse.csr_array, value: Array | None = None) -> tuple[Array, Array, Array]:
        c = counts.tocoo()
        mine = inside[c.row] & (c.data > 0)
        return c.col[mine], row[c.row[mine]], c.data[mine].astype(np.float64)

    species, rows, data = at(sites.counts if variant.counts is None else variant.counts)
    records = sparse.csr_array((data, (species, rows)), shape=shape)
    records.sum_duplicates()
    species, rows, _ = at(sites.counts)
    new = weight[rows] == 0
    one = 1.0 / max(int((weight > 0).sum()), 1)
    added = sparse.csr_array((np.full(int(new.sum()), one), (species[new], rows[new])), shape=shape)
    return records, added


def _allowed(
    records: sparse.csr_array, variant: Array, variants: Sequence[Variant], features: FeatureMap, config: Config
) -> Array:
    """(problems, F) which features may be used."""
    kinds = np.asarray(features.feature_kinds)
    n = np.asarray(records.sum(1)).ravel()
    allowed = np.zeros((len(n), len(kinds)), bool)
    for j, number in enumerate(n):
        wanted = variants[variant[j]].kinds or config.features
        allowed[j] = np.isin(kinds, feature_classes(number) if wanted == "auto" else wanted)
    for v, one in enumerate(variants):
        if one.hidden is not None:
            without = np.array([one.hidden in owner for owner in features.owners])
            allowed[np.ix_(variant == v, without)] = False
    return allowed


def bootstrap_counts(counts: sparse.csr_array, rng: np.random.Generator) -> sparse.csr_array:
    """(N, S) records drawn with replacement, species by species; each keeps its number of records, rounded."""
    columns = counts.tocsc()
    data = np.zeros(columns.nnz)
    for j in range(counts.shape[1]):
        part = slice(columns.indptr[j], columns.indptr[j + 1])
        total = float(columns.data[part].sum())
        if total > 0:
            share = columns.data[part].astype(np.float64) / float(columns.data[part].astype(np.float64).sum())
            draws = max(round(total), 1)
            data[part] = rng.multinomial(draws, share) * (total / draws)
    drawn = sparse.csr_array(sparse.csc_array((data, columns.indices, columns.indptr), shape=counts.shape))
    drawn.eliminate_zeros()
    return drawn
