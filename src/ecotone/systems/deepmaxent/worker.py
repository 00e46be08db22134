"""One of several training processes: `python -m ecotone.systems.deepmaxent.worker JOB`, started by `launch.train`.

Which one it is, and where the others are, stands in the environment. It ends when the process that started it does.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np


def main(job: Path) -> int:
    """Trains; the first process leaves the weights, any leaves its error."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    rank = int(os.environ["LOCAL_RANK"])
    from ecotone.files.atomic import write_json
    from ecotone.systems.deepmaxent.launch import error_record

    try:
        _train(job, rank)
    except Exception as error:
        write_json(job / f"error-{rank}.json", error_record(error))
        return int(getattr(error, "exit_status", 1))
    return 0


def _train(job: Path, rank: int) -> None:
    import torch
    from safetensors.torch import save_file

    from ecotone.files.bounded import read_json
    from ecotone.systems.deepmaxent import engine, streaming
    from ecotone.systems.deepmaxent.config import Config
    from ecotone.systems.deepmaxent.launch import JOB, MAX_JOB, WEIGHTS
    from ecotone.systems.deepmaxent.recipe import Member
    from ecotone.train.loop import fit
    from ecotone.train.task import Plan

    spec = read_json(job / JOB, min(MAX_JOB, (job / JOB).stat().st_size))
    config, plan = Config.parse(spec["config"]), Plan.parse(spec["plan"])
    device = torch.device("cuda", rank) if plan.accelerator == "cuda" else torch.device("cpu")
    members = [
        Member(m["seed"], _array(m["rows"], np.int64), m["uniform_share"], _array(m["hidden"], np.bool_))
        for m in spec["members"]
    ]
    told: dict[str, Any] = spec["task"]
    if "store" in told:
        task: Any = streaming.restore(told, members, config, device)
    else:
        task = engine.restore(job, members, config, device)
    fit(task, plan, None if spec["folder"] is None else Path(spec["folder"]))
    if rank == 0:
        tensors = {name: tensor.detach().to("cpu").contiguous() for name, tensor in task.module.state_dict().items()}
        save_file(tensors, job / "weights.partial")
        (job / "weights.partial").replace(job / WEIGHTS)
    torch.distributed.barrier()  # the first process holds the connections: it must not leave before the others are done
    torch.distributed.destroy_process_group()


def _array(values: Any, dtype: Any) -> np.ndarray | None:
    return None if values is None else np.asarray(values, dtype=dtype)


def _end_with_parent() -> None:
    """The other end of standard input is held by the process that waits; it closes however that process ends."""
    os.read(sys.stdin.fileno(), 1)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    status = main(Path(sys.argv[1]))
    sys.stderr.flush()
    os._exit(status)  # threads of the communication library may outlive it, which would abort an ordinary ending
