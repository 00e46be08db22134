"""Difficulty card of the simulated trees: how hard they are for plain methods, before any method of ecotone sees them.

Run ``python benchmarks/trees_card.py``; it writes benchmarks/results/trees_card.csv and prints the table. ``--look``
prints the table only. Every setting learns from the first years of a world and is judged on its last ten: mean absolute
error of the recorded day over the seasons that bloom. A method that says "never" is given the last day of the season.
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import subprocess
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from sklearn.linear_model import RidgeCV

from ecotone.data.seasons import TMEAN, Seasons, Status
from ecotone.data.simulated.trees import TreeWorld, trees
from ecotone.files.atomic import write_text
from ecotone.stats.bootstrap import bootstrap

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "trees_card.csv"

SEEDS = range(12)
TEST = 10  # years
# years to learn from, warming of the test years in degC, options of the world
SETTINGS: dict[str, tuple[int, float, dict[str, object]]] = {
    "standard": (20, 0.0, {}),
    "easier": (40, 0.0, {"noise": 0.5, "sites": 15, "trend": 0.0}),
    "harder": (8, 2.0, {"noise": 2.0}),
    "mixed winters": (20, 0.0, {"winters": "mixed"}),
    "cold winters": (20, 0.0, {"winters": "cold"}),
}
METHODS = (
    "oracle",
    "chill hours + GDD",
    "thermal time, pooled",
    "thermal time, per site",
    "ridge",
    "kNN",
    "chance",
)


def split(world: TreeWorld, train: int, warming: float) -> tuple[Seasons, Seasons]:
    """Seasons to learn from and to be judged on; the latter warmed, with what the same trees do then."""
    seasons = world.seasons
    early = seasons.year < seasons.year.min() + train
    late = seasons.take(~early)
    return seasons.take(early), world.recorded(late.warmed(warming)) if warming else late


class Fit:
    """Grid search of a start of forcing per season, a base and a requirement per site, by squared error."""

    def __init__(self, train: Seasons, test: Seasons) -> None:
        self.train, self.test, self.site = train, test, train.site
        self.hours = train.hourly(), test.hourly()
        self.event = train.event
        self.known = train.status == Status.OBSERVED

    def warmth(self, base: float) -> tuple[np.ndarray, np.ndarray]:
        train, test = (np.maximum(h - np.float32(base), 0).mean(axis=2).astype(float) for h in self.hours)
        return train, test

    def search(self, starts: list[tuple[np.ndarray, np.ndarray]], bases: np.ndarray, pooled: bool) -> np.ndarray:
        """Days of the test seasons; `starts` are first days of forcing of the train and the test seasons."""
        g = len(self.train.sites)
        best, answer = np.full(g, np.inf), np.zeros(len(self.test))
        days = np.arange(self.train.length)
        for base in bases:
            warmth = self.warmth(base)
            for start in starts:
                gathered = [(w * (days >= s[:, None])).cumsum(axis=1) for w, s in zip(warmth, start, strict=True)]
                at = gathered[0][np.arange(len(self.train)), self.event.astype(int)]
                need = np.array([at[(self.site == k) & self.known].mean() for k in range(g)])
                found = crossing(gathered[0], need[self.site])
                errors = np.where(self.known, (found - self.event) ** 2, 0)
                loss = np.bincount(self.site, errors, minlength=g)
                loss = np.full(g, loss.sum()) if pooled else loss
                better = loss < best
                best[better] = loss[better]
                rows = better[self.test.site]
                answer[rows] = crossing(gathered[1][rows], need[self.test.site[rows]])
        return answer

    def thermal_time(self, pooled: bool) -> np.ndarray:
        fixed = [tuple(np.full(len(s), k) for s in (self.train, self.test)) for k in range(0, 160, 4)]
        return self.search(fixed, np.arange(0, 10.1, 1), pooled)  # pyright: ignore[reportArgumentType]

    def chill_hours(self) -> np.ndarray:
        """Hours of 0 to 7.2 degC until one requirement for all sites, then degree days."""
        gathered = [((h >= 0) & (h <= 7.2)).sum(axis=2).cumsum(axis=1) for h in self.hours]
        needs = np.arange(50, 2001, 50)
        starts = [tuple(crossing(c, np.full(len(c), need)) for c in gathered) for need in needs]
        return self.search(starts, np.arange(0, 10.1, 1), True)  # pyright: ignore[reportArgumentType]


def crossing(gathered: np.ndarray, need: np.ndarray) -> np.ndarray:
    """(N,) first day on which the requirement is met, the last day where it is not."""
    return np.minimum((gathered < need[:, None]).sum(axis=1), gathered.shape[1] - 1)


def months(train: Seasons, test: Seasons) -> list[np.ndarray]:
    """(N, M) means of the 30-day spans that end before all but the earliest bloom."""
    spans = int(np.nanpercentile(train.event, 5)) // 30
    return [
        s.daily[:, : 30 * spans, TMEAN].reshape(len(s), spans, 30).mean(axis=2).astype(float) for s in (train, test)
    ]


def by_table(train: Seasons, test: Seasons) -> dict[str, np.ndarray]:
    """Site mean, and ridge and five nearest seasons on departures from the site's mean months."""
    known = train.status == Status.OBSERVED
    g = len(train.sites)
    x, z = months(train, test)
    mean = np.array([train.event[(train.site == k) & known].mean() for k in range(g)])
    normal = np.stack([x[train.site == k].mean(axis=0) for k in range(g)])
    y = (train.event - mean[train.site])[known]
    x, z = (x - normal[train.site])[known], z - normal[test.site]
    scale = x.std(axis=0)
    x, z = x / scale, z / scale
    ridge = RidgeCV(alphas=np.logspace(-1, 3, 9)).fit(x, y).predict(z)
    away = ((z[:, None] - x) ** 2).sum(axis=2)
    near = y[np.argsort(away, axis=1)[:, :5]].mean(axis=1)
    return {"chance": mean[test.site], "ridge": mean[test.site] + ridge, "kNN": mean[test.site] + near}


