"""What tests of image systems share: options of a model that learns in a second, and plain rewrites of its network."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import gelu

from ecotone.nn.vit import VisionTransformer

SMALL: dict[str, Any] = {
    "encoder": "vit_test", "pretrain_epochs": 1, "epochs": 2, "parts": 3, "batch_size": 16, "twins": 1,
}  # fmt: skip


def plain_transformer(net: VisionTransformer, images: Tensor, keep: Tensor) -> list[Tensor]:
    """Prefix and kept patches of each image, computed alone, attention written out."""
    rows = []
    for one, kept in zip(images, keep.flatten(1), strict=True):
        tokens = torch.cat([net.prefix[0], net.embed(one[None])[0][kept]])
        for block in net.blocks:
            h = block.norm1(tokens)
            q, k, v = block.attention.qkv(h).chunk(3, -1)
            heads, size = block.attention.heads, h.shape[1] // block.attention.heads
            mixed = torch.zeros_like(h)
            for a in range(heads):
                part = slice(a * size, (a + 1) * size)
                scores = q[:, part] @ k[:, part].T / math.sqrt(size)
                mixed[:, part] = scores.softmax(-1) @ v[:, part]
            tokens = tokens + block.attention.out(mixed)
            tokens = tokens + block.down(gelu(block.up(block.norm2(tokens))))
        rows.append(net.norm(tokens))
    return rows


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
