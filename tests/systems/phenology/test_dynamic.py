"""Chill portions against a plain loop over the published equations, a closed form, and chillR's printed values."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch

from ecotone.systems.phenology.dynamic import PUBLISHED, Constants, dynamic, dynamic_from


def plain(hours, c=PUBLISHED):
    """Portions per hour of one record, in the two quantities S and E of the paper."""
    out, s = [], 0.0
    for t in hours:
        tk = t + 273.0
        f = c.slope * c.tf * (tk - c.tf) / tk
        xi = math.exp(f) / (1 + math.exp(f))
        xs = c.a0 / c.a1 * math.exp((c.e1 - c.e0) / tk)
        k1 = c.a1 * math.exp(-c.e1 / tk)
        e = xs - (xs - s) * math.exp(-k1)
        out.append(xi * e if e >= 1 else 0.0)
        s = e - xi * e if e >= 1 else e
    return np.array(out)


def winter(n=4, s=60, seed=0):
    rng = np.random.default_rng(seed)
    wave = 6 * np.sin(np.arange(24) / 24 * 2 * np.pi)
    return rng.normal(6, 6, (n, s, 1)) + wave + rng.normal(0, 1, (n, s, 24))


def test_equals_the_plain_loop() -> None:
    hours = winter()
    slow = np.stack([plain(season.ravel()).reshape(-1, 24).sum(axis=1) for season in hours])
    assert slow.sum() > 50
    np.testing.assert_allclose(dynamic(hours), slow, atol=1e-10)
    np.testing.assert_allclose(dynamic(torch.tensor(hours)).numpy(), slow, atol=1e-10)


def test_constants_can_be_others() -> None:
    own = Constants(e0=4000.0, e1=12800.0, a0=1e5, a1=2e18, slope=1.2, tf=278.0)
    hours = winter(1)
    slow = plain(hours.ravel(), own).reshape(1, -1, 24).sum(axis=2)
    np.testing.assert_allclose(dynamic(hours, own), slow, atol=1e-10)
    assert np.abs(slow - dynamic(hours)).max() > 0.01


@pytest.mark.parametrize("t", [0.0, 4.0, 6.0, 8.0])
def test_first_portion_at_one_temperature_in_closed_form(t: float) -> None:
    """x = x_s (1 - exp(-k h)) reaches 1 in hour h = ceil(-ln(1 - 1 / x_s) / k)."""
    tk = t + 273
    xs, k = 139_500 / 2.567e18 * math.exp((12888.8 - 4153.5) / tk), 2.567e18 * math.exp(-12888.8 / tk)
    hour = math.ceil(-math.log(1 - 1 / xs) / k)
    fixed = xs * (1 - math.exp(-k * hour)) / (1 + math.exp(-1.6 * 277 * (tk - 277) / tk))
    portions = dynamic(np.full((1, 10, 24), t))[0]
    first = (hour - 1) // 24
    assert np.flatnonzero(portions)[0] == first
    if t > 4:  # nearly all of the product is fixed, so no second portion follows on that day
        assert portions[first] == pytest.approx(fixed, rel=1e-9)


def test_heat_makes_no_portions_and_undoes_what_is_not_fixed() -> None:
    warm, cool = np.full((1, 30, 24), 25.0), np.full((1, 30, 24), 6.0)
    broken = np.where(np.arange(24) < 12, 6.0, 25.0) + 0 * warm  # as many cool hours as 15 days hold
    assert dynamic(warm).sum() == dynamic(broken).sum() == 0
    assert dynamic(cool[:, :15]).sum() > 10


def test_state_is_carried_across_a_cut() -> None:
    hours = winter()
    whole = dynamic(hours)
    for kind in (np.asarray, torch.tensor):
        first, state = dynamic_from(kind(hours[:, :25]))
        second, _ = dynamic_from(kind(hours[:, 25:]), state)
        np.testing.assert_allclose(np.concatenate([first, second], axis=1), whole, atol=1e-12)
    again, state = dynamic_from(hours.reshape(2, 2, 60, 24))
    assert again.shape == (2, 2, 60) and state.shape == (2, 2)
    nothing, same = dynamic_from(hours[:, :0], np.ones(4))
    assert nothing.shape == (4, 0) and same.tolist() == [1, 1, 1, 1]


def test_an_unknown_hour_holds_the_product() -> None:
    hours = winter(2)
    gap = hours.copy()
    gap[0, 30, 5:8] = np.nan
    found = dynamic(gap)
    known = np.delete(hours[0].ravel(), np.arange(30 * 24 + 5, 30 * 24 + 8))
    slow = plain(known)
    assert np.isnan(found[0, 30]) and np.isfinite(np.delete(found[0], 30)).all()
    np.testing.assert_allclose(found[0, :30], slow[: 30 * 24].reshape(-1, 24).sum(axis=1), atol=1e-10)
    np.testing.assert_allclose(found[0, 31:], slow[31 * 24 - 3 :].reshape(-1, 24).sum(axis=1), atol=1e-10)
    np.testing.assert_allclose(found[1], dynamic(hours)[1], atol=1e-12)


def test_seasons_do_not_touch_each_other() -> None:
    hours = winter(5)
    np.testing.assert_allclose(dynamic(hours)[3], dynamic(hours[3]), atol=1e-12)
    np.testing.assert_allclose(dynamic(hours[::-1])[1], dynamic(hours[3]), atol=1e-12)


@pytest.mark.realdata
def test_first_portion_as_chillr_prints_it(data_folder) -> None:
    table = pd.read_csv(data_folder / "phenology/winters_hourly_2008.csv.gz")
    first = np.append(table["Temp"].to_numpy()[:100], np.full(20, 30.0)).reshape(1, 5, 24)
    assert round(float(dynamic(first).sum()), 7) == 0.9698435
    real = table["Temp"].to_numpy()[: 24 * 60]
    np.testing.assert_allclose(dynamic(real.reshape(-1, 24)), plain(real).reshape(-1, 24).sum(axis=1), atol=1e-10)
