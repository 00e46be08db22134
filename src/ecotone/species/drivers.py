"""What drives a species map: response curves, importance."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from ecotone.contract import Contributions, Curve, Evidence
from ecotone.explain.importance import importance_evidence, permutation_importance
from ecotone.explain.response import response_curves
from ecotone.species.outputs import UNITS

if TYPE_CHECKING:
    from ecotone.species.prepare import Prepared
    from ecotone.species.system import SpeciesSystem

Array = np.ndarray
_BLOCK = 5_000_000  # numbers in float64 at once


def curves(system: SpeciesSystem, ready: Prepared, shown: list[int], output: str) -> list[Curve]:
    """Response curves of the shown species, with a band."""
    calibration = system.estimator.calibration_

    def predict(rows: Array) -> Array:
        return calibration.scale(system.estimator.log_relative_of(rows, shown, unseen="baseline"), output, shown)

    presences = ready.presences
    return list(
        response_curves(
            predict,
            ready.reference,
            [presences[j] for j in shown],
            system.covariates,
            [system.species[j] for j in shown],
            levels=ready.levels,
            units=ready.units,
            y_label=f"{output} suitability" if output == "cloglog" else f"{output} ({UNITS[output]})",
            seed=system.config.seed,
            band="auto",
            member=system.member_name,
        )
    )


def importance(system: SpeciesSystem, ready: Prepared, shown: list[int]) -> tuple[list[Evidence], Array]:
    """Permutation importance and leave-one-out refits; also (P,) the mean permutation importance."""
    rng = np.random.default_rng(system.config.seed)
    reference = ready.reference
    some = rng.choice(len(reference), size=min(1000, len(reference)), replace=False)
    rows = np.concatenate([ready.sites, reference[some]])
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
    return found, np.nanmean(mean, axis=1)


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
            "information others carry too, even when its permutation importance is large. Below 0: held-out records were told "
            "better without it."
        ),
    )


def _gain(predict: Callable[[Array], Array], ready: Prepared, held: Array) -> Array:
    """(V, S) mean over held-out records of log relative intensity, over all uniform cells as reference."""
    from scipy.special import logsumexp

    f, back = predict(ready.sites[held]), predict(ready.reference)
    counts = ready.counts[np.flatnonzero(held)].toarray()
    total = np.maximum(counts.sum(0), 1e-9)
    gain = np.empty((f.shape[0], f.shape[2]))
    step = max(_BLOCK // (back.shape[0] * back.shape[1]), 1)
    for some in (slice(k, k + step) for k in range(0, f.shape[2], step)):  # float64 of all species would not fit
        mean = logsumexp(back[..., some].astype(float), axis=1, keepdims=True) - np.log(back.shape[1])
        gain[:, some] = ((f[..., some] - mean) * counts[:, some]).sum(1) / total[some]
    return gain
