"""Kills trainings with SIGKILL at many moments and runs each again until it is done.

Started once with everything imported; each training is a forked child. Usage: kill_matrix.py FOLDER SEED POINTS.
Prints JSON: folder -> number of kills.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch
from tiny_task import TinyTask, tiny_plan

from ecotone.train.loop import fit

torch.set_num_threads(1)
__import__("lightning_fabric")
WATCHED = ("/ecotone/train/checkpoint.py", "/ecotone/files/atomic.py", "/ecotone/train/metrics_log.py")


def count_events(kill_at: int | None, report: Path) -> None:
    """Counts calls (python and C) made from the files that write; kills this process at one of them."""
    seen = 0

    def profile(frame, event, argument):
        nonlocal seen
        if event in ("call", "c_call") and frame.f_code.co_filename.endswith(WATCHED):
            seen += 1
            if seen == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(profile)
    train(report.parent / report.stem)
    sys.setprofile(None)
    report.write_text(str(seen))


def train(folder: Path, kill_at_step: int | None = None) -> None:
    task = TinyTask()
    if kill_at_step is not None:
        task.at_step = lambda step: os.kill(os.getpid(), signal.SIGKILL) if step == kill_at_step else None
    fit(task, tiny_plan(), folder)


def child(work, *arguments, kill_after_s: float | None = None) -> bool:
    """Runs `work` in a fork; True when it was killed."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work(*arguments)
            status = 0
        finally:
            os._exit(status)
    if kill_after_s is not None:
        time.sleep(kill_after_s)
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        raise SystemExit("a training failed")
    return os.WIFSIGNALED(status)


def main(folder: Path, seed: int, points: int) -> None:
    rng = random.Random(seed)
    kills = {}
    child(count_events, None, folder / "whole.events")
    events = int((folder / "whole.events").read_text())
    for i in range(points):
        name = folder / f"write-{i}"
        count = 0
        while child(count_events, rng.randint(1, events) if count < 2 else None, folder / f"{name.name}.events"):
            count += 1
        kills[name.name] = count
    for i in range(3):
        name = folder / f"step-{i}"
        count = 0
        for step in sorted(rng.sample(range(30), 3)):
            count += child(train, name, step)
        child(train, name)
        kills[name.name] = count
    for i in range(3):
        name = folder / f"time-{i}"
        kills[name.name] = sum(child(train, name, kill_after_s=rng.uniform(0.02, 0.15)) for _ in range(2))
        child(train, name)
    sys.stdout.write(json.dumps(kills))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
