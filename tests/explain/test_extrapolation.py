"""Similarity to what was sampled, against the definition of Elith et al. (2010) evaluated slowly."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ecotone.errors import InputError
from ecotone.explain.extrapolation import SampledConditions

NAMES = ("heat", "rain", "soil")


def slow_mess(value, sampled):
    """One covariate: f is the percentage of sampled sites below the value."""
    low, high = min(sampled), max(sampled)
    f = 100 * sum(s < value for s in sampled) / len(sampled)
    if f == 0:
        return 100 * (value - low) / (high - low)
    if f <= 50:
        return 2 * f
    if f < 100:
        return 2 * (100 - f)
    return 100 * (high - value) / (high - low)


@pytest.fixture
def sampled():
    rng = np.random.default_rng(0)
    return np.column_stack([rng.normal(20, 5, 1500), rng.gamma(2, 300, 1500), rng.choice([1, 2, 4], 1500)])


def test_equals_the_slow_formula(sampled):
    """Within the range it may differ by the spacing of the 201 stored quantiles; outside it is exact."""
    conditions = SampledConditions.fit(sampled[:, :2], NAMES[:2])
    rng = np.random.default_rng(1)
    sites = np.column_stack([rng.uniform(-10, 50, 400), rng.uniform(-200, 4000, 400)])
    found, decisive = conditions.similarity(sites)
    for i, site in enumerate(sites):
        parts = [slow_mess(site[p], sampled[:, p]) for p in range(2)]
        worst = min(parts)
        if worst < 0:
            assert found[i] == pytest.approx(worst)
            assert decisive[i] == int(np.argmin(parts))
        else:
            assert abs(found[i] - worst) <= 1.1
            if abs(parts[0] - parts[1]) > 3:
                assert decisive[i] == int(np.argmin(parts))


def test_the_centre_is_100_and_the_edge_0(sampled):
    conditions = SampledConditions.fit(sampled[:, :1], NAMES[:1])
    low, middle, high = np.quantile(sampled[:, 0], [0, 0.5, 1])
    found, _ = conditions.similarity(np.array([[low], [middle], [high], [low - (high - low) / 4]]))
    np.testing.assert_allclose(found, [0, 100, 0, -25], atol=1.1)


def test_sampled_sites_are_never_outside(sampled):
    found, _ = SampledConditions.fit(sampled, NAMES, ["soil"]).similarity(sampled)
    assert found.min() >= 0


def test_unseen_category_is_outside(sampled):
    conditions = SampledConditions.fit(sampled, NAMES, ["soil"])
    centre = np.median(sampled, axis=0)
    sites = np.array([[*centre[:2], 2], [*centre[:2], 3], [90, centre[1], 2]])
    found, decisive = conditions.similarity(sites)
    assert found[0] > 90
    assert found[1] < 0
    assert found[2] < 0
    assert decisive[1:].tolist() == [2, 0]


def test_a_constant_covariate_is_inside_only_at_its_value(sampled):
    sampled[:, 1] = 5.0
    conditions = SampledConditions.fit(sampled[:, :2], NAMES[:2])
    found, decisive = conditions.similarity(np.array([[20.0, 5.0], [20.0, 5.1], [20.0, 4.9]]))
    assert found[0] >= 0
    assert (found[1:] < 0).all()
    assert np.isfinite(found).all()
    assert decisive[1:].tolist() == [1, 1]


def test_stored_and_read_again(sampled):
    conditions = SampledConditions.fit(sampled, NAMES, ["soil"])
    again = SampledConditions.from_dict(json.loads(json.dumps(conditions.to_dict(), allow_nan=False)))
    sites = sampled[:50] * [1.5, 0.5, 1]
    for one, other in zip(conditions.similarity(sites), again.similarity(sites), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("change", [{"quantiles": [[1.0]]}, {"quantiles": "x"}, {"names": None}, {"levels": [1]}])
def test_damaged_summaries_are_refused(sampled, change):
    stored = SampledConditions.fit(sampled, NAMES, ["soil"]).to_dict()
    with pytest.raises(InputError) as caught:
        SampledConditions.from_dict(stored | change)
    assert caught.value.code == "DA404"
