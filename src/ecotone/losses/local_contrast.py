"""Contrast of places within an image: a place is told from all others of its image across two views of it.

Makes patch features that say where on the object they are, which class labels alone do not: with them a transformer keeps its
class evidence in a few tokens and lets the others become alike. In the spirit of dense contrastive learning (Wang et al. 2021,
arXiv 2011.09157), with negatives from the same image only.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize


def local_contrast(one: Tensor, other: Tensor, valid: Tensor, temperature: float = 0.1) -> Tensor:
    """Cross-entropy of finding each place of the first view among the places of the second.

    Args:
        one: (B, D, H, W) features of a view.
        other: (B, D, H, W) features of a second view, moved back onto the first (`ecotone.nn.affine.unwarp`).
        valid: (B, 1, H, W) whether a place lies in both views; others are neither asked for nor candidates.
        temperature: Divisor of the cosines.

    Returns:
        Scalar; about log of the number of valid places when the features tell nothing.
    """
    query = normalize(one.flatten(2), dim=1).transpose(1, 2)
    key = normalize(other.flatten(2), dim=1)
    seen = valid.flatten(1)
    scores = (query @ key / temperature).masked_fill(~seen[:, None], -1e4)
    target = torch.arange(scores.shape[1], device=scores.device).expand(scores.shape[0], -1)
    loss = cross_entropy(scores.flatten(0, 1), target.flatten(), reduction="none").view_as(target)
    weight = seen.to(loss.dtype)
    return (loss * weight).sum() / weight.sum().clamp_min(1)
