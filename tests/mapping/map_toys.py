"""Toy systems that can be sent to other processes, and `python map_toys.py JSON`: a map made in a process of its own.

The JSON holds the arguments of `make_map` under "map", the rasters under "rasters", the system under "system", and
"kill_after": finished windows after which the process kills itself.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

from ecotone.abilities import CovariateSpec, MapProduct


class Sum:
    """Weighted sum of all covariates, and whether it is positive."""

    name = "sum"

    def __init__(self, names=("a", "b"), sleep_s=0.0, die_once="", die=False, bands=1, warn=False):
        self.names, self.sleep_s, self.die_once, self.die, self.bands = tuple(names), sleep_s, die_once, die, bands
        self.warn = warn

    def map_covariates(self):
        return tuple(CovariateSpec(n) for n in self.names)

    def training_covariates(self):
        raise NotImplementedError

    def map_products(self, **ask):
        main = MapProduct(tuple(f"s{i}" for i in range(self.bands)))
        return (main, MapProduct(("class",), "class", "uint8", 255, "1", {0: "low", 1: "high"}))

    def window(self, covariates, **ask):
        in_worker = __import__("multiprocessing").parent_process() is not None
        if in_worker and (self.die or (self.die_once and not Path(self.die_once).exists())):
            if self.die_once:
                Path(self.die_once).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if self.warn:
            import warnings

            from ecotone.errors import EcotoneWarning

            warnings.warn(EcotoneWarning("DA402", "x", "odd category", "check"), stacklevel=2)
        time.sleep(self.sleep_s)
        total = covariates @ np.arange(1.0, covariates.shape[1] + 1)
        many = total[:, None] * np.arange(1, self.bands + 1)
        return many.astype(np.float32), (total > 0).astype(np.uint8)[:, None]


class Grouped(Sum):
    """The same in groups of bands, for a system whose answers for all bands at once would be too large."""

    def window(self, covariates, **ask):
        return self.window_group(covariates, slice(0, self.bands), **ask)

    def window_group(self, covariates, bands, **ask):
        total = covariates @ np.arange(1.0, covariates.shape[1] + 1)
        heavy = np.ones((len(total), bands.stop - bands.start, 8))  # what a deep network would hold
        many = total[:, None] * np.arange(bands.start + 1, bands.stop + 1) * heavy[..., 0]
        return many.astype(np.float32), (total > 0).astype(np.uint8)[:, None]


def main(text: str) -> None:
    from ecotone.data.rasters import RasterStack
    from ecotone.errors import EcotoneError
    from ecotone.mapping import memory
    from ecotone.mapping.windows import make_map

    given = json.loads(text)
    stack = RasterStack.open(given["rasters"], allow_vrt=given.get("allow_vrt", False))
    kind = {"sum": Sum, "grouped": Grouped}[given.get("kind", "sum")]
    system = kind(names=stack.names, **given.get("system", {}))
    count = [0]

    def told(done, total):
        count[0] += 1
        print(f"done {done} {total}", flush=True)
        if count[0] == given.get("kill_after"):
            os.kill(os.getpid(), signal.SIGKILL)

    def plan(plan):
        print(f"memory {plan.memory}", f"done {plan.done}", *plan.lines(), sep="\n", flush=True)

    try:
        make_map(system, stack, progress=told, tell=plan, **given["map"])
    except EcotoneError as error:
        print(f"error[{error.code}] {error}", flush=True)
        sys.exit(error.exit_status)
    # not ru_maxrss, which a process inherits from the one that started it
    print(f"peak {memory.peak()}", flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    main(sys.argv[1])
