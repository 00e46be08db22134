"""An encoder with a part head on top, and the losses that shape the parts.

Letters: B images, C classes, D width, K parts, H W grid.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from ecotone.losses.concentration import concentration
from ecotone.losses.equivariance import equivariance
from ecotone.losses.part_orthogonality import part_orthogonality
from ecotone.losses.pixel_entropy import pixel_entropy
from ecotone.losses.presence import PresenceQueue, background_presence, part_peaks, presence
from ecotone.losses.total_variation import total_variation
from ecotone.nn.affine import unwarp
from ecotone.nn.part_head import PartHead, PartOutput
from ecotone.nn.part_maps import gumbel_like, part_maps
from ecotone.nn.vit import VisionTransformer, ViTConfig
from ecotone.vision.answers import Answers
from ecotone.vision.part_config import PartConfig
from ecotone.vision.pretrain import class_loss

Array = np.ndarray
_PLACES = 40_000


class PartModel(nn.Module):
    """Encoder, standardised features, part head.

    Features are centred and scaled per channel by what training images show, so that one recipe fits all encoders.

    Args:
        encoder: What turns images into features.
        head: What turns features into parts and classes.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, encoder: VisionTransformer, head: PartHead) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head
        self.register_buffer("mean", torch.zeros(encoder.width, 1, 1))
        self.register_buffer("std", torch.ones(encoder.width, 1, 1))

    def standardise(self, maps: Tensor) -> Tensor:
        """(B, D, H, W) features of the encoder -> features of the head."""
        return (maps - self.mean) / self.std

    def features(self, images: Tensor) -> Tensor:
        """(B, C, S, T) -> (B, D, H, W)."""
        return self.standardise(self.encoder.maps(images))

    def forward(self, images: Tensor, moved: Tensor | None = None) -> tuple[PartOutput, Tensor | None]:
        """Parts and classes of images, and part maps of moved images, which go through the encoder together."""
        if moved is None:
            return self.head(self.features(images)), None
        maps = self.features(torch.cat([images, moved]))
        return self.head(maps[: len(images)]), self.maps_of(maps[len(images) :])

    def maps_of(self, features: Tensor) -> Tensor:
        """(B, D, H, W) standardised features -> (B, K + 1, H, W) part maps, with noise in training."""
        scores = self.head.scores(features)
        noise = gumbel_like(scores) if self.head.training and self.head.noise else None
        return part_maps(scores, tau=self.head.tau, noise=noise)

    def settle(self, maps: Array, config: PartConfig) -> None:
        """Takes mean and spread, and the first prototypes, from features of training images, as far as the options want it.

        Args:
            maps: (N, D, H, W) features of the encoder.
            config: `standardise`, `start` and `seed` are heeded.
        """
        seed = config.seed
        rng = np.random.default_rng([seed, 31])
        rows = np.sort(rng.permutation(len(maps))[: max(1, _PLACES // maps[0, 0].size)])
        some = np.asarray(maps[rows], dtype=np.float32)
        if config.standardise:
            self.mean.copy_(torch.from_numpy(some.mean((0, 2, 3)))[:, None, None])
            self.std.copy_(torch.from_numpy(np.maximum(some.std((0, 2, 3)), 1e-6))[:, None, None])
        if config.start == "kmeans":  # otherwise they stay as the head made them
            with torch.no_grad():
                self.head.prototypes.copy_(self._clusters(self.standardise(torch.from_numpy(some)).numpy(), seed))

    def _clusters(self, maps: Array, seed: int) -> Tensor:
        """(K + 1, D) centres of k-means, the one commonest at the border last."""
        from sklearn.cluster import KMeans

        count, width, height, across = maps.shape
        flat = maps.transpose(0, 2, 3, 1).reshape(-1, width)
        wanted = min(self.head.parts + 1, len(flat))
        found = KMeans(wanted, n_init=3, random_state=seed).fit(flat)  # pyright: ignore[reportArgumentType]
        labels = np.asarray(found.labels_).reshape(count, height, across)
        edge = np.ones((height, across), bool)
        edge[1:-1, 1:-1] = False
        share = np.array([(labels[:, edge] == k).sum() for k in range(wanted)])
        centres = found.cluster_centers_[np.argsort(share, kind="stable")]
        centres = np.resize(centres, (self.head.parts + 1, width))  # fewer places than parts: some start alike
        return torch.from_numpy(centres.astype(np.float32))


def part_terms(
    out: PartOutput,
    labels: Tensor,
    twin: Tensor | None,
    moves: Tensor,
    weights: Mapping[str, float],
    *,
    share: float = 0.0,
    queue: PresenceQueue | None = None,
) -> dict[str, Tensor]:
    """Weighted losses by name, and their sum as "loss".

    Args:
        out: What the head says of the images.
        labels: (B,) or (B, C).
        twin: (B, K + 1, H, W) maps of moved images; not needed without an equivariance weight.
        moves: (B, 2, 3) how they were moved.
        weights: `PartConfig.weights`.
        share: `PartConfig.presence_share`.
        queue: Peaks of earlier images.
    """
    maps, terms = out.maps, dict[str, Tensor]()
    if "classification" in weights:
        terms["classification"] = class_loss(out.logits, labels)
    if "total_variation" in weights:
        terms["total_variation"] = total_variation(maps)
    if "orthogonality" in weights:
        terms["orthogonality"] = part_orthogonality(out.modulated)
    if "equivariance" in weights and twin is not None:
        terms["equivariance"] = equivariance(maps, *unwarp(twin, moves))
    if "presence" in weights:
        terms["presence"] = presence(part_peaks(maps), queue, share=share)
    if "background" in weights:
        terms["background"] = background_presence(maps)
    if "entropy" in weights:
        terms["entropy"] = pixel_entropy(maps)
    if "concentration" in weights:
        terms["concentration"] = concentration(maps)
    terms = {name: weights[name] * term for name, term in terms.items()}
    return {"loss": torch.stack(list(terms.values())).sum(), **terms}


def part_answers(model: PartModel, images: Tensor, remove: tuple[int, ...] = ()) -> Answers:
    """Answers for normalised images; parts of `remove` (from 0) have no vote, and their places are background."""
    out, _ = model(images)
    part_logits, part = out.part_logits, out.maps.argmax(1)
    background = out.maps.shape[1] - 1
    for k in remove:
        part_logits = part_logits.index_fill(1, torch.tensor([k]), 0.0)
        part = torch.where(part == k, background, part)
    return Answers(
        logits=part_logits.mean(1).numpy(),
        part_logits=part_logits.numpy(),
        part=part.numpy(),
        maps=out.maps.numpy(),
        vectors=out.vectors[:, :-1].numpy(),
    )


def new_part_model(config: PartConfig, encoder: ViTConfig, classes: int) -> PartModel:
    """An untrained model as the options want it; random numbers come from the seed and from nowhere else."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        head = PartHead(
            encoder.width,
            config.parts,
            classes,
            modulation=config.modulation,
            dropout=config.part_dropout,
            tau=config.tau,
            noise=config.noise,
        )
        return PartModel(VisionTransformer(encoder), head)
