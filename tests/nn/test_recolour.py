"""Random colours: grey stays grey up to brightness, lengths are kept, any number of channels."""

from __future__ import annotations

import pytest
import torch

from ecotone.nn.recolour import _plane, random_recolour


@pytest.mark.parametrize("channels", [1, 2, 3, 5, 12])
def test_grey_stays_grey_and_colours_keep_their_strength(channels: int) -> None:
    grey = torch.randn(4, 1, 3, 3).expand(-1, channels, -1, -1)
    made = random_recolour(grey, torch.Generator().manual_seed(0))
    torch.testing.assert_close(made, made[:, :1].expand_as(made), atol=1e-5, rtol=0)
    plane = _plane(6, channels, torch.Generator().manual_seed(1)) if channels > 1 else torch.zeros(6, 1, 1)
    torch.testing.assert_close(plane, -plane.transpose(1, 2))
    turn = torch.linalg.matrix_exp(1.3 * plane)
    torch.testing.assert_close(turn @ turn.transpose(1, 2), torch.eye(channels).expand(6, -1, -1), atol=1e-5, rtol=0)


def test_it_repeats_and_no_turn_keeps_the_hue() -> None:
    images = torch.randn(3, 3, 4, 4)
    one, two = (random_recolour(images, torch.Generator().manual_seed(7)) for _ in range(2))
    torch.testing.assert_close(one, two, rtol=0, atol=0)
    still = random_recolour(images, torch.Generator().manual_seed(7), hue=0)
    slope = (still - still.mean((1, 2, 3), keepdim=True)) / (images - images.mean((1, 2, 3), keepdim=True))
    assert float(slope.flatten(1).std(1).max()) < 1e-3
