"""Kills trainings from a store with SIGKILL and runs each again until it is done. Usage: stream_kills.py FOLDER SEED [COUNT ...].

Started once with everything imported; each training is a forked child. Prints JSON: folder -> number of kills. COUNTs
are how often each training is killed; tests do with few, by hand try `stream_kills.py FOLDER 7 3 2 4`.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from scipy import sparse

from ecotone.data.site_store import SiteStore
from ecotone.systems.deepmaxent import streaming
from ecotone.systems.deepmaxent.estimator import DeepMaxent

torch.set_num_threads(1)
__import__("lightning_fabric")
OPTIONS = {"epochs": 3, "width": 8, "blocks": 1, "members": 2, "batch_size": 40, "min_steps": 0, "dropout": 0.3,
           "background": "mixture", "normaliser": "memory"}  # fmt: skip
Plan, Task = streaming.Plan, streaming.StreamTask
original = Task.batch
streaming.Plan = lambda **k: Plan(**k, checkpoint_every_steps=4, checkpoint_every_s=None)


def make(folder: Path) -> None:
    rng = np.random.default_rng(0)
    y = sparse.csr_array(rng.poisson(0.4, (350, 5)).astype(np.float32))
    SiteStore.from_arrays(folder / "store", rng.normal(size=(350, 3)), y, background=rng.normal(size=(60, 3)))


def train(folder: Path, name: str, kill_at: int | None = None) -> None:
    """27 steps, 9 an epoch."""

    def batch(self, at):
        if at.step == kill_at:
            time.sleep(0.03)  # let the steps before it be done: batches are made ahead
            os.kill(os.getpid(), signal.SIGKILL)
        return original(self, at)

    Task.batch = batch
    model = DeepMaxent(**OPTIONS).fit_store(folder / "store", folder=folder / name)
    np.savez(
        folder / f"{name}.npz", *[p.detach().numpy() for p in model.network_.parameters()], model.calibration_.max_tss
    )


def child(*arguments) -> bool:
    """True when it was killed."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            train(*arguments)
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(pid, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        raise SystemExit("a training failed")
    return os.WIFSIGNALED(status)


def main(folder: Path, seed: int, counts: Sequence[int]) -> None:
    rng = random.Random(seed)
    make(folder)
    child(folder, "whole")
    kills = {}
    for k, count in enumerate(counts):
        at = sorted(rng.sample(range(1, 27), count))
        kills[f"killed-{k}"] = sum(child(folder, f"killed-{k}", step) for step in at)
        child(folder, f"killed-{k}")
    sys.stdout.write(json.dumps(kills))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), [int(count) for count in sys.argv[3:]] or [3, 2])
