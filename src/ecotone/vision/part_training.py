"""Training the parts: on features computed once where the encoder is frozen, otherwise through the encoder.

The best epoch by accuracy on validation images is kept. Letters as in `part_model`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from ecotone.data.image_prep import Preprocessing
from ecotone.files.fingerprint import cache_key
from ecotone.losses.presence import PresenceQueue
from ecotone.nn.affine import random_affine, warp
from ecotone.nn.encoders import encode_in_batches, encoder_key, set_trainable
from ecotone.nn.feature_cache import cached_features
from ecotone.nn.lora import add_lora, merge_lora
from ecotone.nn.part_head import PartOutput
from ecotone.nn.recolour import random_recolour
from ecotone.nn.vit import VisionTransformer
from ecotone.train.loop import fit
from ecotone.train.noise import step_seed
from ecotone.train.order import steps_per_epoch
from ecotone.train.task import Plan, Position, Task
from ecotone.vision.part_config import PartConfig
from ecotone.vision.part_model import PartModel, part_terms

if TYPE_CHECKING:
    from ecotone.vision.reading import Pictures

Array = np.ndarray
STEP_EPOCHS = 4


@dataclass(frozen=True)
class FrozenFeatures:
    """Features of training images and of moved copies of them.

    Attributes:
        maps: (N, D, H, W).
        twins: For each moved copy the (N, 2, 3) moves and (N, D, H, W) features.
        validation: (M, D, H, W).
    """

    maps: Array
    twins: tuple[tuple[Tensor, Array], ...]
    validation: Array


def frozen_features(
    encoder: VisionTransformer,
    pixels: Array,
    validation: Array,
    prep: Preprocessing,
    config: PartConfig,
    *,
    folder: Path | None = None,
    progress: bool = False,
) -> FrozenFeatures:
    """Computes them, or finds them in the cache of an earlier start of the run.

    Args:
        encoder: Frozen.
        pixels: (N, C, S, S) training images, not normalised.
        validation: (M, C, S, S).
        prep: Preprocessing of both.
        config: `equivariance`, `twins`, `twin_hue` and `seed` are heeded.
        folder: Where the cache lies; None keeps them in memory.
        progress: Show how far it is.
    """
    encoder.eval()
    model = encoder_key(encoder)

    def of(images: Array, what: str, change: Callable[[Tensor, slice], Tensor] | None = None) -> Array:
        def compute(rows: slice) -> Tensor:
            batch = torch.from_numpy(prep.normalise(images[rows]))
            return encoder.maps(batch if change is None else change(batch, rows))

        key = "" if folder is None else cache_key(model=model, images=images, prep=prep.to_json(), what=what)
        return cached_features(compute, len(images), key, folder, progress=progress)

    twins = []
    for k in range(config.twins if config.equivariance else 0):
        generator = torch.Generator().manual_seed(step_seed(config.seed, k, purpose="twin"))
        moves = random_affine(len(pixels), generator)

        def change(batch: Tensor, rows: slice, moves: Tensor = moves, own: torch.Generator = generator) -> Tensor:
            moved = warp(batch, moves[rows])
            return random_recolour(moved, own, hue=config.twin_hue) if config.twin_hue else moved

        twins.append((moves, of(pixels, f"twin {k}, seed {config.seed}, hue {config.twin_hue}", change)))
    return FrozenFeatures(of(pixels, "plain"), tuple(twins), of(validation, "plain"))


class PartTask(Task):
    """What both ways of training share.

    Args:
        model: What learns.
        labels: (N,) or (N, C) of training images.
        validation_labels: Of validation images.
        config: How.
    """

    def __init__(self, model: PartModel, labels: Array, validation_labels: Array, config: PartConfig) -> None:
        self.model, self.labels, self.validation_labels, self.config = model, labels, validation_labels, config
        self.batch_size = min(config.batch_size, len(labels))
        self.weights = config.weights()
        self.names_classes = "classification" in self.weights
        self.queue = PresenceQueue(config.presence_queue) if config.presence_queue else None
        self.total = max(1, config.epochs * self.steps_per_epoch())

    def steps_per_epoch(self) -> int:
        """Whole batches only."""
        return steps_per_epoch(len(self.labels), self.batch_size, drop_last=True)

    def optimizer(self) -> torch.optim.Optimizer:
        """Adam with a rate for each kind of parameter, as in the paper."""
        groups = self.model.head.groups()
        rates = {
            "prototypes": self.config.rate_prototypes,
            "modulation": self.config.rate_classifier,
            "classifier": self.config.rate_classifier,
        }
        sets = [{"params": groups[k], "lr": r, "lr_scale": r} for k, r in rates.items() if groups[k]]
        encoder = [p for p in self.model.encoder.parameters() if p.requires_grad]
        if encoder:
            sets.append({"params": encoder, "lr": self.config.rate_encoder, "lr_scale": self.config.rate_encoder})
        return torch.optim.Adam(sets)

    def learning_rate(self, step: int) -> float:
        """Falls from 1 as the schedule says; each group multiplies it by its own rate."""
        if self.config.schedule == "steps":
            return 0.5 ** (step // self.steps_per_epoch() // STEP_EPOCHS)
        return 0.5 * (1 + math.cos(math.pi * step / self.total))

    def shaped(self, out: PartOutput, labels: Tensor, twin: Tensor | None, moves: Tensor) -> dict[str, Tensor]:
        """The losses of the part model, see `part_terms`."""
        return part_terms(out, labels, twin, moves, self.weights, share=self.config.presence_share, queue=self.queue)

    def state(self) -> dict[str, Any]:
        """The peaks that are remembered."""
        return {} if self.queue is None or not len(self.queue) else {"peaks": self.queue.rows()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Takes them back."""
        if self.queue is not None and "peaks" in state:
            self.queue.push(state["peaks"])

    def rows(self, at: Position) -> Array:
        """Images of a step."""
        return at.indices(len(self.labels), self.batch_size, drop_last=True)

    def judged(self, logits: Tensor) -> dict[str, float]:
        """Validation scores."""
        labels = torch.from_numpy(self.validation_labels)
        if not len(labels) or not self.names_classes:
            return {}
        if labels.ndim == 2:
            return {"accuracy": float(((logits > 0) == (labels > 0)).float().mean())}
        return {"accuracy": float((logits.argmax(1) == labels).float().mean())}


