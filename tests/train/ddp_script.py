"""One process of a two-process training. Usage: ddp_script.py FOLDER MODE...; writes what each rank ended with."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from tiny_task import TinyTask, tiny_plan

from ecotone.errors import EcotoneError
from ecotone.train.loop import fit

torch.set_num_threads(1)


def run(folder: Path, mode: str) -> None:
    task = TinyTask(dropout=0.0, noise=0.0, drop_last=True)
    rank = int(os.environ.get("LOCAL_RANK", "0"))
    if mode == "stop" and rank == 1:
        task.at_step = lambda step: os.kill(os.getpid(), signal.SIGTERM) if step == 13 else None
    if mode == "nan" and rank == 1:
        task.poison = 6
    told = {}
    try:
        result = fit(
            task,
            tiny_plan(strategy="ddp", devices=2, finite_every_steps=5),
            folder / ("nan" if mode == "nan" else "run"),
        )
        told = {"steps": result.steps, "resumed_at": result.resumed_at, "best_step": result.best_step}
    except EcotoneError as error:
        told = {"code": error.code, "line": str(error)}
    (folder / f"{mode}-{rank}.json").write_text(json.dumps(told))
    save_file(task.module.state_dict(), folder / f"{mode}-{rank}.safetensors")


if __name__ == "__main__":
    for each in sys.argv[2:]:
        run(Path(sys.argv[1]), each)
