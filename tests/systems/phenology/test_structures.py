"""Structures against days counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from ecotone.systems.phenology import structures as st

G = np.array([[0.0, 2.0, 0.0, 3.0, 5.0, 1.0, 4.0, 10.0]])
C = np.array([[4.0, 6.0, -5.0, 3.0, 2.0, 1.0, 0.0, 0.0]])  # sums 4 10 5 8 10 11 11 11


@pytest.mark.parametrize(
    ("start", "need", "day"),
    [(0, 2, 1), (0, 2.5, 3), (2, 3, 3), (4, 5, 4), (4, 5.01, 5), (5, 15, 7), (5, 15.5, np.nan), (6, 0, 6)],
)
def test_thermal_time(start, need, day):
    np.testing.assert_array_equal(st.thermal_time(G, start, need), [day])


@pytest.mark.parametrize(
    ("chill", "need", "day"),
    [
        (0, 2, 1),  # released on day 0
        (10, 2, 1),  # released on day 1, whose forcing of 2 counts
        (10, 3, 3),  # stays released although the sum falls back to 5
        (10.5, 1, 5),  # released on day 5
        (10.5, 6, 7),
        (12, 1, np.nan),  # never enough chill
        (10, 26, np.nan),  # never enough forcing
    ],
)
def test_sequential_first_crossing(chill, need, day):
    np.testing.assert_array_equal(st.sequential(C, G, chill, need), [day])


def test_parallel_by_hand():
    # largest sums so far 4 10 10 10 10 11.. over 20: .2 .5 .5 .5 .5 .55 .55 .55; forcing 0 1 0 1.5 2.5 .55 2.2 5.5
    np.testing.assert_allclose(st.competence(C, 20)[0], [0.2, 0.5, 0.5, 0.5, 0.5, 0.55, 0.55, 0.55])
    days = [st.parallel(C, G, 20, need)[0] for need in (1, 1.1, 5, 5.1, 13.2, 13.3)]
    np.testing.assert_array_equal(days, [1, 3, 4, 5, 7, np.nan])
    np.testing.assert_array_equal(st.parallel(C, G, 0, 2.5), st.thermal_time(G, 0, 2.5))
    np.testing.assert_array_equal(st.parallel(C, G, 1e9, 2.5, least=1.0), st.thermal_time(G, 0, 2.5))


def test_alternating_by_hand():
    cold = np.array([[1.0, 0, 1, 1, 0, 0, 0, 0]])  # chill days 1 1 2 3 3 3 3 3; forcing sums 0 2 2 5 10 11 15 25
    b, c = 16.0, -np.log(2)  # needs beyond a: 8 8 4 2 2 2 2 2
    days = [st.alternating(cold, G, a, b, c)[0] for a in (-7, -2, 2.99, 3.01, 9, 23.01)]
    np.testing.assert_array_equal(days, [1, 2, 3, 4, 5, np.nan])
    # both from day 3 on: chill days 1, sums 3 8 9 13 23, need 8
    np.testing.assert_array_equal(st.alternating(cold, G, 1.0, b, c, start=3, chill_start=3), [5])
    # chill from day 2 on: chill days 2 from day 3 on, need 4
    np.testing.assert_array_equal(st.alternating(cold, G, 1.0, b, c, start=3, chill_start=2), [4])
    np.testing.assert_array_equal(st.alternating(cold, G, -20.0, b, c, start=3), [3])


def test_phenoflex_by_hand():
    portions = np.array([[10.0, 10, 20, 0, 0, 40, 0, 0]])  # before each day 0 10 20 40 40 40 80 80; y* = 40
    x = 0.5 * 40 * (np.array([10, 20, 40, 40, 40, 80, 80]) - 40.0) / np.array([10, 20, 40, 40, 40, 80, 80])
    weight = np.r_[0.0, 1 / (1 + np.exp(-x))]
    weight[1:3] = 0.0  # arguments -60 and -20
    np.testing.assert_allclose(st.heat_efficiency(portions, 40.0)[0], weight, rtol=1e-14)
    sums = np.cumsum(weight * G[0])
    assert sums[3] == pytest.approx(1.5, abs=1e-6)  # day 2 has no forcing
    for need in (0.5, 3.9, 4.2, 4.6, 18, 19):
        hand = np.flatnonzero(sums >= need)
        np.testing.assert_array_equal(st.phenoflex(portions, G, 40.0, need), [hand[0] if len(hand) else np.nan])


def test_days_without_temperature():
    g = G.copy()
    g[0, 5] = np.nan
    np.testing.assert_array_equal([st.thermal_time(g, 0, need)[0] for need in (10, 10.5)], [4, np.nan])
    c = C.copy()
    c[0, 0] = np.nan
    assert np.isnan(st.sequential(c, G, 4, 1)[0])
    assert np.isnan(st.parallel(c, G, 4, 1)[0])


def test_requirement_per_season():
    both = np.repeat(G, 2, axis=0)
    np.testing.assert_array_equal(st.thermal_time(both, np.array([0, 4]), np.array([2.5, 5.01])), [3, 5])
