"""Audits of part models: planted leaks are found, and what does not leak passes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from ecotone.explain.background_swap import FILLS, swap_background
from ecotone.explain.insertion_deletion import insertion_deletion
from ecotone.explain.mask_only import mask_only
from ecotone.explain.part_audits import leave_one_out, part_leakage

GENERATOR = torch.Generator().manual_seed(0)
IMAGES = torch.randn(6, 3, 16, 16, generator=GENERATOR)
MASK = torch.rand(6, 16, 16, generator=GENERATOR) < 0.4


def inside(images: Tensor, mask: Tensor) -> Tensor:
    return torch.where(mask[:, None], images, 0.0).mean((2, 3))


def test_an_answer_from_inside_passes_and_a_leak_fails() -> None:
    found = swap_background(inside, IMAGES, MASK)
    assert found.largest == 0 and found.check("a").verdict == "pass" and found.check("a").target == "a"
    np.testing.assert_allclose(found.outside, 1 - MASK.float().mean((1, 2)).numpy(), rtol=1e-5)
    leaky = swap_background(lambda x, m: inside(x, m) + 1e-7 * x.mean((2, 3)), IMAGES, MASK)
    assert leaky.largest > 0 and leaky.check().verdict == "fail"
    for fill in FILLS:  # each fill alone finds it
        assert swap_background(lambda x, m: x.sum((2, 3)), IMAGES, MASK, fills=(fill,)).largest > 0


def test_silhouettes_that_give_the_class_away_are_found() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 300)
    masks = np.zeros((300, 20, 20), bool)
    for mask, label in zip(masks, labels, strict=True):
        y, x = rng.integers(0, 12, 2)
        mask[y : y + (8 if label else 4), x : x + (4 if label else 8)] = True  # upright or lying, same size
    told = mask_only(masks[:200], labels[:200], masks[200:], labels[200:])
    assert told.accuracy > 0.95 and told.low > told.majority
    mixed = mask_only(masks[:200], rng.permutation(labels[:200]), masks[200:], labels[200:])
    assert mixed.low < 0.5 < mixed.high + 0.05
    check = told.check(0.97)
    assert check.measured == told.accuracy and len(check.to_frame()) == 1
    single = mask_only(masks[:9], np.zeros(9, int), masks[9:20], np.zeros(11, int))
    assert single.accuracy == single.majority == 1


def test_a_part_that_matters_is_missed() -> None:
    labels = np.arange(400) % 4
    rng = np.random.default_rng(0)

    def predict(without: tuple[int, ...]) -> np.ndarray:
        wrong = rng.random(400) < (0.5 if 1 in without else 0.1)
        return np.where(wrong, (labels + 1) % 4, labels)

    found = leave_one_out(predict, labels, 3, ("head", "wing", "tail"))
    assert found.drops[1] == pytest.approx(0.4, abs=0.08) and found.low[1] > 0.25
    assert found.low[0] < 0 < found.high[0] and found.evidence().names[1] == "wing"


def test_vectors_that_mix_in_other_places_are_found() -> None:
    maps = torch.zeros(6, 3, 8, 8)
    maps[:, 0, :4], maps[:, 1, 4:] = 1, 1

    def local(images: Tensor, maps: Tensor) -> Tensor:
        large = maps.repeat_interleave(2, 2).repeat_interleave(2, 3)
        return torch.einsum("bkhw,bchw->bkc", large, images)

    found = part_leakage(local, IMAGES, maps)
    assert found.share[:2].max() < 1e-6 and np.isnan(found.share[2]) and found.check().verdict == "pass"
    mixing = part_leakage(lambda x, m: local(x, m) + 10 * x.mean((2, 3))[:, None], IMAGES, maps)
    assert mixing.share[:2].min() > 0.02 and mixing.check().verdict == "note"


def test_insertion_and_deletion_equal_a_plain_loop_and_a_closed_form() -> None:
    weights = torch.rand(16, 16, generator=GENERATOR)

    def score(images: Tensor) -> Tensor:
        return (images.mean(1) * weights).sum((1, 2))

    images = torch.ones(2, 3, 16, 16)
    found = insertion_deletion(score, images, weights.expand(2, -1, -1), steps=8, base="zero")
    flat = weights.flatten().sort(descending=True).values
    expected = [float(flat[: k * 32].sum()) for k in range(9)]
    np.testing.assert_allclose(found.insertion, expected, rtol=1e-5)
    np.testing.assert_allclose(found.deletion, expected[-1] - np.array(expected), atol=1e-3)
    assert found.insertion_area > found.deletion_area
    worst = insertion_deletion(score, images, -weights.expand(2, -1, -1), steps=8, base="zero")
    assert worst.insertion_area < found.insertion_area and worst.deletion_area > found.deletion_area
    for base in ("blur", "mean"):
        made = insertion_deletion(score, IMAGES, weights.expand(6, -1, -1), steps=4, base=base)  # type: ignore[arg-type]
        assert made.insertion[-1] == pytest.approx(made.deletion[0], rel=1e-5)
    assert len(found.evidence().to_frame()) == 9
