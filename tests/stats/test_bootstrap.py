"""Bootstrap against a plain rewrite, theory and simulated coverage."""

from __future__ import annotations

import numpy as np
import pytest

from ecotone.errors import InputError, UsageError
from ecotone.stats.bootstrap import Interval, bootstrap, paired_bootstrap


def mean_of(values, axis):
    """The mean, but not by the fast path."""
    return np.mean(values, axis=axis)


@pytest.fixture
def values():
    return np.random.default_rng(0).normal(5, 2, 80)


def test_same_seed_same_interval(values):
    assert bootstrap(values, seed=3) == bootstrap(values, seed=3)
    assert bootstrap(values, seed=3) != bootstrap(values, seed=4)


def test_width_follows_theory(values):
    found = bootstrap(values, n=4000)
    half = 1.96 * values.std() / np.sqrt(80)
    assert found.estimate == values.mean()
    assert found.n == 80
    assert found.high - found.low == pytest.approx(2 * half, rel=0.06)


@pytest.mark.parametrize("grouping", [{}, {"clusters": np.arange(80) % 11}, {"strata": np.arange(80) % 3}])
@pytest.mark.parametrize("across", ["equal", "pooled"])
def test_fast_mean_equals_general_route(values, grouping, across):
    fast = bootstrap(values, n=300, across=across, **grouping)
    slow = bootstrap(values, mean_of, n=300, across=across, **grouping)
    assert (fast.estimate, fast.low, fast.high) == pytest.approx((slow.estimate, slow.low, slow.high), abs=1e-12)


def test_plain_rewrite_with_clusters_in_strata(values):
    clusters, strata = np.arange(80) % 12, (np.arange(80) % 12) // 4
    streams = np.random.default_rng(7).spawn(3)
    draws = np.zeros(200)
    for k, rng in enumerate(streams):
        names = np.unique(clusters[strata == k])
        for b, picked in enumerate(rng.integers(len(names), size=(200, len(names)))):
            draws[b] += np.concatenate([values[clusters == names[p]] for p in picked]).mean() / 3
    found = bootstrap(values, n=200, seed=7, clusters=clusters, strata=strata)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(draws, [0.025, 0.975])), abs=1e-12)
    assert found.estimate == pytest.approx(np.mean([values[strata == k].mean() for k in range(3)]))


def test_slabs_do_not_change_anything(values, monkeypatch):
    whole = bootstrap(values, n=100)
    monkeypatch.setattr("ecotone.stats.bootstrap._AT_ONCE", 500)
    assert bootstrap(values, n=100) == whole


def test_shift_scale_and_names(values):
    found, moved = bootstrap(values), bootstrap(3 * values + 1)
    assert (moved.low, moved.high) == pytest.approx((3 * found.low + 1, 3 * found.high + 1))
    regions = np.array(["b", "a", "c", "a"] * 20)
    renamed = np.array([{"a": 0, "b": 1, "c": 2}[r] for r in regions])
    assert bootstrap(values, strata=regions) == bootstrap(values, strata=renamed)


def test_duplicated_values_in_clusters_add_nothing(values):
    alone = bootstrap(values, clusters=np.arange(80))
    twice = bootstrap(np.repeat(values, 2), clusters=np.repeat(np.arange(80), 2))
    assert (twice.low, twice.high) == pytest.approx((alone.low, alone.high))
    assert twice.n == 160
    naive = bootstrap(np.repeat(values, 2))
    assert naive.high - naive.low < 0.85 * (twice.high - twice.low)


def test_other_statistics(values):
    found = bootstrap(values, np.median)
    assert found.low < found.estimate == np.median(values) < found.high


def test_missing_values_are_left_out(values):
    holes = values.copy()
    holes[::4] = np.nan
    assert bootstrap(holes) == bootstrap(holes[~np.isnan(holes)])
    nothing = bootstrap(np.full(3, np.nan))
    assert nothing.n == 0
    assert np.isnan([nothing.estimate, nothing.low, nothing.high]).all()


def test_pairing_narrows_the_interval():
    rng = np.random.default_rng(0)
    region = np.repeat(np.arange(4), [5, 50, 20, 30])
    hard = rng.normal(0.7, 0.1, region.size)
    a, b = hard + 0.02 + rng.normal(0, 0.01, region.size), hard
    found = paired_bootstrap(a, b, strata=region)
    assert found.estimate == pytest.approx(np.mean([(a - b)[region == k].mean() for k in range(4)]))
    assert 0 < found.low < found.estimate < found.high < 0.04
    swapped = paired_bootstrap(b, a, strata=region)
    assert (swapped.low, swapped.high) == pytest.approx((-found.high, -found.low))
    pooled = paired_bootstrap(a, b, strata=region, across="pooled")
    assert pooled.estimate == pytest.approx((a - b).mean())
    a[3] = np.nan
    assert paired_bootstrap(a, b, strata=region).n == region.size - 1


def test_coverage():
    rng = np.random.default_rng(11)
    inside = clustered = naive = 0
    for k in range(200):
        found = bootstrap(rng.gamma(4.0, 1.0, 60), n=500, seed=k)
        inside += found.low <= 4.0 <= found.high
        groups = np.repeat(np.arange(30), 8)
        data = rng.normal(0, 1, 30)[groups] + rng.normal(0, 1, 240)
        found = bootstrap(data, n=500, seed=k, clusters=groups)
        clustered += found.low <= 0 <= found.high
        found = bootstrap(data, n=500, seed=k)
        naive += found.low <= 0 <= found.high
    assert 0.89 <= inside / 200 <= 0.99
    assert 0.87 <= clustered / 200 <= 0.99
    assert naive / 200 < 0.8


def test_to_score():
    score = Interval(0.5, 0.4, 0.6, 9).to_score()
    assert (score.value, score.low, score.high, score.n) == (0.5, 0.4, 0.6, 9)


def test_refusals(values):
    for kwargs in ({"n": 0}, {"level": 1.0}, {"across": "both"}):
        with pytest.raises(UsageError):
            bootstrap(values, **kwargs)
    for kwargs in ({"strata": np.zeros(3)}, {"clusters": np.zeros(3)}):
        with pytest.raises(InputError):
            bootstrap(values, **kwargs)
    with pytest.raises(InputError):
        paired_bootstrap(values, values[:-1])
    with pytest.raises(InputError):
        bootstrap(values.reshape(2, 40))
