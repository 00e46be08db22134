"""The constant-memory order is a permutation, its own for each seed and epoch, and uniform."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from ecotone.errors import UsageError
from ecotone.stats.keyed_order import keyed_order

SIZES = [1, 2, 3, 7, 64, 1000, 1023, 1024, 2048, 2049, 2050, 4096, 4099, 10_007, 65_536, 65_537, 100_003]


def whole(seed, epoch, n):
    return keyed_order(seed, epoch, n, np.arange(n))


@pytest.mark.parametrize("n", SIZES)
def test_every_item_comes_once(n):
    for epoch in range(3):
        order = whole(5, epoch, n)
        assert order.dtype == np.int64
        np.testing.assert_array_equal(np.sort(order), np.arange(n))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**62), st.integers(0, 2**40), st.integers(1, 30_000))
def test_it_is_a_permutation_for_any_size(seed, epoch, n):
    assert np.bincount(whole(seed, epoch, n), minlength=n).max() == 1


def test_a_huge_pass_needs_no_memory():
    n = 10**15
    tracemalloc.start()
    items = keyed_order(1, 2, n, np.array([0, 1, n // 2, n - 1]))
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()
    assert len(set(items.tolist())) == 4
    assert ((items >= 0) & (items < n)).all()


@pytest.mark.parametrize("n", [50, 5000])
def test_the_answer_depends_on_the_arguments_alone(n):
    order = whole(3, 1, n)
    asked = np.random.default_rng(0).integers(0, n, 200)
    np.testing.assert_array_equal(keyed_order(3, 1, n, asked), order[asked])
    for seed, epoch in ((3, 0), (4, 1), (1, 3)):
        assert (whole(seed, epoch, n) != order).mean() > 0.9


@pytest.mark.parametrize("n", [7, 97, 3000])
def test_items_are_uniform_over_positions_and_pairs_are_independent(n):
    """Chi-square over 1,000 passes: position of three items in 8 equal parts, and of two items together in 4 x 4."""
    passes, parts = 1000, min(8, n)
    asked = np.array([0, n // 2, n - 1])
    items = np.array([keyed_order(11, e, n, asked) for e in range(passes)])
    cut = np.array([len(p) for p in np.array_split(np.arange(n), parts)])
    owner = np.repeat(np.arange(parts), cut)
    for column in items.T:
        seen = np.bincount(owner[column], minlength=parts)
        expected = passes * cut / n
        assert ((seen - expected) ** 2 / expected).sum() < chi2.ppf(1 - 1e-4, parts - 1)
    if n > 100:
        table = np.zeros((4, 4))
        np.add.at(table, (items[:, 0] * 4 // n, items[:, 1] * 4 // n), 1)
        assert ((table - passes / 16) ** 2 / (passes / 16)).sum() < chi2.ppf(1 - 1e-4, 15)


def test_neighbours_are_torn_apart():
    order = whole(2, 0, 50_000)
    assert abs(np.corrcoef(order[:-1], order[1:])[0, 1]) < 0.02
    assert (np.diff(order) == 1).sum() < 10
    fixed = sum((whole(2, e, 5000) == np.arange(5000)).sum() for e in range(100))
    assert 60 < fixed < 145  # one fixed point a pass on average


def test_frozen_values():
    """A run can be repeated years later."""
    assert keyed_order(1, 2, 10, np.arange(10)).tolist() == [4, 1, 6, 7, 3, 2, 9, 0, 8, 5]
    assert keyed_order(1, 2, 1_000_000, np.arange(4)).tolist() == [446445, 854035, 891656, 15840]


@pytest.mark.parametrize("bad", [(-1, 0, 5, [0]), (0, -1, 5, [0]), (0, 0, -5, []), (0, 0, 5, [5]), (0, 0, 5000, [-1])])
def test_impossible_arguments_are_refused(bad):
    with pytest.raises(UsageError) as caught:
        keyed_order(*bad[:3], np.array(bad[3], dtype=int))
    assert caught.value.code == "US104"
