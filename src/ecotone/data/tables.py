"""Tables in any usual form: text of every common encoding and delimiter, Parquet, and the points of vector files.

`read_table` says how the file was written, refuses what it cannot read whole, and names the rows at fault.
`write_table` writes CSV, Parquet or GeoPackage atomically. A row number is counted as a spreadsheet shows it: the
header is row 1 (empty lines are not counted); in files without a header row the first record is row 1.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from ecotone.data.point_files import LONGITUDE_LATITUDE, PointTable, is_vector_file, points_of, read_points
from ecotone.data.text_format import HEAD_BYTES, TextFormat, sniff, unique_names
from ecotone.errors import InputError, UsageError
from ecotone.files.atomic import atomic_path

MISSING = ("", "NA", "N/A", "#N/A", "NaN", "nan", "NULL", "null", "None")
Columns = Sequence[str] | Callable[[Sequence[str]], Sequence[str]]
_MAX_UNPACKED = 8 << 30
_MAX_RATIO = 200
_FORMULA = re.compile(r"^[=+\-@\t\r]")
_compute: Any = pc  # its functions are made at run time
_NUMBER = re.compile(r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$")
_COORDINATES = (("decimalLongitude", "decimalLatitude"), ("longitude", "latitude"), ("lon", "lat"), ("x", "y"))


@dataclass(frozen=True)
class TableInfo:
    """A table and how it was written.

    Attributes:
        frame: The columns asked for; rows without any content are left out.
        rows: (N,) row number in the file of each row of `frame`.
        names: All column names of the file.
        delimiter: "" for files that are not text.
        encoding: "" for files that are not text.
        decimal: "." or ",".
        crs: Reference system of the points, for vector files.
        coordinates: Names of the x and y columns made of the points, for vector files.
        notes: What was noticed, in words.
    """

    frame: pd.DataFrame
    rows: np.ndarray
    names: tuple[str, ...]
    delimiter: str = ""
    encoding: str = ""
    decimal: str = "."
    crs: str | None = None
    coordinates: tuple[str, str] | None = None
    notes: tuple[str, ...] = ()


def read_table(
    path: str | Path,
    *,
    columns: Columns | None = None,
    crs: str | None = None,
    to_crs: str | None = LONGITUDE_LATITUDE,
    layer: str | None = None,
) -> TableInfo:
    """Reads a table: CSV and kin (also .gz, .zip), Parquet, GeoParquet, GeoPackage, GeoJSON, shapefile, FlatGeobuf.

    Cells stay as written, except that a column holding nothing but numbers (and `MISSING` marks) becomes numeric;
    numbers with leading zeros or more than 15 digits are taken for labels.

    Args:
        path: The file.
        columns: Columns to read from text and Parquet, or a function that picks them from the names; None for all.
        crs: Reference system of the points where a vector file states none.
        to_crs: What points of vector files are reprojected to; None keeps their own.
        layer: Layer of a vector file that has several.

    Raises:
        InputError: IO101 not found, IO102 empty, ragged or damaged, IO103 of a kind not read here, RA301 points without
            reference system.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise InputError("IO103", path, "is a folder", "pass one table")
        with path.open("rb") as handle:
            head = handle.read(HEAD_BYTES)
    except FileNotFoundError:
        raise InputError("IO101", path, "not found", "check the path") from None
    except (OSError, ValueError) as error:
        raise InputError("IO102", path, f"cannot be read ({error})", "check the path and permissions") from None
    if not head:
        raise InputError("IO102", path, "is empty", "pass a table with a header and rows")
    if is_vector_file(path, head):
        return _from_points(read_points(path, crs=crs, to_crs=to_crs, layer=layer))
    if head.startswith(b"PAR1") or path.suffix.lower() in (".parquet", ".geoparquet"):
        return _read_parquet(path, columns, crs, to_crs)
    source, notes = _unpacked(path, head)
    return _read_text(source, path, columns, notes)


