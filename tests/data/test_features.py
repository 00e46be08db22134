"""Every feature kind against its formula written out slowly, and the properties the transform promises."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ecotone.data.features import KINDS, FeatureMap
from ecotone.errors import InputError, UsageError

NAMES = ("heat", "rain", "soil")
LEVELS = {"soil": (1, 2, 5)}


@pytest.fixture
def background():
    rng = np.random.default_rng(0)
    return np.column_stack([rng.normal(20, 5, 300), rng.gamma(2, 300, 300), rng.choice([1, 2, 5], 300)])


def column(features, x, name):
    return features.transform(x)[:, features.names.index(name)].astype(float)


# ------------------------------------------------------------------------------------------- one kind at a time
def test_linear_is_standardised_on_the_background(background):
    features = FeatureMap.fit(background, NAMES, levels=LEVELS)
    assert features.names == ("heat", "rain", "soil=1", "soil=2", "soil=5")
    x = background[:50] + 3
    x[:, 2] = 5
    for i, name in enumerate(NAMES[:2]):
        mean = sum(background[:, i]) / 300
        sd = (sum((v - mean) ** 2 for v in background[:, i]) / 300) ** 0.5
        np.testing.assert_allclose(column(features, x, name), (x[:, i] - mean) / sd, rtol=1e-6, atol=1e-6)
    values = features.transform(background)
    assert values.dtype == np.float32
    np.testing.assert_allclose(values[:, :2].mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(values[:, :2].std(0), 1, rtol=1e-6)


def test_weights_enter_mean_and_deviation(background):
    times = np.random.default_rng(1).integers(1, 4, 300)
    weighted = FeatureMap.fit(background, NAMES, levels=LEVELS, weights=times)
    repeated = FeatureMap.fit(np.repeat(background, times, axis=0), NAMES, levels=LEVELS)
    np.testing.assert_allclose(weighted.mean, repeated.mean)
    np.testing.assert_allclose(weighted.scale, repeated.scale)


def test_quadratic_and_product(background):
    features = FeatureMap.fit(background, ("a", "b", "c"), kinds=("linear", "quadratic", "product"))
    z = {n: column(features, background, n) for n in "abc"}
    for n in "abc":
        np.testing.assert_allclose(column(features, background, f"{n}^2"), z[n] ** 2, rtol=1e-5, atol=1e-6)
    for one, other in ("ab", "ac", "bc"):
        np.testing.assert_allclose(
            column(features, background, f"{one}*{other}"), z[one] * z[other], rtol=1e-5, atol=1e-6
        )


def maxnet_hinge(x, low, high):
    """hingeval of maxnet: 0 at `low`, 1 at `high`, clipped."""
    return min(1.0, max(0.0, (x - low) / (high - low)))


def test_hinges_are_those_of_maxnet(background):
    """Forward hinges rise from a knot to the maximum; the reverse ones are 1 - maxnet's, which rise from the minimum."""
    features = FeatureMap.fit(background, NAMES, levels=LEVELS, kinds=("hinge",), hinges=7)
    assert len(features.names) == 2 * 2 * 7 + 3
    x = np.array([[v, 500.0, 1] for v in np.linspace(-10, 60, 41)])
    low, high = background[:, 0].min(), background[:, 0].max()
    knots = [low + k * (high - low) / 7 for k in range(8)]
    for k in range(7):
        forward = [maxnet_hinge(v, knots[k], high) for v in x[:, 0]]
        reverse = [1 - maxnet_hinge(v, low, knots[k + 1]) for v in x[:, 0]]
        np.testing.assert_allclose(column(features, x, f"hinge {k + 1} heat"), forward, atol=1e-6)
        np.testing.assert_allclose(column(features, x, f"reverse hinge {k + 1} heat"), reverse, atol=1e-6)


def test_quantile_is_the_rank_with_unit_variance(background):
    features = FeatureMap.fit(background, NAMES, levels=LEVELS, kinds=("quantile",), knots=300)
    rank = column(features, background, "rank(rain)")
    slow = np.array([np.sum(background[:, 1] < v) for v in background[:, 1]]) / 299
    np.testing.assert_allclose(rank, np.sqrt(12) * (slow - 0.5), atol=1e-5)
    assert abs(rank.std() - 1) < 0.01
    extremes = np.array([[20.0, -1e6, 1], [20.0, 1e6, 1]])
    np.testing.assert_allclose(column(features, extremes, "rank(rain)"), [-np.sqrt(3), np.sqrt(3)], rtol=1e-6)


