"""Chill units against days counted by hand, plain loops over the published tables, and the published output of chillR."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch

from ecotone.errors import InputError, UsageError
from ecotone.systems.phenology import chill
from ecotone.systems.phenology.chill import CHILL
from ecotone.systems.phenology.forcing import FORCING

UNITS = {name: unit.function for name, unit in (CHILL | FORCING).items()}
SMOOTH = (
    "linvill_utah",
    "smooth_utah",
    "dynamic",
    "chill_days",
    "triangular",
    "unimodal",
    "gdd",
    "gdh",
    "sigmoid_chuine",
)


def day(*temperatures, rest=30.0):
    """(1, 24): some hours, the others at a temperature of no interest."""
    return np.array([[*temperatures, *[rest] * (24 - len(temperatures))]])


def some(n=3, s=20, seed=0):
    return np.random.default_rng(seed).normal(6, 9, (n, s, 24))


def plainly(hours, rate, over=sum):
    return np.array([[over([rate(float(t)) for t in one]) for one in season] for season in hours])


def mean(values):
    return sum(values) / len(values)


# ------------------------------------------------------------------------------------------------ by hand
def test_chill_hours_are_closed_at_both_ends() -> None:
    assert chill.chill_hours(day(0, 7.2, 3, -0.01, 7.21)) == 3
    assert chill.hours_below(day(0, 7.2, 3, -0.01, 7.21, -30)) == 5
    assert chill.chill_hours(day(0, 7.2, 3, -0.01, 7.21), low=-1, high=8) == 5


def test_utah_classes_end_at_their_upper_value() -> None:
    ends = day(1.4, 2.4, 9.1, 12.4, 15.9, 18.0, rest=0.0)
    assert chill.utah(ends) == 0 + 0.5 + 1 + 0.5 + 0 - 0.5
    above = day(1.5, 2.5, 9.2, 12.5, 16.0, 18.1, rest=0.0)
    assert chill.utah(above) == 0.5 + 1 + 0.5 + 0 - 0.5 - 1


@pytest.mark.parametrize("kind", [np.float32, torch.float32, torch.float64])
def test_a_reading_on_a_limit_counts_the_same_in_every_precision(kind) -> None:
    tenths = np.arange(-50, 260) / 10
    padded = np.concatenate([tenths, np.full(-len(tenths) % 24, -20.0)]).reshape(-1, 24)
    given = padded.astype(kind) if kind is np.float32 else torch.tensor(padded, dtype=kind)
    for name in ("chill_hours", "hours_below", "utah", "positive_utah", "north_carolina", "low_chill"):
        assert np.asarray(UNITS[name](given)).tolist() == UNITS[name](padded).tolist(), name


def test_positive_units_leave_warm_hours_or_warm_days_out() -> None:
    mixed = day(5, 5, 5, 20, rest=0.0)  # three units and one taken away
    assert (chill.utah(mixed), chill.positive_utah(mixed), chill.daily_positive_utah(mixed)) == (2, 3, 2)
    warm = day(5, 5, 5, rest=20.0)
    assert (chill.utah(warm), chill.positive_utah(warm), chill.daily_positive_utah(warm)) == (-18, 3, 0)


def test_north_carolina_and_low_chill_by_their_tables() -> None:
    assert chill.north_carolina(day(-1.1, 1.6, 7.2, 13, 16.5, 19, 20.7, 22.1, 23.3, rest=-5.0)) == (
        0 + 0.5 + 1 + 0.5 + 0 - 0.5 - 1 - 1.5 - 2
    )
    assert chill.low_chill(day(-1, 1.8, 8, 14, 17, 19.5, 21.5, rest=-5.0)) == 0 + 0.5 + 1 + 0.5 + 0 - 0.5 - 1


def test_chill_days_case_by_case() -> None:
    """Cesaraccio et al. 2004, threshold 7; chill is positive here, the paper's is its negative."""
    cases = {  # (min, max, mean): (chill, forcing)
        (8, 16, 12): (0, 12 - 7),  # above the threshold
        (7, 16, 11): (0, 11 - 7),
        (3, 15, 8): ((8 - 3) - 64 / 24, 64 / 24),  # across it: (15 - 7)^2 / (2 x 12)
        (1, 6, 3.2): (3.2 - 1, 0),  # between 0 and it
        (-2, 6, 2.1): (36 / 16, 0),  # 6^2 / (2 x 8)
        (-2, 10, 4): (100 / 24 - 9 / 24, 9 / 24),
        (-9, -1, -4): (0, 0),  # below 0
        (5, 5, 5): (0, 0),
        (-3, -3, -3): (0, 0),
        (9, 9, 9): (0, 2),
        (7, 7, 7): (0, 0),
        (0, 0, 0): (0, 0),
    }
    low, high, middle = (np.array(column, dtype=float) for column in zip(*cases, strict=True))
    found = chill.chill_days(low, high, middle, threshold=7)
    assert found[0] == pytest.approx([c for c, _ in cases.values()], abs=1e-12)
    assert found[1] == pytest.approx([f for _, f in cases.values()], abs=1e-12)
    assert np.isnan(chill.chill_days(np.nan, 5.0, 3.0)[0]) and np.isnan(chill.chill_days(1.0, 5.0, np.nan)[1])
    hours = some()
    direct = chill.chill_days(hours.min(-1), hours.max(-1), hours.mean(-1), 6.0)
    assert np.array_equal(chill.chill_days_of_hours(hours, 6.0), direct[0])
    assert np.array_equal(chill.anti_chill_days(hours, 6.0), direct[1])


