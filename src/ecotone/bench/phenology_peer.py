"""pyPhenology beside our thermal-time fit, on the aspen data it ships.

The peer lives in a Python of its own (pip install pyPhenology 'setuptools<81') and is called as a process; it times its fit
inside, imports left out. Its defaults are kept ("practical": population 50 per parameter). Its thermal time counts the whole
mean of days that reach the threshold, not the degrees above it, so ours fits that response ("above") beside true degree days
("gdd"): equal models compare by "above".
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from ecotone.bench.phenology_speed import PHASES, aspen, thermal_row
from ecotone.errors import MissingDependencyError

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


def peer_row(python: str, phase: str, seed: int) -> dict[str, Any]:
    """One fit of pyPhenology: seconds of its search, of the whole fit, RMSE and parameters.

    Args:
        python: The other Python.
        phase: A key of `PHASES`.
        seed: Of its differential evolution.

    Raises:
        MissingDependencyError: MD101 when that Python does not run pyPhenology.
    """
    alone = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [python, "-c", PEER, phase, str(seed)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=alone)
    except (OSError, subprocess.CalledProcessError) as error:
        said = (getattr(error, "stderr", "") or str(error)).strip().splitlines()[-1:]
        fix = "make an environment with pip install pyPhenology 'setuptools<81'"
        raise MissingDependencyError("MD101", python, f"cannot run pyPhenology {' '.join(said)}", fix) from error
    return {"race": "thermal time", "side": "pyPhenology 0.7.1, DE", **json.loads(done.stdout.splitlines()[-1])}


def thermal_rows(folder: Path, python: str, seeds: int = 3) -> list[dict[str, Any]]:
    """Rows of both sides in turn, per phenophase and seed.

    Ratios are of processor seconds ("ratio"), of wall seconds, and of wall seconds with the making of arrays from tables.

    Args:
        folder: Holds aspen_obs.csv and aspen_temperature.csv.gz.
        python: The Python that has pyPhenology.
        seeds: Fits of the peer per phenophase.
    """
    observations, temperature = aspen(folder)
    rows: list[dict[str, Any]] = []
    for phase, code in PHASES.items():
        mine = observations[observations["phenophase"] == code]
        for seed in range(seeds):
            peer = {**peer_row(python, phase, seed), "data": f"aspen {phase}", "seed": seed}
            rows.append(peer)
            for kind in ("above", "gdd"):
                row = {**thermal_row(mine, temperature, kind), "data": f"aspen {phase}", "seed": seed}
                row["ratio"] = peer["cpu_seconds"] / row["cpu_seconds"]
                row["ratio_wall"] = peer["seconds"] / row["seconds"]
                row["ratio_with_tables"] = peer["seconds_with_tables"] / row["seconds_with_tables"]
                rows.append(row)
    return rows