def commit() -> str:
    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()

    own = ("src/ecotone/data/simulated", "src/ecotone/data/day_curve.py", "benchmarks/trees_card.py")
    changed = git("status", "--porcelain", "--", *own)
    return (git("rev-parse", "--short", "HEAD") or "unknown") + ("-dirty" if changed else "")


def run(seeds: range) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    stamp = {"commit": commit(), "hardware": f"{os.cpu_count()}-core CPU"}
    for setting, (years, warming, options) in SETTINGS.items():
        for seed in seeds:
            begin = time.perf_counter()
            world = trees(seed, years=years + TEST, **options)  # pyright: ignore[reportArgumentType]
            train, test = split(world, years, warming)
            fit = Fit(train, test)
            days = {
                "oracle": world.bloom(test)[1],
                "chill hours + GDD": fit.chill_hours(),
                "thermal time, pooled": fit.thermal_time(True),
                "thermal time, per site": fit.thermal_time(False),
                **by_table(train, test),
            }
            bloomed = test.status == Status.OBSERVED
            common = {
                "bloomed": round(float(bloomed.mean()), 4),
                "limited": round(float(world.limited.mean()), 4),
                "signal": round(world.signal, 4),
                **stamp,
                "data": world.fingerprint()[:16],
            }
            for method in METHODS:
                error = np.abs(np.nan_to_num(days[method], nan=test.length - 1) - test.event)[bloomed]
                row = {"setting": setting, "seed": seed, "method": method, "metric": "mae"}
                rows.append({**row, "value": round(float(error.mean()), 4), **common})
            print(f"{setting}, seed {seed}: {time.perf_counter() - begin:.1f} s", flush=True)
    return rows


def table(rows: list[dict[str, object]]) -> str:
    """The card as Markdown: mean absolute error in days over seeds, with half of its 95 % bootstrap interval."""
    lines = [
        "| setting | " + " | ".join(METHODS) + " | chill limits | signal, days | test seasons that bloom |",
        "|" + "---|" * (len(METHODS) + 4),
    ]
    for setting in SETTINGS:
        mine = [r for r in rows if r["setting"] == setting]
        cells = []
        for method in METHODS:
            interval = bootstrap(np.array([r["value"] for r in mine if r["method"] == method], dtype=float))
            cells.append(f"{interval.estimate:.2f} ± {(interval.high - interval.low) / 2:.2f}")
        shares = [
            np.array([r[name] for r in mine if r["method"] == "oracle"], dtype=float)
            for name in ("limited", "signal", "bloomed")
        ]
        cells += [f"{shares[0].mean():.0%}", f"{shares[1].mean():.2f}", f"{shares[2].mean():.1%}"]
        lines.append(f"| {setting} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--look", action="store_true", help="print the table, write nothing")
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help="how many worlds per setting")
    given = parser.parse_args()
    rows = run(range(given.seeds))
    print(table(rows))
    if given.look:
        return
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(RESULTS, text.getvalue())


if __name__ == "__main__":
    main()
