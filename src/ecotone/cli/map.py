"""`ecotone map RUN [--covariates RASTERS] --out MAP.tif`: windowed maps, projections to another climate or area."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from ecotone.abilities import Maps
from ecotone.cli.common import need_out, open_run, read_options, show_help, split, wants_help
from ecotone.cli.options import RunOptions, read
from ecotone.cli.screen import say
from ecotone.contract import Options
from ecotone.errors import EcotoneError, EcotoneWarning, InterruptedRunError, UsageError

USAGE = "ecotone map RUN [--covariates RASTERS] --out MAP.tif"
TITLES = {
    "": "suitability",
    "difference": "difference to the rasters of fit",
    "binary-p10": "above the 10th percentile of presences",
    "binary-maxtss": "above the largest sensitivity + specificity",
    "extrapolation": "similarity to the sampled conditions (extrapolation)",
    "extrapolation-by": "which covariate is outside its sampled range (extrapolation)",
    "richness": "expected number of species recorded",
    "richness-spread": "standard deviation of the number of species recorded, by chance and between members",
    "top": "species with the highest expected count",
    "spread": "standard deviation over the members of the model",
    "applicability": "dissimilarity to the sites of fit, times the threshold (applicability)",
    "change": "species gained and lost against the rasters of fit",
    "turnover": "turnover against the rasters of fit (Sorensen), and its spread over members",
}
_LARGE = 4_000_000  # cells, from which a map takes long enough for a plan to be of interest


class MapOptions(Options):
    """Options of the verb.

    Attributes:
        covariates: Rasters of another climate or area: files, folders or patterns; bands are matched by name. The maps
            then also show the difference to the rasters of `fit`, what lies outside the sampled conditions, 0/1 maps at
            both thresholds, and, for several species, those gained and lost.
        raster_crs: Coordinate reference system for rasters that declare none.
        allow_vrt: Accept VRT files, which may point at any other file, for --covariates.
        window: Rows and columns per window; by default what suits the memory and the files.
        no_extras: With --covariates, write the map alone.
        memory: What the command and its workers together stay below, for example 1GB, 800MiB or bytes; half of what is
            free by default.
        workers: Processes on this machine.
        scheduler: Address of a dask scheduler, for example tcp://10.0.0.5:8786, whose workers make the map.
        resume: Go on where the same command was interrupted; --no-resume starts anew.
        dry_run: Say what would be written, with windows, memory, disk and time, and write nothing.
    """

    covariates: list[Any] = Field(default_factory=list)
    raster_crs: str | None = None
    allow_vrt: bool = False
    window: int | None = Field(default=None, ge=16, le=16384)
    no_extras: bool = False
    memory: str | None = None
    workers: int = Field(default=1, ge=1, le=1024)
    scheduler: str | None = None
    resume: bool = True
    dry_run: bool = False

    @field_validator("memory", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int) else value

    @field_validator("covariates", mode="before")
    @classmethod
    def _as_list(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value


def run(tokens: list[str]) -> None:
    """The verb."""
    names, rest = split(tokens, ["RUN"], usage=USAGE)
    if wants_help(tokens) and not names:
        about = "Maps a fitted system over rasters, window by window."
        show_help(USAGE, about, ("options", MapOptions), ("command", RunOptions))
        return
    from ecotone.registry import load

    folder = open_run(names[0])
    system = load(folder)
    if wants_help(rest):
        groups = [("options", MapOptions), ("what to map", system.Ask), ("command", RunOptions)]
        show_help(USAGE, f"Maps of {system.name}.", *groups)
        return
    options, (own, ask) = read_options(rest, MapOptions, system.Ask)
    map_options, asked = read(MapOptions, own), read(system.Ask, ask).model_dump()
    out = need_out(options, "map.tif")
    if not isinstance(system, Maps):
        raise UsageError("US103", system.name, "makes no maps", "see `ecotone list` for what it can do")
    if map_options.workers > 1 and map_options.scheduler:
        raise UsageError("US105", "--workers", "contradicts --scheduler", "give one of them")
    if map_options.dry_run:
        say(*dry_run(system, folder, out, map_options, asked))
        return
    for path, title in write_maps(system, folder, out, map_options, asked, options.quiet):
        say(f"{title}: {path}", quiet=options.quiet)


def dry_run(system: Any, folder: Any, out: Any, options: MapOptions, ask: dict[str, Any]) -> list[str]:
    """What the command would do and cost, in lines."""
    from ecotone.mapping.windows import output_paths, plan_map

    stack, baseline, ask = _stacks(system, options, ask)
    plan = plan_map(system, stack, out, baseline=baseline, ask=ask, **_how(folder, options))
    written = output_paths(system, out, ask=ask, baseline=baseline is not None)
    return [*plan.lines(), *(f"would write {path}" for path in written)]


def write_maps(
    system: Any, folder: Any, out: Any, options: MapOptions, ask: dict[str, Any], quiet: bool
) -> list[tuple[Any, str]]:
    """Writes the maps and notes them in the run's record.

    Returns:
        (path, title) of each.
    """
    from ecotone.files.run import RunFolder
    from ecotone.mapping.windows import make_map

    stack, baseline, ask = _stacks(system, options, ask)
    asked = options.memory or options.workers > 1 or options.scheduler

    def tell(plan: Any) -> None:
        if asked or plan.grid.height * plan.grid.width > _LARGE or plan.done:
            say(*plan.lines(), quiet=quiet)

    how = _how(folder, options)
    if ask.get("spread") and getattr(system, "members", 2) == 1:
        fix = "fit with --members 10, say"
        warnings.warn(EcotoneWarning("US105", "spread", "the model has one member, so it is 0", fix), stacklevel=2)
    paths = make_map(system, stack, out, ask=ask, baseline=baseline, progress=not quiet, tell=tell, **how)
    titled = [(path, TITLES.get(path.name.removeprefix(out.stem).strip(".").rpartition(".")[0])) for path in paths]
    _note(RunFolder(folder), [(path, f"{out.stem}: {title}" if title else out.stem) for path, title in titled])
    return [(path, title or "map") for path, title in titled]


def _stacks(system: Any, options: MapOptions, ask: dict[str, Any]) -> tuple[Any, Any, dict[str, Any]]:
    """The rasters to map, those to compare with, and what is asked of the system."""
    from ecotone.data.rasters import RasterStack

    if not options.covariates:
        return system.training_covariates(), None, ask
    stack = RasterStack.open(options.covariates, assume_crs=options.raster_crs, allow_vrt=options.allow_vrt)
    if options.no_extras:
        return stack, None, ask
    return stack, _baseline(system, stack), {**ask, "thresholds": True, "extrapolation": True, "turnover": True}


def _how(folder: Any, options: MapOptions) -> dict[str, Any]:
    from ecotone.files.model_folder import model_id

    return {
        "window": options.window,
        "memory": options.memory,
        "workers": options.workers,
        "scheduler": options.scheduler,
        "resume": options.resume,
        "folder": folder,
        "tags": {"ECOTONE_MODEL": model_id(folder)},
    }


def _baseline(system: Any, stack: Any) -> Any:
    """The rasters of `fit` where a difference to them can be shown, else None, saying why."""
    try:
        training = system.training_covariates()
        if _overlap(training.grid, stack.grid):
            return training
        what, where = "they do not overlap the rasters of fit", "rasters"
    except EcotoneError as error:
        what, where = f"the rasters of fit cannot be read ({error.what})", error.where
    fix = "the other maps are written; --no-extras asks for the map alone"
    warnings.warn(EcotoneWarning("RA304", where, f"no map of the difference: {what}", fix), stacklevel=2)
    return None


def _note(run: Any, titled: list[tuple[Path, str]]) -> None:
    """Notes the maps in the run's record; they are there even when that cannot be done."""
    if not run.record_path.is_file():
        return
    try:
        with _briefly(run):
            for path, title in titled:
                run.add_map(path, title)
    except EcotoneError as error:
        what = f"the report will not show the maps: {error.what}"
        warnings.warn(EcotoneWarning(error.code, error.where, what, error.fix), stacklevel=2)


@contextmanager
def _briefly(run: Any) -> Iterator[None]:
    """The lock of the run; another map that is noted at this moment is waited for."""
    for patience in (0.1, 0.3, 1.0, 0.0):
        lock = run.lock()
        try:
            lock.__enter__()
            break
        except InterruptedRunError:
            if not patience:
                raise
            time.sleep(patience)
    try:
        yield
    finally:
        lock.__exit__(None, None, None)


def _overlap(one: Any, other: Any) -> bool:
    from ecotone.data.raster_grid import same_crs

    if not same_crs(one.crs, other.crs):
        return False
    a, b = one.bounds, other.bounds
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
