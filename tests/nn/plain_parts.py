"""The part head written the plain way: every difference and product spelled out, as in published code. For tests and races."""

from __future__ import annotations

import torch
from torch import Tensor


def plain_maps(features: Tensor, prototypes: Tensor, noise: Tensor | None = None) -> Tensor:
    """Softmax of minus squared distances, (B, K + 1, H, W), with expanded copies."""
    b, _, h, w = features.shape
    k = len(prototypes)
    dots = (features[:, None] * prototypes[None, :, :, None, None]).sum(2)
    squares = features.square().sum(1, keepdim=True).expand(b, k, h, w).contiguous()
    lengths = prototypes.square().sum(1)[None, :, None, None].expand(b, k, h, w).contiguous()
    scores = -(squares - 2 * dots + lengths)
    return (scores if noise is None else scores + noise).softmax(1)


def plain_pool(maps: Tensor, features: Tensor) -> Tensor:
    """(B, K + 1, D), by way of a (B, D, K + 1, H, W) tensor."""
    weighted = maps[:, None] * features[:, :, None]
    return weighted.mean((-2, -1)).transpose(1, 2)


def plain_layer_norm(vectors: Tensor, weight: Tensor, bias: Tensor, eps: float = 1e-5) -> Tensor:
    """Joint norm over parts and features of each image."""
    rows = []
    for one in vectors:
        mean = one.mean()
        spread = ((one - mean) ** 2).mean()
        rows.append((one - mean) / torch.sqrt(spread + eps) * weight + bias)
    return torch.stack(rows)


def plain_logits(modulated: Tensor, classifier: Tensor) -> Tensor:
    """Mean over foreground parts of one linear map."""
    b, k, _ = modulated.shape
    rows = []
    for n in range(b):
        parts = [classifier @ modulated[n, p] for p in range(k - 1)]
        rows.append(sum(parts[1:], parts[0]) / (k - 1))
    return torch.stack(rows)
