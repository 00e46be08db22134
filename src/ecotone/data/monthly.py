"""Daily temperatures from monthly means: the smoothest curve whose months have exactly the given means.

Smoothest means the least sum of squared second differences from day to day. That is linear in the means, so one small system
is solved per pattern of month lengths and known months, and applied to all rows that share it. A curve like this has no
weather: it knows nothing of warm and cold weeks. Letters: N rows, M months, S days.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ecotone.errors import InputError

Array = np.ndarray
MOST_BEYOND = 31  # days drawn beyond the last month; a straight line is no season


def month_lengths(year: Array | int, first_month: int = 10, count: int = 9) -> Array:
    """Days of consecutive months that end in given years, leap years included.

    Args:
        year: (N,) calendar year of the last month.
        first_month: 1..12, calendar month of the first.
        count: M.

    Returns:
        (N, M) int.
    """
    last = (first_month - 2 + count) % 12  # months after January of the last one
    end = (np.atleast_1d(np.asarray(year, dtype=np.int64)) - 1970) * 12 + last
    months = (end[:, None] - count + 1 + np.arange(count + 1)).astype("datetime64[M]")
    return np.diff(months.astype("datetime64[D]"), axis=1).astype(int)


def daily_from_monthly(means: Array, lengths: Array, days: int | None = None) -> Array:
    """Daily means that keep the mean of every month.

    Args:
        means: (N, M) monthly means, any unit; NaN for a missing month, whose days are NaN.
        lengths: (M,) or (N, M) days of the months.
        days: S; more than the months have are drawn on in a straight line (at most `MOST_BEYOND`), fewer are cut off; all days
            of the longest row if None (days a shorter row lacks are drawn on).

    Returns:
        (N, S) float64.

    Raises:
        InputError: DA404 when the shapes do not fit or too many days are asked for.
    """
    means = np.asarray(means, dtype=float)
    if means.ndim != 2 or means.shape[1] == 0:
        raise InputError("DA404", "monthly means", f"shape {means.shape}", "give (rows, months)")
    try:
        spans = np.broadcast_to(np.asarray(lengths, dtype=int), means.shape)
    except ValueError:
        shapes = f"{np.shape(lengths)} month lengths for {means.shape} means"
        raise InputError("DA404", "monthly means", shapes, "give (months,) or (rows, months)") from None
    if len(means) == 0:
        return np.empty((0, days or 0))
    total = spans.sum(axis=1)
    s = int(total.max()) if days is None else days
    if spans.min() < 1 or s - total.min() > MOST_BEYOND:
        asked = f"{s} days from months of {total.min()} in all"
        raise InputError("DA404", "monthly means", asked, f"ask for at most {MOST_BEYOND} days beyond the last month")
    out = np.full((len(means), s), np.nan)
    known = np.isfinite(means)
    patterns, which = np.unique(np.concatenate([spans, known], axis=1), axis=0, return_inverse=True)
    m = means.shape[1]
    for k, pattern in enumerate(patterns):
        if pattern[m:].any():
            rows = np.flatnonzero(which.reshape(-1) == k)
            weights = _weights(tuple(pattern[:m].tolist()), tuple(pattern[m:].tolist()), s)
            out[rows] = np.where(known[rows], means[rows], 0) @ weights.T
    return out


@lru_cache(maxsize=64)
def _weights(lengths: tuple[int, ...], known: tuple[int, ...], s: int) -> Array:
    """(S, M) weights of the months in each day; NaN on days of missing months, 0 for the missing months themselves."""
    ends = np.cumsum(lengths)
    n = max(s, int(ends[-1]))
    starts = ends - lengths
    here = np.flatnonzero(known)
    mean = np.zeros((len(here), n))
    for row, k in enumerate(here):
        mean[row, starts[k] : ends[k]] = 1 / lengths[k]
    bend = np.diff(np.eye(n), n=2, axis=0) if len(here) > 1 else np.diff(np.eye(n), axis=0)  # one month: a level line
    system = np.zeros((n + len(here), n + len(here)))
    system[:n, :n] = bend.T @ bend
    system[:n, n:], system[n:, :n] = mean.T, mean
    right = np.zeros((n + len(here), len(here)))
    right[n:] = np.eye(len(here))
    weights = np.zeros((n, len(lengths)))
    weights[:, here] = np.linalg.solve(system, right)[:n]
    for k in np.flatnonzero(np.asarray(known) == 0):
        weights[starts[k] : ends[k] if k < len(lengths) - 1 else n] = np.nan
    weights = weights[:s]
    weights.flags.writeable = False
    return weights
