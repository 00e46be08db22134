"""A batch whose sites are shared out over several processes, with one normaliser over all of them.

Each process holds some sites of the batch. The softmax over sites must still run over the whole batch: with a normaliser
of its own, each process would train with a smaller batch, whose loss is another one. Two sums therefore cross the
processes, per species the largest exponent and the scaled sum.

Every function answers as if the process held the whole batch, and its gradient is that of this process's sites times
the number of processes: data-parallel training averages gradients, so the average is the gradient of the whole.

Letters: ... leading dimensions (members), B sites of this process, S species.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Shared:
    """How a batch is shared out.

    Attributes:
        world: Number of processes.
        sites: Sites of the batch, over all processes.
    """

    world: int
    sites: int

    def total(self, values: Tensor) -> Tensor:
        """Sum over processes."""
        return _Total.apply(values, self.world)

    def partition(self, log_intensity: Tensor, log_weight: Tensor | None = None) -> Tensor:
        """(..., S) log of the weighted sum of the intensity over the sites of all processes."""
        if log_weight is not None:
            log_intensity = log_intensity + log_weight.unsqueeze(-1)
        return _Partition.apply(log_intensity, self.world)

    def mean(self, loss: Tensor, sites: int) -> Tensor:
        """A loss that is a mean over this process's sites -> that over the whole batch.

        Args:
            loss: Scalar; of no meaning without sites.
            sites: Sites of this process.
        """
        own = loss * (sites / self.sites) if sites else loss.new_zeros(())
        return self.total(own)


def all_sum(values: Tensor) -> Tensor:
    """Sum over processes, without gradient."""
    values = values.detach().clone()
    torch.distributed.all_reduce(values)
    return values


def largest(values: Tensor) -> Tensor:
    """Largest over processes, without gradient."""
    values = values.detach().clone()
    torch.distributed.all_reduce(values, torch.distributed.ReduceOp.MAX)
    return values


def highest(log_intensity: Tensor) -> Tensor:
    """(..., S) the largest exponent over the sites of all processes; 0 where all are -inf."""
    if log_intensity.shape[-2]:
        own = log_intensity.detach().amax(-2)
    else:
        own = log_intensity.new_full((*log_intensity.shape[:-2], log_intensity.shape[-1]), -torch.inf)
    top = largest(own)
    return torch.where(torch.isneginf(top), 0.0, top)


class _Total(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, world: int) -> Tensor:
        ctx.world = world
        return all_sum(values)

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor, None]:
        return outputs[0] * ctx.world, None


class _Partition(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, f: Tensor, world: int) -> Tensor:
        top = highest(f)
        log_z = all_sum(torch.exp(f - top.unsqueeze(-2)).sum(-2)).log() + top
        ctx.save_for_backward(f, log_z)
        ctx.world = world
        return log_z

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor, None]:
        f, log_z = ctx.saved_tensors
        finite = torch.where(torch.isneginf(log_z), 0.0, log_z)  # a species without any weight: q = 0
        q = torch.exp(f - finite.unsqueeze(-2))
        return q * (outputs[0] * ctx.world).unsqueeze(-2), None
