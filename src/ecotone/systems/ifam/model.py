"""Two stages: the first finds parts and makes a mask of them, the second sees what the mask keeps and nothing else.

Source: Aniraj, Dantas, Ienco, Marcos 2025 (arXiv 2506.08915). Differs from the published code: one noise draw for maps and mask,
a gradient from the second stage through the mask, dropped patches not computed, no noise in inference. Letters: B images, C
channels or classes, D width, K parts, H W grid.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ecotone.nn.part_head import PartOutput
from ecotone.nn.straight_mask import Mask, foreground_mask
from ecotone.nn.vit import VisionTransformer, quota_of
from ecotone.systems.ifam.config import QUANTILES
from ecotone.vision.part_model import PartModel


class TwoStage(nn.Module):
    """Selector and predictor.

    Args:
        first: The part model.
        second: Encoder of the second stage, or None to share the first's.
        classes: C.
    """

    thresholds: Tensor

    def __init__(self, first: PartModel, second: VisionTransformer | None, classes: int) -> None:
        super().__init__()
        self.first, self.second = first, second
        width = first.encoder.width
        self.norm = nn.LayerNorm(width)
        self.classifier = nn.Linear(width, classes, bias=False)
        nn.init.trunc_normal_(self.classifier.weight, std=0.02)
        self.register_buffer("thresholds", torch.full((len(QUANTILES), first.head.parts), -1e30))

    @property
    def predictor(self) -> VisionTransformer:
        """The encoder of the second stage."""
        return self.first.encoder if self.second is None else self.second

    def predict(self, images: Tensor, keep: Tensor) -> Tensor:
        """(B, C, S, T) images and (B, H, W) patches that may be seen -> (B, C) logits."""
        return self._classified(self.predictor(images, keep=keep).summary())

    def select(self, scores: Tensor, *, remove: tuple[int, ...] = (), quantile: float = 0.0) -> Mask:
        """The mask at test time.

        Args:
            scores: (B, K + 1, H, W) of the first stage.
            remove: Parts (from 0) to leave out.
            quantile: Of `QUANTILES`; patches below it in their part are left out.
        """
        thresholds = self.thresholds[QUANTILES.index(quantile)] if quantile else None
        return foreground_mask(scores, tau=self.first.head.tau, remove=remove, thresholds=thresholds)

    def train_step(
        self, images: Tensor, scores: Tensor, noise: Tensor | None, *, dropout: float, gradient: bool, quota: float
    ) -> tuple[Tensor, Mask]:
        """Second-stage logits of a training step, and the mask they were made with.

        Args:
            images: (B, C, S, T).
            scores: (B, K + 1, H, W) of the first stage on these images.
            noise: What the part maps were drawn with.
            dropout: Probability that a part is left out of the mask.
            gradient: Whether the logits' gradient reaches the scores.
            quota: Share of dropped patches computed for their gradient.
        """
        drop = torch.rand(scores.shape[0], self.first.head.parts, device=scores.device) < dropout if dropout else None
        mask = foreground_mask(scores, noise=noise, tau=self.first.head.tau, drop=drop)
        if not gradient:
            return self._classified(self.predictor(images, keep=mask.keep).summary()), mask
        extra = quota_of(~mask.keep.flatten(1), quota).view_as(mask.keep)
        return self._classified(self.predictor(images, gate=mask.gate, keep=extra).summary()), mask

    def forward(self, images: Tensor) -> tuple[Tensor, PartOutput, Mask]:
        """(B, C, S, T) images -> second-stage logits, what the first stage says, and the mask between them."""
        out, _ = self.first(images)
        mask = self.select(out.scores)
        return self.predict(images, mask.keep), out, mask

    def _classified(self, summary: Tensor) -> Tensor:
        return self.classifier(self.norm(summary))
