"""Concentration of part maps: each part one compact blob.

Source: PDiscoNet (Van der Klis et al. 2023), used there with weight 1000; the opponent of total variation.
"""

from __future__ import annotations

import torch
from torch import Tensor


def concentration(maps: Tensor) -> Tensor:
    """Mean of each foreground map weighted by the squared distance to its soft centroid, in units of the image's sides.

    The mass that divides the centroid carries no gradient, so a map is not made smaller to move its centroid. An empty
    map has no centroid and counts as 0.

    Args:
        maps: (B, K + 1, H, W) part maps, background last.

    Returns:
        Scalar; 0 for maps that are single cells.
    """
    front = maps[:, :-1]
    height, width = front.shape[-2:]
    y = torch.arange(height, dtype=front.dtype, device=front.device)[:, None]
    x = torch.arange(width, dtype=front.dtype, device=front.device)
    mass = front.sum((-2, -1), keepdim=True).detach()
    mass = torch.where(mass > 0, mass, torch.ones_like(mass))
    cy = (front * y).sum((-2, -1), keepdim=True) / mass
    cx = (front * x).sum((-2, -1), keepdim=True) / mass
    return (front * (((y - cy) / height) ** 2 + ((x - cx) / width) ** 2)).mean()