def test_ties_share_their_mean_rank():
    """A covariate that is 0 in half of the cells: 0 gets the middle of the ranks it takes up, not one end of them."""
    values = np.r_[np.zeros(50), np.arange(1, 51)].astype(float)
    features = FeatureMap.fit(values[:, None], ["snow"], kinds=("quantile",), knots=100)
    rank = column(features, values[:, None], "rank(snow)") / np.sqrt(12) + 0.5
    np.testing.assert_allclose(rank[:50], 24.5 / 99, atol=1e-6)
    np.testing.assert_allclose(rank[50:], np.arange(50, 100) / 99, atol=1e-6)
    assert abs(rank.mean() - 0.5) < 1e-6
    between = column(features, np.array([[0.5]]), "rank(snow)") / np.sqrt(12) + 0.5
    assert rank[0] < between[0] < rank[50]


def test_one_hot(background):
    features = FeatureMap.fit(background, NAMES, levels=LEVELS)
    for level in LEVELS["soil"]:
        np.testing.assert_array_equal(column(features, background, f"soil={level}"), background[:, 2] == level)


def test_kinds_come_in_one_order_whatever_was_asked(background):
    one = FeatureMap.fit(background, NAMES, levels=LEVELS, kinds=("hinge", "linear", "product"))
    other = FeatureMap.fit(background, NAMES, levels=LEVELS, kinds=("product", "hinge", "linear"))
    assert one.names == other.names
    assert one.kinds == ("linear", "product", "hinge")


# ------------------------------------------------------------------------------------------- promises
@pytest.mark.parametrize("kinds", [(k,) for k in KINDS] + [KINDS, ()])
def test_names_owners_and_columns_agree(background, kinds):
    features = FeatureMap.fit(background, NAMES, levels=LEVELS, kinds=kinds, hinges=3)
    x = background[:20]
    values = features.transform(x)
    assert values.shape == (20, len(features.names)) == (20, len(features.owners))
    assert len(set(features.names)) == len(features.names)
    for p, name in enumerate(NAMES):  # a feature changes only with its owners
        moved = x.copy()
        moved[:, p] = x[::-1, p]
        changed = (features.transform(moved) != values).any(0)
        assert {o for o, c in zip(features.owners, changed, strict=True) if c} <= {
            o for o in features.owners if name in o
        }


@pytest.mark.parametrize("kinds", [("linear",), KINDS])
def test_a_stored_map_is_the_same_to_the_last_bit(background, kinds):
    features = FeatureMap.fit(background, NAMES, levels=LEVELS, kinds=kinds, hinges=4)
    again = FeatureMap.from_dict(json.loads(json.dumps(features.to_dict(), allow_nan=False)))
    assert again.names == features.names
    assert again.to_dict() == features.to_dict()
    np.testing.assert_array_equal(again.transform(background), features.transform(background))


def test_constant_covariates_make_no_feature(background):
    x = np.column_stack([background[:, :2], np.full(300, 7.25), background[:, 2]])
    names = ("heat", "rain", "flat", "soil")
    features = FeatureMap.fit(x, names, levels=LEVELS, kinds=KINDS, hinges=2)
    assert features.constant == ("flat",)
    assert not any("flat" in owner for owner in features.owners)
    x[:, 2] = 1e9  # whatever it holds later has no say
    without = FeatureMap.fit(background, NAMES, levels=LEVELS, kinds=KINDS, hinges=2)
    np.testing.assert_array_equal(features.transform(x), without.transform(background))
    again = FeatureMap.from_dict(features.to_dict())
    np.testing.assert_array_equal(again.transform(x), features.transform(x))


def test_unseen_categories(background):
    features = FeatureMap.fit(background, NAMES, levels=LEVELS)
    x = background[:3].copy()
    x[1, 2] = 4
    with pytest.raises(InputError, match="category 4 was not seen") as caught:
        features.transform(x)
    assert caught.value.code == "DA402"
    assert caught.value.where == "soil"
    assert (features.transform(x, unseen="baseline")[1, 2:] == 0).all()
    x[1, 2] = 1.5
    with pytest.raises(InputError, match=r"category 1\.5"):
        features.transform(x)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_located(background, bad):
    features = FeatureMap.fit(background, NAMES, levels=LEVELS)
    x = background.copy()
    x[17, 1] = bad
    for call in (lambda: features.transform(x), lambda: FeatureMap.fit(x, NAMES, levels=LEVELS)):
        with pytest.raises(InputError, match="row 17, column 1") as caught:
            call()
        assert caught.value.code == "DA403"


