"""From the option models to seasons: files read once, options of `fit` kept for later questions."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ecotone.data.season_stations import read_stations
from ecotone.data.seasons import Calendar, Seasons
from ecotone.errors import EcotoneWarning, InputError, UsageError, suggest
from ecotone.systems.phenology.options import Inputs, Query, read_columns, read_years

if TYPE_CHECKING:
    from ecotone.data.seasons_report import SeasonReport

Array = np.ndarray
Blank = tuple[str, int, str]
"""Site, year and reason of a season that is asked for and has no usable temperatures; no reason for one to come."""
NO_STATION = "no temperatures of this site"
MIDDLE = 45.0  # degrees, of sites that state none
_STATION_FILES = 10_000


def input_files(inputs: Inputs) -> list[Path]:
    """The files `fit` will read.

    Raises:
        InputError: IO101 for one that is missing.
    """
    found = [Path(p) for p in (inputs.bloom, *inputs.temperature, *inputs.stations) if isinstance(p, str | Path)]
    for path in found:
        if not path.is_file():
            raise InputError("IO101", path, "not found", "check the path")
    if inputs.chill_from is not None:
        model = Path(inputs.chill_from) / "model.safetensors"
        if not model.is_file():
            raise InputError("IO101", model, "not found", "pass the folder of a finished run: --chill-from RUN")
        found.append(model)
    return found


def read_inputs(inputs: Inputs) -> tuple[Seasons, SeasonReport]:
    """Seasons of `fit`: those with a record, and those with temperatures alone, which later complete others.

    Warns:
        EcotoneWarning: Those of `build_seasons`; PH621 when records were left out.

    Raises:
        InputError, UsageError: As `build_seasons`, in the words of the command line.
    """
    inputs.check()
    seasons, report = _build(inputs, kept(inputs), bloom=inputs.bloom, years=read_years(inputs.years))
    if (lost := report.left_out(inputs.bloom if isinstance(inputs.bloom, str | Path) else "bloom table")) is not None:
        warnings.warn(lost, stacklevel=2)
    return seasons, report


def read_query(query: Query, stored: Mapping[str, Any], sites: pd.DataFrame) -> tuple[Seasons, list[Blank]]:
    """Seasons of a query with temperatures of its own; what it leaves open is read as in `fit`.

    Args:
        query: With temperatures.
        stored: Options of `fit`.
        sites: Those of `fit`; without bloom days in the query they keep their places, and their stations where its tables name
            none. Sites that only these tables name are answered beside them.

    Returns:
        The seasons, and those that were asked for but have no usable temperatures.
    """
    options = dict(stored) | query.reading()
    if query.bloom is not None:
        seasons, report = _build(query, options, bloom=query.bloom, years=None)
        return seasons, _lost(report)
    table = sites[["site_id", "latitude", "longitude", "altitude", "country", "group"]].assign(year=np.nan, doy=np.nan)
    new = [name for source in query.stations for name in read_stations(source).names]
    new = [name for name in dict.fromkeys(new) if name not in set(sites["site_id"].astype(str))]
    if new:
        table = table.astype(object).reset_index(drop=True).reindex(range(len(table) + len(new)))
        table.loc[len(table) - len(new) :, "site_id"] = new
    pairs: Any = pd.DataFrame({"site_id": sites["site_id"], "station_id": sites["station"]})
    pairs = pairs[pairs["station_id"] != ""]
    known = options | {"species": None, "phase": None, "bloom_columns": []}
    own = query.model_copy(update={"stations": [pairs, *query.stations]}) if len(pairs) else query
    try:
        seasons, report = _build(own, known, bloom=table, years=None)
    except InputError as error:
        if error.code != "PH616":
            raise
        seasons, report = _build(query, options, bloom=None, years=None)  # other stations: each is a site of its own
        return seasons, _lost(report)
    lost = _lost(report)
    there = {str(name) for name in seasons.site_id} | {name for name, _, _ in lost}
    bare = [str(name) for name in sites["site_id"] if str(name) not in there]
    if bare and not query.sites and not (new and len(bare) == len(sites)):
        some = ", ".join(bare[:5]) + (", ..." if len(bare) > 5 else "")
        what = f"no temperatures of {some} ({len(bare)} of {len(sites)} sites)"
        warnings.warn(
            EcotoneWarning("PH612", "--temperature", what, "add their stations, or ask for --sites"), stacklevel=3
        )
    latest = int(seasons.year.max())
    return seasons, lost + [(name, latest, NO_STATION) for name in query.sites if name in bare]


def _lost(report: SeasonReport) -> list[Blank]:
    rows: Any = report.lost
    return [(str(r.site_id), int(r.year), str(r.reason)) for r in rows.itertuples()]


def first_of_each(seasons: Seasons, why: Array) -> tuple[Seasons, Array]:
    """One season per site and year, those with temperatures before those without."""
    order = np.lexsort((why != "", seasons.year, seasons.site))
    _, first = np.unique(np.stack([seasons.site, seasons.year])[:, order], axis=1, return_index=True)
    once = np.sort(order[first])
    return seasons.take(once), why[once]


def with_blanks(seasons: Seasons, why: Array, rows: Sequence[Blank], calendar: Calendar) -> tuple[Seasons, Array]:
    """Seasons by site and year, with others of the same sites that have no temperatures, and (N,) why there is no answer."""
    from ecotone.systems.phenology.forecast import blank_seasons, joined

    if not rows:
        return seasons, why
    place = {str(name): g for g, name in enumerate(seasons.sites["site_id"])}
    site, year = np.array([place[str(name)] for name, _, _ in rows]), np.array([y for _, y, _ in rows])
    both = joined([seasons, blank_seasons(seasons.sites, site, year, seasons, calendar)])
    order = np.lexsort((both.year, both.site))
    return both.take(order), np.concatenate([why, np.array([w for _, _, w in rows], dtype=object)])[order]


def kept(inputs: Inputs) -> dict[str, Any]:
    """The options that are no files, for later questions."""
    files = ("bloom", "temperature", "stations", "years", "chill_from")
    return {k: v for k, v in inputs.model_dump().items() if k not in files}


def _build(given: Any, options: Mapping[str, Any], *, bloom: Any, years: Any) -> tuple[Seasons, SeasonReport]:
    from ecotone.data.seasons_build import build_seasons

    bloom_options = {
        "species": options["species"],
        "phenophase": options["phase"],
        "date_order": options["date_order"],
        "columns": read_columns("bloom_columns", options["bloom_columns"]) or None,
    }
    temperature_options = {
        "unit": options["temperature_unit"],
        "date_order": options["date_order"],
        "columns": read_columns("temperature_columns", options["temperature_columns"]) or None,
    }
    try:
        seasons, report = build_seasons(
            bloom,
            _one_table(given.temperature),
            Calendar(options["season_start"], options["season_length"]),
            stations=given.stations or None,
            within_km=options["within_km"],
            max_missing=options["max_missing"],
            max_gap=options["max_gap"],
            years=years,
            all_years=True,
            duplicates=options["duplicates"],
            latitude=options["latitude"],
            bloom_options=bloom_options,
            temperature_options=temperature_options,
        )
    except (InputError, UsageError) as error:
        if "--phenophase" not in error.fix:
            raise
        raise type(error)(error.code, error.where, error.what, error.fix.replace("--phenophase", "--phase")) from None
    for warning in report.warnings:
        warnings.warn(warning, stacklevel=3)
    # the sun's part in the hours of a day differs little between latitudes; the reader has warned
    sites = seasons.sites.assign(latitude=seasons.sites["latitude"].astype(float).fillna(MIDDLE))
    return replace(seasons, sites=sites, extra={}), report


def _one_table(sources: Sequence[Any]) -> Any:
    """One file or table as it is; several as one table, stations named by files where no column does."""
    if len(sources) == 1:
        return sources[0]
    from ecotone.data.season_columns import TEMPERATURE, find
    from ecotone.data.tables import read_table

    if len(sources) > _STATION_FILES:
        raise UsageError("US104", "--temperature", f"{len(sources)} files", f"pass at most {_STATION_FILES}")
    parts = []
    for source in sources:
        frame = source if isinstance(source, pd.DataFrame) else read_table(source).frame
        names = [str(name) for name in frame.columns]
        if "station" not in find(names, TEMPERATURE, None, str(source)) and isinstance(source, str | Path):
            frame = frame.assign(station_id=Path(source).name.partition(".")[0])
        parts.append(frame)
    first = set(parts[0].columns)
    for source, frame in zip(sources, parts, strict=True):
        if set(frame.columns) != first:
            odd = sorted(map(str, set(frame.columns) ^ first))[:5]
            what = f"columns differ from those of the first file ({', '.join(odd)})"
            raise InputError("PH601", source, what, "give tables with the same columns, or join them first")
    return pd.concat(parts, ignore_index=True)


def check_sites(asked: Sequence[str], known: Sequence[str]) -> None:
    """Refuses sites that are not there.

    Raises:
        UsageError: US101 with the closest known one.
    """
    for name in asked:
        if name not in known:
            raise UsageError("US101", name, "no such site", suggest(name, [str(k) for k in known]))
