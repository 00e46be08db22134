import numpy as np
import pytest
from scipy.stats import kendalltau
from tests.systems.phenology.made_seasons import seasons

from ecotone.errors import InputError
from ecotone.systems.phenology.distribution import BloomDays
from ecotone.systems.phenology.evaluation import (
    altitude_band,
    covered,
    crps,
    difference,
    evaluate,
    kendall,
    metrics,
    pit,
    season_scores,
    station_years,
    stations_of,
    unit_bootstrap,
)

WORLD = seasons(years=30, seed=4)
RNG = np.random.default_rng(0)
NOISE = RNG.normal(0, 3, len(WORLD))
ANSWER = BloomDays.from_day(WORLD.event - NOISE, RNG.normal(0, 3, 200), WORLD.length)


def test_figures_by_hand():
    found = metrics(season_scores(ANSWER, WORLD), WORLD)
    assert found["mae"] == pytest.approx(np.abs(NOISE).mean())
    assert found["rmse"] == pytest.approx(np.sqrt((NOISE**2).mean()))
    assert found["bias"] == pytest.approx(NOISE.mean())
    assert found["r2"] == pytest.approx(1 - (NOISE**2).sum() / ((WORLD.event - WORLD.event.mean()) ** 2).sum())
    assert found["r2_within"] < found["r2"]
    taus = [kendalltau(WORLD.event[WORLD.site == g], (WORLD.event - NOISE)[WORLD.site == g])[0] for g in range(3)]
    assert found["tau"] == pytest.approx(np.mean(taus))
    assert found["n"] == len(WORLD)
    assert found["unanswered"] == 0


def test_calibrated_answers_are_found_calibrated():
    values = season_scores(ANSWER, WORLD)
    assert np.mean(values["covered90"]) == pytest.approx(0.9, abs=0.07)
    assert np.mean(values["covered50"]) == pytest.approx(0.5, abs=0.12)
    assert np.mean(values["pit"]) == pytest.approx(0.5, abs=0.08)


def test_crps_is_the_error_of_a_sure_answer_and_equals_its_energy_form():
    sure = (np.arange(20) >= 7)[None].astype(float)
    assert crps(sure, np.array([11.0])) == pytest.approx(4)
    mass = RNG.dirichlet(np.ones(20))
    days = np.arange(20)
    energy = (mass * np.abs(days - 6)).sum() - 0.5 * (np.outer(mass, mass) * np.abs(days[:, None] - days)).sum()
    assert crps(np.cumsum(mass)[None], np.array([6.0])) == pytest.approx(energy)
    assert pit(np.cumsum(mass)[None], np.array([6.0])) == pytest.approx(mass[:6].sum() + mass[6] / 2)


def test_no_answer_is_counted_not_scored():
    day = WORLD.event.copy()
    day[:4] = np.nan
    some = BloomDays.from_day(day, np.zeros(1), WORLD.length)
    found = metrics(season_scores(some, WORLD), WORLD)
    assert found["mae"] == 0
    assert found["unanswered"] == 4
    assert found["coverage90"] == 1


def test_an_upper_end_beyond_the_season_covers_late_bloom():
    cdf = np.linspace(0, 0.6, 50)[None]
    assert covered(BloomDays.from_cdf(cdf), np.array([48.0]), 0.9)[0] == 1


def test_a_constant_answer_has_no_rank_agreement():
    assert kendall(np.arange(10.0), np.full(10, 4.0), np.zeros(10, dtype=int)) == 0
    assert np.isnan(kendall(np.arange(4.0), np.arange(4.0), np.zeros(4, dtype=int)))


def test_scores_by_group_with_intervals():
    scores = evaluate(ANSWER, WORLD, split="drawn", resamples=200)
    mae = scores.metrics["mae"]
    assert mae.low < mae.value < mae.high
    assert scores.metrics["rmse"].low < scores.metrics["rmse"].value < scores.metrics["rmse"].high
    assert {row["by"] for row in scores.rows} == {"country", "site", "altitude", "quality"}
    assert sum(row["n"] for row in scores.rows if row["by"] == "site") == len(WORLD)
    with pytest.raises(InputError) as error:
        evaluate(ANSWER, WORLD.unlabelled(), split="none")
    assert error.value.code == "PH656"


def test_altitude_bands():
    assert list(altitude_band(np.array([-3.0, 199, 200, 999, 1000, np.nan]))) == [
        "below 200 m", "below 200 m", "200-500 m", "500-1000 m", "above 1000 m", "unknown",
    ]  # fmt: skip


def test_station_years_are_drawn_whole():
    unit = station_years(np.array(["a", "a", "b", "b"]), np.array([2000, 2000, 2000, 2001]))
    assert unit[0] == unit[1]
    assert len(set(unit)) == 3
    assert len(set(stations_of(WORLD))) == 3
    # values alike within a unit: whole units make the interval as wide as that of the unit means
    values = np.repeat(RNG.normal(size=40), 10)
    whole = unit_bootstrap(values, np.repeat(np.arange(40), 10))
    single = unit_bootstrap(values, np.arange(400))
    assert (whole.high - whole.low) > 2.5 * (single.high - single.low)


def test_intervals_allow_for_the_seeds():
    unit, seed = np.tile(np.arange(50), 5), np.repeat(np.arange(5), 50)
    values = RNG.normal(size=250) * 0.1 + seed
    narrow, wide = unit_bootstrap(values, unit), unit_bootstrap(values, unit, seeds=seed)
    assert wide.high - wide.low > 3 * (narrow.high - narrow.low)
    with pytest.raises(InputError):
        unit_bootstrap(values, unit[:3])


def test_difference_of_two_models():
    better, worse = RNG.normal(0, 1, 400), RNG.normal(0, 2, 400)
    i = difference(better, worse, np.arange(400))
    assert i.high < 0
    assert i.estimate == pytest.approx(np.abs(better).mean() - np.abs(worse).mean())
    assert np.isnan(unit_bootstrap(np.full(3, np.nan), np.arange(3)).estimate)