class FrozenPartTask(PartTask):
    """Trains the head on features computed once."""

    def __init__(
        self, model: PartModel, data: FrozenFeatures, labels: Array, validation_labels: Array, config: PartConfig
    ) -> None:
        self.module, self.data = model.head, data
        super().__init__(model, labels, validation_labels, config)

    def batch(self, at: Position) -> dict[str, Tensor]:
        """Features and labels of a step, and those of one of the moved copies."""
        rows = self.rows(at)
        found = {"maps": self._of(self.data.maps, rows), "labels": torch.from_numpy(self.labels[rows])}
        if self.data.twins:
            moves, twin = self.data.twins[int(at.rng().integers(len(self.data.twins)))]
            found |= {"moves": moves[torch.from_numpy(rows)], "twin": self._of(twin, rows)}
        return found

    def loss(self, module: nn.Module, batch: Any) -> dict[str, Tensor]:
        """Class and shape of the parts."""
        out = module(batch["maps"])
        twin, moves = None, torch.empty(0)
        if "twin" in batch:
            twin, moves = self.model.maps_of(batch["twin"]), batch["moves"]
        return self.shaped(out, batch["labels"], twin, moves)

    def validate(self) -> dict[str, float]:
        """Accuracy on validation images."""
        data = self.data.validation
        parts = [np.arange(start, min(start + 256, len(data))) for start in range(0, len(data), 256)]
        found = [self.model.head(self._of(data, rows)).logits for rows in parts]
        return self.judged(torch.cat(found)) if found else {}

    def _of(self, maps: Array, rows: Array) -> Tensor:
        return self.model.standardise(torch.from_numpy(np.asarray(maps[rows], dtype=np.float32)))


