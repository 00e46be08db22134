"""Temperatures that are not what they seem: codes for missing values, Fahrenheit, Kelvin, swapped or crossed extremes."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ecotone.data.seasons import TMAX, TMIN
from ecotone.errors import EcotoneWarning, InputError, UsageError, suggest

Array = np.ndarray
UNITS = ("C", "F", "K", "0.1C")
CODES = (
    -999,
    -9999,
    999,
    9999,
    -99,
    -99.9,
    -999.9,
    99.9,
    999.9,
    99.99,
    9999.9,
    -9999.9,
    -32768,
    32767,
    -8888,
    6999,
    7999,
)
RANGE = (-90.0, 60.0)  # degC; the coldest and hottest air measured on earth lie within
_WORDS = {"F": "Fahrenheit", "K": "Kelvin", "0.1C": "tenths of a degree"}
_WARMEST_MONTH = 42.0  # degC; no station has a warmer monthly mean
_WIDEST_DAY = 25.0  # degC; beyond the mean daily range of the driest deserts
_COLDEST_SUMMER = -2.0  # degC; no place with a bloom record has a colder warmest month
_RARE = 0.001


@dataclass
class Checked:
    """Values in degC with what was found."""

    values: Array
    warnings: list[EcotoneWarning] = field(default_factory=list)


def in_celsius(values: Array, station: Array, month: Array, names: Array, where: str, unit: str | None) -> Checked:
    """Temperatures in degC, NaN for what is no temperature.

    Args:
        values: (R, 3) minimum, maximum and mean as written; NaN where missing.
        station: (R,) positions in `names`.
        month: (R,) months since any origin.
        names: (T,) names for messages.
        where: What to name in messages.
        unit: One of `UNITS`, or None for degrees Celsius that are checked.

    Raises:
        UsageError: US101 for an unknown unit.
        InputError: PH608 for another unit than stated, PH609 for swapped extremes.
    """
    if unit is not None and unit not in UNITS:
        raise UsageError("US101", "--temperature-unit", f"{unit!r} is no unit", suggest(unit, UNITS))
    out = Checked(np.array(values, dtype=np.float64))
    _codes(out, where, unit or "C")
    if unit in (None, "C"):
        _recognise(out.values, station, month, names, where)
    out.values = _convert(out.values, unit or "C")
    if unit in ("F", "K", "0.1C"):
        _doubt(out.values, station, month, where, unit)
    _impossible(out, where)
    _crossed(out, where)
    return out


def _convert(values: Array, unit: str) -> Array:
    if unit == "F":
        return (values - 32) / 1.8
    if unit == "K":
        return values - 273.15
    return values / 10 if unit == "0.1C" else values


def _codes(out: Checked, where: str, unit: str) -> None:
    """Usual codes for missing values, where they cannot be temperatures."""
    low, high = (float(_unconvert(x, unit)) for x in RANGE)
    hit = np.isin(np.round(out.values, 2), CODES) & ((out.values < low) | (out.values > high))
    rest = out.values[np.isfinite(out.values) & ~hit]
    if unit == "C" and rest.size and np.median(rest) > high:
        hit &= np.abs(out.values) > 900  # another unit, in which some codes are plain temperatures
    if not hit.any():
        return
    kinds, counts = np.unique(np.round(out.values[hit], 2), return_counts=True)
    listed = ", ".join(f"{k:g} ({c} times)" for k, c in zip(kinds, counts, strict=True))
    out.values[hit] = np.nan
    out.warnings.append(EcotoneWarning("PH611", where, f"{listed} taken as missing", "leave such cells empty"))


def _unconvert(celsius: float, unit: str) -> float:
    return {"C": celsius, "F": celsius * 1.8 + 32, "K": celsius + 273.15, "0.1C": celsius * 10}[unit]


# ------------------------------------------------------------------------------------------------ units
def _mean(values: Array) -> Array:
    middle = (values[:, TMIN] + values[:, TMAX]) / 2
    return np.where(np.isnan(values[:, 2]), middle, values[:, 2])


def warmest_month(mean: Array, station: Array, month: Array, stations: int) -> Array:
    """(T,) largest monthly mean of each station, of months with at least 10 values where there are such; NaN without."""
    return _month_means(mean, station, month, stations)[1]


def _month_means(mean: Array, station: Array, month: Array, stations: int) -> tuple[Array, Array]:
    """(T,) smallest and (T,) largest monthly mean of each station."""
    there = np.isfinite(mean)
    low, high = np.full(stations, np.inf), np.full(stations, -np.inf)
    if not there.any():
        return np.full(stations, np.nan), np.full(stations, np.nan)
    base = month[there].min()
    span = int(month[there].max() - base) + 1
    key, place = np.unique(station[there] * span + (month[there] - base), return_inverse=True)
    count = np.bincount(place)
    average = np.bincount(place, weights=mean[there]) / count
    full = count >= min(10, count.max())
    np.minimum.at(low, (key // span)[full], average[full])
    np.maximum.at(high, (key // span)[full], average[full])
    return np.where(np.isinf(low), np.nan, low), np.where(np.isinf(high), np.nan, high)


def _recognise(values: Array, station: Array, month: Array, names: Array, where: str) -> None:
    """Refuses what is not in degrees Celsius, by station."""
    mean, n = _mean(values), len(names)
    with np.errstate(invalid="ignore"):
        if not np.isfinite(mean).any():
            return
        coldest, warmest = _month_means(mean, station, month, n)
        width = values[:, TMAX] - values[:, TMIN]
        there = np.isfinite(width)
        count = np.bincount(station[there], minlength=n)
        width = np.bincount(station[there], weights=width[there], minlength=n) / np.where(count > 0, count, np.nan)
        # a mild station in tenths may pass for a cold one in Kelvin, but not its daily range
        kelvin = (coldest > 200) & (warmest < 340) & ~(width > 40)
        tenths = ~kelvin & (warmest > 120)
        wide = (width > _WIDEST_DAY) & (width < 60) & (count >= 30)
        fahrenheit = ~kelvin & ~tenths & ((warmest > _WARMEST_MONTH) | wide)
    for unit, found in (("K", kelvin), ("0.1C", tenths), ("F", fahrenheit)):
        if not found.any():
            continue
        listed = [str(x) for x in names[found] if str(x)][:4]
        at = f" at {', '.join(listed)}{', ...' if found.sum() > 4 else ''}" if listed and n > 1 else ""
        one = int(np.flatnonzero(found)[0])
        sign = f"the warmest month has a mean of {warmest[one]:.0f}"
        if unit == "F" and not warmest[one] > _WARMEST_MONTH:
            sign = f"maximum and minimum differ by {width[one]:.0f} on average"
        some = "" if found.all() else " (only some stations: convert those first)"
        what = f"temperatures look like {_WORDS[unit]}{at}: {sign}"
        raise InputError("PH608", where, what, f"pass --temperature-unit {unit}{some}")


def _doubt(celsius: Array, station: Array, month: Array, where: str, unit: str) -> None:
    """Refuses a declared unit after which it is never warm, or far too hot."""
    warmest = warmest_month(_mean(celsius), station, month, int(station.max()) + 1 if len(station) else 1)
    if not np.isfinite(warmest).any():
        return
    middle = float(np.nanmedian(warmest))
    if middle < _COLDEST_SUMMER or middle > _WARMEST_MONTH:
        what = f"read as {_WORDS[unit]}, the warmest month has a mean of {middle:.0f} degrees Celsius"
        raise InputError("PH608", where, what, "leave out --temperature-unit, or state the right one")


# ------------------------------------------------------------------------------------------------ values
def _impossible(out: Checked, where: str) -> None:
    with np.errstate(invalid="ignore"):
        beyond = (out.values < RANGE[0]) | (out.values > RANGE[1])
    share = beyond.sum() / max(np.isfinite(out.values).sum(), 1)
    if not beyond.any():
        return
    some = ", ".join(f"{x:g}" for x in np.unique(np.round(out.values[beyond], 1))[:4])
    if share > 10 * _RARE and beyond.sum() > 5:
        what = f"{share:.1%} of the temperatures are impossible in degrees Celsius ({some})"
        raise InputError("PH608", where, what, "state the unit with --temperature-unit F, K or 0.1C, or mend them")
    out.values[beyond] = np.nan
    what = f"{beyond.sum()} impossible temperatures ({some}) taken as missing"
    out.warnings.append(EcotoneWarning("PH620", where, what, "mend or empty these cells"))


def _crossed(out: Checked, where: str) -> None:
    both = np.isfinite(out.values[:, TMIN]) & np.isfinite(out.values[:, TMAX])
    with np.errstate(invalid="ignore"):
        crossed = both & (out.values[:, TMIN] > out.values[:, TMAX])
    if not crossed.any():
        return
    share = crossed.sum() / both.sum()
    if share > 0.2 and crossed.sum() > 2:
        what = f"the minimum lies above the maximum on {share:.0%} of the days"
        raise InputError("PH609", where, what, "swap the columns: --temperature-columns tmin=...,tmax=...")
    out.values[crossed, :2] = np.nan
    what = f"the minimum lies above the maximum on {crossed.sum()} days, which count as missing unless a mean is given"
    out.warnings.append(EcotoneWarning("PH610", where, what, "mend these days"))
