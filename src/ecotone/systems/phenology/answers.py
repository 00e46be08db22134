"""Answers as a table: one row per season (and warming), with dates, quantiles, probabilities and why there is none.

Letters: N seasons, W warmings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ecotone.contract import Prediction
from ecotone.data.seasons import Seasons
from ecotone.errors import UsageError
from ecotone.systems.phenology.forecast import Answer, day_in_season

if TYPE_CHECKING:
    from ecotone.systems.phenology.options import Ask

Array = np.ndarray
LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
DOY = "day of the bloom year"


def table(seasons: Seasons, answers: dict[float, Answer], ask: Ask) -> Prediction:
    """The answers of N seasons.

    Args:
        seasons: What was asked.
        answers: Warming in degC -> its answers; {0.0: ...} when none was asked for.
        ask: What was asked beside.

    Returns:
        Rows season by season, its warmings together. Days are days of the bloom year (1 is 1 January, 0 and less lie in
        the year before), also as dates.
    """
    degrees = list(answers)
    parts = [columns(seasons, answers[d], ask, warm=d) for d in degrees]
    order = np.arange(len(seasons) * len(degrees)).reshape(len(degrees), -1).T.ravel()
    arrays = {name: np.concatenate([p[name] for p in parts])[order] for name in parts[0]}
    if not ask.warm:
        arrays.pop("warm")
    units = {name: unit_of(name) for name, a in arrays.items() if a.dtype.kind == "f"}
    for name, unit in units.items():  # a hundredth of a day is more than any answer knows
        arrays[name] = np.round(arrays[name], 4 if unit == "1" else 2)
    return Prediction(arrays, units)


def check_days(seasons: Seasons, days: Sequence[str], option: str) -> None:
    """Refuses days MM-DD that lie in none of the seasons; those of the other hemisphere only are left empty later.

    Args:
        seasons: All that are asked for.
        days: MM-DD or dates.
        option: That they were given with.

    Raises:
        UsageError: US104 naming the days and when the seasons begin and end.
    """
    outside = [day for day in days if len(seasons) and np.isnan(day_in_season(seasons, day)).all()]
    if not outside:
        return
    begin, one = np.unique([str(day)[5:] for day in seasons.first], return_index=True)
    end = seasons.first[one] + seasons.length - 1
    spans = " or ".join(f"{first} to {str(last)[5:]}" for first, last in zip(begin, end, strict=True))
    what = f"outside the season ({spans}): {', '.join(outside)}"
    raise UsageError("US104", option, what, "ask for days within it")


def columns(seasons: Seasons, answer: Answer, ask: Ask, *, warm: float) -> dict[str, Array]:
    """Name -> (N,) column."""
    bloom, n = answer.bloom, len(seasons)
    found: dict[str, Array] = {
        "site_id": np.array([str(s) for s in seasons.site_id], dtype=object),
        "year": np.asarray(seasons.year, dtype=np.int64),
        "warm": np.full(n, float(warm)),
        "date": texts(seasons.dates(bloom.day)),
        "doy": seasons.doy(bloom.day),
    }
    quantiles = bloom.quantiles(LEVELS)
    for k, level in enumerate(LEVELS):
        found[f"q{100 * level:02.0f}"] = seasons.doy(quantiles[:, k])
    for k, level in enumerate(LEVELS):
        found[f"date_q{100 * level:02.0f}"] = texts(seasons.dates(quantiles[:, k]))
    if abs(ask.level - 0.9) > 1e-9:
        ends = bloom.quantiles(((1 - ask.level) / 2, (1 + ask.level) / 2))
        found["low"], found["high"] = seasons.doy(ends[:, 0]), seasons.doy(ends[:, 1])
    found["bloomed"] = bloom.ever
    for day in ask.by:
        found[f"by_{day}"] = bloom.by(day_in_season(seasons, day))
    found["kind"] = np.where(answer.forecast, "forecast", "hindcast").astype(object)
    found["known_until"] = texts(seasons.dates(np.where(answer.end < 0, np.nan, answer.end)))
    found["completions"] = answer.completions.astype(np.int64)
    found["extrapolates"] = np.nan_to_num(answer.beyond_site) > 0
    found["beyond_site"], found["beyond_all"] = answer.beyond_site, answer.beyond_all
    found["reason"] = np.array([str(r) for r in bloom.reason], dtype=object)
    return found


def texts(dates: Array) -> Array:
    """ISO dates; "" for NaT."""
    return np.where(np.isnat(dates), "", np.datetime_as_string(dates, unit="D")).astype(object)


def unit_of(name: str) -> str:
    """Unit of a column of numbers."""
    if name in ("warm", "beyond_site", "beyond_all"):
        return "degC"
    return "1" if name == "bloomed" or name.startswith("by_") else DOY
