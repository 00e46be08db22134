"""`ecotone` with slow training steps, a checkpoint every five, and nothing after training: for tests that stop it."""

from __future__ import annotations

import time
from functools import partial

from ecotone.cli import fit
from ecotone.cli.main import console
from ecotone.systems.deepmaxent import engine

quick = engine.StackTask.batch


def slow(task, at):
    time.sleep(0.05)
    return quick(task, at)


engine.StackTask.batch = slow
engine.Plan = partial(engine.Plan, checkpoint_every_steps=5)
fit.score_and_explain = lambda *_, **__: {}
fit._report = lambda folder: 0.0
console()
