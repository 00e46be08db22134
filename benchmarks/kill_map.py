"""Kills a map with SIGKILL at random moments and starts it again until it is done; compares with a clean run.

    python benchmarks/kill_map.py --kills 20 --seed 0 --csv benchmarks/results/kill_map.csv

Counts windows lost (in no journal at the end), windows done twice (journaled again after they were journaled), files
whose bytes differ from those of a clean run, and remains beside the output. Moments are drawn over the whole of a clean
run, start and packing of the files included; after five kills a map is left to end, and the next begins.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import from_origin

from ecotone.abilities import CovariateSpec, MapProduct
from ecotone.data.rasters import RasterStack

WINDOW, BANDS, PER_MAP = 60, 3, 5


class Waves:
    """A cheap model whose answer at a pixel is hard to get right by chance."""

    name = "waves"

    def map_covariates(self):
        return tuple(CovariateSpec(f"c{i}") for i in range(3))

    def training_covariates(self):
        raise NotImplementedError

    def map_products(self, **ask):
        return MapProduct(tuple(f"wave {i}" for i in range(BANDS))), MapProduct(("side",), "side", "uint8", 255)

    def window(self, covariates, **ask):
        total = np.sin(covariates @ np.array([3.0, 5.0, 7.0]))
        return np.outer(total, np.arange(1, BANDS + 1)).astype(np.float32), (total > 0).astype(np.uint8)[:, None]


def write_rasters(folder: Path, seed: int, size: int) -> list[Path]:
    """Three rasters with holes."""
    rng, paths = np.random.default_rng(seed), []
    for i in range(3):
        values = rng.normal(size=(size, size)).astype(np.float32)
        values[rng.random((size, size)) < 0.1] = -9999
        paths.append(folder / f"c{i}.tif")
        with rasterio.open(
            paths[-1], "w", driver="GTiff", height=size, width=size, count=1, dtype="float32", crs="EPSG:4326",
            transform=from_origin(0, 10, 0.001, 0.001), nodata=-9999, tiled=True, blockxsize=256, blockysize=256,
        ) as out:  # fmt: skip
            out.write(values, 1)
    return paths


def one_map(folder: Path, out: Path) -> None:
    """The child: the map, and the journal kept as it was before it is removed."""
    from ecotone.mapping import windows

    publish = windows.publish

    def keep(work: Path, files):
        kept = out.with_suffix(".journal")
        kept.write_bytes((work / "journal.txt").read_bytes())
        return publish(work, files)

    windows.publish = keep
    rasters = RasterStack.open(sorted(folder.glob("c*.tif")))
    windows.make_map(
        Waves(), rasters, out, window=WINDOW, tags={"ECOTONE_MODEL": "waves"}, progress=False, memory="1GB"
    )


def start(folder: Path, out: Path) -> subprocess.Popen:
    """The child, running."""
    words = [sys.executable, "-W", "ignore", __file__, "--child", str(folder), str(out)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finished_windows(out: Path) -> set[int]:
    """Windows in the journal of an unfinished map."""
    from ecotone.mapping.journal import Journal

    return set(Journal(out.with_name(f".{out.name}.work") / "journal.txt").done)


def kill_matrix(folder: Path, kills: int, seed: int, size: int) -> dict[str, object]:
    """Kills, restarts, counts."""
    from ecotone.mapping.journal import Journal

    rng = random.Random(seed)
    write_rasters(folder, seed, size)
    clean, out = folder / "clean.tif", folder / "map.tif"
    began = time.perf_counter()
    child = start(folder, clean)
    said, _ = child.communicate()
    whole_s = time.perf_counter() - began
    if child.returncode:
        raise SystemExit(f"the clean run failed: {said}")
    windows = (-(-size // WINDOW)) ** 2
    killed = rounds = shrunk = twice = lost = differ = remains = resumed = 0
    while killed < kills:
        rounds += 1
        for path in folder.glob("map.*"):
            path.unlink()
        before: set[int] = set()
        here = 0
        while True:
            child = start(folder, out)
            if killed < kills and here < PER_MAP:
                time.sleep(rng.uniform(0.0, 1.0) * whole_s)
                child.send_signal(signal.SIGKILL)
            child.communicate()
            if child.returncode == 0:
                break
            if child.returncode != -signal.SIGKILL:
                raise SystemExit("a run failed by itself")
            killed += 1
            here += 1
            now = finished_windows(out)
            resumed += bool(now)
            # a work folder that was removed because the map is published is no loss
            shrunk += len(before - now) if now or not out.exists() else 0
            before = now
        journal = Journal(out.with_suffix(".journal"))
        lost += windows - len(journal.done)
        twice += len(journal.again)
        for suffix in (".tif", ".side.tif"):
            one, other = clean.with_suffix(suffix), out.with_suffix(suffix)
            differ += one.read_bytes() != other.read_bytes()
        remains += len(list(folder.glob(".map*")))
    return {
        "kills": killed, "seed": seed, "size": size, "maps": rounds, "windows": windows, "kills_with_windows_done": resumed,
        "windows_lost": lost + shrunk, "windows_twice": twice, "files_that_differ": differ, "remains": remains,
        "clean_run_s": round(whole_s, 2),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description="Kills a map at random moments and counts what is lost.")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", type=int, default=900, help="rows and columns of the map")
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--child", nargs=2)
    given = parser.parse_args()
    if given.child:
        one_map(*map(Path, given.child))
        return
    with tempfile.TemporaryDirectory(prefix="ecotone-kill-") as folder:
        row = kill_matrix(Path(folder), given.kills, given.seed, given.size)
    print(json.dumps(row))
    if given.csv:
        from ecotone.bench.record import write_rows

        write_rows([row], given.csv)
    bad = row["windows_lost"], row["windows_twice"], row["files_that_differ"], row["remains"]
    sys.exit(any(bad))


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
