"""`ecotone bench archipelago`: how well each method recovers the true intensity as effort bias grows.

On each simulated world every method learns from the biased records and predicts all land cells; the score of a species
is the Spearman correlation with its true log-intensity. Maxent is elapid's, one species after the other.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from pydantic import Field

from ecotone.bench.peers import maxent
from ecotone.bench.registry import BenchResult
from ecotone.contract import Options as Base
from ecotone.data.features import FeatureMap
from ecotone.data.simulated.archipelago import Archipelago, archipelago
from ecotone.explain.effort import agreement
from ecotone.files.progress import progress as show_progress
from ecotone.stats.bootstrap import bootstrap, paired_bootstrap
from ecotone.systems.deepmaxent.estimator import DeepMaxent

Array = np.ndarray
METHODS = ("deepmaxent", "deepmaxent-paper", "maxent target_group", "maxent uniform")


class Options(Base):
    """Options of the benchmark.

    Attributes:
        seeds: Worlds per strength of bias.
        first_seed: Seed of the first world.
        strengths: Strengths of effort bias.
        members: Ensemble members of DeepMaxent.
        species: Species per world.
    """

    seeds: int = Field(default=5, ge=1)
    first_seed: int = Field(default=0, ge=0)
    strengths: tuple[float, ...] = (0.0, 0.5, 1.0, 1.5, 2.0)
    members: int = Field(default=5, ge=1)
    species: int = Field(default=20, ge=2)


def run(options: Options, *, progress: bool = True) -> BenchResult:
    """Runs all worlds and methods."""
    rows: list[dict[str, Any]] = []
    with show_progress(len(options.strengths) * options.seeds, "archipelago", enabled=progress) as bar:
        for strength in options.strengths:
            for seed in range(options.first_seed, options.first_seed + options.seeds):
                rows += world_rows(archipelago(seed, bias=strength, species=options.species), options)
                bar.advance()
    return BenchResult(rows, summary(rows, options))


def world_rows(world: Archipelago, options: Options) -> list[dict[str, Any]]:
    """Rows of one world: one per method and species."""
    table = world.table()
    land = np.random.default_rng(world.seed).permutation(len(table))[:10_000]
    visited = np.flatnonzero(world.counts.sum(1) > 0)
    names = list(world.names)
    levels = {"rock": tuple(int(v) for v in np.unique(table[:, names.index("rock")]))}
    background = table[land]
    rows: list[dict[str, Any]] = []
    for method in METHODS:
        start = time.perf_counter()
        if method.startswith("deepmaxent"):
            preset = "paper" if method.endswith("paper") else "ecotone"
            model = DeepMaxent(preset=preset, members=options.members).fit(
                table[visited],
                world.counts[visited],
                background=background,
                coordinates=world.centres[visited],
                geographic=True,
                covariates=names,
                levels=levels,
            )
            predicted = model.decision_function(table)
        else:
            predicted = _maxent(world, table, names, levels, visited if method.endswith("group") else land)
        seconds = time.perf_counter() - start
        values = agreement(predicted, world.log_intensity)
        base = {"method": method, "bias": world.bias, "seed": world.seed, "data": world.fingerprint()[:12]}
        per_species = round(seconds / len(values), 4)
        records = world.counts.sum(0).astype(int)
        rows += [
            {**base, "species": name, "records": int(n), "correlation": float(v), "seconds": per_species}
            for name, n, v in zip(world.species, records, values, strict=True)
        ]
    return rows


def _maxent(
    world: Archipelago, table: Array, names: list[str], levels: dict[str, tuple[int, ...]], background: Array
) -> Array:
    """(C, S) cloglog of elapid's Maxent, one species after the other."""
    features = FeatureMap.fit(table, names, levels=levels)
    x = features.transform(table)
    predicted = np.full((len(table), len(world.species)), np.nan)
    for j in range(len(world.species)):
        own = np.flatnonzero(world.counts[:, j])
        if len(own):
            predicted[:, j] = maxent(x[own], x[background], x, 0)
    return predicted


def summary(rows: list[dict[str, Any]], options: Options) -> list[str]:
    """Correlation by bias and method, and DeepMaxent's lead, with intervals over species and worlds."""
    lines = ["Spearman correlation with the true log-intensity over all land cells, mean over species"]
    lines.append(f"{'bias':>5s}" + "".join(f"{m:>22s}" for m in METHODS))
    by: dict[tuple[float, str], Array] = {}
    for strength in options.strengths:
        for m in METHODS:
            by[strength, m] = np.array([r["correlation"] for r in rows if r["bias"] == strength and r["method"] == m])
        cells = "".join(
            f"{b.estimate:8.3f} [{b.low:.3f},{b.high:.3f}]" for b in (bootstrap(by[strength, m]) for m in METHODS)
        )
        lines.append(f"{strength:5.1f}{cells}")
    for rival in METHODS[2:]:
        lead = []
        for strength in options.strengths:
            i = paired_bootstrap(by[strength, "deepmaxent"], by[strength, rival])
            lead.append(f"{strength:g}: {i.estimate:+.3f} [{i.low:+.3f}, {i.high:+.3f}]")
        lines.append(f"lead of deepmaxent over {rival}: " + "; ".join(lead))
        first, last = options.strengths[0], options.strengths[-1]
        grown = (by[last, "deepmaxent"] - by[last, rival]) - (by[first, "deepmaxent"] - by[first, rival])
        g = bootstrap(grown)
        lines.append(
            f"  change of that lead from bias {first:g} to {last:g}: {g.estimate:+.3f} [{g.low:+.3f}, {g.high:+.3f}]"
        )
    return lines
