"""Which records a model should see, rule by rule, with nothing dropped silently.

Rules are tried in the order of `RULES`; a record is set aside by the first one it breaks, so the counts of the report
add up to the number of records. What is only suspicious is flagged and kept. Letters: N records.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ecotone.contract import Check, Options
from ecotone.data.occurrences import Occurrences
from ecotone.data.point_files import crs_name
from ecotone.errors import EcotoneWarning, InputError, listed

if TYPE_CHECKING:
    import pandas as pd

    from ecotone.data.rasters import RasterStack

Array = np.ndarray
Action = Literal["set aside", "merged", "flagged"]
Choice = Literal["drop", "flag"]
_EXAMPLES = 5
_METRES_PER_DEGREE = 111_320.0
RULES: dict[str, str] = {
    "no species": "the record has no species name",
    "absence": "the record states that the species was not there",
    "missing coordinates": "x or y is missing",
    "out of range": "longitude beyond 180 or latitude beyond 90 degrees",
    "zero coordinates": "both coordinates are zero",
    "equal coordinates": "longitude and latitude are the same number",
    "outside rasters": "the point lies on no raster cell",
    "no data": "the cell lacks a value in at least one raster",
    "coarse": "the coordinate uncertainty is larger than a raster cell",
    "duplicate": "another record of the species lies in the same cell, or without rasters at the same point",
    "swapped": "the point fits only with x and y exchanged",
    "few records": "the species has few records left",
}


class Cleaning(Options):
    """Settings of `clean`.

    Attributes:
        duplicates: "collapse" keeps one record per species and cell, as Maxent does; "count" keeps one and counts the
            records it stands for; "keep" keeps all.
        zero: What to do with records at 0, 0 ("drop" or "flag").
        equal: What to do with records whose longitude equals their latitude.
        coarse: What to do with records less certain than a cell is large. They are kept by default: many collections
            state a generous uncertainty, and leaving these out thins old and remote records first.
        few: A species with fewer records than this is flagged.
        swap_xy: Exchange x and y before anything else.
    """

    duplicates: Literal["collapse", "count", "keep"] = "collapse"
    zero: Choice = "drop"
    equal: Choice = "drop"
    coarse: Choice = "flag"
    few: int = 5
    swap_xy: bool = False


@dataclass(frozen=True)
class RuleCount:
    """One line of the report: a rule, how many records it met, what became of them, and some of them."""

    rule: str
    n: int
    action: Action
    examples: tuple[str, ...]


@dataclass(frozen=True)
class CleaningReport:
    """What cleaning did.

    Attributes:
        n_in: Records before.
        n_kept: Records after.
        n_species: Species with records after.
        rows: Rules that met at least one record, in the order tried.
        fate: (N,) for each record before, "" when kept, otherwise the rule that set it aside.
        source_row: (N,) row number in the file.
        source: The file.
    """

    n_in: int
    n_kept: int
    n_species: int
    rows: tuple[RuleCount, ...]
    fate: Array
    source_row: Array
    source: str = ""

    def to_frame(self) -> pd.DataFrame:
        """Columns rule, n, action, examples."""
        import pandas as pd

        columns = ["rule", "n", "action", "examples"]
        return pd.DataFrame([(r.rule, r.n, r.action, "; ".join(r.examples)) for r in self.rows], columns=columns)

    def set_aside(self) -> pd.DataFrame:
        """Columns source_row, rule: every record that was not kept."""
        import pandas as pd

        gone = self.fate != ""
        return pd.DataFrame({"source_row": self.source_row[gone], "rule": self.fate[gone]})

    def summary(self) -> str:
        """One line."""
        parts = [f"{r.n} {r.action}: {r.rule}" for r in self.rows]
        head = f"{self.n_kept} of {self.n_in} records kept, {self.n_species} species"
        return f"{head} ({'; '.join(parts)})" if parts else head

    def to_checks(self) -> list[Check]:
        """The report as evidence: one check on the share kept, one per rule."""
        share = self.n_kept / max(self.n_in, 1)
        checks = [
            Check(
                title="Records kept",
                claim=self.summary(),
                measured=100 * share,
                unit="%",
                note=f"From {PurePath(self.source).name}." if self.source else "",
            )
        ]
        for row in self.rows:
            details = tuple((f"example {i}", text) for i, text in enumerate(row.examples, 1))
            claim = f"{row.n} records {row.action}: {RULES[row.rule]}"
            title = f"Records: {row.rule}"
            checks.append(Check(title=title, claim=claim, measured=float(row.n), unit="records", details=details))
        return checks


def clean(
    occurrences: Occurrences,
    stack: RasterStack | None = None,
    policy: Cleaning | Mapping[str, Any] | None = None,
    **options: Any,
) -> tuple[Occurrences, CleaningReport]:
    """Sets unusable records aside, merges duplicates and flags doubtful ones.

    Args:
        occurrences: N records.
        stack: Rasters the records are to be used with; without it the rules about cells are left out and duplicates
            are records at the same point.
        policy: Settings; fields of `Cleaning` may also be given by name.
        **options: The same, one by one.

    Returns:
        The kept records, with `cell` set when rasters are given, and the report.

    Raises:
        InputError: OC202 no record on the rasters, OC203 axes swapped, OC205 nothing left.
        UsageError: US101, US104 for settings that do not exist or fit.

    Warns:
        EcotoneWarning: OC206 when records are set aside or less certain than a cell, OC207 for species with few.
    """
    settings = Cleaning.parse(policy.model_dump() if isinstance(policy, Cleaning) else policy, **options)
    records = occurrences.swapped() if settings.swap_xy else occurrences
    where = records.source or "records"
    n = len(records)
    if n == 0:
        raise InputError("OC205", where, "has no records", "pass a table with records")
    geographic = _is_geographic(records.crs)
    broken, swapped = _by_value(records, settings, geographic)
    cell = None
    usable = ~np.logical_or.reduce(list(broken.values()))
    if stack is not None:
        cell, spatial, swapped = _by_raster(records, stack, usable, swapped, where)
        broken |= spatial
    elif geographic:
        _refuse_swapped(swapped, broken["out of range"] | usable, broken["out of range"], where)
    coarse = _coarse(records, stack)
    if settings.coarse == "drop":
        broken["coarse"] = coarse

    fate = np.full(n, "", dtype=object)
    for rule in RULES:
        if rule in broken:
            fate[broken[rule] & (fate == "")] = rule
    first, size = _first_of_group(records, cell, fate == "")
    if settings.duplicates != "keep":
        fate[(fate == "") & ~first] = "duplicate"

    kept_mask = fate == ""
    flagged = {
        "zero coordinates": _zero(records) & kept_mask if settings.zero == "flag" else None,
        "equal coordinates": _equal(records, geographic) & kept_mask if settings.equal == "flag" else None,
        "coarse": coarse & kept_mask if settings.coarse == "flag" else None,
        "duplicate": ~first & kept_mask if settings.duplicates == "keep" else None,
        "swapped": swapped & ~kept_mask,
        "few records": _few(records, kept_mask, settings.few) & kept_mask,
    }
    report = _report(records, fate, flagged)
    if report.n_kept == 0:
        raise InputError("OC205", where, f"no usable record: {report.summary()}", "correct the table or the settings")
    _warn(records, report, kept_mask, settings, where)
    if cell is not None:
        records = replace(records, cell=cell)
    kept = records.take(kept_mask)
    if settings.duplicates == "count":
        kept = replace(kept, count=size[kept_mask].astype(np.float64))
    elif settings.duplicates == "collapse":
        kept = replace(kept, count=None)
    return replace(kept, absent=None), report


# ------------------------------------------------------------------------------------------------ the rules
def _zero(records: Occurrences) -> Array:
    return (records.x == 0) & (records.y == 0)


def _equal(records: Occurrences, geographic: bool) -> Array:
    return (records.x == records.y) & (records.x != 0) & geographic


def _by_value(records: Occurrences, settings: Cleaning, geographic: bool) -> tuple[dict[str, Array], Array]:
    """Rule -> (N,) records that break it by their own values, and (N,) those that fit only with axes exchanged."""
    x, y = records.x, records.y
    never = np.zeros(len(records), dtype=bool)
    missing = ~(np.isfinite(x) & np.isfinite(y))
    range_error = ~missing & ((np.abs(x) > 180) | (np.abs(y) > 90)) if geographic else never
    swapped = range_error & (np.abs(y) <= 180) & (np.abs(x) <= 90)
    broken = {
        "no species": records.species < 0,
        "absence": never if records.absent is None else records.absent,
        "missing coordinates": missing,
        "out of range": range_error,
    }
    if settings.zero == "drop":
        broken["zero coordinates"] = _zero(records)
    if settings.equal == "drop":
        broken["equal coordinates"] = _equal(records, geographic)
    return broken, swapped


def _by_raster(
    records: Occurrences, stack: RasterStack, usable: Array, swapped: Array, where: str
) -> tuple[Array, dict[str, Array], Array]:
    """(N,) cells, the rules about rasters, and (N,) records that lie on them only with axes exchanged."""
    n = len(records)
    cell, inside, valid = np.full(n, -1, dtype=np.int64), np.zeros(n, dtype=bool), np.zeros(n, dtype=bool)
    at = np.flatnonzero(usable)
    samples = stack.sample(records.x[at], records.y[at], records.crs)
    cell[at], inside[at], valid[at] = samples.cell, samples.inside, samples.valid
    outside = (usable & ~inside) | swapped
    turned = np.zeros(n, dtype=bool)
    able = outside & (np.abs(records.y) <= 180) & (np.abs(records.x) <= 90) if _is_geographic(records.crs) else outside
    able = np.flatnonzero(able)
    if able.size:
        turned[able] = stack.sample(records.y[able], records.x[able], records.crs).inside
    _refuse_swapped(turned, usable | swapped, outside, where)
    if at.size and not inside.any():
        raise _no_overlap(records, stack, at, where)
    return cell, {"outside rasters": usable & ~inside, "no data": usable & inside & ~valid}, turned


def _refuse_swapped(turned: Array, considered: Array, outside: Array, where: str) -> None:
    """More than half of the points outside, and more than half of all inside once the axes are exchanged."""
    total, away, fixed = int(considered.sum()), int(outside.sum()), int((turned & outside).sum())
    if total and away > total / 2 and fixed > total / 2:
        what = f"{away} of {total} points lie outside, and {fixed} of them inside with x and y exchanged"
        raise InputError("OC203", where, what, "exchange the columns, or add --swap-xy")


def _no_overlap(records: Occurrences, stack: RasterStack, at: Array, where: str) -> InputError:
    x, y = records.x[at], records.y[at]
    west, south, east, north = stack.grid.bounds
    what = (
        f"no record lies on the rasters: records x {x.min():.6g} to {x.max():.6g}, y {y.min():.6g} to {y.max():.6g} "
        f"in {_short(records.crs)}; rasters x {west:.6g} to {east:.6g}, y {south:.6g} to {north:.6g} "
        f"in {_short(stack.grid.crs)}"
    )
    return InputError("OC202", where, what, "name the records' own system with --crs, or use rasters of their region")


def _coarse(records: Occurrences, stack: RasterStack | None) -> Array:
    """(N,) True where the coordinate uncertainty exceeds the longer side of a raster cell."""
    if stack is None or records.uncertainty_m is None:
        return np.zeros(len(records), dtype=bool)
    from pyproj import CRS

    system = CRS.from_user_input(stack.grid.crs)
    west, south, east, north = stack.grid.bounds
    width, height = (east - west) / stack.grid.width, (north - south) / stack.grid.height
    if system.is_geographic:
        middle = np.cos(np.radians(np.clip((south + north) / 2, -89, 89)))
        side = max(width * middle, height) * _METRES_PER_DEGREE
    else:
        side = max(width, height) * float(system.axis_info[0].unit_conversion_factor if system.axis_info else 1.0)
    with np.errstate(invalid="ignore"):
        return records.uncertainty_m > side


def _first_of_group(records: Occurrences, cell: Array | None, kept: Array) -> tuple[Array, Array]:
    """(N,) True for the first kept record of each species and cell (or point), and (N,) the size of its group."""
    at = np.flatnonzero(kept)
    place = (records.y[at], records.x[at]) if cell is None else (cell[at],)
    keys = (*place, records.species[at])
    order = np.lexsort(keys)
    new = np.zeros(len(at), dtype=bool)
    new[:1] = True
    for key in keys:
        new[1:] |= np.diff(key[order]) != 0
    first, size = np.zeros(len(records), dtype=bool), np.zeros(len(records), dtype=np.int64)
    group = np.cumsum(new) - 1
    first[at[order[new]]] = True
    size[at[order]] = np.bincount(group, minlength=1)[group] if len(at) else 0
    return first, size


def _few(records: Occurrences, kept: Array, least: int) -> Array:
    """(N,) True for records of species with 1 to `least` - 1 kept records."""
    counts = np.bincount(records.species[kept], minlength=len(records.names))
    few = np.append((counts > 0) & (counts < least), False)
    return few[records.species]


# ------------------------------------------------------------------------------------------------ the report
def _report(records: Occurrences, fate: Array, flagged: Mapping[str, Array | None]) -> CleaningReport:
    rows = []
    for rule in RULES:
        gone = fate == rule
        if gone.any():
            action: Action = "merged" if rule == "duplicate" else "set aside"
            rows.append(RuleCount(rule, int(gone.sum()), action, _examples(records, gone)))
        mask = flagged.get(rule)
        if mask is not None and mask.any():
            rows.append(RuleCount(rule, int(mask.sum()), "flagged", _examples(records, mask)))
    kept = fate == ""
    n_species = len(np.unique(records.species[kept]))
    return CleaningReport(
        len(records), int(kept.sum()), n_species, tuple(rows), fate, records.source_row, records.source
    )


def _examples(records: Occurrences, mask: Array) -> tuple[str, ...]:
    at = np.flatnonzero(mask)[:_EXAMPLES]
    labels = [*records.names, "no name"]
    return tuple(
        f"row {records.source_row[i]}: {labels[records.species[i]]} at {records.x[i]:g}, {records.y[i]:g}" for i in at
    )


def _warn(records: Occurrences, report: CleaningReport, kept: Array, settings: Cleaning, where: str) -> None:
    loud = [r for r in report.rows if r.action == "set aside" or (r.rule == "coarse" and r.action == "flagged")]
    if loud:
        parts = ", ".join(f"{r.n} {r.action} ({r.rule}; {r.examples[0].split(':')[0]})" for r in loud)
        what = f"{report.n_kept} of {report.n_in} records kept; {parts}"
        warnings.warn(EcotoneWarning("OC206", where, what, "see the cleaning table of the report"), stacklevel=3)
    few = np.unique(records.species[_few(records, kept, settings.few) & kept])
    if few.size:
        shown = listed([records.names[i] for i in few])
        what = f"{few.size} species {'has' if few.size == 1 else 'have'} fewer than {settings.few} records ({shown})"
        warnings.warn(EcotoneWarning("OC207", where, what, "read their maps with care"), stacklevel=3)


def _is_geographic(crs: str) -> bool:
    from pyproj import CRS

    return CRS.from_user_input(crs).is_geographic


def _short(crs: str) -> str:
    from pyproj import CRS

    name = crs_name(crs)
    return name if len(name) < 30 else CRS.from_user_input(crs).name
