"""How iFAM learns, and what a question to it may add."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from ecotone.vision.options import Ask, Query
from ecotone.vision.part_config import PartConfig

QUANTILES = (0.0, 0.01, 0.03, 0.05, 0.1)


class IfamConfig(PartConfig):
    """Learning options of iFAM; the class loss of the second stage has weight 1, `classification` is that of the first.

    Attributes:
        stages: Whether the second stage has an encoder of its own, which learns, or shares that of the first.
        mask_dropout: Probability that a part is left out of the mask in a training step, per image.
        mask_gradient: Whether the second stage's loss shapes the parts.
        quota: Share of dropped patches that a training step computes all the same, so that they get a gradient.
        area: Largest share of the image that the mask may take without a cost; 1 for no budget.
        area_weight: Weight of what lies above the budget.
        rate_second: Learning rate of the second stage's encoder.
    """

    stages: Literal["separate", "shared"] = "separate"
    mask_dropout: float = Field(default=0.3, ge=0, lt=1)
    mask_gradient: bool = True
    quota: float = Field(default=0.1, ge=0, le=1)
    area: float = Field(default=1.0, gt=0, le=1)
    area_weight: float = Field(default=10.0, ge=0)
    rate_second: float = Field(default=2e-4, gt=0, le=1)


class IfamQuery(Query):
    """What `predict`, `evaluate` and `explain` read; without images the test images of `fit` are meant.

    Attributes:
        masks: Folder with a mask for each image, of the same name, white where the second stage may look; in place of the learned
            selection.
    """

    masks: Any = None


class IfamAsk(Ask):
    """What a question may add.

    Attributes:
        min_confidence: Leave out patches among the least certain ones of their part, a share of those in training: 0, 0.01,
            0.03, 0.05 or 0.1.
        region: Where the second stage may look: the learned "parts", or the "boxes" of the table.
    """

    min_confidence: float = 0.0
    region: Literal["parts", "boxes"] = "parts"

    @field_validator("min_confidence")
    @classmethod
    def _stored(cls, value: float) -> float:
        if value not in QUANTILES:
            raise ValueError(f"should be one of {', '.join(f'{q:g}' for q in QUANTILES)}")
        return value
