"""Packing Parquet files into a site store, by row groups and in constant memory.

Columns of the sites are covariates, but for those with a role: records as a list column (names or numbers, with an
optional list of counts beside it), weight, coordinates. Records may instead come as a second table of triples.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from ecotone.data.site_store import CHUNK, SiteStore
from ecotone.data.site_store_triples import Triples
from ecotone.data.site_store_write import SiteStoreWriter
from ecotone.data.species_names import SpeciesNames
from ecotone.errors import InputError, suggest

Array = np.ndarray
FIX = "pass a Parquet file or a folder of them"
INDEX = "__index_level_"  # row labels of a data frame, which describe no site


@dataclass
class ParquetTable:
    """One Parquet file or a folder of parts, read as a stream.

    Attributes:
        path: File or folder.
        parts: The files, sorted by name.
        columns: Name -> arrow type, the same in all parts.
        rows: Rows of all parts.
    """

    path: Path
    parts: list[Path] = field(init=False)
    columns: dict[str, Any] = field(init=False)
    rows: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        path = self.path = Path(self.path)
        if not path.exists():
            raise InputError("IO101", path, "not found", "check the path")
        found = sorted(p for p in path.rglob("*.parquet") if not p.name.startswith(("_", "."))) if path.is_dir() else []
        self.parts = found if path.is_dir() else [path]
        if not self.parts:
            raise InputError("IO101", path, "holds no .parquet file", FIX)
        first: Any = None
        kinds: dict[str, tuple[str, str]] = {}
        for part in self.parts:
            with _opened(part) as file:
                schema = file.schema_arrow
                self.rows += file.metadata.num_rows
                names = schema.names
                if twice := sorted({name for name in names if names.count(name) > 1}):
                    raise InputError("OC201", part, f"has two columns {twice[0]!r}", "give each a name of its own")
                columns = {field.name: field.type for field in schema}
            first = columns if first is None else first
            if lacking := sorted(set(first) ^ set(columns)):
                where = self.parts[0].name
                raise InputError(
                    "OC201", part, f"differs from {where} in column {lacking[0]!r}", "make all parts alike"
                )
            for name, kind in columns.items():
                known, where = kinds.setdefault(name, (_kind(kind), part.name))
                if known == "nothing":
                    kinds[name] = _kind(kind), part.name
                elif _kind(kind) not in (known, "nothing"):
                    what = f"column {name!r} holds {kind}, and {known} in {where}"
                    raise InputError("OC204", part, what, "make all parts alike")
        self.columns = first

    def need(self, names: Sequence[str | None]) -> None:
        """Makes sure that columns are there.

        Raises:
            InputError: OC201 naming the first that is not.
        """
        for name in names:
            if name is not None and name not in self.columns:
                raise InputError("OC201", self.path, f"has no column {name!r}", suggest(name, self.columns))

    def batches(self, columns: Sequence[str]) -> Iterator[tuple[int, Any]]:
        """(first row, arrow record batch) with the columns asked for."""
        start = 0
        for part in self.parts:
            with _opened(part) as file:
                try:
                    for batch in file.iter_batches(CHUNK, columns=list(dict.fromkeys(columns))):
                        yield start, batch
                        start += batch.num_rows
                except (OSError, ValueError) as error:
                    raise _unreadable(part, error) from error


@dataclass
class Roles:
    """Which column is what; None where there is none."""

    species: str | None
    count: str | None
    weight: str | None
    x: str | None
    y: str | None
    covariates: list[str]


def pack(
    sites: str | Path,
    folder: str | Path,
    *,
    labels: str | Path | None = None,
    background: str | Path | None = None,
    covariates: Sequence[str] = (),
    exclude: Sequence[str] = (),
    categorical: Sequence[str] = (),
    species: Sequence[str] | None = None,
    species_column: str = "species",
    count_column: str = "count",
    weight: str | None = None,
    x: str | None = None,
    y: str | None = None,
) -> SiteStore:
    """Packs Parquet files into a store.

    Args:
        sites: One file or a folder of parts, read in the order of their names; one row is one site.
        folder: The store to make.
        labels: Table of triples with columns `site` (row number among the sites, from 0), `species`, and optionally
            `count`, in any order; None when the sites have a species column.
        background: Uniform random cells with the same covariates, or None.
        covariates: Their columns; by default every column of numbers that has no other role.
        exclude: Columns to leave out.
        categorical: Covariates whose values are labels.
        species: S names. Numbers in the data then count places in this list from 0; without it the numbers or names that
            occur make the list, sorted.
        species_column: Column of lists of species, or of one species per site.
        count_column: Column of lists of counts beside it, where there is one; 1 otherwise.
        weight: Column of relative weights as background, for sites and background alike.
        x: Column of longitudes or eastings, kept with the sites.
        y: Column of latitudes or northings.

    Raises:
        InputError: IO101 for missing files, IO102, IO103 for those that cannot be read, OC201 for missing columns, OC204 for
            columns that are no numbers, DA403 for NaN or infinite values with their number and place, DA404 for species or
            sites that do not exist.
        UsageError: US106 when the folder holds something.
    """
    table = ParquetTable(Path(sites))
    roles = _roles(
        table, covariates, exclude, None if labels is not None else species_column, count_column, weight, x, y
    )
    names = SpeciesNames(species)
    triples = None if labels is None else Triples(ParquetTable(Path(labels)), table.rows, names)
    if triples is None and species is None and roles.species is not None:
        for start, batch in table.batches([roles.species]):
            names.see(_flat(batch.column(0))[0], lambda k, s=start: f"{table.path}: a record after row {s + k}")
    names.settle(table.path)
    options = {"categorical": categorical, "weighted": weight is not None, "located": roles.x is not None}
    writer = SiteStoreWriter(folder, roles.covariates, names.names, **options)
    try:
        _write_sites(writer, table, roles, names)
        if triples is not None:
            triples.give(writer)
        if background is not None:
            _write_background(writer, ParquetTable(Path(background)), roles)
        return writer.close()
    except BaseException:
        writer.abort()
        raise


def _roles(
    table: ParquetTable,
    covariates: Sequence[str],
    exclude: Sequence[str],
    species: str | None,
    count: str,
    weight: str | None,
    x: str | None,
    y: str | None,
) -> Roles:
    if (x is None) != (y is None):
        raise InputError("OC201", table.path, "one coordinate was named, the other was not", "name both x and y")
    table.need([species, weight, x, y, *covariates, *exclude])
    if count != "count":
        table.need([count])
    counts = count if species is not None and count in table.columns else None
    taken = {species, counts, weight, x, y, *exclude}
    found = [name for name in table.columns if name not in taken and not name.startswith(INDEX)]
    chosen = list(covariates) or found
    if not chosen:
        raise InputError("OC201", table.path, "has no column left for covariates", "name them with covariates")
    _need_numbers(table, [*chosen, *(c for c in (weight, x, y) if c is not None)], "exclude it, or make it numbers")
    if counts is not None and _kind(table.columns[counts]) not in ("numbers", "nothing"):
        what = f"column {counts!r} holds {table.columns[counts]}, no numbers"
        raise InputError("OC204", table.path, what, "make it numbers, or name another count column")
    return Roles(species, counts, weight, x, y, chosen)


def _write_sites(writer: SiteStoreWriter, table: ParquetTable, roles: Roles, names: SpeciesNames) -> None:
    """All rows; NaN are counted over the whole table before they are refused."""
    bad, first = 0, ""
    extra = [c for c in (roles.species, roles.count, roles.weight, roles.x, roles.y) if c is not None]
    for start, batch in table.batches([*roles.covariates, *extra]):
        values = np.column_stack([numbers(batch.column(name)) for name in roles.covariates])
        with np.errstate(over="ignore"):
            finite = np.isfinite(values.astype(np.float32))
        if not finite.all():
            rows, columns = np.nonzero(~finite)
            first = first or f"first at row {start + rows[0]}, column {roles.covariates[columns[0]]}"
            bad += len(rows)
        if bad:
            continue
        counts = None if roles.species is None else _records(batch, start, roles, names, table.path)
        weight = None if roles.weight is None else numbers(batch.column(roles.weight))
        xy = None
        if roles.x is not None and roles.y is not None:
            xy = np.column_stack([numbers(batch.column(roles.x)), numbers(batch.column(roles.y))])
        writer.append(values, counts, weight=weight, xy=xy)
    if bad:
        what = f"{bad} values are missing, NaN or infinite, {first}"
        raise InputError("DA403", table.path, what, "mask or fill these sites first")


def _write_background(writer: SiteStoreWriter, table: ParquetTable, roles: Roles) -> None:
    weighted = roles.weight is not None and roles.weight in table.columns
    table.need(roles.covariates)
    _need_numbers(table, roles.covariates + ([roles.weight] if weighted and roles.weight else []), "make it numbers")
    if not table.rows:
        raise InputError("OC205", table.path, "holds no cell", "pass cells, or leave it out")
    for _, batch in table.batches([*roles.covariates, *([roles.weight] if weighted and roles.weight else [])]):
        values = np.column_stack([numbers(batch.column(name)) for name in roles.covariates])
        writer.append_background(values, numbers(batch.column(roles.weight)) if weighted and roles.weight else None)


def _records(batch: Any, start: int, roles: Roles, names: SpeciesNames, path: Path) -> sparse.csr_array:
    species, lengths = _flat(batch.column(roles.species))
    rows = np.repeat(np.arange(batch.num_rows), lengths)
    columns = names.index(species, lambda k: f"{path}: row {start + rows[k]}")
    values = np.ones(len(rows))
    if roles.count is not None:
        counts, own = _flat(batch.column(roles.count))
        if not np.array_equal(own, lengths):
            row = int(np.flatnonzero(own != lengths)[0])
            what = f"{own[row]} counts for {lengths[row]} species"
            raise InputError("DA404", f"{path}: row {start + row}", what, "give one count per species")
        values = numbers(counts)
    bad = ~np.isfinite(values) | (values < 0)
    if bad.any():
        what = f"{int(bad.sum())} counts are missing, negative or infinite"
        where = f"{path}: row {start + rows[np.flatnonzero(bad)[0]]}"
        raise InputError("DA403", where, what, "pass numbers of records")
    shape = (batch.num_rows, len(names.names))
    return sparse.csr_array((values.astype(np.float32), (rows, columns)), shape=shape)


def numbers(column: Any) -> Array:
    """(n,) float64 of an arrow column, NaN where it is null."""
    import pyarrow as pa

    return column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)


def _flat(column: Any) -> tuple[Any, Array]:
    """Values of a list column end to end, and (n,) lengths; a plain column is a list of one, or of none where null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type) or pa.types.is_fixed_size_list(column.type):
        lengths = pc.fill_null(pc.call_function("list_value_length", [column]), 0).to_numpy(zero_copy_only=False)
        return column.flatten(), lengths.astype(np.int64)
    there = column.is_valid()
    return column.filter(there), there.to_numpy(zero_copy_only=False).astype(np.int64)


