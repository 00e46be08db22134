"""Orthogonality of part vectors: parts describe different things.

Source: PDiscoFormer (arXiv 2407.04538). The Gram matrix runs over parts; a published successor took it over feature
channels by mistake, which says nothing about parts.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize


def part_orthogonality(vectors: Tensor) -> Tensor:
    """Mean squared entry of the Gram matrix of unit part vectors minus the identity.

    Args:
        vectors: (B, K + 1, D) part vectors, background included.

    Returns:
        Scalar; 0 exactly when the vectors of each image are orthogonal, (K) / (K + 1) when all are parallel.
    """
    unit = normalize(vectors, dim=-1)
    gram = unit @ unit.transpose(1, 2)
    return (gram - torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)).square().mean()
