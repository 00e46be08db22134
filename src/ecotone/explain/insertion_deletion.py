"""Insertion and deletion: how the answer grows as the most salient pixels are shown, and falls as they are hidden.

Source: RISE (Petsiuk et al. 2018, arXiv 1806.07421).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from ecotone.contract import Curve

Array = np.ndarray


@dataclass(frozen=True)
class InsertionDeletion:
    """Curves over the share of pixels shown or hidden.

    Attributes:
        share: (T,) 0..1.
        insertion: (T,) mean score with this share of the most salient pixels shown.
        deletion: (T,) with it hidden.
        insertion_area: Area under the curve, larger is better.
        deletion_area: Smaller is better.
    """

    share: Array
    insertion: Array
    deletion: Array
    insertion_area: float
    deletion_area: float

    def evidence(self, target: str = "") -> Curve:
        """As evidence."""
        return Curve(
            title="Insertion and deletion",
            target=target,
            x=self.share,
            y=self.insertion,
            name="shown",
            references={"hidden": self.deletion},
            x_label="share of pixels, most salient first",
            y_label="score of the class",
            x_unit="1",
            y_unit="1",
            note=f"Area under the curve: {self.insertion_area:.3f} as pixels are shown, {self.deletion_area:.3f} as they are "
            "hidden.",
        )


@torch.inference_mode()
def insertion_deletion(
    score: Callable[[Tensor], Tensor],
    images: Tensor,
    saliency: Tensor,
    *,
    steps: int = 20,
    base: Literal["blur", "mean", "zero"] = "blur",
) -> InsertionDeletion:
    """Both curves, mean over images.

    Args:
        score: Images (N, C, S, T) -> (N,) score of the class in question.
        images: (N, C, S, T).
        saliency: (N, S, T); ties are broken by position.
        steps: Intervals of the curve.
        base: What stands for a pixel that is not shown.
    """
    count = saliency[0].numel()
    rank = saliency.flatten(1).argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    hidden = _base(images, base)
    shares = np.linspace(0, 1, steps + 1)
    inserted, deleted = [], []
    for share in shares:
        front = (rank < round(share * count)).view_as(saliency)[:, None]
        inserted.append(float(score(torch.where(front, images, hidden)).mean()))
        deleted.append(float(score(torch.where(front, hidden, images)).mean()))
    one, other = np.array(inserted), np.array(deleted)
    return InsertionDeletion(shares, one, other, float(np.trapezoid(one, shares)), float(np.trapezoid(other, shares)))


def _base(images: Tensor, base: str) -> Tensor:
    if base == "zero":
        return torch.zeros_like(images)
    if base == "mean":
        return images.mean((-2, -1), keepdim=True).expand_as(images)
    window = 2 * (min(images.shape[-2:]) // 8) + 1
    return avg_pool2d(images, window, stride=1, padding=window // 2, count_include_pad=False)
