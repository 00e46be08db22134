"""Agreement of two labellings from their table of counts, which can be filled piece by piece: NMI, ARI, intersection over union.

Sources: Strehl and Ghosh 2002 (normalised mutual information), Hubert and Arabie 1985 (adjusted Rand index).
"""

from __future__ import annotations

import math

import numpy as np

Array = np.ndarray


class ContingencyTable:
    """How often each pair of true and found label occurs.

    Args:
        truth: Number of true labels.
        found: Number of found labels.
    """

    def __init__(self, truth: int, found: int) -> None:
        self.counts = np.zeros((truth, found), dtype=np.int64)

    def add(self, truth: Array, found: Array) -> None:
        """Counts pairs of two equally shaped arrays of labels from 0.

        Raises:
            ValueError: For shapes that differ or labels out of range.
        """
        one, other = np.asarray(truth).ravel().astype(np.int64), np.asarray(found).ravel().astype(np.int64)
        rows, columns = self.counts.shape
        if one.shape != other.shape:
            raise ValueError("labels differ in number")
        if one.size and (min(one.min(), other.min()) < 0 or one.max() >= rows or other.max() >= columns):
            raise ValueError("a label is out of range")
        self.counts += np.bincount(one * columns + other, minlength=rows * columns).reshape(rows, columns)

    def merge(self, other: ContingencyTable) -> None:
        """Adds the counts of another table."""
        self.counts += other.counts

    def nmi(self) -> float:
        """Normalised mutual information: mutual information over the mean of the two entropies; 1 where both hold one label."""
        total = int(self.counts.sum())
        if not total:
            return math.nan
        joint = self.counts / total
        rows, columns = joint.sum(1), joint.sum(0)
        one, other = _entropy(rows), _entropy(columns)
        if one == 0 and other == 0:
            return 1.0
        seen = joint > 0
        expected = np.outer(rows, columns)[seen]
        shared = float((joint[seen] * np.log(joint[seen] / expected)).sum())
        return max(shared, 0.0) / ((one + other) / 2)

    def ari(self) -> float:
        """Adjusted Rand index: 1 for equal partitions, 0 on average for random ones."""
        counts = [[int(c) for c in row] for row in self.counts]  # Python's integers do not overflow
        total = sum(map(sum, counts))
        if not total:
            return math.nan
        pairs = _pairs(total)
        together = sum(_pairs(c) for row in counts for c in row)
        rows = sum(_pairs(sum(row)) for row in counts)
        columns = sum(_pairs(sum(column)) for column in zip(*counts, strict=True))
        if not pairs or rows == columns == together:
            return 1.0
        expected = rows * columns / pairs
        return (together - expected) / ((rows + columns) / 2 - expected)

    def iou(self, truth: int, found: int) -> float:
        """Intersection over union of a true and a found label; nan where neither occurs."""
        both = int(self.counts[truth, found])
        either = int(self.counts[truth].sum()) + int(self.counts[:, found].sum()) - both
        return both / either if either else math.nan


def _entropy(shares: Array) -> float:
    some = shares[shares > 0]
    return 0.0 if some.size < 2 else float(-(some * np.log(some)).sum())


def _pairs(count: int) -> int:
    return count * (count - 1) // 2
