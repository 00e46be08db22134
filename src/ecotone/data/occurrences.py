"""Presence records of species: where, what, how certain, and which row of which file each came from.

Column names are found in any usual spelling and what was found is reported in `Occurrences.columns`. A blank species
cell stays missing: in GBIF downloads it marks records determined to genus or above, and taking `scientificName` there
would add genera to the species. Only when the whole column is blank does another name column step in. Letters: N
records.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ecotone.data.occurrence_columns import ALIASES, find_columns, lacking_columns, plain
from ecotone.data.point_files import LONGITUDE_LATITUDE, crs_name, points_of
from ecotone.data.tables import MISSING, TableInfo, read_table
from ecotone.errors import InputError, UsageError, suggest

Array = np.ndarray
_EXAMPLES = 10
_ABSENT = ("absent", "absence", "0", "false", "no")
_ANGLE = re.compile(
    r"^\s*(?P<sign>[+-]?)(?P<deg>\d+(?:[.,]\d+)?)\s*°?\s*(?:(?P<min>\d+(?:[.,]\d+)?)\s*['′’]\s*)?"
    r"(?:(?P<sec>\d+(?:[.,]\d+)?)\s*(?:[\"″”]|'')\s*)?(?P<side>[NSEWnsew])?\s*$"
)


@dataclass(frozen=True)
class Occurrences:
    """Records of one or many species.

    Attributes:
        species: (N,) int32 positions in `names`; -1 where the record has no species name.
        names: Species names, sorted.
        x: (N,) float64 easting or longitude in units of `crs`; nan where missing.
        y: (N,) float64 northing or latitude.
        crs: Reference system, an authority code where there is one.
        source_row: (N,) int64 row number in the file; the header is row 1.
        uncertainty_m: (N,) coordinate uncertainty in metres, nan where unknown; or None.
        date: (N,) text as written, "" where missing; or None.
        count: (N,) individuals as written or, after cleaning, records per cell; nan where missing; or None.
        absent: (N,) True where the record states an absence; or None.
        cell: (N,) raster cell each record lies in, set by cleaning; or None.
        columns: Role -> name of the column used for it.
        source: The file.
        notes: What was noticed while reading, in words.
    """

    species: Array
    names: tuple[str, ...]
    x: Array
    y: Array
    crs: str
    source_row: Array
    uncertainty_m: Array | None = None
    date: Array | None = None
    count: Array | None = None
    absent: Array | None = None
    cell: Array | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    source: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        lengths = {f.name: len(value) for f in fields(self) if isinstance(value := getattr(self, f.name), np.ndarray)}
        if len(set(lengths.values())) > 1:
            raise InputError("DA404", "Occurrences", f"parts differ in length {lengths}", "give equally long arrays")

    def __len__(self) -> int:
        return len(self.x)

    @property
    def labels(self) -> Array:
        """(N,) species names as objects, None where missing."""
        return np.array([*self.names, None], dtype=object)[self.species]

    def take(self, rows: Array) -> Occurrences:
        """The records of a mask or of positions; names without a record are kept."""
        parts: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{k: v[rows] for k, v in parts.items() if isinstance(v, np.ndarray)})

    def per_species(self) -> dict[str, int]:
        """Species name -> number of records, in the order of `names`."""
        counts = np.bincount(self.species[self.species >= 0], minlength=len(self.names))
        return dict(zip(self.names, map(int, counts), strict=True))

    def only(self, species: Sequence[str]) -> Occurrences:
        """The records of some species, which become the `names`.

        Raises:
            UsageError: US101 for an unknown species.
        """
        for name in species:
            if name not in self.names:
                raise UsageError("US101", name, "no records of this species", suggest(name, self.names))
        position = {self.names.index(name): i for i, name in enumerate(species)}
        code = np.array([position.get(i, -1) for i in range(len(self.names))] + [-1], dtype=np.int32)
        kept = self.take(np.isin(self.species, list(position)))
        return replace(kept, species=code[kept.species], names=tuple(species))

    def to_frame(self) -> pd.DataFrame:
        """Columns species, x, y, source_row and whichever of the others are known."""
        table: dict[str, Any] = {"species": self.labels, "x": self.x, "y": self.y}
        for name in ("uncertainty_m", "date", "count", "absent", "cell"):
            if (values := getattr(self, name)) is not None:
                table[name] = values
        return pd.DataFrame(table | {"source_row": self.source_row})

    def swapped(self) -> Occurrences:
        """The same records with x and y exchanged, for tables written the other way round."""
        return replace(self, x=self.y, y=self.x, notes=(*self.notes, "x and y exchanged"))


def read_occurrences(
    source: str | Path | pd.DataFrame,
    *,
    x: str | None = None,
    y: str | None = None,
    species: str | None = None,
    count: str | None = None,
    uncertainty: str | None = None,
    date: str | None = None,
    crs: str | None = None,
    layer: str | None = None,
) -> Occurrences:
    """Reads occurrence records from a table or vector file.

    Args:
        source: A file that `read_table` reads, a DataFrame or a GeoDataFrame.
        x: Column of longitude or easting; found by name when left out, as are the others.
        y: Column of latitude or northing.
        species: Column of species names, or ``"=NAME"`` when every record is of the species NAME.
        count: Column of the number of individuals; a zero is an absence.
        uncertainty: Column of the coordinate uncertainty in metres.
        date: Column of the date or year.
        crs: What the coordinates are in; EPSG:4326 when left out. The points of vector files are reprojected to
            EPSG:4326 from the file's own system, and this is used only where the file names none.
        layer: Layer of a vector file that has several.

    Raises:
        InputError: OC201 a column is lacking, OC204 coordinates that are no numbers, OC205 no records at all, RA301 no
            reference system, and those of `read_table`.
        UsageError: US104 for a reference system that does not exist.
    """
    given = {"species": species, "x": x, "y": y, "count": count, "uncertainty": uncertainty, "date": date}
    constant = species[1:].strip() if species is not None and species.startswith("=") else None
    if constant is not None:
        given["species"] = None
        if not constant:
            raise UsageError("US104", "--species", "'=' without a name", "write --species '=Genus species'")
    info, where, stem = _table(source, given, constant, crs, layer)
    if info.coordinates is not None and x is None and y is None:
        given |= {"x": info.coordinates[0], "y": info.coordinates[1]}
    found = find_columns(info.names, given, where)
    if constant is not None:
        found.pop("species", None)
    frame, notes = info.frame, list(info.notes)
    lacking = [
        role for role in ("species", "x", "y") if role not in found and not (role == "species" and constant is not None)
    ]
    if lacking == ["species"] and not _other_text_columns(frame, found):
        constant = stem
        notes.append(f"no species column: all records taken as one species, {stem!r}")
        lacking = []
    if lacking:
        raise lacking_columns(info.names, lacking, where, taken=found.values())
    if len(frame) == 0:
        raise InputError("OC205", where, "has a header but no records", "pass a table with records")

    if constant is None:
        codes, names = _species(frame, found, notes)
    else:
        codes, names = np.zeros(len(frame), dtype=np.int32), (constant,)
    numbers = _numbers(info, found, given, where, notes)
    system = _system(info, crs, found, numbers, where)
    dates = _text(frame[found["date"]]) if "date" in found else None
    absent = _absent(frame, found, numbers.get("count"))
    if absent is not None and absent.any():
        notes.append(f"{int(absent.sum())} records state an absence")
    return Occurrences(
        species=codes,
        names=names,
        x=numbers["x"],
        y=numbers["y"],
        crs=system,
        source_row=info.rows,
        uncertainty_m=numbers.get("uncertainty"),
        date=dates,
        count=numbers.get("count"),
        absent=absent,
        columns=found,
        source=str(where),
        notes=tuple(notes),
    )


def to_numbers(column: Any) -> tuple[Array, Array]:
    """Numbers of a column, however written: decimal comma, degrees and minutes, a hemisphere letter.

    Returns:
        (N,) float64 with nan where the cell is missing or no number, and (N,) True where it is no number.
    """
    if pd.api.types.is_bool_dtype(column) or pd.api.types.is_numeric_dtype(column):
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
        return np.where(np.isfinite(values), values, np.nan), np.isinf(values)
    codes, texts = _levels(column)
    parsed = np.array([_number(cell) for cell in texts], dtype=np.float64)
    bad = ~np.isfinite(parsed) & ~np.isin(texts, MISSING)
    return np.where(np.isfinite(parsed), parsed, np.nan)[codes], bad[codes]


def _number(cell: str) -> float:
    try:
        return float(
            cell.replace("\N{MINUS SIGN}", "-").replace(",", ".") if cell.count(",") == 1 and "." not in cell else cell
        )
    except ValueError:
        pass
    match = _ANGLE.match(cell.replace("\N{MINUS SIGN}", "-"))
    if match is None:
        return float("nan")
    parts = [float((match[name] or "0").replace(",", ".")) for name in ("deg", "min", "sec")]
    if parts[1] >= 60 or parts[2] >= 60:
        return float("nan")
    negative = match["sign"] == "-" or (match["side"] or "").upper() in ("S", "W")
    return (-1.0 if negative else 1.0) * (parts[0] + parts[1] / 60 + parts[2] / 3600)


def _levels(column: Any) -> tuple[Array, Array]:
    """(N,) positions and (L,) the stripped text they stand for, "" where missing; whole numbers without a point."""
    codes, values = pd.factorize(column, use_na_sentinel=True)
    texts = [str(int(v)) if isinstance(v, float) and v.is_integer() else str(v).strip() for v in values.tolist()]
    return np.where(codes < 0, len(texts), codes), np.array([*texts, ""], dtype=object)


def _text(column: Any) -> Array:
    """(N,) stripped text, "" where missing."""
    codes, texts = _levels(column)
    return texts[codes]


def _table(
    source: str | Path | pd.DataFrame,
    given: Mapping[str, str | None],
    constant: str | None,
    crs: str | None,
    layer: str | None,
) -> tuple[TableInfo, object, str]:
    """The table, what to call it in messages, and the name of a lone species."""
    if not isinstance(source, pd.DataFrame):
        path = Path(source)

        def pick(names: Sequence[str]) -> list[str]:
            found = find_columns(names, given, path)
            if not {"species", "x", "y"} <= found.keys() and not (constant and {"x", "y"} <= found.keys()):
                return list(names)
            spare = [name for name in names if plain(name) in ALIASES["species"] and constant is None]
            return list(dict.fromkeys([*found.values(), *spare]))

        stem = path.name.removesuffix(".gz").removesuffix(".zip")
        return read_table(path, columns=pick, crs=crs, layer=layer), path, Path(stem).stem or path.stem
    frame = source
    coordinates, own_crs, notes = None, None, ()
    if hasattr(frame, "geometry") and hasattr(frame, "crs"):
        points = points_of(frame, "GeoDataFrame", crs=crs)  # type: ignore[arg-type]
        frame, coordinates, own_crs, notes = points.frame, (points.x, points.y), points.crs, points.notes
    rows = np.arange(1, len(frame) + 1, dtype=np.int64)
    frame = frame.set_axis([str(name) for name in frame.columns], axis=1).reset_index(drop=True)
    names = tuple(frame.columns)
    return TableInfo(frame, rows, names, crs=own_crs, coordinates=coordinates, notes=notes), "table", "species"


def _other_text_columns(frame: pd.DataFrame, found: Mapping[str, str]) -> list[str]:
    """Columns of text that nothing is known about, one of which may hold the species."""
    used = {*found.values(), "row_name"}
    return [name for name in frame.columns if name not in used and not pd.api.types.is_numeric_dtype(frame[name])]


def _species(frame: pd.DataFrame, found: dict[str, str], notes: list[str]) -> tuple[Array, tuple[str, ...]]:
    """(N,) int32 positions in the sorted names, -1 where missing; and the names."""
    codes, texts = _levels(frame[found["species"]])
    if np.isin(texts[codes], MISSING).all():
        for name in frame.columns:
            if name != found["species"] and plain(name) in ALIASES["species"]:
                other, other_texts = _levels(frame[name])
                if not np.isin(other_texts[other], MISSING).all():
                    notes.append(f"column {found['species']!r} is blank throughout: {name!r} used for species")
                    found["species"], codes, texts = name, other, other_texts
                    break
    used = texts[np.bincount(codes, minlength=len(texts)) > 0]
    names = tuple(sorted({str(text) for text in used if text not in MISSING}))
    position = {name: i for i, name in enumerate(names)}
    code = np.array([position.get(text, -1) for text in texts], dtype=np.int32)[codes]
    blank = int((code < 0).sum())
    if blank:
        notes.append(f"{blank} records without a name in column {found['species']!r}")
    return code, names


def _numbers(
    info: TableInfo,
    found: dict[str, str],
    given: Mapping[str, str | None],
    where: object,
    notes: list[str],
) -> dict[str, Array]:
    """Role -> (N,) float64; all cells that are no numbers are reported together."""
    out: dict[str, Array] = {}
    problems = []
    for role in ("x", "y", "uncertainty", "count"):
        if role not in found:
            continue
        out[role], bad = to_numbers(info.frame[found[role]])
        if not bad.any():
            continue
        cells: Any = info.frame[found[role]]
        shown = ", ".join(f"row {info.rows[i]} {str(cells.iloc[i])[:20]!r}" for i in np.flatnonzero(bad)[:_EXAMPLES])
        text = f"column {found[role]!r} has {int(bad.sum())} cells that are no numbers ({shown})"
        if role in ("x", "y") or given.get(role):
            problems.append(text)
        else:
            notes.append(f"{text}, taken as missing")
    if problems:
        raise InputError(
            "OC204", where, "; ".join(problems), "correct these cells, leave them empty, or name other columns"
        )
    return out


def _system(
    info: TableInfo, crs: str | None, found: Mapping[str, str], numbers: Mapping[str, Array], where: object
) -> str:
    from pyproj.exceptions import ProjError

    if info.crs is not None and info.coordinates == (found["x"], found["y"]):
        return info.crs
    if crs is None and _look_projected(numbers["x"], numbers["y"]):
        what = f"columns {found['x']!r} and {found['y']!r} hold no degrees, and no reference system is named"
        raise InputError("RA301", where, what, "name theirs with --crs, for example EPSG:32633")
    try:
        return crs_name(crs or LONGITUDE_LATITUDE)
    except ProjError:
        raise UsageError("US104", "--crs", f"{crs!r} is no reference system", "give a code such as EPSG:4326") from None


def _look_projected(x: Array, y: Array) -> bool:
    """Whether most coordinates are far beyond degrees (marks such as 9999 for missing aside)."""
    sentinel = np.isin(np.abs(x), (999, 9999, 99999)) | np.isin(np.abs(y), (999, 9999, 99999))
    usable = np.isfinite(x) & np.isfinite(y) & ~sentinel
    return bool(usable.any()) and float(np.mean((np.abs(x[usable]) > 360) | (np.abs(y[usable]) > 360))) > 0.5


def _absent(frame: pd.DataFrame, found: Mapping[str, str], count: Array | None) -> Array | None:
    """(N,) True where a status column or a count of zero states that the species was not there."""
    if "status" not in found and count is None:
        return None
    absent = np.zeros(len(frame), dtype=bool)
    if "status" in found:
        codes, texts = _levels(frame[found["status"]])
        absent |= np.array([str(text).lower() in _ABSENT for text in texts], dtype=bool)[codes]
    if count is not None:
        absent |= count == 0
    return absent
