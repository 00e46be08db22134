"""Model and rasters to map: windows are read, valid pixels predicted, answers written.

The map lies on the grid of the stack's template. A pixel that lacks any covariate the model needs is nodata in every
product, whatever the model (the nodata rule of `ecotone.data.rasters`). The window size changes time and memory, never
a number: reading is exact cell by cell, and systems predict through `ecotone.mapping.pixelwise`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ecotone.abilities import MapProduct, Maps
from ecotone.data.raster_grid import Window
from ecotone.data.rasters import RasterStack
from ecotone.errors import InputError, UsageError
from ecotone.files.atomic import fsync_path
from ecotone.files.progress import progress as shown_progress
from ecotone.mapping.write import ProductWriter, check_products, check_space, product_path, work_folder

MEMORY_BYTES = 512 << 20
_SMALLEST = 64
Progress = bool | Callable[[int, int], None]


def make_map(
    system: Maps,
    stack: RasterStack,
    out: str | Path,
    *,
    window: int = 512,
    ask: Mapping[str, Any] | None = None,
    baseline: RasterStack | None = None,
    progress: Progress = True,
    tags: Mapping[str, str] | None = None,
) -> list[Path]:
    """Maps a fitted system over a raster stack.

    Args:
        system: A system with the ability `Maps`.
        stack: Covariate rasters; those the model needs are picked by name.
        out: Main output, ending in .tif; further products go to OUT.SUFFIX.tif.
        window: Rows and columns per window; made smaller when one would need more than 512 MiB.
        ask: What the system's `Ask` may add.
        baseline: Another stack (another climate, say). Also writes OUT.difference.tif: the main product of `stack`
            minus that of `baseline`, on the grid of `stack`.
        progress: True for a bar or plain lines on standard error, or a function told (windows done, windows in all).
        tags: Tags of the files, such as the hash of the model.

    Returns:
        The written files, main product first. They appear together when all are complete.

    Raises:
        UsageError: US103 the system makes no maps, US104 the ending is not .tif, US105 difference of classes.
        InputError: RA303 missing covariates, RA304 no valid pixel, IO104 not writable, IO102 a raster broke midway.
        InterruptedRunError: ST102 not enough disk, known before any work where possible.
    """
    out, ask, tags = Path(out), dict(ask or {}), dict(tags or {})
    if not isinstance(system, Maps):
        raise UsageError("US103", getattr(system, "name", type(system).__name__), "makes no maps", "see `ecotone list`")
    if out.suffix.lower() not in (".tif", ".tiff"):
        raise UsageError("US104", out, "maps are written as GeoTIFF", f"name it {out.with_suffix('.tif').name}")
    stack = needed_covariates(system, stack)
    products = list(system.map_products(**ask))
    if baseline is not None:
        baseline = needed_covariates(system, baseline).on_grid(stack.grid)
        products.append(_difference(products[0]))
    check_products(products)
    tags = {"ECOTONE_SYSTEM": str(getattr(system, "name", type(system).__name__)), **tags}
    size = modest_window(len(stack.names) * (1 if baseline is None else 2), sum(len(p.bands) for p in products), window)
    places = list(stack.windows(size))
    seen = 0
    with work_folder(out) as folder, ExitStack() as opened:
        check_space(folder, stack.grid, products)
        writers = [opened.enter_context(ProductWriter(folder, out, p, stack.grid, tags)) for p in products]
        with _told(progress, len(places), out.name) as tell:
            stacks = [stack] if baseline is None else [stack, baseline]
            for done, (place, parts) in enumerate(_read_ahead(stacks, places), start=1):
                seen += _map_window(system, ask, place, parts, writers)
                tell(done)
        if seen == 0:
            fix = "check overlap and nodata values with `ecotone doctor` on the same files"
            raise InputError("RA304", "rasters", "no pixel is valid in all of them, the map would be empty", fix)
        for writer in writers:
            writer.finish()
        written = [writer.publish() for writer in writers]
        fsync_path(out.parent)
    return written


def needed_covariates(system: Maps, stack: RasterStack) -> RasterStack:
    """The covariates a system needs, in its order, categorical ones declared so.

    Raises:
        InputError: RA303 listing the missing ones with the closest known names.
    """
    specs = system.map_covariates()
    return stack.select([s.name for s in specs], categorical=[s.name for s in specs if s.categorical])


def output_paths(
    system: Maps, out: str | Path, *, ask: Mapping[str, Any] | None = None, baseline: bool = False
) -> list[Path]:
    """The files `make_map` would write."""
    products = list(system.map_products(**dict(ask or {})))
    products += [_difference(products[0])] if baseline else []
    return [product_path(Path(out), product) for product in products]


def window_bytes(covariates: int, bands: int, size: int) -> int:
    """Working memory of one window: covariates read, read ahead and copied to rows, and answers, in bytes."""
    return size * size * (3 * 8 * covariates + 2 * 8 * bands + 16)


def modest_window(covariates: int, bands: int, size: int, budget: int = MEMORY_BYTES) -> int:
    """The wanted window size, halved until one window fits the budget (never below 64).

    Raises:
        UsageError: US104 for a size that is not positive.
    """
    if size < 1:
        raise UsageError("US104", "window", f"{size} is not positive", "give for example 512")
    while size > _SMALLEST and window_bytes(covariates, bands, size) > budget:
        size = max(_SMALLEST, size // 2)
    return size


def _map_window(
    system: Maps,
    ask: Mapping[str, Any],
    place: Window,
    parts: Sequence[tuple[np.ndarray, np.ndarray]],
    writers: Sequence[ProductWriter],
) -> int:
    own = writers if len(parts) == 1 else writers[:-1]
    values, valid = parts[0]
    answers = _answers(system, ask, values, valid, len(own))
    layers = [writer.put(place, answer, valid) for writer, answer in zip(own, answers, strict=True)]
    if len(parts) == 2:
        then, then_valid = parts[1]
        both = valid & then_valid
        before = _answers(system, ask, then, then_valid, len(own))[0].astype(own[0].product.dtype)
        now = layers[0][:, both].T.astype(np.float64)
        writers[-1].put(place, now - before[both[then_valid]].astype(np.float64), both)
    return int(np.count_nonzero(valid))


def _answers(
    system: Maps, ask: Mapping[str, Any], values: np.ndarray, valid: np.ndarray, count: int
) -> tuple[np.ndarray, ...]:
    rows = np.ascontiguousarray(values[:, valid].T)
    answers = tuple(np.asarray(a) for a in system.window(rows, **ask)) if len(rows) else ()
    if not len(rows):
        products = system.map_products(**ask)
        return tuple(np.empty((0, len(p.bands)), dtype=p.dtype) for p in products)
    if len(answers) != count:
        what = f"gave {len(answers)} arrays for {count} products"
        raise InputError("DA404", "system.window", what, "return one array per product")
    return answers


def _difference(main: MapProduct) -> MapProduct:
    if np.dtype(main.dtype).kind != "f" or main.legend:
        raise UsageError(
            "US105",
            "baseline",
            "the main product holds classes, which have no difference",
            "map both without a baseline",
        )
    return replace(main, suffix="difference", dtype="float32", nodata=float("nan"))


def _read_ahead(
    stacks: Sequence[RasterStack], places: Iterable[Window]
) -> Iterator[tuple[Window, list[tuple[np.ndarray, np.ndarray]]]]:
    """Reads the next window in a second thread while the present one is predicted."""

    def read(place: Window) -> list[tuple[np.ndarray, np.ndarray]]:
        return [stack.read(place) for stack in stacks]

    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="read-ahead") as reader:
        previous = None
        for place in places:
            ahead = (place, reader.submit(read, place))
            if previous is not None:
                yield previous[0], previous[1].result()
            previous = ahead
        if previous is not None:
            yield previous[0], previous[1].result()


@contextmanager
def _told(progress: Progress, total: int, label: str) -> Iterator[Callable[[int], None]]:
    if callable(progress):
        yield lambda done: progress(done, total)
    else:
        with shown_progress(total, f"{label}, windows", enabled=progress) as bar:
            yield lambda done: bar.advance(1)
