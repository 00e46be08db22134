"""How PDiscoFormer learns: our recipe, the paper's, and PDiscoNet with the same encoder as the opponent."""

from __future__ import annotations

from typing import Any, Literal

from ecotone.vision.part_config import PartConfig

PRESETS: dict[str, dict[str, Any]] = {
    "ecotone": {},
    # arXiv 2407.04538 at batch 16: base rate 1e-6, prototypes a thousand and modulation and classifier ten thousand times that
    "paper": {
        "standardise": False, "schedule": "steps", "start": "random", "trainable": "tokens", "batch_size": 16,
        "rate_encoder": 1e-6, "rate_prototypes": 1e-3, "rate_classifier": 1e-2,
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
    """

    preset: Literal["ecotone", "paper", "concentration"] = "ecotone"

    def resolved(self) -> PDiscoFormerConfig:
        """With the preset's values where none were given."""
        given = {k: getattr(self, k) for k in self.model_fields_set}
        return PDiscoFormerConfig(**{**PRESETS[self.preset], **given})
