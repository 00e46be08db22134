"""Part maps: which prototype each place of a feature map is nearest to, and what each part looks like.

Source: PDiscoFormer (arXiv 2407.04538), sections on assignment and pooling. Letters: B images, D width, K parts besides the
background, which comes last, H W cells.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn


def part_scores(features: Tensor, prototypes: Tensor) -> Tensor:
    """How near each place is to each prototype: 2 p.z - |p|^2, which is -|z - p|^2 but for a term that all parts share.

    Args:
        features: (B, D, H, W) z.
        prototypes: (K + 1, D) p.

    Returns:
        (B, K + 1, H, W).
    """
    batch, _, height, width = features.shape
    dots = torch.matmul(2 * prototypes, features.flatten(2))
    return (dots - prototypes.square().sum(1)[:, None]).view(batch, -1, height, width)


def gumbel_like(scores: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Standard Gumbel noise of the shape of `scores`."""
    uniform = torch.rand(scores.shape, generator=generator, dtype=scores.dtype, device=scores.device)
    tiny = torch.finfo(scores.dtype).tiny
    return -(-uniform.clamp_min(tiny).log()).clamp_min(tiny).log()


def part_maps(scores: Tensor, *, tau: float = 1.0, noise: Tensor | None = None) -> Tensor:
    """Softmax over parts, with Gumbel noise where some is given (training only).

    Args:
        scores: (B, K + 1, H, W).
        tau: Temperature.
        noise: Of the same shape, from `gumbel_like`.

    Returns:
        (B, K + 1, H, W), adding up to 1 over parts.
    """
    return ((scores if noise is None else scores + noise) / tau).softmax(1)


def pool_parts(maps: Tensor, features: Tensor, normalise: Literal["area", "mass"] = "area") -> Tensor:
    """What each part looks like: the mean of the features weighted by its map.

    One matrix product; nothing of size B D K H W is made.

    Args:
        maps: (B, K + 1, H, W).
        features: (B, D, H, W).
        normalise: "area" divides by H W as the paper does, so that the length of a vector tells how large the part is; "mass" by
            the sum of the map.

    Returns:
        (B, K + 1, D).
    """
    flat = maps.flatten(2)
    pooled = flat @ features.flatten(2).transpose(1, 2)
    if normalise == "area":
        return pooled / flat.shape[2]
    return pooled / flat.sum(2, keepdim=True).clamp_min(1e-6)


class PartModulation(nn.Module):
    """Rescales part vectors before the classifier that all parts share.

    Args:
        parts: K + 1.
        width: D.
        kind: "layernorm" over parts and features jointly, one mean and variance per image (PDiscoFormer); "scale", a learned
            factor per part and feature (PDiscoNet); "none".
    """

    def __init__(self, parts: int, width: int, kind: Literal["layernorm", "scale", "none"] = "layernorm") -> None:
        super().__init__()
        self.kind = kind
        if kind == "layernorm":
            self.norm = nn.LayerNorm([parts, width])
        elif kind == "scale":
            self.weight = nn.Parameter(torch.ones(parts, width))

    def forward(self, vectors: Tensor) -> Tensor:
        """(B, K + 1, D) -> (B, K + 1, D)."""
        if self.kind == "layernorm":
            return self.norm(vectors)
        return vectors * self.weight if self.kind == "scale" else vectors