def test_mistakes_are_named(background):
    with pytest.raises(UsageError, match="did you mean 'hinge'") as caught:
        FeatureMap.fit(background, NAMES, kinds=("hinges",))
    assert caught.value.code == "US101"
    with pytest.raises(UsageError, match="did you mean 'soil'"):
        FeatureMap.fit(background, NAMES, levels={"soill": (1,)})
    with pytest.raises(InputError, match="names several covariates"):
        FeatureMap.fit(background, ("a", "b", "a"))
    features = FeatureMap.fit(background, NAMES, levels=LEVELS)
    for wrong in (background[:, :2], background[0]):
        with pytest.raises(InputError) as caught:
            features.transform(wrong)
        assert caught.value.code == "DA404"


@pytest.mark.parametrize(
    "change",
    [
        {"mean": [0.0]},
        {"scale": [1.0, 0.0]},
        {"scale": [1.0, float("nan")]},
        {"quantiles": [[float("inf")], [0.0]]},
        {"kinds": ["cubic"]},
        {"hinges": 0},
        {"hinges": 10**9},
        {"constant": ["other"]},
        {"levels": {"other": [1]}},
        {"levels": None},
    ],
)
def test_a_damaged_map_is_refused(background, change):
    stored = FeatureMap.fit(background, NAMES, levels=LEVELS).to_dict()
    with pytest.raises(InputError) as caught:
        FeatureMap.from_dict(stored | change)
    assert caught.value.code == "DA404"


# ------------------------------------------------------------------------------------------- properties
@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(-30, 30), min_size=8, max_size=60),
    st.sampled_from([lambda v: 3 * v - 7, lambda v: v**3, np.arctan, lambda v: np.exp(v / 8)]),
)
def test_ranks_do_not_depend_on_the_scale_of_a_covariate(values, rising):
    """Any rising transformation of a covariate leaves its rank feature at the background's own values unchanged."""
    x = np.array(values, float)
    assume(len(np.unique(x)) > 1)
    one = FeatureMap.fit(x[:, None], ["x"], kinds=("quantile",)).transform(x[:, None])
    y = rising(x)
    other = FeatureMap.fit(y[:, None], ["x"], kinds=("quantile",)).transform(y[:, None])
    np.testing.assert_allclose(one, other, atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=3, max_size=40), st.integers(2, 64))
def test_ranks_and_hinges_are_monotone_and_bounded(values, knots):
    x = np.array(values)
    assume(np.ptp(x) > 1e-3 * (1 + np.abs(x).max()))
    features = FeatureMap.fit(x[:, None], ["x"], kinds=("quantile", "hinge"), hinges=3, knots=knots)
    grid = np.sort(np.r_[x, np.linspace(x.min() - 10, x.max() + 10, 50)])
    made = features.transform(grid[:, None]).astype(float)
    rank, forward, reverse = made[:, 0], made[:, 1:4], made[:, 4:]
    assert (np.diff(rank) >= -1e-6).all()
    assert np.abs(rank).max() <= np.sqrt(3) + 1e-6
    assert (np.diff(forward, axis=0) >= 0).all()
    assert (np.diff(reverse, axis=0) <= 0).all()
    assert made[:, 1:].min() >= 0
    assert made[:, 1:].max() <= 1


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.permutations([0, 1]))
def test_rows_do_not_influence_each_other(seed, order):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(30, 2))
    features = FeatureMap.fit(x, ["a", "b"], kinds=KINDS, hinges=2)
    rows = rng.permutation(30)
    np.testing.assert_array_equal(features.transform(x)[rows], features.transform(x[rows]))
    shuffled = FeatureMap.fit(x[:, order], [["a", "b"][i] for i in order], kinds=("linear", "quadratic"))
    np.testing.assert_array_equal(
        column(shuffled, x[:, order], "b^2"), column(FeatureMap.fit(x, ["a", "b"], kinds=KINDS), x, "b^2")
    )


