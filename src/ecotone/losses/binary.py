"""Binary cross-entropy: independent yes or no per site and species, for comparison."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits


def binary(logits: Tensor, counts: Tensor) -> Tensor:
    """Mean over sites and species of the logistic loss for y > 0, summed over leading dimensions.

    Args:
        logits: (..., B, S) f.
        counts: (..., B, S) records; left as they are.

    Returns:
        Scalar.
    """
    present = (counts > 0).to(logits.dtype)
    return binary_cross_entropy_with_logits(logits, present, reduction="none").mean((-2, -1)).sum()
