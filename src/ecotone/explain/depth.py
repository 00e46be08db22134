"""The evidence of a species model beyond its maps and curves, chosen so that a report stays readable.

A system hands over its data and its answers as functions; what is shown, of how many species and at which size, is decided
here, once for all systems. Letters: M members, N sites or cells, K sites with records, U background sites, P covariates, S
species.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ecotone.contract import Curve, Evidence
from ecotone.errors import InputError
from ecotone.explain.applicability import AreaOfApplicability, applicability_evidence
from ecotone.explain.community import (
    Richness,
    Turnover,
    occurrence,
    richness,
    richness_evidence,
    turnover,
    turnover_evidence,
)
from ecotone.explain.interactions import interaction_evidence, interaction_strength, pair_surface
from ecotone.explain.niche import Overlap, niche_overlap
from ecotone.explain.niche_evidence import overlap_evidence
from ecotone.explain.response import compare_species
from ecotone.explain.sampling import condition_evidence, effort_along, effort_evidence, effort_surface
from ecotone.explain.thresholds import Thresholds, species_thresholds, threshold_evidence

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray
COMPARED = 6  # covariates with a plot of several species
SURFACES = 2  # pairs of covariates with a surface
PANELS = 4  # species with a surface
OVERLAP_SPECIES = 300  # most recorded ones, between which overlap is computed
OVERLAP_CELLS = 5_000
_BLOCK = 20_000_000  # answers held at once


@dataclass(frozen=True)
class Case:
    """A fitted model with its data, as functions and arrays.

    Attributes:
        species: S names.
        covariates: P names.
        sites: (K, P) covariates of the sites with records.
        xy: (K, 2) their places.
        counts: (K, S) records, a sparse array.
        background: (U, P) a uniform sample of cells.
        members: (N, P) -> (M, N, S) log relative intensity of each member.
        combine: (M, N, S) -> (N, S) that of the ensemble.
        scale: (..., N, S) log relative intensity and an output ("cloglog", "expected_count") -> (..., N, S).
        picture: (N, P) covariates of the valid cells of a thinned map, row by row.
        valid: (H, W) which cells those are.
        extent: (west, east, south, north) of that map; None where the cells are no map, then nothing is drawn as one.
        geographic: The map is in degrees.
        levels: Categorical covariate -> its levels.
        units: Covariate -> unit.
        background_weight: (U,) relative areas, or None.
        area: Area of applicability, or None.
        importance: (P,) of the covariates, or None; says which are compared.
        cuts: Threshold rule -> (S,) log relative intensity at which 0/1 maps of the model are cut.
        member: What a member is, in words.
        some: (N, P), s species and an output or None -> (N, s) the ensemble's log relative intensity, or that output; for
            thousands of species, whose answers at many cells would not fit. None: taken from all.
    """

    species: Sequence[str]
    covariates: Sequence[str]
    sites: Array
    xy: Array
    counts: Any
    background: Array
    members: Callable[[Array], Array]
    combine: Callable[[Array], Array]
    scale: Callable[[Array, str], Array]
    picture: Array
    valid: Array
    extent: tuple[float, float, float, float] | None
    geographic: bool = False
    levels: Mapping[str, Sequence[int]] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    background_weight: Array | None = None
    area: AreaOfApplicability | None = None
    importance: Array | None = None
    cuts: Mapping[str, Array] = field(default_factory=dict)
    member: str = "ensemble member"
    some: Callable[[Array, Sequence[int], str | None], Array] | None = None

    def __post_init__(self) -> None:
        if int(np.sum(self.valid)) != len(self.picture) or self.counts.shape != (len(self.sites), len(self.species)):
            what = f"{len(self.picture)} cells for {int(np.sum(self.valid))} valid ones, counts {self.counts.shape}"
            raise InputError(
                "DA404", "evidence", what, "pass the valid cells row by row and one row of counts per site"
            )

    def paint(self, values: Array) -> Array:
        """(N, K) of valid cells -> (K, H, W), nan elsewhere."""
        layers = np.full((values.shape[1], self.valid.size), np.nan)
        layers[:, self.valid.ravel()] = values.T
        return layers.reshape(-1, *self.valid.shape)


def evidence_in_depth(
    case: Case, shown: Sequence[int], *, curves: Sequence[Curve] = (), output: str = "cloglog", seed: int = 0
) -> list[Evidence]:
    """Interactions, thresholds and, where several species are shown, comparisons and richness; effort; applicability.

    Args:
        case: The fitted model.
        shown: Indices of the species with evidence of their own.
        curves: Their response curves, to be drawn on one axis.
        output: Scale of surfaces and thresholds.
        seed: For the draws of sites.
    """
    found: list[Evidence] = []
    if len(case.species) > 1 and len(shown) > 1:
        if case.extent is not None:
            found += richness_evidence(map_richness(case), case.paint, case.extent, member=case.member)
        kept = {case.covariates[p] for p in _leading(case)}
        found += compare_species([c for c in curves if c.x_label in kept])
        found += _overlap(case, seed)
    found += _together(case, shown, output, seed)
    if case.area is not None:
        index = case.paint(case.area.dissimilarity(case.picture)[:, None])[0]
        inside, picture = applicability_evidence(case.area, index, case.extent)
        found += [inside] if case.extent is None else [inside, picture]
    found += _effort(case)
    found += threshold_evidence(
        case_thresholds(case),
        case.species,
        shown,
        scale=lambda t: case.scale(t, output),
        output=output,
        cuts=case.cuts,
    )
    return found


def change_evidence(case: Case, then: Array, *, between: str, output: str = "expected_count") -> list[Evidence]:
    """Species gained and lost on the map, and turnover, between the covariates of the map and others.

    Args:
        case: The fitted model.
        then: (N, P) other covariates of the same cells, nan where one is missing.
        between: What is compared, such as "now and 2050".
        output: Scale that says how likely a species is; "expected_count" is turned into the probability of a record.
    """
    then = np.asarray(then, dtype=np.float64)
    if then.shape != case.picture.shape:
        what = f"covariates {then.shape} for cells {case.picture.shape}"
        raise InputError("DA404", "change", what, "pass the same cells under the other covariates")
    known = np.isfinite(then).all(1)
    bands = np.full((len(then), len(Turnover.__dataclass_fields__)), np.nan)
    cells = np.flatnonzero(known)
    step = _cells_at_once(case)
    for some in (cells[i : i + step] for i in range(0, len(cells), step)):
        before, after = (_probability(case, x[some], output) for x in (case.picture, then))
        bands[some] = turnover(before, after).bands()
    return list(turnover_evidence(Turnover(*bands.T), case.paint, case.extent, between=between, member=case.member))


def map_richness(case: Case) -> Richness:
    """Richness of the map's cells, some cells at a time."""
    step = _cells_at_once(case)
    starts = range(0, max(len(case.picture), 1), step)
    parts = [richness(_probability(case, case.picture[i : i + step], "expected_count")).bands() for i in starts]
    return Richness(*np.concatenate(parts).T)


