"""The benchmarks by name, resolved when first used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any


@dataclass(frozen=True)
class BenchEntry:
    """Where a benchmark lives, and what it does in one line."""

    module: str
    summary: str


@dataclass(frozen=True)
class BenchResult:
    """What a benchmark gives.

    Attributes:
        rows: One object per measurement, for --json.
        lines: What is printed.
    """

    rows: Sequence[dict[str, Any]]
    lines: Sequence[str]


BENCHES: dict[str, BenchEntry] = {
    "nceas": BenchEntry("ecotone.bench.nceas", "species maps against the NCEAS surveys, beside peers"),
    "archipelago": BenchEntry(
        "ecotone.bench.archipelago", "simulated islands under growing effort bias, against the known truth"
    ),
    "maxent": BenchEntry(
        "ecotone.bench.maxent", "Maxent of all species of a region at once, against elapid one by one"
    ),
    "maps": BenchEntry(
        "ecotone.bench.maps",
        "maps of large grids: pixels per second beside elapid, and a continent within a memory budget",
    ),
    "recovery": BenchEntry(
        "ecotone.bench.recovery", "simulated trees: is the true chill response found, is it said where it cannot be"
    ),
    "cherry": BenchEntry("ecotone.bench.cherry", "cherry bloom days on years and stations held out, model by model"),
    "phenology": BenchEntry(
        "ecotone.bench.phenology_races",
        "how fast bloom models are fitted, beside plain loops, pyPhenology and the paper",
    ),
    "part_speed": BenchEntry(
        "ecotone.bench.part_speed",
        "part models at published sizes: the head, dropped patches and stored features, beside plain ways",
    ),
    "speed": BenchEntry(
        "ecotone.bench.speed", "stacked training against a plain loop, at equal mathematics and end to end"
    ),
    "streaming": BenchEntry(
        "ecotone.bench.streaming", "training from disk: memory at 100,000 to 5,000,000 sites, and speed beside arrays"
    ),
}


def bench(name: str) -> Any:
    """The module of a benchmark: `Options`, and `run(options, progress=...)` that gives a `BenchResult`."""
    return import_module(BENCHES[name].module)
