"""Evidence about the coming season of a site: by which day will it have bloomed, and is that earlier than usual?

The coming season is the latest one as long as its bloom may still come, else the one after it, whose weather is not known at
all. Letters: N seasons, S days, E completions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ecotone.contract import Check, Curve, Evidence
from ecotone.data.seasons import Calendar, Seasons
from ecotone.systems.phenology.forecast import Answer, answer, blank_seasons

if TYPE_CHECKING:
    from ecotone.systems.phenology.system import PhenologySystem

Array = np.ndarray
DAY_OF_YEAR = "day of the year"  # axes in this unit are labelled with dates
PAST = 30  # latest years that "usual" means
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
EDGE = 0.005  # probability left beyond either end of the drawing


class Coming(NamedTuple):
    """The coming season of a site.

    Attributes:
        site: Its name.
        season: (1,) the season.
        found: Its answer.
        past: Days of the bloom year of the latest observed blooms, oldest first.
        years: First and last year of these.
    """

    site: str
    season: Seasons
    found: Answer
    past: Array
    years: tuple[int, int]

    @property
    def year(self) -> int:
        """The bloom year."""
        return int(self.season.year[0])

    def day(self, level: float) -> np.datetime64:
        """A quantile as a whole day, NaT beyond the season."""
        return self.season.dates(self.found.bloom.quantiles((level,))[:, 0])[0]

    def date(self, level: float) -> str:
        """A quantile as a date without the year, "later" beyond the season."""
        return written(self.day(level)) or "later"

    @property
    def earlier(self) -> float:
        """Days by which its middle lies before that of past years."""
        return float(np.median(self.past) - self.season.doy(self.found.bloom.day)[0]) if len(self.past) else np.nan

    @property
    def usual_day(self) -> np.datetime64:
        """The middle of past years as a day of the coming year, NaT without any."""
        first = np.datetime64(f"{self.year:04d}-01-01", "D")
        return first + int(np.rint(np.median(self.past))) - 1 if len(self.past) else np.datetime64("NaT", "D")

    @property
    def usual(self) -> str:
        """The same as a date without the year."""
        return written(self.usual_day)

    @property
    def compared(self) -> str:
        """How the even odds lie to the middle of past years, in the whole days that both are shown in."""
        apart = self.usual_day - self.day(0.5)
        if np.isnat(apart):
            return "later"
        days = int(apart.astype(np.int64))
        count = f"{abs(days)} day{'s' if abs(days) > 1 else ''}"
        return f"{count} {'earlier' if days > 0 else 'later'}" if days else "as usual"


def written(day: np.datetime64) -> str:
    """``11 Apr``; "" for NaT."""
    if np.isnat(day):
        return ""
    _, month, number = str(day.astype("datetime64[D]")).split("-")
    return f"{int(number)} {_MONTHS[int(month) - 1]}"


def coming(system: PhenologySystem, site: str) -> Coming | None:
    """The coming season of a site; None where nothing can be said of it."""
    rows = np.flatnonzero(system.seasons.site_id == site)
    if not len(rows):
        return None
    own = system.seasons.take(rows)
    latest = own.take([int(own.year.argmax())])

    def ask(season: Seasons) -> Answer:
        return answer(system.estimator.predict, season, system.seasons, system.climate)

    found = ask(latest)
    if latest.observed[0] or not found.forecast[0]:
        calendar = Calendar(system.stored_inputs["season_start"], own.length)
        latest = blank_seasons(own.sites, latest.site, latest.year + 1, own, calendar)
        found = ask(latest)
    if not np.isfinite(found.bloom.cdf).all():
        return None
    seen = own.take(own.observed & np.isfinite(own.event))
    order = np.argsort(seen.year, kind="stable")[-PAST:]
    years = seen.year[order]
    span = (int(years.min()), int(years.max())) if len(years) else (0, 0)
    return Coming(site, latest, found, seen.doy(seen.event)[order], span)


def coming_curve(one: Coming) -> Curve:
    """Probability of bloom by each day beside the share of past years."""
    cdf = one.found.bloom.cdf[0]
    doy = one.season.doy(np.arange(len(cdf))[None])[0]
    shown = (cdf > EDGE) & (cdf < 1 - EDGE)
    low, high = (doy[shown].min(), doy[shown].max()) if shown.any() else (doy[0], doy[-1])
    if len(one.past):
        low, high = min(low, one.past.min()), max(high, one.past.max())
    keep = (doy >= low - 2) & (doy <= high + 2)
    x = doy[keep]
    span = f"{one.years[0]} to {one.years[1]}"
    shares = {f"years {span}": (one.past[:, None] <= x).mean(axis=0)} if len(one.past) >= 3 else {}
    known = one.season.dates(one.found.end.astype(float))[0] if one.found.end[0] >= 0 else None
    weather = f"Weather known until {known}" if known is not None else "No weather of the season is known yet"
    said = f"Even odds by {one.date(0.5)}; nine in ten between {one.date(0.05)} and {one.date(0.95)}. "
    if shares:
        said += f"The middle of {len(one.past)} past years is {one.usual}: {one.compared}. "
    said += f"{weather}; the rest is taken from {int(one.found.completions[0])} past years in turn."
    if one.found.beyond_site[0] > 0:
        said += f" It lies {one.found.beyond_site[0]:.1f} degC beyond the weather of training."
    return Curve(
        title=f"{one.site}: coming bloom, {one.year}",
        target=one.site,
        exact=True,
        x=x,
        y=cdf[keep],
        x_label=f"{one.year}",
        x_unit=DAY_OF_YEAR,
        y_label="bloomed by the day",
        y_unit="1",
        name=f"forecast {one.year}" if shares else "",
        references=shares,
        note=said,
    )


def coming_check(seasons: list[Coming]) -> list[Evidence]:
    """All sites in one list."""
    if not seasons:
        return []
    shift = np.array([one.earlier for one in seasons])
    details = []
    for one in seasons:
        usual = f", usually {one.usual}" if one.usual else ""
        details.append((one.site, f"{one.date(0.5)} {one.year} ({one.date(0.05)} to {one.date(0.95)}{usual})"))
    return [
        Check(
            title="Coming bloom",
            claim="days by which bloom is expected before the middle of past years, mean of the sites shown",
            measured=float(np.nanmean(shift)) if np.isfinite(shift).any() else float("nan"),
            unit="days",
            verdict="note",
            details=tuple(details),
            note="Date with even odds; in brackets nine in ten. `ecotone predict RUN --years YEAR` answers for all "
            "sites, `--as-of` from what is known by then.",
        )
    ]
