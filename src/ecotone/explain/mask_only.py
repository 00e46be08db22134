"""How much the silhouette alone tells: a plain classifier that sees masks and nothing else.

A selector may write the class into the shape of its mask; then nothing outside the mask is used, and yet the answer rests on what
was outside. Source of the concern: REAL-X (Jethani et al. 2021); of the audit: iFAM notes (arXiv 2506.08915).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ecotone.contract import Check
from ecotone.stats.bootstrap import bootstrap

Array = np.ndarray


@dataclass(frozen=True)
class MaskOnly:
    """Accuracy from masks alone.

    Attributes:
        accuracy: On test masks.
        low: 95 % interval over images.
        high: The same.
        majority: Accuracy of always naming the commonest class of training.
        images: Test masks.
    """

    accuracy: float
    low: float
    high: float
    majority: float
    images: int

    def check(self, model_accuracy: float) -> Check:
        """As evidence, beside the accuracy of the model."""
        return Check(
            title="What the silhouette alone tells",
            claim="The shape of the mask does not give the class away",
            measured=self.accuracy,
            bound=self.majority,
            unit="accuracy",
            verdict="note",
            details=(
                ("from masks alone", f"{self.accuracy:.1%} [{self.low:.1%}, {self.high:.1%}]"),
                ("commonest class", f"{self.majority:.1%}"),
                ("the model", f"{model_accuracy:.1%}"),
                ("images", str(self.images)),
            ),
            note="A plain classifier was trained on masks without any pixel. What it gets above the commonest class is known "
            "from shape and place, which may be honest (long tails) or leaked from the background.",
        )


def mask_only(
    train: Array, train_labels: Array, test: Array, test_labels: Array, *, side: int = 16, seed: int = 0
) -> MaskOnly:
    """Trains on masks, judges on other masks.

    Ridge regression and nearest neighbours on the coarsened mask, its outline's moments and its size; the better of the two
    by cross-validation on the training masks.

    Args:
        train: (N, H, W) bool.
        train_labels: (N,).
        test: (M, H, W) bool.
        test_labels: (M,).
        side: Masks are coarsened to this grid.
        seed: Of folds.
    """
    from sklearn.linear_model import RidgeClassifierCV
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x, y = _features(train, side), _features(test, side)
    models = [
        make_pipeline(StandardScaler(), RidgeClassifierCV(np.logspace(-1, 5, 13))),
        make_pipeline(StandardScaler(), KNeighborsClassifier(min(15, max(1, len(train) // 4)))),
    ]
    folds = max(2, min(5, int(np.bincount(train_labels)[np.unique(train_labels)].min())))
    split = StratifiedKFold(folds, shuffle=True, random_state=seed)
    if np.unique(train_labels).size < 2:
        correct = test_labels == train_labels[0]
    else:
        scores = [float(np.mean(cross_val_score(m, x, train_labels, cv=split))) for m in models]
        correct = models[int(np.argmax(scores))].fit(x, train_labels).predict(y) == test_labels
    interval = bootstrap(correct.astype(float), seed=seed)
    values, counts = np.unique(train_labels, return_counts=True)
    majority = float(np.mean(test_labels == values[counts.argmax()]))
    return MaskOnly(interval.estimate, interval.low, interval.high, majority, len(test_labels))


def _features(masks: Array, side: int) -> Array:
    """(N, F) coarse mask, size, place and second moments."""
    n, height, width = masks.shape
    rows, columns = np.minimum(side, height), np.minimum(side, width)
    values = masks.astype(np.float64)
    by_row = np.stack([chunk.mean(1) for chunk in np.array_split(values, rows, axis=1)], 1)
    coarse = np.stack([chunk.mean(2) for chunk in np.array_split(by_row, columns, axis=2)], 2)
    y, x = np.mgrid[:height, :width] / max(height, width)
    size = np.maximum(values.sum((1, 2)), 1e-9)
    cx, cy = (values * x).sum((1, 2)) / size, (values * y).sum((1, 2)) / size
    dx, dy = x - cx[:, None, None], y - cy[:, None, None]
    xx, yy, xy = ((values * a).sum((1, 2)) / size for a in (dx * dx, dy * dy, dx * dy))
    shape = np.stack([size / (height * width), cx, cy, xx, yy, xy], 1)
    return np.concatenate([coarse.reshape(n, -1), shape], 1)