# ------------------------------------------------------------------------------------------------ text
def _unpacked(path: Path, head: bytes) -> tuple[pa.Buffer, list[str]]:
    """The bytes of the table, mapped from disk or unpacked in memory."""
    if head.startswith(b"\x1f\x8b"):
        try:
            with gzip.open(path, "rb") as packed:
                return _bounded(packed, path), []
        except (OSError, EOFError, zlib.error) as error:
            raise InputError("IO102", path, f"the archive is damaged ({error})", "download it again") from None
    if head.startswith(b"PK\x03\x04"):
        return _from_zip(path)
    with pa.memory_map(str(path)) as mapped:
        return mapped.read_buffer(), []


def _from_zip(path: Path) -> tuple[pa.Buffer, list[str]]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = [m for m in archive.infolist() if not m.is_dir() and not m.filename.startswith("__MACOSX")]
            names = [m.filename for m in members]
            if "[Content_Types].xml" in names or "mimetype" in names:
                raise InputError("IO103", path, "is a spreadsheet workbook", "save the sheet as CSV (UTF-8)")
            notes = []
            if len(members) > 1:
                members = [m for m in members if Path(m.filename).name == "occurrence.txt"]
                notes.append(f"occurrence.txt read, one of {len(names)} files of the archive")
            if len(members) != 1:
                raise InputError(
                    "IO103", path, f"holds {len(names)} files ({', '.join(names[:5])})", "unpack it and pass one table"
                )
            with archive.open(members[0]) as packed:
                return _bounded(packed, path), notes
    except (zipfile.BadZipFile, OSError, EOFError, zlib.error) as error:
        raise InputError("IO102", path, f"the archive is damaged ({error})", "download it again") from None
    except (RuntimeError, NotImplementedError):
        raise InputError(
            "IO103", path, "the archive is encrypted or of an unusual kind", "unpack it and pass the table"
        ) from None


def _bounded(packed: Any, path: Path) -> pa.Buffer:
    """Unpacks a stream, refusing what grows beyond a plausible size."""
    limit = min(_MAX_UNPACKED, max(64 << 20, _MAX_RATIO * path.stat().st_size))
    out = io.BytesIO()
    while chunk := packed.read(1 << 20):
        out.write(chunk)
        if out.tell() > limit:
            raise InputError(
                "IO102", path, f"unpacks to more than {limit >> 20} MiB", "unpack it yourself if you trust it"
            )
    return pa.py_buffer(out.getbuffer())


def _read_text(source: pa.Buffer, path: Path, columns: Columns | None, notes: list[str]) -> TableInfo:
    head = source.slice(0, min(HEAD_BYTES, source.size)).to_pybytes()
    plan = sniff(head, path, complete=source.size <= HEAD_BYTES)
    wanted = _wanted(columns, plan.names, path)
    table, bad = _parse(source, plan, wanted, path)
    if bad:
        other = replace(plan, quoting=not plan.quoting)
        table_other, bad_other = _parse(source, other, wanted, path)
        if not bad_other and table_other is not None and '"' in head.decode(plan.encoding, "replace"):
            plan, table, bad = other, table_other, []
            notes.append(f"double quotes taken as {'enclosing cells' if plan.quoting else 'plain characters'}")
    if bad or table is None:
        raise InputError(
            "IO102",
            path,
            _ragged(bad, len(plan.names)),
            "make every row as long as the header; quote cells that hold the delimiter",
        )
    rows = np.arange(2, table.num_rows + 2, dtype=np.int64)
    empty = _empty_rows(table) if wanted is None else np.zeros(table.num_rows, dtype=bool)
    if empty.any():
        table, rows = table.filter(pa.array(~empty)), rows[~empty]
        notes.append(f"{int(empty.sum())} rows without content left out")
    typed = pa.table([_typed(column, plan.decimal) for column in table.columns], names=list(table.column_names))
    notes = [*plan.notes, *notes]
    return TableInfo(
        typed.to_pandas(), rows, plan.names, plan.delimiter, plan.encoding, plan.decimal, notes=tuple(notes)
    )


