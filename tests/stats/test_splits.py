"""Splits: every fold is used, neighbours stay together, rows may come in any order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecotone.errors import InputError, UsageError
from ecotone.stats.splits import block_ids, random_folds, spatial_blocks


@pytest.fixture
def sites():
    rng = np.random.default_rng(2)
    return rng.uniform(0, 1000, 600), rng.uniform(0, 700, 600)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 8), st.booleans(), st.integers(30, 200))
def test_every_fold_has_test_and_training_sites(seed, folds, clustered, n):
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(0, 10, n), rng.uniform(0, 10, n)
    if clustered:
        x, y = x**6, y**6
    fold = spatial_blocks(x, y, folds=folds, seed=seed, balance=rng.integers(0, 2, n))
    assert set(fold) == set(range(folds))


def test_blocks_stay_whole_and_are_square(sites):
    x, y = sites
    block = block_ids(x, y, size=100.0, seed=4)
    fold = spatial_blocks(x, y, size=100.0, seed=4)
    assert len({(b, f) for b, f in zip(block, fold)}) == block.max() + 1
    for b in range(block.max() + 1):
        assert max(np.ptp(x[block == b]), np.ptp(y[block == b])) <= 100.0


def test_slow_rewrite_of_blocks(sites):
    x, y = sites
    shift = np.random.default_rng([4, 0]).random(2)
    cells = [(np.floor((b - y.min()) / 90 + shift[1]), np.floor((a - x.min()) / 90 + shift[0])) for a, b in zip(x, y)]
    numbers = {cell: k for k, cell in enumerate(sorted(set(cells)))}
    np.testing.assert_array_equal(block_ids(x, y, size=90, seed=4), [numbers[c] for c in cells])


def test_order_of_rows_does_not_matter(sites):
    x, y = sites
    weight = np.random.default_rng(0).random(600)
    order = np.random.default_rng(1).permutation(600)
    fold = spatial_blocks(x, y, seed=3, balance=weight)
    np.testing.assert_array_equal(spatial_blocks(x[order], y[order], seed=3, balance=weight[order]), fold[order])


def test_seed_moves_the_blocks(sites):
    np.testing.assert_array_equal(spatial_blocks(*sites, seed=1), spatial_blocks(*sites, seed=1))
    assert (spatial_blocks(*sites, seed=1) != spatial_blocks(*sites, seed=2)).any()
    assert (block_ids(*sites, seed=1) != block_ids(*sites, seed=2)).any()


def test_balance_evens_out_weights(sites):
    weight = np.random.default_rng(0).pareto(2.0, 600)
    fold = spatial_blocks(*sites, size=90.0, balance=weight)
    load = np.bincount(fold, weights=weight)
    assert load.max() / load.min() < 1.3
    sizes = np.bincount(spatial_blocks(*sites, size=90.0))
    assert sizes.max() - sizes.min() <= 12


def test_shape_divides_the_extent(sites):
    x, y = sites
    block = block_ids(x, y, shape=(5, 5))
    assert block.max() == 24
    row = np.minimum((y - y.min()) / np.ptp(y) * 5, 4).astype(int)
    column = np.minimum((x - x.min()) / np.ptp(x) * 5, 4).astype(int)
    np.testing.assert_array_equal(block, row * 5 + column)


def test_geographic_blocks():
    rng = np.random.default_rng(0)
    lon, lat = rng.uniform(0, 10, 3000), rng.uniform(58, 62, 3000)
    block = block_ids(lon, lat, size=1.0, geographic=True)
    widths = [np.ptp(lon[block == b]) for b in range(block.max() + 1)]
    assert 1.7 < max(widths) <= 2.0 + 1e-9  # one degree of latitude is two of longitude at 60 north
    across = np.where(lon > 5, lon - 5 - 180, lon + 175)
    np.testing.assert_array_equal(
        spatial_blocks(across, lat, size=1.0, geographic=True), spatial_blocks(lon, lat, size=1.0, geographic=True)
    )


def test_blocks_hold_neighbours_together(sites):
    x, y = sites
    d = np.hypot(x[:, None] - x, y[:, None] - y) + np.diag(np.full(600, np.inf))
    near = d.argmin(axis=1)
    together = (spatial_blocks(x, y) == spatial_blocks(x, y)[near]).mean()
    assert together > 0.75 > 0.3 > (random_folds(600) == random_folds(600)[near]).mean()


def test_random_folds():
    fold = random_folds(103, folds=5, seed=1)
    sizes = np.bincount(fold)
    assert sizes.tolist() == [21, 21, 21, 20, 20]
    assert (fold != random_folds(103, folds=5, seed=2)).any()
    with pytest.raises(InputError):
        random_folds(3, folds=5)


@pytest.mark.parametrize(
    ("change", "kind", "code"),
    [
        ({"size": 5000.0, "folds": 9}, InputError, "OC205"),
        ({"size": -1.0}, UsageError, "US104"),
        ({"size": "large"}, UsageError, "US104"),
        ({"size": 1e-12}, UsageError, "US104"),
        ({"shape": (0, 3)}, UsageError, "US104"),
        ({"shape": (2, 3), "size": 4.0}, UsageError, "US105"),
        ({"folds": 1}, UsageError, "US104"),
        ({"geographic": True}, InputError, "OC203"),
        ({"balance": np.ones(3)}, InputError, "DA404"),
        ({"balance": np.full(600, np.nan)}, InputError, "DA403"),
    ],
)
def test_refusals(sites, change, kind, code):
    with pytest.raises(kind) as error:
        spatial_blocks(*sites, **change)
    assert error.value.code == code


def test_unusable_coordinates():
    with pytest.raises(InputError, match="finite"):
        spatial_blocks(np.array([0.0, np.nan]), np.zeros(2))
    with pytest.raises(InputError):
        spatial_blocks(np.zeros(3), np.zeros(2))
    with pytest.raises(InputError, match="too few"):
        spatial_blocks(np.zeros(50), np.zeros(50))


def test_sites_on_a_line():
    fold = spatial_blocks(np.linspace(0, 10, 100), np.zeros(100))
    assert set(fold) == set(range(5))
