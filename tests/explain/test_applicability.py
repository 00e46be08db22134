"""The area of applicability against distances one pair at a time."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ecotone.errors import EcotoneError, InputError
from ecotone.explain.applicability import AreaOfApplicability, applicability_evidence

NAMES = ("heat", "rain", "soil", "flat")
IMPORTANCE = np.array([0.3, 0.1, 0.2, 0.5])


def draw(n, seed=0):
    rng = np.random.default_rng(seed)
    return np.column_stack([rng.normal(20, 5, n), rng.gamma(2, 300, n), rng.choice([1, 2, 4], n), np.full(n, 7.0)])


@pytest.fixture(scope="module")
def given():
    sites = draw(120)
    folds = (sites[:, 0] > 20).astype(int) + 2 * (sites[:, 1] > 500)
    return sites, folds, AreaOfApplicability.fit(sites, folds, NAMES, importance=IMPORTANCE, categorical=["soil"])


def slow_distance(a, b, sites, differ):
    """Weighted distance of two places by the stated rules; `differ` is the chance that two sites' soils do."""
    w = IMPORTANCE / 0.3
    total = sum((w[p] * (a[p] - b[p]) / sites[:, p].std()) ** 2 for p in (0, 1))
    total += 0 if a[2] == b[2] else 2 * w[2] ** 2 / differ  # mean square 2, like a standardised covariate
    return np.sqrt(total)


def test_equals_brute_force(given):
    sites, folds, area = given
    differ = np.mean([x != y for x in sites[:, 2] for y in sites[:, 2]])
    apart = np.array([[slow_distance(a, b, sites, differ) for b in sites] for a in sites])
    mean = apart.sum() / (120 * 119)
    assert area.mean_distance == pytest.approx(mean)
    own = np.where(folds[:, None] == folds[None], np.inf, apart).min(1) / mean
    q1, q3 = np.quantile(own, [0.25, 0.75])
    assert area.threshold == pytest.approx(own[own <= q3 + 1.5 * (q3 - q1)].max())
    places = draw(40, 1)
    places[:5, 2] = 9  # never seen
    expected = [min(slow_distance(a, b, sites, differ) for b in sites) / mean for a in places]
    found = area.dissimilarity(places)
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    np.testing.assert_array_equal(area.inside(places), np.array(expected) <= area.threshold)


def test_training_sites_are_at_zero_and_far_places_outside(given):
    sites, _, area = given
    np.testing.assert_array_equal(area.dissimilarity(sites), 0)
    far = sites[:1].copy()
    far[0, 0] += 80
    assert not area.inside(far)[0]
    far[0, 0], far[0, 3] = sites[0, 0], 99.0  # a constant covariate has no say
    assert area.inside(far)[0]


def test_a_categorical_covariate_counts_like_a_continuous_one():
    """Mean squared distance between training sites is 2 per covariate of equal weight."""
    sites = draw(300)
    for names, columns in ((["soil"], [2]), ([], [0])):
        area = AreaOfApplicability.fit(sites[:, columns], np.arange(300) % 3, ["v"], categorical=names and ["v"])
        coded = area._encode(area.points)
        assert np.mean([((coded - row) ** 2).sum(1).mean() for row in coded]) == pytest.approx(2)


def test_windows_and_blocks_do_not_change_a_bit(given, monkeypatch):
    area = given[2]
    places = draw(300, 2)
    whole = area.dissimilarity(places)
    parts = np.concatenate([area.dissimilarity(places[i : i + 7]) for i in range(0, 300, 7)])
    np.testing.assert_array_equal(whole, parts)
    monkeypatch.setattr("ecotone.explain.applicability._ROWS", 11)
    np.testing.assert_array_equal(whole, area.dissimilarity(places))


def test_missing_values_have_no_answer(given):
    area = given[2]
    places = draw(3, 3)
    places[0, 0] = np.nan
    places[1, 3] = np.nan  # constant: not needed
    assert np.isnan(area.dissimilarity(places)).tolist() == [True, False, False]
    assert not area.inside(places)[0]
    assert area.dissimilarity(np.empty((0, 4))).shape == (0,)


def test_importances_without_a_positive_one_weigh_all_alike():
    sites = draw(50)
    one = AreaOfApplicability.fit(sites, np.arange(50) % 2, NAMES, importance=np.array([-1, 0, 0, 3]))
    other = AreaOfApplicability.fit(sites, np.arange(50) % 2, NAMES)
    np.testing.assert_array_equal(one.weight, [1, 1, 1, 0])
    assert one.threshold == other.threshold


def test_too_many_sites_are_thinned_by_seed():
    sites, folds = draw(500), np.arange(500) % 5
    one, same, other = (AreaOfApplicability.fit(sites, folds, NAMES, limit=60, seed=s) for s in (0, 0, 1))
    np.testing.assert_array_equal(one.points, same.points)
    assert (one.points != other.points).any()
    assert len(one.points) == 60 and one.thinned_from == 500
    assert "60, drawn from 500" in str(applicability_evidence(one, np.zeros((2, 2)), None)[0].details)


def test_stored_and_read_again(given):
    area = given[2]
    stored = area.to_dict()
    points = stored.pop("points")
    assert isinstance(points, np.ndarray)
    again = AreaOfApplicability.from_dict(json.loads(json.dumps(stored, allow_nan=False)) | {"points": points})
    np.testing.assert_array_equal(area.dissimilarity(draw(30, 4)), again.dissimilarity(draw(30, 4)))


@pytest.mark.parametrize(
    "change",
    [
        {"points": np.zeros((3, 2))},
        {"points": np.full((3, 4), np.nan)},
        {"points": "x"},
        {"names": None},
        {"levels": [1]},
        {"levels": {"other": [1]}},
        {"threshold": float("nan")},
        {"mean_distance": 0.0},
        {"weight": [0, 0, 0, 0]},
        {"scale": [0, 1, 1, 1]},
        {"scale": [1]},
    ],
)
def test_damaged_ones_are_refused(given, change):
    with pytest.raises(InputError) as caught:
        AreaOfApplicability.from_dict(given[2].to_dict() | change)
    assert caught.value.code == "DA404"


def test_evidence_counts_cells_outside(given):
    area = given[2]
    index = np.array([[0.0, area.threshold, 2.5 * area.threshold, np.nan]])
    check, picture = applicability_evidence(area, index, (0, 4, 0, 1))
    assert check.measured == pytest.approx(100 / 3) and check.verdict == "note"
    np.testing.assert_allclose(picture.weights, [[[-100, 0, 100, np.nan]]])
    assert applicability_evidence(area, index[:, :2], None)[0].verdict == "pass"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"folds": np.zeros(20)}, "OC205"),
        ({"folds": np.arange(3)}, "DA404"),
        ({"importance": np.ones(2)}, "DA404"),
        ({"sites": np.full((20, 4), np.nan)}, "DA403"),
        ({"sites": np.ones((20, 4))}, "OC205"),
        ({"limit": 1}, "US104"),
    ],
)
def test_bad_requests_are_one_line(change, code):
    asked = {"sites": draw(20), "folds": np.arange(20) % 2, "names": NAMES} | change
    with pytest.raises(EcotoneError) as caught:
        AreaOfApplicability.fit(**asked)
    assert caught.value.code == code and "\n" not in str(caught.value)
    with pytest.raises(InputError):
        AreaOfApplicability.fit(draw(20), np.arange(20) % 2, NAMES).dissimilarity(np.zeros((3, 2)))
