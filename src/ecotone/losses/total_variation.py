"""Total variation of part maps: few borders, whatever the number and size of regions.

Source: PDiscoFormer (arXiv 2407.04538), the prior that takes the place of the concentration loss.
"""

from __future__ import annotations

from torch import Tensor


def total_variation(maps: Tensor) -> Tensor:
    """Sum of absolute differences between neighbouring cells, per cell and image.

    Args:
        maps: (B, K + 1, H, W) part maps, background included.

    Returns:
        Scalar; 0 for maps that are constant.
    """
    batch, _, height, width = maps.shape
    down = (maps[:, :, 1:] - maps[:, :, :-1]).abs().sum()
    across = (maps[:, :, :, 1:] - maps[:, :, :, :-1]).abs().sum()
    return (down + across) / (batch * height * width)
