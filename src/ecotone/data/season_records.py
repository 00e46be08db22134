"""Bloom records placed in seasons: the site and day index of each, and what cannot be placed or contradicts itself."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pandas as pd

from ecotone.data.bloom_tables import BloomTable, season_of
from ecotone.data.seasons import Calendar, Status
from ecotone.errors import EcotoneWarning, InputError, UsageError, suggest

Array = np.ndarray
Duplicates = Literal["error", "mask", "first", "median", "keep"]
DUPLICATES = ("error", "mask", "first", "median", "keep")


def sites_of(frame: pd.DataFrame) -> tuple[pd.DataFrame, Array]:
    """One row per site and group, and (R,) the row of each record.

    Returns:
        G rows: site_id (with the group behind it where a site has several), name (as the table writes it), latitude,
        longitude, altitude, country, group; and the positions.
    """
    key = ["site_id", "group"]
    data: Any = frame
    sites = data.groupby(key, sort=True, dropna=False)[["latitude", "longitude", "altitude", "country"]].first()
    at = pd.MultiIndex.from_frame(data[key])
    position = sites.index.get_indexer(at)
    sites = sites.reset_index()
    sites["name"] = sites["site_id"]
    several = sites["name"].duplicated(keep=False)
    label = sites["name"].astype(object) + " / " + sites["group"].astype(object)
    sites["site_id"] = np.where(several & (sites["group"] != ""), label, sites["name"]).astype(object)
    return sites, position


def place(table: BloomTable, latitude: Array, calendar: Calendar) -> pd.DataFrame:
    """The records with `first` (day 0 of their season) and `event` (day index, NaN where masked).

    Args:
        table: Records.
        latitude: (R,) degrees; NaN is taken as north.
        calendar: When seasons begin and end.
    """
    out = table.frame.copy()
    date = out["date"].to_numpy().astype("datetime64[D]")
    year = out["year"].to_numpy(dtype=float)
    year = np.where(np.isnan(year), season_of(date, latitude, calendar), year)
    usable = np.isfinite(year)
    first = calendar.first_day(np.where(usable, year, 2000).astype(np.int64), latitude)
    event = np.where(np.isnat(date), np.nan, (date - first).astype(float))
    never = np.isnat(date) & (out["status"].to_numpy() == Status.AFTER)
    event = np.where(never, calendar.length - 1, event)
    good = out["code"].to_numpy() == ""
    last = first + calendar.length - 1
    out["year"], out["first"], out["event"] = year, first, event
    words = np.array(["between two seasons", "before the season starts", "after the season ends"])
    kind = np.where(~usable, 0, np.where(event < 0, 1, 2))
    bad = good & (~usable | (event < 0) | (event >= calendar.length))
    codes, reasons = out["code"].to_numpy(dtype=object, copy=True), out["reason"].to_numpy(dtype=object, copy=True)
    for i in np.flatnonzero(bad):
        span = f" ({first[i]} to {last[i]})" if usable[i] else ""
        codes[i], reasons[i] = "PH615", f"{date[i]} lies {words[kind[i]]}{span}"
    out["code"], out["reason"] = codes, reasons
    out.loc[out["code"] != "", "event"] = np.nan
    return out


def settle_duplicates(
    out: pd.DataFrame, site: Array, where: str, how: str
) -> tuple[pd.DataFrame, list[EcotoneWarning]]:
    """Leaves one record per site, plant and year; how contradictions are settled is the caller's choice.

    Args:
        out: Records from `place`.
        site: (R,) site of each.
        where: What to name in messages.
        how: "error" refuses contradictions, "mask" leaves all of them out, "first" keeps the first, "median" the median
            day of those that bloomed, "keep" all records, as of several trees.

    Raises:
        InputError: PH606.
        UsageError: US101 for another word.
    """
    if how not in DUPLICATES:
        raise UsageError("US101", "--duplicates", f"{how!r} is no way to settle them", suggest(how, DUPLICATES))
    if how == "keep":
        return out, []
    good = np.flatnonzero((out["code"] == "").to_numpy())
    keys = pd.DataFrame(
        {"site": site[good], "plant": out["individual"].to_numpy()[good], "year": out["year"].to_numpy()[good]}
    )
    label = keys.groupby(["site", "plant", "year"], sort=False).ngroup().to_numpy()
    size = np.bincount(label)
    twice = good[size[label] > 1]
    if not len(twice):
        return out, []
    out = out.copy()
    codes, reasons = out["code"].to_numpy(dtype=object, copy=True), out["reason"].to_numpy(dtype=object, copy=True)
    event, status, row = out["event"].to_numpy(copy=True), out["status"].to_numpy(), out["row"].to_numpy()
    same = 0
    clashes = []
    order = np.argsort(label[size[label] > 1], kind="stable")
    labels = label[size[label] > 1][order]
    for members in np.split(twice[order], np.flatnonzero(np.diff(labels)) + 1):
        head = members[0]
        equal = (event[members] == event[head]) & (status[members] == status[head])
        if equal.all():
            same += len(members) - 1
            for i in members[1:]:
                codes[i], reasons[i] = "PH607", f"says the same as row {row[head]}"
            continue
        clashes.append(members)
        if how == "median":
            seen = members[status[members] == Status.OBSERVED]
            head = seen[0] if len(seen) else head
            event[head] = np.median(event[seen]) if len(seen) else event[head]
        for i in members:
            if how == "mask" or i != head:
                codes[i] = "PH606"
                reasons[i] = f"contradicts row {row[head if i != head else members[1]]} of the same site and year"
    if clashes and how == "error":
        raise _clash(out, clashes, where)
    out["code"], out["reason"], out["event"] = codes, reasons, event
    out.loc[out["code"] != "", "event"] = np.nan
    warned = []
    if same:
        warned.append(EcotoneWarning("PH607", where, f"{same} records appear twice and count once", "drop one of them"))
    if clashes:
        what = f"{len(clashes)} site-years have contradicting records, settled by {how!r}"
        warned.append(EcotoneWarning("PH606", where, what, "see the report for their rows"))
    return out, warned


def _clash(out: pd.DataFrame, clashes: list[Array], where: str) -> InputError:
    first = out.iloc[clashes[0]]
    says = " and ".join(f"row {r.row} {str(r.date)[:10]}" for r in first.iloc[:3].itertuples())
    name = f"{first['site_id'].iloc[0]} {first['year'].iloc[0]:.0f}"
    more = f", and {len(clashes) - 1} more site-years" if len(clashes) > 1 else ""
    what = f"{name} has contradicting records ({says}{more})"
    fix = "mend them, or pass --duplicates keep for several trees, median, first or mask"
    return InputError("PH606", where, what, fix)
