"""Before the first window: what is asked, what it is made from, and what it will cost, measured on a sample."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ecotone.abilities import Changes, MapProduct, Maps
from ecotone.contract import Array, Grid
from ecotone.data import raster_grid
from ecotone.data.raster_grid import Window
from ecotone.data.raster_open import quiet_gdal
from ecotone.data.rasters import RasterStack
from ecotone.errors import UsageError
from ecotone.files.model_folder import model_hash
from ecotone.mapping import memory
from ecotone.mapping.answer import (
    CALL_ROWS,
    MIN_CALL_ROWS,
    MapJob,
    answer,
    ask,
    covariate_type,
    groupable,
    read_window,
)
from ecotone.mapping.cog import LEVEL, predicted
from ecotone.mapping.inputs import job_parts, read_files, stamps, tell_aligned
from ecotone.mapping.plan import (
    MIN_CACHE,
    MIN_PIXELS,
    TARGET_PIXELS,
    Blocks,
    Costs,
    Layout,
    Plan,
    choose,
    disk_bytes,
    packing_bytes,
    shape,
    with_layout,
)
from ecotone.mapping.write import check_products

MEASURED_ROWS = 16_384  # pixels on which a call is measured at most
_PLACES = 25


@dataclass(frozen=True)
class Prepared:
    """A map that was thought through.

    Attributes:
        job: What is asked.
        system: Who answers.
        model: What names the model, "" when nothing does; such a map cannot go on after an interruption.
        tags: Of the files.
    """

    job: MapJob
    system: Maps
    model: str
    tags: Mapping[str, str]

    def parts(self) -> dict[str, Any]:
        """Everything the bytes of the map depend on."""
        job, files = self.job, [Path(path) for path, _ in self.job.watched]
        return job_parts(self.model, job.stacks(), files, job.ask, job.products, self.tags)


def prepare(
    system: Maps,
    stack: RasterStack,
    *,
    ask: Mapping[str, Any] | None = None,
    baseline: RasterStack | None = None,
    tags: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Prepared:
    """Checks what is asked and describes it.

    Raises:
        UsageError: US103 the system makes no maps, US104 and US105 for products that cannot be written.
        InputError: RA303 missing covariates, RA304 no overlap.

    Warns:
        EcotoneWarning: RA309 for rasters in another coordinate reference system.
    """
    ask = dict(ask or {})
    name = str(getattr(system, "name", type(system).__name__))
    if not isinstance(system, Maps):
        raise UsageError("US103", name, "makes no maps", "see `ecotone list`")
    stack = needed_covariates(system, stack)
    own, compared = all_products(system, ask, baseline=baseline is not None)
    if baseline is not None:
        baseline = needed_covariates(system, baseline).on_grid(stack.grid)
    products = (*own, *compared)
    check_products(products)
    tell_aligned(stack)
    tags = {"ECOTONE_SYSTEM": name, **(tags or {})}
    model = model_hash(folder) if folder is not None else tags.get("ECOTONE_MODEL", "")
    stacks = [stack] if baseline is None else [stack, baseline]
    job = MapJob(
        stack=stack,
        baseline=baseline,
        ask=ask,
        products=products,
        own=len(own),
        changes=max(0, len(compared) - 1),
        system=system,
        folder=folder,
        threads=sys.modules["torch"].get_num_threads() if "torch" in sys.modules else 0,
        watched=stamps(read_files(stacks)),
    )
    return Prepared(job, system, model, tags)


def needed_covariates(system: Maps, stack: RasterStack) -> RasterStack:
    """The covariates a system needs, in its order, categorical ones declared so.

    Raises:
        InputError: RA303 listing the missing ones with the closest known names.
    """
    specs = system.map_covariates()
    return stack.select([s.name for s in specs], categorical=[s.name for s in specs if s.categorical])


def all_products(
    system: Maps, ask: Mapping[str, Any], *, baseline: bool
) -> tuple[tuple[MapProduct, ...], tuple[MapProduct, ...]]:
    """The system's own products, and with a baseline the difference and the changes.

    Raises:
        UsageError: US105 for a difference of classes.
    """
    own = tuple(system.map_products(**ask))
    if not baseline or not own:
        return own, ()
    changes = tuple(system.change_products(**ask)) if isinstance(system, Changes) else ()
    return own, (_difference(own[0]), *changes)


def _difference(main: MapProduct) -> MapProduct:
    if np.dtype(main.dtype).kind != "f" or main.legend:
        what = "the main product holds classes, which have no difference"
        raise UsageError("US105", "baseline", what, "map both without a baseline")
    return replace(main, suffix="difference", dtype="float32", nodata=float("nan"))


# ------------------------------------------------------------------------------------------------ costs
def make_plan(
    ready: Prepared,
    *,
    budget: int,
    window: int | None = None,
    workers: int = 0,
    remote: bool = False,
    stored: Mapping[str, Any] | None = None,
    timed: bool = False,
) -> Plan:
    """Measures the system on a sample of pixels and cuts the map into windows.

    Args:
        ready: From `prepare`.
        budget: Bytes.
        window: Rows and columns wished for.
        workers: Processes beside this one.
        remote: They are those of a cluster.
        stored: Windows of an interrupted map, kept where they fit the budget.
        timed: Also measure how long a window takes.

    Raises:
        UsageError: US104 when the budget is too small, with the least that works.
    """
    with quiet_gdal(GDAL_CACHEMAX=MIN_CACHE):  # so that what the process holds is not what GDAL keeps of the sample
        return _planned(ready, budget=budget, window=window, workers=workers, remote=remote, stored=stored, timed=timed)


def _planned(
    ready: Prepared,
    *,
    budget: int,
    window: int | None,
    workers: int,
    remote: bool,
    stored: Mapping[str, Any] | None,
    timed: bool,
) -> Plan:
    job, grid = ready.job, ready.job.stack.grid
    blocks = Blocks.of(job.stacks())
    rows, place = _sample(job, blocks, covariate_type(ready.system))
    groups = _groups(ready, rows, budget)
    layout = None
    costs = None
    for i, group in enumerate(groups):
        costs = _costs(ready, blocks, rows, group, budget, workers=workers, remote=remote)
        layout = _fitting(costs, stored, budget)
        if layout is None:
            try:
                each = grid.height * grid.width // (4 * workers) if workers else TARGET_PIXELS  # enough for all of them
                pixels = max(MIN_PIXELS, min(TARGET_PIXELS, each))
                layout = choose(costs, budget, grid, window=window, group_sizes=(group,), pixels=pixels)
            except UsageError:
                if i + 1 == len(groups) or (window is not None and window < 1):
                    raise
        if layout is not None:
            break
    if layout is None or costs is None:
        raise UsageError("US104", "memory", "is too little", "give more")
    plan = Plan(with_layout(job, layout), layout, costs, budget, disk_bytes(job))
    return replace(plan, seconds=_seconds(ready, plan, place)) if timed else plan


def _groups(ready: Prepared, rows: Array | None, budget: int) -> list[int]:
    """Bands per call to consider, from many to few, 0 for all: those that may fit, judged by a small group."""
    bands = len(ready.job.products[0].bands)
    if not groupable(ready.system, ready.job.products):
        return [0]
    sizes = [bands, *sorted({max(1, bands // n) for n in (4, 16, 64)} - {bands}, reverse=True)]
    extra = None
    if rows is not None:
        some = np.resize(rows, (MIN_CALL_ROWS, rows.shape[1]))
        _, extra = memory.added(lambda: ask(ready.job, ready.system, some, slice(0, sizes[-1])))
    each = max(extra or 0, MIN_CALL_ROWS * 16 * sizes[-1]) / sizes[-1]
    fitting = [n for n in sizes if (memory.resident() or 0) + each * n <= 0.9 * budget] or sizes[-1:]
    return [0 if n == bands else n for n in fitting]


def _costs(
    ready: Prepared, blocks: Blocks, rows: Array | None, group: int, budget: int, *, workers: int, remote: bool
) -> Costs:
    """Measures a call of the system; larger calls only where they cannot exceed the budget."""
    job, grid = ready.job, ready.job.stack.grid
    bands = slice(0, group or len(job.products[0].bands))
    widths = sum(len(p.bands) for p in job.products)
    covariates = len(job.stack.names) * len(job.stacks())
    call: dict[tuple[int, int], int] = {}
    for wanted in (MIN_CALL_ROWS, CALL_ROWS):
        extra = None
        if call and (memory.resident() or 0) + call[MIN_CALL_ROWS, group] * wanted // MIN_CALL_ROWS > budget:
            break
        if rows is not None:
            size = min(wanted, MEASURED_ROWS, grid.height * grid.width)
            some = np.resize(rows, (size, rows.shape[1]))
            if not call:
                ask(job, ready.system, some, bands)  # the first call pays for imports and buffers
            _, extra = memory.added(lambda some=some: ask(job, ready.system, some, bands))
            if job.changes and isinstance(ready.system, Changes):
                changes = ready.system.window_change
                _, more = memory.added(lambda some=some, changes=changes: changes(some, some, **job.ask))
                extra = None if extra is None or more is None else max(extra, more)
            if extra is not None and size == MEASURED_ROWS:
                extra = extra * wanted // size  # no more than that; a larger sample would cost more than it tells
        plain = wanted * 8 * (2 * covariates + 2 * (bands.stop if group else widths))
        call[wanted, group] = max(extra if extra is not None else 2 * plain, plain // 2)
    memory.give_back()
    base = memory.resident()
    return Costs(
        base=base if base is not None else 500 << 20,
        call=call,
        blocks=blocks,
        bands=sum(len(p.bands) * np.dtype(p.dtype).itemsize for p in job.products),
        answer=8 * covariates + 8 * (bands.stop if group else widths),
        packing=packing_bytes(job),
        workers=workers,
        remote=remote,
    )


def _fitting(costs: Costs, stored: Mapping[str, Any] | None, budget: int) -> Layout | None:
    """The windows of an interrupted map, if they fit the budget."""
    try:
        rows, cols = int((stored or {})["rows"]), int((stored or {})["cols"])
    except (KeyError, TypeError, ValueError):
        return None
    if min(rows, cols) < 1:
        return None
    for call, group in sorted(costs.call, reverse=True):
        for cache in (min(128 << 20, max(MIN_CACHE, 2 * costs.blocks.row_bytes)), MIN_CACHE):
            layout = Layout(rows, cols, call, group, cache)
            if costs.total(layout) <= budget:
                return layout
    return None


def _sample(job: MapJob, blocks: Blocks, dtype: str) -> tuple[Array | None, Window]:
    """Covariates of some valid pixels, and where there are many; None when none was found in a few places."""
    grid = job.stack.grid
    high, wide = shape(blocks, grid, 2 * CALL_ROWS, MIN_CACHE)
    down, across = max(1, -(-grid.height // high)), max(1, -(-grid.width // wide))
    found: list[Array] = []
    best: tuple[int, Window] | None = None
    for row, col in _spread(down, across):
        window = Window(row * high, col * wide, min(high, grid.height - row * high), min(wide, grid.width - col * wide))
        layers = job.stack.layers(window)
        if layers.count:
            found.append(layers.rows(layers.at(0, min(layers.count, CALL_ROWS)), dtype))
        if best is None or layers.count > best[0]:
            best = (layers.count, window)
        if sum(map(len, found)) >= MIN_CALL_ROWS:
            break
    where = best[1] if best else Window(0, 0, grid.height, grid.width)
    return (np.concatenate(found) if found else None), where


def _spread(down: int, across: int) -> list[tuple[int, int]]:
    """A few places, the middle first."""
    rows = sorted({int(f * down) for f in (0.5, 0.1, 0.3, 0.7, 0.9)}, key=lambda r: abs(r - down // 2))
    cols = sorted({int(f * across) for f in (0.5, 0.1, 0.3, 0.7, 0.9)}, key=lambda c: abs(c - across // 2))
    places = sorted(((i + j, r, c) for i, r in enumerate(rows) for j, c in enumerate(cols)))
    return [(r, c) for _, r, c in places][:_PLACES]


def _seconds(ready: Prepared, plan: Plan, place: Window) -> float:
    """Of the whole map, from the window around a place with data."""
    grid, layout = plan.grid, plan.layout
    row, col = place.row - place.row % layout.rows, place.col - place.col % layout.cols
    window = Window(row, col, min(layout.rows, grid.height - row), min(layout.cols, grid.width - col))
    with quiet_gdal(GDAL_CACHEMAX=layout.cache):
        start = time.perf_counter()
        parts = read_window(plan.job, window)
        reading = time.perf_counter() - start
        start = time.perf_counter()
        found = answer(plan.job, ready.system, window, parts)
        answering = time.perf_counter() - start
    packing, size = _packing_seconds(found.layers)
    several = max(1, plan.costs.workers)
    each = reading + answering if several > 1 else max(reading, answering)
    share = grid.height * grid.width / (window.height * window.width)
    raw = sum(grid.height * grid.width * len(p.bands) * np.dtype(p.dtype).itemsize for p in plan.job.products)
    return share * each / several + packing * raw / max(size, 1) * 4 / 3 / 2


def _packing_seconds(layers: Sequence[Array]) -> tuple[float, int]:
    import zlib

    start, size = time.perf_counter(), 0
    for layer in layers:
        part = np.ascontiguousarray(layer[0][: max(1, (1 << 18) // layer.shape[2])])
        zlib.compress(predicted(part).tobytes(), LEVEL)
        size += part.nbytes
    return time.perf_counter() - start, size


def grid_windows(grid: Grid, layout: Layout) -> list[Window]:
    """All windows in the order of their numbers."""
    return list(raster_grid.windows(grid, (layout.rows, layout.cols)))
