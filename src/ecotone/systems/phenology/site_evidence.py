"""Evidence about one site: a season day by day, all years, warming, which months mattered, breaks in the record.

Letters: N seasons, S days, D donors.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ecotone.contract import Check, Contributions, Curve, Evidence
from ecotone.data.seasons import TMEAN, Seasons
from ecotone.errors import InputError
from ecotone.systems.phenology.distribution import quantile
from ecotone.systems.phenology.forecast import donors, last_known, spliced, stacked
from ecotone.systems.phenology.warming import DEGREES, warming

if TYPE_CHECKING:
    from ecotone.systems.phenology.system import PhenologySystem

Array = np.ndarray
DONORS = 10  # past years that an average year is made of
DAY_OF_YEAR = "day of the year"  # axes in this unit are labelled with dates
_MONTHS = ("", "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def of_site(
    system: PhenologySystem, site: str, asked: Seasons, level: float, warm: tuple[float, ...]
) -> list[Evidence]:
    """Everything about a site.

    Args:
        system: Fitted.
        site: Its name.
        asked: Seasons of the question; the latest complete one of the site is taken apart.
        level: Of bands.
        warm: Warmings, degC; 0 to 6 by default.
    """
    found: list[Evidence] = [*years_curve(system, site, level)]
    season = season_of(system, site, asked)
    if season is not None:
        found += [*accumulation_curve(system, site, season), *month_terms(system, site, season)]
    return [*found, *warming_curve(system, site, warm, level), *break_check(system, site)]


def season_of(system: PhenologySystem, site: str, asked: Seasons) -> Seasons | None:
    """(1,) the latest season of the site, completed where it must be: by its nearest past year."""
    rows = np.flatnonzero(asked.site_id == site)
    if not len(rows):
        return None
    own = asked.take(rows[np.argsort(asked.year[rows], kind="stable")])
    end = last_known(own)
    whole = np.flatnonzero(end >= own.length - 1)
    k = int(whole[-1]) if len(whole) else len(own) - 1
    if end[k] >= own.length - 1:
        return own.take([k])
    given = donors(own, k, int(end[k]), system.seasons, 1)
    return spliced(own, np.array([k]), end[[k]], system.seasons, given) if len(given) else None


# ------------------------------------------------------------------------------------------------ one season
def accumulation_curve(system: PhenologySystem, site: str, season: Seasons) -> list[Evidence]:
    """Chill and forcing as shares of what the site needs, to a little after bloom."""
    gathered = system.estimator.accumulation(season)
    chill = gathered.chill[0] / np.maximum(gathered.chill_requirement[0], 1e-9)
    forcing = gathered.forcing[0] / np.maximum(gathered.forcing_requirement[0], 1e-9)
    released, bloomed = np.asarray(gathered.released[0], float), np.asarray(gathered.bloomed[0], float)
    late = quantile(bloomed[None], 0.95)[0]
    stop = season.length if np.isnan(late) else min(int(late) + 8, season.length)
    x = season.doy(np.arange(season.length)[None])[0][:stop]
    year = int(season.year[0])
    day = quantile(bloomed[None], 0.5)
    said = f"Predicted bloom {season.dates(day)[0]}" if np.isfinite(day[0]) else "Bloom is not expected in the season"
    if season.observed[0]:
        said += f", observed {season.dates(season.event)[0]}"
    return [
        Curve(
            title=f"{site}: chill and forcing in {year}",
            target=site,
            exact=True,
            x=x,
            y=chill[:stop],
            x_label=f"winter and spring of {year}",
            x_unit=DAY_OF_YEAR,
            y_label="share of the requirement",
            y_unit="1",
            name="chill gathered",
            references={
                "dormancy released": released[:stop],
                "forcing gathered": forcing[:stop],
                "bloomed (probability)": bloomed[:stop],
                "requirement": np.ones(stop),
            },
            note=f"{said}. Chill counts until it reaches 1, then forcing; drawn to a week after bloom is all but certain. "
            f"Requirements: {float(gathered.chill_requirement[0]):.1f} chill days, "
            f"{float(gathered.forcing_requirement[0]):.0f} degC days.",
        )
    ]


def month_terms(system: PhenologySystem, site: str, season: Seasons) -> list[Evidence]:
    """How each month moved this season's day against an average year of the site.

    The average is that over past years; month by month their weather is replaced by that of the season, forward through
    the season and backward, and the mean of the two changes is the month's term, so that the terms add up.
    """
    pool = system.trained_whole(site)
    pool = pool.take(pool.year != season.year[0])
    pool = pool.take(np.arange(len(pool))[-DONORS:])
    if len(pool) < 3:
        return []
    days = season.first[0] + np.arange(season.length)
    month = days.astype("datetime64[M]").astype(int)
    order = np.unique(month)
    with_own = []
    for k in range(len(order) + 1):  # months before k from the season, then months from k on
        with_own.append(_mixed(season, pool, month < (order[k] if k < len(order) else month.max() + 1)))
    for k in range(len(order) + 1):
        with_own.append(_mixed(season, pool, month >= (order[k] if k < len(order) else month.max() + 1)))
    day = system.estimator.predict(stacked(with_own).unlabelled()).day.reshape(len(with_own), len(pool))
    good = np.isfinite(day).all(axis=0)
    if good.sum() < 3:
        return []
    mean = day[:, good].mean(axis=1)
    n = len(order)
    terms = (np.diff(mean[: n + 1]) - np.diff(mean[n + 1 :])) / 2
    usual, real = pool.daily[..., TMEAN].mean(axis=0), season.daily[0, :, TMEAN]
    names, values, rest = [], [], 0.0
    for k, m in enumerate(order):
        inside = month == m
        if abs(terms[k]) < 0.005:
            rest += float(terms[k])
            continue
        warmer = float(np.nanmean((real - usual)[inside]))
        names.append(f"{_MONTHS[m % 12 + 1]} ({warmer:+.1f} degC)")
        values.append(float(terms[k]))
    if rest or not names:
        names.append("other months")
        values.append(rest)
    total = float(mean[n] - mean[0])
    return [
        Contributions(
            title=f"{site}: what moved bloom in {int(season.year[0])}",
            target=site,
            names=tuple(names),
            values=np.array(values),
            additive=True,
            total=total,
            unit="days",
            note=f"Days against an average year ({int(good.sum())} others of the site); negative is earlier. In brackets how "
            "much warmer than those the month was. Months replaced one after the other, forward and backward, averaged.",
        )
    ]


def _mixed(season: Seasons, pool: Seasons, own: Array) -> Seasons:
    """(D,) the pool with the season's weather on some days."""
    rows = np.zeros(len(pool), dtype=int)
    daily = np.where(own[None, :, None], season.daily[rows], pool.daily)
    hours = None
    if season.hours is not None or pool.hours is not None:
        hours = np.where(own[None, :, None], season.hourly()[rows], pool.hourly())
    n = len(pool)
    return replace(
        pool, daily=daily, hours=hours, year=np.repeat(season.year, n), first=np.repeat(season.first, n), extra={}
    )


