"""Low-rank adaptation: a frozen linear layer learns a small product of two matrices on top of its weights.

Source: Hu et al. 2021 (arXiv 2106.09685).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from ecotone.nn.vit import VisionTransformer


class LoRALinear(nn.Module):
    """W x + b + scale B A x, with W and b frozen; equals the layer it replaces until trained.

    Args:
        layer: The layer to adapt.
        rank: Rows of A.
        alpha: The product is scaled by alpha / rank.
    """

    def __init__(self, layer: nn.Linear, rank: int, alpha: float | None = None) -> None:
        super().__init__()
        self.layer = layer.requires_grad_(False)
        self.scale = (alpha if alpha is not None else rank) / rank
        like = layer.weight
        self.a = nn.Parameter(torch.empty(rank, layer.in_features, dtype=like.dtype))
        self.b = nn.Parameter(torch.zeros(layer.out_features, rank, dtype=like.dtype))
        nn.init.kaiming_uniform_(self.a, a=math.sqrt(5))

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        return self.layer(x) + self.scale * linear(linear(x, self.a), self.b)

    def merged(self) -> nn.Linear:
        """A plain layer that computes the same."""
        made = nn.Linear(self.layer.in_features, self.layer.out_features, bias=self.layer.bias is not None)
        with torch.no_grad():
            made.to(self.layer.weight.dtype)
            made.weight.copy_(self.layer.weight + self.scale * self.b @ self.a)
            if self.layer.bias is not None:
                made.bias.copy_(self.layer.bias)
        return made


def add_lora(model: VisionTransformer, rank: int, alpha: float | None = None) -> list[nn.Parameter]:
    """Freezes a transformer and adapts query, key, value and output projections of every block.

    Returns:
        The parameters that learn.
    """
    model.requires_grad_(False)
    found: list[nn.Parameter] = []
    for block in model.blocks:
        attention = block.get_submodule("attention")
        for name in ("qkv", "out"):
            adapted = LoRALinear(getattr(attention, name), rank, alpha)
            setattr(attention, name, adapted)
            found += [adapted.a, adapted.b]
    return found


def merge_lora(model: VisionTransformer) -> None:
    """Puts what was learned into plain layers, so that the model stores and runs as before."""
    for block in model.blocks:
        attention = block.get_submodule("attention")
        for name in ("qkv", "out"):
            layer = getattr(attention, name)
            if isinstance(layer, LoRALinear):
                setattr(attention, name, layer.merged())
