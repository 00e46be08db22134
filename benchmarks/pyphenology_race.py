"""Our thermal-time fit beside pyPhenology's differential evolution on its aspen data, and grid search beside plain loops.

    ECOTONE_DATA=... OMP_NUM_THREADS=1 python benchmarks/pyphenology_race.py --peer-python /path/to/python [FILE.csv]

The other Python has pyPhenology 0.7.1; `ecotone.bench.phenology_peer` and `phenology_speed` say what is timed and how.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from ecotone.bench.phenology_peer import thermal_rows
from ecotone.bench.phenology_speed import grid_rows
from ecotone.bench.record import write_rows


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--peer-python", required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("file", nargs="?", default="benchmarks/results/phenology_race.csv")
    given = parser.parse_args()
    rows = thermal_rows(Path(os.environ["ECOTONE_DATA"]) / "phenology", given.peer_python, given.seeds) + grid_rows()
    for row in rows:
        print({k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()})
    write_rows(rows, Path(given.file))


if __name__ == "__main__":
    main()
