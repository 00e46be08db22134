"""What a species map rests on, as evidence: map, curves, importance, extrapolation, effort, thresholds, cleaning."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from ecotone.contract import Check, Contributions, Evidence, Overlay
from ecotone.explain.effort import agreement, agreement_evidence, record_density
from ecotone.explain.importance import importance_evidence, permutation_importance
from ecotone.explain.response import response_curves
from ecotone.species.outputs import UNITS

if TYPE_CHECKING:
    from ecotone.species.options import Ask
    from ecotone.species.prepare import Prepared
    from ecotone.species.system import SpeciesSystem

Array = np.ndarray
MAX_SPECIES = 6  # with curves and a picture of their own, unless one is asked for
PICTURE_CELLS = 90_000
KINDS = {"target_group": "target-group", "uniform": "uniform", "mixture": "mixed"}


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
    picture = _Picture(ready)
    found: list[Evidence] = [_map(system, picture, shown, ask.output, ready)]
    if len(system.species) > 1 and target is None:
        found.append(_richness(system, picture))
    found += _curves(system, ready, shown, ask.output)
    found += _importance(system, ready, shown)
    found += _extrapolation(system, picture)
    found += _effort(system, ready, picture, shown)
    found += _thresholds(system, shown)
    if ready.report is not None and target is None:
        found += ready.report.to_checks()
    return found


class _Picture:
    """A thinned grid of the covariates, small enough to draw and to explain on."""

    def __init__(self, ready: Prepared) -> None:
        grid = ready.stack.grid
        step = max(1, int(np.ceil(np.sqrt(grid.height * grid.width / PICTURE_CELLS))))
        rows, columns = (
            np.arange(step // 2, n, step) if n > step // 2 else np.arange(1) for n in (grid.height, grid.width)
        )
        cells = (rows[:, None] * grid.width + columns[None]).ravel()
        self.values, self.valid = ready.stack.at_cells(cells)
        self.shape = (len(rows), len(columns))
        west, south, east, north = grid.bounds
        self.extent = (west, east, south, north)

    @property
    def covariates(self) -> Array:
        """(N, P) of the valid cells."""
        return self.values[self.valid]

    def paint(self, values: Array) -> Array:
        """(N, K) of valid cells -> (K, H, W), nan elsewhere."""
        layers = np.full((values.shape[1], len(self.valid)), np.nan)
        layers[:, self.valid] = values.T
        return layers.reshape(-1, *self.shape)


def _map(system: SpeciesSystem, picture: _Picture, shown: list[int], output: str, ready: Prepared) -> Overlay:
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


def _richness(system: SpeciesSystem, picture: _Picture) -> Overlay:
    values = system.window(picture.covariates, richness=True)[1]
    return Overlay(
        title="Expected number of species recorded in a cell",
        weights=picture.paint(values),
        names=("richness",),
        unit="species per cell",
        extent=picture.extent,
        exact=True,
        note="Sum over species of 1 - exp(-expected count), at the effort of an average sampled cell; not all species present.",
    )


def _curves(system: SpeciesSystem, ready: Prepared, shown: list[int], output: str) -> list[Evidence]:
    calibration = system.estimator.calibration_

    def predict(rows: Array) -> Array:
        return calibration.scale(system.estimator.log_relative(rows, unseen="baseline"), output)[:, :, shown]

    presences = ready.presences
    return list(
        response_curves(
            predict,
            ready.background,
            [presences[j] for j in shown],
            system.covariates,
            [system.species[j] for j in shown],
            levels=ready.levels,
            units=ready.stack.units,
            y_label=f"{output} suitability" if output == "cloglog" else f"{output} ({UNITS[output]})",
            seed=system.config.seed,
        )
    )


def _importance(system: SpeciesSystem, ready: Prepared, shown: list[int]) -> list[Evidence]:
    rng = np.random.default_rng(system.config.seed)
    some = rng.choice(len(ready.background), size=min(1000, len(ready.background)), replace=False)
    rows = np.concatenate([ready.sites, ready.background[some]])
    labels = np.full((len(rows), len(system.species)), np.nan)
    labels[: len(ready.sites)][ready.counts.toarray() > 0] = 1
    labels[len(ready.sites) :] = 0
    calibration = system.estimator.calibration_

    def predict(x: Array) -> Array:
        return calibration.combine(system.estimator.log_relative(x, unseen="baseline"))

    mean, spread = permutation_importance(predict, rows, labels, repeats=3, seed=system.config.seed)
    note = "Drop in training AUC (presences against uniform cells) when the covariate is shuffled among sites."
    found: list[Evidence] = []
    if len(system.species) > 1:
        over = np.nanstd(mean, axis=1) / np.sqrt(mean.shape[1])
        found.append(
            importance_evidence(
                "Permutation importance, mean over species",
                system.covariates,
                np.nanmean(mean, axis=1),
                over,
                note=note,
                band="2 standard errors over species",
            )
        )
    found += [
        importance_evidence(
            f"{system.species[j]}: permutation importance",
            system.covariates,
            mean[:, j],
            spread[:, j],
            target=system.species[j],
            note=note,
            band="2 standard deviations over shuffles",
        )
        for j in shown
    ]
    found.append(_leave_one_out(system, ready))
    return found


def _leave_one_out(system: SpeciesSystem, ready: Prepared) -> Contributions:
    """Refits without each covariate, all in one stack, scored on held-out records by the training gain."""
    from ecotone.species.system import Variant

    names = system.covariates
    share = system.estimator.background_.uniform_share
    train = np.random.default_rng(system.config.seed).random(len(ready.sites)) < 0.8
    if train.sum() < 2 or train.all():
        train[:] = True
    rows = np.flatnonzero(train)
    variants = [Variant(seed=55_000, uniform_share=share, rows=rows, hidden=name) for name in (None, *names)]
    predict = system.refit(ready, variants, label="leaving one covariate out")
    held = ~train if not train.all() else train
    gain = _gain(predict, ready, held)  # (P + 1, S)
    loss = gain[0] - gain[1:]
    weight = ready.counts[np.flatnonzero(held)].sum(0)
    mean = np.average(loss, axis=1, weights=np.maximum(np.asarray(weight).ravel(), 1e-9))
    error = loss.std(1) / np.sqrt(max(loss.shape[1], 1)) if loss.shape[1] > 1 else np.zeros(len(names))
    return Contributions(
        title="Leaving one covariate out",
        names=names,
        values=mean,
        lower=mean - 2 * error,
        upper=mean + 2 * error,
        unit="log-likelihood per held-out record (nats)",
        band="2 standard errors over species" if loss.shape[1] > 1 else "",
        note=(
            "Loss of held-out log-likelihood when the model is refitted without the covariate. Small for a covariate whose "
            "information others carry too, even when its permutation importance is large."
        ),
    )


def _gain(predict: Callable[[Array], Array], ready: Prepared, held: Array) -> Array:
    """(V, S) mean over held-out records of log relative intensity, over all uniform cells as reference."""
    from scipy.special import logsumexp

    reference = ready.background if len(ready.background) else ready.sites
    f, back = predict(ready.sites[held]).astype(float), predict(reference).astype(float)
    f = f - (logsumexp(back, axis=1, keepdims=True) - np.log(back.shape[1]))
    counts = ready.counts[np.flatnonzero(held)].toarray()
    total = np.maximum(counts.sum(0), 1e-9)
    return (f * counts).sum(1) / total


def _extrapolation(system: SpeciesSystem, picture: _Picture) -> list[Evidence]:
    similarity, decisive = system.sampled.similarity(picture.covariates)
    outside = similarity < 0
    names = system.covariates
    shares = np.array([(outside & (decisive == p)).mean() for p in range(len(names))])
    order = [p for p in np.argsort(-shares, kind="stable") if shares[p] > 0]
    check = Check(
        title="Extrapolation",
        claim="Share of map cells outside the range of conditions that were sampled",
        measured=100 * float(outside.mean()),
        bound=5.0,
        unit="%",
        verdict="pass" if outside.mean() <= 0.05 else "note",
        details=tuple((names[p], f"{100 * shares[p]:.1f} % of cells are outside by this covariate") for p in order[:8]),
        note="Outside the sampled range the answer is a guess. `ecotone map --extrapolation` writes the layer.",
    )
    found: list[Evidence] = [
        check,
        Overlay(
            title="Similarity to the sampled conditions",
            weights=picture.paint(similarity[:, None]),
            names=("similarity",),
            unit="%",
            extent=picture.extent,
            note="Multivariate environmental similarity: 100 at the median of what was sampled, negative outside its range.",
        ),
    ]
    if outside.any():  # else there is nothing to show
        found.append(
            Overlay(
                title="Outside the sampled range, by covariate",
                weights=picture.paint(np.where(outside, decisive + 1, 0)[:, None].astype(float)),
                names=("outside by",),
                extent=picture.extent,
                legend={0: "inside", **{p + 1: names[p] for p in sorted(order)}},
                note="Which covariate leaves its sampled range furthest.",
            )
        )
    return found


def _effort(system: SpeciesSystem, ready: Prepared, picture: _Picture, shown: list[int]) -> list[Evidence]:
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
        record_density(ready.xy, picture.extent, picture.valid.reshape(picture.shape)),
    ]
    if len(ready.species) < 2 and chosen.uniform_share == 1:
        return found  # no other background is defined
    other = 1.0 if chosen.uniform_share < 0.5 else 0.0
    variants = [Variant(seed=system.config.seed * 1000 + k, uniform_share=other) for k in range(2)]
    instead = system.refit(ready, variants, label="the other background")(picture.covariates).mean(0)
    used = system.estimator.calibration_.combine(system.estimator.log_relative(picture.covariates, unseen="baseline"))
    values = agreement(used, instead)
    name = "uniform" if other == 1.0 else "target-group"
    order = np.argsort(-np.asarray(ready.counts.sum(0)).ravel(), kind="stable")[:20]
    kept = [j for j in sorted(order.tolist()) if np.isfinite(values[j])]
    if kept:
        found.append(agreement_evidence([system.species[j] for j in kept], values[kept], KINDS[chosen.kind], name))
    return found


def _thresholds(system: SpeciesSystem, shown: list[int]) -> list[Evidence]:
    calibration = system.estimator.calibration_
    found: list[Evidence] = []
    for j in shown:
        both = np.array([calibration.tenth_percentile[j], calibration.max_tss[j]])
        if not np.isfinite(both).all():
            continue
        every = np.full((2, len(system.species)), 0.0)
        every[:, j] = both
        cloglog = calibration.scale(every, "cloglog")[:, j]
        found.append(
            Check(
                title=f"{system.species[j]}: thresholds",
                target=system.species[j],
                claim="cloglog value above which 90 % of training presences lie",
                measured=float(cloglog[0]),
                details=(
                    ("10th percentile of training presences", f"cloglog {cloglog[0]:.3f}"),
                    ("largest sensitivity + specificity", f"cloglog {cloglog[1]:.3f}"),
                ),
                note="`ecotone map --thresholds` writes both binary maps.",
            )
        )
    return found
