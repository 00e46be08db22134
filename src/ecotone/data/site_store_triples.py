"""Records as a table of (site, species, count), in any order, brought into the order of sites in bounded memory.

Two passes: the first counts records per range of sites, checks them and finds the species; then ranges are joined to
buckets that fit in memory, the second pass drops each record into its bucket's file, and bucket after bucket is sorted.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from ecotone.data.species_names import SpeciesNames
from ecotone.errors import InputError

if TYPE_CHECKING:
    from ecotone.data.site_store_parquet import ParquetTable
    from ecotone.data.site_store_write import SiteStoreWriter

Array = np.ndarray
BINS = 1 << 16
BUCKET = 1 << 21  # records sorted at once, about 32 MB
RANGE = 1 << 22  # sites of a bucket, however few their records
_RECORD = np.dtype([("site", "<i8"), ("species", "<i4"), ("count", "<f4")])


class Triples:
    """A table of records; the first pass is done when this is made, the second by `give`.

    Args:
        table: Columns site, species, and optionally count.
        n_sites: N.
        names: Receives the species.

    Attributes:
        edges: Bucket k holds the records of sites edges[k] .. edges[k + 1] - 1.

    Raises:
        InputError: As `_edges`; OC201 for a missing column.
    """

    def __init__(self, table: ParquetTable, n_sites: int, names: SpeciesNames) -> None:
        table.need(["site", "species"])
        self.table, self.names = table, names
        self.edges = _edges(table, n_sites, names)

    def give(self, writer: SiteStoreWriter) -> None:
        """Gives the writer the records of all its sites."""
        _spill(writer, self.table, self.edges, self.names)


def _edges(table: ParquetTable, n_sites: int, names: SpeciesNames) -> Array:
    """First pass.

    Raises:
        InputError: DA404 for sites that do not exist (with their number) and for species, DA403 for counts.
    """
    size = -(-n_sites // min(BINS, max(n_sites, 1)))
    seen = np.zeros(-(-n_sites // size), np.int64)
    beyond, first = 0, ""
    for start, batch in table.batches(["site", "species"]):
        site = _sites(batch, start, table.path)
        outside = (site < 0) | (site >= n_sites)
        if outside.any():
            k = int(np.flatnonzero(outside)[0])
            first = first or f"first at row {start + k}: site {site[k]}"
            beyond += int(outside.sum())
            site = site[~outside]
        seen += np.bincount(site // size, minlength=len(seen))
        names.see(batch.column(1), lambda k, s=start: f"{table.path}: row {s + k}")
    if beyond:
        what = f"{beyond} records point outside the {n_sites} sites, {first}"
        raise InputError("DA404", table.path, what, "site is the row number among the sites, from 0")
    edges, held = [0], 0
    for k, records in enumerate(seen.tolist()):
        if (held and held + records > BUCKET) or k * size - edges[-1] >= RANGE:
            edges.append(k * size)
            held = 0
        held += records
    return np.array([*edges, n_sites])


def _spill(writer: SiteStoreWriter, table: ParquetTable, edges: Array, names: SpeciesNames) -> None:
    """Second pass: each record into the file of its bucket, then bucket after bucket in order."""
    folder = writer.partial
    columns = ["site", "species", *(["count"] if "count" in table.columns else [])]
    for start, batch in table.batches(columns):
        records = np.zeros(batch.num_rows, _RECORD)
        records["site"] = _sites(batch, start, table.path)
        records["species"] = names.index(batch.column(1), lambda k, s=start: f"{table.path}: row {s + k}")
        records["count"] = _counts(batch, start, table.path) if len(columns) == 3 else 1.0
        bucket = np.searchsorted(edges, records["site"], "right") - 1
        order = np.argsort(bucket, kind="stable")
        cuts = np.flatnonzero(np.diff(bucket[order])) + 1
        for part in np.split(order, cuts) if len(order) else []:
            with (folder / f"bucket-{bucket[part[0]]}").open("ab") as out:
                out.write(records[part].tobytes())
    species = len(names.names)
    for k, (low, high) in enumerate(pairwise(edges.tolist())):
        path = folder / f"bucket-{k}"
        records = np.fromfile(path, _RECORD) if path.exists() else np.empty(0, _RECORD)
        place = (records["count"], (records["site"] - low, records["species"]))
        writer.append_counts(sparse.csr_array(place, shape=(high - low, species)))
        path.unlink(missing_ok=True)


def _sites(batch: Any, start: int, path: Path) -> Array:
    import pyarrow as pa

    column = batch.column(0)
    if not pa.types.is_integer(column.type):
        what = f"column 'site' holds {column.type}, no whole numbers"
        raise InputError("OC204", path, what, "site is the row number among the sites, from 0")
    if column.null_count:
        row = start + int(np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0])
        raise InputError("DA404", f"{path}: row {row}", "names no site", "leave these records out")
    return column.to_numpy(zero_copy_only=False).astype(np.int64)


def _counts(batch: Any, start: int, path: Path) -> Array:
    from ecotone.data.site_store_parquet import numbers

    column = batch.column(2)
    try:
        values = numbers(column)
    except (ValueError, NotImplementedError):  # arrow's errors are of these kinds
        raise InputError("OC204", path, f"column 'count' holds {column.type}, no numbers", "make it numbers") from None
    bad = ~np.isfinite(values) | (values < 0)
    if bad.any():
        row = start + int(np.flatnonzero(bad)[0])
        what = f"{int(bad.sum())} counts are missing, negative or infinite"
        raise InputError("DA403", f"{path}: row {row}", what, "pass numbers of records")
    return values
