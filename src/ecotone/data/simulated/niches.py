"""Where simulated species live: guilds that share a few hidden gradients.

The gradients are curved functions of several covariates (warmth, moisture, soil, shelter, continentality), the same for
all species, so that learning them from many species at once pays. A species has a single peak along two or three of
them, with an interaction between the first two and a tail heavier than a Gaussian's; rock and tree cover add steps that
are mostly shared within a guild; an unexplained smooth field of its own stands for history and dispersal.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Array = np.ndarray

CONTINUOUS = ("temperature", "precipitation", "seasonality", "soil_ph", "coast_distance", "tree_cover")
GRADIENTS = ("warmth", "moisture", "soil", "shelter", "continentality")
_GUILDS = 5
_TAIL = 4.0


@dataclass(frozen=True, eq=False)
class Niches:
    """Parameters of S species in G gradients.

    Attributes:
        centre: (G,) mean of the raw gradients over the present land.
        scale: (G,) their standard deviation.
        optimum: (S, G) peak, in standard deviations of the gradient.
        breadth: (S, G) width of the peak, same unit.
        uses: (S, G) 0/1, which gradients matter.
        tilt: (S,) interaction of warmth and moisture, a correlation.
        rock: (S, 6) effect of rock codes 0..5 on the log-intensity.
        cover: (S,) height of the step at `edge` of tree cover.
        edge: (S,) tree cover of the step, percent.
        intercept: (S,) so that the wanted share of cells is occupied.
        guild: (S,) guild number.
    """

    centre: Array
    scale: Array
    optimum: Array
    breadth: Array
    uses: Array
    tilt: Array
    rock: Array
    cover: Array
    edge: Array
    intercept: Array
    guild: Array

    def log_intensity(self, table: Array, rock: Array, history: Array) -> Array:
        """Log of the expected number of individuals per cell.

        Args:
            table: (C, 6) covariates in the order of `CONTINUOUS`.
            rock: (C,) rock codes.
            history: (C, S) the unexplained field.

        Returns:
            (C, S).
        """
        gradient = (gradients(table) - self.centre) / self.scale
        out = np.empty((len(table), len(self.tilt)))
        for j in range(len(self.tilt)):
            off = (gradient - self.optimum[j]) / self.breadth[j] * self.uses[j]
            distance = (off**2).sum(axis=1) - 2 * self.tilt[j] * off[:, 0] * off[:, 1]
            step = 1 / (1 + np.exp(-np.clip((table[:, 5] - self.edge[j]) / 6, -30, 30))) - 0.5
            out[:, j] = -_TAIL * np.log1p(distance / (2 * _TAIL)) + self.cover[j] * step
        return out + self.rock[:, rock].T + self.intercept + history


def gradients(table: Array) -> Array:
    """The hidden gradients (C, 5) behind covariates (C, 6), not standardised."""
    temperature, precipitation, seasonality, ph, coast, tree = table.T
    moisture = np.log(precipitation / np.maximum(temperature + 12, 2))
    warmth = 12 * np.tanh((temperature - 13) / 12) + 0.4 * seasonality
    soil = ph - 0.35 * np.tanh(moisture - 3.3)
    shelter = np.log1p(coast / 6) * (0.4 + tree / 100)
    continentality = seasonality - 0.05 * temperature
    return np.stack((warmth, moisture, soil, shelter, continentality), axis=1)


def draw_niches(rng: np.random.Generator, table: Array, rock: Array, history: Array, occupied: Array) -> Niches:
    """Draws niches that exist in the given land.

    Args:
        rng: Source of the draw.
        table: (C, 6) covariates of the land.
        rock: (C,) rock codes.
        history: (C, S) the unexplained field.
        occupied: (S,) share of cells each species should occupy.

    Returns:
        The niches.
    """
    raw = gradients(table)
    centre, scale = raw.mean(axis=0), raw.std(axis=0)
    gradient = (raw - centre) / scale
    s, g = len(occupied), raw.shape[1]
    guild = rng.permutation(np.arange(s) % _GUILDS)
    home = _spread_out(rng, gradient)
    low, high = np.quantile(gradient, [0.03, 0.97], axis=0)
    uses = np.zeros((s, g))
    uses[:, :2] = 1
    third = (guild + (rng.random(s) < 0.25)) % 3 + 2
    uses[np.arange(s), third] = rng.random(s) < 0.85
    generality = (occupied / np.exp(np.log(occupied).mean())) ** 0.25  # common species are generalists
    parts = {
        "centre": centre,
        "scale": scale,
        "optimum": np.clip(home[guild] + 0.80 * rng.standard_normal((s, g)), low, high),
        "breadth": generality[:, None] * 0.75 * np.exp(0.30 * rng.standard_normal((s, g))),
        "uses": uses,
        "tilt": rng.uniform(-0.6, 0.6, s),
        "rock": (0.6 * rng.standard_normal((_GUILDS, 6)))[guild] + 0.25 * rng.standard_normal((s, 6)),
        "cover": (0.9 * rng.standard_normal(_GUILDS))[guild] + 0.3 * rng.standard_normal(s),
        "edge": rng.uniform(20, 70, _GUILDS)[guild] + 5 * rng.standard_normal(s),
        "guild": guild,
    }
    rough = Niches(**parts, intercept=np.zeros(s))
    return Niches(**parts, intercept=_intercepts(rough.log_intensity(table, rock, history), occupied))


def _spread_out(rng: np.random.Generator, gradient: Array) -> Array:
    """(guilds, G) places that exist on land and lie far from each other."""
    places = gradient[rng.integers(len(gradient), size=200)]
    chosen = [places[0]]
    for _ in range(_GUILDS - 1):
        gap = np.min([((places - c)[:, :3] ** 2).sum(axis=1) for c in chosen], axis=0)
        chosen.append(places[int(np.argmin(np.abs(gap - np.quantile(gap, 0.8))))])
    return np.array(chosen)


def _intercepts(log_intensity: Array, occupied: Array) -> Array:
    """(S,) by bisection: the mean of 1 - exp(-intensity) over cells becomes `occupied`."""
    relative = np.exp(log_intensity - log_intensity.max(axis=0))
    low, high = np.full(len(occupied), -12.0), np.full(len(occupied), 12.0)
    for _ in range(36):
        middle = (low + high) / 2
        above = -np.expm1(-relative * np.exp(middle)).mean(axis=0) > occupied
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return (low + high) / 2 - log_intensity.max(axis=0)
