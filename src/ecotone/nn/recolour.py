"""Random changes of colour, for any number of channels: a turn about the grey axis, brightness and contrast."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def random_recolour(images: Tensor, generator: torch.Generator | None = None, *, hue: float = 1.0) -> Tensor:
    """Recoloured images.

    Channels are mixed by a rotation that leaves grey alone (for three channels a turn of the hue), then scaled by 0.8 to 1.2 and
    shifted.

    Args:
        images: (B, C, H, W), normalised.
        generator: Where the randomness comes from.
        hue: Largest turn, in half turns.
    """
    batch, channels = images.shape[:2]
    draws = torch.rand(batch, 3, generator=generator, dtype=torch.float32)
    angle = (2 * draws[:, 0] - 1) * math.pi * hue
    gain = (0.8 + 0.4 * draws[:, 1])[:, None, None, None]
    shift = (0.4 * (2 * draws[:, 2] - 1))[:, None, None, None]
    if channels > 1:
        turn = torch.linalg.matrix_exp(angle[:, None, None] * _plane(batch, channels, generator))
        images = torch.einsum("bij,bjhw->bihw", turn.to(images.dtype), images)
    return images * gain.to(images.dtype) + shift.to(images.dtype)


def _plane(batch: int, channels: int, generator: torch.Generator | None) -> Tensor:
    """(B, C, C) skew matrices of unit angle in a random plane orthogonal to grey."""
    grey = torch.full((channels, 1), channels**-0.5)
    if channels == 2:
        return torch.zeros(batch, 2, 2)  # nothing but grey is left alone by two channels
    basis = torch.linalg.svd(torch.eye(channels) - grey @ grey.T).U[:, : channels - 1]
    drawn = torch.randn(batch, channels - 1, 2, generator=generator)
    pair = basis @ torch.linalg.qr(drawn).Q
    return pair[:, :, :1] @ pair[:, :, 1:].transpose(1, 2) - pair[:, :, 1:] @ pair[:, :, :1].transpose(1, 2)
