"""The inner sum of the model, forward and backward in as few passes over the days as it takes.

    total = sum over days of warmth * sigmoid(slope * (chill / need - 1)),   last = its term on the day of the event

Warmth is zero after the event, so the sum ends there by itself. `released` is the plain form; `Released` computes the same
with a derivative of its own, about twice as fast, for training only (no second or forward-mode derivatives).
Letters: M members, N seasons, S days.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def released(chill: Tensor, need: Tensor, slope: Tensor, warmth: Tensor, event: Tensor) -> tuple[Tensor, Tensor]:
    """(M, N) total and last.

    Args:
        chill: (M, N, S) chill days so far.
        need: (M, N) chill requirement.
        slope: (M, 1) steepness of the release.
        warmth: (M, N, S) forcing of each day, degC d, zero after the event.
        event: (N,) day of the event.
    """
    terms = warmth * torch.sigmoid(slope[..., None] * (chill / need[..., None] - 1))
    return terms.sum(-1), terms.gather(2, event.view(1, -1, 1).expand(len(terms), -1, 1))[..., 0]


class Released(torch.autograd.Function):
    """`released` with a derivative written out."""

    @staticmethod
    def forward(ctx: Any, chill: Tensor, need: Tensor, slope: Tensor, warmth: Tensor, event: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """As `released`."""
        rate = slope / need
        release = torch.addcmul(-slope[..., None], chill, rate[..., None]).sigmoid_()
        index = event.view(1, -1, 1).expand(len(release), -1, 1)
        total = torch.einsum("mns,mns->mn", warmth, release)
        last = (warmth.gather(2, index) * release.gather(2, index))[..., 0]
        ctx.save_for_backward(chill, need, slope, warmth, release, index)
        return total, last

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        """Gradients to chill, need, slope and warmth."""
        d_total, d_last = grads
        chill, need, slope, warmth, release, index = ctx.saved_tensors
        to_warmth = release * d_total[..., None]
        to_warmth.scatter_add_(2, index, release.gather(2, index) * d_last[..., None])
        # to_warmth / release is the weight of a day's term; times warmth * release * (1 - release) it is that of its sigmoid
        inner = torch.mul(to_warmth, warmth).mul_(1 - release)
        rate = slope / need
        by_chill = torch.einsum("mns,mns->mn", inner, chill)
        plain = inner.sum(-1)
        to_need = -by_chill * rate / need
        to_slope = (by_chill / need - plain).sum(-1, keepdim=True)
        return inner.mul_(rate[..., None]), to_need, to_slope, to_warmth, None