def _parse(
    source: pa.Buffer, plan: TextFormat, wanted: list[str] | None, path: Path
) -> tuple[pa.Table | None, list[tuple[int, int]]]:
    """All cells as text, and (row number, number of cells) of rows that do not fit the header."""
    bad: list[tuple[int, int]] = []

    def note_row(row: Any) -> str:
        if row.text.strip():
            bad.append((row.number or 0, row.actual_columns))
        return "skip"

    def run(encoding: str, threads: bool) -> pa.Table:
        bad.clear()
        return pyarrow.csv.read_csv(
            pa.BufferReader(source),
            read_options=pyarrow.csv.ReadOptions(
                encoding="utf8" if encoding == "utf-8" else encoding,
                column_names=list(plan.names),
                skip_rows=plan.skip_lines,
                use_threads=threads,
                block_size=16 << 20,
            ),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=plan.delimiter,
                quote_char='"' if plan.quoting else False,
                newlines_in_values=plan.quoting,
                invalid_row_handler=note_row,
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types={name: pa.string() for name in plan.names},
                strings_can_be_null=True,
                null_values=[""],
                include_columns=wanted,
            ),
        )

    encodings = [plan.encoding, "cp1252"] if plan.encoding == "utf-8" else [plan.encoding]
    for encoding in encodings:
        try:
            table = run(encoding, threads=True)
            if bad:
                run(encoding, threads=False)
        except pa.ArrowInvalid as error:
            if "UTF8" in str(error) and encoding != encodings[-1]:
                continue
            if "Empty CSV" in str(error):
                return pa.table({name: pa.array([], pa.string()) for name in wanted or plan.names}), []
            return None, bad
        except UnicodeDecodeError as error:
            raise InputError(
                "IO102", path, f"is not {plan.encoding} text throughout ({error.reason})", "save it as UTF-8"
            ) from None
        before_header = plan.skip_lines - 1
        return table, [(number - before_header, width) for number, width in bad]
    return None, bad


def _ragged(bad: Sequence[tuple[int, int]], width: int) -> str:
    if not bad:
        return "the rows cannot be told apart, perhaps for a double quote that is not closed"
    listed = ", ".join(f"row {number} has {cells}" for number, cells in bad[:10])
    return f"{len(bad)} rows do not have the {width} cells of the header: {listed}{', ...' if len(bad) > 10 else ''}"


def _empty_rows(table: pa.Table) -> np.ndarray:
    """(N,) rows in which every cell is empty."""
    empty = np.ones(table.num_rows, dtype=bool)
    for column in table.columns:
        if not empty.any():
            break
        empty &= np.asarray(column.is_null()) if column.null_count else False
    return empty


def _typed(column: pa.ChunkedArray, decimal: str) -> pa.ChunkedArray:
    """Numbers where every cell is one or missing, otherwise the text as it is."""
    if not _looks_numeric(column.slice(0, 1000), decimal):
        return column
    number = _number_text(column, decimal)
    if number.null_count == len(number):
        return number.cast(pa.float64())
    label = _compute.match_substring_regex(number, r"^[+-]?(0[0-9xX]|[0-9]{16})")
    if _compute.any(label).as_py():
        return column
    for kind in (pa.int64(), pa.float64()):
        try:
            return number.cast(kind)
        except pa.ArrowInvalid:
            continue
    return column


def _number_text(column: pa.ChunkedArray, decimal: str) -> pa.ChunkedArray:
    text = _compute.utf8_trim_whitespace(column)
    text = _compute.if_else(_compute.is_in(text, value_set=pa.array(MISSING)), pa.scalar(None, pa.string()), text)
    return _compute.replace_substring(text, ",", ".") if decimal == "," else text


def _looks_numeric(sample: pa.ChunkedArray, decimal: str) -> bool:
    try:
        _number_text(sample, decimal).cast(pa.float64())
    except pa.ArrowInvalid:
        return False
    return True


def _wanted(columns: Columns | None, names: Sequence[str], path: Path) -> list[str] | None:
    if columns is None:
        return None
    wanted = list(columns(names) if callable(columns) else columns)
    lacking = [name for name in wanted if name not in names]
    if lacking:
        raise InputError("OC201", path, f"no column {', '.join(map(repr, lacking))}", f"it has {', '.join(names)}")
    return wanted


