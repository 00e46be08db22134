"""How good the answers are: years held out by the fit's own folds, plain rivals on the same folds, or new bloom days.

Error is observed minus predicted days. Every figure is a weighted one, so that its interval comes from drawing whole
station-years with replacement. Letters: N seasons, B draws, F folds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ecotone.contract import Score, Scores
from ecotone.data.seasons import Seasons
from ecotone.errors import InputError
from ecotone.systems.phenology.distribution import BloomModel
from ecotone.systems.phenology.evaluation import LEAST_FOR_TAU, groups, station_years, stations_of

Array = np.ndarray
DRAWS = 500
LEAST = 5  # answers that can be scored
FOLDS = 4
Weighted = Callable[[Array], float]


def rivals() -> dict[str, Callable[[], BloomModel]]:
    """Name -> a plain model to be better than."""
    from ecotone.systems.phenology.baselines.simple import SiteMean
    from ecotone.systems.phenology.grid import GridPhenology

    return {
        "site_mean": SiteMean,
        "thermal_time": lambda: GridPhenology("thermal time", None, pooled="requirement", folds=2),
        "utah": lambda: GridPhenology("sequential", "utah", pooled="requirement", folds=2),
    }


@dataclass(frozen=True)
class Held:
    """Answers for seasons with a known bloom, given by a model that has not seen them.

    Attributes:
        seasons: N seasons.
        day: (N,) day indices; NaN without an answer.
        low: (N,) 5 % quantile.
        high: (N,) 95 % quantile; NaN where it lies beyond the season.
        fold: (N,) years held out together.
    """

    seasons: Seasons
    day: Array
    low: Array
    high: Array
    fold: Array

    @property
    def error(self) -> Array:
        """(N,) observed minus predicted days."""
        return self.seasons.event - self.day

    @property
    def covered(self) -> Array:
        """(N,) whether the observed day lies within the 90 % interval; NaN without an answer."""
        event = self.seasons.event
        high = np.where(np.isnan(self.high), np.inf, self.high)
        inside = (event >= self.low) & (event <= high)
        return np.where(np.isnan(self.day), np.nan, inside.astype(float))


def held_out(frame: pd.DataFrame, seasons: Seasons) -> Held:
    """Pairs a table of held-out answers with its seasons.

    Args:
        frame: Columns site_id, year, observed, day, q05, q95 (day indices), and fold where the model says it; in any order.
        seasons: Those the model was fitted to.
    """
    keys = [
        "site_id",
        "year",
        "observed",
        "nth",
    ]  # the order of the table is the model's own; trees of a year are alike
    known = np.flatnonzero(seasons.observed & np.isfinite(seasons.event))
    mine = {
        "site_id": seasons.site_id[known].astype(str),
        "year": seasons.year[known],
        "observed": seasons.event[known],
    }
    both: Any = pd.merge(
        _numbered(pd.DataFrame(mine).assign(place=known)),
        _numbered(frame.drop(columns="row", errors="ignore").dropna(subset=["observed"])),
        on=keys,
        how="inner",
    ).sort_values("place", kind="stable")
    part = seasons.take(both["place"].to_numpy(dtype=int))
    fold = both["fold"].to_numpy(dtype=int) if "fold" in both else own_folds(part.year)
    day, low, high = (both[k].to_numpy(dtype=float) for k in ("day", "q05", "q95"))
    return Held(part, day, low, high, fold)


def _numbered(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(nth=frame.groupby(["site_id", "year", "observed"]).cumcount())


def own_folds(year: Array) -> Array:
    """(N,) folds of whole years dealt in turn, so that neighbouring years lie in different folds."""
    return np.searchsorted(np.unique(year), year) % FOLDS


def rival_days(held: Held) -> dict[str, Array]:
    """Name -> (N,) day indices of each rival, fitted without the fold it answers for; NaN where it cannot be fitted."""
    found = {}
    for name, new in rivals().items():
        day = np.full(len(held.seasons), np.nan)
        for f in np.unique(held.fold):
            out = held.fold == f
            try:
                day[out] = new().fit(held.seasons.take(~out)).predict(held.seasons.take(out).unlabelled()).day
            except InputError:
                continue
        found[name] = day
    return found


def some(held: Held, others: dict[str, Array], rows: Array) -> tuple[Held, dict[str, Array]]:
    """The seasons of a (N,) mask."""
    part = Held(held.seasons.take(rows), held.day[rows], held.low[rows], held.high[rows], held.fold[rows])
    return part, {name: day[rows] for name, day in others.items()}


def score(held: Held, others: dict[str, Array], split: str) -> Scores:
    """Figures with intervals, and rows by country, site, altitude and quality.

    Args:
        held: Answers.
        others: Name -> (N,) day indices of rivals for the same seasons.
        split: How the seasons were held out, in words.

    Raises:
        InputError: OC205 when hardly a season has an answer.
    """
    rows = np.flatnonzero(np.isfinite(held.error))
    if len(rows) < LEAST:
        raise InputError("OC205", "bloom days", f"{len(rows)} held-out answers are too few to be scored", "add years")
    seasons = held.seasons.take(rows)
    error, covered = held.error[rows], held.covered[rows]
    rival = {name: seasons.event - day[rows] for name, day in others.items()}
    unit = station_years(stations_of(seasons), seasons.year)
    draws = unit_weights(unit)
    figures = _figures(error, covered, seasons) | {f"mae_{k}": _mean(np.abs(e)) for k, e in rival.items()}
    for name, e in rival.items():
        figures[f"gain_on_{name}"] = _share(np.abs(e), np.abs(error))
    metrics = {}
    for name, figure in figures.items():
        value = figure(np.ones(len(rows)))
        if not np.isfinite(value):
            continue
        spread = np.array([figure(w) for w in draws])
        spread = spread[np.isfinite(spread)]
        low, high = np.quantile(spread, [0.025, 0.975]) if len(spread) else (value, value)
        metrics[name] = Score(value, min(float(low), value), max(float(high), value), len(rows))
    table = []
    for by, labels in groups(seasons).items():
        for label in dict.fromkeys(sorted(labels.astype(str))):
            mine = np.flatnonzero(labels.astype(str) == label)
            row = {"by": by, "group": str(label), "n": len(mine), "mae": float(np.abs(error[mine]).mean())}
            row |= {"rmse": float(np.sqrt((error[mine] ** 2).mean())), "bias": float(error[mine].mean())}
            row["coverage90"] = float(covered[mine].mean())
            row |= {f"mae_{k}": _or_none(e[mine]) for k, e in rival.items()}
            table.append(row)
    return Scores(metrics, split, table)


def unit_weights(unit: Array, draws: int = DRAWS, seed: int = 0) -> Array:
    """(B, N) how often each season is drawn when whole units are drawn with replacement."""
    count = int(unit.max()) + 1
    rng = np.random.default_rng(seed)
    return np.stack([np.bincount(rng.integers(count, size=count), minlength=count)[unit] for _ in range(draws)]).astype(
        float
    )


def _figures(error: Array, covered: Array, seasons: Seasons) -> dict[str, Weighted]:
    event = seasons.event
    square = _mean(error**2)

    def r2(w: Array) -> float:
        middle = float((w * event).sum() / w.sum())
        total = float((w * (event - middle) ** 2).sum())
        return 1 - float((w * error**2).sum()) / total if total > 0 else float("nan")

    return {
        "mae": _mean(np.abs(error)),
        "rmse": lambda w: float(np.sqrt(square(w))),
        "bias": _mean(error),
        "r2": r2,
        "tau": within_tau(event, event - error, seasons.site),
        "coverage90": _mean(covered),
    }


def _mean(values: Array) -> Weighted:
    good = np.isfinite(values)

    def figure(w: Array) -> float:
        total = float(w[good].sum())
        return float((w[good] * values[good]).sum()) / total if total else float("nan")

    return figure


def _share(rival: Array, own: Array) -> Weighted:
    """Share of a rival's mean error that is saved."""
    good = np.isfinite(rival) & np.isfinite(own)

    def figure(w: Array) -> float:
        total = float((w[good] * rival[good]).sum())
        return 1 - float((w[good] * own[good]).sum()) / total if total > 0 else float("nan")

    return figure


def within_tau(observed: Array, predicted: Array, site: Array) -> Weighted:
    """Weighted Kendall tau-b within sites, averaged with the seasons as weights; sites of fewer than five do not count."""
    parts = []
    for g in np.unique(site):
        rows = np.flatnonzero(site == g)
        if len(rows) >= LEAST_FOR_TAU:
            a, b = (np.sign(np.subtract.outer(x[rows], x[rows])) for x in (observed, predicted))
            parts.append((rows, a * b, a != 0, b != 0))

    def figure(w: Array) -> float:
        total = weight = 0.0
        for rows, together, differ, apart in parts:
            v = w[rows]
            first, second = float(v @ differ @ v), float(v @ apart @ v)
            if first > 0:
                total += float(v.sum()) * (float(v @ together @ v) / np.sqrt(first * second) if second > 0 else 0.0)
                weight += float(v.sum())
        return total / weight if weight else float("nan")

    return figure


def _or_none(error: Array) -> float | None:
    good = np.isfinite(error)
    return float(np.abs(error[good]).mean()) if good.any() else None
