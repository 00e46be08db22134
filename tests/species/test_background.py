"""Which background is used when, and the weights it is made of."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecotone.errors import InputError
from ecotone.species.background import (
    MAX_SMOOTHING,
    MIN_SITES,
    PRESENCE_FLOOR,
    decide,
    effective_share,
    site_log_weight,
    smoothing_share,
    thinning_weight,
    undefined_target_group,
)

ONE = "there is one species"
FEW = "only 12 sites"


# ------------------------------------------------------------------------------------------- is it defined
@pytest.mark.parametrize(
    ("with_records", "sites", "species", "expected"),
    [
        (200, 200, 5, None),
        (200, 200, 1, ONE),
        (12, 12, 5, FEW),
        (MIN_SITES, MIN_SITES, 2, None),
        (MIN_SITES - 1, MIN_SITES - 1, 2, f"only {MIN_SITES - 1} sites"),
        (12, 200, 1, None),  # visited sites without records were given: they are the target group
        (1, 2, 1, None),
    ],
)
def test_when_the_target_group_is_defined(with_records, sites, species, expected):
    found = undefined_target_group(with_records, sites, species)
    assert found is None if expected is None else found.startswith(expected)


# ------------------------------------------------------------------------------------------- the decision table
TABLE = {
    # (asked for, defined, uniform cells given): (kind, share) | code | "validate"
    ("target_group", True, True): ("target_group", 0.05),
    ("target_group", True, False): ("target_group", 0.05),
    ("target_group", False, True): "DA405",
    ("target_group", False, False): "DA405",
    ("mixture", True, True): ("mixture", 0.4),
    ("mixture", True, False): "DA404",
    ("mixture", False, True): "DA405",
    ("mixture", False, False): "DA405",
    ("uniform", True, True): ("uniform", 1.0),
    ("uniform", True, False): "DA404",
    ("uniform", False, True): ("uniform", 1.0),
    ("uniform", False, False): "DA404",
    ("auto", True, True): "validate",
    ("auto", True, False): ("target_group", 0.05),
    ("auto", False, True): ("uniform", 1.0),
    ("auto", False, False): "DA405",
}


def test_the_table_is_whole():
    asked = itertools.product(("target_group", "mixture", "uniform", "auto"), (True, False), (True, False))
    assert set(TABLE) == set(asked)


@pytest.mark.parametrize("reason", [ONE, FEW])
@pytest.mark.parametrize("case", TABLE)
def test_decision(case, reason):
    asked, defined, has_uniform = case
    expected = TABLE[case]

    def call():
        return decide(asked, 0.4, 0.05, undefined=None if defined else reason, has_uniform=has_uniform)

    if expected == "validate":
        assert call() is None
    elif isinstance(expected, str):
        with pytest.raises(InputError) as caught:
            call()
        assert caught.value.code == expected
        assert expected != "DA405" or reason in str(caught.value)
        assert "\n" not in str(caught.value)
    else:
        choice = call()
        assert (choice.kind, choice.uniform_share) == expected
        assert choice.reason
        if asked == "auto" and not defined:
            assert reason in choice.reason


# ------------------------------------------------------------------------------------------- shares
def test_smoothing_is_laplace_and_bounded():
    assert smoothing_share(0, 500) == 0
    assert smoothing_share(50, 5000) == pytest.approx(0.01)
    assert smoothing_share(50, 100) == MAX_SMOOTHING
    assert smoothing_share(50, 0) == MAX_SMOOTHING


@given(st.floats(0, 1), st.integers(1, 10**6), st.integers(0, 10**6))
def test_a_uniform_background_still_holds_the_sites(share, sites, uniform):
    used = effective_share(share, sites, uniform)
    assert 0 <= used <= share
    assert 1 - used >= min(PRESENCE_FLOOR, sites / max(uniform, 1)) - 1e-12
    if share < 1 - PRESENCE_FLOOR:
        assert used == share


# ------------------------------------------------------------------------------------------- weights of sites
def test_site_weights_become_logs_of_mean_one():
    w = np.array([1.0, 3.0, 0.0, 4.0])
    found = site_log_weight(w, "site_weight", 4)
    np.testing.assert_allclose(np.exp(found), w / 2)
    assert found[2] == -math.inf
    np.testing.assert_allclose(site_log_weight(1000 * w, "site_weight", 4), found)
    np.testing.assert_array_equal(site_log_weight(None, "site_weight", 3), np.zeros(3))


@pytest.mark.parametrize(
    ("weight", "code"),
    [
        ([1, 2], "DA404"),
        ([1, -1, 2], "DA403"),
        ([1, np.nan, 2], "DA403"),
        ([1, np.inf, 2], "DA403"),
        ([0, 0, 0], "DA403"),
    ],
)
def test_unusable_site_weights(weight, code):
    with pytest.raises(InputError) as caught:
        site_log_weight(np.array(weight, float), "site_weight", 3)
    assert caught.value.code == code
    assert caught.value.where == "site_weight"


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 40), st.floats(0.01, 3))
def test_thinning_counts_neighbours(seed, n, distance):
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, 12, n) / 4, rng.integers(0, 12, n) / 4
    slow = [1 / sum((a - c) ** 2 + (b - d) ** 2 <= distance**2 for c, d in zip(x, y)) for a, b in zip(x, y)]
    near = [abs(math.hypot(a - c, b - d) - distance) < 1e-9 for a, b in zip(x, y) for c, d in zip(x, y)]
    if not any(near):
        np.testing.assert_allclose(thinning_weight(x, y, distance), slow)


def test_thinning_makes_a_cluster_one_site():
    x = np.r_[np.full(10, 0.3), 50.0, 100.0]
    w = thinning_weight(x, np.zeros(12), 1.0)
    np.testing.assert_allclose(w, np.r_[np.full(10, 0.1), 1, 1])
    assert w.sum() == pytest.approx(3)
    np.testing.assert_array_equal(thinning_weight(x, x, 0), np.ones(12))
