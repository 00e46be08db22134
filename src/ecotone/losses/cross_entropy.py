"""Cross-entropy over species: which species is it, given the site. The usual multi-class loss, for comparison."""

from __future__ import annotations

from torch import Tensor


def cross_entropy(logits: Tensor, counts: Tensor) -> Tensor:
    """Mean over sites of -sum_j y_ij log softmax_j(f_i), counts not normalised, summed over leading dimensions.

    Args:
        logits: (..., B, S) f.
        counts: (..., B, S) records y; a site without records contributes 0.

    Returns:
        Scalar.
    """
    return -(counts * logits.log_softmax(-1)).sum(-1).mean(-1).sum()
