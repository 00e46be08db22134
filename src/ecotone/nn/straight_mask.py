"""From part scores to a binary mask of what a second stage may see, with a gradient through the threshold.

Source: iFAM (arXiv 2506.08915). There the surrogate whose gradient is used does not belong to the decision that is made, and a
cast cuts it off altogether; here both compare the strongest part with the background, and a test holds the gradient to differ
from 0. Letters: B images, K parts, H W grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class Mask(NamedTuple):
    """What may be seen.

    Attributes:
        gate: (B, H, W) 1 where a patch may be seen and 0 elsewhere, with the gradient of `soft`.
        soft: (B, H, W) probability of a part against the background.
        part: (B, H, W) strongest part of each patch, K for background.
    """

    gate: Tensor
    soft: Tensor
    part: Tensor

    @property
    def keep(self) -> Tensor:
        """(B, H, W) bool."""
        return self.gate > 0.5


def foreground_mask(
    scores: Tensor,
    *,
    noise: Tensor | None = None,
    tau: float = 1.0,
    drop: Tensor | None = None,
    remove: Sequence[int] = (),
    thresholds: Tensor | None = None,
) -> Mask:
    """A patch is seen where its strongest part exceeds the background.

    Args:
        scores: (B, K + 1, H, W) of `part_scores`, background last.
        noise: The noise that the part maps of this step were made with; one draw serves both.
        tau: Temperature.
        drop: (B, K) bool, parts left out of a training step; another part may take their patches.
        remove: Parts (from 0) whose patches become background at test time.
        thresholds: (K,) lowest score a part must have; below it, it is out of the question.
    """
    if thresholds is not None:
        low = scores[:, :-1] < thresholds[:, None, None]
        scores = torch.cat([scores[:, :-1].masked_fill(low, -torch.inf), scores[:, -1:]], 1)
    logits = (scores if noise is None else scores + noise) / tau
    front, back = logits[:, :-1], logits[:, -1]
    if drop is not None:
        front = front.masked_fill(drop[:, :, None, None], -torch.inf)
    strongest, part = front.max(1)
    if remove:
        gone = torch.isin(part, torch.tensor(sorted(remove), device=part.device))
        strongest = strongest.masked_fill(gone, -torch.inf)
    soft = torch.sigmoid(strongest - back)
    hard = (strongest > back).to(soft.dtype)
    gate = hard + (soft - soft.detach())
    return Mask(gate, soft, torch.where(hard > 0.5, part, front.shape[1]))


def part_thresholds(scores: Tensor, quantile: float) -> Tensor:
    """(K,) score below which a part's patches are among its least certain ones in training.

    Args:
        scores: (N, K + 1, H, W) of training images.
        quantile: Share of each part's patches that lies below.

    Returns:
        The quantile of each part's scores over patches that are its own; minus infinity for a part that has none.
    """
    part = scores.argmax(1)
    found = torch.full((scores.shape[1] - 1,), -torch.inf, dtype=scores.dtype)
    for k in range(len(found)):
        own = scores[:, k][part == k]
        if own.numel():
            found[k] = float(np.quantile(own.detach().cpu().numpy(), quantile))  # torch's stops at 16 million values
    return found


def area_budget(soft: Tensor, share: float) -> Tensor:
    """How far the mean share of selected patches exceeds a budget, squared; 0 below it.

    Args:
        soft: (B, H, W) of `Mask.soft`.
        share: Largest share that costs nothing.
    """
    return (soft.mean((1, 2)) - share).clamp_min(0).square().mean()
