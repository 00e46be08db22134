"""`ecotone bench streaming`: does memory stay the same when sites grow, and what does reading from disk cost?

Simulated sparse records are packed chunk by chunk. For each number of sites a process of its own trains some steps from
the store and tells its largest resident memory; another alternates blocks of steps from the store, from arrays in memory
(whose labels of a batch are made dense), and from batches made before (no reading at all), so that all see the same
machine.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field
from scipy import sparse

from ecotone.bench.registry import BenchResult
from ecotone.contract import Options as Base
from ecotone.data.site_store import SiteStore
from ecotone.errors import InterruptedRunError
from ecotone.files.atomic import write_json
from ecotone.files.bounded import read_json
from ecotone.files.progress import progress as show_progress

Array = np.ndarray
CHUNK = 50_000
MEMORY_PER_SITE = 1200  # bytes: more than training from arrays with 16 covariates takes; beyond this it is not tried


class Options(Base):
    """Options of the benchmark.

    Attributes:
        sites: Numbers of sites.
        species: Species.
        covariates: Covariates per site.
        records: Records per site, on average.
        steps: Steps that are measured.
        warm_up: Steps before them.
        rounds: Blocks of steps from disk, from memory and from batches made before, alternating; the median counts.
        batch_size: Sites per step.
        members: Networks.
        width: Units per hidden layer.
        threads: Threads of torch; one more reads ahead.
        speed: Also time the steps beside those from memory, where the arrays fit.
        calibrate: Also measure the memory of calibration and thresholds after training.
        seed: Of the simulated records.
        folder: Where the stores are made (and removed again); a temporary folder by default.
    """

    sites: tuple[int, ...] = (100_000, 1_000_000, 5_000_000)
    species: int = Field(default=5000, ge=2)
    covariates: int = Field(default=16, ge=1)
    records: float = Field(default=3.0, gt=0)
    steps: int = Field(default=200, ge=2)
    warm_up: int = Field(default=20, ge=1)
    rounds: int = Field(default=5, ge=1)
    batch_size: int = Field(default=250, ge=1)
    members: int = Field(default=1, ge=1)
    width: int = Field(default=128, ge=1)
    threads: int = Field(default=1, ge=1)
    speed: bool = True
    calibrate: bool = True
    seed: int = Field(default=0, ge=0)
    folder: str | None = None


def run(options: Options, *, progress: bool = True) -> BenchResult:
    """All sizes."""
    rows: list[dict[str, Any]] = []
    per_size = 3 if options.speed else 2
    with (
        tempfile.TemporaryDirectory(prefix="ecotone-", dir=options.folder) as name,
        show_progress(per_size * len(options.sites), "streaming", enabled=progress) as bar,
    ):
        for n in options.sites:
            folder = Path(name) / f"sites-{n}"
            store = simulate(folder, n, options)
            size = sum(p.stat().st_size for p in folder.iterdir())
            row = {"sites": n, "entries": store.n_entries, "species": options.species, "store_mb": round(size / 1e6, 1)}
            store.close()
            bar.advance()
            row |= _child("memory", folder, options)
            bar.advance()
            if options.speed and n * MEMORY_PER_SITE < _free_memory():
                row |= _child("speed", folder, options)
            if options.speed:
                bar.advance()
            kept = ("steps", "batch_size", "members", "width", "threads", "seed")
            rows.append(row | {key: getattr(options, key) for key in kept})
            for path in folder.iterdir():
                path.unlink()
    return BenchResult(rows, [*map(_line, rows), *_summary(rows)])


def simulate(folder: Path, n: int, options: Options) -> SiteStore:
    """Sites with smooth covariates and species of very unequal abundance, each with an optimum along one covariate.

    Args:
        folder: The store to make.
        n: Sites.
        options: Sizes and seed; a chunk depends on seed and place alone.
    """
    rng = np.random.default_rng([options.seed, 1])
    p, s = options.covariates, options.species
    abundance = np.cumsum(1.0 / np.arange(1, s + 1) ** 0.7)
    abundance /= abundance[-1]
    axis, optimum = rng.integers(0, p, s), rng.normal(size=s)
    drawn = int(np.ceil(options.records * 2.2))  # about every second one survives the niche
    with SiteStore.writer(folder, [f"bio{k + 1}" for k in range(p)], s) as writer:
        for start in range(0, n, CHUNK):
            rng = np.random.default_rng([options.seed, 2, start])
            size = min(CHUNK, n - start)
            x = rng.normal(size=(size, p)).astype(np.float32)
            row = np.repeat(np.arange(size), drawn)
            kind = np.minimum(np.searchsorted(abundance, rng.random(len(row))), s - 1)
            kept = rng.random(len(row)) < np.exp(-0.5 * (x[row, axis[kind]] - optimum[kind]) ** 2)
            counts = (np.ones(int(kept.sum()), np.float32), (row[kept], kind[kept]))
            writer.append(x, sparse.csr_array(counts, shape=(size, s)))
    return SiteStore(folder)


def _child(part: str, folder: Path, options: Options) -> dict[str, Any]:
    """What a process of its own measured."""
    with tempfile.TemporaryDirectory(prefix="ecotone-") as name:
        job, answer = Path(name) / "job.json", Path(name) / "answer.json"
        write_json(job, {"part": part, "store": str(folder), "answer": str(answer), "options": options.model_dump()})
        path = os.pathsep.join([str(Path(__file__).resolve().parents[2]), os.environ.get("PYTHONPATH", "")])
        clean = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": str(options.threads)}
        command = [sys.executable, "-m", "ecotone.bench.streaming_child", str(job)]
        done = subprocess.run(command, env=clean, check=False, capture_output=True, text=True)
        if done.returncode or not answer.exists():
            last = " ".join(done.stderr.strip().splitlines()[-1:]) or f"status {done.returncode}"
            raise InterruptedRunError("ST101", f"measuring {part}", last[:300], "run the benchmark again")
        return read_json(answer, 1 << 16)


def _free_memory() -> float:
    """Bytes of memory that are free, or infinity where the system does not tell."""
    path = Path("/proc/meminfo")
    if not path.exists():
        return float("inf")
    lines = dict(line.split(":", 1) for line in path.read_text(encoding="ascii").splitlines() if ":" in line)
    return float(lines["MemAvailable"].split()[0]) * 1024


def _summary(rows: list[dict[str, Any]]) -> list[str]:
    if len(rows) < 2:
        return []
    first, last = (min(rows, key=lambda r: r["sites"]), max(rows, key=lambda r: r["sites"]))
    growth = 100 * (last["peak_mb"] / first["peak_mb"] - 1)
    return [f"peak memory grows by {growth:.1f} % from {first['sites']:,} to {last['sites']:,} sites"]


def _line(row: dict[str, Any]) -> str:
    return "  ".join(f"{key} {value}" for key, value in row.items())