def _need_numbers(table: ParquetTable, columns: Sequence[str], fix: str) -> None:
    for name in columns:
        if not _is_number(table.columns[name]):
            raise InputError("OC204", table.path, f"column {name!r} holds {table.columns[name]}, no numbers", fix)


def _kind(kind: Any) -> str:
    """What parts must agree in; lists are of the kind of what they hold."""
    import pyarrow as pa

    types = pa.types
    while (
        types.is_dictionary(kind) or types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
    ):
        kind = kind.value_type
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return "text"
    return "numbers" if _is_number(kind) else "nothing" if types.is_null(kind) else str(kind)


def _is_number(kind: Any) -> bool:
    import pyarrow as pa

    types = pa.types
    return types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind) or types.is_decimal(kind)


def _opened(path: Path) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # buffered: a column of a large row group is read piece by piece
        return pq.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False, memory_map=False)
    except pa.ArrowInvalid as error:
        raise _unreadable(path, error) from error
    except OSError as error:
        raise InputError("IO102", path, f"cannot be read ({error})"[:200], FIX) from error


def _unreadable(path: Path, error: Exception) -> InputError:
    with path.open("rb") as handle:
        whole = handle.read(4) == b"PAR1"
    if whole or not path.stat().st_size:
        return InputError("IO102", path, "is empty, truncated or damaged", "make or copy it again")
    return InputError("IO103", path, f"is no Parquet file ({' '.join(str(error).split())[:80]})", FIX)
