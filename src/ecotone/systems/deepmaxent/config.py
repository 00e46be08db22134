"""How DeepMaxent learns: the options, and the two presets.

An option left at None takes its value from the preset, so that `preset="paper"` is the published recipe and every single
option can still be changed.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from ecotone.contract import Options
from ecotone.data.features import KINDS

Loss = Literal["maxent", "poisson", "ce", "bce"]
Background = Literal["auto", "target_group", "mixture", "uniform"]
Normaliser = Literal["batch", "full", "memory"]

PRESETS: dict[str, dict[str, Any]] = {
    # arXiv 2412.19217 and its launcher for the NCEAS benchmark
    "paper": {
        "features": ("linear",),
        "background": "target_group",
        "smoothing": 0.0,
        "width": 250,
        "blocks": 2,
        "dropout": 0.0,
        "learning_rate": 2e-4,
        "schedule": "constant",
        "weight_decay": 3e-4,
        "epochs": 100,
        "batch_size": 250,
        "even_batches": False,
        "min_steps": 0,
        "members": 1,
    },
    "ecotone": {
        "features": ("linear", "quantile"),
        "background": "auto",
        "smoothing": 50.0,
        "width": 128,
        "blocks": 2,
        "dropout": 0.3,
        "learning_rate": 2e-3,
        "schedule": "cosine",
        "weight_decay": 3e-4,
        "epochs": 40,
        "batch_size": 250,
        "even_batches": True,
        "min_steps": 100,
        "members": 5,
    },
}


class Config(Options):
    """Learning options of DeepMaxent.

    Attributes:
        preset: "ecotone" (ours) or "paper" (as published).
        loss: "maxent" is the method; "poisson", "ce" (softmax over species) and "bce" are the same network for comparison.
        background: What a species is compared with. "target_group": sites with a record of any species; "uniform": random
            valid cells; "mixture": both, `uniform_share` of the weight on uniform cells; "auto": target group where it is
            defined, with the share chosen by blocked validation on the records themselves.
        uniform_share: Share of the background weight on uniform cells, for "mixture" (0..1).
        smoothing: Uniform pseudo-sites added to a target group: they get the share smoothing / sites of its weight, at most
            10 %, so that a species is thought unlikely where nobody recorded anything. 0 (published) adds none.
        normaliser: "batch" (published): over the batch's sites; "full": over all sites; "memory": a running average.
        features: Kinds made of each continuous covariate.
        hinges: Hinge knots per side, for "hinge" features.
        width: Units per hidden layer.
        blocks: Residual blocks; 0 gives multi-response Maxent on the features.
        dropout: Share of hidden units dropped in training.
        learning_rate: Adam's step size.
        schedule: "constant", or "cosine" down to 0.
        weight_decay: L2 penalty.
        epochs: Passes over the sites.
        batch_size: Sites per step.
        even_batches: Batches of nearly equal size, rather than a short last one (published).
        min_steps: Least number of steps, for jobs with few sites; more epochs are run to reach it.
        background_batch: Uniform cells per step, where there are any.
        species_weight: Exponent b; a species' loss is divided by its number of records to the power b.
            0 (published) lets common species weigh most, 1 makes all equal.
        members: Ensemble members trained at once.
        seed: Where all randomness starts.
        device: "auto", "cpu" or "cuda".
        devices: Devices that share each batch, one process each; the normaliser still runs over the whole batch, so the
            result is that of one device up to rounding.
    """

    preset: Literal["ecotone", "paper"] = "ecotone"
    loss: Loss = "maxent"
    background: Background | None = None
    uniform_share: float = Field(default=0.3, ge=0, le=1)
    smoothing: float | None = Field(default=None, ge=0, le=1e6)
    normaliser: Normaliser = "batch"
    features: tuple[str, ...] | None = None
    hinges: int = Field(default=10, ge=1, le=200)
    width: int | None = Field(default=None, ge=1, le=8192)
    blocks: int | None = Field(default=None, ge=0, le=64)
    dropout: float | None = Field(default=None, ge=0, lt=1)
    learning_rate: float | None = Field(default=None, gt=0, le=10)
    schedule: Literal["constant", "cosine"] | None = None
    weight_decay: float | None = Field(default=None, ge=0, le=10)
    epochs: int | None = Field(default=None, ge=1, le=1_000_000)
    batch_size: int | None = Field(default=None, ge=1, le=10_000_000)
    even_batches: bool | None = None
    min_steps: int | None = Field(default=None, ge=0, le=10_000_000)
    background_batch: int = Field(default=125, ge=1, le=10_000_000)
    species_weight: float = Field(default=0.0, ge=0, le=1)
    members: int | None = Field(default=None, ge=1, le=1000)
    seed: int = Field(default=0, ge=0, lt=2**32)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    devices: int = Field(default=1, ge=1, le=1024)

    @field_validator("features", mode="before")
    @classmethod
    def _known_features(cls, value: Any) -> Any:
        kinds = (value,) if isinstance(value, str) else value
        for kind in kinds or ():
            if kind not in KINDS:
                raise ValueError(f"unknown feature kind {kind!r}, known: {', '.join(KINDS)}")
        return kinds

    def resolved(self) -> Config:
        """The same options with every None replaced by the preset's value."""
        chosen = {key: value for key, value in PRESETS[self.preset].items() if getattr(self, key) is None}
        return self.model_copy(update=chosen)


LIMITS: dict[str, float] = {"width": 8192, "blocks": 64, "members": 1000, "hinges": 200}
