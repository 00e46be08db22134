"""Finds out how a text table is written: encoding, delimiter, decimal sign, quoting, header."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ecotone.errors import InputError

HEAD_BYTES = 1 << 18
DELIMITERS = (",", ";", "\t", "|")
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_CONTROLS = frozenset(range(32)) - {9, 10, 12, 13, 26}
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\s*$', re.IGNORECASE)
_COMMA_NUMBER = re.compile(r"[+-]?\d+(,\d+)?$")


@dataclass(frozen=True)
class TextFormat:
    """How a text table is written.

    Attributes:
        encoding: Python codec name.
        delimiter: One of `DELIMITERS`, or what a ``sep=`` line names.
        decimal: "." or ",".
        quoting: Whether double quotes enclose cells; False where quotes are plain characters, as in GBIF downloads.
        names: Column names, stripped, never empty, all different.
        skip_lines: Lines before the first record.
        notes: What was noticed, in words.
    """

    encoding: str
    delimiter: str
    decimal: str
    quoting: bool
    names: tuple[str, ...]
    skip_lines: int
    notes: tuple[str, ...] = ()


def sniff(head: bytes, where: object, *, complete: bool) -> TextFormat:
    """The format of a text table, from its first bytes.

    Args:
        head: The first `HEAD_BYTES` of the file, or all of it.
        where: What to name in messages.
        complete: Whether `head` is the whole file.

    Raises:
        InputError: IO102 for an empty file, IO103 for one that is not text.
    """
    encoding = sniff_encoding(head, where, complete=complete)
    text = codecs.getincrementaldecoder(encoding)("replace").decode(head, complete).lstrip("\ufeff")
    lines = text.splitlines(keepends=True)
    if not complete and len(lines) > 2:
        lines.pop()
    lead = next((i for i, line in enumerate(lines) if line.strip()), None)
    if lead is None:
        raise InputError("IO102", where, "is empty", "pass a table with a header and rows")
    named = _SEPARATOR_LINE.match(lines[lead].strip())
    if named:
        lead += 1
    body = "".join(lines[lead:])
    delimiter = named[1] if named else _delimiter(body)
    quoting = delimiter != "\t" or _tab_cells_are_quoted(body)
    header, header_lines, rows = _header_and_rows(body, delimiter, quoting)
    if not header:
        raise InputError("IO102", where, "has no header", "give the first row column names")
    names, notes = _names(header, rows)
    decimal = "," if delimiter != "," and _has_decimal_comma(rows) else "."
    return TextFormat(encoding, delimiter, decimal, quoting, names, lead + header_lines, tuple(notes))


def sniff_encoding(head: bytes, where: object, *, complete: bool) -> str:
    """The codec: by byte-order mark, by the zero bytes of UTF-16, UTF-8 when it decodes, otherwise Windows-1252."""
    for mark, name in _MARKS:
        if head.startswith(mark):
            return name
    if b"\0" in head:
        half = max(len(head) // 2, 1)
        even, odd = head[0::2].count(0) / half, head[1::2].count(0) / half
        if odd > 0.4 and even < 0.1:
            return "utf-16-le"
        if even > 0.4 and odd < 0.1:
            return "utf-16-be"
    if sum(head.count(bytes([value])) for value in _CONTROLS) > max(3, len(head) / 100):
        raise InputError(
            "IO103", where, "is not a text table", "pass CSV, TSV, Parquet, GeoPackage, GeoJSON or a shapefile"
        )
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head, complete)
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"


def _rows(text: str, delimiter: str, quoting: bool) -> list[list[str]]:
    rows: list[list[str]] = []
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter, quoting=csv.QUOTE_MINIMAL if quoting else csv.QUOTE_NONE
    )
    try:
        for row in reader:
            if row:
                rows.append(row)
            if len(rows) > 300:
                break
    except csv.Error:
        pass
    return rows


def _header_and_rows(text: str, delimiter: str, quoting: bool) -> tuple[list[str], int, list[list[str]]]:
    """Header cells, the number of lines the header takes, and some rows."""
    rows = _rows(text, delimiter, quoting)
    if not rows:
        return [], 0, []
    if not quoting:
        return rows[0], 1, rows[1:]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        next(reader)
    except csv.Error:
        return rows[0], 1, rows[1:]
    return rows[0], reader.line_num, rows[1:]


def _delimiter(text: str) -> str:
    """The candidate that cuts the rows most evenly; ties go to the one that finds more columns."""
    best, best_score = ",", (0.0, 1)
    for candidate in DELIMITERS:
        rows = _rows(text, candidate, quoting=candidate != "\t")
        if not rows or len(rows[0]) < 2:
            continue
        width = len(rows[0])
        even = sum(len(row) in (width, width + 1) for row in rows[1:]) / (len(rows) - 1) if len(rows) > 1 else 1.0
        score = (round(even, 1), width)
        if score > best_score:
            best, best_score = candidate, score
    return best


def _tab_cells_are_quoted(text: str) -> bool:
    """Quotes enclose cells of a tab table only when they do so in the header or all down a column."""
    rows = _rows(text, "\t", quoting=False)
    if any(_wrapped(cell) for cell in rows[0]):
        return True
    width = len(rows[0])
    body = [row for row in rows[1:] if len(row) == width]
    return len(body) > 1 and any(all(_wrapped(row[i]) for row in body) for i in range(width))


def _wrapped(cell: str) -> bool:
    return len(cell) > 1 and cell[0] == cell[-1] == '"'


def _names(header: Sequence[str], rows: Sequence[Sequence[str]]) -> tuple[tuple[str, ...], list[str]]:
    """Column names; a nameless first column (row names of R) and trailing delimiters are provided for."""
    cells, notes = [cell.strip() for cell in header], []
    wide = [row for row in rows if len(row) == len(cells) + 1]
    if rows and len(wide) == len(rows):
        if all(not row[-1].strip() for row in wide):
            cells = [*cells, ""]
        else:
            cells = ["", *cells]
            notes.append("the rows have one cell more than the header: the first is taken as row name")
    if not cells[0]:
        cells[0] = "row_name"
    return unique_names(cell or f"column_{i}" for i, cell in enumerate(cells, 1)), notes


def unique_names(names: Iterable[str]) -> tuple[str, ...]:
    """The names, with .1, .2, ... after repeated ones."""
    seen: set[str] = set()
    out = []
    for name in names:
        candidate, k = name, 0
        while candidate in seen:
            k += 1
            candidate = f"{name}.{k}"
        seen.add(candidate)
        out.append(candidate)
    return tuple(out)


def _has_decimal_comma(rows: Sequence[Sequence[str]]) -> bool:
    """True when some column holds nothing but numbers and at least one of them is written with a comma."""
    width = max((len(row) for row in rows), default=0)
    for i in range(width):
        cells = [row[i].strip() for row in rows if i < len(row) and row[i].strip() not in ("", "NA", "NaN", "NULL")]
        if any("," in cell for cell in cells) and all(_COMMA_NUMBER.match(cell) for cell in cells):
            return True
    return False
