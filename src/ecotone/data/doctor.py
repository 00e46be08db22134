"""What is wrong with these files, and the exact command that mends it - before any model is fitted.

Rasters are read through their headers and a bounded sample of cells; those given together are compared on the grid of
the first. Tables of records, of bloom days and of temperatures are read as `ecotone fit` would read them; a bloom and a
temperature table given together are also joined.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from ecotone.contract import Grid
from ecotone.data.doctor_findings import Finding, Severity, problem
from ecotone.data.doctor_seasons import examine_one, examine_together, header, recognise
from ecotone.data.raster_align import Alignment
from ecotone.data.raster_find import find_rasters
from ecotone.data.raster_grid import Window, is_geographic, parse_crs, same_crs
from ecotone.data.raster_source import Source, describe
from ecotone.errors import EcotoneError, EcotoneWarning

TABLES = frozenset({".csv", ".tsv", ".txt", ".gpkg", ".parquet", ".geojson", ".shp", ".gz"})
_SAMPLED_ROWS = 256
_LIKELY_NODATA = (-9999.0, -32768.0, -3.4e38, -1.7e308, 255.0, 65535.0, 32767.0, -99.0, -999.0)


def examine(paths: str | Path | Iterable[str | Path], *, assume_crs: str | int | None = None) -> list[Finding]:
    """Examines rasters, folders of rasters, patterns, and tables of records, bloom days, temperatures and stations.

    Never raises for a bad file: every problem becomes a `Finding`, and the other files are still examined.

    Args:
        paths: What is examined; the first raster is the template the others are compared with.
        assume_crs: Coordinate reference system of rasters that declare none.

    Returns:
        Findings in the order of the files.
    """
    findings: list[Finding] = []
    described: list[Source] = []
    of_kind: dict[str, list[Path]] = {"bloom": [], "temperature": [], "stations": []}
    for given in [paths] if isinstance(paths, str | Path) else paths:
        path = Path(given)
        if path.suffix.lower() in TABLES and not path.is_dir():
            kind = recognise(header(path))
            findings += examine_one(path, kind) if kind else _table(path)
            if kind:
                of_kind[kind].append(path)
            continue
        try:
            files = find_rasters(given)
        except EcotoneError as error:
            findings.append(problem(given, error))
            continue
        for file in files:
            try:
                sources = describe(file, assume_crs=assume_crs)
            except EcotoneError as error:
                findings.append(problem(file, error))
                continue
            findings += _raster(sources)
            described += sources
    if len(of_kind["bloom"]) == 1 == len(of_kind["temperature"]) and worst(findings) != "error":
        findings += examine_together(of_kind["bloom"][0], of_kind["temperature"][0], of_kind["stations"])
    return findings + _together(described)


def worst(findings: Sequence[Finding]) -> Severity:
    """The gravest severity among findings, "ok" for none."""
    order: tuple[Severity, ...] = ("ok", "note", "warning", "error")
    return order[max((order.index(f.severity) for f in findings), default=0)]


def _raster(sources: Sequence[Source]) -> list[Finding]:
    first = sources[0]
    file, grid = str(first.path), first.grid
    crs = parse_crs(grid.crs)
    bands = (
        "1 band"
        if len(sources) == 1
        else f"{len(sources)} bands ({', '.join(s.name for s in sources[:6])}{', ...' if len(sources) > 6 else ''})"
    )
    unit = "degrees" if is_geographic(grid.crs) else (crs.axis_info[0].unit_name if crs.axis_info else "units")
    west, south, east, north = grid.bounds
    found = [
        Finding(
            "ok",
            file,
            f"{grid.height} x {grid.width} cells of {grid.transform[0]:g} x {-grid.transform[4]:g} {unit}, {bands}, "
            f"{first.dtype}, {_crs_name(grid)}, x {west:g} to {east:g}, y {south:g} to {north:g}",
        )
    ]
    if is_geographic(grid.crs) and (south < -90.01 or north > 90.01 or west < -360.01 or east > 360.01):
        fix = "the coordinates are probably metres: store the right system with `rio edit-info --crs EPSG:CODE FILE`"
        found.append(
            Finding(
                "error", file, "declared as longitude and latitude, but its extent is not on the globe", fix, "RA301"
            )
        )
    if first.rows_reversed:
        found.append(Finding("note", file, "stored from south to north; read the right way round"))
    if first.nodata is None and not first.masked:
        fix = f"if some value means missing: `rio edit-info --nodata VALUE {first.path.name}`"
        found.append(
            Finding("warning", file, "declares no nodata value, every finite value counts as data", fix, "RA302")
        )
    for source in sources:
        found += _cells(source)
    return found


def _cells(source: Source) -> list[Finding]:
    label = source.path.name if source.name == source.path.stem else f"band {source.band} ({source.name})"
    try:
        values, valid = _sample(source)
    except EcotoneError as error:
        return [problem(source.path, error)]
    file, some = str(source.path), values[valid]
    whole = "" if source.grid.height <= _SAMPLED_ROWS else f" in {_SAMPLED_ROWS} sampled rows"
    if not some.size:
        return [
            Finding(
                "error", file, f"{label}: no valid cell{whole}", "check its nodata value with `rio info FILE`", "RA304"
            )
        ]
    unit = f" {source.unit}" if source.unit else ""
    scaled = (
        ""
        if (source.scale, source.offset) == (1.0, 0.0)
        else f", scale {source.scale:g} and offset {source.offset:g} applied"
    )
    missing = "" if source.nodata is None else f", nodata {source.nodata:g}"
    text = f"{label}: {valid.mean():.1%} valid{whole}, {some.min():g} to {some.max():g}{unit}{missing}{scaled}"
    found = [Finding("ok", file, text)]
    if some.min() == some.max():
        fix = "leave it out, it carries no information"
        found.append(Finding("warning", file, f"{label}: the same value {some[0]:g} everywhere{whole}", fix, "DA401"))
    elif source.nodata is None or not np.isin(some, source.nodata).any():
        found += _hidden_fill(source, label, some)
    kinds = np.unique(some)
    if len(kinds) <= 30 and np.array_equal(kinds, np.rint(kinds)) and len(kinds) > 1 and some.size > 200:
        fix = f"if these are labels, pass --categorical {source.name}"
        found.append(Finding("note", file, f"{label}: only {len(kinds)} different whole numbers", fix))
    return found


def _hidden_fill(source: Source, label: str, some: np.ndarray) -> list[Finding]:
    """A usual fill value at the very end of the range, far from everything else, that is not declared as nodata."""
    for fill in _LIKELY_NODATA:
        share = float(np.mean(some == fill))
        rest = some[some != fill]
        if share < 0.001 or not rest.size:
            continue
        spread = max(float(rest.max() - rest.min()), 1e-12)
        gap = max(float(rest.min()) - fill, fill - float(rest.max()))
        if gap > spread:
            fix = f"declare it: `rio edit-info --nodata {fill:g} {source.path.name}`"
            what = f"{label}: {share:.1%} of the cells hold {fill:g}, far from all others; it looks like a fill value"
            return [Finding("warning", str(source.path), what, fix, "RA302")]
    return []


def _sample(source: Source) -> tuple[np.ndarray, np.ndarray]:
    """At most 256 rows, evenly spaced, of the band."""
    grid = source.grid
    rows = np.unique(np.linspace(0, grid.height - 1, min(grid.height, _SAMPLED_ROWS)).astype(int))
    if len(rows) == grid.height:
        return source.read(Window(0, 0, grid.height, grid.width))
    parts = [source.read(Window(int(row), 0, 1, grid.width)) for row in rows]
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])


def _together(sources: Sequence[Source]) -> list[Finding]:
    files = list({s.path: s for s in sources}.values())
    if len(files) < 2:
        return []
    template, found, same = files[0], [], 0
    for source in files[1:]:
        alignment = Alignment.between(source.grid, template.grid)
        name = template.path.name
        if not alignment.overlaps():
            fix = "use rasters of one region, or correct the coordinate reference system of one"
            found.append(Finding("error", str(source.path), f"does not overlap {name}", fix, "RA304"))
        elif alignment.shift == (0, 0) and _same_size(source.grid, template.grid):
            same += 1
        elif not same_crs(source.grid.crs, template.grid.crs):
            what = f"is in {_crs_name(source.grid)}, {name} in {_crs_name(template.grid)}; it is reprojected on the fly"
            found.append(Finding("note", str(source.path), what, "nothing needed; `rio warp` once if speed matters"))
        elif alignment.shift is not None:
            found.append(
                Finding(
                    "note", str(source.path), f"covers another extent than {name}; cells coincide", "nothing needed"
                )
            )
        else:
            found.append(
                Finding(
                    "note",
                    str(source.path),
                    f"has other cells than {name}; it is resampled on the fly",
                    "nothing needed",
                )
            )
    if same == len(files) - 1:
        found.append(Finding("ok", str(template.path), f"all {len(files)} rasters lie on one grid"))
    names: dict[str, Path] = {}
    for source in sources:
        if source.name in names:
            what = f"covariate {source.name!r} is also in {names[source.name].name}"
            found.append(Finding("error", str(source.path), what, "rename one file or leave one out", "RA306"))
        names.setdefault(source.name, source.path)
    return found


def _same_size(one: Grid, other: Grid) -> bool:
    return (one.height, one.width) == (other.height, other.width)


def _crs_name(grid: Grid) -> str:
    crs = parse_crs(grid.crs)
    authority = crs.to_authority()
    return ":".join(authority) if authority else f"{crs.name} (no EPSG code)"


def _table(path: Path) -> list[Finding]:
    from ecotone.data.occurrences import read_occurrences

    file = str(path)
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always", EcotoneWarning)
        try:
            records = read_occurrences(path)
        except EcotoneError as error:
            return [problem(path, error)]
    columns = ", ".join(f"{role}: {column}" for role, column in records.columns.items())
    located = int(np.count_nonzero(np.isfinite(records.x) & np.isfinite(records.y)))
    text = f"{len(records)} records of {len(records.names)} species, {located} with coordinates, {records.crs}"
    text += f"; columns {columns}"
    found = [Finding("ok" if located else "error", file, text, "" if located else "check the coordinate columns")]
    found += [Finding("note", file, note) for note in records.notes]
    told = [w.message for w in heard if isinstance(w.message, EcotoneWarning)]
    return found + [Finding("warning", file, w.what, w.fix, w.code) for w in told]
