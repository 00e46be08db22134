"""Sites as a command names them: a store, or Parquet tables that are packed beside the run on first use."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ecotone.data.site_store import MANIFEST, SiteStore
from ecotone.data.site_store_parquet import ParquetTable, pack
from ecotone.errors import UsageError


def is_store(path: str | Path) -> bool:
    """Whether a path is a store rather than a table."""
    return (Path(path) / MANIFEST).is_file()


def store_files(
    sites: str | Path, labels: str | Path | None = None, background: str | Path | None = None
) -> list[Path]:
    """The files whose content decides what is learned; a store's store.json holds the checksums of all its arrays.

    Args:
        sites: Store, Parquet file, or folder of Parquet files.
        labels: Table of triples, or None.
        background: Table of uniform cells, or None.

    Raises:
        InputError: IO101 for what is not there, IO102, IO103 for what is no Parquet.
        UsageError: As `open_or_pack`.
    """
    if is_store(sites):
        _refuse_more(sites, labels=labels, background=background)
        return [Path(sites) / MANIFEST]
    tables: Sequence[str | Path] = [path for path in (sites, labels, background) if path is not None]
    return [part for path in tables for part in ParquetTable(Path(path)).parts]


def open_or_pack(sites: str | Path, folder: str | Path, **options: Any) -> SiteStore:
    """The store itself, or the one packed from tables.

    Args:
        sites: Store, Parquet file, or folder of Parquet files.
        folder: Where tables are packed to. A store that lies there already is opened: the caller has made sure, by the
            content of `store_files`, that it was made from the same tables.
        **options: As `ecotone.data.site_store_parquet.pack`.

    Raises:
        UsageError: US105 for labels or other options of packing given with a store, which has them already.
        EcotoneError: As `SiteStore` and `pack`.
    """
    if is_store(sites):
        _refuse_more(sites, **options)
        return SiteStore(sites)
    return SiteStore(folder) if is_store(folder) else pack(sites, folder, **options)


def _refuse_more(sites: str | Path, **options: Any) -> None:
    defaults = {"species_column": "species", "count_column": "count"}
    for name, value in options.items():
        if value not in (None, [], (), defaults.get(name)):
            what = "is an option of packing, and the sites are a store already"
            raise UsageError("US105", name, what, f"leave it out, or pack {sites} again with it")
