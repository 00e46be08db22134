"""Entropy of part maps per cell: every cell belongs to one part.

Source: PDiscoFormer (arXiv 2407.04538).
"""

from __future__ import annotations

from torch import Tensor


def pixel_entropy(maps: Tensor) -> Tensor:
    """Mean over cells of the entropy over parts, nats.

    Args:
        maps: (B, K + 1, H, W) part maps that sum to 1 over parts.

    Returns:
        Scalar between 0 and log(K + 1); the gradient stays finite at 0.
    """
    tiny = 1e-20 if maps.dtype.itemsize >= 4 else 1e-7
    return -(maps * maps.clamp_min(tiny).log()).sum(1).mean()
