"""Difficulty card of the simulated archipelago: how hard it is for plain methods, before any method of ecotone sees it.

Run ``python benchmarks/archipelago_card.py``; it writes benchmarks/results/archipelago_card.csv and the table between
the markers of docs/explanation/archipelago.md. ``--look`` prints the table only.
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import subprocess
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "2")

import numpy as np
from scipy.spatial import KDTree
from scipy.stats import rankdata
from sklearn.linear_model import LogisticRegression

from ecotone.data.simulated.archipelago import Archipelago, archipelago
from ecotone.files.atomic import write_text
from ecotone.stats.bootstrap import bootstrap
from ecotone.stats.ranking import auc

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "archipelago_card.csv"
PAGE = ROOT / "docs" / "explanation" / "archipelago.md"
BEGIN, END = "<!-- card: begin -->", "<!-- card: end -->"

SEEDS = (0, 1, 2, 3, 4)
SETTINGS: dict[str, dict[str, object]] = {
    **{f"bias {b:g}": {"bias": b} for b in (0.0, 0.5, 1.0, 1.5, 2.0)},
    "easier, bias 1": {"bias": 1.0, "records": (20.0, 1600.0), "noise": 0.2},
    "harder, bias 1": {"bias": 1.0, "records": (2.0, 100.0), "noise": 0.8},
}
METHODS = (
    "oracle",
    "covariates only",
    "ridge, target group",
    "ridge, uniform",
    "kNN, target group",
    "kNN, uniform",
    "chance",
)
METRICS = ("spearman", "spearman_rare", "pearson", "auc")
BACKGROUND = 5000
RARE = 20.0


def simple_features(world: Archipelago) -> np.ndarray:
    """(C, 17): standardised covariates, their squares and one column per rock."""
    table = world.table()
    z = (table[:, :-1] - table[:, :-1].mean(axis=0)) / table[:, :-1].std(axis=0)
    return np.hstack((z, z**2, table[:, -1:] == np.arange(1, 6)))


def backgrounds(world: Archipelago) -> dict[str, np.ndarray]:
    """Cells a method may take as background."""
    rng = np.random.default_rng([world.seed, 77])
    n = len(world.effort)
    return {
        "uniform": rng.permutation(n)[: min(BACKGROUND, n)],
        "target group": np.flatnonzero(world.counts.sum(axis=1)),
    }


def ridge(world: Archipelago, background: np.ndarray) -> np.ndarray:
    """(C, S) log-odds of a ridge logistic regression of presence cells against background cells."""
    x = simple_features(world)
    scores = np.zeros(world.counts.shape)
    for j in range(world.counts.shape[1]):
        present = np.flatnonzero(world.counts[:, j])
        absent = np.setdiff1d(background, present)
        if present.size and absent.size:
            y = np.repeat([1, 0], [present.size, absent.size])
            model = LogisticRegression(C=1.0, solver="newton-cholesky", max_iter=50)
            scores[:, j] = model.fit(x[np.concatenate((present, absent))], y).decision_function(x)
    return scores


def nearest(world: Archipelago, background: np.ndarray, k: int = 5) -> np.ndarray:
    """(C, S) log of the distance to the k-th nearest background cell over that to the k-th nearest presence cell."""
    features = simple_features(world)
    x = np.hstack((features[:, :6], features[:, 12:]))
    scores = np.zeros(world.counts.shape)
    around = KDTree(x[background]).query(x, k=[min(20, background.size)])[0][:, -1]  # pyright: ignore[reportArgumentType]
    for j in range(world.counts.shape[1]):
        present = np.flatnonzero(world.counts[:, j])
        if present.size:
            near = KDTree(x[present]).query(x, k=[min(k, present.size)])[0][:, -1]  # pyright: ignore[reportArgumentType]
            scores[:, j] = np.log(around + 0.1) - np.log(near + 0.1)
    return scores


def column_correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(S,) Pearson correlation of columns; 0 where one is constant, as for a species without records."""
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    spread = np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
    return (a * b).sum(axis=0) / np.where(spread > 1e-12, spread, np.inf)


def judge(world: Archipelago, scores: np.ndarray) -> dict[str, float]:
    """Means over species, against the true log-intensity of all land cells and against the surveys."""
    truth = world.log_intensity
    spearman = column_correlation(rankdata(scores, axis=0), rankdata(truth, axis=0))
    rare = world.expected < RARE
    return {
        "spearman": float(spearman.mean()),
        "spearman_rare": float(spearman[rare].mean()) if rare.any() else float("nan"),
        "pearson": float(column_correlation(scores, truth).mean()),
        "auc": float(np.nanmean(auc(scores[world.surveys], world.found))),
    }


def commit() -> str:
    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()

    changed = git(
        "status",
        "--porcelain",
        "--",
        "src/ecotone/data/simulated",
        "src/ecotone/stats",
        "benchmarks/archipelago_card.py",
    )
    return (git("rev-parse", "--short", "HEAD") or "unknown") + ("-dirty" if changed else "")


def run() -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    stamp = {"commit": commit(), "hardware": f"{os.cpu_count()}-core CPU"}
    for setting, options in SETTINGS.items():
        for seed in SEEDS:
            begin = time.perf_counter()
            world = archipelago(seed, **options)  # pyright: ignore[reportArgumentType]
            ground = backgrounds(world)
            shuffled = np.random.default_rng([seed, 78]).permuted(world.log_intensity, axis=0)
            explained = world.log_intensity - world.history
            scores = {"oracle": world.log_intensity, "covariates only": explained, "chance": shuffled}
            scores |= {f"ridge, {name}": ridge(world, cells) for name, cells in ground.items()}
            scores |= {f"kNN, {name}": nearest(world, cells) for name, cells in ground.items()}
            data = world.fingerprint()[:16]
            for method in METHODS:
                for metric, value in judge(world, scores[method]).items():
                    row = {
                        "setting": setting,
                        "seed": seed,
                        "method": method,
                        "metric": metric,
                        "value": round(value, 5),
                    }
                    rows.append({**row, **stamp, "data": data})
            print(f"{setting}, seed {seed}: {time.perf_counter() - begin:.1f} s", flush=True)
    return rows


def table(rows: list[dict[str, object]]) -> str:
    """The card as Markdown: mean over seeds, and the half-width of its 95 % bootstrap interval for the main metric."""
    lines = []
    for metric in METRICS:
        lines += [f"**{metric}**", "", "| setting | " + " | ".join(METHODS) + " |", "|" + "---|" * (len(METHODS) + 1)]
        for setting in SETTINGS:
            cells = []
            for method in METHODS:
                key = (setting, method, metric)
                mine = [r["value"] for r in rows if (r["setting"], r["method"], r["metric"]) == key]
                interval = bootstrap(np.array(mine, dtype=float))
                spread = f" ± {(interval.high - interval.low) / 2:.2f}" if metric == "spearman" else ""
                cells.append(f"{interval.estimate:.3f}{spread}")
            lines.append(f"| {setting} | " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--look", action="store_true", help="print the table, write nothing")
    look = parser.parse_args().look
    rows = run()
    card = table(rows)
    print(card)
    if look:
        return
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(RESULTS, text.getvalue())
    page = PAGE.read_text(encoding="utf-8")
    head, rest = page.split(BEGIN)
    write_text(PAGE, head + BEGIN + "\n\n" + card + "\n" + END + rest.split(END)[1])


if __name__ == "__main__":
    main()
