"""What the phenology system reads and what a question may add."""

from __future__ import annotations

import re
from typing import Any, Literal, Self

from pydantic import Field, field_validator

from ecotone.contract import Options
from ecotone.data.seasons import Calendar
from ecotone.errors import UsageError

Years = tuple[int, int]
_MONTH_DAY, _DATE = re.compile(r"\d{2}-\d{2}"), re.compile(r"\d{4}-\d{2}-\d{2}")
_RANGE = re.compile(r"(-?[\d.]+?)\.\.(-?[\d.]+?)(?::([\d.]+))?")
_MOST = 50  # warmings at a time


class Inputs(Options):
    """What `fit` reads.

    Attributes:
        bloom: Table of bloom days (site, year, day of year or date), also exports of PEP725, USA-NPN and phenor.
        temperature: Tables of daily minimum and maximum temperatures, or hourly values, or monthly means; several files
            without a station column are named by their file names.
        stations: Tables that link site_id to station_id, or give coordinates of stations or sites.
        within_km: Use the nearest stations up to this distance for sites that name none.
        temperature_unit: Unit of the temperatures; degrees Celsius, checked, by default.
        season_start: Month and day on which a season begins in the north, MM-DD; six months later in the south.
        season_length: Days of a season.
        years: Bloom years to learn from, such as 1990-2020; all by default.
        species: Species to keep where a site has several, or "all" to make each a group.
        phase: Phenophase to keep where the table has several; its name or number.
        latitude: Degrees, for sites that state none. Without it they are northern, their days are as long as at 45 degrees,
            and they count as amid their group.
        max_missing: Largest share of days before bloom without a measured temperature.
        max_gap: Longest gap before bloom that is bridged, days.
        duplicates: What happens to contradicting records of one site and year.
        date_order: Whether dates such as 03/04/2015 are written day first or month first.
        bloom_columns: Columns of the bloom table that are not found by themselves, as role=column.
        temperature_columns: Columns of the temperature tables that are not found by themselves, as role=column.
        chill_from: Folder of a run whose chill response, slopes and base temperature are taken over, with the network, response
            and width they were learned with; only the requirements of the sites are learned.
    """

    bloom: Any = None
    temperature: list[Any] = Field(default_factory=list)
    stations: list[Any] = Field(default_factory=list)
    within_km: float | None = Field(default=None, gt=0)
    temperature_unit: Literal["C", "F", "K", "0.1C"] | None = None
    season_start: str = "10-01"
    season_length: int = Field(default=274, ge=30, le=366)
    years: str | None = None
    species: str | None = None
    phase: str | None = None
    latitude: float | None = Field(default=None, ge=-90, le=90)
    max_missing: float = Field(default=0.03, ge=0, lt=1)
    max_gap: int = Field(default=5, ge=0, le=60)
    duplicates: Literal["error", "mask", "first", "median", "keep"] = "error"
    date_order: Literal["dmy", "mdy"] | None = None
    bloom_columns: list[str] = Field(default_factory=list)
    temperature_columns: list[str] = Field(default_factory=list)
    chill_from: Any = None

    @field_validator("temperature", "stations", mode="before")
    @classmethod
    def _as_list(cls, value: Any) -> Any:
        return list(value) if isinstance(value, list | tuple) else [value]

    @field_validator("bloom_columns", "temperature_columns", mode="before")
    @classmethod
    def _as_words(cls, value: Any) -> Any:
        return split_words(value)

    def check(self) -> Self:
        """Refuses inputs that do not say what to learn from.

        Raises:
            UsageError: US105 naming the option, US104 for dates, years or columns that cannot be read.
        """
        for name, missing in (("bloom", self.bloom is None), ("temperature", not self.temperature)):
            if missing:
                fix = "pass bloom days and temperatures (--bloom FILE --temperature FILE)"
                raise UsageError("US105", f"--{name}", "is missing", fix)
        self.calendar()
        read_years(self.years)
        for name in ("bloom_columns", "temperature_columns"):
            read_columns(name, getattr(self, name))
        return self

    def calendar(self) -> Calendar:
        """When seasons begin and how long they are."""
        return Calendar(self.season_start, self.season_length)