# ------------------------------------------------------------------------------------------------ other files
def _read_parquet(path: Path, columns: Columns | None, crs: str | None, to_crs: str | None) -> TableInfo:
    try:
        schema = pyarrow.parquet.read_schema(path)
        if b"geo" in (schema.metadata or {}):
            import geopandas as gpd

            return _from_points(points_of(gpd.read_parquet(path), path, crs=crs, to_crs=to_crs))
        names = tuple(schema.names)
        frame = pd.read_parquet(path, columns=_wanted(columns, names, path)).reset_index(drop=True)
    except InputError:
        raise
    except Exception as error:  # whatever the parsers of damaged files raise
        reason = str(error).splitlines()[0][:160] if str(error) else type(error).__name__
        raise InputError(
            "IO102", path, f"is not a Parquet file, or damaged ({reason})", "export or download it again"
        ) from None
    return TableInfo(frame, np.arange(1, len(frame) + 1, dtype=np.int64), names)


def _from_points(points: PointTable) -> TableInfo:
    frame = points.frame.reset_index(drop=True)
    rows = np.arange(1, len(frame) + 1, dtype=np.int64)
    names = tuple(map(str, frame.columns))
    return TableInfo(frame, rows, names, crs=points.crs, coordinates=(points.x, points.y), notes=points.notes)


# ------------------------------------------------------------------------------------------------ writing
def write_table(
    frame: pd.DataFrame, path: str | Path, *, coordinates: tuple[str, str] | None = None, crs: str = LONGITUDE_LATITUDE
) -> None:
    """Writes .csv, .tsv (also .gz), .parquet or .gpkg, whole or not at all.

    In text files a cell that a spreadsheet would run as a formula (it begins with = + - @, a tab or a carriage return,
    and is not a number) gets an apostrophe in front.

    Args:
        frame: The table; its index is not written.
        path: The ending decides the format.
        coordinates: Columns of x and y for a GeoPackage; found by their usual names when left out.
        crs: What they are in.

    Raises:
        UsageError: US104 for an ending that is not written here, or a GeoPackage without coordinates.
    """
    path = Path(path)
    endings = [part.lower() for part in path.suffixes]
    packed = endings[-1:] == [".gz"]
    ending = (endings[-2] if len(endings) > 1 else "") if packed else path.suffix.lower()
    if ending in (".csv", ".tsv", ".txt"):
        with atomic_path(path) as temporary:
            escaped = frame.rename(columns=lambda name: escape_formula(str(name))).apply(_escaped)
            # a quoted header tells readers of tab tables that quotes enclose cells
            how: dict[str, Any] = {"sep": ","} if ending == ".csv" else {"sep": "\t", "quoting": csv.QUOTE_NONNUMERIC}
            text = escaped.to_csv(index=False, lineterminator="\n", **how).encode("utf-8")
            temporary.write_bytes(gzip.compress(text, mtime=0) if packed else text)
    elif ending == ".parquet" and not packed:
        with atomic_path(path) as temporary:
            frame.to_parquet(temporary, index=False)
    elif ending == ".gpkg" and not packed:
        import geopandas as gpd

        if not isinstance(frame, gpd.GeoDataFrame):
            pair = coordinates or next((pair for pair in _COORDINATES if set(pair) <= set(frame.columns)), None)
            if pair is None or not set(pair) <= set(frame.columns):
                raise UsageError("US104", path, "a GeoPackage needs coordinate columns", "name them, or write .csv")
            frame = gpd.GeoDataFrame(frame, geometry=gpd.points_from_xy(frame[pair[0]], frame[pair[1]]), crs=crs)
        with atomic_path(path) as temporary:
            frame.to_file(temporary, driver="GPKG", layer=path.stem)
    else:
        raise UsageError(
            "US104", path, f"tables are not written as {path.suffix!r}", "use .csv, .tsv, .csv.gz, .parquet or .gpkg"
        )


def escape_formula(cell: str) -> str:
    """The text, with an apostrophe in front where a spreadsheet would take it for a formula."""
    return f"'{cell}" if _FORMULA.match(cell) and not _NUMBER.match(cell) else cell


def _escaped(column: pd.Series) -> pd.Series:
    if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_datetime64_any_dtype(column):
        return column
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(object)
    return column.map(lambda cell: escape_formula(cell) if isinstance(cell, str) else cell)


__all__ = ["MISSING", "TableInfo", "escape_formula", "read_table", "unique_names", "write_table"]
