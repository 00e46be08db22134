"""The cumulative scale of Maxent: percent of a species' background distribution that lies in cells no better than this one.

Kept per species as log relative intensities at fixed percentages, linear between them; close together at the low end, where
users put their thresholds. Letters: K background cells, N sites, S species, L levels.
"""

from __future__ import annotations

import numpy as np

Array = np.ndarray
PERCENT = np.r_[0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, np.arange(1.0, 101.0)]  # (L,)
SLACK = 1e-9  # of log relative intensity, so that rounding puts no cell below its own level


def levels(log_relative: Array, share: Array) -> Array:
    """(S, L) log relative intensity at which the distribution reaches each of `PERCENT`.

    Args:
        log_relative: (K, S) of background cells.
        share: (K, S) of the species' distribution in each, summing to 1.
    """
    found = np.empty((log_relative.shape[1], len(PERCENT)))
    for j in range(len(found)):
        value, group = np.unique(log_relative[:, j], return_inverse=True)
        reached = 100.0 * np.cumsum(np.bincount(group.ravel(), share[:, j]))
        # the first value at which so much is reached; in between np.interp is linear
        first = np.searchsorted(reached, PERCENT * (1 - 1e-12))
        found[j] = value[np.minimum(first, len(value) - 1)]
    return found


def percent(table: Array, log_relative: Array) -> Array:
    """(S, L) levels and (..., S) log relative intensities -> (..., S) percentages, 0..100, rising with the intensity."""
    out = np.empty(log_relative.shape)
    for j, row in enumerate(table):
        value = log_relative[..., j] + SLACK
        out[..., j] = np.interp(value, row, PERCENT, left=0.0)
    return out
