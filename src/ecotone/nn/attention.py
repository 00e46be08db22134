"""Self-attention in which keys can be hidden, or weighted by a gate that a gradient can pass.

Letters: B images, N tokens, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

_STEEPEST = 30.0


class Attention(nn.Module):
    """Multi-head self-attention.

    Args:
        width: D.
        heads: Number of heads.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, visible: Tensor | None = None, gate: Tensor | None = None) -> Tensor:
        """Attends.

        Args:
            x: (B, N, D).
            visible: (B, N) bool, which tokens are keys; None for all.
            gate: (B, N) factor of each key's weight, see `gated_attention`; `visible` is then not needed.
        """
        batch, count, width = x.shape
        q, k, v = self.qkv(x).view(batch, count, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        if gate is not None:
            mixed = gated_attention(q, k, v, gate)
        else:
            mask = None if visible is None else visible[:, None, None]
            mixed = scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.out(mixed.transpose(1, 2).reshape(batch, count, width))


def gated_attention(q: Tensor, k: Tensor, v: Tensor, gate: Tensor) -> Tensor:
    """Attention with weights g_j exp(s_ij) / sum_k g_k exp(s_ik).

    With gates of 0 and 1 this equals hiding the keys with gate 0, and yet the derivative by a gate of 0 exists: it says how
    the output would change were the key let in. Exponents of hidden keys are cut at 30 above the largest visible one, where
    only that derivative is concerned.

    Args:
        q: (B, heads, N, d) queries.
        k: (B, heads, N, d) keys.
        v: (B, heads, N, d) values.
        gate: (B, N), at least one above 0 in each row.
    """
    factor = gate[:, None, None]
    scores = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5
    top = scores.detach().masked_fill(factor <= 0, -torch.inf).amax(-1, keepdim=True)
    weights = (scores - top).clamp_max(_STEEPEST).exp() * factor
    return (weights / weights.sum(-1, keepdim=True)) @ v
