"""Writing a site store, part by part and in constant memory; it gets its name only when it is whole.

Letters: N sites, P covariates, S species, U background cells, n rows of a part.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from scipy import sparse

from ecotone.data.array_file import HEADER, GrowingArray
from ecotone.data.site_store import CHUNK, DTYPES, FORMAT, MANIFEST, SiteStore
from ecotone.errors import InputError, UsageError, suggest
from ecotone.files.atomic import PARTIAL, fsync_path, jsonable, make_folder, write_json, write_problem
from ecotone.files.fingerprint import cache_key

Array = np.ndarray
MAX_LEVELS = 10_000
_STALE_S = 3600.0


class SiteStoreWriter:
    """Takes sites part by part, as a context manager; leaving it without an error makes the store.

    Until then everything lies in a hidden folder beside, which an error removes.

    Args:
        folder: The store; must not exist, or be empty.
        covariates: P names, all different.
        species: S names, all different, or their number.
        categorical: Covariates whose values are labels (whole numbers).
        weighted: Sites come with weights.
        located: Sites come with coordinates.

    Raises:
        UsageError: US106 when the folder holds something; US101, US104 for names.
        InputError: IO104 when it cannot be written.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with SiteStoreWriter(Path(folder) / "store", ["bio1"], ["lynx"]) as writer:
        ...         for part in range(3):
        ...             writer.append(np.full((2, 1), part), np.array([[0], [part]]))
        ...     SiteStore(Path(folder) / "store").n_occupied
        2
    """

    def __init__(
        self,
        folder: str | Path,
        covariates: Sequence[str],
        species: Sequence[str] | int,
        *,
        categorical: Sequence[str] = (),
        weighted: bool = False,
        located: bool = False,
    ) -> None:
        self.folder = Path(folder)
        self.covariates = [str(name) for name in covariates]
        names = [f"species {j}" for j in range(species)] if isinstance(species, int) else list(map(str, species))
        self.species = names
        for what, given in (("covariates", self.covariates), ("species", names)):
            if not given or len(set(given)) != len(given):
                problem = "names come twice" if given else "there are none"
                raise UsageError("US104", what, problem, "give each a name of its own")
        for name in categorical:
            if name not in self.covariates:
                fix = suggest(name, self.covariates)
                raise UsageError("US101", name, "declared categorical but not a covariate", fix)
        self._levels: dict[str, set[int]] = {name: set() for name in categorical}
        self._refuse_taken()
        make_folder(self.folder.parent)
        _sweep(self.folder)
        self.partial = self.folder.with_name(f".{self.folder.name}.{os.getpid()}{PARTIAL}")
        self.n_sites = self.n_counted = self._occupied = self._cells = 0
        self._records, self._single = np.zeros(len(names)), True
        self._weights = {"log_weight": 0.0, "background_weight": 0.0}
        self._arrays: dict[str, GrowingArray] = {}
        try:
            shutil.rmtree(self.partial, ignore_errors=True)
            self.partial.mkdir()
            self._open("covariates", len(self.covariates))
            for name in ("indptr", "species", "counts"):
                self._open(name)
            self._arrays["indptr"].add(np.zeros(1))
            if weighted:
                self._open("log_weight")
            if located:
                self._open("xy", 2)
        except OSError as error:
            self.abort()
            raise write_problem(self.folder, error) from error

    # -------------------------------------------------------------------------------------------- adding
    def append(self, covariates: Any, counts: Any = None, *, weight: Any = None, xy: Any = None) -> None:
        """Adds sites.

        Args:
            covariates: (n, P), finite, in own units; kept as float32.
            counts: (n, S) records, dense or sparse; None to give those of all sites later with `append_counts`.
            weight: (n,) relative weight as background, when the store is weighted.
            xy: (n, 2) coordinates, when the store has them.

        Raises:
            InputError: DA403 for values that are not finite or negative records, with their number and the first place;
                DA404 for shapes that do not fit; RA307 for labels that are not whole numbers.
        """
        values = self._covariates(covariates, "covariates", self.n_sites)
        parts = {"log_weight": (weight, ()), "xy": (xy, (2,))}
        more: dict[str, Array] = {}
        for name, (given, row) in parts.items():
            if (given is not None) != (name in self._arrays):
                what = "is missing" if given is None else "was not announced"
                raise InputError("DA404", name, what, "say weighted= or located= when the writer is made")
            if given is not None:
                more[name] = _checked(given, (len(values), *row), name, self.n_sites)
        if weight is not None:
            more["log_weight"] = self._log_weight(more["log_weight"], "log_weight")
        matrix = None if counts is None else self._counts(counts, len(values), self.n_sites)
        try:
            self._arrays["covariates"].add(values)
            for name, array in more.items():
                self._arrays[name].add(array)
        except OSError as error:
            raise write_problem(self.folder, error) from error
        self.n_sites += len(values)
        if matrix is not None:
            self._add_counts(matrix)

    def append_counts(self, counts: Any) -> None:
        """Adds the records of the next sites: an (n, S) matrix, dense or sparse."""
        self._add_counts(self._counts(counts, np.shape(counts)[0], self.n_counted))

    def append_background(self, covariates: Any, weight: Any = None) -> None:
        """Adds uniform random cells.

        Args:
            covariates: (n, P), finite.
            weight: (n,) relative weight (area times effort), for all parts or for none.
        """
        values = self._covariates(covariates, "background", self._cells)
        try:
            if "background" not in self._arrays:
                self._open("background", len(self.covariates))
                if weight is not None:
                    self._open("background_weight")
            if (weight is not None) != ("background_weight" in self._arrays):
                raise InputError("DA404", "background weight", "given for some parts only", "give it for all or none")
            if weight is not None:
                checked = _checked(weight, (len(values),), "background weight", self._cells)
                self._arrays["background_weight"].add(self._log_weight(checked, "background_weight"))
            self._arrays["background"].add(values)
        except OSError as error:
            raise write_problem(self.folder, error) from error
        self._cells += len(values)

    # -------------------------------------------------------------------------------------------- ending
    def close(self) -> SiteStore:
        """Completes the store.

        Raises:
            InputError: DA404 when sites lack records or none were given, OC205 without any record.
        """
        try:
            return self._close()
        except OSError as error:
            raise write_problem(self.folder, error) from error
        finally:
            self.abort()

    def abort(self) -> None:
        """Removes what was written so far; does nothing after `close`."""
        for array in self._arrays.values():
            array.close()
        shutil.rmtree(self.partial, ignore_errors=True)

    def _close(self) -> SiteStore:
        if self.n_sites != self.n_counted:
            what = f"{self.n_counted} sites have records, {self.n_sites} have covariates"
            raise InputError("DA404", self.folder, what, "append the records of every site")
        if self.n_sites < 2 or not self._occupied:
            raise InputError("OC205", self.folder, "fewer than 2 sites, or no record at all", "pack sites with records")
        self._means()
        self._open("records")
        self._arrays["records"].add(self._records)
        arrays = {name: array.finish() for name, array in self._arrays.items()}
        manifest = {
            "format": FORMAT,
            "covariates": self.covariates,
            "species": self.species,
            "levels": {name: sorted(known) for name, known in self._levels.items()},
            "occupied": self._occupied,
            "single": self._single,
            "arrays": arrays,
        }
        write_json(self.partial / MANIFEST, {"id": cache_key(store=jsonable(manifest)), **manifest})
        fsync_path(self.partial)
        self._refuse_taken()
        self.partial.rename(self.folder)
        fsync_path(self.folder.parent)
        return SiteStore(self.folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close().close()
        else:
            self.abort()

    # -------------------------------------------------------------------------------------------- inner parts
    def _open(self, name: str, *row: int) -> None:
        self._arrays[name] = GrowingArray(self.partial / f"{name}.npy", DTYPES[name], row)

    def _refuse_taken(self) -> None:
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            return
        if self.folder.exists():
            raise UsageError("US106", self.folder, "already exists", "choose another --out or remove it")

    def _covariates(self, values: Any, where: str, before: int) -> Array:
        values = np.asarray(values)
        wanted = (len(values) if values.ndim else 0, len(self.covariates))
        if values.shape != wanted or values.dtype.kind not in "buif":
            what = f"shape {values.shape} of {values.dtype}, expected (n, {wanted[1]}) numbers"
            raise InputError("DA404", where, what, "pass one column per covariate")
        with np.errstate(over="ignore"):
            values = np.ascontiguousarray(values, dtype="<f4")
        finite = np.isfinite(values)
        if not finite.all():
            rows, columns = np.nonzero(~finite)
            name = self.covariates[columns[0]]
            what = f"{len(rows)} values are NaN or infinite, first at row {before + rows[0]}, column {name}"
            raise InputError("DA403", where, what, "mask or fill these sites first")
        for name, known in self._levels.items():
            column = values[:, self.covariates.index(name)]
            found = np.unique(column)
            if not np.array_equal(found, np.rint(found)) or len(known | set(found.tolist())) > MAX_LEVELS:
                what = f"values are no labels (whole numbers, at most {MAX_LEVELS} different)"
                raise InputError("RA307", name, what, "do not declare it categorical")
            known.update(int(v) for v in found)
        return values

    def _counts(self, counts: Any, n: int, before: int) -> sparse.csr_array:
        if not sparse.issparse(counts):
            counts = np.atleast_2d(np.asarray(counts, dtype=np.float32))
        matrix = sparse.csr_array(counts, dtype=np.float32, copy=True)
        if matrix.shape != (n, len(self.species)):
            what = f"shape {matrix.shape}, expected ({n}, {len(self.species)})"
            raise InputError("DA404", "counts", what, "pass one row per site, one column per species")
        bad = ~np.isfinite(matrix.data) | (matrix.data < 0)
        if bad.any():
            row = before + int(np.searchsorted(matrix.indptr, np.flatnonzero(bad)[0], "right")) - 1
            what = f"{int(bad.sum())} are negative, NaN or infinite, first at row {row}"
            raise InputError("DA403", "counts", what, "pass numbers of records")
        matrix.sum_duplicates()
        matrix.eliminate_zeros()
        return matrix

    def _add_counts(self, matrix: sparse.csr_array) -> None:
        start = self._arrays["species"].length
        try:
            self._arrays["indptr"].add(matrix.indptr[1:].astype(np.int64) + start)
            self._arrays["species"].add(matrix.indices)
            self._arrays["counts"].add(matrix.data)
        except OSError as error:
            raise write_problem(self.folder, error) from error
        self.n_counted += matrix.shape[0]
        self._single = self._single and bool((matrix.data == 1).all())
        self._occupied += int((np.diff(matrix.indptr) > 0).sum())
        self._records += np.bincount(matrix.indices, matrix.data, minlength=len(self.species))

    def _log_weight(self, weight: Array, name: str) -> Array:
        if (weight < 0).any():
            raise InputError("DA403", name, f"{int((weight < 0).sum())} weights are negative", "pass relative effort")
        self._weights[name] += float(weight.sum())
        with np.errstate(divide="ignore"):
            return np.log(weight)

    def _means(self) -> None:
        """Scales the weights to mean 1, now that the mean is known: the files are written anew."""
        for name, total in self._weights.items():
            if name not in self._arrays:
                continue
            old = self._arrays[name]
            if not total > 0:
                raise InputError("DA403", name, "all weights are 0", "pass relative effort")
            shift = np.log(total / old.length)
            old.close()
            raw = old.path.with_suffix(".raw")
            old.path.rename(raw)
            self._open(name)
            with raw.open("rb") as source:
                source.seek(HEADER)
                while block := source.read(8 * CHUNK):
                    self._arrays[name].add(np.frombuffer(block, "<f8") - shift)
            raw.unlink()


def _checked(values: Any, shape: tuple[int, ...], name: str, before: int) -> Array:
    values = np.asarray(values, dtype=np.float64)
    if values.shape != shape:
        raise InputError("DA404", name, f"shape {values.shape}, expected {shape}", "pass one per site")
    bad = ~np.isfinite(values)
    if bad.any():
        what = f"{int(bad.sum())} values are NaN or infinite, first at row {before + int(np.nonzero(bad)[0][0])}"
        raise InputError("DA403", name, what, "fill them or leave these sites out")
    return values


def _sweep(folder: Path) -> None:
    """Removes what a killed packing of the same store left behind."""
    for path in folder.parent.glob(f".{folder.name}.*{PARTIAL}"):
        with suppress(OSError):
            newest = max((p.stat().st_mtime for p in path.iterdir()), default=path.stat().st_mtime)
            if path.is_dir() and time.time() - newest >= _STALE_S:
                shutil.rmtree(path, ignore_errors=True)
