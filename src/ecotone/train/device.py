"""Devices and processes: the few things the loop asks of Lightning Fabric, and agreement between processes."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn

from ecotone.errors import EcotoneError, UsageError

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from ecotone.train.task import Plan

T = TypeVar("T")
_REPLICATED = ("auto", "dp", "ddp", "ddp_find_unused_parameters_true", "ddp_find_unused_parameters_false")


def launch(plan: Plan) -> Fabric:
    """Starts Fabric, and with several devices the other processes, which run the same command from its beginning.

    Raises:
        UsageError: US104 for a device, strategy or precision this machine or Fabric does not have; US105 for a strategy
            that splits the weights, which checkpoints do not cover.
    """
    if plan.strategy not in _REPLICATED:
        raise UsageError("US105", "strategy", f"{plan.strategy!r} is not supported", f"use one of {_REPLICATED}")
    from lightning_fabric import Fabric

    logger = logging.getLogger("lightning_fabric")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*srun.*")
            fabric = Fabric(
                accelerator=plan.accelerator,
                devices=plan.devices,
                num_nodes=plan.nodes,
                strategy=plan.strategy,
                precision=plan.precision,  # pyright: ignore[reportArgumentType]
            )
    except (ValueError, RuntimeError, TypeError) as error:
        what = " ".join(str(error).split())[:200]
        raise UsageError("US104", "accelerator, devices, precision", what, "choose what this machine has") from error
    else:
        fabric.launch()
        return fabric
    finally:
        logger.setLevel(level)


def prepared(
    fabric: Fabric, module: nn.Module, optimizer: torch.optim.Optimizer, precision: str
) -> tuple[nn.Module, torch.optim.Optimizer, Callable[[Tensor], Any]]:
    """Module, optimiser and backward pass as Fabric wraps them.

    On a single device in plain float32 the wrappers would do nothing but cost 50 microseconds a step; there the
    originals are given back.
    """
    from lightning_fabric.strategies.single_device import SingleDeviceStrategy

    if isinstance(fabric.strategy, SingleDeviceStrategy) and precision == "32-true":
        return module, optimizer, Tensor.backward
    wrapped, stepper = fabric.setup(module, optimizer)
    return wrapped, stepper, fabric.backward


class Processes:
    """What the processes of a run tell each other; free of cost when there is one."""

    def __init__(self, fabric: Fabric) -> None:
        self.fabric = fabric
        self.rank, self.world = fabric.global_rank, fabric.world_size
        self._group: Any = None
        if self.world > 1 and torch.distributed.get_backend() != "gloo":
            self._group = torch.distributed.new_group(backend="gloo")

    def largest(self, *values: int) -> tuple[int, ...]:
        """Element-wise maximum over the processes; on the CPU, so no accelerator waits."""
        if self.world == 1:
            return values
        message = torch.tensor(values, dtype=torch.int64)
        torch.distributed.all_reduce(message, torch.distributed.ReduceOp.MAX, group=self._group)
        return tuple(int(value) for value in message.tolist())

    def gather(self, row: Tensor) -> Tensor:
        """(N,) float64 in main memory on each process -> (world, N) on all."""
        if self.world == 1:
            return row[None]
        rows = [torch.empty_like(row) for _ in range(self.world)]
        torch.distributed.all_gather(rows, row, group=self._group)
        return torch.stack(rows)

    def first(self, work: Callable[[], T]) -> T:
        """Runs `work` on the first process and gives all its answer, or raises its error on all."""
        if self.world == 1:
            return work()
        answer: Any = None
        error: Exception | None = None
        if self.rank == 0:
            try:
                answer = work()
            except Exception as caught:
                error = caught
        told = error if error is None or isinstance(error, EcotoneError) else RuntimeError(f"first process: {error!r}")
        answer, told = self.fabric.broadcast((answer, told))
        if error is not None:
            raise error
        if told is not None:
            raise told
        return answer
