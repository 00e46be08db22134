"""Scores of predicted days of bloom: error, rank agreement, calibration, by country, site, altitude and quality.

Error is observed minus predicted, in days. The bootstrap unit is the station-year: sites that share a station share its
weather, so all their seasons of a year are drawn together, with every seed they were predicted with.

Letters: N seasons, S days, B resamples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from ecotone.contract import Score, Scores
from ecotone.data.seasons import Seasons
from ecotone.errors import InputError
from ecotone.stats.bootstrap import Interval
from ecotone.systems.phenology.distribution import BloomDays

Array = np.ndarray
METRICS = ("mae", "rmse", "r2", "r2_within", "tau", "bias", "coverage50", "coverage90", "crps")
BANDS = (0, 200, 500, 1000)  # lower edges of altitude bands, m
LEAST_FOR_TAU = 5


def errors(predicted: BloomDays, seasons: Seasons) -> Array:
    """(N,) observed - predicted days; NaN without an answer or a known bloom."""
    return np.where(seasons.observed, seasons.event, np.nan) - predicted.day


def crps(cdf: Array, event: Array) -> Array:
    """(N,) continuous ranked probability score over whole days: sum over k of (P(bloom by k) - 1[k >= event])^2.

    Days, so that it equals the absolute error for a prediction of one day for sure. Gneiting and Raftery (2007), eq. 20.

    Args:
        cdf: (N, S) probability of bloom by the end of each day.
        event: (N,) observed day indices; NaN gives NaN.
    """
    happened = np.arange(cdf.shape[1]) >= event[:, None]
    return np.where(np.isnan(event), np.nan, ((cdf - happened) ** 2).sum(axis=1))


def pit(cdf: Array, event: Array) -> Array:
    """(N,) probability integral transform: probability of bloom before the observed day plus half that of the day itself.

    Even between 0 and 1 for calibrated predictions; heaps at both ends mean that they are too sure.
    """
    known = np.isfinite(event)
    k = np.where(known, np.clip(np.rint(np.where(known, event, 0)), 0, cdf.shape[1] - 1), 0).astype(int)
    rows = np.arange(len(cdf))
    before = np.where(k > 0, cdf[rows, np.maximum(k - 1, 0)], 0.0)
    return np.where(known, (before + cdf[rows, k]) / 2, np.nan)


def covered(predicted: BloomDays, event: Array, level: float) -> Array:
    """(N,) 1 where the observed day lies in the central interval, 0 where not, NaN without answer or event.

    An upper end that the distribution does not reach within the season counts as the end of the season or later.
    """
    ends = predicted.quantiles(((1 - level) / 2, (1 + level) / 2))
    low = np.where(np.isnan(ends[:, 0]), np.inf, ends[:, 0])
    high = np.where(np.isnan(ends[:, 1]), np.inf, ends[:, 1])
    inside = ((event >= low) & (event <= high)).astype(float)
    return np.where(np.isnan(event) | np.isnan(predicted.cdf[:, -1]), np.nan, inside)


def kendall(observed: Array, predicted: Array, site: Array) -> float:
    """Kendall's tau-b between observed and predicted days within sites, averaged with the seasons as weights.

    Sites with fewer than five seasons do not count; a site predicted with one day for all seasons counts as 0. Taken
    within sites because a model that knows cold sites from warm ones would score high on all of them together.
    """
    from scipy.stats import kendalltau

    total, weight = 0.0, 0
    for g in np.unique(site):
        own = (site == g) & np.isfinite(observed) & np.isfinite(predicted)
        if own.sum() >= LEAST_FOR_TAU and np.ptp(observed[own]) > 0:
            rank: Any = kendalltau(observed[own], predicted[own])
            value = rank.statistic if np.ptp(predicted[own]) > 0 else 0.0
            total, weight = total + float(value) * int(own.sum()), weight + int(own.sum())
    return total / weight if weight else float("nan")


def season_scores(predicted: BloomDays, seasons: Seasons) -> dict[str, Array]:
    """Name -> (N,) values of each season: error, crps, covered50, covered90, pit; NaN without an answer."""
    event = np.where(seasons.observed, seasons.event, np.nan)
    return {
        "error": errors(predicted, seasons),
        "crps": crps(predicted.cdf, event),
        "covered50": covered(predicted, event, 0.5),
        "covered90": covered(predicted, event, 0.9),
        "pit": pit(predicted.cdf, event),
    }


def metrics(values: Mapping[str, Array], seasons: Seasons, rows: Array | None = None) -> dict[str, float]:
    """The figures of some seasons.

    Args:
        values: From `season_scores`.
        seasons: The same seasons.
        rows: (n,) positions; all by default.

    Returns:
        Of `METRICS`, and `n` seasons with an answer and `unanswered`. `r2` compares with the mean of all these seasons,
        `r2_within` with the mean of each site.
    """
    rows = np.arange(len(seasons)) if rows is None else rows
    off = values["error"][rows]
    kept = rows[np.isfinite(off)]
    found: dict[str, float] = {"n": float(len(kept)), "unanswered": float(np.sum(seasons.observed[rows]) - len(kept))}
    if not len(kept):
        return found | dict.fromkeys(METRICS, float("nan"))
    off, event, site = values["error"][kept], seasons.event[kept], seasons.site[kept]
    count = np.bincount(site)
    own = (np.bincount(site, weights=event) / np.maximum(count, 1))[site]
    squares = float((off**2).sum())

    def share(base: Array | float) -> float:
        total = float(((event - base) ** 2).sum())
        return 1 - squares / total if total > 0 else float("nan")

    return found | {
        "mae": float(np.abs(off).mean()),
        "rmse": float(np.sqrt(squares / len(off))),
        "r2": share(float(event.mean())),
        "r2_within": share(own),
        "tau": kendall(event, event - off, site),
        "bias": float(off.mean()),
        "coverage50": float(np.nanmean(values["covered50"][kept])),
        "coverage90": float(np.nanmean(values["covered90"][kept])),
        "crps": float(np.nanmean(values["crps"][kept])),
    }


def groups(seasons: Seasons) -> dict[str, Array]:
    """Name -> (N,) labels by which scores are split: country, site, altitude, quality."""
    sites = seasons.sites
    country = sites["country"].fillna("").astype(str).to_numpy(dtype=object) if "country" in sites else None
    found: dict[str, Array] = {} if country is None else {"country": country[seasons.site]}
    found["site"] = seasons.site_id
    if "altitude" in sites:
        found["altitude"] = altitude_band(sites["altitude"].to_numpy(dtype=float))[seasons.site]
    return found | {"quality": np.asarray(seasons.quality, dtype=object)}


def altitude_band(altitude: Array) -> Array:
    """Labels such as "200-500 m" of altitudes in metres; "unknown" for NaN."""
    words = [f"below {BANDS[1]} m", *(f"{a}-{b} m" for a, b in pairwise(BANDS[1:])), f"above {BANDS[-1]} m"]
    place = np.searchsorted(np.array(BANDS[1:]), np.nan_to_num(altitude), side="right")
    return np.where(np.isnan(altitude), "unknown", np.array(words, dtype=object)[place])


def station_years(station: Array, year: Array) -> Array:
    """(N,) numbers of station-years, the units of the bootstrap."""
    names = np.array([f"{s}\t{y}" for s, y in zip(station, year, strict=True)], dtype=object)
    return np.unique(names.astype(str), return_inverse=True)[1]


def stations_of(seasons: Seasons) -> Array:
    """(N,) labels of what is left out and drawn together: `block` of the site, else its station, else the site itself."""
    for column in ("block", "station"):
        if column in seasons.sites:
            return seasons.sites[column].fillna("").astype(str).to_numpy(dtype=object)[seasons.site]
    return seasons.site_id


def evaluate(
    predicted: BloomDays, seasons: Seasons, *, split: str, station: Array | None = None, resamples: int = 1000
) -> Scores:
    """Scores with intervals over station-years, and rows by country, site, altitude band and quality.

    Args:
        predicted: Answers for the seasons.
        seasons: With known days of bloom.
        split: How the seasons were held out, in words.
        station: (N,) temperature station of each season; by default that of its site.
        resamples: B of the intervals of mae, rmse, bias, coverage and crps; other metrics have none.

    Raises:
        InputError: PH656 when no season has both an answer and a known bloom.
    """
    values = season_scores(predicted, seasons)
    if not np.isfinite(values["error"]).any():
        what = "no season has both an answer and a known day of bloom"
        raise InputError("PH656", "evaluate", what, "give seasons with bloom days that the model can answer")
    unit = station_years(stations_of(seasons) if station is None else station, seasons.year)
    all_of = metrics(values, seasons)
    n = int(all_of.pop("n"))
    missing = all_of.pop("unanswered")
    per: dict[str, tuple[Array, Callable[[Array], Array]]] = {
        "mae": (np.abs(values["error"]), np.asarray),
        "rmse": (values["error"] ** 2, np.sqrt),
        "bias": (values["error"], np.asarray),
        "coverage50": (values["covered50"], np.asarray),
        "coverage90": (values["covered90"], np.asarray),
        "crps": (values["crps"], np.asarray),
    }
    found: dict[str, Score] = {}
    for name, value in all_of.items():
        if name in per and resamples:
            i = unit_bootstrap(per[name][0], unit, n=resamples)
            low, high = (float(per[name][1](np.asarray(v))) for v in (i.low, i.high))
            found[name] = Score(value, low, high, n)
        else:
            found[name] = Score(value, n=n)
    found["unanswered"] = Score(missing, n=n)
    rows: list[dict[str, Any]] = []
    for by, labels in groups(seasons).items():
        for label in np.unique(labels.astype(str)):
            inside = np.flatnonzero(labels.astype(str) == label)
            rows.append({"by": by, "group": str(label), "split": split} | metrics(values, seasons, inside))
    return Scores(found, split, rows)


def unit_bootstrap(
    values: Array, unit: Array, *, seeds: Array | None = None, n: int = 2000, seed: int = 0, level: float = 0.95
) -> Interval:
    """Interval of a mean over seasons, drawing whole station-years and, where there are several, whole seeds.

    Args:
        values: (V,) one value per season and seed; NaN is left out.
        unit: (V,) station-year numbers.
        seeds: (V,) seed of each value; drawn independently of the units, so that the interval allows for both.
        n: Resamples.
        seed: Of the resampling.
        level: Nominal coverage.

    Raises:
        InputError: DA404 when lengths differ.
    """
    values, unit = np.asarray(values, dtype=float), np.asarray(unit)
    if values.shape != unit.shape or (seeds is not None and np.shape(seeds) != values.shape):
        raise InputError("DA404", "unit_bootstrap", "labels and values differ in length", "pass one label per value")
    kept = np.isfinite(values)
    if not kept.any():
        return Interval(np.nan, np.nan, np.nan, 0, level)
    rows = np.unique(unit[kept], return_inverse=True)[1]
    columns = np.zeros(kept.sum(), dtype=int) if seeds is None else np.unique(seeds[kept], return_inverse=True)[1]
    u, k = int(rows.max()) + 1, int(columns.max()) + 1
    total, count = np.zeros((u, k)), np.zeros((u, k))
    np.add.at(total, (rows, columns), values[kept])
    np.add.at(count, (rows, columns), 1.0)
    rng = np.random.default_rng(seed)
    draws = np.empty(n)
    slab = max(1, 2_000_000 // u)  # resamples at once
    for begin in range(0, n, slab):
        size = min(slab, n - begin)
        times, often = _times(rng, size, u), _times(rng, size, k)
        many = ((times @ count) * often).sum(axis=1)
        some = ((times @ total) * often).sum(axis=1)
        draws[begin : begin + size] = np.divide(some, many, out=np.full(size, np.nan), where=many > 0)
    low, high = np.nanquantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(values[kept].mean()), float(low), float(high), int(kept.sum()), level)


def _times(rng: np.random.Generator, n: int, units: int) -> Array:
    """(n, units) how often each unit is drawn in n resamples."""
    drawn = rng.integers(units, size=(n, units)) + units * np.arange(n)[:, None]
    return np.bincount(drawn.ravel(), minlength=n * units).reshape(n, units).astype(float)


def difference(
    first: Array, second: Array, unit: Array, *, seeds: Array | None = None, n: int = 2000, seed: int = 0
) -> Interval:
    """Interval of the mean of |first| - |second| over the same seasons: negative where the first errs less.

    Args:
        first: (V,) errors of one model, one per season and seed.
        second: (V,) errors of the other, in the same order; a pair with a NaN is left out.
        unit: (V,) station-year numbers.
        seeds: (V,) seed of each value.
        n: Resamples.
        seed: Of the resampling.
    """
    return unit_bootstrap(np.abs(first) - np.abs(second), unit, seeds=seeds, n=n, seed=seed)
