"""Model and rasters to map: windows are read, valid pixels predicted, answers written.

The map lies on the grid of the stack's template. A pixel that lacks any covariate the model needs is nodata in every
product, whatever the model (the nodata rule of `ecotone.data.rasters`). Windows, processes, interruptions and the memory
budget change time and memory, never a number: reading is exact cell by cell, and systems predict through
`ecotone.mapping.pixelwise`.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from ecotone.abilities import Maps
from ecotone.data.raster_open import quiet_gdal
from ecotone.data.raster_source import close_handles
from ecotone.data.rasters import RasterStack
from ecotone.errors import EcotoneWarning, InputError, UsageError
from ecotone.files.atomic import write_problem
from ecotone.files.progress import progress as shown_progress
from ecotone.mapping import cluster
from ecotone.mapping import memory as memory_
from ecotone.mapping.journal import JOURNAL, Journal, changed_parts, read_job, write_job
from ecotone.mapping.layers import OpenLayers, RawLayers
from ecotone.mapping.plan import Plan
from ecotone.mapping.pool import run_pool
from ecotone.mapping.prepare import Prepared, all_products, make_plan, needed_covariates, prepare
from ecotone.mapping.run import noting, run_here
from ecotone.mapping.write import (
    ProductFile,
    check_space,
    clear,
    finish_publishing,
    product_path,
    publish,
    work_folder,
    work_path,
)

__all__ = ["make_map", "needed_covariates", "output_paths", "plan_map"]
Progress = bool | Callable[[int, int], None]
_LONG_PACKING = 64 << 20


def make_map(
    system: Maps,
    stack: RasterStack,
    out: str | Path,
    *,
    window: int | None = None,
    ask: Mapping[str, Any] | None = None,
    baseline: RasterStack | None = None,
    progress: Progress = True,
    tags: Mapping[str, str] | None = None,
    memory: str | int | None = None,
    workers: int = 1,
    scheduler: str | None = None,
    resume: bool = True,
    folder: str | Path | None = None,
    tell: Callable[[Plan], None] | None = None,
) -> list[Path]:
    """Maps a fitted system over a raster stack.

    What is finished is kept in a hidden folder beside `out` when the work is interrupted, and the same call goes on from
    there, if `folder` or the tag ECOTONE_MODEL names the model and nothing changed.

    Args:
        system: A system with the ability `Maps`.
        stack: Covariate rasters; those the model needs are picked by name.
        out: Main output, ending in .tif; further products go to OUT.SUFFIX.tif.
        window: Rows and columns per window, made smaller where the budget asks for it; by default what suits the
            budget and the files.
        ask: What the system's `Ask` may add.
        baseline: Another stack (another climate, say). Also writes OUT.difference.tif: the main product of `stack`
            minus that of `baseline`, on the grid of `stack`; and what the system says of changes (`Changes`).
        progress: True for a bar or plain lines on standard error, or a function told (windows done, windows in all).
        tags: Tags of the files, such as the hash of the model.
        memory: Bytes, or a size such as "1GB", that this process and its workers together stay below; half of what is
            free by default.
        workers: Processes on this machine. More than one need `folder`, or a system that can be sent to a process.
        scheduler: Address of a dask.distributed scheduler, whose workers do the windows instead.
        resume: False starts anew whatever an interrupted call left.
        folder: The model's folder, from which worker processes load it.
        tell: Called with the plan before the first window.

    Returns:
        The written files, main product first. They appear together when all are complete.

    Raises:
        UsageError: US103 the system makes no maps, US104 the ending is not .tif or the budget is too small, US105
            difference of classes.
        InputError: RA303 missing covariates, RA304 no valid pixel, IO104 not writable, IO101 or IO102 a raster vanished
            or broke midway.
        IntegrityError: IN104 a raster changed midway.
        InterruptedRunError: ST102 not enough disk, known before any work where possible; ST103 another process makes this
            map; ST106 workers died.
        MissingDependencyError: MD101 a scheduler without dask.

    Warns:
        EcotoneWarning: ST105 when an interrupted map cannot go on, naming what changed; RA309 for another coordinate
            reference system.
    """
    out = _checked(out, window, workers)
    limit = _budget(memory)
    ready = prepare(
        system, stack, ask=ask, baseline=baseline, tags=tags, folder=None if folder is None else Path(folder)
    )
    with work_folder(out) as work, ExitStack() as opened:
        client, count = None, workers if workers > 1 else 0
        if scheduler is not None:
            client = opened.enter_context(cluster.connected(scheduler))
            count = cluster.worker_count(client)
        published = finish_publishing(work)
        parts = ready.parts() if ready.model else {}
        stored = _stored(work, parts, resume=resume)
        if published and stored is not None:
            clear(work)
            return published
        if stored is None:
            clear(work)
        kept = False
        try:
            options = {"window": window, "workers": count, "remote": client is not None}
            plan = make_plan(ready, budget=limit, stored=stored, **options)
            raw = RawLayers.on(work, plan.job.products, plan.grid)
            if stored is not None and (stored["rows"], stored["cols"]) != (plan.layout.rows, plan.layout.cols):
                _tell_anew(out, ["the memory budget, too small for its windows"])
                clear(work)
            check_space(work, plan.disk - raw.on_disk())
            _begin(work, raw, parts, plan)
            journal = Journal(work / JOURNAL)
            opened.callback(_close, journal)
            close_handles()
            with raw.opened() as layers:
                tasks = _remaining(plan, journal, layers)
                if tell is not None:
                    tell(replace(plan, done=len(journal.done)))
                kept = bool(ready.model)
                _run(ready, plan, tasks, layers, journal, progress, out.name, client=client, workers=count)
            _close(journal)
            if not any(done.valid for done in journal.done.values()):
                kept = False
                fix = "check overlap and nodata values with `ecotone doctor` on the same files"
                raise InputError("RA304", "rasters", "no pixel is valid in all of them, the map would be empty", fix)
            files = [ProductFile(work, out, raw, i, plan.grid, ready.tags) for i in range(len(raw.products))]
            memory_.give_back()
            with quiet_gdal(GDAL_CACHEMAX=8 << 20):
                _pack(files, raw, enabled=progress is True, label=out.name)
            ready.job.check_stamps()
            written = publish(work, files)
            kept = False
        finally:
            if not kept or not (work / JOURNAL).exists():
                with suppress(OSError):
                    clear(work)
    return written


def plan_map(
    system: Maps,
    stack: RasterStack,
    out: str | Path,
    *,
    window: int | None = None,
    ask: Mapping[str, Any] | None = None,
    baseline: RasterStack | None = None,
    tags: Mapping[str, str] | None = None,
    memory: str | int | None = None,
    workers: int = 1,
    scheduler: str | None = None,
    resume: bool = True,
    folder: str | Path | None = None,
) -> Plan:
    """What `make_map` with the same arguments would do and cost, the time measured on one window. Writes nothing.

    Raises:
        EcotoneError: As `make_map` does before its first window.
    """
    out = _checked(out, window, workers)
    limit = _budget(memory)
    ready = prepare(
        system, stack, ask=ask, baseline=baseline, tags=tags, folder=None if folder is None else Path(folder)
    )
    count = workers if workers > 1 else 0
    if scheduler is not None:
        with cluster.connected(scheduler) as client:
            count = cluster.worker_count(client)
    job = read_job(work_path(out)) if resume and ready.model else None
    stored = job if job is not None and not changed_parts(job, ready.parts()) else None
    layout = stored["layout"] if stored is not None else None
    options = {"window": window, "workers": count, "remote": scheduler is not None}
    plan = make_plan(ready, budget=limit, stored=layout, timed=True, **options)
    if layout is not None and (layout["rows"], layout["cols"]) == (plan.layout.rows, plan.layout.cols):
        plan = replace(plan, done=len(Journal(work_path(out) / JOURNAL).done))
    close_handles()
    return plan


def output_paths(
    system: Maps, out: str | Path, *, ask: Mapping[str, Any] | None = None, baseline: bool = False
) -> list[Path]:
    """The files `make_map` would write."""
    own, compared = all_products(system, dict(ask or {}), baseline=baseline)
    return [product_path(Path(out), product) for product in (*own, *compared)]


# ------------------------------------------------------------------------------------------------ steps
def _checked(out: str | Path, window: int | None, workers: int) -> Path:
    out = Path(out)
    if out.suffix.lower() not in (".tif", ".tiff"):
        raise UsageError("US104", out, "maps are written as GeoTIFF", f"name it {out.with_suffix('.tif').name}")
    if window is not None and window < 1:
        raise UsageError("US104", "window", f"{window} is not positive", "give for example 512")
    if workers < 1:
        raise UsageError("US104", "workers", f"{workers} is not positive", "give at least 1")
    return out


def _budget(asked: str | int | None) -> int:
    return memory_.budget(asked)


def _stored(work: Path, parts: Mapping[str, Any], *, resume: bool) -> dict[str, Any] | None:
    """The windows of an interrupted map that may go on, else None, saying why when there was one."""
    job = read_job(work)
    if job is None or not parts:
        return None
    if not resume:
        return None
    changed = changed_parts(job, parts)
    if changed:
        _tell_anew(work, changed)
        return None
    return job["layout"] if isinstance(job.get("layout"), dict) else None


def _tell_anew(where: Path, changed: list[str]) -> None:
    what = f"the map interrupted earlier is not gone on with, it starts anew; changed: {', '.join(changed)}"
    fix = "nothing is needed, or restore what changed before the next interruption"
    warnings.warn(EcotoneWarning("ST105", where, what, fix), stacklevel=4)


def _begin(work: Path, raw: RawLayers, parts: Mapping[str, Any], plan: Plan) -> None:
    try:
        raw.create()
    except OSError as error:
        raise write_problem(work, error) from error
    if parts:
        write_job(work, parts, {"rows": plan.layout.rows, "cols": plan.layout.cols})


def _remaining(plan: Plan, journal: Journal, layers: OpenLayers) -> list[tuple[int, Any]]:
    """Windows that are not finished; those noted whose layers are not what they were count as unfinished."""
    tasks = []
    for index, window in enumerate(plan.windows()):
        done = journal.done.get(index)
        if done is not None and layers.checksum(window) != done.checksum:
            journal.drop(index)
            done = None
        if done is None:
            tasks.append((index, window))
    return tasks


def _run(
    ready: Prepared,
    plan: Plan,
    tasks: list[tuple[int, Any]],
    layers: OpenLayers,
    journal: Journal,
    progress: Progress,
    label: str,
    *,
    client: Any,
    workers: int,
) -> None:
    with _told(progress, len(tasks) + len(journal.done), len(journal.done), label) as tell:
        note = noting(journal, tell)
        cache = plan.layout.cache
        if client is not None:
            key = f"ecotone-map-{os.urandom(8).hex()}"
            with quiet_gdal():
                cluster.run_cluster(plan.job, tasks, layers, note, client=client, workers=workers, cache=cache, key=key)
        elif workers:
            run_pool(plan.job, tasks, layers.raw, note, workers=workers, cache=cache)
        else:
            with quiet_gdal(GDAL_CACHEMAX=cache):
                run_here(plan.job, ready.system, tasks, layers, note)


def _pack(files: list[ProductFile], raw: RawLayers, *, enabled: bool, label: str) -> None:
    total = sum(raw.size(i) for i in range(len(files)))
    with shown_progress(total * 4 // 3, f"{label}, packing", enabled=enabled and total > _LONG_PACKING) as bar:
        for file in files:
            file.pack(bar.advance)


def _close(journal: Journal) -> None:
    try:
        journal.close()
    except OSError as error:
        raise write_problem(journal.path, error) from error


@contextmanager
def _told(progress: Progress, total: int, before: int, label: str) -> Iterator[Callable[[], None]]:
    if callable(progress):
        done = [before]

        def count() -> None:
            done[0] += 1
            progress(done[0], total)

        yield count
    else:
        with shown_progress(total, f"{label}, windows", enabled=progress) as bar:
            bar.skip(before)
            yield bar.advance