def _cells_at_once(case: Case) -> int:
    return max(1, _BLOCK // max(1, len(case.species) * 8))


def _probability(case: Case, covariates: Array, output: str) -> Array:
    """(M, N, S)."""
    answer = case.scale(case.members(covariates), output)
    return occurrence(answer) if output == "expected_count" else answer


def case_thresholds(case: Case) -> Thresholds:
    """Thresholds of all species, on log relative intensity."""
    score = case.combine(case.members(case.sites))
    rows, columns = case.counts.nonzero()
    background = case.combine(case.members(case.background))
    return species_thresholds(score[rows, columns], columns.astype(int), background, weight=case.background_weight)


def _leading(case: Case) -> list[int]:
    weight = np.zeros(len(case.covariates)) if case.importance is None else np.asarray(case.importance, float)
    return np.argsort(-weight, kind="stable")[:COMPARED].tolist()


def _together(case: Case, shown: Sequence[int], output: str, seed: int) -> list[Evidence]:
    if len(case.covariates) < 2 or len(case.background) < 2 or not len(shown):
        return []
    some = list(shown)

    def log_relative(x: Array) -> Array:
        if case.some is not None:
            return case.some(x, some, None)
        return case.combine(case.members(x))[:, some]

    def suitability(x: Array) -> Array:
        if case.some is not None:
            return case.some(x, some[:PANELS], output)
        return case.scale(case.combine(case.members(x)), output)[:, some[:PANELS]]

    strength = interaction_strength(log_relative, case.background, seed=seed)
    alone = case.species[some[0]] if len(some) == 1 else ""
    found: list[Evidence] = [
        interaction_evidence(strength, case.covariates, species=0 if alone else None, target=alone)
    ]
    for q in strength.strongest(SURFACES, 0 if alone else None):
        found.append(
            pair_surface(
                suitability,
                case.background,
                strength.pairs[q],
                case.covariates,
                [case.species[j] for j in some[:PANELS]],
                levels=case.levels,
                units=case.units,
                output=f"{output} suitability" if output == "cloglog" else output,
                seed=seed,
            )
        )
    return found


def _effort(case: Case) -> list[Evidence]:
    found: list[Evidence] = []
    unit = "degrees" if case.geographic else "map units"
    names, single = list(case.covariates), len(case.species) == 1
    along = effort_along(
        case.sites, case.background, names, categorical=list(case.levels), weight=case.background_weight
    )
    try:
        if case.extent is not None:
            surface = effort_surface(case.xy, case.valid, case.extent, geographic=case.geographic)
            found += effort_evidence(surface, unit=unit, single=single)
    except InputError as error:  # a thinned picture may miss the few cells that were visited
        if error.code != "OC202":
            raise
    return [*found, *condition_evidence(along, units=case.units, curves=2, single=single)]


def case_overlap(case: Case, seed: int) -> tuple[Overlap, Array, str]:
    """Overlap of the most recorded species over some cells of the map.

    Returns:
        The overlap, (s,) which species it holds, and over what it was computed.
    """
    records = np.asarray(case.counts.sum(0)).ravel()
    some = np.sort(np.argsort(-records, kind="stable")[:OVERLAP_SPECIES])
    rng = np.random.default_rng(seed)
    count = min(OVERLAP_CELLS, len(case.picture))
    cells = np.sort(rng.choice(len(case.picture), size=count, replace=False))
    score = case.combine(case.members(case.picture[cells]))[:, some]
    found = niche_overlap(np.exp(score - score.max(0)))  # the scale of a species cancels
    where = f"over {count:,} cells of the map"
    if len(some) < len(case.species):
        where += f", between the {len(some)} most recorded species"
    return found, some, where


def _overlap(case: Case, seed: int) -> list[Evidence]:
    found, some, where = case_overlap(case, seed)
    records = np.asarray(case.counts.sum(0)).ravel()
    most = np.argsort(-records[some], kind="stable").tolist()
    return overlap_evidence(found, [case.species[int(j)] for j in some], shown=most, where=where)


def case_tables(case: Case, *, output: str = "cloglog", seed: int = 0) -> dict[str, pd.DataFrame]:
    """What is a table rather than a picture: thresholds of all species, and the overlap of all pairs."""
    import pandas as pd

    found = {"thresholds": case_thresholds(case).to_frame(case.species, lambda t: case.scale(t, output))}
    if len(case.species) > 1:
        overlap, some, _ = case_overlap(case, seed)
        a, b = np.triu_indices(len(some), 1)
        names = np.array([case.species[int(j)] for j in some], dtype=object)
        columns = {"schoener_d": overlap.d[a, b], "warren_i": overlap.i[a, b], "rank_correlation": overlap.rank[a, b]}
        found["niche-overlap"] = pd.DataFrame({"species": names[a], "other": names[b], **columns})
        found["niche-breadth"] = pd.DataFrame({"species": names, "breadth": overlap.breadth})
    return found
