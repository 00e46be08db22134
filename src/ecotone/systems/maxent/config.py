"""How Maxent learns. The defaults are the published recipe."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from ecotone.contract import Options

KINDS = ("linear", "quadratic", "product", "hinge", "threshold", "categorical")
LETTERS = {kind[0]: kind for kind in KINDS}
Background = Literal["auto", "target_group", "mixture", "uniform"]


class Config(Options):
    """Learning options of Maxent.

    Attributes:
        features: Feature kinds: "auto" chooses them for each species by its number of records (below 10 linear, below 15
            also quadratic, below 80 also hinge, else also product); or any of "linear", "quadratic", "product", "hinge",
            "threshold", "categorical"; or their first letters, such as "lqh".
        multiplier: Multiplies all penalties (beta or regularization multiplier). 0 penalises nothing.
        tune: Choose multiplier and feature kinds by blocked cross-validation on the records: multipliers 0.5, 1, 2 and 4 with
            "auto", "lq" and "lqh" beside the two options given, which are kept unless another gains more AUC on held-out
            blocks than the gain's standard error over species (over folds for one).
        hinges: Hinges per side and covariate; maxnet's 50 knots make 49.
        thresholds: Threshold features per covariate, where asked for.
        knots: Knots of hinges and thresholds are spaced "even"ly, or at "quantile"s of the background.
        clamp: Covariates outside the training range are moved to its nearest end.
        background: What a species is compared with. "auto": uniform cells where they are given, as Maxent does, else the
            sites; "uniform": random valid cells; "target_group": sites with a record of any species; "mixture": both.
        uniform_share: Share of the background weight on uniform cells, for "mixture" (0..1).
        smoothing: Uniform pseudo-sites added to a target group: they get the share smoothing / sites of its weight, at most
            10 %.
        members: 1 fits all records. More fit as many bootstrap replicates of each species' records, whose
            mean log-intensity is the answer and whose spread is its uncertainty.
        tolerance: Largest duality gap of a certified solution, in nats.
        max_iterations: A species that has not reached the tolerance by then is named in a warning.
        seed: Of the bootstrap.
    """

    features: Literal["auto"] | tuple[str, ...] = "auto"
    multiplier: float = Field(default=1.0, ge=0, le=1e4)
    tune: bool = False
    hinges: int = Field(default=49, ge=1, le=200)
    thresholds: int = Field(default=50, ge=1, le=200)
    knots: Literal["even", "quantile"] = "even"
    clamp: bool = True
    background: Background = "auto"
    uniform_share: float = Field(default=0.3, ge=0, le=1)
    smoothing: float = Field(default=0.0, ge=0, le=1e6)
    members: int = Field(default=1, ge=1, le=1000)
    tolerance: float = Field(default=1e-5, gt=0, le=1)
    max_iterations: int = Field(default=100, ge=1, le=100_000)
    seed: int = Field(default=0, ge=0, lt=2**32)

    @field_validator("features", mode="before")
    @classmethod
    def _known_features(cls, value: Any) -> Any:
        words = [value] if isinstance(value, str) else list(value)
        words = [word for part in words for word in str(part).split(",") if word]
        if words == ["auto"]:
            return "auto"
        if len(words) == 1 and words[0] not in KINDS and set(words[0].lower()) <= set(LETTERS):
            words = [LETTERS[letter] for letter in words[0].lower()]
        for word in words:
            if word not in KINDS:
                raise ValueError(f"unknown feature kind {word!r}, known: auto, {', '.join(KINDS)}")
        if not words:
            raise ValueError("at least one feature kind is needed")
        return tuple(kind for kind in KINDS if kind in words)


LIMITS: dict[str, float] = {"members": 1000, "hinges": 200, "thresholds": 200}
