"""Scores of many species at once against a presence-absence survey, each with a block-bootstrap interval.

Letters: N sites, S species, B resamples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ecotone.contract import Score
from ecotone.stats.bootstrap import bootstrap
from ecotone.stats.ranking import auc, average_precision, boyce_by_species, correlation

Array = np.ndarray
METRICS = ("auc", "auc_pr", "correlation", "boyce")


@dataclass(frozen=True)
class SurveyScores:
    """Per-species scores.

    Attributes:
        species: S names.
        values: Metric -> (S,).
        low: Metric -> (S,) lower end of the 95 % interval; nan where none was drawn.
        high: Metric -> (S,).
        presences: (S,) presences in the survey.
    """

    species: tuple[str, ...]
    values: dict[str, Array]
    low: dict[str, Array]
    high: dict[str, Array]
    presences: Array

    def rows(self) -> list[dict[str, Any]]:
        """One row per species."""
        return [
            {"species": name, "presences": int(self.presences[j])}
            | {m: float(v[j]) for m, v in self.values.items()}
            | {f"{m}_low": float(v[j]) for m, v in self.low.items()}
            | {f"{m}_high": float(v[j]) for m, v in self.high.items()}
            for j, name in enumerate(self.species)
        ]

    def summary(self, seed: int = 0) -> dict[str, Score]:
        """Metric -> mean over species with a bootstrap interval over species (its own interval for one species)."""
        found: dict[str, Score] = {}
        for metric, values in self.values.items():
            if len(values) == 1:
                found[metric] = Score(float(values[0]), float(self.low[metric][0]), float(self.high[metric][0]), 1)
            else:
                found[metric] = bootstrap(values, seed=seed).to_score()
        return found


def score_survey(
    scores: Array,
    labels: Array,
    species: tuple[str, ...],
    *,
    blocks: Array | None = None,
    resamples: int = 200,
    seed: int = 0,
) -> SurveyScores:
    """Scores every species.

    Args:
        scores: (N, S) predictions, higher is more suitable.
        labels: (N, S) 1 present, 0 absent, nan not surveyed.
        species: S names.
        blocks: (N,) spatial block of each site; whole blocks are resampled. Without them single sites are.
        resamples: B; 0 for no intervals.
        seed: Of the resampling.
    """
    values = {
        "auc": np.atleast_1d(auc(scores, labels)),
        "auc_pr": np.atleast_1d(average_precision(scores, labels)),
        "correlation": np.atleast_1d(correlation(scores, labels)),
        "boyce": np.atleast_1d(boyce_by_species(scores, labels)),
    }
    weighted = {"auc": auc, "auc_pr": average_precision, "correlation": correlation}  # Boyce has no weighted form
    groups = np.arange(len(scores)) if blocks is None else np.unique(blocks, return_inverse=True)[1]
    n_groups = int(groups.max()) + 1 if len(groups) else 0
    rng = np.random.default_rng(seed)
    draws = {metric: np.full((resamples, len(species)), np.nan) for metric in weighted}
    for b in range(resamples):
        times = np.bincount(rng.integers(n_groups, size=n_groups), minlength=n_groups).astype(float)[groups]
        for metric, function in weighted.items():
            draws[metric][b] = function(scores, labels, times)
    low, high = ({m: np.full(len(species), np.nan) for m in values} for _ in range(2))
    for metric, drawn in draws.items():
        if resamples:
            enough = np.isfinite(drawn).mean(0) > 0.5
            low[metric][enough], high[metric][enough] = np.nanquantile(drawn[:, enough], [0.025, 0.975], axis=0)
    return SurveyScores(species, values, low, high, np.nansum(labels == 1, axis=0))
