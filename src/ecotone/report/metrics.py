"""What the scores are called on the page, and what they mean."""

from __future__ import annotations

import math

from ecotone.contract import Score

BESIDE = "_random"
"""Ending of a score from random folds, which stands beside that from spatial blocks and flatters the model."""

IN_DAYS = frozenset({"mae", "rmse", "bias", "mae_site_mean", "mae_thermal_time", "mae_utah"})
"""Scores without a scale that ends at 1."""

_KNOWN: dict[str, tuple[str, str]] = {
    "auc": ("AUC", "Chance that a presence ranks above a place without one. 0.5 is guessing."),
    "auc_target_group": (
        "AUC among visited sites",
        "Chance that a presence ranks above a site where only others were found. 0.5 is guessing.",
    ),
    "boyce": (
        "Boyce index",
        "Whether records grow more frequent as suitability rises, -1 to 1. 0 is guessing.",
    ),
    "auc_pr": ("Precision-recall AUC", "Mean precision over all thresholds. Guessing gives the share of presences."),
    "mae": ("Mean absolute error, days", "Mean distance of the predicted to the observed day."),
    "rmse": ("Root mean square error, days", "As the mean error, with large ones counting more."),
    "bias": ("Bias, days", "Mean of observed minus predicted; above 0 predictions are early."),
    "r2": ("R²", "Share of the variance of observed days that is explained, sites and years together."),
    "tau": ("Kendall's tau within sites", "Are early and late years told apart? -1 to 1, 0 is guessing."),
    "coverage90": ("Coverage of 90 % intervals", "Share of observed days within the predicted interval; 0.9 is right."),
    "mae_site_mean": ("Error of the site's mean, days", "What one gets by giving each site its mean day."),
    "mae_thermal_time": (
        "Error of thermal time, days",
        "Of the best model of warmth from a fixed day on, on the same split.",
    ),
    "mae_utah": (
        "Error of Utah chill and warmth, days",
        "Of the best model of Utah chill, then warmth, on the same split.",
    ),
    "gain_on_site_mean": ("Gain on the site's mean", "Share of its error that is saved."),
    "gain_on_thermal_time": ("Gain on thermal time", "Share of its error that is saved."),
    "gain_on_utah": ("Gain on Utah chill and warmth", "Share of its error that is saved."),
    "correlation": ("Correlation", "Between prediction and presence or absence, -1 to 1. 0 is guessing."),
}


def label(name: str) -> str:
    """Readable name of a metric or of a column of scores."""
    base = name.removesuffix(BESIDE)
    known = _KNOWN.get(base, (base.replace("_", " "), ""))[0]
    return f"{known}, random folds" if base != name else known


def meaning(name: str) -> str:
    """One or two sentences, or ""."""
    return _KNOWN.get(name.removesuffix(BESIDE), ("", ""))[1].replace("-1", "\N{MINUS SIGN}1")


def ends(score: Score) -> tuple[float, float, float]:
    """Lower end, value and upper end; the value alone where there is no interval."""
    known = math.isfinite(score.low) and math.isfinite(score.high)
    return (score.low, score.value, score.high) if known else (score.value, score.value, score.value)


def scale_start(*scores: Score) -> int | None:
    """Where a scale that ends at 1 begins for some scores: 0, -1 when one lies below, None when they do not fit it."""
    values = [end for score in scores for end in ends(score)]
    if not all(-1 <= value <= 1 for value in values):
        return None
    return 0 if min(values) >= 0 else -1


def marks(score: Score, start: int) -> dict[str, float]:
    """low, value and high in percent of a scale from `start` to 1."""
    names = ("low", "value", "high")
    return {name: round(100 * (end - start) / (1 - start), 1) for name, end in zip(names, ends(score), strict=True)}
