"""Data order as a pure function of (seed, epoch, step).

No sampler object, hence no sampler state: whoever knows the position knows the batch. The number of workers, the moment
of a crash and the number of processes cannot change which rows make up a step.

The permutation is the stable argsort of raw Philox words keyed by `numpy.random.SeedSequence`. Both streams are frozen
by NumPy's compatibility policy (those of `Generator.permutation` are not), so a run can be repeated years later.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ecotone.errors import UsageError

_ORDER = 0x6F726465  # keeps this stream apart from others made from the same seed


@lru_cache(maxsize=2)
def permutation(seed: int, epoch: int, n: int) -> np.ndarray:
    """The order in which an epoch visits its rows.

    The last two answers are kept, so asking once per step costs nothing.

    Args:
        seed: Non-negative seed of the run.
        epoch: Non-negative epoch, counted from 0.
        n: Number of rows.

    Returns:
        (n,) int64, each of 0..n-1 once; read-only.

    Raises:
        UsageError: US104 when an argument is negative.
    """
    for name, value in (("seed", seed), ("epoch", epoch), ("n", n)):
        if value < 0:
            raise UsageError("US104", name, f"must not be negative, got {value}", "give 0 or more")
    words = np.random.Philox(np.random.SeedSequence([seed, epoch, _ORDER])).random_raw(n)
    order = np.argsort(words, kind="stable").astype(np.int64, copy=False)
    order.setflags(write=False)
    return order


def steps_per_epoch(n: int, batch_size: int, *, drop_last: bool = False) -> int:
    """Steps that visit `n` rows once; `drop_last` leaves out the rows of a last, smaller batch."""
    if batch_size < 1:
        raise UsageError("US104", "batch_size", f"must be at least 1, got {batch_size}", "give 1 or more")
    return n // batch_size if drop_last else -(-n // batch_size)


def batch_indices(
    seed: int,
    epoch: int,
    step: int,
    n: int,
    batch_size: int,
    rank: int = 0,
    world: int = 1,
    *,
    drop_last: bool = False,
) -> np.ndarray:
    """The rows of one step, or one process's share of them.

    `batch_size` counts the rows of the step over all processes, so the number of processes does not change what a step
    learns from. Shares of a step are disjoint, cover it, and differ by at most one row; when a last batch has fewer
    rows than there are processes, some shares are empty (`drop_last` avoids that).

    Args:
        seed: Seed of the run.
        epoch: Epoch, counted from 0.
        step: Step within the epoch, counted from 0.
        n: Number of rows.
        batch_size: Rows per step, over all processes.
        rank: This process.
        world: Number of processes.
        drop_last: Leaves out a last batch smaller than `batch_size`.

    Returns:
        (b,) int64 row numbers.

    Raises:
        UsageError: US104 when the step or rank does not exist.
    """
    steps = steps_per_epoch(n, batch_size, drop_last=drop_last)
    if not 0 <= step < steps:
        raise UsageError("US104", "step", f"{step} is not one of the {steps} steps of an epoch", "count from 0")
    if not 0 <= rank < world:
        raise UsageError("US104", "rank", f"{rank} is not one of {world} processes", "count from 0")
    start = step * batch_size
    return permutation(seed, epoch, n)[start : start + batch_size][rank::world].copy()
