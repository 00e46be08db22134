"""Our thermal-time fit beside pyPhenology's differential evolution on its aspen data, and grid search beside plain loops.

    ECOTONE_DATA=... python benchmarks/pyphenology_race.py --peer-python /path/to/python [FILE.csv]

The other Python has pyPhenology 0.7.1 (pip install pyPhenology 'setuptools<81'). It reads the data it ships, which are the
files of ECOTONE_DATA/phenology, and times its fit inside its own process, imports left out; each seed is timed next to ours,
on one thread. Its defaults are kept ("practical": population 50 per parameter). As its thermal time counts the whole mean of
days that reach the threshold, not the degrees above it, ours fits that response too ("above") beside true degree days ("gdd").
Ratios are of processor seconds ("ratio"), wall seconds, and wall seconds with the making of arrays from tables.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
from pathlib import Path

from ecotone.bench.phenology_speed import PHASES, aspen, grid_rows, thermal_row
from ecotone.bench.record import write_rows

PEER = """
import json, sys, time, warnings
warnings.simplefilter("ignore")
import numpy as np
from pyPhenology import models, utils
from pyPhenology.models import utils as inside
phase, seed = sys.argv[1], int(sys.argv[2])
obs, temp = utils.load_test_data("aspen", phase)
np.random.seed(seed)
model, search, spent = models.ThermalTime(), inside.optimize.fit_parameters, []
def timed(*args, **kwargs):
    wall, cpu = time.perf_counter(), time.process_time()
    found = search(*args, **kwargs)
    spent.extend([time.perf_counter() - wall, time.process_time() - cpu])
    return found
inside.optimize.fit_parameters = timed
start = time.perf_counter()
model.fit(obs, temp)
whole = time.perf_counter() - start
days = model.predict()
found = {k: float(v) for k, v in model.get_params().items()}
print(json.dumps({"seconds": spent[0], "cpu_seconds": spent[1], "seconds_with_tables": whole, "n": len(days),
    "rmse": float(np.sqrt(np.mean((days - model.obs_fitting) ** 2))),
    "start_doy": found["t1"], "base": found["T"], "requirement": found["F"]}))
"""


def peer_row(python: str, phase: str, seed: int) -> dict[str, object]:
    alone = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run([python, "-c", PEER, phase, str(seed)], capture_output=True, text=True, check=True, env=alone)
    return {"race": "thermal time", "side": "pyPhenology 0.7.1, DE", **json.loads(done.stdout.splitlines()[-1])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer-python", required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("file", nargs="?", default="benchmarks/results/phenology_race.csv")
    given = parser.parse_args()
    observations, temperature = aspen(Path(os.environ["ECOTONE_DATA"]) / "phenology")
    rows: list[dict[str, object]] = []
    for phase, code in PHASES.items():
        mine = observations[observations["phenophase"] == code]
        for seed in range(given.seeds):
            peer = peer_row(given.peer_python, phase, seed)
            rows.append({**peer, "data": f"aspen {phase}", "seed": seed})
            for kind in ("above", "gdd"):
                row = thermal_row(mine, temperature, kind)
                ratio = {"ratio": float(peer["cpu_seconds"]) / row["cpu_seconds"]}  # type: ignore[arg-type]
                ratio["ratio_wall"] = float(peer["seconds"]) / row["seconds"]  # type: ignore[arg-type]
                ratio["ratio_with_tables"] = float(peer["seconds_with_tables"]) / row["seconds_with_tables"]  # type: ignore[arg-type]
                rows.append({**row, **ratio, "data": f"aspen {phase}", "seed": seed})
            for row in rows[-3:]:
                print({k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()})
    rows += grid_rows()
    for row in rows[-3:]:
        print(row)
    write_rows(rows, Path(given.file))


if __name__ == "__main__":
    main()
