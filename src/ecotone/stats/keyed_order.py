"""The order of any number of items in constant memory: item at a position = function of (seed, epoch, position).

A shuffled index of N items needs 8 N bytes. A keyed permutation needs a few numbers whatever N is: a Feistel network on
the grid a x b, the smallest nearly square one with at least N places, whose rounds add a hash of one coordinate to the
other; places beyond N are walked through until one below N comes up (cycle walking, Black and Rogaway 2002). Small N,
where few rounds on few places would not shuffle well, are sorted by random words instead.

Keys come from raw Philox words, which NumPy's compatibility policy freezes, so an order can be repeated years later.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from ecotone.errors import UsageError

Array = np.ndarray
SMALL = 2048  # up to here the whole order is kept
_ROUNDS = 8
_ORDER = 0x6B657965  # keeps this stream apart from others made from the same seed
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))  # splitmix64


def keyed_order(seed: int, epoch: int, n: int, positions: Array) -> Array:
    """Items at some positions of a shuffled pass.

    Args:
        seed: Not negative.
        epoch: Pass, counted from 0; each has an order of its own.
        n: Number of items.
        positions: (B,) integers within 0..n-1, in any order.

    Returns:
        (B,) int64 items; over all positions each of 0..n-1 comes once.

    Raises:
        UsageError: US104 for negative arguments or positions outside the pass.
    """
    for name, value in (("seed", seed), ("epoch", epoch), ("n", n)):
        if value < 0:
            raise UsageError("US104", name, f"must not be negative, got {value}", "give 0 or more")
    at = np.asarray(positions, dtype=np.int64)
    if at.size and (at.min() < 0 or at.max() >= n):
        raise UsageError("US104", "positions", f"outside 0..{n - 1}", "count from 0")
    if n <= SMALL:
        return _whole(seed, epoch, n)[at]
    sides, keys = _sides(n), _keys(seed, epoch)
    found = _shuffled(at.astype(np.uint64), sides, keys)
    while (beyond := found >= n).any():
        found[beyond] = _shuffled(found[beyond], sides, keys)
    return found.astype(np.int64)


def _shuffled(places: Array, sides: tuple[int, int], keys: Array) -> Array:
    """One pass of the network over places of the a x b grid."""
    a, b = (np.uint64(side) for side in sides)
    left, right = np.divmod(places, b)  # left below a, right below b
    for key in keys:
        left, right, a, b = right, (left + _hash(right, key) % a) % a, b, a
    return left * b + right


def _hash(values: Array, key: np.uint64) -> Array:
    mixed = values + key
    for shift, factor in zip((30, 27), _MIX, strict=True):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * factor
    return mixed ^ (mixed >> np.uint64(31))


def _sides(n: int) -> tuple[int, int]:
    a = math.isqrt(n - 1) + 1
    return a, -(-n // a)


@lru_cache(maxsize=64)
def _keys(seed: int, epoch: int) -> Array:
    return np.random.Philox(np.random.SeedSequence([seed, epoch, _ORDER])).random_raw(_ROUNDS)


@lru_cache(maxsize=64)
def _whole(seed: int, epoch: int, n: int) -> Array:
    words = np.random.Philox(np.random.SeedSequence([seed, epoch, n, _ORDER])).random_raw(n)
    return np.argsort(words, kind="stable")
