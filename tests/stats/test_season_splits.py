import numpy as np
import pytest

from ecotone.errors import InputError, UsageError
from ecotone.stats.season_splits import (
    SPLITS,
    and_years,
    forward,
    leave_stations,
    random_years,
    station_folds,
    stations_and_years,
    validation_years,
    year_folds,
)

YEAR = np.tile(np.arange(1980, 2000), 6)
SITE = np.repeat(np.arange(6), 20)
STATION = np.array(["a", "a", "b", "c", "d", "d"], dtype=object)[SITE]


def test_years_go_to_one_side_at_all_sites():
    split = random_years(YEAR, seed=3)
    assert len(np.unique(YEAR[split.test])) == 5
    assert not set(YEAR[split.train]) & set(YEAR[split.test])
    assert (split.train | split.test).all()
    assert not np.array_equal(split.test, random_years(YEAR, seed=4).test)
    np.testing.assert_array_equal(split.test, random_years(YEAR, seed=3).test)


def test_forward_cuts_once_by_year():
    split = forward(YEAR)
    assert YEAR[split.train].max() == 1994
    assert YEAR[split.test].min() == 1995
    assert not split.seeded


def test_stations_take_all_their_sites_along():
    split = leave_stations(STATION, SITE, share=0.5, seed=1)
    assert len(set(STATION[split.test])) == 2
    assert not set(SITE[split.train]) & set(SITE[split.test])


def test_a_site_with_two_stations_is_not_learned_from_at_the_other():
    station = STATION.copy()
    station[:5] = "b"  # site 0 used station b first
    held = next(s for s in station_folds(station, SITE) if set(station[s.test]) == {"b"})
    assert 0 in SITE[held.test]
    assert 0 not in SITE[held.train]


@pytest.mark.parametrize("folds", [None, 2])
def test_folds_hold_every_season_out_once(folds):
    times = sum(split.test.astype(int) for split in station_folds(STATION, SITE, folds=folds, seed=2))
    assert (times == 1).all()


def test_stations_and_years_leave_both_out():
    split = stations_and_years(STATION, SITE, YEAR, seed=5)
    assert not set(SITE[split.train]) & set(SITE[split.test])
    assert not set(YEAR[split.train]) & set(YEAR[split.test])
    again = and_years(leave_stations(STATION, SITE, seed=5), YEAR, seed=5)
    np.testing.assert_array_equal(split.test, again.test)


def test_years_to_watch_and_folds_of_years():
    held = validation_years(YEAR, seed=0)
    assert len(np.unique(YEAR[held])) == 4
    assert not set(YEAR[held]) & set(YEAR[~held])
    assert not validation_years(np.array([2000, 2001])).any()
    fold = year_folds(YEAR, folds=4)
    assert sorted(np.unique(fold)) == [0, 1, 2, 3]
    assert all(len(np.unique(fold[y == YEAR])) == 1 for y in np.unique(YEAR))


def test_impossible_splits_are_refused():
    with pytest.raises(InputError, match="only 1"):
        random_years(np.array([2000, 2000]))
    with pytest.raises(InputError):
        list(station_folds(np.array(["a", "a"]), np.array([0, 1])))
    with pytest.raises(UsageError):
        forward(YEAR, share=1.5)
    assert set(SPLITS) == {"random_years", "forward", "leave_stations", "stations_and_years"}
