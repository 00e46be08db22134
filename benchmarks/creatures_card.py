"""Difficulty card of the simulated creatures: how hard they are for plain methods, before any method of ecotone sees them.

Run ``python benchmarks/creatures_card.py``; it writes benchmarks/results/creatures_card.csv and prints the table. ``--look``
prints the table only. Each setting is learned from 1500 training images and judged on 600 test images of the same world:

- class: accuracy over 12 classes on unbiased ground;
- worst group: accuracy of the worst of four groups (kind x place) on unbiased test images, when the kind is learned from images
  of which 95 % stand on the ground of their kind;
  "unbiased" methods learn the kind from as many images on unbiased ground, which shows that it can be seen;
- parts: agreement of part maps on a 12 x 12 grid with the true parts at visible keypoints and at all pixels (NMI, ARI).

The oracle is told the true masks; the plain methods are kNN and ridge on colour histograms, and k-means of patch colours.
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import subprocess
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression, RidgeClassifierCV
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ecotone.data.simulated.creature_shapes import PARTS
from ecotone.data.simulated.creatures import Creatures, CreatureWorld
from ecotone.files.atomic import write_text
from ecotone.files.fingerprint import cache_key

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "creatures_card.csv"
SEEDS = range(3)
TRAIN, TEST, GRID = 1500, 600, 12
SETTINGS: dict[str, dict[str, Any]] = {
    "standard": {},
    "easier": {"pairs": 1, "overlap": 0.25, "distractors": 0, "spread": 0.015, "odd": 0.02},
    "harder": {"pairs": 3, "overlap": 1.0, "distractors": 5, "spread": 0.04, "heading": 180.0},
    "one piece": {"pairs": 0},
}


def histogram(images: np.ndarray) -> np.ndarray:
    """(N, F) joint histogram of red, green and blue in six steps each, and mean colours on a 4 x 4 grid."""
    n, _, size, _ = images.shape
    steps = np.minimum(images // 43, 5).astype(np.int64)
    index = (steps[:, 0] * 6 + steps[:, 1]) * 6 + steps[:, 2]
    counts = np.stack([np.bincount(row.ravel(), minlength=216) for row in index]) / size**2
    coarse = images.reshape(n, 3, 4, size // 4, 4, size // 4).mean((3, 5)).reshape(n, -1) / 255
    return np.concatenate([np.sqrt(counts), coarse], axis=1)


def true_colours(world: Creatures) -> np.ndarray:
    """(N, 3 K) mean colour of each true part."""
    flat = world.images.reshape(len(world.images), 3, -1).astype(np.float64) / 255
    labels = world.parts.reshape(len(world.images), -1)
    found = []
    for k in range(1, len(PARTS) + 1):
        mask = labels == k
        found.append((flat * mask[:, None]).sum(2) / np.maximum(mask.sum(1), 1)[:, None])
    return np.concatenate(found, axis=1)


def patches(images: np.ndarray) -> np.ndarray:
    """(N, grid, grid, 6) mean and standard deviation of the colours of each patch."""
    n, _, size, _ = images.shape
    cut = images.reshape(n, 3, GRID, size // GRID, GRID, size // GRID) / 255
    return np.concatenate([cut.mean((3, 5)), cut.std((3, 5))], axis=1).transpose(0, 2, 3, 1)


def true_grid(parts: np.ndarray) -> np.ndarray:
    """(N, grid, grid) the commonest label of each patch."""
    n, size, _ = parts.shape
    cut = parts.reshape(n, GRID, size // GRID, GRID, size // GRID)
    shares = np.stack([(cut == k).mean((2, 4)) for k in range(len(PARTS) + 1)])
    shares[0] *= 0.75  # a patch that is a third limb counts as limb: thin parts would not exist otherwise
    return shares.argmax(0)


def agreement(grid: np.ndarray, test: Creatures, world: CreatureWorld) -> dict[str, float]:
    """NMI and ARI at visible keypoints and at all pixels."""
    step = world.size // GRID
    pixels = grid.repeat(step, 1).repeat(step, 2)
    row, col = np.nonzero(test.visible)
    at = test.points[row, col].astype(int)
    truth, found = world.keypoint_part[col], pixels[row, at[:, 1], at[:, 0]]
    everywhere = test.parts[:, 2::4, 2::4].ravel(), pixels[:, 2::4, 2::4].ravel()
    return {
        "keypoint nmi": normalized_mutual_info_score(truth, found),
        "keypoint ari": adjusted_rand_score(truth, found),
        "pixel nmi": normalized_mutual_info_score(*everywhere),
        "pixel ari": adjusted_rand_score(*everywhere),
    }


def worst(correct: np.ndarray, group: np.ndarray) -> float:
    return float(min(correct[group == g].mean() for g in range(4)))


def classifiers() -> dict[str, Any]:
    return {
        "kNN": make_pipeline(StandardScaler(), KNeighborsClassifier(15)),
        "ridge": make_pipeline(StandardScaler(), RidgeClassifierCV(np.logspace(-1, 4, 11))),
    }


def measure(options: dict[str, Any], seed: int) -> tuple[str, list[tuple[str, str, float]]]:
    """Hash of the test images, and (method, metric, value) of one world."""
    world = CreatureWorld(seed=seed, **options)
    test = world.draw(TEST, stream=2)
    train = world.draw(TRAIN)
    biased = world.draw(TRAIN, correlation=0.95, stream=3)
    rows = [("chance", "class", 1 / world.classes), ("chance", "worst group", 0.5)]
    oracle = make_pipeline(StandardScaler(), LogisticRegression(C=10, max_iter=2000))
    oracle.fit(true_colours(train), train.label)
    rows.append(("oracle", "class", float(np.mean(oracle.predict(true_colours(test)) == test.label))))
    oracle.fit(true_colours(biased), biased.kind)
    rows.append(("oracle", "worst group", worst(oracle.predict(true_colours(test)) == test.kind, test.group)))
    for name, model in classifiers().items():
        model.fit(histogram(train.images), train.label)
        rows.append((name, "class", float(np.mean(model.predict(histogram(test.images)) == test.label))))
        for told, images in (("", biased), (", unbiased", train)):
            model.fit(histogram(images.images), images.kind)
            found = model.predict(histogram(test.images)) == test.kind
            rows.append((f"{name}{told}", "worst group", worst(found, test.group)))
    rows += [("oracle", k, v) for k, v in agreement(true_grid(test.parts), test, world).items()]
    rng = np.random.default_rng(seed)
    shuffled = rng.integers(len(PARTS) + 1, size=(TEST, GRID, GRID))
    rows += [("chance", k, v) for k, v in agreement(shuffled, test, world).items()]
    some = patches(train.images[:300]).reshape(-1, 6)
    means = KMeans(len(PARTS) + 1, n_init=3, random_state=seed).fit(some)
    grid = means.predict(patches(test.images).reshape(-1, 6)).reshape(TEST, GRID, GRID)
    rows += [("k-means", k, v) for k, v in agreement(grid, test, world).items()]
    return cache_key(images=test.images, label=test.label), rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--look", action="store_true", help="print only")
    arguments = parser.parse_args()
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()
    rows = []
    for setting, options in SETTINGS.items():
        start = time.perf_counter()
        for seed in SEEDS:
            key, found = measure(options, seed)
            rows += [
                (setting, seed, method, metric, f"{value:.4f}", commit, f"{os.cpu_count()}-core CPU", key[:16])
                for method, metric, value in found
            ]
        print(f"{setting} ({time.perf_counter() - start:.0f} s)")
        for metric in ("class", "worst group", "keypoint nmi", "keypoint ari", "pixel nmi", "pixel ari"):
            shown: dict[str, list[float]] = {}
            for row in rows:
                if row[0] == setting and row[3] == metric:
                    shown.setdefault(row[2], []).append(float(row[4]))
            print(f"  {metric:13s}", "  ".join(f"{m} {np.mean(v):.3f}" for m, v in shown.items()))
    if arguments.look:
        return
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("setting", "seed", "method", "metric", "value", "commit", "hardware", "data"))
    writer.writerows(rows)
    write_text(RESULTS, text.getvalue())
    print(f"wrote {RESULTS.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
