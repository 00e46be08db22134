"""Trains several small stacks, alone or as one of two processes that `stream_children.py` starts.

As one of two, rank 0 leaves the weights as CASE.safetensors; alone (no LOCAL_RANK) they are alone-CASE.safetensors.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from scipy import sparse

from ecotone.data.features import FeatureMap
from ecotone.data.site_store import SiteStore
from ecotone.systems.deepmaxent.config import Config
from ecotone.systems.deepmaxent.engine import Member, Sites, StackTask
from ecotone.systems.deepmaxent.streaming import StreamTask
from ecotone.train.loop import fit
from ecotone.train.task import Plan

torch.set_num_threads(1)
CPU, N, S = torch.device("cpu"), 83, 7
BASE = {
    "width": 10,
    "blocks": 2,
    "epochs": 3,
    "batch_size": 21,
    "min_steps": 0,
    "background_batch": 9,
    "learning_rate": 0.01,
}
MIXED = {"share": 0.3, "species_weight": 0.5}
CASES = {  # 12 steps each; uneven batches end with one of 20 sites
    "stack": {"dropout": 0.3},
    "stack-memory": {"dropout": 0.3, "normaliser": "memory"},
    "stack-full": {"dropout": 0.3, "normaliser": "full", **MIXED},
    "stack-poisson": {"dropout": 0.0, "loss": "poisson", "share": 0.3},
    "stack-tail": {"dropout": 0.0, "even_batches": False, "batch_size": 41},  # the last batch is one site
    "stream": {"dropout": 0.3, **MIXED},
    "stream-memory": {"dropout": 0.0, "normaliser": "memory", **MIXED},
    "stream-tail": {"dropout": 0.0, "even_batches": False, "batch_size": 41},
    "naive": {"dropout": 0.0},
}


LOGGED = ("stack", "stack-poisson", "stream")


class Naive(StackTask):
    """Each process with a normaliser of its own."""

    def batch(self, at):
        batch = super().batch(at)
        batch.pop("share", None)
        return batch


def material():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N, 3)).astype(np.float32)
    y = sparse.csr_array(rng.poisson(0.5, (N, S)).astype(np.float32))
    return x, y, rng.uniform(0.3, 2, N), rng.normal(size=(30, 3)).astype(np.float32)


def task_of(name: str, folder: Path):
    x, y, weight, cells = material()
    options = dict(CASES[name])
    members = [Member(3, uniform_share=options.pop("share", 0.0)), Member(4)]
    config = Config.parse(BASE | options)
    features = FeatureMap.fit(x, ["a", "b", "c"])
    if name.startswith("stream"):
        return StreamTask(SiteStore(folder / "store"), features, members, config, CPU)
    sites = Sites(features.transform(x), y, np.log(weight), features.transform(cells), np.zeros(30))
    return (Naive if name == "naive" else StackTask)(sites, members, config, CPU)


def make_store(folder: Path) -> None:
    x, y, weight, cells = material()
    SiteStore.from_arrays(folder / "store", x, y, names=["a", "b", "c"], weight=weight, background=cells)


def main(folder: Path) -> None:
    rank = os.environ.get("LOCAL_RANK")
    for name in CASES:
        task = task_of(name, folder)
        spread = {} if rank is None else {"devices": 2, "strategy": "ddp"}
        plan = Plan.parse(
            {"epochs": task.epochs, "seed": 5, "progress": False, "workers": 1, "log_every_steps": 4} | spread
        )
        logged = folder / f"{'alone-' if rank is None else ''}run-{name}" if name in LOGGED else None
        fit(task, plan, logged)
        if rank in (None, "0"):
            save_file(task.module.state_dict(), folder / f"{'alone-' if rank is None else ''}{name}.safetensors")
