"""The products of a species map, and their values pixel by pixel.

Letters: M members, N pixels, P covariates, S species.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ecotone.abilities import MapProduct
from ecotone.errors import InputError
from ecotone.explain.community import occurrence, richness, turnover
from ecotone.species.outputs import UNITS

if TYPE_CHECKING:
    from ecotone.species.options import Ask
    from ecotone.species.system import SpeciesSystem

Array = np.ndarray


def products(system: SpeciesSystem, asked: Ask) -> tuple[MapProduct, ...]:
    """Suitability first, then whatever was asked for, in the order of `window`."""
    names = tuple(system.species[j] for j in system.species_index(asked.species))
    unit = UNITS[asked.output]
    found = [MapProduct(names, unit=unit)]
    if asked.spread:
        found.append(MapProduct(names, "spread", unit=unit))
    if asked.richness:
        found.append(MapProduct(("richness",), "richness", unit="species per cell"))
        if asked.spread:
            found.append(MapProduct(("chance", "model"), "richness-spread", unit="species per cell"))
    if asked.top:
        legend = dict(enumerate(system.species, start=1))
        found.append(MapProduct(("top species",), "top", "uint16", 0, "species", legend))
    if asked.thresholds:
        legend = {0: "below threshold", 1: "at or above threshold"}
        found += [MapProduct(names, f"binary-{rule}", "uint8", 255, "1", legend) for rule in ("p10", "maxtss")]
    if asked.extrapolation:
        decisive = dict(enumerate(system.covariates, start=1))
        found.append(MapProduct(("similarity",), "extrapolation", unit="%"))
        found.append(
            MapProduct(("outside by",), "extrapolation-by", "uint8", 255, "covariate", {0: "inside", **decisive})
        )
    if asked.applicability:
        found.append(MapProduct(("dissimilarity",), "applicability", unit="times the threshold"))
    return tuple(found)


def window(system: SpeciesSystem, covariates: Array, asked: Ask) -> tuple[Array, ...]:
    """(N, P) covariates of valid pixels -> one (N, bands) array per product."""
    chosen = system.species_index(asked.species)
    estimator = system.estimator
    calibration = estimator.calibration_
    member = estimator.log_relative(covariates, unseen="baseline", precision=asked.precision)
    combined = calibration.combine(member)
    found = [calibration.scale(combined[:, chosen], asked.output, chosen)]
    if asked.spread:
        found.append(calibration.scale(member[:, :, chosen], asked.output, chosen).std(0))
    if asked.richness:
        found.append(calibration.richness(combined)[:, None])
        if asked.spread:
            several = richness(occurrence(calibration.scale(member, "expected_count")))
            found.append(np.stack([several.chance, several.model], axis=1))
    if asked.top:
        found.append(calibration.scale(combined, "expected_count").argmax(1)[:, None] + 1)
    if asked.thresholds:
        found += [(combined >= t)[:, chosen] for t in (calibration.tenth_percentile, calibration.max_tss)]
    if asked.extrapolation:
        similarity, decisive = system.sampled.similarity(covariates)
        found.append(similarity[:, None])
        found.append(np.where(similarity < 0, decisive + 1, 0)[:, None])
    if asked.applicability:
        area = system.applicability
        if area is None:
            what = "the sites of fit could not be cut into spatial blocks, so it is not defined"
            raise InputError("OC205", "applicability", what, "map without --applicability, or fit with more sites")
        found.append((area.dissimilarity(covariates) / max(area.threshold, 1e-12))[:, None])
    return tuple(found)


def change_products(system: SpeciesSystem, asked: Ask) -> tuple[MapProduct, ...]:
    """Products of the change between two climates, when turnover is asked for; none for a single species."""
    if not asked.turnover or len(system.species) < 2:
        return ()
    return (
        MapProduct(("gained", "lost"), "change", unit="species per cell"),
        MapProduct(("turnover", "spread over members"), "turnover", unit="1"),
    )


def window_change(system: SpeciesSystem, covariates: Array, baseline: Array, asked: Ask) -> tuple[Array, ...]:
    """(N, P) covariates now and before -> expected species gained and lost (N, 2), Sorensen turnover and spread (N, 2)."""
    if not change_products(system, asked):
        return ()
    estimator = system.estimator
    before, after = (
        occurrence(
            estimator.calibration_.scale(
                estimator.log_relative(x, unseen="baseline", precision=asked.precision), "expected_count"
            )
        )
        for x in (baseline, covariates)
    )
    found = turnover(before, after)
    return (
        np.stack([found.gains, found.losses], axis=1),
        np.stack([found.sorensen, found.sorensen_spread], axis=1),
    )
