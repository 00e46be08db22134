"""Shares of days at the knots against a plain loop; what the model knows of sites and groups."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from ecotone.data.seasons import Seasons, Status
from ecotone.data.simulated.trees import trees
from ecotone.systems.phenology.by_group import group_labels
from ecotone.systems.phenology.hybrid.features import (
    KNOTS,
    Places,
    complete,
    day_shares,
    features,
)


@pytest.fixture(scope="module")
def seasons() -> Seasons:
    return trees(5, sites=3, years=4).seasons


def slow_shares(hours):
    """Every hour split between the two knots around it, one at a time."""
    share = np.zeros((len(hours), len(KNOTS)))
    for i, day in enumerate(hours):
        for value in day:
            x = min(max(value, KNOTS[0]), KNOTS[-1])
            for k in range(len(KNOTS) - 1):
                if KNOTS[k] <= x <= KNOTS[k + 1]:
                    part = (x - KNOTS[k]) / (KNOTS[k + 1] - KNOTS[k])
                    share[i, k] += (1 - part) / len(day)
                    share[i, k + 1] += part / len(day)
                    break
    return share


def some_days(n=12, seed=0):
    return np.random.default_rng(seed).normal(6, 12, (n, 24))


def test_shares_are_those_of_a_plain_loop():
    hours = some_days()
    hours[0], hours[1] = KNOTS[:24], KNOTS[-24:]  # hours right on a knot
    hours[2], hours[3] = -50.0, 60.0  # beyond the outer knots
    assert np.allclose(day_shares(hours), slow_shares(hours), atol=1e-6)


def test_shares_of_a_day_add_up_to_one_and_are_not_negative():
    share = day_shares(some_days(60, 1).reshape(5, 12, 24))
    assert share.shape == (5, 12, len(KNOTS)) and share.dtype == np.float32
    assert np.allclose(share.sum(-1), 1, atol=1e-6) and share.min() >= 0


def test_linear_functions_of_temperature_are_kept():
    hours = np.clip(some_days(40, 2), KNOTS[0], KNOTS[-1])
    assert np.allclose(day_shares(hours) @ (3 * KNOTS - 2), (3 * hours - 2).mean(-1), atol=1e-3)
    outside = day_shares(np.full((1, 24), KNOTS[-1] + 9)) @ KNOTS
    assert outside[0] == pytest.approx(KNOTS[-1])


def test_days_with_a_missing_hour_have_no_shares():
    hours = some_days(3, 3)
    hours[1, 7] = np.nan
    share = day_shares(hours)
    assert np.isnan(share[1]).all()
    assert np.allclose(share[[0, 2]], slow_shares(hours[[0, 2]]), atol=1e-6)


def test_features_are_the_shares_their_sums_and_zero_after_the_event(seasons):
    f = features(seasons, Places.of(seasons), whole_days=True)
    hours = seasons.hourly()
    share = day_shares(hours)
    assert len(f) == len(seasons) and f.days == seasons.length
    assert np.allclose(f.share, share) and np.allclose(f.summed, share.cumsum(1, dtype=np.float64), atol=2e-3)
    assert np.array_equal(f.hours, hours)
    for i in range(len(seasons)):
        day = int(seasons.event[i])
        assert int(f.event[i]) == day
        assert torch.equal(f.until_event[i, : day + 1], f.share[i, : day + 1])
        assert not f.until_event[i, day + 1 :].any()
    assert np.allclose(f.year, (seasons.year - 1990) / 20)
    assert features(seasons, Places.of(seasons)).hours is None


def test_many_seasons_are_read_in_pieces(seasons):
    many = seasons.take(list(range(12)) * 6)  # more than one piece of 64
    f, one = features(many, Places.of(many), days=40), features(seasons, Places.of(seasons), days=40)
    assert torch.equal(f.share, one.share.repeat(6, 1, 1))


def test_only_the_first_days_on_request(seasons):
    whole, short = (features(seasons, Places.of(seasons), days=d) for d in (None, 230))
    assert short.days == 230 and features(seasons, Places.of(seasons), days=10_000).days == seasons.length
    assert torch.equal(short.share, whole.share[:, :230]) and torch.equal(short.event, whole.event)


def test_what_is_known_of_each_season(seasons):
    status, event = seasons.status.copy(), seasons.event.copy()
    status[:4] = Status.OBSERVED, Status.AFTER, Status.BEFORE, Status.UNKNOWN
    event[1], event[3] = seasons.length - 1, np.nan
    status[4], event[4] = Status.OBSERVED, np.nan  # says it was seen, but not when
    event[5] = 100.4
    f = features(replace(seasons, status=status, event=event), Places.of(seasons))
    assert f.after.tolist()[:5] == [False, True, False, False, False]
    assert f.before.tolist()[:5] == [False, False, True, False, False]
    assert f.usable.tolist()[:6] == [True, True, True, False, False, True]
    assert int(f.event[1]) == seasons.length - 1 and int(f.event[3]) == 0 and int(f.event[5]) == 100


def test_a_model_knows_the_sites_that_have_seasons(seasons):
    table = seasons.sites.assign(group=["b", "a", "b"])
    named = replace(seasons, sites=table)
    places = Places.of(named.take(named.site != 1))
    assert (places.sites, places.groups, places.group_of) == (("site-01", "site-03"), ("b",), (0, 0))
    site, group = places.find(named)
    assert site.tolist() == [0] * 4 + [2] * 4 + [1] * 4
    assert group.tolist() == [0] * 4 + [1] * 4 + [0] * 4
    every = Places.of(named)
    assert (every.sites, every.groups, every.group_of) == (("site-01", "site-02", "site-03"), ("a", "b"), (1, 0, 1))


def test_a_known_site_stands_where_it_was_learned(seasons):
    here = replace(seasons, sites=seasons.sites.assign(latitude=[40.0, 45.0, 52.0], longitude=8.0, altitude=300.0))
    elsewhere = replace(here, sites=here.sites.assign(latitude=45.0, longitude=np.nan, altitude=9000.0))
    places = Places.of(here)
    group = places.find(here)[1]
    for one, other in zip(places.terms(here, group), places.terms(elsewhere, group), strict=True):
        np.testing.assert_array_equal(one, other)
    new = replace(elsewhere, sites=elsewhere.sites.assign(site_id=["x", "y", "z"]))
    assert (places.terms(new, group)[1] > 8).all()


def test_a_site_without_a_group_counts_to_the_only_one(seasons):
    places = Places.of(replace(seasons, sites=seasons.sites.assign(group="b")))
    bare = replace(seasons, sites=seasons.sites.assign(group="", country="", site_id=["x", "y", "z"]))
    assert set(places.find(bare)[1]) == {0}
    two = Places.of(replace(seasons, sites=seasons.sites.assign(group=["b", "b", "c"])))
    assert set(two.find(bare)[1]) == {2}


def test_sites_are_found_by_name_not_by_row(seasons):
    places = Places.of(seasons)
    turned = replace(seasons, sites=seasons.sites[::-1].reset_index(drop=True), site=2 - seasons.site)
    assert np.array_equal(places.find(turned)[0], places.find(seasons)[0])


def test_the_group_falls_back_to_the_country(seasons):
    table = seasons.sites.assign(group=["", None, "late"], country=["North", "South", "North"])
    assert group_labels(replace(seasons, sites=table)).tolist() == ["North", "South", "late"]
    assert group_labels(replace(seasons, sites=table.drop(columns="group"))).tolist() == ["North", "South", "North"]
    assert group_labels(replace(seasons, sites=table[["site_id"]])).tolist() == ["", "", ""]


def test_complete_seasons_have_every_extreme_or_every_hour(seasons):
    daily = seasons.daily.copy()
    daily[2, 9, 0] = np.nan
    daily[3, 9, 2] = np.nan  # the mean is not used
    assert complete(replace(seasons, daily=daily)).tolist() == [i != 2 for i in range(len(seasons))]
    hours = seasons.hourly()
    hours[5, 3, 3] = np.nan
    assert complete(replace(seasons, daily=daily, hours=hours)).tolist() == [i != 5 for i in range(len(seasons))]
