"""The part head: features to part maps, part vectors, and class evidence that adds up over parts.

Source: PDiscoFormer (arXiv 2407.04538), figure 2. Differs from the published code: noise and part dropout act in training
only, so that equal images get equal answers; the background never votes. Letters as in `part_maps`; C classes.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from ecotone.nn.part_maps import PartModulation, gumbel_like, part_maps, part_scores, pool_parts


class PartOutput(NamedTuple):
    """What the head says of B images.

    Attributes:
        logits: (B, C), the mean of `part_logits` over parts.
        part_logits: (B, K, C) evidence of each part.
        maps: (B, K + 1, H, W) part maps, background last.
        scores: (B, K + 1, H, W) nearness to the prototypes, without noise.
        noise: The Gumbel noise that the maps were made with, None outside training.
        vectors: (B, K + 1, D) pooled features.
        modulated: (B, K + 1, D) after modulation, before dropout.
    """

    logits: Tensor
    part_logits: Tensor
    maps: Tensor
    scores: Tensor
    noise: Tensor | None
    vectors: Tensor
    modulated: Tensor


class PartHead(nn.Module):
    """Prototypes, modulation and a classifier that all parts share.

    Args:
        width: D.
        parts: K, without the background.
        classes: C.
        modulation: See `PartModulation`.
        dropout: Probability that a part is left out of a training step, per image.
        tau: Temperature of the maps.
        noise: Whether training uses Gumbel noise.
        classifier: "shared" by all parts or one "per_part".
    """

    def __init__(
        self,
        width: int,
        parts: int,
        classes: int,
        *,
        modulation: Literal["layernorm", "scale", "none"] = "layernorm",
        dropout: float = 0.3,
        tau: float = 1.0,
        noise: bool = True,
        classifier: Literal["shared", "per_part"] = "shared",
    ) -> None:
        super().__init__()
        self.parts, self.classes, self.dropout, self.tau, self.noise = parts, classes, dropout, tau, noise
        bound = 1 / math.sqrt(width)
        self.prototypes = nn.Parameter(torch.empty(parts + 1, width).uniform_(-bound, bound))
        self.modulation = PartModulation(parts + 1, width, modulation)
        shape = (classes, width) if classifier == "shared" else (parts, classes, width)
        self.classifier = nn.Parameter(nn.init.trunc_normal_(torch.empty(shape), std=0.02))

    def scores(self, features: Tensor) -> Tensor:
        """(B, D, H, W) -> (B, K + 1, H, W)."""
        return part_scores(features, self.prototypes)

    def forward(self, features: Tensor, generator: torch.Generator | None = None) -> PartOutput:
        """(B, D, H, W) features -> evidence; `generator` draws noise and dropout in training."""
        scores = self.scores(features)
        noise = gumbel_like(scores, generator) if self.training and self.noise else None
        maps = part_maps(scores, tau=self.tau, noise=noise)
        vectors = pool_parts(maps, features)
        modulated = self.modulation(vectors)
        part_logits = self.classify(self._dropped(modulated[:, :-1], generator))
        return PartOutput(part_logits.mean(1), part_logits, maps, scores, noise, vectors, modulated)

    def classify(self, front: Tensor) -> Tensor:
        """(B, K, D) modulated foreground vectors -> (B, K, C) evidence."""
        if self.classifier.ndim == 2:
            return linear(front, self.classifier)
        return torch.einsum("bkd,kcd->bkc", front, self.classifier)

    def _dropped(self, front: Tensor, generator: torch.Generator | None) -> Tensor:
        if not self.training or not self.dropout:
            return front
        drawn = torch.rand(front.shape[:2], generator=generator, device=front.device)
        kept = (drawn >= self.dropout).to(front.dtype) / (1 - self.dropout)
        return front * kept[:, :, None]

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """Parameters by what the recipe calls them; together they are all of the head's."""
        return {
            "prototypes": [self.prototypes],
            "modulation": list(self.modulation.parameters()),
            "classifier": [self.classifier],
        }