class Query(Options):
    """What `predict`, `evaluate` and `explain` read; without temperatures the seasons of `fit` are meant.

    Attributes:
        temperature: Tables of temperatures of the seasons to answer for; the last season may be incomplete.
        bloom: Table of bloom days; for `evaluate` the truth, for `predict` the sites to answer for.
        stations: Tables that link site_id to station_id, or give coordinates of stations or sites.
        within_km: Use the nearest stations up to this distance for sites that name none; as in `fit` by default.
        temperature_unit: Unit of the temperatures; that of `fit` by default.
        species: Species to keep where a site has several, or "all"; as in `fit` by default.
        phase: Phenophase to keep where the table has several; that of `fit` by default.
        latitude: Degrees, for sites that state none and are not among those of `fit`.
        max_missing: Largest share of days before bloom without a measured temperature; as in `fit` by default.
        max_gap: Longest gap before bloom that is bridged, days; as in `fit` by default.
        duplicates: What happens to contradicting records of one site and year; as in `fit` by default.
        date_order: Whether dates such as 03/04/2015 are written day first or month first; as in `fit` by default.
        bloom_columns: Columns of the bloom table, as role=column; those of `fit` by default.
        temperature_columns: Columns of the temperature tables, as role=column; those of `fit` by default.
        years: Bloom years to answer for, such as 2024 or 2020-2025; all by default. A coming year without temperatures
            is answered from past years.
        sites: Sites to answer for; all by default.
    """

    temperature: list[Any] = Field(default_factory=list)
    bloom: Any = None
    stations: list[Any] = Field(default_factory=list)
    within_km: float | None = Field(default=None, gt=0)
    temperature_unit: Literal["C", "F", "K", "0.1C"] | None = None
    species: str | None = None
    phase: str | None = None
    latitude: float | None = Field(default=None, ge=-90, le=90)
    max_missing: float | None = Field(default=None, ge=0, lt=1)
    max_gap: int | None = Field(default=None, ge=0, le=60)
    duplicates: Literal["error", "mask", "first", "median", "keep"] | None = None
    date_order: Literal["dmy", "mdy"] | None = None
    bloom_columns: list[str] = Field(default_factory=list)
    temperature_columns: list[str] = Field(default_factory=list)
    years: str | None = None
    sites: list[str] = Field(default_factory=list)

    @field_validator("temperature", "stations", "sites", mode="before")
    @classmethod
    def _as_list(cls, value: Any) -> Any:
        return list(value) if isinstance(value, list | tuple) else [value]

    @field_validator("bloom_columns", "temperature_columns", mode="before")
    @classmethod
    def _as_words(cls, value: Any) -> Any:
        return split_words(value)

    def check(self) -> Self:
        """Refuses a query that cannot be answered.

        Raises:
            UsageError: US105 for tables, or how to read them, without temperatures, US104 for years or columns that cannot
                be read.
        """
        read_years(self.years)
        for name in ("bloom_columns", "temperature_columns"):
            read_columns(name, getattr(self, name))
        files = (("bloom", self.bloom is not None), ("stations", bool(self.stations)))
        given = [name for name, there in files if there] + list(self.reading())
        if given and not self.temperature:
            where = f"--{given[0].replace('_', '-')}"
            raise UsageError("US105", where, "needs temperatures beside it", "add --temperature FILE")
        return self

    def reading(self) -> dict[str, Any]:
        """How its tables are read, as far as it says so."""
        files = {"temperature", "bloom", "stations", "years", "sites"}
        return {k: v for k, v in self.model_dump(exclude=files).items() if v not in (None, [])}


