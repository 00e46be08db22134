import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecotone.errors import UsageError
from ecotone.train.order import batch_indices, permutation, steps_per_epoch
from ecotone.train.task import Position

SIZES = {"n": st.integers(1, 60), "batch": st.integers(1, 17), "world": st.integers(1, 5), "drop": st.booleans()}


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**62), epoch=st.integers(0, 10**6), **SIZES)
def test_an_epoch_visits_each_row_once(seed, epoch, n, batch, world, drop):
    steps = steps_per_epoch(n, batch, drop_last=drop)
    seen = []
    for step in range(steps):
        shares = [batch_indices(seed, epoch, step, n, batch, r, world, drop_last=drop) for r in range(world)]
        whole = batch_indices(seed, epoch, step, n, batch, drop_last=drop)
        together = np.concatenate(shares)
        assert sorted(together) == sorted(whole)
        assert len(set(together.tolist())) == len(together)
        assert max(map(len, shares)) - min(map(len, shares)) <= 1
        seen += whole.tolist()
    left_out = n % batch if drop else 0
    assert len(seen) == len(set(seen)) == n - left_out
    assert set(seen) <= set(range(n))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 99), epoch=st.integers(0, 99), n=st.integers(0, 200))
def test_the_order_is_a_pure_function(seed, epoch, n):
    first = permutation(seed, epoch, n).copy()
    permutation.cache_clear()
    np.random.seed(epoch)  # noqa: NPY002
    assert np.array_equal(permutation(seed, epoch, n), first)
    assert np.array_equal(np.sort(first), np.arange(n))


def test_the_order_is_the_same_for_ever():
    assert permutation(3, 1, 8).tolist() == [6, 0, 4, 2, 3, 5, 7, 1]
    assert permutation(3, 1, 8).dtype == np.int64


def test_epochs_and_seeds_differ_and_rows_move_evenly():
    orders = np.stack([permutation(s, e, 20) for s in range(20) for e in range(100)])
    assert len(np.unique(orders, axis=0)) == 2000
    counts = np.stack([np.bincount(orders[:, place], minlength=20) for place in range(20)])
    chi2 = ((counts - 100) ** 2 / 100).sum()
    assert 361 - 5 * 27 < chi2 < 361 + 5 * 27


def test_the_cached_order_cannot_be_spoilt():
    before = permutation(0, 0, 10).copy()
    batch_indices(0, 0, 0, 10, 4)[:] = 9
    assert np.array_equal(permutation(0, 0, 10), before)
    with pytest.raises(ValueError, match="read-only"):
        permutation(0, 0, 10)[0] = 9


@pytest.mark.parametrize(
    "arguments",
    [(-1, 0, 0, 5, 2), (0, -1, 0, 5, 2), (0, 0, 3, 5, 2), (0, 0, -1, 5, 2), (0, 0, 0, 5, 0), (0, 0, 0, 5, 2, 2, 2)],
)
def test_positions_that_do_not_exist(arguments):
    with pytest.raises(UsageError) as caught:
        batch_indices(*arguments)
    assert caught.value.code == "US104"


def test_a_position_knows_its_rows_and_its_noise():
    at = Position(2, 1, 7, rank=1, world=2, seed=9)
    assert at.indices(20, 6).tolist() == batch_indices(9, 2, 1, 20, 6, 1, 2).tolist()
    again, other = Position(2, 1, 7, rank=1, world=2, seed=9), Position(2, 2, 8, rank=1, world=2, seed=9)
    assert at.rng().random() == again.rng().random() != other.rng().random()
