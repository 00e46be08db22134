"""Affine moves of images and of maps of any resolution, one per image, differentiable, with exact inverses.

A move is a (2, 3) matrix in units of half the shorter side, so that a rotation is one on images that are not square, too. It
maps a place of the moved picture to the place of the first picture that is seen there.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import grid_sample


def random_affine(
    batch: int,
    generator: torch.Generator | None = None,
    *,
    degrees: float = 90.0,
    translate: float = 0.11,
    scale: tuple[float, float] = (0.8, 1.4),
    flip: bool = False,
) -> Tensor:
    """Random rotation, shift, zoom and, where wanted, mirroring of each image.

    Args:
        batch: B.
        generator: Where the randomness comes from.
        degrees: Rotation up to this, either way.
        translate: Shift up to this share of the shorter side, in each direction.
        scale: Zoom; above 1 things look larger.
        flip: Mirror half of the images.

    Returns:
        (B, 2, 3) float32 moves.
    """
    draws = torch.rand(batch, 5, generator=generator)
    angle = (2 * draws[:, 0] - 1) * math.radians(degrees)
    size = scale[0] + (scale[1] - scale[0]) * draws[:, 1]
    shift = (2 * draws[:, 2:4] - 1) * 2 * translate
    side = torch.where(draws[:, 4] < 0.5, -1.0, 1.0) if flip else torch.ones(batch)
    cos, sin = torch.cos(angle) / size, torch.sin(angle) / size
    rows = torch.stack([cos * side, -sin, shift[:, 0]], 1), torch.stack([sin * side, cos, shift[:, 1]], 1)
    return torch.stack(rows, 1)


def inverse(moves: Tensor) -> Tensor:
    """(B, 2, 3) moves that undo (B, 2, 3) moves."""
    turn = torch.linalg.inv(moves[:, :, :2])
    return torch.cat([turn, -turn @ moves[:, :, 2:]], 2)


def warp(images: Tensor, moves: Tensor, *, padding: str = "reflection") -> Tensor:
    """Moved images, bilinear.

    Args:
        images: (B, C, H, W).
        moves: (B, 2, 3).
        padding: What is seen beyond the border: "reflection", "border" or "zeros". Reflection shows no corner that would
            tell the move.
    """
    return grid_sample(images, _grid(images, moves), mode="bilinear", padding_mode=padding, align_corners=False)


def unwarp(maps: Tensor, moves: Tensor) -> tuple[Tensor, Tensor]:
    """Maps of moved images, moved back, in one resampling.

    Args:
        maps: (B, K, H, W) of any resolution.
        moves: (B, 2, 3) moves of the images.

    Returns:
        (B, K, H, W) maps, and (B, 1, H, W) whether the cell was in the moved picture.
    """
    grid = _grid(maps, inverse(moves))
    inside = (grid.abs() <= 1).all(-1)[:, None]
    return grid_sample(maps, grid, mode="bilinear", padding_mode="border", align_corners=False), inside


def _grid(like: Tensor, moves: Tensor) -> Tensor:
    """(B, H, W, 2) where each cell is read, in -1..1 of each side."""
    height, width = like.shape[-2:]
    short = min(height, width)
    dtype = like.dtype if like.dtype.itemsize >= 4 else torch.float32
    y = (2 * torch.arange(height, dtype=dtype, device=like.device) + 1 - height) / short
    x = (2 * torch.arange(width, dtype=dtype, device=like.device) + 1 - width) / short
    turn, shift = moves[:, :, :2].to(x), moves[:, :, 2].to(x)
    place = torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], -1)  # (H, W, 2) x, y
    moved = torch.einsum("hwj,bij->bhwi", place, turn) + shift[:, None, None]
    return (moved * torch.tensor([short / width, short / height], dtype=dtype, device=like.device)).to(like.dtype)
