"""What a species map rests on, as evidence: map, curves, importance, extrapolation, effort, thresholds, cleaning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ecotone.contract import Evidence, Overlay
from ecotone.explain.depth import Case, evidence_in_depth
from ecotone.species import drivers, trust
from ecotone.species.outputs import UNITS
from ecotone.species.picture import Picture

if TYPE_CHECKING:
    from ecotone.species.options import Ask
    from ecotone.species.prepare import Prepared
    from ecotone.species.system import SpeciesSystem

Array = np.ndarray
MAX_SPECIES = 6  # with curves and a picture of their own, unless one is asked for


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
    picture = picture_of(ready)
    found: list[Evidence] = [] if picture is None else [_map(system, picture, shown, ask.output, ready)]
    curves = drivers.curves(system, ready, shown, ask.output)
    weighed, important = drivers.importance(system, ready, shown)
    found += [*curves, *weighed]
    found += trust.extrapolation(system, ready, picture)
    found += trust.background(system, ready, picture)
    case = case_of(system, ready, picture, important)
    found += evidence_in_depth(case, shown, curves=curves, output=ask.output, seed=system.config.seed)
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
        unit=UNITS[output],
        extent=picture.extent,
        points=ready.xy[np.asarray(ready.counts[:, [shown[0]]].toarray()).ravel() > 0] if alone else None,
        exact=True,
        note=f"The model's answer ({output}) on a thinned grid; `ecotone map` writes every cell. Blank cells lack a covariate.",
    )


def picture_of(ready: Prepared) -> Picture | None:
    """Some cells of the rasters of fit; None for sites from a store."""
    return None if ready.stack is None else Picture(ready.stack)


def case_of(system: SpeciesSystem, ready: Prepared, picture: Picture | None, importance: Array | None = None) -> Case:
    """The fitted model and its data, as `ecotone.explain.depth` takes them."""
    calibration, estimator = system.estimator.calibration_, system.estimator
    cells = ready.reference if picture is None else picture.covariates

    def some(x: Array, species: Sequence[int], output: str | None) -> Array:
        members = estimator.log_relative_of(x, species, unseen="baseline")
        ensemble = members.mean(0) - calibration.log_mean_ensemble[list(species)]
        return ensemble if output is None else calibration.scale(ensemble, output, species)

    return Case(
        species=system.species,
        covariates=system.covariates,
        sites=ready.sites,
        xy=ready.xy,
        counts=ready.counts,
        background=ready.reference,
        members=lambda x: estimator.log_relative(x, unseen="baseline"),
        combine=calibration.combine,
        scale=calibration.scale,
        some=some,
        picture=cells,
        valid=np.ones((1, len(cells)), bool) if picture is None else picture.valid.reshape(picture.shape),
        extent=None if picture is None else picture.extent,
        geographic=ready.geographic,
        levels=ready.levels,
        units=ready.units,
        # with a bias raster the weights hold effort besides area
        background_weight=ready.background_weight if ready.inputs.bias is None and len(ready.background) else None,
        area=system.applicability,
        importance=importance,
        cuts={"p10": calibration.tenth_percentile, "maxsum": calibration.max_tss},
        member=system.member_name,
    )