class JointPartTask(PartTask):
    """Trains head and encoder together; image and moved copy go through in one forward.

    Images are turned, shifted, zoomed and mirrored first, as in the paper.
    """

    def __init__(
        self,
        model: PartModel,
        pixels: Array,
        labels: Array,
        validation: Array,
        validation_labels: Array,
        prep: Preprocessing,
        config: PartConfig,
    ) -> None:
        self.module, self.pixels, self.validation, self.prep = model, pixels, validation, prep
        super().__init__(model, labels, validation_labels, config)

    def batch(self, at: Position) -> dict[str, Tensor]:
        """Images and labels of a step."""
        rows = self.rows(at)
        images = torch.from_numpy(self.prep.normalise(self.pixels[rows]))
        return {"images": images, "labels": torch.from_numpy(self.labels[rows])}

    def loss(self, module: nn.Module, batch: Any) -> dict[str, Tensor]:
        """Class and shape of the parts."""
        images = batch["images"]
        images = warp(images, random_affine(len(images), translate=0.2, scale=(0.8, 1.2), flip=True).to(images))
        moves = random_affine(len(images)).to(images)
        moved = None
        if "equivariance" in self.weights:
            moved = warp(images, moves)
            if self.config.twin_hue:
                moved = random_recolour(moved, hue=self.config.twin_hue)
        out, twin = module(images, moved)
        return self.shaped(out, batch["labels"], twin, moves)

    def validate(self) -> dict[str, float]:
        """Accuracy on validation images."""
        found = [
            self.model(torch.from_numpy(self.prep.normalise(self.validation[start : start + 64])))[0].logits
            for start in range(0, len(self.validation), 64)
        ]
        return self.judged(torch.cat(found)) if found else {}


def train_parts(
    model: PartModel,
    train: Pictures,
    validation: Pictures,
    prep: Preprocessing,
    config: PartConfig,
    *,
    folder: Path | None = None,
    progress: bool = False,
) -> None:
    """Trains a part model in place: settles features and prototypes, then learns what the options say.

    Args:
        model: Whose encoder has its weights.
        train: Images to learn from.
        validation: Images that choose the best epoch; may be none.
        prep: Preprocessing of both.
        config: How.
        folder: Where training is stored so that it can go on.
        progress: Show how far it is.
    """
    adapted = config.trainable.startswith("lora:")
    if config.trainable == "frozen":
        model.encoder.requires_grad_(False)
        data = frozen_features(
            model.encoder, train.pixels, validation.pixels, prep, config, folder=cache_of(folder), progress=progress
        )
        model.settle(data.maps, config)
        task: PartTask = FrozenPartTask(model, data, train.labels, validation.labels, config)
    else:
        few = train.pixels[:: max(1, len(train) // 500)]
        model.settle(encode_in_batches(model.encoder, prep.normalise(few)).numpy(), config)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            if adapted:
                add_lora(model.encoder, int(config.trainable.removeprefix("lora:")))
            else:
                set_trainable(model.encoder, config.trainable)
        task = JointPartTask(model, train.pixels, train.labels, validation.pixels, validation.labels, prep, config)
    run_task(task, folder, progress=progress)
    if adapted:
        merge_lora(model.encoder)
    model.eval()


def run_task(task: PartTask, folder: Path | None, *, progress: bool = False) -> None:
    """Trains and leaves the best epoch's weights in `task.module`."""
    config = task.config
    plan = Plan(
        epochs=config.epochs,
        seed=config.seed,
        progress=progress,
        label="parts",
        clip_grad_norm=2.0,
        fingerprint={"images": len(task.labels), **config.model_dump()},
    )
    fit(task, plan, folder).restore_best(task.module)


def cache_of(folder: Path | None) -> Path | None:
    """Where a run keeps features while it is not finished."""
    return None if folder is None else folder / "checkpoints" / "features"
