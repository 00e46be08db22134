"""What a species map rests on, as evidence: map, curves, importance, extrapolation, effort, thresholds, cleaning."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ecotone.contract import Evidence, Overlay
from ecotone.explain.community import occurrence, richness, richness_evidence
from ecotone.explain.niche import niche_overlap
from ecotone.explain.niche_evidence import MATRIX, overlap_evidence
from ecotone.species import drivers, trust
from ecotone.species.outputs import UNITS
from ecotone.species.picture import Picture

if TYPE_CHECKING:
    from ecotone.species.options import Ask
    from ecotone.species.prepare import Prepared
    from ecotone.species.system import SpeciesSystem

Array = np.ndarray
MAX_SPECIES = 6  # with curves and a picture of their own, unless one is asked for
COMPARED_SPECIES = 200  # whose niches are compared; the most recorded ones


def explain(system: SpeciesSystem, ready: Prepared, *, target: str | None, ask: Ask) -> list[Evidence]:
    """All evidence of a fitted system.

    Args:
        system: Fitted.
        ready: Its training data.
        target: One species, or None for the most recorded ones.
        ask: `output` is the scale of maps and curves; `species` says which are shown when there is no target.
    """
    records = np.asarray(ready.counts.sum(0)).ravel()
    if target is not None:
        shown = [system.species.index(target)]
    elif ask.species:
        shown = [system.species.index(name) for name in ask.species]
    else:
        shown = sorted(np.argsort(-records, kind="stable")[:MAX_SPECIES].tolist())
    picture = Picture(ready)
    several = len(system.species) > 1 and target is None
    found: list[Evidence] = [_map(system, picture, shown, ask.output, ready)]
    if several:
        found += _community(system, picture)
    found += drivers.curves(system, ready, shown, ask.output)
    weighed, important = drivers.importance(system, ready, shown)
    found += weighed
    found += drivers.interactions(system, ready, shown, important)
    found += trust.extrapolation(system, picture)
    found += trust.background(system, ready, picture)
    found += trust.effort(ready, picture)
    found += trust.threshold_checks(system, ready, shown)
    if several:
        found += _niches(system, picture, records)
    found += system.own_evidence(ready, shown)
    if ready.report is not None and target is None:
        found += ready.report.to_checks()
    return found


def _map(system: SpeciesSystem, picture: Picture, shown: list[int], output: str, ready: Prepared) -> Overlay:
    values = system.window(picture.covariates, output=output)[0][:, shown]
    alone = len(shown) == 1
    return Overlay(
        title="Suitability" if not alone else f"Suitability of {system.species[shown[0]]}",
        target=system.species[shown[0]] if alone else "",
        weights=picture.paint(values),
        names=tuple(system.species[j] for j in shown),
        unit=UNITS[output] if output != "cloglog" else "cloglog suitability, 0 to 1",
        extent=picture.extent,
        points=ready.xy[np.asarray(ready.counts[:, [shown[0]]].toarray()).ravel() > 0] if alone else None,
        exact=True,
        note="The model's answer on a thinned grid; `ecotone map` writes every cell. Blank cells lack a covariate.",
    )


def _community(system: SpeciesSystem, picture: Picture) -> list[Evidence]:
    """Richness with what chance and the members contribute to its uncertainty."""
    calibration = system.estimator.calibration_
    member = system.estimator.log_relative(picture.covariates, unseen="baseline")
    found = richness(occurrence(calibration.scale(member, "expected_count")))
    return list(richness_evidence(found, picture.paint, picture.extent))


def _niches(system: SpeciesSystem, picture: Picture, records: Array) -> list[Evidence]:
    """Overlap of the recorded species over the cells of the picture."""
    order = np.argsort(-records, kind="stable")[:COMPARED_SPECIES]
    order = np.sort(order[records[order] > 0])
    if len(order) < 2:
        return []
    calibration = system.estimator.calibration_
    log_relative = calibration.combine(system.estimator.log_relative(picture.covariates, unseen="baseline"))[:, order]
    intensity = np.exp(log_relative - log_relative.max(0))
    most = np.argsort(-records[order], kind="stable")[:MATRIX]
    found = niche_overlap(intensity, weight=picture.area)
    return overlap_evidence(found, [system.species[j] for j in order], shown=sorted(most.tolist()))