# ------------------------------------------------------------------------------------------------ all years
def years_curve(system: PhenologySystem, site: str, level: float) -> list[Evidence]:
    """Predicted and observed days over the years: held-out answers where the fit has them."""
    held = system.held_out()
    if held is not None and (held.seasons.site_id == site).sum() >= 3:
        rows = np.flatnonzero(held.seasons.site_id == site)
        seasons, day = held.seasons.take(rows), held.day[rows]
        low, high = held.low[rows], held.high[rows]
        said, level = "Each year was predicted by networks that had not seen it.", 0.9
    else:
        seasons = system.trained.take(system.trained.observed & (system.trained.site_id == site))
        if len(seasons) < 2:
            return []
        found = system.estimator.predict(seasons.unlabelled())
        day = found.day
        low, high = found.quantiles(((1 - level) / 2, (1 + level) / 2)).T
        said = "The years shown were learned from, so that they look better than new ones."
    high = np.where(np.isnan(high), seasons.length - 1, high)
    off = np.abs(seasons.event - day)
    years = np.arange(seasons.year.min(), seasons.year.max() + 1)  # years without a record stay empty
    lines = {}
    for name, values in (("day", day), ("low", low), ("high", high), ("seen", seasons.event)):
        lines[name] = np.full(len(years), np.nan)
        lines[name][seasons.year - years[0]] = seasons.doy(values)
    return [
        Curve(
            title=f"{site}: predicted and observed bloom",
            target=site,
            x=years.astype(float),
            y=lines["day"],
            lower=lines["low"],
            upper=lines["high"],
            band=f"{level:.0%} interval",
            x_label="year",
            y_label="bloom",
            y_unit=DAY_OF_YEAR,
            name="predicted",
            references={"observed": lines["seen"]},
            note=f"{said} Mean absolute error {np.nanmean(off) if np.isfinite(off).any() else np.nan:.1f} days.",
        )
    ]