def test_a_day_at_one_temperature_shows_the_response() -> None:
    at = lambda name, t: float(UNITS[name](np.full((1, 1, 24), t))[0, 0])  # noqa: E731
    assert [at("triangular", t) for t in (-4, -3.4, 0.05, 3.5, 6.95, 10.4, 12)] == pytest.approx(
        [0, 0, 0.5, 1, 0.5, 0, 0]
    )
    assert at("sarvas", 0) == pytest.approx(0.506) and at("sarvas", 3.5) == pytest.approx(0.159 * 3.5 + 0.506)
    assert at("sarvas", 10) == pytest.approx(0.031) and at("sarvas", -3.4) == at("sarvas", 10.4) == 0
    assert [at("linvill_utah", t) / 24 for t in (-5, 0, 7, 14, 21, 30)] == pytest.approx(
        [0, 0, 1, 0, -1, -1], abs=1e-12
    )
    assert at("smooth_utah", 8) / 24 == pytest.approx(1 / (1 + math.exp(-30)) - 2 / (1 + math.exp(6)))
    assert at("unimodal", 5) == pytest.approx(1 / (1 + math.exp(0.1 * 25 - 5)))
    assert at("unimodal", 5) > max(at("unimodal", 4.9), at("unimodal", 5.1))


# ------------------------------------------------------------------------------------------------ plain loops
def test_steps_equal_a_loop_over_the_classes() -> None:
    hours = np.round(some(), 1)
    for name, (ends, weights) in {
        "utah": chill.UTAH,
        "positive_utah": chill.NO_NEGATION,
        "north_carolina": chill.NORTH_CAROLINA,
        "low_chill": chill.LOW_CHILL,
    }.items():
        edges = [-math.inf, *ends, math.inf]

        def rate(t, edges=edges, weights=weights):
            return next(w for a, b, w in zip(edges, edges[1:], weights, strict=False) if a < t <= b)

        assert np.array_equal(UNITS[name](hours), plainly(hours, rate)), name


def test_rates_equal_their_formulas() -> None:
    hours = some()
    expected = {
        "chill_hours": (lambda t: 0 <= t <= 7.2, sum),
        "linvill_utah": (lambda t: 0 if t <= 0 else -1 if t > 21 else math.sin(2 * math.pi * t / 28), sum),
        "smooth_utah": (lambda t: 1 / (1 + math.exp(-5 * (t - 2))) - 2 / (1 + math.exp(14 - t)), sum),
        "triangular": (lambda t: max(0, min((t + 3.4) / 6.9, (10.4 - t) / 6.9)), mean),
        "sarvas": (
            lambda t: 0 if t <= -3.4 or t >= 10.4 else 0.159 * t + 0.506 if t <= 3.5 else 1.621 - 0.159 * t,
            mean,
        ),
        "unimodal": (lambda t: 1 / (1 + math.exp(0.1 * t * t - t)), mean),
    }
    for name, (rate, over) in expected.items():
        np.testing.assert_allclose(UNITS[name](hours), plainly(hours, rate, over), atol=1e-12, err_msg=name)


# ------------------------------------------------------------------------------------------------ every unit
@pytest.mark.parametrize("name", UNITS)
def test_arrays_and_tensors_agree(name: str) -> None:
    hours = some()
    expected = UNITS[name](hours)
    assert isinstance(expected, np.ndarray) and expected.dtype == np.float64 and expected.shape == hours.shape[:-1]
    exact = UNITS[name](torch.tensor(hours))
    np.testing.assert_allclose(exact.numpy(), expected, atol=1e-10)
    single = UNITS[name](torch.tensor(hours, dtype=torch.float32))
    assert single.dtype == torch.float32 and single.shape == expected.shape
    np.testing.assert_allclose(single.numpy(), UNITS[name](hours.astype(np.float32)), rtol=1e-5, atol=1e-5)
    assert UNITS[name](np.zeros((2, 2, 24), dtype=int)).dtype == np.float64
    assert UNITS[name](torch.zeros((2, 2, 24), dtype=torch.int64)).dtype == torch.float32


