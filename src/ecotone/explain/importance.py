"""Which covariates the ranking of sites rests on: permutation importance, and the table of leave-one-out refits.

Letters: N sites, P covariates, S species, R repeats.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ecotone.contract import Contributions
from ecotone.stats.ranking import auc

Array = np.ndarray
Predict = Callable[[Array], Array]


def permutation_importance(
    predict: Predict, covariates: Array, labels: Array, *, repeats: int = 5, seed: int = 0
) -> tuple[Array, Array]:
    """Drop in AUC when one covariate is shuffled among the sites.

    Args:
        predict: (N, P) -> (N, S) scores.
        covariates: (N, P) presences and background sites.
        labels: (N, S) 1 for the species' presences, 0 for what they are compared with, nan for sites left out.
        repeats: R shuffles per covariate.
        seed: For the shuffles.

    Returns:
        (P, S) mean drop and (P, S) its standard deviation over repeats.
    """
    rng = np.random.default_rng(seed)
    base = np.asarray(auc(predict(covariates), labels))
    drops = np.empty((repeats, covariates.shape[1], labels.shape[1]))
    for r in range(repeats):
        for p in range(covariates.shape[1]):
            shuffled = covariates.copy()
            shuffled[:, p] = rng.permutation(shuffled[:, p])
            drops[r, p] = base - np.asarray(auc(predict(shuffled), labels))
    spread = drops.std(0, ddof=1) if repeats > 1 else np.zeros(drops.shape[1:])
    return drops.mean(0), spread


def importance_evidence(
    title: str, names: Sequence[str], mean: Array, spread: Array, *, target: str = "", note: str = "", band: str = ""
) -> Contributions:
    """Importances as evidence, not additive; (P,) means with an interval of two standard deviations either side."""
    return Contributions(
        title=title,
        names=tuple(names),
        values=np.asarray(mean),
        lower=np.asarray(mean) - 2 * np.asarray(spread),
        upper=np.asarray(mean) + 2 * np.asarray(spread),
        unit="AUC",
        target=target,
        note=note,
        band=band or "2 standard deviations",
    )
