"""The models of `ecotone bench cherry`, by name.

A model is one line: its kind, the module and class it lives in, its fixed options, and whether a seed changes it. A model
whose module this version lacks is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Literal

from ecotone.systems.phenology.distribution import BloomModel

Kind = Literal["plain", "learned", "biophysical", "biophysical by group", "hybrid"]
_HOME = "ecotone.systems.phenology."


@dataclass(frozen=True)
class ModelEntry:
    """How a model is made.

    Attributes:
        kind: "plain" and "learned" baselines, "biophysical" (per site or pooled over all), "biophysical by group" (pooled
            within a species or country), or "hybrid".
        target: "module:Class" below `ecotone.systems.phenology`.
        options: Fixed arguments.
        seeded: Takes `seed`; other models are fitted once where the split does not change either.
        members: Takes `members`, the size of the ensemble.
        slow: Takes hours; run only when named.
    """

    kind: Kind
    target: str
    options: Mapping[str, Any] = field(default_factory=dict)
    seeded: bool = False
    members: bool = False
    slow: bool = False

    @property
    def ready(self) -> bool:
        """Whether this version has it."""
        return find_spec(_HOME + self.target.partition(":")[0]) is not None

    def make(self, *, seed: int, members: int) -> BloomModel:
        """An unfitted model."""
        module, _, name = self.target.partition(":")
        extra = {"seed": seed} if self.seeded else {}
        extra |= {"members": members} if self.members else {}
        kind = getattr(import_module(_HOME + module), name)
        if self.kind != "biophysical by group":
            return kind(**self.options, **extra)
        from ecotone.systems.phenology.by_group import ByGroup

        return ByGroup(lambda: kind(**self.options, **extra))


def _grid(
    structure: str,
    chill: str | None = None,
    pooled: bool | str = False,
    forcing: str = "gdd",
    kind: Kind = "biophysical",
) -> ModelEntry:
    options = {"structure": structure, "chill": chill, "pooled": pooled, "forcing": forcing}
    return ModelEntry(kind, "grid:GridPhenology", options)


def _by_group(structure: str, chill: str | None = None, forcing: str = "gdd") -> ModelEntry:
    return _grid(structure, chill, "requirement", forcing, "biophysical by group")


MODELS: dict[str, ModelEntry] = {
    "site_mean": ModelEntry("plain", "baselines.simple:SiteMean"),
    "site_trend": ModelEntry("plain", "baselines.simple:SiteTrend"),
    "spring": ModelEntry("learned", "baselines.spring:SpringRegression"),
    "ridge": ModelEntry("learned", "baselines.weekly:WeeklyRidge"),
    "boosting": ModelEntry("learned", "baselines.weekly:WeeklyBoosting"),
    "thermal_time": _grid("thermal time"),
    "thermal_time_pooled": _grid("thermal time", pooled=True),
    "thermal_time_requirement": _grid("thermal time", pooled="requirement"),
    "thermal_time_sigmoid": _grid("thermal time", forcing="sigmoid_chuine"),
    "thermal_time_sigmoid_requirement": _grid("thermal time", pooled="requirement", forcing="sigmoid_chuine"),
    "utah_gdd": _grid("sequential", "utah"),
    "utah_gdd_pooled": _grid("sequential", "utah", pooled=True),
    "utah_gdd_requirement": _grid("sequential", "utah", pooled="requirement"),
    "chill_hours_gdd": _grid("sequential", "chill_hours"),
    "chill_hours_gdd_pooled": _grid("sequential", "chill_hours", pooled=True),
    "chill_days_gdd": _grid("sequential", "chill_days"),
    "chill_days_gdd_pooled": _grid("sequential", "chill_days", pooled=True),
    "thermal_time_by_group": _by_group("thermal time"),
    "thermal_time_sigmoid_by_group": _by_group("thermal time", forcing="sigmoid_chuine"),
    "utah_gdd_by_group": _by_group("sequential", "utah"),
    "lstm": ModelEntry("learned", "lstm:LstmPhenology", seeded=True, members=True),
    "hybrid": ModelEntry("hybrid", "hybrid.estimator:HybridPhenology", seeded=True, members=True),
    "hybrid_paper": ModelEntry(
        "hybrid", "hybrid.estimator:HybridPhenology", {"preset": "paper"}, seeded=True, members=True, slow=True
    ),
}


def ready_models(*, every: bool = False) -> list[str]:
    """Names of the models this version has, in the order of the table; slow ones only with `every`."""
    return [name for name, entry in MODELS.items() if entry.ready and (every or not entry.slow)]
