"""`ecotone bench cherry`: errors of predicted cherry bloom days on years and stations held out, model by model.

Splits: whole years at random, forward in time, whole stations out, stations and years out. A station is everything that
stands at one place: sites that share its weather go together. The sites of "observed" seasons come first, all qualities
of temperatures beside them. `--data monthly` runs the 100 Japanese stations with monthly means, interpolated to days.

Rows are per model, split, quality, seed and site; `seconds` of a fit are divided among its sites, so that sums are totals.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, field_validator

from ecotone.bench.cherry_models import MODELS, ready_models
from ecotone.bench.cherry_summary import Outcome, lead_rows, summary
from ecotone.bench.record import write_rows
from ecotone.bench.registry import BenchResult
from ecotone.contract import Options as Base
from ecotone.data.seasons import Seasons
from ecotone.errors import InputError, UsageError, suggest
from ecotone.files.fingerprint import cache_key, hash_files
from ecotone.files.progress import progress as show_progress
from ecotone.stats.season_splits import Split, and_years, forward, random_years, rolling, station_folds
from ecotone.systems.phenology.distribution import BloomDays
from ecotone.systems.phenology.evaluation import groups, metrics, season_scores, station_years, stations_of

Array = np.ndarray
HEADLINES = ("random_years", "forward", "rolling", "stations")
SPLITS = ("random_years", "forward", "rolling", "stations", "stations_and_years")
QUALITIES = ("observed", "all")
FEW_STATIONS = 12  # up to so many are left out one by one, more in four groups


class Options(Base):
    """Options of the benchmark.

    Attributes:
        seeds: Seeds; each draws its own years and groups of stations and seeds the networks.
        members: Members of the ensembles of networks.
        models: Which models; all that this version has by default.
        splits: Which of random_years, forward, rolling, stations, stations_and_years; all but the last by default.
        qualities: Sets of seasons: "observed" temperatures only, and "all".
        data: The cherry seasons with daily temperatures, or the Japanese stations with monthly ones.
        least_seasons: Sites with fewer seasons are left out.
        folder: The folder with the tables; ECOTONE_DATA/phenology by default.
        leads: Also write here, as CSV, by how much the hybrid leads over each rival, with intervals.
    """

    seeds: int = Field(default=5, ge=1, le=100)
    members: int = Field(default=3, ge=1, le=100)
    models: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()
    qualities: tuple[str, ...] = ()
    data: Literal["cherry", "monthly"] = "cherry"
    least_seasons: int = Field(default=8, ge=2)
    folder: str | None = None
    leads: str | None = None

    @field_validator("models", "splits", "qualities", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        parts = [value] if isinstance(value, str) else value
        return tuple(word for part in parts for word in str(part).split(",") if word)


@dataclass(frozen=True)
class DataSet:
    """Seasons under the name of their quality, and the hash of the tables they were read from."""

    quality: str
    seasons: Seasons
    digest: str = ""


def run(options: Options, *, progress: bool = True) -> BenchResult:
    """Runs models on splits and summarises them; lines at the end say what could not be run.

    Raises:
        InputError: PH656 when nothing could be run.
    """
    models = _chosen(options.models, ready_models(every=bool(options.models)), "model")
    splits = _chosen(options.splits or HEADLINES, SPLITS, "split")
    missed: list[str] = []
    sets = list(data_sets(options, missed))
    rows: list[dict[str, Any]] = []
    outcomes: list[Outcome] = []
    with show_progress(len(sets) * len(models) * len(splits) * options.seeds, "cherry", enabled=progress) as bar:
        for data in sets:
            for split in splits:
                for model in models:
                    own: list[Outcome] = []
                    try:
                        for outcome in run_model(data, model, split, options):
                            own.append(outcome)
                            bar.advance()
                    except InputError as error:  # data too small for one split or model cost the others nothing
                        missed.append(f"not run: {model}, {split}, {data.quality} temperatures: {error}")
                        bar.advance(options.seeds - len(own))
                        continue
                    outcomes += own
                    rows += [row for outcome in own for row in site_rows(data, outcome)]
    if not outcomes:
        more = f" (and {len(missed) - 1} more like it)" if len(missed) > 1 else ""
        raise InputError("PH656", "cherry", missed[0] + more, "give more seasons, or lower --least-seasons")
    if options.leads:
        digest = {d.quality: d.digest for d in sets}
        told = [{**row, "data": digest[row["quality"]]} for row in lead_rows(outcomes)]
        write_rows(told, Path(options.leads))
    lines = summary(outcomes, {d.quality: d.seasons for d in sets}, splits, options.data)
    return BenchResult(rows, lines + missed)


def _chosen(given: tuple[str, ...], known: list[str] | tuple[str, ...], what: str) -> list[str]:
    for name in given:
        if name not in known:
            raise UsageError("US101", name, f"no such {what}", suggest(name, known))
    return [name for name in known if name in given] if given else list(known)


def data_folder(given: str | None) -> Path:
    """The folder of the tables.

    Raises:
        InputError: IO101 when none is named.
    """
    base = os.environ.get("ECOTONE_DATA")
    if given is None and not base:
        fix = "name the data folder, or pass --folder; see `ecotone data get cherry`"
        raise InputError("IO101", "ECOTONE_DATA", "is not set", fix)
    return Path(given) if given is not None else Path(base or "") / "phenology"


def data_hash(folder: Path) -> str:
    """12 digits that name the content of the tables the benchmark reads."""
    from ecotone.data.benchmarks import cherry

    names = (cherry.SEASONS, cherry.BLOOM, cherry.TEMPERATURE, cherry.STATIONS, cherry.MONTHLY)
    found = hash_files([folder / name for name in names if (folder / name).is_file()])
    return cache_key(files=[digest for _, digest in sorted((Path(k).name, v) for k, v in found.items())])[:12]


def data_sets(options: Options, missed: list[str]) -> Iterator[DataSet]:
    """The sets of seasons, observed temperatures first; of a set without enough seasons a line in `missed` says so.

    Raises:
        InputError: IO101 when the tables are missing.
    """
    from ecotone.data.benchmarks import cherry

    folder = data_folder(options.folder)
    if options.data == "monthly":
        yield DataSet("monthly", cherry.read_monthly(folder), data_hash(folder))
        return
    for name in _chosen(options.qualities, QUALITIES, "quality"):
        chosen = None if name == "all" else (name,)
        try:
            seasons = cherry.read_cherry(folder, chosen, options.least_seasons)
        except InputError as error:
            if error.code != "PH616":
                raise
            missed.append(f"not run: {name} temperatures: {error}")
            continue
        yield DataSet(name, seasons, data_hash(folder))


def splits_of(name: str, seasons: Seasons, seed: int) -> list[Split]:
    """The splits under a name whose test seasons are scored together."""
    if name == "random_years":
        return [random_years(seasons.year, seed=seed)]
    if name == "forward":
        return [forward(seasons.year)]
    if name == "rolling":
        return rolling(seasons.year)
    station = stations_of(seasons)
    folds = 4 if len(np.unique(station.astype(str))) > FEW_STATIONS else None
    found = list(station_folds(station, seasons.site, folds=folds, seed=seed))
    return found if name == "stations" else [and_years(split, seasons.year, seed=seed) for split in found]


def run_model(data: DataSet, model: str, split: str, options: Options) -> Iterator[Outcome]:
    """One outcome per seed; where neither split nor model depends on the seed, the first is repeated."""
    entry, done = MODELS[model], None
    for seed in range(options.seeds):
        parts = splits_of(split, data.seasons, seed)
        if done is None or entry.seeded or any(part.seeded for part in parts):
            done = _fit(data, model, split, parts, seed, options)
        yield done.with_seed(seed)


def _fit(data: DataSet, model: str, split: str, parts: list[Split], seed: int, options: Options) -> Outcome:
    start = time.perf_counter()
    tested, answers = [], []
    for part in parts:
        test = np.flatnonzero(part.test)
        if len(test) and part.train.any():
            fitted = MODELS[model].make(seed=seed, members=options.members).fit(data.seasons.take(part.train))
            answers.append(fitted.predict(data.seasons.take(test).unlabelled()))
            tested.append(test)
    seconds = time.perf_counter() - start
    if not tested:
        raise InputError("PH616", split, "leaves no seasons to score", "give more stations or years")
    rows = np.concatenate(tested)
    together = BloomDays(*(np.concatenate([getattr(a, k) for a in answers]) for k in ("cdf", "day", "reason")))
    seasons = data.seasons.take(rows)
    unit = station_years(stations_of(data.seasons), data.seasons.year)[rows]
    groups_out = f"{len(parts)} groups of stations held out in turn"
    words = parts[0].description if len(parts) == 1 or split == "rolling" else groups_out
    return Outcome(
        model,
        MODELS[model].kind,
        split,
        data.quality,
        seed,
        rows,
        season_scores(together, seasons),
        unit,
        seconds,
        words,
    )


def site_rows(data: DataSet, outcome: Outcome) -> list[dict[str, Any]]:
    """One row per site."""
    seasons = data.seasons.take(outcome.rows)
    country = groups(seasons).get("country", np.full(len(seasons), "", dtype=object))
    found = []
    sites = np.unique(seasons.site)
    for g in sites:
        own = np.flatnonzero(seasons.site == g)
        figures = metrics(outcome.values, seasons, own)
        row: dict[str, Any] = {
            "model": outcome.model,
            "split": outcome.split,
            "country": str(country[own[0]]),
            "site": str(seasons.site_id[own[0]]),
            "quality": data.quality,
            "seed": outcome.seed,
        }
        names = ("mae", "rmse", "bias", "tau", "crps", "coverage50", "coverage90")
        row |= {"n": int(figures["n"]), "unanswered": int(figures["unanswered"])} | {
            k: _number(figures[k]) for k in names
        }
        found.append(
            row
            | {"source": data.seasons.source, "data": data.digest, "seconds": round(outcome.seconds / len(sites), 4)}
        )
    return found


def _number(value: float) -> float | None:
    """JSON has no NaN."""
    return float(value) if np.isfinite(value) else None
