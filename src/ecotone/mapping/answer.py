"""One window of a map: read, asked of the system, cast to what the products hold. Runs in any process.

Letters: N valid pixels, P covariates, h, w rows and columns of the window.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ecotone import __version__
from ecotone.abilities import Changes, MapProduct, Maps, MapsInGroups
from ecotone.contract import Array
from ecotone.data.raster_grid import Window
from ecotone.data.raster_layers import Layers
from ecotone.data.rasters import RasterStack
from ecotone.errors import InputError, IntegrityError

CALL_ROWS = 65_536
"""Pixels a system is asked for at a time; its answer for a pixel does not depend on the others."""

MIN_CALL_ROWS = 4096


@dataclass(frozen=True)
class MapJob:
    """What one map asks. Plain data but for `system`, to be sent to other processes.

    Attributes:
        stack: Covariates, in the model's order.
        baseline: The same of another climate on the same grid, or None.
        ask: What is asked of the system.
        products: Everything that is written: the system's own, the difference, the changes.
        own: How many of them are the system's own.
        changes: How many are changes the system computes.
        system: The system itself; None when other processes load it from `folder`.
        folder: The model's folder, or None.
        rows: Pixels per call.
        group: Bands per call, for systems that answer for some bands at a time; 0 for all.
        threads: Threads of torch per process, 0 for as many as it likes.
        watched: Every file that is read, with its size and modification time.
        version: Of this program.
    """

    stack: RasterStack
    baseline: RasterStack | None
    ask: Mapping[str, Any]
    products: tuple[MapProduct, ...]
    own: int
    changes: int = 0
    system: Maps | None = None
    folder: Path | None = None
    rows: int = CALL_ROWS
    group: int = 0
    threads: int = 0
    watched: tuple[tuple[str, tuple[int, int]], ...] = ()
    version: str = field(default=__version__)

    def load(self) -> Maps:
        """The system, loaded when need be.

        Raises:
            IntegrityError: IN104 when this process runs another version of the program.
        """
        if self.version != __version__:
            what = f"a worker runs ecotone {__version__}, the map was begun with {self.version}"
            raise IntegrityError("IN104", "workers", what, "install the same version everywhere")
        if self.system is not None:
            return self.system
        from ecotone.registry import load

        system: Any = load(self.folder or ".")
        return system

    def stacks(self) -> list[RasterStack]:
        """The stack and, where there is one, the baseline."""
        return [self.stack] if self.baseline is None else [self.stack, self.baseline]

    def check_stamps(self) -> None:
        """Compares size and time of every raster with what they were when the map was planned.

        Raises:
            InputError: IO101 when one vanished.
            IntegrityError: IN104 when one changed.
        """
        for path, stamp in self.watched:
            try:
                info = Path(path).stat()
            except OSError:
                fix = "put it back and run the same command again, finished windows are kept"
                raise InputError("IO101", path, "vanished while it was being mapped", fix) from None
            if (info.st_size, info.st_mtime_ns) != stamp:
                fix = "run the same command again; it starts anew if the content differs"
                raise IntegrityError("IN104", path, "changed while it was being mapped", fix)


class Answer(NamedTuple):
    """A window's layers, (bands, h, w) per product, and how many of its pixels are valid."""

    layers: list[Array]
    valid: int


def read_window(job: MapJob, window: Window) -> list[Layers]:
    """The covariates of a window, of the stack and of the baseline."""
    return [stack.layers(window) for stack in job.stacks()]


def answer(job: MapJob, system: Maps, window: Window, parts: Sequence[Layers]) -> Answer:
    """Asks the system for the valid pixels of a window.

    Raises:
        InputError: DA404 when the answers have the wrong shape.
    """
    size = window.height * window.width
    layers = [np.full((len(p.bands), size), p.nodata, dtype=p.dtype) for p in job.products]
    now = parts[0]
    dtype = covariate_type(system)
    for bands in _groups(job):
        for start in range(0, now.count, job.rows):
            where = now.at(start, min(start + job.rows, now.count))
            answers = ask(job, system, now.rows(where, dtype), bands)
            for product, layer, found in zip(job.products, layers, answers, strict=False):
                put(product, layer, where, found, bands)
        if len(parts) == 2:
            _compare(job, system, parts[1], now, layers, bands)
    shaped = [layer.reshape(len(layer), window.height, window.width) for layer in layers]
    return Answer(shaped, now.count)


