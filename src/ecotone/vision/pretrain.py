"""Training a small encoder on the images at hand, when no weights are given.

Two things are learned at once: the class, read from the class token and from the mean of the patches, and where on the object a
patch is, by telling places of an image apart across two views that differ in position, turn, scale and colour. The class keeps
the features useful, the places keep patches from all becoming alike.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from ecotone.data.image_prep import Preprocessing
from ecotone.losses.local_contrast import local_contrast
from ecotone.nn.affine import random_affine, unwarp, warp
from ecotone.nn.recolour import random_recolour
from ecotone.nn.vit import VisionTransformer
from ecotone.train.loop import FitResult, fit
from ecotone.train.order import steps_per_epoch
from ecotone.train.task import Plan, Position, Task

Array = np.ndarray
BATCH, LEAST, RATE, DECAY, WARM = 50, 16, 1e-3, 0.05, 100


class Pretraining(nn.Module):
    """Encoder, class scores from its summary, and a projection of patches for the contrast."""

    def __init__(self, encoder: VisionTransformer, classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        width = encoder.width
        self.classifier = nn.Linear(width, classes)
        self.patches = nn.Linear(width, classes)
        self.projector = nn.Sequential(nn.Conv2d(width, 256, 1), nn.GELU(), nn.Conv2d(256, 64, 1))

    def forward(self, images: Tensor, twins: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Class logits of images from class token and patches, and projected maps of images and twins; one joint forward."""
        tokens = self.encoder(torch.cat([images, twins]))
        count = len(images)
        maps = self.projector(tokens.maps())
        by_token, by_patch = self.classifier(tokens.summary()[:count]), self.patches(tokens.patches[:count].mean(1))
        return by_token, by_patch, maps[:count], maps[count:]


class PretrainTask(Task):
    """The recipe.

    Args:
        module: What learns.
        pixels: (N, C, S, S) images, not normalised.
        labels: (N,) classes or (N, C) 0/1.
        prep: Their preprocessing.
        epochs: Epochs of the cosine schedule.
    """

    def __init__(self, module: Pretraining, pixels: Array, labels: Array, prep: Preprocessing, epochs: int) -> None:
        self.module, self.pixels, self.labels, self.prep = module, pixels, labels, prep
        # few images make small batches, so that an epoch still has some twenty steps
        self.batch_size = min(BATCH, max(LEAST, len(pixels) // 20), len(pixels))
        self.total = epochs * self.steps_per_epoch()

    def optimizer(self) -> torch.optim.Optimizer:
        """AdamW; norms, biases and embeddings do not decay."""
        matrices = [p for p in self.module.parameters() if p.ndim in (2, 4)]
        others = [p for p in self.module.parameters() if p.ndim not in (2, 4)]
        return torch.optim.AdamW(
            [{"params": matrices, "weight_decay": DECAY}, {"params": others, "weight_decay": 0.0}], lr=RATE
        )

    def steps_per_epoch(self) -> int:
        """Whole batches only."""
        return steps_per_epoch(len(self.pixels), self.batch_size, drop_last=True)

    def batch(self, at: Position) -> dict[str, Tensor]:
        """Images and labels of a step."""
        rows = at.indices(len(self.pixels), self.batch_size, drop_last=True)
        images = torch.from_numpy(self.prep.normalise(self.pixels[rows]))
        return {"images": images, "labels": torch.from_numpy(self.labels[rows])}

    def loss(self, module: nn.Module, batch: Any) -> dict[str, Tensor]:
        """Class plus contrast."""
        images = batch["images"]
        first = random_affine(len(images), degrees=30, translate=0.1, scale=(0.8, 1.2), flip=True).to(images)
        second = random_affine(len(images)).to(images)
        one = warp(images, first)
        by_token, by_patch, maps, twins = module(one, random_recolour(warp(one, second)))
        back, valid = unwarp(twins, second)
        contrast = local_contrast(maps, back, valid)
        named = (class_loss(by_token, batch["labels"]) + class_loss(by_patch, batch["labels"])) / 2
        return {"loss": named + contrast, "class": named, "contrast": contrast}

    def learning_rate(self, step: int) -> float:
        """Linear warm-up over a hundred steps or a tenth of all, then a cosine to 0."""
        warm = max(1, min(WARM, self.total // 10))
        return RATE * min(1.0, (step + 1) / warm) * 0.5 * (1 + math.cos(math.pi * step / max(1, self.total)))


def class_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy over classes, or per class where an image may have several."""
    if labels.ndim == 2:
        return binary_cross_entropy_with_logits(logits, labels.to(logits.dtype))
    return cross_entropy(logits, labels)


def pretrain(
    encoder: VisionTransformer,
    pixels: Array,
    labels: Array,
    classes: int,
    prep: Preprocessing,
    *,
    epochs: int,
    seed: int = 0,
    folder: Path | None = None,
    progress: bool = False,
) -> FitResult:
    """Trains an encoder in place and leaves it in evaluation mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = Pretraining(encoder, classes)
    task = PretrainTask(module, pixels, labels, prep, epochs)
    fingerprint = {"what": "encoder", "epochs": epochs, "images": len(pixels), "config": vars(encoder.config)}
    plan = Plan(epochs=epochs, seed=seed, progress=progress, label="encoder", fingerprint=fingerprint)
    result = fit(task, plan, folder)
    encoder.eval()
    return result
