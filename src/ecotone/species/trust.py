"""How far a species map can be trusted: conditions not sampled, background."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ecotone.contract import Check, Evidence, Overlay
from ecotone.errors import InputError
from ecotone.explain.applicability import AreaOfApplicability
from ecotone.explain.effort import agreement, agreement_evidence
from ecotone.explain.importance import permutation_importance
from ecotone.species.evaluation import FOLDS
from ecotone.stats.splits import spatial_blocks

if TYPE_CHECKING:
    from ecotone.species.picture import Picture
    from ecotone.species.prepare import Prepared
    from ecotone.species.system import SpeciesSystem

Array = np.ndarray
WEIGHED = 1000  # sites and background cells on which covariates are weighed for the area of applicability
KINDS = {"target_group": "target-group", "uniform": "uniform", "mixture": "mixed"}


def area_of_applicability(estimator: Any, ready: Prepared, seed: int) -> AreaOfApplicability | None:
    """The area in which blocked cross-validation of the sites can be expected to hold; None where no blocks can be made.

    Covariates are weighted by a single round of permutation importance, sites against background.
    """
    if not ready.placed or not len(ready.background):
        return None
    some = np.random.default_rng(seed).permutation(len(ready.background))[:WEIGHED]
    seen = np.random.default_rng(seed).permutation(len(ready.sites))[:WEIGHED]
    rows = np.concatenate([ready.sites[seen], ready.background[some]])
    labels = np.zeros((len(rows), len(ready.species)))
    present = ready.counts[seen].toarray() > 0
    labels[: len(seen)] = np.where(present, 1.0, np.nan)
    every = np.flatnonzero(present.any(0))

    def predict(x: Array) -> Array:
        return estimator.calibration_.combine(estimator.log_relative(x, unseen="baseline"))[:, every]

    try:
        mean, _ = permutation_importance(predict, rows, labels[:, every], repeats=1, seed=seed)
        x, y = ready.xy.T
        folds = spatial_blocks(x, y, size="auto", folds=FOLDS, seed=0, geographic=ready.geographic)
        return AreaOfApplicability.fit(
            ready.sites,
            folds,
            ready.covariates,
            importance=np.nanmean(mean, axis=1),
            categorical=tuple(ready.levels),
            seed=seed,
        )
    except InputError as error:
        if error.code != "OC205":
            raise
        return None


def extrapolation(system: SpeciesSystem, ready: Prepared, picture: Picture | None) -> list[Evidence]:
    """What lies outside the sampled conditions; without a picture only how much of the reference does."""
    cells = ready.reference if picture is None else picture.covariates
    similarity, decisive = system.sampled.similarity(cells)
    outside = similarity < 0
    names = system.covariates
    shares = np.array([(outside & (decisive == p)).mean() for p in range(len(names))])
    order = [p for p in np.argsort(-shares, kind="stable") if shares[p] > 0]
    whole = system.estimator.background_.uniform_share > 0  # cells of this very map are part of the training data
    check = Check(
        title="Extrapolation",
        claim="Share of map cells outside the range of conditions "
        + ("in the background cells and records" if whole else "that were sampled"),
        measured=100 * float(outside.mean()),
        bound=float("nan") if whole else 5.0,
        unit="%",
        verdict="pass" if outside.mean() <= 0.05 and not whole else "note",
        details=tuple((names[p], f"{100 * shares[p]:.1f} % of cells are outside by this covariate") for p in order[:8]),
        note=(
            "The background was drawn from this map, so next to nothing on it can lie outside: this tells of other climates and "
            "areas (`ecotone map --covariates`). How far the records themselves reach: area of applicability."
            if whole
            else "Outside the sampled range the answer is a guess. `ecotone map --extrapolation` writes the layer."
        ),
    )
    if picture is None:
        return [check]
    found: list[Evidence] = [
        check,
        Overlay(
            title="Similarity to the sampled conditions",
            weights=picture.paint(similarity[:, None]),
            names=("similarity",),
            unit="%",
            extent=picture.extent,
            note="Multivariate environmental similarity: 100 at the median of "
            + ("background cells and records" if whole else "what was sampled")
            + ", negative outside their range.",
        ),
    ]
    if outside.any():  # else there is nothing to show
        found.append(
            Overlay(
                title="Outside the sampled range, by covariate",
                weights=picture.paint(np.where(outside, decisive + 1, 0)[:, None].astype(float)),
                names=("outside by",),
                extent=picture.extent,
                legend={0: "inside", **dict(enumerate(names, start=1))},
                note="Which covariate leaves its sampled range furthest.",
            )
        )
    return found


def background(system: SpeciesSystem, ready: Prepared, picture: Picture | None) -> list[Evidence]:
    """Which background was used and what another would have given."""
    from ecotone.species.system import Variant

    chosen = system.estimator.background_
    trial = system.estimator.trial_
    details = [("reason", chosen.reason)]
    if trial is not None:
        details += [
            (f"{100 * share:.0f} % uniform", f"blocked AUC {score:.4f}, gain {gain:+.4f} (standard error {error:.4f})")
            for share, score, gain, error in zip(trial.shares, trial.score, trial.gain, trial.error, strict=True)
        ]
    found: list[Evidence] = [
        Check(
            title="Background used",
            claim=f"{KINDS[chosen.kind]} background; share of its weight on uniform random cells",
            measured=100 * chosen.uniform_share,
            unit="%",
            verdict="note",
            details=tuple(details),
            note=(
                "Records show where people looked as well as where species live. Target-group background compares a species "
                "with the sites where others were found, so that effort cancels; uniform background does not correct for it."
            ),
        ),
    ]
    if (len(ready.species) < 2 and chosen.uniform_share == 1) or not len(ready.background):
        return found  # no other background is defined
    cells = ready.reference if picture is None else picture.covariates
    other = 1.0 if chosen.uniform_share < 0.5 else 0.0
    variants = [Variant(seed=system.config.seed * 1000 + k, uniform_share=other) for k in range(2)]
    instead = system.refit(ready, variants, label="the other background")(cells).mean(0)
    used = system.estimator.calibration_.combine(system.estimator.log_relative(cells, unseen="baseline"))
    values = agreement(used, instead)
    name = "uniform" if other == 1.0 else "target-group"
    order = np.argsort(-np.asarray(ready.counts.sum(0)).ravel(), kind="stable")[:20]
    kept = [j for j in sorted(order.tolist()) if np.isfinite(values[j])]
    if kept:
        found.append(agreement_evidence([system.species[j] for j in kept], values[kept], KINDS[chosen.kind], name))
    return found
