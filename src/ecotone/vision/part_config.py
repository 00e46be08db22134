"""How part models learn: options that PDiscoFormer and iFAM share."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from ecotone.vision.options import VisionConfig


class PartConfig(VisionConfig):
    """Options of part models; weights of losses are those of the paper.

    Attributes:
        parts: Number of parts besides the background.
        epochs: Epochs of training the parts.
        batch_size: Images of a step.
        modulation: Rescaling of part vectors: "layernorm" (PDiscoFormer), "scale" (PDiscoNet) or "none".
        part_dropout: Probability that a part is left out of a training step, per image.
        noise: Gumbel noise in training.
        tau: Temperature of the part maps.
        standardise: Centre and scale features per channel before they meet prototypes; the paper takes them as they are.
        schedule: How learning rates fall: as a "cosine", or halved in "steps" of four epochs as in the paper.
        start: Where prototypes start: "kmeans" of features, or "random" as in the paper.
        trainable: What of the encoder learns with the parts: "frozen" (features are computed once), "tokens" as in the paper,
            "last:N" blocks, "lora:R" of rank R, or "all".
        classification: Weight of the class loss; 0 where there is one class.
        total_variation: Weight of the loss.
        orthogonality: Weight of the loss.
        equivariance: Weight of the loss.
        presence: Weight of the loss.
        background: Weight of the loss that wants background near the border.
        entropy: Weight of the loss.
        concentration: Weight of the loss; PDiscoNet uses 1000, and no total variation.
        presence_share: Share of the images in which each part should be present; 0 for one image, as in the paper.
        presence_queue: Earlier images that count for presence beside those of a step, which makes small batches behave like
            large ones.
        twins: Moved copies of each image that frozen features are computed for.
        twin_hue: How far moved copies are recoloured, in half turns of the hue; 0 as in the paper.
        rate_prototypes: Learning rate.
        rate_classifier: Learning rate of modulation and classifier.
        rate_encoder: Learning rate of what learns of the encoder.
    """

    parts: int = Field(default=8, ge=1, le=256)
    epochs: int = Field(default=28, ge=0, le=1000)
    batch_size: int = Field(default=64, ge=2, le=4096)
    modulation: Literal["layernorm", "scale", "none"] = "layernorm"
    part_dropout: float = Field(default=0.3, ge=0, lt=1)
    noise: bool = True
    tau: float = Field(default=1.0, gt=0, le=100)
    standardise: bool = True
    schedule: Literal["cosine", "steps"] = "cosine"
    start: Literal["kmeans", "random"] = "kmeans"
    trainable: str = "frozen"
    classification: float = Field(default=1.0, ge=0)
    total_variation: float = Field(default=1.0, ge=0)
    orthogonality: float = Field(default=1.0, ge=0)
    equivariance: float = Field(default=1.0, ge=0)
    presence: float = Field(default=1.0, ge=0)
    background: float = Field(default=2.0, ge=0)
    entropy: float = Field(default=1.0, ge=0)
    concentration: float = Field(default=0.0, ge=0)
    presence_share: float = Field(default=0.0, ge=0, le=1)
    presence_queue: int = Field(default=0, ge=0, le=100_000)
    twins: int = Field(default=2, ge=1, le=16)
    twin_hue: float = Field(default=0.0, ge=0, le=1)
    rate_prototypes: float = Field(default=1e-2, gt=0, le=1)
    rate_classifier: float = Field(default=3e-3, gt=0, le=1)
    rate_encoder: float = Field(default=1e-4, gt=0, le=1)

    @field_validator("trainable")
    @classmethod
    def _known(cls, value: str) -> str:
        word, _, number = value.partition(":")
        if value in ("frozen", "tokens", "all") or (word in ("last", "lora") and number.isdigit() and int(number) > 0):
            return value
        raise ValueError("should be frozen, tokens, all, last:N or lora:R")

    def weights(self) -> dict[str, float]:
        """Loss -> weight, those that are used."""
        names = (
            "total_variation",
            "orthogonality",
            "equivariance",
            "presence",
            "background",
            "entropy",
            "concentration",
        )
        found = {name: float(getattr(self, name)) for name in ("classification", *names)}
        return {name: weight for name, weight in found.items() if weight > 0}
