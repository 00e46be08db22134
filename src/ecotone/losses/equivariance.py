"""Equivariance of part maps: the maps of a moved image are the moved maps.

Source: PDiscoFormer (arXiv 2407.04538). Published code moves a whole batch alike, resamples twice and counts cells that
were never in the picture as disagreement; here each image has a transform of its own, maps are resampled once, and only
cells that lie in both pictures are compared.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor
from torch.nn.functional import cosine_similarity


def equivariance(
    maps: Tensor, back: Tensor, valid: Tensor, detach: Literal["none", "twin", "first"] = "none"
) -> Tensor:
    """One minus the mean cosine between each foreground map and that of the moved image, moved back.

    Args:
        maps: (B, K + 1, H, W) part maps, background last.
        back: (B, K + 1, H, W) part maps of the moved images, moved back (`ecotone.nn.affine.unwarp`).
        valid: (B, 1, H, W) whether a cell lies in both pictures.
        detach: Which of the two carries no gradient.

    Returns:
        Scalar in [0, 1] for maps that are not negative; an image whose pictures share no cell counts as 0.
    """
    if detach == "first":
        maps = maps.detach()
    if detach == "twin":
        back = back.detach()
    seen = valid.to(maps.dtype)
    one, other = (maps[:, :-1] * seen).flatten(2), (back[:, :-1] * seen).flatten(2)
    shared = (seen.flatten(1).amax(1) > 0).to(maps.dtype)[:, None]
    return ((1 - cosine_similarity(one, other, dim=2, eps=1e-6)) * shared).mean()
