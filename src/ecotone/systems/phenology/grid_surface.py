"""What the whole loss surface says of the parameters found on it: profiles, bounds, near-optimal set, correlations.

Letters: B bases, C outer values, K requirements.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ecotone.errors import UsageError, suggest
from ecotone.systems.phenology.grid_search import OUTER, Axes

Array = np.ndarray
CHI2 = 3.841458820694124  # 95 % point with one degree of freedom


@dataclass(frozen=True)
class Cell:
    """Parameters of one fit: base temperature (degC), outer value(s), requirement."""

    base: float
    outer: tuple[float, ...]
    requirement: float

    def named(self, structure: str) -> dict[str, float]:
        """By name."""
        return {
            "base": self.base,
            **dict(zip(OUTER[structure], self.outer, strict=True)),
            "requirement": self.requirement,
        }


@dataclass(frozen=True)
class Surface:
    """The loss surface of one fit, reduced to what is asked of it.

    Attributes:
        structure: A key of `structures.STRUCTURES`.
        cell: The parameters chosen.
        place: Their indices (b, c, k).
        loss: Mean loss of a season there, days^2 or days.
        seasons: Seasons it rests on.
        effective: Distinct station-years among them: what they count as, at most.
        limited: Seasons in which a tenth less chill would bring an earlier bloom; None where the structure has no chill
            requirement. In the others, winters in which chill never limits, the season says nothing of chill.
        near: Cells whose loss is within the 95 % profile bound, least * exp(3.84 / seasons); as many near-optimal answers.
        correlation: Correlation of each pair of parameters over the near-optimal cells, by "first~second"; left out where
            one of them does not vary.
        width: Share of each axis on which near-optimal cells lie, 0 to 1: 1 means the data say nothing of it.
        profiles: Per axis ("base", "outer", "requirement") values and smallest mean losses.
        at_bound: Names of parameters at an end of their axis.
    """

    structure: str
    cell: Cell
    place: tuple[int, int, int]
    loss: float
    seasons: int
    effective: int
    limited: int | None
    near: int
    correlation: dict[str, float]
    width: dict[str, float]
    profiles: dict[str, tuple[Array, Array]] = field(repr=False)
    at_bound: tuple[str, ...]

    @property
    def unlimited(self) -> int | None:
        """Winters in which chill never limits."""
        return None if self.limited is None else self.seasons - self.limited

    def profile(self, parameter: str) -> tuple[Array, Array]:
        """Values of a parameter and the smallest mean loss at each, over all others."""
        if parameter not in self.profiles:
            raise UsageError("US101", "parameter", f"{parameter!r} is unknown", suggest(parameter, self.profiles))
        return self.profiles[parameter]


def surface(
    structure: str,
    axes: Axes,
    loss: Array,
    place: tuple[int, int, int],
    seasons: int,
    effective: int,
    limited: int | None,
    cell: Cell | None = None,
) -> Surface:
    """Reduces a table of summed losses (B, C, K); with requirements per site, (B, C, 1) of their best, and the cell given.

    The profile of the requirement is taken at the base temperature found, as its scale is another at every base.
    """
    b, c, k = place
    mean = loss / max(seasons, 1)
    free = loss.shape[2] > 1
    cell = cell or Cell(float(axes.base[b]), tuple(float(x) for x in axes.outer[c]), float(axes.requirement[b, k]))
    names = OUTER[structure]
    best = mean.min(axis=2)  # (B, C)
    profiles: dict[str, tuple[Array, Array]] = {"base": (axes.base, best.min(axis=1))}
    for j, name in enumerate(names):
        values, group = np.unique(axes.outer[:, j], return_inverse=True)
        lowest = np.full(len(values), np.inf)
        np.minimum.at(lowest, group, best.min(axis=0))
        profiles[name] = (values, lowest)
    if free:
        profiles["requirement"] = (axes.requirement[b], mean[b].min(axis=0))
    bound = mean.min() * np.exp(CHI2 / max(seasons, 1)) + 1e-12
    cells = np.argwhere(mean <= bound)
    columns = {"base": axes.base[cells[:, 0]]}
    columns |= {name: axes.outer[cells[:, 1], j] for j, name in enumerate(names)}
    if free:
        columns["requirement"] = axes.requirement[cells[:, 0], cells[:, 2]]
    pairs = [(x, y) for i, x in enumerate(columns) for y in list(columns)[i + 1 :]]
    varies = {name for name, values in columns.items() if np.ptp(values) > 0}
    found = {f"{x}~{y}": float(np.corrcoef(columns[x], columns[y])[0, 1]) for x, y in pairs if {x, y} <= varies}
    ends = [name for name, value in cell.named(structure).items() if name in profiles
            and len(profiles[name][0]) > 1 and value in (profiles[name][0][0], profiles[name][0][-1])]  # fmt: skip
    return Surface(
        structure=structure,
        cell=cell,
        place=place,
        loss=float(mean[b, c, min(k, loss.shape[2] - 1)]),
        seasons=seasons,
        effective=effective,
        limited=limited,
        near=len(cells),
        correlation=found,
        width={name: float((p[1] <= bound).mean()) for name, p in profiles.items()},
        profiles=profiles,
        at_bound=tuple(ends),
    )
