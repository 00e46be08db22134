"""Accuracy by group, and the difference of two methods judged on the same images over several runs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ecotone.contract import Score

Array = np.ndarray


@dataclass(frozen=True)
class GroupAccuracy:
    """Accuracy by group.

    Attributes:
        names: G names.
        accuracy: (G,), nan for groups without images.
        count: (G,) images.
        overall: Accuracy over all images.
        worst: Smallest accuracy of a group.
        mean: Mean accuracy over groups.
    """

    names: tuple[str, ...]
    accuracy: Array
    count: Array
    overall: float
    worst: float
    mean: float

    def worst_score(self, *, level: float = 0.95, draws: int = 2000, seed: int = 0) -> Score:
        """Smallest accuracy of a group, with a bootstrap interval over the images of each group."""
        there = self.count > 0
        rng = np.random.default_rng(seed)
        found = (
            rng.binomial(self.count[there], self.accuracy[there], size=(draws, int(there.sum()))) / self.count[there]
        )
        tail = (1 - level) / 2
        low, high = np.quantile(found.min(1), [tail, 1 - tail])
        # the least of several is drawn low: the interval still holds the value itself
        return Score(self.worst, min(float(low), self.worst), max(float(high), self.worst), int(self.count.sum()))


def group_accuracy(correct: Array, group: Array, names: tuple[str, ...] = ()) -> GroupAccuracy:
    """Accuracy of each group of images.

    Args:
        correct: (N,) bool.
        group: (N,) index from 0.
        names: Names of the groups.
    """
    size = max(len(names), int(group.max()) + 1)
    count = np.bincount(group, minlength=size)
    with np.errstate(invalid="ignore"):
        accuracy = np.bincount(group, weights=correct, minlength=size) / count
    return GroupAccuracy(
        names or tuple(str(g) for g in range(size)),
        accuracy,
        count,
        float(np.mean(correct)),
        float(np.nanmin(accuracy)),
        float(np.nanmean(accuracy)),
    )


@dataclass(frozen=True)
class PairedDifference:
    """Difference of two methods with an interval; positive where the first is better."""

    value: float
    low: float
    high: float
    runs: int
    images: int


def paired_difference(
    one: Array, other: Array, *, level: float = 0.95, draws: int = 2000, seed: int = 0
) -> PairedDifference:
    """Mean difference of scores of the same images, with a bootstrap interval over images and runs at once.

    Runs (seeds) and images are both drawn with replacement, so that the interval holds for other seeds and other images.

    Args:
        one: (R, N) score of each image in each run.
        other: (R, N) of the second method; run r of both was made with the same seed.
        level: Of the interval.
        draws: Bootstrap samples.
        seed: Of the bootstrap.
    """
    gap = np.atleast_2d(np.asarray(one, float)) - np.atleast_2d(np.asarray(other, float))
    runs, images = gap.shape
    rng = np.random.default_rng(seed)
    run_weight = rng.multinomial(runs, np.full(runs, 1 / runs), size=draws) / runs
    found = np.empty(draws)
    for start in range(0, draws, 100):
        part = rng.multinomial(images, np.full(images, 1 / images), size=min(100, draws - start)) / images
        found[start : start + 100] = ((run_weight[start : start + 100] @ gap) * part).sum(1)
    tail = (1 - level) / 2
    low, high = np.quantile(found, [tail, 1 - tail])
    return PairedDifference(float(gap.mean()), float(low), float(high), runs, images)
