"""`ecotone map RUN [--covariates RASTERS] --out MAP.tif`: windowed maps, projections to another climate or area."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator

from ecotone.cli.common import need_out, open_run, read_options, say, show_help, split, wants_help
from ecotone.contract import Maps, Options
from ecotone.errors import UsageError

USAGE = "ecotone map RUN [--covariates RASTERS] --out MAP.tif"


class MapOptions(Options):
    """Options of the verb.

    Attributes:
        covariates: Rasters of another climate or area: files, folders or patterns; bands are matched by name. The maps
            then also show the difference to the rasters of `fit`, what lies outside the sampled conditions, and 0/1 maps
            at both thresholds.
        raster_crs: Coordinate reference system for rasters that declare none.
        window: Rows and columns per window.
        no_extras: With --covariates, write the map alone.
    """

    covariates: list[Any] = Field(default_factory=list)
    raster_crs: str | None = None
    window: int = Field(default=512, ge=16, le=16384)
    no_extras: bool = False

    @field_validator("covariates", mode="before")
    @classmethod
    def _as_list(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value


def run(tokens: list[str]) -> None:
    """The verb."""
    names, rest = split(tokens, ["RUN"], usage=USAGE)
    if wants_help(tokens) and not names:
        show_help(USAGE, "Maps a fitted system over rasters, window by window.", ("options", MapOptions))
        return
    from ecotone.registry import load

    folder = open_run(names[0])
    system = load(folder)
    if wants_help(rest):
        show_help(USAGE, f"Maps of {system.name}.", ("options", MapOptions), ("what to map", system.Ask))
        return
    options, (own, ask) = read_options(rest, MapOptions, system.Ask)
    map_options = MapOptions.parse(own)
    out = need_out(options, "map.tif")
    if not isinstance(system, Maps):
        raise UsageError("US103", system.name, "makes no maps", "see `ecotone list` for what it can do")
    for path, title in write_maps(system, folder, out, map_options, system.Ask.parse(ask).model_dump(), options.quiet):
        say(f"{title}: {path}", quiet=options.quiet)


def write_maps(
    system: Any, folder: Any, out: Any, options: MapOptions, ask: dict[str, Any], quiet: bool
) -> list[tuple[Any, str]]:
    """Writes the maps and notes them in the run's record.

    Returns:
        (path, title) of each.
    """
    from ecotone.data.rasters import RasterStack
    from ecotone.files.model_folder import model_id
    from ecotone.files.run import RunFolder
    from ecotone.mapping.windows import make_map

    baseline = None
    training = system.training_covariates()
    stack = training
    if options.covariates:
        stack = RasterStack.open(options.covariates, assume_crs=options.raster_crs)
        if not options.no_extras:
            ask = {**ask, "thresholds": True, "extrapolation": True}
            baseline = training if _overlap(training.grid, stack.grid) else None
    paths = make_map(
        system,
        stack,
        out,
        window=options.window,
        ask=ask,
        baseline=baseline,
        progress=not quiet,
        tags={"ECOTONE_MODEL": model_id(folder)},
    )
    run = RunFolder(folder)
    titles = []
    for path in paths:
        suffix = path.name.removeprefix(out.stem).strip(".").removesuffix(".tif").removesuffix(".tiff")
        title = {"": "map", "tif": "map"}.get(suffix, suffix)
        titles.append((path, title))
        if run.record_path.is_file():
            run.add_map(path, out.stem if title == "map" else f"{out.stem}: {title}")
    return titles


def _overlap(one: Any, other: Any) -> bool:
    from ecotone.data.raster_grid import same_crs

    if not same_crs(one.crs, other.crs):
        return False
    a, b = one.bounds, other.bounds
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
