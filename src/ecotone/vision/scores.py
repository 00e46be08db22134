"""Scores of image classifiers with intervals over images."""

from __future__ import annotations

from typing import Any

import numpy as np

from ecotone.contract import Score, Scores
from ecotone.errors import InputError
from ecotone.stats.bootstrap import bootstrap
from ecotone.stats.paired import group_accuracy
from ecotone.vision.answers import probabilities

Array = np.ndarray


def score(
    labels: Array,
    logits: Array,
    classes: tuple[str, ...],
    *,
    split: str,
    commonest: int | None = None,
    group: Array | None = None,
    group_names: tuple[str, ...] = (),
    silent: Array | None = None,
) -> Scores:
    """Accuracy and its kin; an image without an answer counts as wrong.

    Args:
        labels: (N,) class, or (N, C) 0/1.
        logits: (N, C).
        classes: C names.
        split: How the data were split, for the record.
        commonest: The commonest class of training, for a plain baseline.
        group: (N,) group of each image.
        group_names: Their names.
        silent: (N,) whether the system abstained.

    Raises:
        InputError: OC205 when no image has a known class.
    """
    silent = np.zeros(len(labels), bool) if silent is None else silent
    if labels.ndim == 2:
        return _several(labels, logits, classes, split, silent)
    known = labels >= 0
    if not known.any():
        raise InputError("OC205", "images", "none has a known class", "put images into folders named after classes")
    labels, logits, silent = labels[known], logits[known], silent[known]
    found = logits.argmax(1)
    correct = (found == labels) & ~silent
    metrics: dict[str, Score] = {"accuracy": bootstrap(correct.astype(float)).to_score()}
    rows: list[dict[str, Any]] = []
    for c, name in enumerate(classes):
        own = labels == c
        if own.any():
            named = int((found == c).sum())
            rows.append({"class": name, "images": int(own.sum()), "recall": float(correct[own].mean()), "named": named})
    metrics["balanced accuracy"] = bootstrap(correct.astype(float), strata=labels).to_score()
    if commonest is not None:
        metrics["commonest class"] = bootstrap((labels == commonest).astype(float)).to_score()
    metrics["mean confidence"] = bootstrap(probabilities(logits).max(1)).to_score()
    if silent.any():
        metrics["abstains"] = bootstrap(silent.astype(float)).to_score()
    if group is not None:
        groups = group_accuracy(correct, group[known], group_names)
        metrics["worst group"] = groups.worst_score()
        for name, accuracy, count in zip(groups.names, groups.accuracy, groups.count, strict=True):
            if count:
                rows.append({"class": f"group: {name}", "images": int(count), "recall": float(accuracy)})
    return Scores(metrics, split, rows)


def _several(labels: Array, logits: Array, classes: tuple[str, ...], split: str, silent: Array) -> Scores:
    from sklearn.metrics import average_precision_score

    found = (logits > 0) & ~silent[:, None]
    rows, precision = [], []
    for c, name in enumerate(classes):
        if 0 < labels[:, c].sum() < len(labels):
            precision.append(float(average_precision_score(labels[:, c], logits[:, c])))
            rows.append({"class": name, "images": int(labels[:, c].sum()), "average precision": precision[-1]})
    exact = (found == (labels > 0)).all(1)
    metrics = {
        "mean average precision": bootstrap(np.array(precision or [np.nan])).to_score(),
        "label accuracy": bootstrap((found == (labels > 0)).mean(1)).to_score(),
        "all labels right": bootstrap(exact.astype(float)).to_score(),
    }
    return Scores({k: s for k, s in metrics.items() if np.isfinite(s.value)}, split, rows)
