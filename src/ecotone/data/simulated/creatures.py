"""Simulated creatures: images of articulated animals with exact part masks, keypoints and a ground that may give them away.

Each creature has five parts (`PARTS`), some made of several components: two wings, four legs, a jointed tail. A class is a
combination of part colours. Colours of one part vary over classes as much as they differ between neighbouring parts, so that
neither colour alone tells a part nor one part alone a class; each part has a pattern, a shape and a place in the body that all
classes share. Classes are of two kinds (`kind`), which the sum of their part variants tells; in a biased world creatures of
kind 0 stand on land and those of kind 1 on water with probability `correlation`, which makes four groups, kind x place. Some
ground textures are reserved for test images.

The world is an exam: its defaults were settled before any method was tuned on it and are not changed afterwards;
``benchmarks/creatures_card.py`` measures how hard it is. Letters: N images, K parts, P keypoints, S pixels of a side.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from ecotone.data.simulated.creature_shapes import PARTS, Component, anatomy
from ecotone.data.simulated.textures import PLACES, Ground, hsv, pattern
from ecotone.errors import UsageError

Array = np.ndarray

VARIANTS = 3
GROUNDS = 8  # of each place and status
_TEST_SEED, _TRAIN_SEED, _WORLD_SEED = 2, 1, 0


@dataclass(frozen=True)
class CreatureWorld:
    """What the creatures of a world are like; images are drawn with `draw`.

    Attributes:
        seed: What all randomness starts from.
        classes: Number of classes, even; half of them of each kind.
        size: S.
        pairs: Pairs of legs, 1 to 3 (3: also two pairs of wings); 0 makes every part one piece.
        overlap: How far colours of a part reach into those of its neighbours in hue: 0 not at all, 1 all the way.
        distractors: Coloured blobs on the ground, at most.
        heading: The body turns up to this many degrees either way.
        missing: Probability that a wing or leg is not there.
        spread: Standard deviation of a part's hue between individuals of a class, turns.
        odd: Probability that a part of an individual has the colour of another variant.
        noise: Standard deviation of pixel noise, in units of full brightness.
        codes: (classes, K) colour variant of each part.
        grounds: Textures for training and test, per place.
        reserved: Textures for test images of unseen ground, per place.
    """

    seed: int = 0
    classes: int = 12
    size: int = 96
    pairs: int = 2
    overlap: float = 0.75
    distractors: int = 3
    heading: float = 60.0
    missing: float = 0.1
    spread: float = 0.03
    odd: float = 0.05
    noise: float = 0.03
    codes: Array = field(init=False, repr=False)
    grounds: tuple[tuple[Ground, ...], ...] = field(init=False, repr=False)
    reserved: tuple[tuple[Ground, ...], ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for name, low, high in (("classes", 2, 40), ("size", 16, 1024), ("pairs", 0, 3), ("distractors", 0, 50)):
            if not low <= getattr(self, name) <= high:
                raise UsageError("US104", name, f"{getattr(self, name)} is out of range", f"give {low} to {high}")
        if self.classes % 2:
            raise UsageError("US104", "classes", f"{self.classes} is odd", "half of the classes are of each kind")
        rng = np.random.default_rng([self.seed, _WORLD_SEED])
        object.__setattr__(self, "codes", _draw_codes(rng, self.classes))
        for name, reserved in (("grounds", False), ("reserved", True)):
            drawn = tuple(
                tuple(Ground.draw(rng, place, reserved=reserved) for _ in range(GROUNDS)) for place in range(2)
            )
            object.__setattr__(self, name, drawn)

    @property
    def class_kind(self) -> Array:
        """(classes,) kind of each class, 0 or 1."""
        return (self.codes.sum(1) > len(PARTS) * (VARIANTS - 1) / 2).astype(np.int64)

    @property
    def keypoints(self) -> tuple[str, ...]:
        """Names of the P keypoints, one per component."""
        return tuple(c.name for c in anatomy(np.random.default_rng(0), self.pairs))

    @property
    def keypoint_part(self) -> Array:
        """(P,) part of each keypoint, index into `PARTS`."""
        return np.array([c.part for c in anatomy(np.random.default_rng(0), self.pairs)])

    def draw(
        self,
        count: int,
        *,
        correlation: float = 0.5,
        ground: str = "seen",
        stream: int = _TRAIN_SEED,
        alternate: int = 0,
    ) -> Creatures:
        """Images of all classes in turn.

        Args:
            count: N.
            correlation: Probability that the place is that of the kind; 0.5 is unbiased.
            ground: "seen" for the textures of training, "reserved" for those kept for test.
            stream: Which images; training and test sets use different ones.
            alternate: Draw the same creatures on another ground: 1, 2, ... give further ones.
        """
        if ground not in ("seen", "reserved"):
            raise UsageError("US104", "ground", f"{ground!r} is not known", "use seen or reserved")
        if not 0 <= correlation <= 1:
            raise UsageError("US104", "correlation", f"{correlation} is no probability", "give 0 to 1")
        textures = self.grounds if ground == "seen" else self.reserved
        names = self.keypoints
        images = np.empty((count, 3, self.size, self.size), np.uint8)
        parts = np.empty((count, self.size, self.size), np.uint8)
        points = np.zeros((count, len(names), 2), np.float32)
        visible = np.zeros((count, len(names)), bool)
        label = np.arange(count) % self.classes
        place = np.empty(count, np.int64)
        kinds = self.class_kind
        for i in range(count):
            rng = np.random.default_rng([self.seed, stream, i])
            own = np.random.default_rng([self.seed, stream, i, 1 + alternate])
            matches = own.random() < correlation
            place[i] = kinds[label[i]] if matches else 1 - kinds[label[i]]
            texture = textures[place[i]][own.integers(GROUNDS)]
            picture, mask, found = self._picture(int(label[i]), texture, rng, own)
            images[i], parts[i] = picture, mask
            for name, xy, seen in found:
                points[i, names.index(name)], visible[i, names.index(name)] = xy, seen
        return Creatures(images, label, kinds[label], place, parts, points, visible)

    def _picture(
        self, label: int, texture: Ground, rng: np.random.Generator, ground_rng: np.random.Generator
    ) -> tuple[Array, Array, list[tuple[str, tuple[float, float], bool]]]:
        """(3, S, S) uint8 image, (S, S) part index + 1 or 0 for ground, and keypoints in pixels with their visibility."""
        size = self.size
        axis = ((np.arange(size, dtype=np.float32) + 0.5) / size) * 2 - 1
        x, y = np.meshgrid(axis, axis)
        picture = texture.paint(x, y, ground_rng)
        for _ in range(ground_rng.integers(self.distractors + 1) if self.distractors else 0):
            picture = _blob(picture, x, y, ground_rng, size)
        pose = _Pose.draw(rng, self.heading)
        fx, fy = pose.inward(x, y)
        mask = np.zeros((size, size), np.uint8)
        edge = size * pose.unit / 2  # pixels of one unit
        light, components = rng.uniform(0.8, 1.1), anatomy(rng, self.pairs)
        tones = [self._tone(part, int(self.codes[label, part]), rng) for part in range(len(PARTS))]
        phase = rng.uniform(0, 2 * math.pi, len(components))
        gone = rng.random(len(components)) < self.missing
        drawn: list[tuple[int, Component]] = []
        for k, piece in enumerate(components):
            if gone[k] and piece.part in (0, 2) and self.pairs:
                continue
            u, v, inside = piece.local(fx, fy)
            alpha = np.clip(inside * edge + 0.5, 0, 1)[..., None]
            bright = 0.45 + 0.55 * pattern(piece.part, u, v, phase[k])
            hue, saturation, value = tones[piece.part]
            colour = hsv(hue, saturation, np.clip(value * light * bright, 0, 1))
            picture = picture * (1 - alpha) + colour * alpha
            mask[alpha[..., 0] > 0.5] = piece.part + 1
            drawn.append((k, piece))
        noisy = picture + self.noise * rng.standard_normal(picture.shape).astype(np.float32)
        found = []
        for _, piece in drawn:
            px, py = pose.outward(*piece.key)
            col, row = (px + 1) / 2 * size, (py + 1) / 2 * size
            inside_frame = 0 <= col < size and 0 <= row < size
            seen = inside_frame and mask[int(row), int(col)] == piece.part + 1
            found.append((piece.name, (col, row), bool(seen)))
        return (np.clip(noisy, 0, 1) * 255).round().astype(np.uint8).transpose(2, 0, 1), mask, found

    def _tone(self, part: int, variant: int, rng: np.random.Generator) -> tuple[float, float, float]:
        """Hue, saturation and value of a part's variant, with what differs between individuals."""
        gap = 1 / len(PARTS)
        if rng.random() < self.odd:
            variant = int(rng.integers(VARIANTS))
        hue = part * gap + (variant - (VARIANTS - 1) / 2) * self.overlap * gap
        return hue + rng.normal(0, self.spread), rng.uniform(0.55, 0.85), rng.uniform(0.75, 0.95)


