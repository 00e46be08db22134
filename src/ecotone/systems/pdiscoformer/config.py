"""How PDiscoFormer learns: our recipe, the paper's, and PDiscoNet with the same encoder as the opponent."""

from __future__ import annotations

from typing import Any, Literal

from ecotone.vision.part_config import PartConfig

PRESETS: dict[str, dict[str, Any]] = {
    "ecotone": {},
    # arXiv 2407.04538 at batch 16: base rate 1e-6, prototypes a thousand and modulation and classifier ten thousand times that
    "paper": {
        "start": "random", "trainable": "tokens", "batch_size": 16, "rate_encoder": 1e-6, "rate_prototypes": 1e-3,
        "rate_classifier": 1e-2,
    },
    # PDiscoNet's prior and modulation: one compact blob a part
    "concentration": {
        "total_variation": 0.0, "concentration": 1000.0, "modulation": "scale", "noise": False, "classification": 2.0,
    },
}  # fmt: skip


class PDiscoFormerConfig(PartConfig):
    """Learning options of PDiscoFormer.

    Attributes:
        preset: Where options come from that are not given: "ecotone"; "paper"; "concentration", PDiscoNet's prior of one compact
            blob per part with the same encoder.
        encoder: Shape of the encoder that is trained when no weights are given, see `ecotone.nn.encoders.ENCODERS`.
        image_size: Side of the input, pixels; that of the encoder by default.
        fit: How an image becomes a square: "crop" takes the middle, "squash" all of it, "pad" fills up.
        pretrain_epochs: Epochs of training the encoder when no weights are given.
        seed: Of everything random.
        parts: Number of parts besides the background.
        epochs: Epochs of training the parts.
        batch_size: Images of a step.
        modulation: Rescaling of part vectors: "layernorm" (PDiscoFormer), "scale" (PDiscoNet) or "none".
        part_dropout: Probability that a part is left out of a training step, per image.
        noise: Gumbel noise in training.
        tau: Temperature of the part maps.
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
        presence_share: Share of the images in which each part should be present; 0 for one image of the batch, as in the paper.
        twins: Moved copies of each image that frozen features are computed for.
        twin_hue: How far moved copies are recoloured, in half turns of the hue; 0 as in the paper.
        rate_prototypes: Learning rate.
        rate_classifier: Learning rate of modulation and classifier.
        rate_encoder: Learning rate of what learns of the encoder.
    """

    preset: Literal["ecotone", "paper", "concentration"] = "ecotone"

    def resolved(self) -> PDiscoFormerConfig:
        """With the preset's values where none were given."""
        given = {k: getattr(self, k) for k in self.model_fields_set}
        return PDiscoFormerConfig(**{**PRESETS[self.preset], **given})
