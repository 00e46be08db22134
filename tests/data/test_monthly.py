"""Daily curves from monthly means: exact means, smoothness, missing months, against a plain constrained solve."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ecotone.data.monthly import MOST_BEYOND, daily_from_monthly, month_lengths
from ecotone.errors import InputError

MEANS = np.array(
    [[16.2, 10.1, 5.0, 3.1, 4.2, 8.3, 14.0, 18.9, 22.1], [11.3, 0.9, -7.1, -7.7, -7.3, -0.9, 3.6, 6.9, 11.1]]
)


def month_means(daily, lengths):
    ends = np.cumsum(lengths)
    return [daily[a:b].mean() for a, b in zip(ends - lengths, ends, strict=True)]


def test_lengths_know_leap_years_and_the_turn_of_the_year() -> None:
    assert month_lengths([2020, 2021, 1900]).tolist() == [
        [31, 30, 31, 31, 29, 31, 30, 31, 30],
        [31, 30, 31, 31, 28, 31, 30, 31, 30],
        [31, 30, 31, 31, 28, 31, 30, 31, 30],
    ]
    assert month_lengths(2020, first_month=1, count=3).tolist() == [[31, 29, 31]]
    assert month_lengths(2021, first_month=4, count=9).tolist() == [[30, 31, 30, 31, 31, 30, 31, 30, 31]]
    assert month_lengths(2020, first_month=2, count=13).sum() == 365 - 31 + 31 + 29


def test_every_month_keeps_its_mean() -> None:
    lengths = month_lengths([2020, 2021])
    daily = daily_from_monthly(MEANS, lengths, 274)
    assert daily.shape == (2, 274) and daily.dtype == float
    for row in range(2):
        assert month_means(daily[row], lengths[row]) == pytest.approx(MEANS[row], abs=1e-9)


def test_is_the_smoothest_of_all_with_these_means() -> None:
    rng = np.random.default_rng(0)
    lengths = np.array([5, 7, 6, 4])
    means = rng.normal(0, 5, (1, 4))
    daily = daily_from_monthly(means, lengths)[0]
    # plain: minimise |D y| over y = y0 + null space of the means
    picks = np.repeat(np.eye(4) / lengths[:, None], lengths, axis=1)
    null = np.linalg.svd(picks)[2][4:].T
    start = np.linalg.pinv(picks) @ means[0]
    bend = np.diff(np.eye(22), 2, axis=0)
    slow = start + null @ np.linalg.lstsq(bend @ null, -bend @ start, rcond=None)[0]
    np.testing.assert_allclose(daily, slow, atol=1e-8)
    for _ in range(20):
        other = daily + null @ rng.normal(0, 0.1, null.shape[1])
        assert np.sum(np.diff(other, 2) ** 2) > np.sum(np.diff(daily, 2) ** 2)


def test_straight_lines_stay_straight() -> None:
    lengths = month_lengths(2021)[0]
    line = 3 + 0.05 * np.arange(273)
    daily = daily_from_monthly(np.array([month_means(line, lengths)]), lengths, 274)[0]
    np.testing.assert_allclose(daily, 3 + 0.05 * np.arange(274), atol=1e-7)


def test_missing_months_are_missing_days_and_the_others_keep_their_means() -> None:
    lengths = month_lengths(2021)[0]
    means = np.repeat(MEANS[:1], 3, axis=0)
    means[0, 3], means[1, 8], means[2] = np.nan, np.nan, np.nan
    means[2, 4] = 7.5
    daily = daily_from_monthly(means, lengths, 274)
    ends = np.cumsum(lengths)
    assert np.array_equal(np.flatnonzero(np.isnan(daily[0])), np.arange(ends[2], ends[3]))
    assert np.array_equal(np.flatnonzero(np.isnan(daily[1])), np.arange(ends[7], 274))
    assert (daily[2, ends[3] : ends[4]] == pytest.approx(7.5)) and np.isnan(daily[2]).sum() == 274 - 28
    for row in (0, 1):
        kept = np.isfinite(means[row])
        assert np.array(month_means(daily[row], lengths))[kept] == pytest.approx(means[row, kept], abs=1e-9)
    assert np.isnan(daily_from_monthly(np.full((1, 9), np.nan), lengths)).all()


def test_days_beyond_and_days_cut_off() -> None:
    lengths = month_lengths([2020, 2021])
    whole = daily_from_monthly(MEANS, lengths)
    assert whole.shape == (2, 274)  # the longer of the two
    np.testing.assert_allclose(daily_from_monthly(MEANS, lengths, 100), whole[:, :100], atol=1e-9)
    beyond = daily_from_monthly(MEANS, lengths, 280)
    np.testing.assert_allclose(np.diff(beyond[0, 273:], 2), 0, atol=1e-8)
    assert daily_from_monthly(np.empty((0, 9)), lengths[:1], 274).shape == (0, 274)


def test_faults_are_named() -> None:
    for means, lengths, days in (
        (MEANS[0], month_lengths(2020)[0], None),
        (MEANS, np.array([31, 30]), None),
        (MEANS, np.zeros(9, dtype=int), None),
        (MEANS, month_lengths(2021)[0], 273 + MOST_BEYOND + 1),
    ):
        with pytest.raises(InputError) as fault:
            daily_from_monthly(means, lengths, days)
        assert fault.value.code == "DA404"


@pytest.mark.realdata
def test_monthly_records_of_japan(data_folder) -> None:
    table = pd.read_csv(data_folder / "phenology/japan_monthly.csv")
    means = table[[c for c in table if c.startswith("t_")]].to_numpy(dtype=float)
    lengths = month_lengths(table["year"].to_numpy())
    daily = daily_from_monthly(means, lengths, 274)
    begins = np.concatenate([np.zeros((len(table), 1), int), lengths.cumsum(axis=1)], axis=1)
    sums = np.concatenate([np.zeros((len(table), 1)), daily.cumsum(axis=1)], axis=1)
    rows = np.arange(len(table))[:, None]
    again = (sums[rows, begins[:, 1:]] - sums[rows, begins[:, :-1]]) / lengths
    assert np.abs(again - means).max() < 1e-6
