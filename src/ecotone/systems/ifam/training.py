"""Training both stages together: the first on features computed once where its encoder stays as it is, the second on images.

The second stage sees the image or its moved copy, masked by the parts found there; its loss reaches the prototypes through the
mask. Letters as in `model`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from ecotone.data.image_prep import Preprocessing
from ecotone.nn.affine import warp
from ecotone.nn.encoders import encode_in_batches
from ecotone.nn.part_maps import gumbel_like, part_maps
from ecotone.nn.straight_mask import area_budget, part_thresholds
from ecotone.systems.ifam.config import QUANTILES, IfamConfig
from ecotone.systems.ifam.model import TwoStage
from ecotone.train.task import Position
from ecotone.vision.part_training import FrozenFeatures, FrozenPartTask, cache_of, frozen_features, run_task
from ecotone.vision.pretrain import class_loss

if TYPE_CHECKING:
    from ecotone.vision.reading import Pictures

Array = np.ndarray
_BATCH = 64


class TwoStageTask(FrozenPartTask):
    """The recipe.

    Args:
        network: What learns.
        data: Features of the first stage, computed once.
        train: Images to learn from.
        validation: Images that choose the best epoch.
        prep: Preprocessing of both.
        config: How.
    """

    config: IfamConfig

    def __init__(
        self,
        network: TwoStage,
        data: FrozenFeatures,
        train: Pictures,
        validation: Pictures,
        prep: Preprocessing,
        config: IfamConfig,
    ) -> None:
        super().__init__(network.first, data, train.labels, validation.labels, config)
        self.module = self.network = network
        self.names_classes = True  # the second stage always does
        self.pixels, self.validation, self.prep = train.pixels, validation.pixels, prep

    def optimizer(self) -> torch.optim.Optimizer:
        """Adam as for parts, and the second stage's rates."""
        made = super().optimizer()
        fresh = [*self.network.norm.parameters(), *self.network.classifier.parameters()]
        rate, second = self.config.rate_classifier, self.config.rate_second
        made.add_param_group({"params": fresh, "lr": rate, "lr_scale": rate})
        if self.network.second is not None:
            made.add_param_group({"params": list(self.network.second.parameters()), "lr": second, "lr_scale": second})
        return made

    def batch(self, at: Position) -> dict[str, Tensor]:
        """As for parts, and the images."""
        found = super().batch(at)
        found["images"] = torch.from_numpy(self.prep.normalise(self.pixels[self.rows(at)]))
        return found

    def loss(self, module: nn.Module, batch: Any) -> dict[str, Tensor]:
        """Shape of the parts, class of the first stage, class of the second."""
        config, head = self.config, self.model.head
        out = head(batch["maps"])
        images, scores, noise, twin = batch["images"], out.scores, out.noise, None
        if "twin" in batch:
            twin_scores = head.scores(batch["twin"])
            twin_noise = gumbel_like(twin_scores) if head.noise else None
            twin = part_maps(twin_scores, tau=head.tau, noise=twin_noise)
            if float(torch.rand(())) < 0.5:  # the second stage learns from moved copies too
                images, scores, noise = warp(images, batch["moves"].to(images)), twin_scores, twin_noise
        terms = self.shaped(out, batch["labels"], twin, batch.get("moves", torch.empty(0)))
        logits, mask = self.network.train_step(
            images, scores, noise, dropout=config.mask_dropout, gradient=config.mask_gradient, quota=config.quota
        )
        terms["second"] = class_loss(logits, batch["labels"])
        if config.area < 1 and config.area_weight:
            terms["area"] = config.area_weight * area_budget(mask.soft, config.area)
        loss = torch.stack([terms["loss"], *(terms[k] for k in ("second", "area") if k in terms)]).sum()
        return {**terms, "loss": loss, "kept": mask.keep.float().mean()}

    def validate(self) -> dict[str, float]:
        """Accuracy of the second stage on validation images."""
        found = []
        for start in range(0, len(self.validation), _BATCH):
            rows = np.arange(start, min(start + _BATCH, len(self.validation)))
            images = torch.from_numpy(self.prep.normalise(self.validation[rows]))
            mask = self.network.select(self.model.head.scores(self._of(self.data.validation, rows)))
            found.append(self.network.predict(images, mask.keep))
        return self.judged(torch.cat(found)) if found else {}


def train_two_stages(
    network: TwoStage,
    train: Pictures,
    validation: Pictures,
    prep: Preprocessing,
    config: IfamConfig,
    *,
    folder: Path | None = None,
    progress: bool = False,
) -> None:
    """Trains both stages in place, and settles the thresholds of uncertain patches."""
    model = network.first
    model.encoder.requires_grad_(False)
    data = frozen_features(
        model.encoder, train.pixels, validation.pixels, prep, config, folder=cache_of(folder), progress=progress
    )
    model.settle(data.maps, config)
    run_task(TwoStageTask(network, data, train, validation, prep, config), folder, progress=progress)
    network.eval()
    few = np.linspace(0, len(train) - 1, min(len(train), 1000)).astype(int)
    with torch.inference_mode():
        scores = model.head.scores(
            model.standardise(encode_in_batches(model.encoder, prep.normalise(train.pixels[few])))
        )
        for row, quantile in enumerate(QUANTILES):
            found = part_thresholds(scores, quantile)
            network.thresholds[row] = torch.where(torch.isfinite(found), found, -1e30)