class Ask(Options):
    """What a question may add.

    Attributes:
        warm: Degrees to warm every hour by, each in turn; 0 1 2 or 0..6 or 0..3:0.5.
        by: Days for which to give the probability that bloom has come, MM-DD.
        as_of: What is known up to this day only, MM-DD of each season or a date; the weather after it is drawn from past years.
        not_yet: Take it as given that bloom has not come by the last day with a temperature (or --as-of).
        completions: Past years of the site that complete an incomplete season, the latest ones.
        level: Level of the interval beside the fixed quantiles, and of the bands of evidence.
        season: Bloom year that evidence takes apart day by day; the latest complete one by default.
    """

    warm: tuple[float, ...] = ()
    by: tuple[str, ...] = ()
    as_of: str | None = None
    not_yet: bool = False
    completions: int = Field(default=30, ge=1, le=200)
    level: float = Field(default=0.9, gt=0, lt=1)
    season: int | None = Field(default=None, ge=1, le=9999)

    @field_validator("warm", mode="before")
    @classmethod
    def _degrees(cls, value: Any) -> Any:
        values = list(value) if isinstance(value, list | tuple) else [value]
        found: list[float] = []
        for part in values:
            for word in str(part).replace(",", " ").split():
                found += _expanded(word)
        if len(found) > _MOST:
            raise ValueError(f"at most {_MOST} warmings at a time")
        return tuple(dict.fromkeys(found))

    @field_validator("by", mode="before")
    @classmethod
    def _days(cls, value: Any) -> Any:
        days = split_words(value)
        for day in days:
            if not is_month_day(day):
                raise ValueError(f"{day!r} is no month and day, MM-DD")
        return tuple(days)

    @field_validator("as_of")
    @classmethod
    def _day(cls, value: str | None) -> str | None:
        if value is not None and not (is_month_day(value) or is_date(value)):
            raise ValueError("should be MM-DD or YYYY-MM-DD")
        return value


def split_words(value: Any) -> list[str]:
    """Words of a list or of texts with commas."""
    values = value if isinstance(value, list | tuple) else [value]
    return [word.strip() for text in values for word in str(text).split(",") if word.strip()]


def is_month_day(text: str) -> bool:
    """Whether a text is MM-DD of a leap year."""
    return bool(_MONTH_DAY.fullmatch(text)) and is_date(f"2000-{text}")


def is_date(text: str) -> bool:
    """Whether a text is YYYY-MM-DD."""
    from datetime import date

    try:
        return bool(_DATE.fullmatch(text)) and bool(date.fromisoformat(text))
    except ValueError:
        return False


def read_years(text: str | None) -> Years | None:
    """First and last of "2024", "2020-2025" or "2020..2025".

    Raises:
        UsageError: US104 when it is none of these.
    """
    if text is None:
        return None
    match = re.fullmatch(r"(\d{3,4})(?:(?:-|\.\.|:)(\d{3,4}))?", text.strip())
    if not match or int(match[2] or match[1]) < int(match[1]):
        raise UsageError("US104", "--years", f"{text!r} is no year or range of years", "write 2024 or 2020-2025")
    return int(match[1]), int(match[2] or match[1])


def read_columns(option: str, words: list[str]) -> dict[str, str]:
    """Role -> column of role=column words.

    Raises:
        UsageError: US104 for a word without "=".
    """
    found = {}
    for word in words:
        role, equals, column = word.partition("=")
        if not equals or not role or not column:
            where = f"--{option.replace('_', '-')}"
            raise UsageError("US104", where, f"{word!r} is no role=column", "write for example year=jahr")
        found[role.strip()] = column.strip()
    return found


def _expanded(word: str) -> list[float]:
    match = _RANGE.fullmatch(word)
    if not match:
        return [_number(word)]
    low, high, step = _number(match[1]), _number(match[2]), _number(match[3] or "1")
    if step <= 0 or high < low or (high - low) / step > _MOST:
        raise ValueError(f"{word!r} is no range of degrees such as 0..6")
    return [round(low + k * step, 6) for k in range(int((high - low) / step + 1e-9) + 1)]


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{text!r} is no number of degrees, and no range such as 0..6") from None
    if not -30 <= value <= 30:
        raise ValueError(f"{text} degrees is out of -30 to 30")
    return value
