"""`ecotone bench phenology`: how fast bloom models are fitted, each beside its rival in one run.

Grid search per combination beside plain loops; ten seeds of the hybrid on all seasons of the cherry data in one batch beside the
published way, seed after seed with the network of whole days and 20,000 full passes (timed on a few passes and multiplied); and,
with `--peer-python`, a thermal-time fit beside pyPhenology's differential evolution on its own aspen data.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import numpy as np
from pydantic import Field

from ecotone.bench.cherry import data_folder, data_hash
from ecotone.bench.phenology_peer import thermal_rows
from ecotone.bench.phenology_speed import grid_rows
from ecotone.bench.registry import BenchResult
from ecotone.contract import Options as Base
from ecotone.data.benchmarks.cherry import read_cherry
from ecotone.data.seasons import Seasons

Array = np.ndarray
WANTED = {"grid": 200.0, "hybrid": 10.0, "thermal time": 50.0}
MOST_SECONDS = 180.0


class Options(Base):
    """Options of the benchmark.

    Attributes:
        seeds: Seeds of the hybrid.
        passes: Passes of the published recipe that are timed.
        peer_python: A Python that has pyPhenology 0.7.1; without one its race is left out.
        peer_seeds: Seeds of its differential evolution.
        folder: The folder with the tables; ECOTONE_DATA/phenology by default.
    """

    seeds: int = Field(default=10, ge=1)
    passes: int = Field(default=10, ge=1)
    peer_python: str | None = None
    peer_seeds: int = Field(default=3, ge=1)
    folder: str | None = None


def run(options: Options, *, progress: bool = True) -> BenchResult:
    """All races."""
    folder = data_folder(options.folder)
    rows = [] if options.peer_python is None else thermal_rows(folder, options.peer_python, options.peer_seeds)
    rows += grid_rows()
    rows += hybrid_rows(read_cherry(folder, qualities=None, least_seasons=1), options.seeds, options.passes)
    for row in rows:
        row["data_hash"] = "made up" if row["race"] == "grid" else data_hash(folder)
    return BenchResult(rows, summary(rows))


def hybrid_rows(seasons: Seasons, seeds: int, passes: int) -> list[dict[str, Any]]:
    """Our seeds in one batch, each with one answering network and its folds, beside the published recipe seed by seed."""
    import torch

    from ecotone.systems.phenology.hybrid.config import HybridConfig
    from ecotone.systems.phenology.hybrid.estimator import HybridPhenology

    every = [np.ones(len(seasons), dtype=bool)] * seeds
    config = HybridConfig(members=1)
    start = time.perf_counter()
    models = HybridPhenology.fit_splits(seasons, every, config)
    ours = time.perf_counter() - start
    networks = sum(1 + round(1 / config.held_out) for _ in models)
    published = published_seconds(seasons, passes)
    paper = HybridConfig(preset="paper")
    common = {"race": "hybrid", "data": f"{len(seasons)} seasons", "threads": torch.get_num_threads()}
    return [
        {
            **common,
            "side": f"ecotone, {seeds} seeds in one batch",
            "passes": config.steps,
            "networks": networks,
            "seconds": ours,
            "per_pass": ours / config.steps / networks,
        },
        {
            **common,
            "side": f"published recipe, {seeds} seeds one after another (multiplied)",
            "passes": paper.steps,
            "networks": seeds,
            "seconds": published * paper.steps * seeds,
            "per_pass": published,
            "ratio": published * paper.steps * seeds / ours,
            "ratio_per_pass": published / (ours / config.steps / networks),
        },
    ]


def published_seconds(seasons: Seasons, passes: int) -> float:
    """Median seconds of one full pass of the published recipe, one seed."""
    import torch

    from ecotone.systems.phenology.hybrid.config import HybridConfig
    from ecotone.systems.phenology.hybrid.estimator import usable_rows
    from ecotone.systems.phenology.hybrid.features import Places, features
    from ecotone.systems.phenology.hybrid.paper import Published
    from ecotone.systems.phenology.hybrid.train import losses

    config, known = HybridConfig(preset="paper"), seasons.take(usable_rows(seasons))
    places = Places.of(known)
    f = features(known, places, whole_days=True)
    core = Published(config, places)
    p = {k: v.requires_grad_() for k, v in core.initial(1, torch.Generator().manual_seed(0), f).items()}
    optimiser = torch.optim.Adam(p.values(), lr=config.learning_rate)
    took = []
    for _ in range(passes + 1):
        start = time.perf_counter()
        optimiser.zero_grad()
        losses(core, p, f, 0.0).mean().backward()
        optimiser.step()
        took.append(time.perf_counter() - start)
    return statistics.median(took[1:])


def summary(rows: list[dict[str, Any]]) -> list[str]:
    """One line per side, ratios with what is wanted of them."""
    lines = []
    for row in rows:
        seconds = f"{row['seconds']:.3g} s" if row["seconds"] < MOST_SECONDS else f"{row['seconds'] / 60:.3g} min"
        parts = [f"{row['race']:13s} {row['side']:60s} {seconds}"]
        if "rmse" in row:
            parts.append(f"RMSE {row['rmse']:.3f} d")
        if "per_second" in row:
            parts.append(f"{row['per_second']:,.0f} combinations/s")
        if row.get("ratio"):
            parts.append(f"ecotone is {row['ratio']:.3g}x as fast (wanted {WANTED[row['race']]:g}x)")
        if row.get("ratio_per_pass"):
            parts.append(f"{row['ratio_per_pass']:.3g}x per network and pass")
        lines.append(", ".join(parts))
    return lines
