"""Does anything outside a mask change the answer? Every pixel outside is replaced, and the answer compared bit for bit.

The certificate holds given the mask. How the mask itself answers to the background is measured beside it, and is not certified.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ecotone.contract import Check

Answer = Callable[[Tensor, Tensor], Tensor]
FILLS = ("noise", "zeros", "extremes", "another image", "not a number")


@dataclass(frozen=True)
class Swap:
    """What replacing the background did.

    Attributes:
        change: (N,) largest change of a logit of each image over all fills; exactly 0 where the mask is kept.
        fills: What the background was replaced by.
        outside: (N,) share of pixels that were replaced.
    """

    change: np.ndarray
    fills: tuple[str, ...]
    outside: np.ndarray

    @property
    def largest(self) -> float:
        """Over all images."""
        return float(self.change.max(initial=0.0))

    def check(self, target: str = "") -> Check:
        """The certificate as evidence."""
        return Check(
            title="Nothing outside the mask was used" if self.largest == 0 else "Something outside the mask was used",
            target=target,
            exact=True,
            claim="Given this mask, no pixel outside it changes the answer",
            measured=self.largest,
            bound=0.0,
            unit="logit",
            verdict="pass" if self.largest == 0 else "fail",
            details=(
                ("pixels replaced", f"{self.outside.mean():.0%}"),
                ("replaced by", ", ".join(self.fills)),
                ("images", str(len(self.change))),
            ),
            note="Every pixel outside the mask was replaced and the answer compared bit for bit. The mask is kept: which "
            "region is selected may still depend on the whole image, which is not certified.",
        )


@torch.inference_mode()
def swap_background(
    answer: Answer, images: Tensor, mask: Tensor, *, fills: tuple[str, ...] = FILLS, seed: int = 0
) -> Swap:
    """Replaces the background in several ways.

    Args:
        answer: Images (B, C, S, T) and masks (B, S, T) -> logits (B, ...), for masks that are given.
        images: (N, C, S, T).
        mask: (N, S, T) bool, pixels that may be used.
        fills: Of `FILLS`.
        seed: Of the noise.
    """
    generator = torch.Generator().manual_seed(seed)
    hidden = ~mask[:, None].expand_as(images)
    plain = answer(images, mask)
    change = torch.zeros(len(images), dtype=plain.dtype)
    for fill in fills:
        other = torch.where(hidden, _fill(fill, images, generator), images)
        gap = (answer(other, mask) - plain).abs().flatten(1)
        change = torch.maximum(change, torch.nan_to_num(gap, nan=torch.inf).amax(1))
    return Swap(change.double().numpy(), fills, hidden.float().mean((1, 2, 3)).numpy())


def _fill(name: str, images: Tensor, generator: torch.Generator) -> Tensor:
    if name == "noise":
        return 3 * torch.randn(images.shape, generator=generator, dtype=images.dtype)
    if name == "zeros":
        return torch.zeros_like(images)
    if name == "extremes":
        return 1e6 * (2.0 * (torch.rand(images.shape, generator=generator) < 0.5) - 1).to(images.dtype)
    if name == "another image":
        return images.roll(1, 0) if len(images) > 1 else images.flip(-1)
    return torch.full_like(images, torch.nan)
