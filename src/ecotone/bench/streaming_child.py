"""One measurement of `ecotone bench streaming` in a process of its own: `python -m ecotone.bench.streaming_child JOB`."""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ecotone.bench.streaming import Options
from ecotone.data.features import FeatureMap
from ecotone.data.site_store import SiteStore
from ecotone.files.atomic import write_json
from ecotone.files.bounded import read_json
from ecotone.systems.deepmaxent.config import Config
from ecotone.systems.deepmaxent.engine import Member, Sites, StackTask
from ecotone.systems.deepmaxent.recipe import Recipe
from ecotone.systems.deepmaxent.store_fit import SAMPLE, calibrate
from ecotone.systems.deepmaxent.streaming import StreamTask
from ecotone.train.loop import fit
from ecotone.train.task import Plan, Position, Task

CPU = torch.device("cpu")
READY = 20


class Some(Task):
    """Some consecutive steps of a task, timed; the batches are those of whole passes."""

    def __init__(self, task: Recipe, first: int, steps: int) -> None:
        self.task, self.module, self.first, self.steps = task, task.module, first, steps
        self.ends: list[float] = []

    def optimizer(self) -> torch.optim.Optimizer:
        """That of the task."""
        return self.task.optimizer()

    def steps_per_epoch(self) -> int:
        """The steps asked for."""
        return self.steps

    def batch(self, at: Position) -> Any:
        """The batch of a step of whole passes."""
        step = self.first + at.step
        epoch, within = divmod(step, self.task.steps_per_epoch())
        return self.task.batch(Position(epoch, within, step, seed=at.seed))

    def loss(self, module: nn.Module, batch: Any) -> dict[str, Tensor]:
        """That of the task."""
        return self.task.loss(module, batch)

    def after_step(self, step: int) -> None:
        """Notes the time."""
        self.ends.append(time.perf_counter())


class Ready(Some):
    """The same steps on batches that were made before: what a step costs without any reading."""

    def __init__(self, task: Recipe, first: int, steps: int) -> None:
        super().__init__(task, first, steps)
        places = [Position(0, k, k) for k in range(min(READY, task.steps_per_epoch()))]
        self.ready = [task.batch(at) for at in places]

    def batch(self, at: Position) -> Any:
        """One of a few."""
        return self.ready[at.step % len(self.ready)]


def resident() -> dict[str, float]:
    """Resident memory of this process now and at its peak, in MB."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {name: int(lines[key].split()[0]) / 1024 for name, key in (("now", "VmRSS"), ("peak", "VmHWM"))}


def seconds_per_step(
    task: Recipe, first: int, steps: int, warm_up: int, workers: int, kind: type[Some] = Some
) -> float:
    """Trains some steps through the training loop; seconds per step after the warm-up."""
    some = kind(task, first, warm_up + steps)
    fit(some, Plan(epochs=1, workers=workers, progress=False))
    return (some.ends[-1] - some.ends[warm_up - 1]) / steps


def material(store: SiteStore, options: Options) -> tuple[FeatureMap, Config, list[Member]]:
    """What both tasks share."""
    sample = store.sample(SAMPLE)
    features = FeatureMap.fit(sample.covariates, store.covariates, kinds=("linear", "quantile"))
    given = {
        "batch_size": options.batch_size,
        "width": options.width,
        "schedule": "constant",
        "background": "target_group",
    }
    return features, Config.parse(given), [Member(seed=k) for k in range(options.members)]


def memory(store: SiteStore, options: Options) -> dict[str, Any]:
    """Resident memory before, while and after training from the store."""
    before = resident()["now"]
    features, config, members = material(store, options)
    task = StreamTask(store, features, members, config, CPU)
    seconds_per_step(task, 0, 2, options.warm_up, 1)
    warm = resident()
    seconds_per_step(task, 0, options.steps, options.warm_up, 1)
    trained = resident()
    found = {"imports_mb": before, "warm_mb": warm["now"], "peak_mb": trained["peak"], "after_mb": trained["now"]}
    if options.calibrate:
        part = store.sample(SAMPLE)
        sites = Sites(features.transform(part.covariates), part.counts, np.zeros(len(part.rows)),
                      np.empty((0, len(features.names)), np.float32), np.zeros(0))  # fmt: skip
        calibrate(store, features, task.network, sites, part.rows, 0.0)
        found["peak_with_calibration_mb"] = resident()["peak"]
    return {name: round(value, 1) for name, value in found.items()}


def speed(store: SiteStore, options: Options) -> dict[str, Any]:
    """Steps per second from the store, from arrays in memory, and from batches made before, in alternating blocks."""
    features, config, members = material(store, options)
    streamed = StreamTask(store, features, members, config, CPU)
    n = store.n_sites
    x = np.empty((n, len(features.names)), np.float32)
    done = 0
    for part in store.chunks():
        x[done : done + len(part.rows)] = features.transform(part.covariates)
        done += len(part.rows)
    counts = store.take(np.arange(n)).counts
    sites = Sites(x, counts, np.zeros(n), np.empty((0, x.shape[1]), np.float32), np.zeros(0))
    held = StackTask(sites, members, config, CPU)
    times: dict[str, list[float]] = {"stream": [], "arrays": [], "ready": []}
    block = max(options.steps // options.rounds, 2)
    for k in range(options.rounds):
        first = k * (block + 5)
        times["stream"].append(seconds_per_step(streamed, first, block, 5, 1))
        times["arrays"].append(seconds_per_step(held, first, block, 5, 0))
        times["ready"].append(seconds_per_step(streamed, first, block, 5, 0, Ready))
    found = {f"{name}_steps_per_s": round(1 / statistics.median(values), 2) for name, values in times.items()}
    for other in ("arrays", "ready"):  # rounds are compared one by one, since other programs slow some of them
        ratios = [b / a for a, b in zip(times["stream"], times[other], strict=True)]
        found |= {f"stream_to_{other}": round(statistics.median(ratios), 3)}
        found |= {f"stream_to_{other}_low": round(min(ratios), 3), f"stream_to_{other}_high": round(max(ratios), 3)}
    return found | {"arrays_peak_mb": round(resident()["peak"], 1)}


def main(job: Path) -> None:
    """Measures and leaves the answer."""
    spec = read_json(job, job.stat().st_size)
    options = Options.parse(spec["options"])
    torch.set_num_threads(options.threads)
    with SiteStore(spec["store"]) as store:
        write_json(spec["answer"], (memory if spec["part"] == "memory" else speed)(store, options))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
