"""What the scores are called on the page, and what they mean."""

from __future__ import annotations

BESIDE = "_random"
"""Ending of a score from random folds, which stands beside that from spatial blocks and flatters the model."""

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