# ------------------------------------------------------------------------------------------- thresholds, knots, clamping
def test_thresholds_are_steps_inside_the_range(background):
    features = FeatureMap.fit(background, ("a", "b", "c"), kinds=("threshold",), thresholds=3)
    assert features.names[:3] == ("threshold 1 a", "threshold 2 a", "threshold 3 a")
    assert set(features.feature_kinds) == {"threshold"}
    low, high = background[:, 0].min(), background[:, 0].max()
    for k in range(3):
        step = low + (high - low) * (k + 1) / 4
        np.testing.assert_array_equal(column(features, background, f"threshold {k + 1} a"), background[:, 0] > step)


def test_knots_at_quantiles(background):
    features = FeatureMap.fit(
        background, ("a", "b", "c"), kinds=("hinge", "threshold"), hinges=4, thresholds=4, placement="quantile"
    )
    for j in range(2):
        share = [(background[:, j] <= k * features.scale[j] + features.mean[j]).mean() for k in features.hinge_knots(j)]
        np.testing.assert_allclose(share, [0, 0.25, 0.5, 0.75, 1], atol=0.02)
        steps = [
            (background[:, j] > k * features.scale[j] + features.mean[j]).mean() for k in features.threshold_knots(j)
        ]
        np.testing.assert_allclose(steps, [0.8, 0.6, 0.4, 0.2], atol=0.02)
    # three values only: knots fall together, and no hinge is undefined
    assert np.isfinite(features.transform(background)).all()
    again = FeatureMap.from_dict(json.loads(json.dumps(features.to_dict())))
    np.testing.assert_array_equal(again.transform(background), features.transform(background))


def test_clamping_moves_to_the_nearest_end(background):
    kinds = ("linear", "quadratic", "product", "hinge", "threshold")
    features = FeatureMap.fit(background, NAMES, levels=LEVELS, kinds=kinds, clamp=True)
    free = FeatureMap.fit(background, NAMES, levels=LEVELS, kinds=kinds)
    np.testing.assert_array_equal(features.transform(background), free.transform(background))
    far = background[:20].copy()
    far[:, 0] = 1e6
    edge = far.copy()
    edge[:, 0] = background[:, 0].max()
    np.testing.assert_allclose(features.transform(far), features.transform(edge), atol=1e-6)
    assert (free.transform(far) != free.transform(edge)).any()
    again = FeatureMap.from_dict(json.loads(json.dumps(features.to_dict())))
    np.testing.assert_array_equal(again.transform(far), features.transform(far))
    assert not {"clamp", "inner", "thresholds"} & set(FeatureMap.fit(background, NAMES, levels=LEVELS).to_dict())


def test_kinds_of_features(background):
    features = FeatureMap.fit(background, NAMES, levels=LEVELS, kinds=KINDS, hinges=2, thresholds=2)
    assert len(features.feature_kinds) == len(features.names) == features.transform(background).shape[1]
    for name, kind in zip(features.names, features.feature_kinds, strict=True):
        assert (kind == "categorical") == ("=" in name)
        assert (kind == "product") == ("*" in name)


@pytest.mark.parametrize("spread", [3, 400, 100_000])
@pytest.mark.parametrize("clamp", [False, True])
def test_ranks_of_whole_numbers_are_looked_up_to_the_same_bits(spread, clamp):
    rng = np.random.default_rng(0)
    background = np.column_stack([rng.integers(-spread, spread, 900), rng.normal(size=900) * 5]).astype(float)
    features = FeatureMap.fit(background, ["a", "b"], kinds=("linear", "quantile"), clamp=clamp)
    x = np.column_stack([rng.integers(-2 * spread - 5, 2 * spread + 5, 3000), rng.integers(-40, 40, 3000)]).astype(
        float
    )
    x[:4, 0] = [2.0**40, -(2.0**40), 2.0**70, background[:, 0].max()]
    one_by_one = np.concatenate([features.transform(x[i : i + 100]) for i in range(0, 3000, 100)])
    np.testing.assert_array_equal(features.transform(x), one_by_one)
    between = np.concatenate([features.transform(x[i : i + 100] + 0.5) for i in range(0, 3000, 100)])
    np.testing.assert_array_equal(features.transform(x + 0.5), between)
