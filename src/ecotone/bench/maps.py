"""`ecotone bench maps`: pixels per second beside elapid on the same grids, and a continent within a memory budget.

1. The rasters of the dismo sloth example, repeated over a large grid, are mapped by elapid's Maxent (linear, quadratic and
   ten hinge features) and by ours: one network in float32, the same in bfloat16 and our Maxent where this version has
   them. Same grids, same machine, same run, alternating; the median of the rounds counts.
2. The same rasters as a VRT of a continent's size are mapped by `ecotone map --memory` in a process of its own, whose
   memory is watched from outside.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from ecotone.bench.registry import BenchResult
from ecotone.bench.tiling import write_tiled, write_vrt
from ecotone.contract import Options as Base
from ecotone.data.benchmarks.bradypus import Files, files
from ecotone.data.raster_open import open_raster
from ecotone.data.rasters import RasterStack
from ecotone.errors import InputError, InterruptedRunError, MissingDependencyError
from ecotone.files.fingerprint import cache_key, hash_files
from ecotone.mapping.memory import parse_size
from ecotone.mapping.windows import make_map
from ecotone.registry import create, list_systems, load

Array = np.ndarray
_COMMAND = "import sys; from ecotone.cli.main import main; sys.exit(main())"


class Options(Base):
    """Options of the benchmark.

    Attributes:
        size: Rows and columns of the race's grid.
        rounds: How often each side is timed, alternating.
        threads: Threads of torch.
        epochs: Training epochs of the network; its speed does not depend on them.
        race: Run the first part.
        continent: Rows and columns of the second part's grid; 0 leaves it out.
        memory: Its budget.
        workers: Its processes.
        seed: Of the fit.
        folder: The folder with the .grd files; ECOTONE_DATA/bradypus_dismo by default.
    """

    size: int = Field(default=2000, ge=100)
    rounds: int = Field(default=3, ge=1)
    threads: int = Field(default=1, ge=1)
    epochs: int = Field(default=20, ge=1)
    race: bool = True
    continent: int = Field(default=20_000, ge=0)
    memory: str = "1GB"
    workers: int = Field(default=1, ge=1)
    seed: int = 0
    folder: str | None = None


def run(options: Options, *, progress: bool = True) -> BenchResult:
    """Both parts."""
    import torch

    given = files(_folder(options.folder))
    paths = [given.occurrences, *(half for g in given.rasters for half in (g, g.with_suffix(".gri")))]
    data = cache_key(files=[v for _, v in sorted((Path(k).name, v) for k, v in hash_files(paths).items())])[:12]
    before = torch.get_num_threads()
    torch.set_num_threads(options.threads)
    rows, lines = [], []
    try:
        with tempfile.TemporaryDirectory(prefix="ecotone-bench-") as temporary:
            folder = Path(temporary)
            model = fit_network(given, folder / "network", options)
            if options.race:
                rows += race(given, model, folder, options)
                lines += [_race_line(row) for row in rows]
            if options.continent:
                rows.append(continent(given, model, folder, options, progress=progress))
                lines.append(_continent_line(rows[-1]))
    finally:
        torch.set_num_threads(before)
    return BenchResult([{**row, "seed": options.seed, "data": data} for row in rows], lines)


def _folder(given: str | None) -> Path:
    base = os.environ.get("ECOTONE_DATA")
    if given is None and not base:
        fix = "name the data folder, or pass --folder; see `ecotone data get bradypus`"
        raise InputError("IO101", "ECOTONE_DATA", "is not set", fix)
    return Path(given) if given is not None else Path(base or "") / "bradypus_dismo"


def fit_network(given: Files, folder: Path, options: Options) -> Path:
    """A single DeepMaxent network on the example's records, saved."""
    return _fit("deepmaxent", given, folder, members=1, epochs=options.epochs, seed=options.seed)


def _fit(name: str, given: Files, folder: Path, **config: Any) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        system = create(name, **config)
        inputs = {
            "occurrences": given.occurrences,
            "covariates": list(given.rasters),
            "categorical": list(given.categorical),
        }
        system.fit({k: v for k, v in inputs.items() if k in system.Inputs.model_fields})
        system.save(folder)
    return folder


