"""Sites on disk: covariates and records of any number of sites, read row by row in constant memory.

A store is a folder of plain .npy arrays and a small store.json with names, shapes and checksums:

===================  ==========  ===================================================================
covariates           (N, P) f4   covariates in their own units
indptr               (N + 1) i8  where each site's records start in the next two
species              (R,) i4     species of each record, ascending within a site
counts               (R,) f4     number of records
records              (S,) f8     records of each species over all sites
log_weight           (N,) f8     log of the site's relative weight as background, mean weight 1; optional
xy                   (N, 2) f8   coordinates; optional
background           (U, P) f4   covariates of uniform random cells; optional
background_weight    (U,) f8     log of their relative weight, mean weight 1; optional
===================  ==========  ===================================================================

Letters: N sites, P covariates, S species, R entries, U background cells.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from scipy import sparse

from ecotone.data.array_file import ArrayFile, damaged
from ecotone.errors import InputError, IntegrityError, UsageError
from ecotone.files.bounded import read_json
from ecotone.files.fingerprint import cache_key
from ecotone.stats.keyed_order import keyed_order

if TYPE_CHECKING:
    from ecotone.data.site_store_write import SiteStoreWriter

Array = np.ndarray
MANIFEST = "store.json"
FORMAT = 1
CHUNK = 1 << 16
_MAX_MANIFEST = 256 << 20
_ROWS = {"covariates": "<f4", "log_weight": "<f8", "xy": "<f8"}
DTYPES = _ROWS | {
    "indptr": "<i8", "species": "<i4", "counts": "<f4", "records": "<f8", "background": "<f4", "background_weight": "<f8"
}  # fmt: skip
OPTIONAL = ("log_weight", "xy", "background", "background_weight")
_SAMPLE = 1 << 33  # an epoch that no training reaches: samples have an order of their own


@dataclass(frozen=True)
class SiteSample:
    """Some sites in memory.

    Attributes:
        rows: (n,) which sites of the store, ascending.
        covariates: (n, P) float32.
        counts: (n, S) records, CSR float32.
        log_weight: (n,) log relative weight, or None when all weigh the same.
        xy: (n, 2) coordinates, or None.
    """

    rows: Array
    covariates: Array
    counts: sparse.csr_array
    log_weight: Array | None
    xy: Array | None


class SiteStore:
    """Sites of a folder, open for reading; safe to use from several threads.

    Args:
        folder: What `ecotone data pack` or one of the constructors wrote.

    Attributes:
        folder: The folder.
        covariates: P names.
        species: S names.
        levels: Categorical covariate -> its values over all sites and background cells.
        n_sites: N.
        n_entries: R.
        n_occupied: Sites with a record of any species.
        n_background: U.
        records: (S,) records of each species.
        id: Changes when anything in the store does.

    Raises:
        InputError: IO101 when the folder is no store.
        IntegrityError: IN105 when a part is damaged, truncated or missing.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     x, y = np.eye(3, dtype=np.float32), np.array([[1, 0], [0, 2], [0, 0]])
        ...     store = SiteStore.from_arrays(Path(folder) / "store", x, y)
        ...     store.n_sites, store.records.tolist()
        (3, [1.0, 2.0])
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        path = self.folder / MANIFEST
        if not path.is_file():
            what = "is no site store" if self.folder.is_dir() else "not found"
            raise InputError("IO101", self.folder, what, "make one with `ecotone data pack SITES --out STORE`")
        # a buffer of the limit's size is made at once, so the limit is the file's own size where that is smaller
        manifest = read_json(path, min(_MAX_MANIFEST, path.stat().st_size), code="IN105")
        self.id = str(manifest.pop("id", ""))
        if cache_key(store=manifest) != self.id:
            raise damaged(path, "does not match its own checksum")
        if manifest.get("format") != FORMAT:
            raise damaged(path, f"is of format {manifest.get('format')}, this ecotone reads {FORMAT}")
        self._files: dict[str, ArrayFile] = {}
        try:
            self._read_manifest(manifest)
        except (KeyError, TypeError, ValueError, AttributeError):
            self.close()
            raise damaged(path, "lacks an entry or holds one of the wrong kind") from None
        except IntegrityError:
            self.close()
            raise

    def _read_manifest(self, manifest: Mapping[str, Any]) -> None:
        self.covariates = tuple(str(name) for name in manifest["covariates"])
        self.species = tuple(str(name) for name in manifest["species"])
        self.levels = {str(k): tuple(int(v) for v in known) for k, known in manifest["levels"].items()}
        self.n_occupied, self._single = int(manifest["occupied"]), bool(manifest["single"])  # all counts are 1
        for name, about in manifest["arrays"].items():
            shape = tuple(int(n) for n in about["shape"])
            self._files[name] = ArrayFile(
                self.folder / f"{name}.npy", np.dtype(DTYPES[name]), shape, str(about["sha256"])
            )
        files = self._files
        self.n_sites, self.n_entries = len(files["covariates"]), len(files["species"])
        self.n_background = len(files["background"]) if "background" in files else 0
        n, p, s = self.n_sites, len(self.covariates), len(self.species)
        shapes = {
            "covariates": (n, p), "indptr": (n + 1,), "species": (self.n_entries,), "counts": (self.n_entries,),
            "records": (s,), "log_weight": (n,), "xy": (n, 2), "background": (self.n_background, p),
            "background_weight": (self.n_background,),
        }  # fmt: skip
        for name, shape in shapes.items():
            if name in files and files[name].shape != shape:
                raise damaged(files[name].path, f"has shape {files[name].shape}, expected {shape}")
        self.records = files["records"].read(0, s)
        self.weighted = "log_weight" in files

    # -------------------------------------------------------------------------------------------- making one
    @staticmethod
    def from_parquet(sites: str | Path, folder: str | Path, **options: Any) -> SiteStore:
        """Packs Parquet files, see `ecotone.data.site_store_parquet.pack`."""
        from ecotone.data.site_store_parquet import pack

        return pack(sites, folder, **options)

    @staticmethod
    def from_arrays(folder: str | Path, covariates: Any, counts: Any, **options: Any) -> SiteStore:
        """Packs arrays, see `ecotone.data.site_store_arrays.from_arrays`."""
        from ecotone.data.site_store_arrays import from_arrays

        return from_arrays(folder, covariates, counts, **options)

    @staticmethod
    def writer(folder: str | Path, covariates: Any, species: Any, **options: Any) -> SiteStoreWriter:
        """A writer that takes sites part by part, see `ecotone.data.site_store_write.SiteStoreWriter`."""
        from ecotone.data.site_store_write import SiteStoreWriter

        return SiteStoreWriter(folder, covariates, species, **options)

    # -------------------------------------------------------------------------------------------- reading
    def take(self, rows: Any) -> SiteSample:
        """Sites by number, ascending, each once.

        Args:
            rows: Row numbers, 0..N-1, in any order.

        Raises:
            UsageError: US104 for a row that does not exist.
            IntegrityError: IN105 when what is read cannot be right, IN103 when the store was changed since it was opened.
        """
        rows = self._known(np.unique(np.asarray(rows, dtype=np.int64)))
        indptr, species, counts = self.entries(rows)
        matrix = sparse.csr_array((counts, species, indptr), shape=(len(rows), len(self.species)))
        optional = [self._files[name].take(rows) if name in self._files else None for name in ("log_weight", "xy")]
        return SiteSample(rows, self.covariate_rows(rows), matrix, *optional)

    def sample(self, n: int, seed: int = 0) -> SiteSample:
        """Sites drawn without replacement: a pure function of (store, n, seed); all sites in order when n reaches N.

        Args:
            n: How many.
            seed: Which draw.
        """
        rows = np.arange(self.n_sites) if n >= self.n_sites else self._drawn(n, seed, self.n_sites)
        return self.take(rows)

    def chunks(self, size: int = CHUNK) -> Iterator[SiteSample]:
        """All sites in order, `size` at a time."""
        for start in range(0, self.n_sites, size):
            yield self.take(np.arange(start, min(start + size, self.n_sites)))

    def covariate_rows(self, rows: Array) -> Array:
        """(n, P) float32 covariates of `rows`, which ascend, each once."""
        self.require_unchanged()
        return self._files["covariates"].take(rows)

    def log_weight_rows(self, rows: Array) -> Array:
        """(n,) log-weights of `rows`, which ascend, each once; zeros when all sites weigh the same."""
        return self._files["log_weight"].take(rows) if self.weighted else np.zeros(len(rows))

    def entries(self, rows: Array) -> tuple[Array, Array, Array]:
        """Records of `rows`, which ascend, each once, as CSR: (n + 1) indptr, (r,) species, (r,) counts."""
        pairs = self._pairs(rows)
        starts, stops = pairs[:, 0], pairs[:, 1]
        if len(rows) and not ((starts >= 0).all() and (starts <= stops).all() and (stops <= self.n_entries).all()):
            raise damaged(self._files["indptr"].path, "points outside the records")
        indptr = np.append(0, np.cumsum(stops - starts))
        species = self._files["species"].spans(starts, stops)
        if len(species) and not (species.min() >= 0 and species.max() < len(self.species)):
            raise damaged(self._files["species"].path, "names a species that is not in the list")
        counts = np.ones(len(species), np.float32) if self._single else self._files["counts"].spans(starts, stops)
        return indptr, species, counts

    def background(self, n: int | None = None, seed: int = 0) -> tuple[Array, Array]:
        """(u, P) covariates and (u,) log-weights of background cells: all, or `n` drawn without replacement."""
        u = self.n_background
        rows = np.arange(u) if n is None or n >= u else self._drawn(n, seed, u)
        return self.background_rows(rows)

    def background_rows(self, rows: Array) -> tuple[Array, Array]:
        """(n, P) covariates and (n,) log-weights of background cells `rows`, which ascend, each once."""
        if not self.n_background:
            return np.empty((0, len(self.covariates)), np.float32), np.empty(0)
        weight = self._files.get("background_weight")
        return self._files["background"].take(rows), np.zeros(len(rows)) if weight is None else weight.take(rows)

    # -------------------------------------------------------------------------------------------- trust
    def verify(self) -> None:
        """Reads the whole store once and compares its checksums.

        Raises:
            IntegrityError: IN105 naming the part that differs.
        """
        for file in self._files.values():
            file.verify()

    def require_unchanged(self) -> None:
        """Makes sure that no part was changed, replaced or removed since the store was opened.

        Raises:
            IntegrityError: IN103 naming the part.
        """
        for file in self._files.values():
            file.require_unchanged()

    def close(self) -> None:
        """Closes the files."""
        for file in self._files.values():
            file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_files"):
            self.close()

    def __len__(self) -> int:
        return self.n_sites

    def __repr__(self) -> str:
        size = f"{self.n_sites:,} sites, {len(self.covariates)} covariates, {len(self.species):,} species"
        return f"SiteStore({str(self.folder)!r}: {size}, {self.n_entries:,} entries, {self.n_background:,} cells)"

    # -------------------------------------------------------------------------------------------- inner parts
    def _pairs(self, rows: Array) -> Array:
        """(n, 2) first and last + 1 entry of each row, reading touching rows at once."""
        if not len(rows):
            return np.empty((0, 2), np.int64)
        file = self._files["indptr"]
        if (rows[-1] - rows[0] + 1) * 8 <= len(rows) * 4096:  # close together
            needed = np.union1d(rows, rows + 1)
            values, at = file.take(needed), np.searchsorted(needed, rows)
            return np.column_stack([values[at], values[at + 1]])
        return file.pairs(rows)

    def _known(self, rows: Array) -> Array:
        if len(rows) and (rows[0] < 0 or rows[-1] >= self.n_sites):
            odd = rows[0] if rows[0] < 0 else rows[-1]
            raise UsageError("US104", f"site {odd}", f"is not one of the {self.n_sites} sites", "count from 0")
        return rows

    @staticmethod
    def _drawn(n: int, seed: int, total: int) -> Array:
        if n < 0:
            raise UsageError("US104", "n", f"must not be negative, got {n}", "give 0 or more")
        return np.sort(keyed_order(seed, _SAMPLE, total, np.arange(n)))
