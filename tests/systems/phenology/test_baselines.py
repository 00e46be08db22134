from dataclasses import replace

import numpy as np
import pytest
from tests.systems.phenology.made_seasons import seasons

from ecotone.data.seasons import TMEAN, Status
from ecotone.errors import InputError
from ecotone.stats.season_splits import random_years
from ecotone.systems.phenology.baselines.day_model import site_levels, site_slopes
from ecotone.systems.phenology.baselines.ladder import week_means
from ecotone.systems.phenology.baselines.simple import SiteMean, SiteTrend
from ecotone.systems.phenology.baselines.spring import SpringRegression, window_mean
from ecotone.systems.phenology.baselines.weekly import PLACES, WeeklyBoosting, WeeklyRidge, leave_out
from ecotone.systems.phenology.lstm import LstmPhenology

WORLD = seasons()
SPLIT = random_years(WORLD.year, seed=1)
TRAIN, TEST = WORLD.take(SPLIT.train), WORLD.take(SPLIT.test)
SMALL_LSTM = {"members": 1, "hidden": 6, "epochs": 2}
MODELS = {
    "mean": SiteMean,
    "trend": SiteTrend,
    "spring": SpringRegression,
    "ridge": WeeklyRidge,
    "boosting": lambda: WeeklyBoosting(step=28),
    "lstm": lambda: LstmPhenology(**SMALL_LSTM),
}


def after(some, day, add):
    """The same seasons with other weather after the day (N,)."""
    daily = some.daily.copy()
    late = np.arange(some.length) > np.ceil(day)[:, None]
    daily[late] += add
    return replace(some, daily=daily)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("new", [False, True], ids=["known", "new"])
def test_no_weather_after_the_predicted_day(name, new):
    train, test = (TRAIN.take(TRAIN.site < 2), TEST.take(TEST.site == 2)) if new else (TRAIN, TEST)
    model = MODELS[name]().fit(train)
    found = model.predict(test.unlabelled())
    assert np.isfinite(found.day).all()
    for add in (-15.0, 15.0):
        np.testing.assert_allclose(model.predict(after(test, found.day, add).unlabelled()).day, found.day, atol=1e-4)
    assert (np.diff(found.cdf, axis=1) >= -1e-6).all()


def test_boosting_of_new_places_bears_altitudes_that_nobody_gave():
    world = seasons(years=6, sites=PLACES + 2)
    world.sites["altitude"] = np.nan
    model = MODELS["boosting"]().fit(world.take(world.site < PLACES))
    assert np.isfinite(model.predict(world.take(world.site >= PLACES).unlabelled()).day).all()


def test_weather_helps_on_held_out_years():
    error = {
        name: np.abs(TEST.event - MODELS[name]().fit(TRAIN).predict(TEST.unlabelled()).day).mean()
        for name in ("mean", "spring", "ridge")
    }
    assert error["spring"] < 0.7 * error["mean"]
    assert error["ridge"] < 0.6 * error["mean"]


def test_answers_cover_as_they_say_on_many_years():
    world = seasons(years=60, sites=2, seed=5)
    split = random_years(world.year, share=0.5, seed=2)
    for make in (SiteMean, WeeklyRidge):
        test = world.take(split.test)
        low, high = make().fit(world.take(split.train)).predict(test.unlabelled()).quantiles((0.05, 0.95)).T
        assert 0.75 < np.mean((test.event >= low) & (test.event <= high)) <= 1.0


def test_labels_of_the_seasons_to_predict_are_not_read():
    model = WeeklyRidge().fit(TRAIN)
    np.testing.assert_array_equal(model.predict(TEST).day, model.predict(TEST.unlabelled()).day)


def test_few_seasons_lean_on_the_others():
    y = np.concatenate([np.full(30, 100.0), np.full(30, 110.0), [150.0]]) + np.tile([-3.0, 3.0], 31)[:61]
    site = np.repeat([0, 1, 2], [30, 30, 1])
    level = site_levels(y, site, np.array(["a", "a", "a", "b"], dtype=object))
    assert abs(level[0] - 100) < 1
    assert level[2] < y[-1]
    assert level[3] == pytest.approx(np.mean([100, 110, y[-1]]), abs=0.1)  # no seasons: the mean of all sites


