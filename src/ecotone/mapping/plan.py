"""How a map is cut into windows so that it stays within its memory, and what it will cost.

Memory is what the process holds once the model has answered (interpreter, libraries, model, open rasters), plus per
process: covariates of the window in hand and of the next one, its answers, what the system needs for one call (measured),
and GDAL's block cache (set, not left to GDAL); or instead of the windows the stage that packs the file. Every worker
process holds all of that again. Letters: P covariates, S bands of the main product.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ecotone.contract import Grid
from ecotone.data import raster_grid
from ecotone.data.raster_grid import Window
from ecotone.data.rasters import RasterStack
from ecotone.errors import UsageError
from ecotone.mapping import cog
from ecotone.mapping.answer import CALL_ROWS, MIN_CALL_ROWS, MapJob
from ecotone.mapping.memory import show_size

TARGET_PIXELS = 1 << 19
"""Pixels of a window where memory allows it."""

MIN_PIXELS = 1024
MAX_CACHE = 128 << 20
MIN_CACHE = 8 << 20
_RESERVE = 24 << 20
_ALIGNING = 48 << 20  # a strip of a finer source, while it is averaged
_MARGIN = 1.1


@dataclass(frozen=True)
class Blocks:
    """How the sources are stored, in cells of the template.

    Attributes:
        rows: Rows of a block, the largest of all sources.
        cols: Columns.
        row_bytes: What one row of blocks of every source takes in GDAL's cache.
        cell_bytes: What the covariates of one cell take, all together.
        align_bytes: What aligning takes per cell meanwhile, where some source has other cells.
    """

    rows: int
    cols: int
    row_bytes: int
    cell_bytes: int
    align_bytes: int = 0

    @classmethod
    def of(cls, stacks: Sequence[RasterStack]) -> Blocks:
        """Looks into the files."""
        from ecotone.data.raster_source import handle

        grid = stacks[0].grid
        rows, cols, row_bytes, cell_bytes, align_bytes = 1, 1, 0, 0, 0
        for stack in stacks:
            for source in stack.sources:
                dataset = handle(source.path, source.stamp, allow_vrt=source.allow_vrt)
                high, wide = dataset.block_shapes[source.band - 1]
                item = np.dtype(source.dtype).itemsize
                own = stack.on_cells(source)
                plain = own and source.scale == 1.0 and source.offset == 0.0
                cell_bytes += item if plain else 8
                align_bytes = align_bytes if own else 200
                if own:
                    rows, cols = max(rows, min(high, grid.height)), max(cols, min(wide, grid.width))
                row_bytes += item * high * min(source.grid.width, grid.width + 2 * wide)
        return cls(rows, cols, row_bytes, cell_bytes, align_bytes)


@dataclass(frozen=True)
class Layout:
    """Windows of a map.

    Attributes:
        rows: Rows of a window.
        cols: Columns.
        call: Pixels per call of the system.
        group: Bands per call, 0 for all.
        cache: GDAL's block cache per process, bytes.
    """

    rows: int
    cols: int
    call: int
    group: int
    cache: int

    @property
    def pixels(self) -> int:
        """Of one window."""
        return self.rows * self.cols


@dataclass(frozen=True)
class Costs:
    """What memory goes where.

    Attributes:
        base: Bytes the process holds before the first window.
        call: (pixels per call, bands per call) -> bytes the system needs for a call; 0 bands for all.
        blocks: How the sources are stored.
        bands: Bytes of all answers of one pixel.
        answer: Bytes of one pixel while it is being answered, beyond what the system needs.
        packing: Bytes of the stage that packs the files.
        workers: Processes beside this one; 0 when it does the windows itself.
        remote: They run elsewhere, and answers come over the network.
    """

    base: int
    call: dict[tuple[int, int], int]
    blocks: Blocks
    bands: int
    answer: int
    packing: int
    workers: int = 0
    remote: bool = False

    def window(self, layout: Layout) -> int:
        """Bytes of the windows of one process in flight."""
        pixels = layout.pixels
        reading = 2 * pixels * (self.blocks.cell_bytes + 1 + 8 + 4) + pixels * self.blocks.align_bytes
        reading += _ALIGNING if self.blocks.align_bytes else 0
        return reading + pixels * (self.bands + 8) + layout.call * self.answer

    def total(self, layout: Layout) -> int:
        """Bytes of all processes of this machine at their peak."""
        call = self.call[layout.call, layout.group]
        one = int(_MARGIN * (self.window(layout) + call)) + layout.cache + _RESERVE
        if self.remote:
            here = 2 * self.workers * layout.pixels * self.bands * 2 + _RESERVE
        elif self.workers:
            return self.base + _RESERVE + max(self.workers * (self.base + one), self.packing)
        else:
            here = one
        return self.base + max(here, self.packing + _RESERVE)

    def per_worker(self, layout: Layout) -> int:
        """Bytes of one process of a cluster."""
        return self.base + int(_MARGIN * (self.window(layout) + self.call[layout.call, layout.group])) + layout.cache


@dataclass(frozen=True)
class Plan:
    """What making a map will take.

    Attributes:
        job: What is asked.
        layout: Its windows.
        costs: Where memory goes.
        budget: Bytes allowed.
        disk: Bytes needed on disk while it is made, at most.
        seconds: Expected, None when no sample was taken.
        done: Windows finished earlier.
    """

    job: MapJob
    layout: Layout
    costs: Costs
    budget: int
    disk: int
    seconds: float | None = None
    done: int = 0

    @property
    def grid(self) -> Grid:
        """Of the map."""
        return self.job.stack.grid

    @property
    def memory(self) -> int:
        """Bytes of all processes of this machine at their peak, estimated."""
        return self.costs.total(self.layout)

    def windows(self) -> list[Window]:
        """All windows, in the order of their numbers."""
        return list(raster_grid.windows(self.grid, (self.layout.rows, self.layout.cols)))

    def lines(self) -> Iterator[str]:
        """The plan in words."""
        grid, layout, costs = self.grid, self.layout, self.costs
        count = -(-grid.height // layout.rows) * -(-grid.width // layout.cols)
        what = f"{count} windows of {min(layout.rows, grid.height)} x {min(layout.cols, grid.width)} cells"
        what += f", {self.done} of them finished" if self.done else ""
        what += f", {layout.group} bands at a time" if layout.group else ""
        sizes = f"{grid.height} x {grid.width} cells, {sum(len(p.bands) for p in self.job.products)} bands in "
        yield f"map: {sizes}{len(self.job.products)} file{'s' * (len(self.job.products) > 1)}; {what}"
        call = costs.call[layout.call, layout.group]
        parts = f"process {show_size(costs.base)}, windows {show_size(costs.window(layout) + call)}, "
        parts += f"GDAL cache {show_size(layout.cache)}, packing the file {show_size(costs.packing)}"
        if costs.remote:
            parts += f"; each of {costs.workers} workers of the cluster {show_size(costs.per_worker(layout))}"
        elif costs.workers:
            parts += f", times {costs.workers} worker processes"
        yield f"memory: at most {show_size(self.memory)} of {show_size(self.budget)} ({parts})"
        yield f"disk: at most {show_size(self.disk)} while it is made"
        if self.seconds is not None:
            yield f"time: about {_duration(self.seconds)}, from one window"


def choose(
    costs: Costs,
    budget: int,
    grid: Grid,
    *,
    window: int | None = None,
    group_sizes: Sequence[int] = (0,),
    pixels: int = TARGET_PIXELS,
) -> Layout:
    """The largest windows within the budget, up to `TARGET_PIXELS`; bands in groups only when nothing else helps.

    Args:
        costs: Where memory goes, with `call` for every (pixels, bands) allowed.
        budget: Bytes.
        grid: Of the map.
        window: Rows and columns wished for.
        group_sizes: Bands per call to try, in order; 0 for all.
        pixels: Of a window at most.

    Raises:
        UsageError: US104 with the least budget that works.
    """
    if window is not None and window < 1:
        raise UsageError("US104", "window", f"{window} is not positive", "give for example 512")
    least = None
    for group in group_sizes:
        for cache in (_cache(costs.blocks), MIN_CACHE):
            for call in (CALL_ROWS, MIN_CALL_ROWS):
                if (call, group) not in costs.call:
                    continue
                for layout in _shapes(
                    costs.blocks, grid, window or pixels, call, group, cache, square=window is not None
                ):
                    total = costs.total(layout)
                    if total <= budget:
                        return layout
                    least = total if least is None else min(least, total)
    least = least or budget
    what = f"{show_size(budget)} is too little, the process alone holds {show_size(costs.base)}"
    enough = math.ceil(1.05 * least / 1e7) * 10  # what libraries hold differs a little from run to run
    fix = f"give at least {enough}MB"
    fix += ", or fewer --workers" if costs.workers and not costs.remote else ""
    raise UsageError("US104", "memory", what, fix)


def _shapes(
    blocks: Blocks, grid: Grid, size: int, call: int, group: int, cache: int, *, square: bool
) -> Iterator[Layout]:
    """Layouts from large to small: squares of a side, or shapes of so many pixels."""
    while True:
        rows, cols = (min(size, grid.height), min(size, grid.width)) if square else shape(blocks, grid, size, cache)
        yield Layout(rows, cols, call, group, cache)
        if size <= (math.isqrt(MIN_PIXELS) if square else MIN_PIXELS):
            return
        size = size // 2


def shape(blocks: Blocks, grid: Grid, pixels: int, cache: int) -> tuple[int, int]:
    """Rows and columns of windows of at most so many pixels, so that blocks of the sources are read once.

    Full-width strips, a whole number of blocks high where possible; strips lower than a block only while the cache
    holds a row of blocks. Otherwise whole blocks, and at last parts of them.
    """
    rows = pixels // grid.width
    if rows >= min(blocks.rows, grid.height):
        rows = min(rows - rows % blocks.rows or rows, grid.height)
        return rows, grid.width
    if rows >= 1 and (blocks.row_bytes <= cache or blocks.cols >= grid.width):
        return max(r for r in range(1, rows + 1) if blocks.rows % r == 0), grid.width
    if blocks.rows * blocks.cols <= pixels:
        cols = pixels // blocks.rows
        return blocks.rows, min(cols - cols % blocks.cols or cols, grid.width)
    if blocks.cols >= grid.width:
        return 1, min(pixels, grid.width)
    side = max(1, math.isqrt(pixels))
    return min(side, grid.height), min(side, grid.width)


def _cache(blocks: Blocks) -> int:
    return min(MAX_CACHE, max(MIN_CACHE, 2 * blocks.row_bytes))


def disk_bytes(job: MapJob) -> int:
    """Bytes on disk at most: raw layers, overviews of the largest product, and packed files at their full size."""
    cells = job.stack.grid.height * job.stack.grid.width
    sizes = [cells * len(p.bands) * np.dtype(p.dtype).itemsize for p in job.products]
    return 2 * sum(sizes) + sum(sizes) // 3 + max(sizes) // 2 + (1 << 20)


def packing_bytes(job: MapJob) -> int:
    """Memory of the stage that packs the files."""
    grid = job.stack.grid
    return max(cog.stage_bytes(grid.height, grid.width, np.dtype(p.dtype).itemsize) for p in job.products)


def with_layout(job: MapJob, layout: Layout) -> MapJob:
    """The job, asked for as the layout says."""
    return replace(job, rows=layout.call, group=layout.group)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