def ask(job: MapJob, system: Maps, rows: Array, bands: slice) -> tuple[Array, ...]:
    """(N, P) rows -> one (N, bands) array per product of the system's own, checked.

    Raises:
        InputError: DA404.
    """
    if bands.start or bands.stop < len(job.products[0].bands):
        answers = tuple(np.asarray(a) for a in system.window_group(rows, bands, **job.ask))  # type: ignore[attr-defined]
    else:
        answers = tuple(np.asarray(a) for a in system.window(rows, **job.ask))
    if len(answers) != job.own:
        what = f"gave {len(answers)} arrays for {job.own} products"
        raise InputError("DA404", "system.window", what, "return one array per product")
    for product, found in zip(job.products, answers, strict=False):
        _check(product, found, len(rows), _width(job, product, bands))
    return answers


def put(product: MapProduct, layer: Array, where: slice | Array, found: Array, bands: slice) -> None:
    """Writes (N, bands) answers of the pixels at flat positions into (bands, h * w), in the type of the product.

    For an integer product numbers are rounded, and what is not finite becomes nodata.
    """
    if np.dtype(product.dtype).kind in "iu" and found.dtype.kind == "f":
        found = np.where(np.isfinite(found), np.rint(found), product.nodata)
    first = bands.start if found.shape[1] < len(product.bands) else 0
    for band in range(found.shape[1]):
        layer[first + band, where] = found[:, band]


def _compare(job: MapJob, system: Maps, then: Layers, now: Layers, layers: Sequence[Array], bands: slice) -> None:
    """The difference of the main product, and what else changed, where both are valid."""
    both = np.flatnonzero(now.valid & then.valid)
    main, difference = job.products[0], job.products[job.own]
    dtype = covariate_type(system)
    for start in range(0, len(both), job.rows):
        where = both[start : start + job.rows]
        rows = then.rows(where, dtype)
        before = ask(job, system, rows, bands)[0].astype(main.dtype).astype(np.float64)
        at = slice(bands.start, bands.start + before.shape[1])
        present = layers[0][at, where].T.astype(np.float64)
        put(difference, layers[job.own], where, present - before, bands)
        if job.changes and isinstance(system, Changes) and bands.start == 0:
            found = tuple(np.asarray(a) for a in system.window_change(now.rows(where, dtype), rows, **job.ask))
            if len(found) != job.changes:
                what = f"gave {len(found)} arrays for {job.changes} products"
                raise InputError("DA404", "system.window_change", what, "return one array per product")
            for k, array in enumerate(found, start=job.own + 1):
                _check(job.products[k], array, len(where), len(job.products[k].bands))
                put(job.products[k], layers[k], where, array, slice(0, array.shape[1]))


def _groups(job: MapJob) -> list[slice]:
    bands = len(job.products[0].bands)
    step = job.group or bands
    return [slice(start, min(start + step, bands)) for start in range(0, bands, step)]


def covariate_type(system: Maps) -> str:
    """The type a system wants its covariates in; float64 unless it says so."""
    return str(getattr(system, "covariate_dtype", "float64"))


def groupable(system: Maps, products: Sequence[MapProduct]) -> bool:
    """Whether the bands of the main product can be asked for in groups."""
    return isinstance(system, MapsInGroups) and len(products[0].bands) > 1


def _width(job: MapJob, product: MapProduct, bands: slice) -> int:
    whole = len(job.products[0].bands)
    return bands.stop - bands.start if len(product.bands) == whole else len(product.bands)


def _check(product: MapProduct, found: Array, rows: int, bands: int) -> None:
    if found.shape != (rows, bands):
        what = f"answers {found.shape} for {rows} pixels and {bands} bands"
        raise InputError("DA404", f"map product {product.suffix or 'main'!r}", what, "return (N, bands)")
