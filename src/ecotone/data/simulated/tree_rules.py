"""What a simulated tree does with an hour: the chill it takes from it and the forcing.

Several shapes of chill response occur in the literature and none is known to be right, so a world draws one of five. All
lie between 0 and 1, reach 1 at their peak and are never negative.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Array = np.ndarray

SHAPES = ("triangular", "steps", "bell", "plateau", "asymmetric")
_EDGE = 0.6  # degC: softness of the edges of a plateau


@dataclass(frozen=True)
class ChillResponse:
    """Chill of an hour at a temperature.

    Attributes:
        shape: "triangular", "steps" (half and whole units as in Richardson et al. 1974, without negative ones), "bell",
            "plateau" (all or nothing with soft edges) or "asymmetric" (a bell steeper on one side).
        peak: degC; the middle where the top is flat.
        cool: How far it reaches below the peak, degC: to zero (triangular, steps), to half (plateau), or one standard
            deviation (bell, asymmetric).
        warm: The same above the peak.
    """

    shape: str
    peak: float
    cool: float
    warm: float

    def __call__(self, temperature: Array) -> Array:
        """Units of 0 to 1 per hour, of the shape of `temperature` (degC)."""
        t = np.asarray(temperature)
        t = t.astype(np.float64) if t.dtype.kind != "f" else t
        away = t - self.peak
        width = np.where(away < 0, t.dtype.type(self.cool), t.dtype.type(self.warm))
        if self.shape == "triangular":
            return np.maximum(1 - np.abs(away) / width, 0)
        if self.shape == "steps":
            reach = np.abs(away) / width
            return ((reach < 1).astype(t.dtype) + (reach < 0.6)) / 2
        if self.shape == "plateau":
            return _plateau(away, self.cool, self.warm) / _plateau(np.zeros(()), self.cool, self.warm)
        return np.exp(-0.5 * (away / width) ** 2)


def _plateau(away: Array, cool: float, warm: float) -> Array:
    """Two logistic edges; for equal reaches the largest value lies in the middle."""
    return 1 / ((1 + np.exp(-(away + cool) / _EDGE)) * (1 + np.exp((away - warm) / _EDGE)))


def draw_response(rng: np.random.Generator, peaks: tuple[float, float], shape: str | None = None) -> ChillResponse:
    """Draws a response with its peak between two temperatures (degC); of one shape when that is given.

    The same numbers are drawn for every shape, so that what a world draws afterwards does not depend on it.
    """
    drawn = SHAPES[int(rng.integers(len(SHAPES)))]
    shape = drawn if shape is None else shape
    peak, a, b, steep = rng.uniform(*peaks), rng.uniform(), rng.uniform(), bool(rng.integers(2))
    if shape == "triangular":
        cool, warm = 4 + 4 * a, 4 + 5 * b
    elif shape == "steps":
        cool, warm = 3.5 + 2 * a, 5 + 2 * b
    elif shape in ("bell", "plateau"):
        cool = warm = 2.5 + 2 * a
    else:
        cool, warm = (1.5 + 1.5 * a, 3.5 + 2 * b) if steep else (3.5 + 2 * b, 1.5 + 1.5 * a)
    return ChillResponse(shape, round(peak, 2), round(cool, 2), round(warm, 2))


@dataclass(frozen=True)
class Forcing:
    """Forcing of an hour at a temperature.

    Attributes:
        kind: "gdd", degrees above a base, or "sigmoid", a share between 0 and 1.
        base: degC: the base, or where the sigmoid is a half.
        width: degC: a sigmoid goes from 0.27 to 0.73 in two widths; 0 for degrees above a base.
    """

    kind: str
    base: float
    width: float = 0.0

    def __call__(self, temperature: Array) -> Array:
        """Degrees, or a share, of the shape of `temperature` (degC); their mean over a day counts in days."""
        t = np.asarray(temperature)
        if self.kind == "gdd":
            return np.maximum(t - self.base, 0)
        return 1 / (1 + np.exp((self.base - t) / self.width))


def draw_forcing(
    rng: np.random.Generator, kind: str, bases: tuple[float, float], widths: tuple[float, float]
) -> Forcing:
    """Draws a base between two temperatures (degC), or a sigmoid around 10 to 15 degC of a width between two (degC)."""
    a, b = rng.uniform(), rng.uniform()
    if kind == "gdd":
        return Forcing(kind, round(bases[0] + (bases[1] - bases[0]) * a, 2))
    return Forcing(kind, round(10 + 5 * a, 2), round(widths[0] + (widths[1] - widths[0]) * b, 2))