def warming_curve(system: PhenologySystem, site: str, warm: tuple[float, ...], level: float) -> list[Evidence]:
    """Shift of bloom in warmer years."""
    pool = system.trained_whole(site)
    if len(pool) < 3:
        return []
    found = warming(system.estimator.predict, pool, system.climate, warm or DEGREES)
    table = found.shifts(site)
    moved = found.bounded - found.bounded[int(np.flatnonzero(found.degrees == 0)[0])]
    tail = (1 - level) / 2
    shift = table["shift"].to_numpy(dtype=float)
    known = np.isfinite(shift)
    if known.sum() < 2:
        return []
    low, high = np.quantile(moved[known], [tail, 1 - tail], axis=1)
    degrees, shift = found.degrees[known], shift[known]
    away = table["extrapolates"].to_numpy(dtype=float)
    never = table["no_bloom"].to_numpy(dtype=float)
    inside = found.degrees[(away < 0.5) & known]
    words = "Hatched: most years lie beyond the weather of training, and the form of the model answers alone."
    if never.max() > 0:
        worst = found.degrees[never > 0]
        words += f" From +{worst.min():g} degC on some years (up to {never.max():.0%}) do not bloom in the season; they count"
        words += " as its end."
    return [
        Curve(
            title=f"{site}: bloom in a warmer climate",
            target=site,
            x=degrees,
            y=shift,
            lower=low,
            upper=high,
            band=f"{level:.0%} of {len(pool)} years",
            x_label="every hour warmer by",
            x_unit="degC",
            y_label="shift of bloom",
            y_unit="days",
            support=inside if 0 < len(inside) < len(degrees) else None,
            note=f"The middle one of the years {int(pool.year.min())}-{int(pool.year.max())}; negative is earlier. {words}",
        )
    ]


def break_check(system: PhenologySystem, site: str) -> list[Evidence]:
    """Does the record look like one tree and one observer?"""
    from ecotone.systems.phenology.breaks import LEAST_YEARS, find_breaks

    held = system.held_out()
    if held is None:
        return []
    rows = np.flatnonzero((held.seasons.site_id == site) & np.isfinite(held.error))
    if len(rows) < LEAST_YEARS:
        return []
    year, residual = held.seasons.year[rows], held.error[rows]
    try:
        record = find_breaks(year, residual, site=site)
    except InputError:
        return []
    details = [
        (str(b.year), f"{b.size:+.1f} days from then on" if b.kind == "level" else f"scatter times {b.size:.1f}")
        for b in record.breaks
    ]
    details += [("outlying years", ", ".join(map(str, record.outliers)))] if record.outliers else []
    return [
        Check(
            title=f"{site}: breaks in the record",
            target=site,
            claim="breaks in the record against the held-out answers",
            measured=float(len(record.breaks)),
            bound=0.0,
            unit="breaks",
            verdict="note" if record.breaks else "pass",
            details=tuple(details),
            note="A step or another scatter may mean another tree, observer, definition or station; a clean record is "
            "suspected one time in twenty.",
        )
    ]
