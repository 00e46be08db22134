"""From the option models to seasons: files read once, options of `fit` kept for later questions."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ecotone.data.bloom_tables import bloom_table, read_bloom
from ecotone.data.season_stations import read_stations
from ecotone.data.seasons import Calendar, Seasons
from ecotone.errors import EcotoneWarning, InputError, UsageError, listed, suggest
from ecotone.systems.phenology.options import Inputs, Query, read_columns, read_years
from ecotone.systems.phenology.query_sites import KnownSites

if TYPE_CHECKING:
    from ecotone.data.seasons_report import SeasonReport

Array = np.ndarray
Blank = tuple[str, int, str]
"""Site, year and reason of a season that is asked for and has no usable temperatures; no reason for one to come."""
NO_STATION = "no temperatures of this site"
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
    options, known = dict(stored) | query.reading(), KnownSites.of(sites)
    if query.bloom is not None:
        return _with_bloom(query, options, sites, known)
    table = sites[["site_id", "latitude", "longitude", "altitude", "country", "group"]].assign(year=np.nan, doy=np.nan)
    told = [read_stations(source) for source in query.stations]
    names = list(dict.fromkeys(name for one in told for name in one.names))
    new = [name for name in names if not known.ids(name)]
    tables = [
        known.spread(one) for found in told for one in (found.pairs, found.sites, found.places) if one is not None
    ]
    if new:
        table = table.astype(object).reset_index(drop=True).reindex(range(len(table) + len(new)))
        table.loc[len(table) - len(new) :, "site_id"] = new
    pairs: Any = pd.DataFrame({"site_id": sites["site_id"], "station_id": sites["station"]})
    pairs = pairs[pairs["station_id"] != ""]
    own = query.model_copy(update={"stations": [pairs, *tables] if len(pairs) else tables})
    try:
        seasons, report = _build(own, options, bloom=bloom_table(table, where="sites of the run"), years=None)
    except InputError as error:
        if error.code != "PH616":
            raise
        # other stations: of the new sites that the tables name, else each is a site of its own
        rest = [one[one["site_id"].isin(new)] if "site_id" in one else one for one in tables]
        other = query.model_copy(update={"stations": [one for one in rest if len(one)]})
        seasons, report = _build(other, options, bloom=None, years=None)
        linked = [name for one in told if one.pairs is not None for name in one.names if name not in new]
        _tell_bare(list(dict.fromkeys(linked)), f"{len(names)} sites of --stations")
        return seasons, _lost(report)
    lost = _lost(report)
    there = {str(name) for name in seasons.site_id} | {name for name, _, _ in lost}
    known_bare, bare = ([str(n) for n in some if str(n) not in there] for some in (sites["site_id"], new))
    if not new or len(known_bare) < len(sites):  # else only new sites were meant
        bare += known_bare
    if not query.sites:
        _tell_bare(bare, f"{len(sites) + len(new)} sites")
    latest = int(seasons.year.max())
    return seasons, lost + [(name, latest, NO_STATION) for name in query.sites if name in {*bare, *known_bare}]


def _tell_bare(names: Sequence[str], among: str) -> None:
    """Warns of sites without temperatures."""
    if names:
        what = f"no temperatures of {listed(names)} ({len(names)} of {among})"
        fix = "add their stations, or ask for --sites"
        warnings.warn(EcotoneWarning("PH612", "--temperature", what, fix), stacklevel=4)


def _with_bloom(
    query: Query, options: Mapping[str, Any], sites: pd.DataFrame, known: KnownSites
) -> tuple[Seasons, list[Blank]]:
    """Seasons of a table of bloom days: sites of `fit` by their names there, and at their places where it states none."""
    reader: Any = bloom_table if isinstance(query.bloom, pd.DataFrame) else read_bloom
    with _in_our_words():
        table = reader(
            query.bloom,
            calendar=Calendar(options["season_start"], options["season_length"]),
            label=known.grouped,
            **_bloom_options(options),
        )
    told = [read_stations(source) for source in query.stations]
    tables = [known.stem(one) for found in told for one in (found.pairs, found.sites, found.places) if one is not None]
    own = query.model_copy(update={"stations": [*tables, known.homes(sites)]})
    seasons, report = _build(own, options, bloom=known.records(table), years=None)
    ids = known.named(seasons.sites)
    renamed = seasons.sites.assign(site_id=[ids[str(name)] for name in seasons.sites["site_id"]])
    return replace(seasons, sites=renamed), [(ids.get(name, name), year, why) for name, year, why in _lost(report)]


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

    temperature_options = {
        "unit": options["temperature_unit"],
        "date_order": options["date_order"],
        "columns": read_columns("temperature_columns", options["temperature_columns"]) or None,
    }
    with _in_our_words():
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
            bloom_options=_bloom_options(options),
            temperature_options=temperature_options,
        )
    for warning in report.warnings:
        warnings.warn(warning, stacklevel=3)
    return replace(seasons, extra={}), report


def _bloom_options(options: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "species": options["species"],
        "phenophase": options["phase"],
        "date_order": options["date_order"],
        "columns": read_columns("bloom_columns", options["bloom_columns"]) or None,
    }


@contextmanager
def _in_our_words() -> Iterator[None]:
    """Messages of the readers with the options of the command line."""
    try:
        yield
    except (InputError, UsageError) as error:
        if "--phenophase" not in error.fix:
            raise
        raise type(error)(error.code, error.where, error.what, error.fix.replace("--phenophase", "--phase")) from None


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