# ------------------------------------------------------------------------------------------------ race
def race(given: Files, model: Path, folder: Path, options: Options) -> list[dict[str, Any]]:
    """One row per method; `ratio` is pixels per second over elapid's."""
    grids = write_tiled(given.rasters, folder, options.size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stack = RasterStack.open(grids, categorical=list(given.categorical))
    network = load(model)
    methods: dict[str, Callable[[Path], None]] = {"elapid maxent": _elapid(given, grids)}
    methods["deepmaxent float32"] = lambda out: _ours(network, stack, out, {})
    if "precision" in network.Ask.model_fields:
        methods["deepmaxent bfloat16"] = lambda out: _ours(network, stack, out, {"precision": "bfloat16"})
    if "maxent" in list_systems():
        config = {"features": ("linear", "quadratic", "hinge"), "hinges": 10}
        own = load(_fit("maxent", given, folder / "maxent", **config))
        methods["maxent"] = lambda out: _ours(own, stack, out, {})
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    for _ in range(options.rounds):
        for name, work in methods.items():
            start = time.perf_counter()
            work(folder / f"{name}.tif")
            seconds[name].append(time.perf_counter() - start)
    maps = {name: _values(folder / f"{name}.tif") for name in methods}
    compared = {"maxent": "elapid maxent", "deepmaxent bfloat16": "deepmaxent float32"}
    rows = []
    for name in methods:
        median = statistics.median(seconds[name])
        with_name = compared.get(name, "")
        gap = float(np.nanmax(np.abs(maps[name] - maps[with_name]))) if with_name else None
        rows.append({
            "part": "race", "method": name, "size": options.size, "covariates": len(grids), "threads": options.threads,
            "rounds": options.rounds, "seconds": round(median, 3),
            "pixels_per_s": round(options.size**2 / median), "valid_share": round(float(np.isfinite(maps[name]).mean()), 3),
            "ratio": round(statistics.median(seconds["elapid maxent"]) / median, 2),
            "compared_with": with_name, "largest_difference": gap,
        })  # fmt: skip
    return rows


def _ours(system: Any, stack: RasterStack, out: Path, ask: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        make_map(system, stack, out, ask=ask, progress=False)


def _elapid(given: Files, grids: list[Path]) -> Callable[[Path], None]:
    try:
        from elapid import MaxentModel, apply_model_to_rasters
    except ImportError:
        raise MissingDependencyError("MD101", "elapid", "is not installed", "pip install 'ecotone[bench]'") from None
    import pandas as pd

    table = pd.read_csv(given.occurrences)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stack = RasterStack.open(given.rasters, categorical=list(given.categorical))
        records = stack.sample(table["lon"].to_numpy(), table["lat"].to_numpy())
        background, _ = stack.at_cells(stack.valid_cells(10_000))
        presences = records.values[records.valid]
        model = MaxentModel(
            feature_types=["linear", "quadratic", "hinge"], n_hinge_features=10, transform="cloglog",  # pyright: ignore[reportArgumentType]
            use_sklearn=True, n_cpus=1,
        )  # fmt: skip
        x = np.concatenate([presences, background])
        y = np.concatenate([np.ones(len(presences)), np.zeros(len(background))])
        model.fit(x, y, categorical=[stack.names.index(name) for name in given.categorical])

    def work(out: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            apply_model_to_rasters(model, [str(g) for g in grids], str(out), quiet=True)

    return work


def _values(path: Path) -> Array:
    with open_raster(path) as source:
        values = source.read(1).astype(np.float64)
        nodata = source.nodata
    return np.where(values == nodata, np.nan, values) if nodata is not None else values


# ------------------------------------------------------------------------------------------------ continent
def continent(given: Files, model: Path, folder: Path, options: Options, *, progress: bool = True) -> dict[str, Any]:
    """Maps a VRT of a continent's size in a child process; memory is its own and its children's, watched from outside.

    Raises:
        InterruptedRunError: ST106 when the child fails.
    """
    made = folder / "vrt"
    made.mkdir()
    sources = [write_vrt(path, made, options.continent) for path in given.rasters]
    out = folder / "continent.tif"
    words = [
        "map",
        model,
        "--covariates",
        *sources,
        "--allow-vrt",
        "--no-extras",
        "--memory",
        options.memory,
        "--out",
        out,
    ]
    words += ["--workers", options.workers] if options.workers > 1 else []
    env = {**os.environ, "OMP_NUM_THREADS": str(options.threads)}
    start = time.perf_counter()
    child = subprocess.Popen(
        [sys.executable, "-c", _COMMAND, *map(str, words)], env=env, text=True, stdout=subprocess.PIPE,
        stderr=None if progress else subprocess.PIPE,
    )  # fmt: skip
    peak = _Watch(child.pid)
    said, errors = child.communicate()
    seconds = time.perf_counter() - start
    largest = peak.stop()
    if child.returncode != 0:
        what = f"ended with {child.returncode}: {(errors or said or '').strip()[-200:]}"
        raise InterruptedRunError("ST106", "the child process", what, "run the benchmark again")
    plan = next((line for line in (said or "").splitlines() if line.startswith("memory:")), "")
    return {
        "part": "continent", "method": "deepmaxent float32", "size": options.continent, "covariates": len(sources),
        "threads": options.threads, "workers": options.workers, "budget": parse_size(options.memory), "peak": largest,
        "within": largest <= parse_size(options.memory), "seconds": round(seconds, 1),
        "pixels_per_s": round(options.continent**2 / seconds), "bytes": out.stat().st_size, "plan": plan,
    }  # fmt: skip


class _Watch:
    """The most a process and its descendants hold together, looked at every few milliseconds, and the kernel's own peak."""

    def __init__(self, pid: int) -> None:
        self._pid, self._done, self.peak = pid, threading.Event(), 0
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def stop(self) -> int:
        """Ends the watch; the peak in bytes."""
        self._done.set()
        self._thread.join()
        return self.peak

    def _look(self) -> None:
        while not self._done.wait(0.005):
            self.peak = max(self.peak, self._held(self._pid, "VmRSS"), self._own(self._pid, "VmHWM"))

    def _held(self, pid: int, key: str) -> int:
        total = self._own(pid, key)
        with suppress(OSError, ValueError):
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
            total += sum(self._held(int(child), key) for child in children)
        return total

    @staticmethod
    def _own(pid: int, key: str) -> int:
        with suppress(OSError, ValueError, IndexError):
            for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines():
                if line.startswith(key + ":"):
                    return 1024 * int(line.split()[1])
        return 0


def _race_line(row: dict[str, Any]) -> str:
    text = f"{row['method']}: {row['pixels_per_s'] / 1e6:.2f} million pixels/s, {row['ratio']:.2f} times elapid"
    if row["compared_with"]:
        text += f"; largest difference to {row['compared_with']}: {row['largest_difference']:.2g}"
    return text


def _continent_line(row: dict[str, Any]) -> str:
    kept = "within" if row["within"] else "ABOVE"
    return (
        f"{row['size']} x {row['size']} x {row['covariates']}: {row['seconds']:.0f} s, {row['pixels_per_s'] / 1e6:.2f} million "
        f"pixels/s, at most {row['peak'] / 1e6:.0f} MB, {kept} the budget of {row['budget'] / 1e6:.0f} MB"
    )
