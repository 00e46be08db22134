"""Penalties against the published tables, lookup tables against plain features, problems against what they stand for."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from ecotone.data.features import FeatureMap
from ecotone.errors import InputError
from ecotone.systems.maxent.assemble import Sites, Variant, bootstrap_counts, solve_variants
from ecotone.systems.maxent.config import Config
from ecotone.systems.maxent.lookup import Lookup
from ecotone.systems.maxent.regularisation import feature_classes, penalties

NAMES = ("heat", "rain", "flat", "soil")
LEVELS = {"soil": (1, 2, 5)}
EVERY = ("linear", "quadratic", "product", "hinge", "threshold")


def covariates(n=300, seed=0):
    rng = np.random.default_rng(seed)
    return np.column_stack(
        [rng.normal(20, 5, n), rng.gamma(2, 300, n).round(-2), np.full(n, 7.0), rng.choice([1, 2, 5], n)]
    )


# ------------------------------------------------------------------------------------------- penalties
def test_classes_by_number_of_records():
    assert feature_classes(9) == ("linear", "categorical")
    assert feature_classes(10) == ("linear", "quadratic", "categorical")
    assert feature_classes(15) == feature_classes(79.5) == ("linear", "quadratic", "hinge", "categorical")
    assert "product" in feature_classes(80)


@pytest.mark.parametrize("n", [1, 2, 8, 20, 50, 300])
@pytest.mark.parametrize("kinds", [("linear",), ("linear", "quadratic", "hinge"), EVERY])
def test_penalties_written_out(n, kinds):
    """One feature at a time, plain numpy, with the tables typed again."""
    x = covariates()
    features = FeatureMap.fit(x, NAMES, levels=LEVELS, kinds=kinds, hinges=4, thresholds=3)
    values = features.transform(x)
    rng = np.random.default_rng(n)
    rows = rng.integers(0, 300, n)
    counts = sparse.csr_array(np.bincount(rows, minlength=300)[None].astype(float))
    spread = values.max(0) - values.min(0)
    allowed = np.ones((1, values.shape[1]), bool)
    found = penalties(counts, values, features.feature_kinds, allowed, spread=spread, multiplier=1.5)[0]
    lqp = {
        "linear": np.interp(n, [0, 10, 30, 100], [1, 1, 0.2, 0.05]),
        "quadratic": np.interp(n, [0, 10, 17, 30, 100], [1.3, 0.8, 0.5, 0.25, 0.05]),
        "product": np.interp(n, [0, 10, 17, 30, 100], [2.6, 1.6, 0.9, 0.55, 0.05]),
    }["product" if "product" in kinds else "quadratic" if "quadratic" in kinds else "linear"]
    table = {"hinge": 0.5, "threshold": np.interp(n, [0, 100], [2, 1])}
    table["categorical"] = np.interp(n, [0, 10, 17], [0.65, 0.5, 0.25])
    for k, kind in enumerate(features.feature_kinds):
        own = values[rows, k].astype(float)
        sd = own.std(ddof=1) if n > 1 else 0.0
        expected = max(table.get(kind, lqp) / np.sqrt(n) * sd, 0.001 * spread[k])
        if kind == "hinge":
            expected = max(expected, 0.5 * max(sd, 1 / np.sqrt(n)) / np.sqrt(n))
        if kind == "threshold" and len(set(own)) == 1:
            expected = max(expected, 1.0)
        assert found[k] == pytest.approx(1.5 * expected, rel=1e-5, abs=1e-9), features.names[k]


def test_penalties_are_those_of_elapid():
    compute = pytest.importorskip("elapid.features").compute_regularization
    x = covariates()[:, :2]
    features = FeatureMap.fit(x, NAMES[:2], kinds=("linear", "quadratic", "hinge"), hinges=4)
    values = features.transform(x).astype(float)
    own = np.random.default_rng(0).permutation(300)[:40]
    y = np.r_[np.ones(40), np.zeros(300)]
    expected = compute(y, np.r_[values[own], values], list(features.feature_kinds), beta_multiplier=2.0)
    counts = sparse.csr_array(np.bincount(own, minlength=300)[None].astype(float))
    spread = np.ptp(values, axis=0)
    allowed = np.ones((1, values.shape[1]), bool)
    found = penalties(counts, values, features.feature_kinds, allowed, spread=spread, multiplier=2.0)
    np.testing.assert_allclose(found[0], expected, rtol=1e-5)


def test_what_does_not_vary_is_left_out():
    values = np.column_stack([np.arange(6.0), np.full(6, 3.0)])
    found = penalties(
        sparse.csr_array(np.eye(6)[:1]),
        values,
        ("linear", "categorical"),
        np.ones((1, 2), bool),
        spread=np.ptp(values, axis=0),
    )
    assert np.isfinite(found).tolist() == [[True, False]]


# ------------------------------------------------------------------------------------------- lookup
@pytest.mark.parametrize("clamp", [False, True])
@pytest.mark.parametrize("placement", ["even", "quantile"])
def test_tables_give_what_features_times_coefficients_give(clamp, placement):
    features = FeatureMap.fit(
        covariates(), NAMES, levels=LEVELS, kinds=EVERY, hinges=7, thresholds=5, placement=placement, clamp=clamp
    )
    rng = np.random.default_rng(1)
    beta = rng.normal(size=(4, len(features.names))) * (rng.random((4, len(features.names))) < 0.5)
    x = covariates(200, seed=2)
    x[:, :2] = (x[:, :2] - [20, 600]) * 3 + [20, 600]  # far outside, too
    slow = features.transform(x).astype(float) @ beta.T
    lookup = Lookup.build(features, beta)
    fast = lookup.evaluate(x)
    np.testing.assert_allclose(fast, slow, rtol=1e-4, atol=1e-4)
    # at the knots themselves
    edge = x[: features.hinges + 1].copy()
    edge[:, 0] = features.hinge_knots(0) * features.scale[0] + features.mean[0]
    np.testing.assert_allclose(lookup.evaluate(edge), features.transform(edge).astype(float) @ beta.T, atol=1e-4)
    order = rng.permutation(200)
    np.testing.assert_array_equal(lookup.evaluate(x[order]), fast[order])
    np.testing.assert_array_equal(np.concatenate([lookup.evaluate(x[[i]]) for i in range(5)]), fast[:5])


def test_pieces_and_no_features(monkeypatch):
    import ecotone.systems.maxent.lookup as module

    features = FeatureMap.fit(covariates(), NAMES, levels=LEVELS, kinds=("hinge",), hinges=3)
    beta = np.random.default_rng(0).normal(size=(2, len(features.names)))
    x = covariates(50, seed=3)
    whole = Lookup.build(features, beta).evaluate(x)
    monkeypatch.setattr(module, "PIECE", 7)
    np.testing.assert_array_equal(Lookup.build(features, beta).evaluate(x), whole)
    assert (Lookup.build(features, 0 * beta).evaluate(x) == 0).all()
    x[0, 3] = 9
    with pytest.raises(InputError, match="soil: category 9") as caught:
        Lookup.build(features, beta).evaluate(x)
    assert caught.value.code == "DA402"
    baseline = Lookup.build(features, beta).evaluate(x, unseen="baseline")
    slow = features.transform(x, unseen="baseline") @ beta.T
    np.testing.assert_allclose(baseline, slow, atol=1e-5)


# ------------------------------------------------------------------------------------------- problems
def material(seed=0, n=60, u=150, s=3):
    rng = np.random.default_rng(seed)
    x, cells = rng.normal(size=(n, 2)), rng.normal(size=(u, 2)) * 1.5
    counts = rng.poisson(np.exp(x @ rng.normal(size=(2, s))) * 0.5)
    counts[np.arange(s), np.arange(s)] += 1
    return Sites(x, sparse.csr_array(counts.astype(np.float32)), np.zeros(n), cells, np.zeros(u))


def test_variants_in_one_batch_are_those_alone():
    sites = material()
    features = FeatureMap.fit(sites.cells, ("a", "b"), kinds=("linear", "quadratic"))
    config = Config(features=("linear", "quadratic"), tolerance=1e-10)
    variants = [
        Variant(1.0),
        Variant(0.0),
        Variant(0.3),
        Variant(1.0, hidden="a"),
        Variant(1.0, rows=np.arange(30)),
        Variant(1.0, counts=bootstrap_counts(sites.counts, np.random.default_rng(0))),
    ]
    together = solve_variants(sites, variants, features, config).beta.reshape(6, 3, -1)
    for v, variant in enumerate(variants):
        alone = solve_variants(sites, [variant], features, config).beta
        np.testing.assert_allclose(together[v], alone, atol=1e-5)
    hidden = ["a" in owner for owner in features.owners]
    assert (together[3][:, hidden] == 0).all()
    assert (together[0][:, hidden] != 0).any()
    fewer = Sites(sites.covariates[:30], sites.counts[:30], np.zeros(30), sites.cells, np.zeros(150))
    np.testing.assert_allclose(together[4], solve_variants(fewer, [Variant(1.0)], features, config).beta, atol=1e-5)


def test_a_presence_already_among_the_cells_is_not_added():
    """Putting a species' sites among the cells is what adding them does, up to the weight of one site."""
    sites = material(s=1)
    features = FeatureMap.fit(sites.cells, ("a", "b"))
    config = Config(features=("linear",), tolerance=1e-12)
    present = np.flatnonzero(sites.counts.toarray()[:, 0])
    joined = np.concatenate([sites.cells, sites.covariates[present]])
    inside = Sites(sites.covariates, sites.counts, sites.log_weight, joined, np.zeros(len(joined)))
    one = solve_variants(sites, [Variant(1.0)], features, config)
    other = solve_variants(inside, [Variant(1.0)], features, config)
    np.testing.assert_allclose(one.beta, other.beta, atol=1e-4)


def test_bootstrap_keeps_numbers_and_sites():
    sites = material()
    drawn = bootstrap_counts(sites.counts, np.random.default_rng(0))
    np.testing.assert_allclose(np.asarray(drawn.sum(0)), np.asarray(sites.counts.sum(0)), rtol=1e-6)
    assert not ((drawn.toarray() > 0) & (sites.counts.toarray() == 0)).any()
    assert (drawn.toarray() != sites.counts.toarray()).any()
    half = bootstrap_counts(sparse.csr_array(sites.counts * 0.25), np.random.default_rng(0))
    np.testing.assert_allclose(np.asarray(half.sum(0)), 0.25 * np.asarray(sites.counts.sum(0)), rtol=1e-6)
