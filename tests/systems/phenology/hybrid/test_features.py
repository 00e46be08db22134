"""Shares of a day at the knots, and which sites and groups a model knows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ecotone.data.seasons import Seasons, Status
from ecotone.data.simulated.trees import trees
from ecotone.systems.phenology.hybrid.features import KNOTS, Places, day_shares, features, group_labels

SEASONS: Seasons = trees(3, sites=3, years=3).seasons


def test_shares_equal_a_plain_loop() -> None:
    hours = np.random.default_rng(0).uniform(-30, 50, (5, 24))
    found = day_shares(hours)
    for day, share in zip(hours, found, strict=True):
        plain = np.zeros(len(KNOTS))
        for t in day:
            t = min(max(t, KNOTS[0]), KNOTS[-1])
            k = max(i for i in range(len(KNOTS) - 1) if KNOTS[i] <= t)
            part = (t - KNOTS[k]) / (KNOTS[k + 1] - KNOTS[k])
            plain[k] += (1 - part) / 24
            plain[k + 1] += part / 24
        np.testing.assert_allclose(share, plain, atol=1e-6)
    np.testing.assert_allclose(found.sum(-1), 1, atol=1e-6)


def test_linear_functions_are_exact_and_knots_stand_alone() -> None:
    hours = np.random.default_rng(1).uniform(KNOTS[0], KNOTS[-1], (2, 3, 24))
    np.testing.assert_allclose(day_shares(hours) @ (2 * KNOTS + 1), (2 * hours + 1).mean(-1), atol=2e-5)
    np.testing.assert_allclose(day_shares(np.repeat(KNOTS[:, None], 24, 1)), np.eye(len(KNOTS)), atol=1e-7)


def test_days_without_temperature_are_nan_and_others_untouched() -> None:
    hours = np.full((3, 24), 4.5)
    hours[1, 7] = np.nan
    found = day_shares(hours)
    assert np.isnan(found[1]).all() and np.isfinite(found[[0, 2]]).all()


def test_places_are_found_by_name_and_others_are_unknown() -> None:
    sites = SEASONS.sites.assign(group=["b", "a", ""], country=["x", "x", "y"])
    seasons = replace(SEASONS, sites=sites)
    places = Places.of(seasons)
    assert places.groups == ("a", "b", "y") and places.group_of == (1, 0, 2)
    assert group_labels(seasons).tolist() == ["b", "a", "y"]
    other = replace(seasons, sites=sites.assign(site_id=["new", sites["site_id"][1], sites["site_id"][0]], group="c"))
    site, group = places.find(other)
    assert set(site[other.site == 0]) == {3} and set(group[other.site == 0]) == {3}
    assert set(site[other.site == 2]) == {0} and set(group[other.site == 2]) == {1}  # known, and of its group there
    assert Places.of(seasons.take(np.flatnonzero(seasons.site == 1))).sites == (str(sites["site_id"][1]),)


def test_events_and_what_is_known_of_them() -> None:
    status, event = np.array(SEASONS.status), np.array(SEASONS.event)
    status[0], status[1], status[2], event[2] = Status.AFTER, Status.BEFORE, Status.UNKNOWN, np.nan
    seasons = replace(SEASONS, status=status, event=event)
    f = features(seasons, Places.of(seasons))
    assert f.after.nonzero()[:, 0].tolist() == [0] and f.before.nonzero()[:, 0].tolist() == [1]
    assert f.usable.tolist() == [k != 2 for k in range(len(seasons))] and int(f.event[2]) == 0
    at = int(f.event[3])
    assert not f.until_event[3, at + 1 :].any() and bool((f.until_event[3, : at + 1] == f.share[3, : at + 1]).all())
    np.testing.assert_allclose(f.summed[3, -1].numpy(), f.share[3].numpy().sum(0), rtol=1e-4, atol=1e-4)
    assert features(seasons, Places.of(seasons), days=200).days == 200


def test_southern_seasons_with_the_same_weather_are_the_same() -> None:
    north = replace(SEASONS.take([0]), hours=SEASONS.hourly([0]))
    south = replace(north, first=north.first + np.timedelta64(182, "D"), sites=north.sites.assign(latitude=-35.0))
    places = Places.of(north)
    assert bool((features(north, places).share == features(south, places).share).all())
