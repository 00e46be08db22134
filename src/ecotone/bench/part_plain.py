"""Part maps and part pooling as published code writes them: what the part head is held against in tests and races.

Distances are summed up from expanded copies, and pooling goes through a (B, D, K + 1, H, W) tensor. Letters: B images, D width,
K parts, H W grid.
"""

from __future__ import annotations

from torch import Tensor


def plain_maps(features: Tensor, prototypes: Tensor, noise: Tensor | None = None) -> Tensor:
    """(B, D, H, W) features, (K + 1, D) prototypes -> (B, K + 1, H, W) softmax of minus squared distances."""
    batch, _, height, width = features.shape
    parts = len(prototypes)
    dots = (features.flatten(2).transpose(1, 2) @ prototypes.T).transpose(1, 2).reshape(batch, parts, height, width)
    squares = features.square().sum(1, keepdim=True).expand(batch, parts, height, width).contiguous()
    lengths = prototypes.square().sum(1)[None, :, None, None].expand(batch, parts, height, width).contiguous()
    scores = -(squares - 2 * dots + lengths)
    return (scores if noise is None else scores + noise).softmax(1)


def plain_pool(maps: Tensor, features: Tensor) -> Tensor:
    """(B, K + 1, D) means of the features weighted by each map, over all places."""
    weighted = maps[:, None] * features[:, :, None]
    return weighted.mean((-2, -1)).transpose(1, 2)
