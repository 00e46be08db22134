"""Drawn textures of the simulated creatures: grounds of two kinds of places, and the patterns of body parts.

A texture is a small set of numbers drawn once; drawing it again gives the same look at another place.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

Array = np.ndarray

PLACES = ("land", "water")


def hsv(hue: Array | float, saturation: Array | float, value: Array | float) -> Array:
    """(..., 3) colours of hue, saturation and value, each broadcast; hue in turns, any real number."""
    h, s, v = np.broadcast_arrays(*(np.asarray(a, dtype=np.float32) for a in (hue, saturation, value)))
    k = (np.array([5.0, 3.0, 1.0], np.float32) + h[..., None] * 6) % 6
    return v[..., None] * (1 - s[..., None] * np.clip(np.minimum(k, 4 - k), 0, 1))


@dataclass(frozen=True)
class Ground:
    """The look of one kind of ground.

    Attributes:
        place: Index into `PLACES`: land is made of specks and patches, water of waves.
        hues: Two hues, turns.
        saturation: Of both.
        values: Darkest and brightest.
        frequency: Waves or specks per half image.
        direction: Of waves and streaks, radians.
        stretch: How much longer than wide the pattern is.
    """

    place: int
    hues: tuple[float, float]
    saturation: float
    values: tuple[float, float]
    frequency: float
    direction: float
    stretch: float

    @classmethod
    def draw(cls, rng: np.random.Generator, place: int, *, reserved: bool) -> Ground:
        """A new ground; reserved ones have hues, sizes and directions that the others do not have."""
        if place == 0:
            hue = rng.uniform(0.78, 0.98) if reserved else rng.uniform(0.08, 0.33)
        else:
            hue = rng.uniform(0.36, 0.46) if reserved else rng.uniform(0.5, 0.7)
        return cls(
            place=place,
            hues=(hue, hue + rng.uniform(-0.06, 0.06)),
            saturation=rng.uniform(0.15, 0.45),
            values=(rng.uniform(0.25, 0.4), rng.uniform(0.6, 0.8)),
            frequency=rng.uniform(9, 13) if reserved else rng.uniform(3, 8),
            direction=rng.uniform(0.5, 1.0) * math.pi if reserved else rng.uniform(0, 0.5) * math.pi,
            stretch=rng.uniform(1.0, 2.5),
        )

    def paint(self, x: Array, y: Array, rng: np.random.Generator) -> Array:
        """(H, W, 3) colours at coordinates in -1..1."""
        c, s = math.cos(self.direction), math.sin(self.direction)
        u, v = (x * c + y * s) / self.stretch, y * c - x * s
        u, v = u + rng.uniform(-9, 9), v + rng.uniform(-9, 9)
        if self.place == 0:
            low, fine = _waves(u, v, self.frequency / 2, rng, 5), _waves(u, v, 2.2 * self.frequency, rng, 6)
            level = 0.5 + 0.3 * low + 0.3 * fine
        else:
            bend = _waves(u, v, self.frequency / 3, rng, 3)
            level = 0.5 + 0.35 * np.sin(2 * math.pi * (v * self.frequency / 2 + bend)) + 0.15 * bend
        level = np.clip(level, 0, 1)
        low, high = self.values
        hue = self.hues[0] + (self.hues[1] - self.hues[0]) * level
        return hsv(hue, self.saturation, low + (high - low) * level)


def _waves(u: Array, v: Array, frequency: float, rng: np.random.Generator, count: int) -> Array:
    """A smooth random field of about unit range: a few plane waves of similar length and random direction."""
    total = np.zeros_like(u)
    for angle, size, phase in zip(
        rng.uniform(0, math.pi, count), rng.uniform(0.7, 1.4, count), rng.uniform(0, 2 * math.pi, count), strict=True
    ):
        total += np.sin(math.pi * frequency * size * (u * math.cos(angle) + v * math.sin(angle)) + phase)
    return total / math.sqrt(2 * count)


def pattern(part: int, u: Array, v: Array, phase: float) -> Array:
    """Brightness pattern of a part in 0..1, the same for all classes.

    Args:
        part: Index into `creature_shapes.PARTS`: legs plain with a dark rim, tail banded, wings ribbed lengthwise, body
            cross-striped and speckled, head with rings.
        u: Position along the component in half widths.
        v: Position across.
        phase: Shift of the pattern, radians.
    """
    if part == 0:
        return np.clip(1.2 - 0.7 * np.abs(v), 0, 1)
    if part == 1:
        return 0.5 + 0.5 * np.sign(np.sin(3.2 * u + phase))
    if part == 2:
        return 0.5 + 0.5 * np.sin(7.5 * v + phase)
    if part == 3:
        return 0.5 + 0.5 * np.sin(6.5 * u + phase) * np.cos(4.5 * v)
    return 0.5 + 0.5 * np.cos(7.0 * np.hypot(u, v) + 0.3 * phase)