@dataclass(frozen=True)
class Creatures:
    """Images and what is true of them.

    Attributes:
        images: (N, 3, S, S) uint8.
        label: (N,) class.
        kind: (N,) 0 or 1.
        place: (N,) 0 land, 1 water.
        parts: (N, S, S) uint8, 0 for ground, part + 1 otherwise.
        points: (N, P, 2) x, y of keypoints, pixels from the upper left corner.
        visible: (N, P) whether a keypoint is there and not hidden.
    """

    images: Array
    label: Array
    kind: Array
    place: Array
    parts: Array
    points: Array
    visible: Array

    @property
    def group(self) -> Array:
        """(N,) 2 * kind + place."""
        return 2 * self.kind + self.place

    @property
    def boxes(self) -> Array:
        """(N, 4) left, top, right, bottom of the creature, pixels."""
        found = np.zeros((len(self.images), 4), np.float32)
        for i, mask in enumerate(self.parts > 0):
            rows, cols = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            if len(rows):
                found[i] = cols[0], rows[0], cols[-1] + 1, rows[-1] + 1
        return found


GROUPS = tuple(f"kind {kind} on {place}" for kind in range(2) for place in PLACES)


@dataclass(frozen=True)
class _Pose:
    """Where a creature stands: unit of its frame in half images, direction, centre, mirrored or not."""

    unit: float
    direction: float
    centre: tuple[float, float]
    flip: float

    @classmethod
    def draw(cls, rng: np.random.Generator, heading: float) -> _Pose:
        turn = math.radians(rng.uniform(-heading, heading))
        return cls(
            unit=rng.uniform(0.68, 0.9),
            direction=turn,
            centre=(rng.uniform(-0.12, 0.12), rng.uniform(-0.12, 0.12)),
            flip=-1.0 if rng.random() < 0.5 else 1.0,
        )

    def inward(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Image coordinates (-1..1) to the creature's frame, whose middle is a little behind its body."""
        c, s = math.cos(self.direction), math.sin(self.direction)
        dx, dy = (x - self.centre[0]) / self.unit, (y - self.centre[1]) / self.unit
        return self.flip * (dx * c + dy * s) - 0.15, dy * c - dx * s

    def outward(self, fx: float, fy: float) -> tuple[float, float]:
        """The creature's frame to image coordinates."""
        c, s = math.cos(self.direction), math.sin(self.direction)
        gx = self.flip * (fx + 0.15)
        return self.centre[0] + self.unit * (gx * c - fy * s), self.centre[1] + self.unit * (gx * s + fy * c)


def _blob(picture: Array, x: Array, y: Array, rng: np.random.Generator, size: int) -> Array:
    """A coloured ellipse on the ground: as bright and colourful as a part, but of no part's pattern."""
    centre, long, wide = rng.uniform(-0.9, 0.9, 2), rng.uniform(0.12, 0.3), rng.uniform(0.06, 0.15)
    piece = Component(0, "", (float(centre[0]), float(centre[1])), long, wide, rng.uniform(0, math.pi), False, (0, 0))
    _, _, inside = piece.local(x, y)
    alpha = np.clip(inside * size / 2 + 0.5, 0, 1)[..., None]
    colour = hsv(rng.random(), rng.uniform(0.55, 0.85), rng.uniform(0.4, 0.9))
    return picture * (1 - alpha) + colour * alpha


def _draw_codes(rng: np.random.Generator, classes: int) -> Array:
    """(classes, K) variants, half of them of each kind, any two of one kind different in as many parts as possible."""
    parts = len(PARTS)
    every = np.stack(np.meshgrid(*[np.arange(VARIANTS)] * parts, indexing="ij"), -1).reshape(-1, parts)
    middle = parts * (VARIANTS - 1) / 2
    chosen = []
    for side in (every.sum(1) < middle, every.sum(1) > middle):
        pool, kept = rng.permutation(every[side]), list[Array]()
        for least in range(parts, 0, -1):
            kept = []
            for code in pool:
                if all((code != other).sum() >= least for other in kept):
                    kept.append(code)
            if len(kept) >= classes // 2:
                break
        chosen.append(kept[: classes // 2])
    return np.array([code for pair in zip(*chosen, strict=True) for code in pair], dtype=np.int64)
