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
    options, names = dict(stored) | query.reading(), _names(sites)
    if query.bloom is not None:
        return _with_bloom(query, options, sites, names)
    table = sites[["site_id", "latitude", "longitude", "altitude", "country", "group"]].assign(year=np.nan, doy=np.nan)
    told = [read_stations(source) for source in query.stations]
    new = [name for name in dict.fromkeys(n for one in told for n in one.names) if name not in names]
    tables = [
        _as_known(one, names) for found in told for one in (found.pairs, found.sites, found.places) if one is not None
    ]
    if new:
        table = table.astype(object).reset_index(drop=True).reindex(range(len(table) + len(new)))
        table.loc[len(table) - len(new) :, "site_id"] = new
    pairs: Any = pd.DataFrame({"site_id": sites["site_id"], "station_id": sites["station"]})
    pairs = pairs[pairs["station_id"] != ""]
    known = options | {"species": None, "phase": None, "bloom_columns": []}
    own = query.model_copy(update={"stations": [pairs, *tables] if len(pairs) else tables})
    try:
        seasons, report = _build(own, known, bloom=table, years=None)
    except InputError as error:
        if error.code != "PH616":
            raise
        # other stations: of the new sites that the tables name, else each is a site of its own
        rest = [one[one["site_id"].isin(new)] if "site_id" in one else one for one in tables]
        other = query.model_copy(update={"stations": [one for one in rest if len(one)]})
        seasons, report = _build(other, options, bloom=None, years=None)
        return seasons, _lost(report)
    lost = _lost(report)
    there = {str(name) for name in seasons.site_id} | {name for name, _, _ in lost}
    known_bare, bare = ([str(n) for n in some if str(n) not in there] for some in (sites["site_id"], new))
    if not new or len(known_bare) < len(sites):  # else only new sites were meant
        bare += known_bare
    if bare and not query.sites:
        some = ", ".join(bare[:5]) + (", ..." if len(bare) > 5 else "")
        what = f"no temperatures of {some} ({len(bare)} of {len(sites) + len(new)} sites)"
        warnings.warn(
            EcotoneWarning("PH612", "--temperature", what, "add their stations, or ask for --sites"), stacklevel=3
        )
    latest = int(seasons.year.max())
    return seasons, lost + [(name, latest, NO_STATION) for name in query.sites if name in {*bare, *known_bare}]


def _with_bloom(
    query: Query, options: Mapping[str, Any], sites: pd.DataFrame, names: Mapping[str, list[str]]
) -> tuple[Seasons, list[Blank]]:
    """Seasons of a table of bloom days: sites of `fit` by their names there, and at their places where it states none."""
    homes: Any = sites[["site_id", "latitude", "longitude", "altitude"]]
    first = {stem: ids[0] for stem, ids in names.items()}
    homes = homes.set_index("site_id").loc[list(first.values())].assign(site_id=list(first)).reset_index(drop=True)
    own = query.model_copy(update={"stations": [*query.stations, homes]})
    if options["species"] is None and (sites["group"].fillna("") != "").any():  # one species of several has a name too
        options = {**options, "species": "all"}
    seasons, report = _build(own, options, bloom=query.bloom, years=None)
    known = {key: name for name, key in _keys(sites).items()}
    ids = {name: known.get(key, name) for name, key in _keys(seasons.sites).items()}
    renamed = seasons.sites.assign(site_id=[ids[str(name)] for name in seasons.sites["site_id"]])
    return replace(seasons, sites=renamed), [(ids.get(name, name), year, why) for name, year, why in _lost(report)]


def _keys(sites: pd.DataFrame) -> dict[str, tuple[str, str]]:
    """Site -> the name that tables give it, and its group: a site with several groups has these behind its name."""
    table = zip(sites["site_id"].astype(str), sites["group"].fillna("").astype(str), strict=True)
    return {name: (name.removesuffix(f" / {group}") if group else name, group) for name, group in table}


def _names(sites: pd.DataFrame) -> dict[str, list[str]]:
    """Name in tables -> sites of that name; sites with a group behind their names go by both."""
    found: dict[str, list[str]] = {}
    for name, (stem, _) in _keys(sites).items():
        found.setdefault(stem, []).append(name)
    return found | {name: [name] for names in list(found.values()) for name in names if name not in found}


def _as_known(table: pd.DataFrame, names: Mapping[str, list[str]]) -> pd.DataFrame:
    """A table of sites or stations with a row for each site that goes by a name."""
    if "site_id" not in table:
        return table
    return table.assign(site_id=[names.get(str(n), [str(n)]) for n in table["site_id"]]).explode(
        "site_id", ignore_index=True
    )


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
    return replace(seasons, extra={}), report


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