def test_slopes_are_shrunk_to_the_common_one():
    rng = np.random.default_rng(0)
    site = np.repeat(np.arange(8), 12)
    x = rng.normal(size=96)
    slopes, common = site_slopes(x, 2 * x + rng.normal(size=96), site, 9)
    assert common == pytest.approx(2, abs=0.3)
    assert np.ptp(slopes) < 0.7
    assert slopes[8] == common
    own, _ = site_slopes(x, site * x + 0.1 * rng.normal(size=96), site, 8)
    np.testing.assert_allclose(own, np.arange(8), atol=0.2)


def test_residuals_with_a_group_left_out_are_those_of_refitting():
    rng = np.random.default_rng(1)
    z, y, group, alpha = rng.normal(size=(40, 7)), rng.normal(size=40), np.arange(40) % 6, 2.5
    u, s, _ = np.linalg.svd(z, full_matrices=False)
    found = leave_out(u, s, alpha, y, group)
    for g in range(6):
        some, other = group != g, group == g
        beta = np.linalg.solve(z[some].T @ z[some] + alpha * np.eye(7), z[some].T @ y[some])
        np.testing.assert_allclose(found[other], y[other] - z[other] @ beta, atol=1e-9)


def test_means_of_weeks_and_windows_by_hand():
    daily = WORLD.daily[..., TMEAN].astype(float)
    weeks = week_means(daily, 150, 3)
    for w in range(3):
        np.testing.assert_allclose(weeks[:, w], daily[:, 143 - 7 * w : 150 - 7 * w].mean(axis=1))
    end = np.full(len(WORLD), 170)
    np.testing.assert_allclose(window_mean(WORLD, end, 30), daily[:, 140:170].mean(axis=1), rtol=1e-6)


def test_without_a_bloom_there_is_nothing_to_learn():
    with pytest.raises(InputError) as error:
        SiteMean().fit(TRAIN.unlabelled())
    assert error.value.code == "PH655"
    with pytest.raises(InputError):
        LstmPhenology(**SMALL_LSTM).fit(TRAIN.unlabelled())


def test_one_season_is_enough_for_an_answer():
    one = TRAIN.take([0])
    for make in (SiteMean, SiteTrend, SpringRegression, WeeklyRidge):
        assert np.isfinite(make().fit(one).predict(TEST.unlabelled()).day).all()


def test_a_day_without_temperature_is_passed_over():
    daily = TEST.daily.copy()
    daily[:, 100:130] = np.nan
    for name in ("spring", "ridge", "lstm"):
        assert np.isfinite(MODELS[name]().fit(TRAIN).predict(replace(TEST, daily=daily).unlabelled()).day).all()


def test_censored_seasons_count_in_the_likelihood():
    import torch

    from ecotone.systems.phenology.lstm import negative_log

    logits = torch.linspace(-3, 2, 6).expand(3, -1)
    hazard = torch.sigmoid(logits[0])
    stay = torch.cumprod(1 - hazard, 0)
    event = torch.tensor([3, 3, 3])
    status = torch.tensor([int(Status.OBSERVED), int(Status.AFTER), int(Status.BEFORE)])
    expected = -(torch.log(stay[2] * hazard[3]) + torch.log(stay[3]) + torch.log(1 - stay[3])) / 3
    assert float(negative_log(logits, event, status)) == pytest.approx(float(expected), rel=1e-5)


def test_the_network_repeats_and_learns():
    short = [LstmPhenology(members=2, hidden=6, epochs=2, seed=3).fit(TRAIN).predict(TEST.unlabelled()) for _ in "ab"]
    np.testing.assert_array_equal(short[0].day, short[1].day)
    model = LstmPhenology(members=1, hidden=10, epochs=30, seed=3, rate=1e-2, batch=16).fit(TRAIN)
    base = np.abs(TEST.event - SiteMean().fit(TRAIN).predict(TEST.unlabelled()).day).mean()
    assert np.abs(TEST.event - model.predict(TEST.unlabelled()).day).mean() < base
