"""Image encoders by name: each turns images into a map of features.

A name stands for a shape with random weights, to be trained; weights of others are read by `ecotone.nn.pretrained`. Every
encoder has `width`, `stride` and `maps`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from ecotone.errors import UsageError, suggest
from ecotone.files.fingerprint import cache_key
from ecotone.nn.vit import VisionTransformer, ViTConfig

_DINO = {"registers": 4, "layer_scale": 1.0, "image_size": 518, "patch": 14}

ENCODERS: dict[str, ViTConfig] = {
    # trained here, from scratch
    "vit_test": ViTConfig(image_size=32, patch=8, width=32, depth=2, heads=2, registers=1, stem="mlp"),
    "vit_mini": ViTConfig(image_size=96, patch=8, width=96, depth=4, heads=4, registers=3, stem="mlp"),
    "vit_mini_conv": ViTConfig(image_size=96, patch=8, width=96, depth=4, heads=4, registers=3, stem="conv"),
    # published shapes; weights come from a folder
    "vit_s14_reg4": ViTConfig(width=384, depth=12, heads=6, **_DINO),
    "vit_b14_reg4": ViTConfig(width=768, depth=12, heads=12, **_DINO),
    "vit_b16_clip": ViTConfig(
        image_size=224, patch=16, width=768, depth=12, heads=12, pre_norm=True, patch_bias=False,
        activation="quick_gelu", eps=1e-5, antialias=False,
    ),
    "vit_b16_siglip": ViTConfig(
        image_size=224, patch=16, width=768, depth=12, heads=12, class_token=False, activation="gelu_tanh", antialias=False
    ),
}  # fmt: skip


@runtime_checkable
class Encoder(Protocol):
    """What turns images into a map of features.

    Attributes:
        width: D.
        stride: Pixels between neighbouring places of the map.
    """

    @property
    def width(self) -> int:
        """D."""
        ...

    @property
    def stride(self) -> int:
        """Pixels between neighbouring places of the map."""
        ...

    def maps(self, images: Tensor) -> Tensor:
        """(B, C, S, T) -> (B, D, H, W)."""
        ...


def shape_of(name: str) -> ViTConfig:
    """The shape behind a name.

    Raises:
        UsageError: US101 with the closest known name.
    """
    if name not in ENCODERS:
        raise UsageError("US101", name, "no such encoder", suggest(name, ENCODERS))
    return ENCODERS[name]


def build_encoder(name: str, channels: int = 3, *, image_size: int | None = None, seed: int = 0) -> VisionTransformer:
    """An encoder of a named shape with random weights.

    Args:
        name: A key of `ENCODERS`.
        channels: Channels of the images.
        image_size: Side the position embedding is made for, by default that of the name.
        seed: Of the weights.

    Raises:
        UsageError: US101 for an unknown name, US104 for a size that is no multiple of the patch.
    """
    config = replace(shape_of(name), channels=channels)
    if image_size is not None:
        if image_size % config.patch or image_size < config.patch:
            what = f"{image_size} is no multiple of the patch of {name}, {config.patch}"
            raise UsageError("US104", "image size", what, f"use {max(1, image_size // config.patch) * config.patch}")
        config = replace(config, image_size=image_size)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return VisionTransformer(config)


def set_trainable(model: VisionTransformer, mode: str) -> None:
    """Which parameters learn: "frozen", "tokens" (prefix and positions, as in PDiscoFormer), "last:N" blocks, "all".

    Raises:
        UsageError: US104 for another mode.
    """
    last = mode.removeprefix("last:") if mode.startswith("last:") else ""
    if mode not in ("frozen", "tokens", "all") and not (last.isdigit() and 0 < int(last) <= model.config.depth):
        raise UsageError("US104", "trainable", f"{mode!r} is not known", "use frozen, tokens, last:N or all")
    for parameter in model.parameters():
        parameter.requires_grad_(mode == "all")
    if mode == "tokens":
        model.position.requires_grad_(True)
        model.prefix.requires_grad_(True)
    if last:
        for module in [*list(model.blocks)[-int(last) :], model.norm]:
            for parameter in module.parameters():
                parameter.requires_grad_(True)


def encoder_key(model: nn.Module, **more: Any) -> str:
    """A content hash of weights and settings, for caches of what the model computed."""
    tensors = {name: tensor.detach().cpu().numpy() for name, tensor in model.state_dict().items()}
    config = getattr(model, "config", None)
    return cache_key(
        model=type(model).__name__, config=vars(config) if config is not None else {}, tensors=tensors, **more
    )


def encode_in_batches(model: Encoder, images: np.ndarray | Tensor, batch: int = 64) -> Tensor:
    """(N, C, S, T) images -> (N, D, H, W) features without gradients."""
    found = []
    with torch.inference_mode():
        for start in range(0, len(images), batch):
            found.append(model.maps(torch.as_tensor(images[start : start + batch])).clone())
    return torch.cat(found)
