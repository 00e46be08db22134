"""Anatomy of the simulated creatures: where the components of each part lie for a pose, as ellipses and capsules.

The creature is seen from above in a frame of its own: x forward, y to its left, one unit is the length of its body.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

Array = np.ndarray

PARTS = ("legs", "tail", "wings", "body", "head")
"""Part names in the order in which they are drawn, lowest first."""


@dataclass(frozen=True)
class Component:
    """One piece of a part.

    Attributes:
        part: Index into `PARTS`.
        name: What its keypoint is called.
        centre: (x, y).
        along: Half length.
        across: Half width.
        angle: Direction of its length, radians.
        capsule: A rounded bar instead of an ellipse.
        key: (x, y) of its keypoint.
    """

    part: int
    name: str
    centre: tuple[float, float]
    along: float
    across: float
    angle: float
    capsule: bool
    key: tuple[float, float]

    def local(self, x: Array, y: Array) -> tuple[Array, Array, Array]:
        """Coordinates along and across in units of the half width, and the signed distance to the edge (inside positive).

        Args:
            x: Any shape, in the creature's frame.
            y: The same.
        """
        c, s = math.cos(self.angle), math.sin(self.angle)
        dx, dy = x - self.centre[0], y - self.centre[1]
        u, v = dx * c + dy * s, dy * c - dx * s
        if self.capsule:
            rest = np.maximum(np.abs(u) - (self.along - self.across), 0.0)
            inside = self.across - np.sqrt(rest * rest + v * v)
        else:
            radius = np.sqrt((u / self.along) ** 2 + (v / self.across) ** 2)
            # first-order distance to an ellipse: good to a few percent near the edge, where it decides
            slope = np.sqrt((u / self.along**2) ** 2 + (v / self.across**2) ** 2)
            inside = (1 - radius) * radius / np.maximum(slope, 1e-6)
            inside = np.where(radius < 1e-3, min(self.along, self.across), inside)
        return u / self.across, v / self.across, inside


def anatomy(rng: np.random.Generator, pairs: int) -> list[Component]:
    """Components of one creature in a random pose, in drawing order.

    Args:
        rng: Where the pose comes from.
        pairs: 0 for one wing and one leg, so that each part is one piece; 1, 2 or 3 pairs of legs otherwise, and two wings
            (four with 3 pairs).
    """
    found: list[Component] = []
    sides = (1,) if pairs == 0 else (1, -1)
    # legs: bars that leave the flank
    rows = {0: (0.0,), 1: (-0.05,), 2: (0.24, -0.26), 3: (0.3, 0.0, -0.3)}[pairs]
    for k, at in enumerate(rows):
        for side in sides:
            lean = rng.uniform(-0.35, 0.35) + (-0.5 if at < 0 else 0.35)
            direction = side * (math.pi / 2 - lean)
            half = rng.uniform(0.26, 0.32)
            root = (at, side * 0.12)
            centre = (root[0] + half * math.cos(direction), root[1] + half * math.sin(direction))
            tip = (root[0] + 1.5 * half * math.cos(direction), root[1] + 1.5 * half * math.sin(direction))
            name = f"leg{k + 1}{'l' if side > 0 else 'r'}"
            found.append(Component(0, name, centre, half, 0.1, direction, True, tip))
    # tail: two joints
    bend = rng.uniform(-0.5, 0.5)
    first, at = math.pi + bend * 0.6, (-0.42, 0.0)
    middle = (at[0] + 0.34 * math.cos(first), at[1] + 0.34 * math.sin(first))
    second = first + bend
    for k, (start, direction) in enumerate(((at, first), (middle, second))):
        centre = (start[0] + 0.17 * math.cos(direction), start[1] + 0.17 * math.sin(direction))
        found.append(Component(1, f"tail{k + 1}", centre, 0.25, 0.125 - 0.015 * k, direction, True, centre))
    # wings
    for place, size in ((0.12, 1.0), (-0.2, 0.75))[: 2 if pairs == 3 else 1]:
        for side in sides:
            direction = side * (math.pi / 2 + rng.uniform(-0.45, 0.45))
            half = 0.4 * size * rng.uniform(0.9, 1.1)
            centre = (place + (half + 0.08) * math.cos(direction), (half + 0.08) * math.sin(direction))
            name = f"wing{1 if place > 0 else 2}{'l' if side > 0 else 'r'}"
            found.append(Component(2, name, centre, half, 0.2 * size, direction, False, centre))
    found.append(Component(3, "body", (0.0, 0.0), 0.5, rng.uniform(0.2, 0.24), 0.0, False, (0.0, 0.0)))
    turn = rng.uniform(-0.5, 0.5)
    centre = (0.42 + 0.22 * math.cos(turn), 0.22 * math.sin(turn))
    found.append(Component(4, "head", centre, 0.23, 0.19, turn, False, centre))
    return found
