"""A small task with every source of trouble: dropout, noise in the batch, a schedule, a moving average, a buffer."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from ecotone.train.task import Plan, Position, Task

ROWS, BATCH = 45, 8


class TinyTask(Task):
    """Regression on 45 rows; 6 steps an epoch, the last one of 5 rows."""

    def __init__(self, *, dropout: float = 0.3, noise: float = 0.1, drop_last: bool = False) -> None:
        rng = np.random.default_rng(5)
        self.x = torch.from_numpy(rng.normal(size=(ROWS, 4)).astype(np.float32))
        self.y = self.x @ torch.tensor([[1.0], [-2.0], [0.5], [0.0]]) + 0.3
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(11)
            self.module = nn.Sequential(
                nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(dropout), nn.Linear(8, 1)
            )
        if not dropout:
            self.module[1] = nn.Identity()
        self.noise, self.drop_last = noise, drop_last
        self.average = torch.zeros(1, 8)
        self.at_step = lambda step: None
        self.poison: int | None = None

    def optimizer(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.module.parameters(), lr=0.02)

    def learning_rate(self, step: int) -> float:
        return 0.02 / (1 + step / 50)

    def steps_per_epoch(self) -> int:
        return ROWS // BATCH if self.drop_last else -(-ROWS // BATCH)

    def batch(self, at: Position) -> tuple[torch.Tensor, torch.Tensor]:
        self.at_step(at.step)
        rows = torch.from_numpy(at.indices(ROWS, BATCH, drop_last=self.drop_last))
        jitter = at.rng().normal(scale=self.noise, size=(len(rows), 4)).astype(np.float32)
        target = self.y[rows] * (float("nan") if at.step == self.poison else 1.0)
        return self.x[rows] + torch.from_numpy(jitter), target

    def loss(self, module: nn.Module, batch: tuple[torch.Tensor, torch.Tensor]) -> dict[str, torch.Tensor]:
        error = module(batch[0]) - batch[1]
        return {"loss": error.square().mean(), "absolute": error.abs().mean()}

    def after_step(self, step: int) -> None:
        self.average = 0.9 * self.average + 0.1 * self.module[4].weight.detach()

    def validate(self) -> dict[str, float]:
        with torch.no_grad():
            return {"r2": 1.0 - float((self.module(self.x) - self.y).square().mean() / self.y.var())}

    def state(self) -> dict[str, torch.Tensor]:
        return {"average": self.average}

    def load_state(self, state: dict[str, torch.Tensor]) -> None:
        self.average = state["average"]


def tiny_plan(**options: object) -> Plan:
    given = {"epochs": 5, "seed": 3, "progress": False, "log_every_steps": 4, "checkpoint_every_steps": 5}
    return Plan.parse(given | {"checkpoint_every_s": None} | options)
