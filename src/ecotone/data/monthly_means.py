"""Daily temperatures drawn through monthly means, so that the mean of every month stays what it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy import sparse

Array = np.ndarray


def month_starts(months: Array) -> Array:
    """(M + 1,) day at which each of M consecutive months begins, counted from the first, and where the last ends."""
    months = np.asarray(months, dtype="datetime64[M]")
    starts = np.append(months, months[-1] + 1).astype("datetime64[D]").astype(np.int64)
    return starts - starts[0]


def days_through(means: Array, starts: Array) -> Array:
    """Daily values of consecutive months: straight lines between mid-month anchors that keep every monthly mean.

    The anchors solve a linear system: the mean over the days of a month, of lines through its own anchor and those of its
    neighbours, equals the given one. Before the first and after the last anchor the value is constant.

    Args:
        means: (..., M) monthly means.
        starts: (M + 1,) from `month_starts`.

    Returns:
        (..., D) one value per day.
    """
    from scipy import sparse
    from scipy.sparse.linalg import splu

    weights = anchor_weights(starts)
    lengths = np.diff(starts)
    of_month = np.repeat(np.arange(len(lengths)), lengths)
    days = np.arange(starts[-1])
    mean_of = sparse.csr_array((1 / lengths[of_month], (of_month, days)), shape=(len(lengths), len(days)))
    table = np.moveaxis(np.asarray(means, dtype=float), -1, 0).reshape(len(lengths), -1)
    anchors = splu(sparse.csc_array(mean_of @ weights)).solve(np.ascontiguousarray(table))
    daily = weights @ anchors
    return np.moveaxis(daily.reshape(len(days), *np.shape(means)[:-1]), 0, -1)


def anchor_weights(starts: Array) -> sparse.csr_array:
    """Sparse (D, M) weights of the mid-month anchors on each day."""
    from scipy import sparse

    middle = (starts[:-1] + starts[1:] - 1) / 2
    days = np.arange(starts[-1])
    right = np.clip(np.searchsorted(middle, days), 1, max(len(middle) - 1, 1))
    if len(middle) == 1:
        return sparse.csr_array(np.ones((len(days), 1)))
    part = np.clip((days - middle[right - 1]) / (middle[right] - middle[right - 1]), 0, 1)
    rows = np.concatenate([days, days])
    columns = np.concatenate([right - 1, right])
    return sparse.csr_array((np.concatenate([1 - part, part]), (rows, columns)), shape=(len(days), len(middle)))