@pytest.mark.parametrize("name", UNITS)
def test_leading_axes_are_free(name: str) -> None:
    hours = some(6, 5)
    expected = UNITS[name](hours)
    np.testing.assert_allclose(UNITS[name](hours.reshape(2, 3, 5, 24)), expected.reshape(2, 3, 5), atol=1e-12)
    np.testing.assert_allclose(UNITS[name](hours[0]), expected[0], atol=1e-12)
    assert UNITS[name](hours[:0]).shape == (0, 5)


@pytest.mark.parametrize("name", UNITS)
@pytest.mark.parametrize("kind", [np.asarray, torch.tensor])
def test_a_missing_hour_costs_its_day_only(name: str, kind) -> None:
    hours = some()
    hours[1, 7, 13] = np.nan
    found = np.asarray(UNITS[name](kind(hours)))
    assert np.argwhere(np.isnan(found)).tolist() == [[1, 7]]


@pytest.mark.parametrize("name", UNITS)
def test_gradients_exist_and_are_right(name: str) -> None:
    hours = torch.tensor(some(1, 4), requires_grad=True)
    UNITS[name](hours).sum().backward()
    assert torch.isfinite(hours.grad).all()
    if name in SMOOTH:
        place, step = (0, 1, 3), 1e-6
        up, down = hours.detach().clone(), hours.detach().clone()
        up[place] += step
        down[place] -= step
        slope = (UNITS[name](up).sum() - UNITS[name](down).sum()) / (2 * step)
        assert hours.grad[place].item() == pytest.approx(slope.item(), abs=1e-6)


@pytest.mark.parametrize("name", UNITS)
def test_wrong_shapes_are_named(name: str) -> None:
    with pytest.raises(InputError) as fault:
        UNITS[name](np.zeros((3, 23)))
    assert fault.value.code == "DA404"


def test_units_of_ones_own_are_checked() -> None:
    assert chill.steps(day(1, 5, rest=50.0), [2, 6], [0.25, 1, 0]) == 1.25
    for ends, weights in (([2, 6], [0, 1]), ([6, 2], [0, 1, 0]), ([2, 2], [0, 1, 0])):
        with pytest.raises(UsageError) as fault:
            chill.steps(day(), ends, weights)
        assert fault.value.code == "US104"
    with pytest.raises(UsageError):
        chill.chill_days(1.0, 2.0, 1.5, threshold=-1)


def test_extreme_temperatures_do_not_overflow() -> None:
    with np.errstate(all="raise", under="ignore"):
        for name, function in UNITS.items():
            for t in (-89.0, 60.0):
                assert np.isfinite(function(np.full((1, 2, 24), t))).all(), name


def test_arrays_need_no_torch() -> None:
    code = (
        "import sys, numpy as np\n"
        "from ecotone.systems.phenology.chill import CHILL\n"
        "from ecotone.systems.phenology.forcing import FORCING\n"
        "[u.function(np.zeros((1, 2, 24))) for u in (CHILL | FORCING).values()]\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# ------------------------------------------------------------------------------------------------ published output
@pytest.mark.realdata
def test_published_output_of_chillr_on_its_own_winter(data_folder) -> None:
    """chillR's Winters_hours_gaps, days 90 to 100 of 2008: 40 hours, 15.5 Utah units, 2.009147 portions, 2406.52 GDH."""
    table = pd.read_csv(data_folder / "phenology/winters_hourly_2008.csv.gz")
    when = pd.to_datetime(table[["Year", "Month", "Day"]]) + pd.to_timedelta(table["Hour"], "h")
    record = table["Temp"].set_axis(when)
    assert chill.chill_hours(np.resize(np.append(record, [99.0] * 22), (254, 24))).sum() == 203  # of the whole record
    hours = record.reindex(pd.date_range("2008-03-03", "2008-11-11 23:00", freq="h")).to_numpy().reshape(-1, 24)
    window = slice(90 - 63, 101 - 63)  # the record begins on day 63
    for name, value, digits in (
        ("chill_hours", 40, 0),
        ("utah", 15.5, 1),
        ("dynamic", 2.009147, 6),
        ("gdh", 2406.52, 2),
    ):
        assert round(float(UNITS[name](hours)[window].sum()), digits) == value
