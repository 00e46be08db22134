"""What a system hands to the loop (`Task`), how the loop runs it (`Plan`), and where a step stands (`Position`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from ecotone.contract import Options
from ecotone.train.noise import step_seed
from ecotone.train.order import batch_indices


@dataclass(frozen=True, slots=True)
class Position:
    """One step of one process; everything a batch may depend on.

    Attributes:
        epoch: Epoch, counted from 0.
        step_in_epoch: Step within the epoch, counted from 0.
        step: Step over the whole run, counted from 0.
        rank: This process.
        world: Number of processes.
        seed: Seed of the run.
    """

    epoch: int
    step_in_epoch: int
    step: int
    rank: int = 0
    world: int = 1
    seed: int = 0

    def indices(self, n: int, batch_size: int, *, drop_last: bool = False) -> np.ndarray:
        """(b,) rows of this step, see `ecotone.train.order.batch_indices`; `batch_size` counts all processes."""
        return batch_indices(
            self.seed, self.epoch, self.step_in_epoch, n, batch_size, self.rank, self.world, drop_last=drop_last
        )

    def rng(self) -> np.random.Generator:
        """A generator of this step's own, for augmentation and negatives drawn inside `Task.batch`."""
        return np.random.Generator(np.random.Philox(step_seed(self.seed, self.step, self.rank, "batch")))


class Task:
    """A thing to learn. Subclasses set `module` and write the first four methods; the others have defaults.

    Attributes:
        module: The network. `fit` moves it to the device, trains it in place, and leaves it with the last weights.
    """

    module: nn.Module

    def optimizer(self) -> torch.optim.Optimizer:
        """A new optimiser over the parameters of `module`, which is already on its device."""
        raise NotImplementedError

    def steps_per_epoch(self) -> int:
        """Steps of one epoch, the same for all epochs and processes."""
        raise NotImplementedError

    def batch(self, at: Position) -> Any:
        """The data of one step: a pure function of `at`, which may run in a background thread.

        Draw random numbers from `at.rng()`, never from a global generator.
        """
        raise NotImplementedError

    def loss(self, module: nn.Module, batch: Any) -> dict[str, Tensor]:
        """Named scalar terms; "loss" is minimised, all are logged.

        Args:
            module: `self.module` as wrapped for the device; call it, not `self.module`, or gradients are not shared.
            batch: What `batch` gave, on the device.
        """
        raise NotImplementedError

    def learning_rate(self, step: int) -> float | None:
        """Learning rate of a step, as a pure function of it; None leaves the optimiser's own.

        A parameter group with a key "lr_scale" gets the rate times that.
        """
        return None

    def after_step(self, step: int) -> None:
        """Runs after the weights changed: moving averages, projections."""

    def validate(self) -> dict[str, float]:
        """Scores after an epoch, with `module` in evaluation mode and gradients off; {} for none.

        Runs on every process; the first one's answer counts.
        """
        return {}

    def state(self) -> dict[str, Any]:
        """What a checkpoint must hold beyond module and optimiser: tensors, numbers, text, nested dicts and lists."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Takes back what `state` gave."""


class Plan(Options):
    """How to run a `Task`.

    Attributes:
        epochs: Epochs to run.
        seed: Seed of data order and noise.
        checkpoint_every_s: Seconds between checkpoints; None for no clock.
        checkpoint_every_steps: Steps between checkpoints, on top of the clock.
        keep: Checkpoints kept besides the best.
        accelerator: Lightning Fabric's word: "cpu", "cuda", "mps", "auto".
        devices: Devices per node: a number or "auto".
        nodes: Nodes; all must see the run folder.
        strategy: Lightning Fabric's word: "auto", "ddp", "ddp_find_unused_parameters_true".
        precision: Lightning Fabric's word: "32-true", "bf16-mixed", "16-mixed", "64-true".
        workers: Background threads that prepare batches; never changes the result.
        progress: Whether to show progress.
        label: Word in front of the progress bar.
        fingerprint: Settings and input hashes that must not change between start and resume.
        allow_change: Names of settings that may differ on resume all the same.
        log_every_steps: Steps averaged into one row of metrics.csv.
        finite_every_steps: Steps between looks at the finiteness watch on accelerators; on the CPU every step is seen.
        clip_grad_norm: Largest gradient norm, or None.
        validate_every_epochs: Epochs between validations; the last epoch is always validated.
        monitor: The score that decides what is best; "" for the first one.
        larger_is_better: Direction of `monitor`.
        deterministic: Asks torch for deterministic algorithms (on accelerators, at some cost).
    """

    epochs: int = Field(ge=0)
    seed: int = Field(default=0, ge=0, lt=2**63)
    checkpoint_every_s: float | None = Field(default=30.0, gt=0)
    checkpoint_every_steps: int | None = Field(default=None, ge=1)
    keep: int = Field(default=2, ge=1)
    accelerator: str = "cpu"
    devices: int | Literal["auto"] = 1
    nodes: int = Field(default=1, ge=1)
    strategy: str = "auto"
    precision: str = "32-true"
    workers: int = Field(default=0, ge=0)
    progress: bool = True
    label: str = "training"
    fingerprint: str | Mapping[str, Any] = ""
    allow_change: tuple[str, ...] = ()
    log_every_steps: int = Field(default=50, ge=1)
    finite_every_steps: int = Field(default=50, ge=1)
    clip_grad_norm: float | None = Field(default=None, gt=0)
    validate_every_epochs: int = Field(default=1, ge=1)
    monitor: str = ""
    larger_is_better: bool = True
    deterministic: bool = False
