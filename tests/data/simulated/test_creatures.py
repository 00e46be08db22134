"""Simulated creatures: masks, keypoints and groups are what they claim, and equal seeds give equal images."""

from __future__ import annotations

import numpy as np
import pytest

from ecotone.data.simulated.creature_shapes import PARTS, anatomy
from ecotone.data.simulated.creatures import VARIANTS, Creatures, CreatureWorld
from ecotone.data.simulated.textures import hsv
from ecotone.errors import UsageError


@pytest.fixture(scope="module")
def world() -> CreatureWorld:
    return CreatureWorld(seed=5, size=64)


@pytest.fixture(scope="module")
def drawn(world: CreatureWorld) -> Creatures:
    return world.draw(60)


def test_equal_seeds_give_equal_images_and_others_differ(world: CreatureWorld, drawn: Creatures) -> None:
    again = CreatureWorld(seed=5, size=64).draw(8)
    np.testing.assert_array_equal(again.images, drawn.images[:8])
    for other in (world.draw(8, stream=2), CreatureWorld(seed=6, size=64).draw(8)):
        assert not np.array_equal(other.images, again.images)


def test_an_alternate_ground_keeps_the_creature(world: CreatureWorld, drawn: Creatures) -> None:
    other = world.draw(20, alternate=1, ground="reserved")
    np.testing.assert_array_equal(other.parts, drawn.parts[:20])
    np.testing.assert_array_equal(other.points, drawn.points[:20])
    changed = np.abs(other.images.astype(int) - drawn.images[:20]).max(1)
    inside = drawn.parts[:20] > 0
    core = inside.copy()
    for axis, step in ((1, 1), (1, -1), (2, 1), (2, -1)):
        core &= np.roll(inside, step, axis)
    assert changed[core].mean() < 3 < 20 < changed[~inside].mean()


def test_visible_keypoints_lie_on_their_part(world: CreatureWorld, drawn: Creatures) -> None:
    row, column = np.nonzero(drawn.visible)
    at = drawn.points[row, column].astype(int)
    np.testing.assert_array_equal(drawn.parts[row, at[:, 1], at[:, 0]], world.keypoint_part[column] + 1)
    assert drawn.visible.mean() > 0.6 and len(world.keypoints) == len(set(world.keypoints)) == drawn.points.shape[1]


def test_boxes_hold_the_creature(drawn: Creatures) -> None:
    for box, mask in zip(drawn.boxes, drawn.parts > 0, strict=True):
        left, top, right, bottom = box.astype(int)
        assert mask[top:bottom, left:right].sum() == mask.sum() > 100


@pytest.mark.parametrize(("pairs", "pieces"), [(0, [1, 2, 1]), (1, [2, 2, 2]), (2, [4, 2, 2]), (3, [6, 2, 4])])
def test_parts_have_as_many_pieces_as_said(pairs: int, pieces: list[int]) -> None:
    found = anatomy(np.random.default_rng(0), pairs)
    counts = [sum(c.part == k for c in found) for k in range(len(PARTS))]
    assert counts == [*pieces, 1, 1]


def test_every_part_is_seen_and_classes_come_in_turn(world: CreatureWorld, drawn: Creatures) -> None:
    shares = [(drawn.parts == k).mean() for k in range(len(PARTS) + 1)]
    assert 0.5 < shares[0] < 0.95 and min(shares[1:]) > 0.005
    np.testing.assert_array_equal(np.bincount(drawn.label), 5)


def test_codes_differ_and_the_kind_is_their_sum() -> None:
    for seed in range(4):
        world = CreatureWorld(seed=seed)
        assert len(np.unique(world.codes, axis=0)) == world.classes and world.codes.max() < VARIANTS
        middle = len(PARTS) * (VARIANTS - 1) / 2
        np.testing.assert_array_equal(world.class_kind, world.codes.sum(1) > middle)
        assert world.class_kind.mean() == 0.5
        one_part = [np.mean((world.codes[:, k] > 1) == world.class_kind) for k in range(len(PARTS))]
        assert max(one_part) < 1


def test_places_follow_the_correlation(world: CreatureWorld) -> None:
    small = CreatureWorld(seed=1, size=16)
    biased, free = small.draw(800, correlation=0.95), small.draw(800)
    assert abs(np.mean(biased.place == biased.kind) - 0.95) < 0.025
    assert abs(np.mean(free.place == free.kind) - 0.5) < 0.06
    np.testing.assert_array_equal(np.unique(biased.group), np.arange(4))
    only = world.draw(10, correlation=1.0)
    np.testing.assert_array_equal(only.place, only.kind)


def test_reserved_grounds_have_looks_of_their_own(world: CreatureWorld) -> None:
    for place in range(2):
        seen, kept = world.grounds[place], world.reserved[place]
        assert max(g.frequency for g in seen) < min(g.frequency for g in kept)
        low, high = sorted((max(g.hues[0] for g in seen), min(g.hues[0] for g in kept)))
        assert high > low or place == 1
        assert not {round(g.hues[0], 6) for g in seen} & {round(g.hues[0], 6) for g in kept}


def test_hues_equal_the_standard_library() -> None:
    import colorsys

    rng = np.random.default_rng(0)
    for h, s, v in rng.random((50, 3)):
        np.testing.assert_allclose(hsv(h, s, v), colorsys.hsv_to_rgb(h, s, v), atol=1e-6)


@pytest.mark.parametrize(
    ("options", "name"), [({"classes": 3}, "classes"), ({"size": 8}, "size"), ({"pairs": 4}, "pairs")]
)
def test_impossible_worlds_are_refused(options: dict[str, int], name: str) -> None:
    with pytest.raises(UsageError) as caught:
        CreatureWorld(**options)
    assert caught.value.code == "US104" and name in str(caught.value)


@pytest.mark.parametrize("options", [{"ground": "moon"}, {"correlation": 1.5}])
def test_impossible_draws_are_refused(world: CreatureWorld, options: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        world.draw(1, **options)  # type: ignore[arg-type]
