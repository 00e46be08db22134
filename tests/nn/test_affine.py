"""Moves of images: rotations are rotations on any shape, and undo each other."""

from __future__ import annotations

import math

import pytest
import torch

from ecotone.nn.affine import inverse, random_affine, unwarp, warp


def smooth(height: int, width: int) -> torch.Tensor:
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    return torch.stack([torch.exp(-((x - 0.2) ** 2 + (y + 0.1) ** 2) * 3), x * y + 0.5])[None].double()


def test_equal_generators_give_equal_moves_within_their_bounds() -> None:
    moves = random_affine(400, torch.Generator().manual_seed(3), degrees=30, translate=0.1, scale=(0.5, 2.0))
    torch.testing.assert_close(
        moves, random_affine(400, torch.Generator().manual_seed(3), degrees=30, translate=0.1, scale=(0.5, 2.0))
    )
    size = 1 / torch.linalg.det(moves[:, :, :2]).sqrt()
    assert 0.5 <= float(size.min()) < 0.6 and 1.8 < float(size.max()) <= 2.0
    angle = torch.atan2(moves[:, 1, 0], moves[:, 0, 0]).abs() * 180 / math.pi
    assert 27 < float(angle.max()) <= 30.001
    assert float(moves[:, :, 2].abs().max()) <= 0.2 + 1e-6
    mirrored = torch.linalg.det(random_affine(400, torch.Generator().manual_seed(0), flip=True)[:, :, :2]) < 0
    assert 0.4 < float(mirrored.float().mean()) < 0.6


def test_a_quarter_turn_is_exact_on_squares_and_a_half_turn_on_any_shape() -> None:
    picture = torch.arange(25.0).view(1, 1, 5, 5)
    quarter = torch.tensor([[[0.0, -1, 0], [1, 0, 0]]])
    torch.testing.assert_close(warp(picture, quarter), picture.rot90(1, (2, 3)))
    wide = torch.arange(24.0).view(1, 1, 4, 6)
    half = torch.tensor([[[-1.0, 0, 0], [0, -1, 0]]])
    torch.testing.assert_close(warp(wide, half), wide.rot90(2, (2, 3)))


@pytest.mark.parametrize(("height", "width"), [(40, 40), (30, 54)])
def test_moving_back_restores_what_was_seen(height: int, width: int) -> None:
    maps = smooth(height, width).expand(6, -1, -1, -1)
    moves = random_affine(6, torch.Generator().manual_seed(1)).double()
    back, valid = unwarp(warp(maps, moves), moves)
    assert 0.3 < float(valid.double().mean()) < 1
    gap = ((back - maps).abs() * valid).double()
    assert float(gap.max()) < 0.06 and float(gap.mean()) < 0.002
    torch.testing.assert_close(inverse(inverse(moves)), moves)


def test_maps_of_another_resolution_move_alike() -> None:
    fine, coarse = smooth(48, 96), smooth(48, 96).unflatten(2, (12, 4)).unflatten(4, (24, 4)).mean((3, 5))
    moves = random_affine(1, torch.Generator().manual_seed(2), degrees=40).double()
    small = warp(fine, moves).unflatten(2, (12, 4)).unflatten(4, (24, 4)).mean((3, 5))
    assert float((warp(coarse, moves) - small)[:, :, 3:-3, 3:-3].abs().max()) < 0.05
