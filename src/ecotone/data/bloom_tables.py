"""Bloom tables of every usual form as one list of records: site, year, day, and what is known of it.

Read are tables of one row per site and year, exports of PEP725 and of the USA National Phenology Network (phenometrics, and
status records, which are condensed to first dates), and the tables of pyPhenology, phenor and chillR. A row that cannot
be used stays in the list with a code and a reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ecotone.data.occurrence_columns import plain
from ecotone.data.season_columns import (
    BLOOM,
    DEGREES,
    as_names,
    as_numbers,
    days_of,
    find,
    lacking,
    leap,
    misplaced,
    read_days,
)
from ecotone.data.seasons import Calendar, Status
from ecotone.errors import EcotoneWarning, InputError, UsageError, listed, suggest

Array = np.ndarray
YEARS = (500, 2300)
_OBSERVED = {"", "observed", "bloomed", "flowered", "yes", "y", "1", "true", "exact", "event", "ok"}
_NEVER = {
    *("never", "neverbloomed", "notbloomed", "nobloom", "nobloomed", "didnotbloom", "no", "n", "0", "false", "none"),
    *("notflowered", "neverflowered", "absent", "failed", "jamais", "nie"),
}
_AFTER = {"after", "right", "rightcensored", "notyet", "censored", "later", "notbloomedyet"}
_BEFORE = {"before", "left", "leftcensored", "already", "earlier"}
_UNKNOWN = {"unknown", "missing", "na", "nan", "notobserved", "norecord"}
_PLACES = ("latitude", "longitude", "altitude")


@dataclass(frozen=True)
class BloomTable:
    """Bloom records.

    Attributes:
        frame: One row per record: row (as a spreadsheet counts), site_id, year (NaN until a calendar places the date),
            date (NaT when unknown), status (`Status`), last_no (the last day known without bloom, NaT when unknown),
            latitude, longitude, altitude, country, group, individual, source, code and reason ("" when usable).
        where: The file, for messages.
        notes: What was noticed, in words.
        warnings: What was noticed and handled.
    """

    frame: pd.DataFrame
    where: str
    notes: tuple[str, ...] = ()
    warnings: tuple[EcotoneWarning, ...] = ()

    def __len__(self) -> int:
        return len(self.frame)


def read_bloom(path: str | Path, **options: object) -> BloomTable:
    """Reads a bloom table from a file; see `bloom_table` for the options.

    Raises:
        InputError: As `read_table`, and as `bloom_table`.
    """
    from ecotone.data.tables import read_table

    info = read_table(path)
    return bloom_table(info.frame, where=str(path), rows=info.rows, **options)  # type: ignore[arg-type]


def bloom_table(
    frame: pd.DataFrame,
    *,
    where: str = "bloom table",
    rows: Array | None = None,
    columns: Mapping[str, str | None] | None = None,
    species: str | None = None,
    phenophase: str | None = None,
    date_order: str | None = None,
    prior_no_days: float = 30,
    calendar: Calendar | None = None,
    label: bool = False,
) -> BloomTable:
    """Bloom records from a data frame.

    Args:
        frame: The table.
        where: What to name in messages.
        rows: (R,) row numbers for messages.
        columns: Role -> column, for columns that are not found by themselves; the roles are those of
            `season_columns.BLOOM`.
        species: Species to keep where sites have several, or "all" to make each a group.
        phenophase: Phenophase to keep where the table has several; its name or number.
        date_order: "dmy" or "mdy".
        prior_no_days: Phenometrics count as observed when a visit without bloom lies at most so many days before the
            first with bloom, otherwise as bloomed before the day of that visit.
        calendar: Seasons that status records are condensed in.
        label: Make the species a group also where there is only one.

    Raises:
        InputError: PH601 a column is missing, PH602 several phenophases, PH603 several species at a site, PH605 day and
            month cannot be told apart, IO102 no rows, PH613 a coordinate that is none in all rows.
        UsageError: US101 for an unknown species or phenophase.
    """
    names = [str(name) for name in frame.columns]
    data: Any = frame.set_axis(names, axis=1)
    role = find(names, BLOOM, columns, where)
    if {"doy", "date"} & set(role) == set():
        raise lacking(["doy", "date"], names, BLOOM, where, "--bloom-columns")
    if "year" not in role and "date" not in role:
        raise lacking(["year"], names, BLOOM, where, "--bloom-columns")
    if frame.empty:
        raise InputError("IO102", where, "has no rows below its header", "pass a table with one row per site and year")
    numbers = np.arange(2, len(data) + 2) if rows is None else np.asarray(rows)
    notes: list[str] = []
    keep, chosen = _choose_phenophase(data, role, phenophase, where)
    data, numbers = data[keep].reset_index(drop=True), numbers[keep]
    group, keep = _groups(data, role, species, where, label)
    data, numbers, group = data[keep].reset_index(drop=True), numbers[keep], group[keep]
    notes += [f"phenophase {chosen}"] if chosen else []
    out = _plain_columns(data, role, numbers, group)
    _place_ranges(out, where)
    observations = "status" in role and plain(role["status"]) == "phenophasestatus" and "prior_no" not in role
    _days(out, data, role, where, date_order)
    _statuses(out, data, role, notes)
    if "same_as" in role:
        other = as_names(data[role["same_as"]])
        _mask(out, other != "", "PH607", lambda i: f"is the same record as {other[i]}")
    if observations:
        out = _condense(out, calendar or Calendar())
        notes.append("status records condensed to the first day with bloom of each plant and season")
    elif "prior_no" in role or "prior_no_doy" in role:
        _visits(out, data, role, prior_no_days)
    return BloomTable(out, where, tuple(notes))


# ------------------------------------------------------------------------------------------------ choices
def _choose_phenophase(frame: Any, role: Mapping[str, str], wanted: str | None, where: str) -> tuple[Array, str]:
    """(R,) rows of the one phenophase, and its name."""
    if "phenophase" not in role:
        return np.ones(len(frame), dtype=bool), ""
    labels = [as_names(frame[role[r]]) for r in ("phenophase", "phenophase_id") if r in role]
    known = sorted({label for label in labels[0] if label})
    if wanted is not None:
        keep = np.zeros(len(frame), dtype=bool)
        for label in labels:
            keep |= np.array([plain(x) == plain(wanted) for x in label])
        if not keep.any():
            raise UsageError("US101", "--phenophase", f"{where} has no {wanted!r}", suggest(wanted, known))
        return keep, wanted
    if len(known) > 1:
        what = f"holds {len(known)} phenophases: {listed(known, 12)}"
        raise InputError("PH602", where, what, f"choose one with --phenophase {known[0]!r}")
    return np.ones(len(frame), dtype=bool), known[0] if known else ""


def _groups(frame: Any, role: Mapping[str, str], wanted: str | None, where: str, label: bool) -> tuple[Array, Array]:
    """(R,) group of each row, and which rows are kept."""
    everything = np.ones(len(frame), dtype=bool)
    group = as_names(frame[role["group"]]) if "group" in role else np.full(len(frame), "", dtype=object)
    if "species" not in role:
        if wanted in (None, "all"):
            return group, everything
        kinds, keep = group, np.array([plain(g) == plain(wanted) for g in group])
    else:
        kinds = as_names(frame[role["species"]])
        if "genus" in role and plain(role["species"]) == "species":
            genus = as_names(frame[role["genus"]])
            kinds = np.array([k if k.startswith(g) else f"{g} {k}" for g, k in zip(genus, kinds, strict=True)], object)
        keep = everything if wanted in (None, "all") else np.array([plain(k) == plain(wanted) for k in kinds])
    known = sorted({k for k in kinds if k})
    if wanted not in (None, "all") and not keep.any():
        raise UsageError("US101", "--species", f"{where} has no {wanted!r}", suggest(str(wanted), known))
    if wanted is None and not label and "species" in role and len(known) > 1:
        site = as_names(frame[role["site"]]) if "site" in role else np.zeros(len(frame))
        if pd.DataFrame({"site": site, "kind": kinds}).drop_duplicates()["site"].duplicated().any():
            what = f"holds several species at one site: {listed(known, 12)}"
            raise InputError("PH603", where, what, f"choose one with --species {known[0]!r}, or --species all")
    if "species" in role and (len(known) > 1 or label) and (group == "").all():
        group = kinds
    return group, keep


# ------------------------------------------------------------------------------------------------ columns
def _plain_columns(frame: Any, role: Mapping[str, str], numbers: Array, group: Array) -> Any:
    n = len(frame)
    out = pd.DataFrame({"row": numbers})
    out["site_id"] = as_names(frame[role["site"]]) if "site" in role else "site"
    for place in _PLACES:
        value = as_numbers(frame[role[place]]) if place in role else np.full(n, np.nan)
        out[place] = np.where(np.abs(value) < 9990, value, np.nan)
    for word in ("country", "individual", "source"):
        out[word] = as_names(frame[role[word]]) if word in role else np.full(n, "", dtype=object)
    out["group"] = group
    out["code"] = np.full(n, "", dtype=object)
    out["reason"] = np.full(n, "", dtype=object)
    _mask(out, out["site_id"].to_numpy() == "", "PH601", "names no site")
    return out


def _place_ranges(out: Any, where: str) -> None:
    for place, limit in DEGREES.items():
        value = out[place].to_numpy()
        with np.errstate(invalid="ignore"):
            bad = np.abs(value) > limit
        if bad.any():
            if bad.all():
                raise misplaced(place, value[bad][0], where)
            _mask(out, bad, "PH613", _out_of_range(place, value))
            out.loc[bad, place] = np.nan


def _mask(out: Any, bad: Array, code: str, reason: str | Callable[[int], str]) -> None:
    """Sets code and reason (words, or words of a row) of rows that have none yet."""
    bad = bad & (out["code"].to_numpy() == "")
    at = np.flatnonzero(bad)
    if not len(at):
        return
    codes, reasons = out["code"].to_numpy(dtype=object, copy=True), out["reason"].to_numpy(dtype=object, copy=True)
    codes[at] = code
    for i in at:
        reasons[i] = reason if isinstance(reason, str) else reason(int(i))
    out["code"], out["reason"] = codes, reasons


def _out_of_range(place: str, value: Array) -> Callable[[int], str]:
    return lambda i: f"{place} {value[i]:g} is out of range"


def _among(words: Array, known: set[str]) -> Array:
    return pd.Series(words, dtype=object).isin(known).to_numpy()


def _numbers(column: Any) -> tuple[Array, Array]:
    """(R,) numbers, NaN for missing marks such as -9999; (R,) what is written in cells that are neither."""
    number = as_numbers(column)
    number = np.where(np.isin(number, (-9999.0, -999.0, -99.0, 9999.0)), np.nan, number)
    word = np.full(len(column), "", dtype=object)
    if not pd.api.types.is_numeric_dtype(column):
        odd = np.flatnonzero(np.isnan(as_numbers(column)) & column.notna())
        word[odd] = [_written(x) for x in column.to_numpy(dtype=object)[odd]]
    return number, word


def _written(cell: object) -> str:
    """A cell as the table has it, "" for one without a letter or digit."""
    return str(cell).strip() if plain(cell) else ""


def _days(out: Any, frame: Any, role: Mapping[str, str], where: str, order: str | None) -> None:
    """Adds year, date and `word` (what stands where a day belongs)."""
    n = len(frame)
    year = np.full(n, np.nan)
    word = np.full(n, "", dtype=object)
    if "year" in role:
        year, text = _numbers(frame[role["year"]])
        _mask(out, text != "", "PH604", lambda i: f"year {text[i]!r} is no number")
        said = year
        odd = np.isfinite(year) & ((year < YEARS[0]) | (year > YEARS[1]) | (year != np.rint(year)))
        _mask(out, odd, "PH604", lambda i: f"year {said[i]:.12g} is out of range")
        year = np.where(odd, np.nan, year)
    date = np.full(n, np.datetime64("NaT"), dtype="datetime64[D]")
    if "doy" in role:
        doy, word = _numbers(frame[role["doy"]])
        date = days_of(year, doy)
        bad = np.isfinite(doy) & ((doy < 1) | (doy > 366) | (doy > 365) & np.isfinite(year) & ~leap(year))
        _mask(out, bad, "PH604", lambda i: f"day {doy[i]:g} of {year[i]:.0f} does not exist")
        date[bad] = np.datetime64("NaT")
        _mask(out, np.isfinite(doy) & np.isnan(year), "PH604", "states no year")
    if "date" in role:
        date, word = _written_dates(out, frame[role["date"]], date, year, word, where, order, needed="doy" not in role)
    out["year"], out["date"], out["word"] = year, date, word


def _written_dates(
    out: Any,
    column: Any,
    date: Array,
    year: Array,
    word: Array,
    where: str,
    order: str | None,
    needed: bool,
) -> tuple[Array, Array]:
    """Dates as written fill in where no day of the year stands; where both stand they must agree."""
    try:
        written, _ = read_days(column, where, order)
    except InputError:
        if needed:
            raise
        return date, word
    text = column.to_numpy(dtype=object)
    odd = np.isnat(written) & column.notna().to_numpy() & np.isnat(date) & (word == "")
    if odd.any():
        word = word.copy()
        word[odd] = [_written(x) for x in text[odd]]
    differ = ~np.isnat(written) & ~np.isnat(date) & (written != date)
    if needed:
        gap = np.where(np.isnat(written), np.nan, written.astype("datetime64[Y]").astype(float) + 1970) - year
        late = np.abs(gap) > 1
        _mask(out, late, "PH604", lambda i: f"the date {written[i]} is not of the year {year[i]:.0f}")
        far = ~np.isnat(written) & (written.astype("datetime64[Y]").astype(float) + 1970 > YEARS[1])
        _mask(out, far, "PH604", lambda i: f"date {written[i]} is out of range")
        return written, word
    _mask(out, differ, "PH604", lambda i: f"day of year and date {written[i]} disagree")
    return np.where(np.isnat(date), written, date), word


def _statuses(out: Any, frame: Any, role: Mapping[str, str], notes: list[str]) -> None:
    """Adds status and last_no; masks what says nothing."""
    n = len(out)
    said = as_names(frame[role["status"]]) if "status" in role else np.full(n, "", dtype=object)
    codes, found = pd.factorize(said)
    # NPN writes -1 where the observer was not sure
    known = np.array([plain(x) if x != "-1" else "unknown" for x in found], dtype=object)[codes] if n else said
    written = out.pop("word").to_numpy(dtype=object)
    codes, found = pd.factorize(written)
    words = np.array([plain(x) for x in found], dtype=object)[codes]
    date = out["date"].to_numpy()
    dated = ~np.isnat(date)
    never = _among(words, _NEVER) | _among(known, _NEVER)
    after = _among(known, _AFTER) | (never & dated) | _among(words, _AFTER)
    before = _among(known, _BEFORE)
    status = np.full(n, int(Status.OBSERVED), dtype=np.int8)
    status[after | never] = Status.AFTER
    status[before] = Status.BEFORE
    strange = ~_among(known, _OBSERVED | _NEVER | _AFTER | _BEFORE | _UNKNOWN)
    if strange.any() and not (("status" in role) and plain(role["status"]) == "phenophasestatus"):
        some = sorted(set(said[strange]))[:4]
        notes.append(f"status words not known, rows with a day taken as observed: {', '.join(some)}")
    readable = _among(words, {""} | _NEVER | _AFTER | _UNKNOWN)
    _mask(out, ~readable, "PH604", lambda i: f"day {written[i]!r} cannot be read")
    _mask(out, _among(known, _UNKNOWN) | (~dated & ~never & ~after), "PH618", "states no day of bloom")
    _mask(out, before & ~dated, "PH618", "states no day of bloom")
    _mask(out, ~dated & np.isnan(out["year"].to_numpy()), "PH604", "states no year")
    out["status"] = status
    out["last_no"] = np.full(n, np.datetime64("NaT"), dtype="datetime64[D]")


# ------------------------------------------------------------------------------------------------ visits
def _visits(out: Any, frame: Any, role: Mapping[str, str], days: float) -> None:
    """Phenometrics: the last visit without bloom bounds the day of bloom from below."""
    date = out["date"].to_numpy().astype("datetime64[D]")
    if "prior_no" in role:
        gap = _numbers(frame[role["prior_no"]])[0]
        gap = np.where(gap < 0, np.nan, gap)
        last = date - np.where(np.isnan(gap), 0, np.rint(gap)).astype("timedelta64[D]")
        last[np.isnan(gap)] = np.datetime64("NaT")
    else:
        last = days_of(out["year"].to_numpy(), _numbers(frame[role["prior_no_doy"]])[0])
    with np.errstate(invalid="ignore"):
        since = np.where(np.isnat(last), np.inf, (date - last).astype(float))
    status = out["status"].to_numpy(copy=True)
    status[(status == Status.OBSERVED) & (since > days)] = Status.BEFORE
    out["status"], out["last_no"] = status, last.astype("datetime64[D]")


def season_of(date: Array, latitude: Array, calendar: Calendar) -> Array:
    """(R,) bloom year of the season that holds each day; NaN between seasons and for NaT."""
    date = np.asarray(date, dtype="datetime64[D]")
    there = ~np.isnat(date)
    base = np.where(there, date, np.datetime64("2000-01-01", "D")).astype("datetime64[Y]").astype(np.int64) + 1970
    found = np.full(len(date), np.nan)
    day = np.where(there, date, np.datetime64("2000-01-01", "D"))
    for year in (base, base + 1):
        first = calendar.first_day(year, latitude)
        inside = there & (day >= first) & (day < first + calendar.length) & np.isnan(found)
        found[inside] = year[inside]
    return found


def _condense(out: Any, calendar: Calendar) -> Any:
    """One record per plant and season from visits with and without bloom."""
    out = out.copy()
    out["year"] = season_of(out["date"].to_numpy(), out["latitude"].to_numpy(), calendar)
    bad = out[(out["code"] != "") & (out["code"] != "PH618")]
    good = out[(out["code"] == "") & out["year"].notna()]
    key = ["site_id", "group", "individual", "year"]
    yes = good[good["status"] == Status.OBSERVED].groupby(key, sort=True)["date"].min().rename("yes")
    no = good[good["status"] == Status.AFTER].merge(yes.reset_index(), on=key, how="left")
    no = no[no["yes"].isna() | (no["date"] < no["yes"])].groupby(key)["date"].max().rename("no")
    first = good.sort_values("row").drop_duplicates(key).merge(yes.reset_index(), on=key, how="left")
    first = first.merge(no.reset_index(), on=key, how="left")
    seen, before = first["yes"].notna().to_numpy(), first["no"].notna().to_numpy()
    first["status"] = np.where(seen, np.where(before, Status.OBSERVED, Status.BEFORE), Status.AFTER).astype(np.int8)
    first["date"] = np.where(seen, first["yes"].to_numpy(), first["no"].to_numpy()).astype("datetime64[D]")
    first["last_no"] = first["no"].to_numpy().astype("datetime64[D]")
    return pd.concat([first[out.columns], bad], ignore_index=True)


def with_places(table: BloomTable, latitude: float | None) -> BloomTable:
    """The same records with a latitude where none is stated: that of other rows of the site, then the one given."""
    frame = table.frame.copy()
    for place in _PLACES:
        frame[place] = frame.groupby("site_id")[place].transform("first").to_numpy()
    if latitude is not None:
        frame["latitude"] = frame["latitude"].fillna(latitude)
    return replace(table, frame=frame)
