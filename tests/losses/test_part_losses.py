"""Losses of part maps against plain loops, closed forms and invariances."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from ecotone.losses.concentration import concentration
from ecotone.losses.equivariance import equivariance
from ecotone.losses.part_orthogonality import part_orthogonality
from ecotone.losses.pixel_entropy import pixel_entropy
from ecotone.losses.presence import PresenceQueue, background_presence, part_peaks, presence
from ecotone.losses.total_variation import total_variation
from ecotone.nn.affine import random_affine, unwarp, warp


def some_maps(batch: int = 3, parts: int = 4, height: int = 6, width: int = 5, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (2 * torch.randn(batch, parts + 1, height, width, dtype=torch.float64, generator=generator)).softmax(1)


def plain_total_variation(maps: Tensor) -> float:
    b, k, h, w = maps.shape
    total = 0.0
    for n in range(b):
        for p in range(k):
            for i in range(h):
                for j in range(w):
                    if i + 1 < h:
                        total += abs(float(maps[n, p, i + 1, j] - maps[n, p, i, j]))
                    if j + 1 < w:
                        total += abs(float(maps[n, p, i, j + 1] - maps[n, p, i, j]))
    return total / (b * h * w)


def plain_concentration(maps: Tensor) -> float:
    b, k, h, w = maps.shape
    total = 0.0
    for n in range(b):
        for p in range(k - 1):
            a = maps[n, p]
            mass = float(a.sum())
            cy = sum(float(a[i, j]) * i for i in range(h) for j in range(w)) / mass
            cx = sum(float(a[i, j]) * j for i in range(h) for j in range(w)) / mass
            for i in range(h):
                for j in range(w):
                    total += float(a[i, j]) * (((i - cy) / h) ** 2 + ((j - cx) / w) ** 2)
    return total / (b * (k - 1) * h * w)


def plain_entropy(maps: Tensor) -> float:
    b, _, h, w = maps.shape
    total = 0.0
    for value in maps.flatten().tolist():
        total -= value * math.log(value)
    return total / (b * h * w)


def plain_orthogonality(vectors: Tensor) -> float:
    b, k, _ = vectors.shape
    total = 0.0
    for n in range(b):
        for p in range(k):
            for q in range(k):
                one, other = vectors[n, p], vectors[n, q]
                cos = float(one @ other) / math.sqrt(float(one @ one) * float(other @ other))
                total += (cos - float(p == q)) ** 2
    return total / (b * k * k)


def plain_smooth(layer: Tensor) -> list[list[float]]:
    h, w = layer.shape
    return [
        [sum(float(layer[i + u, j + v]) for u in range(3) for v in range(3)) / 9 for j in range(w - 2)]
        for i in range(h - 2)
    ]


def plain_presence(maps: Tensor) -> float:
    b, k, _, _ = maps.shape
    peaks = [max(max(max(row) for row in plain_smooth(maps[n, p])) for n in range(b)) for p in range(k - 1)]
    return 1 - sum(peaks) / len(peaks)


def plain_background(maps: Tensor) -> float:
    total = 0.0
    for one in maps[:, -1]:
        rows = plain_smooth(one)
        h, w = len(rows), len(rows[0])
        best = 0.0
        for i in range(h):
            for j in range(w):
                u, v = 2 * j / (w - 1) - 1, 2 * i / (h - 1) - 1
                best = max(best, (u * u + v * v) / 2 * rows[i][j])
        total += max(-100.0, math.log(best))
    return -total / len(maps)


@pytest.mark.parametrize(
    ("fast", "plain"),
    [
        (total_variation, plain_total_variation),
        (concentration, plain_concentration),
        (pixel_entropy, plain_entropy),
        (lambda maps: presence(part_peaks(maps)), plain_presence),
        (background_presence, plain_background),
    ],
)
def test_losses_of_maps_equal_plain_loops(fast: object, plain: object) -> None:
    for seed, shape in enumerate([(3, 4, 6, 5), (1, 1, 4, 4), (2, 3, 5, 9)]):
        maps = some_maps(*shape, seed=seed)
        assert float(fast(maps)) == pytest.approx(plain(maps), abs=1e-12)  # type: ignore[operator]


def test_orthogonality_equals_plain_loops() -> None:
    vectors = torch.randn(3, 5, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert float(part_orthogonality(vectors)) == pytest.approx(plain_orthogonality(vectors), abs=1e-12)


def test_closed_forms() -> None:
    flat = torch.full((2, 4, 5, 5), 0.25, dtype=torch.float64)
    assert float(total_variation(flat)) == 0
    assert float(pixel_entropy(flat)) == pytest.approx(math.log(4))
    halves = torch.zeros(1, 2, 4, 6, dtype=torch.float64)
    halves[:, 0, :, :3], halves[:, 1, :, 3:] = 1, 1
    assert float(total_variation(halves)) == pytest.approx(2 * 4 / 24)  # one border of four cells in two maps
    assert float(pixel_entropy(halves)) == 0
    cells = torch.zeros(1, 3, 4, 4, dtype=torch.float64)
    cells[0, 0, 1, 2] = cells[0, 1, 3, 0] = 1
    assert float(concentration(cells)) == 0
    pair = torch.zeros(1, 2, 1, 10, dtype=torch.float64)
    pair[0, 0, 0, 0] = pair[0, 0, 0, 9] = 1
    assert float(concentration(pair)) == pytest.approx(2 * 0.45**2 / 10)
    assert float(part_orthogonality(torch.eye(4, 6)[None])) == 0
    assert float(part_orthogonality(torch.ones(2, 5, 3))) == pytest.approx(4 / 5)
    full = torch.zeros(2, 3, 5, 5)
    full[0, 0], full[0, 2], full[1, 1] = 1, 1, 1
    assert float(presence(part_peaks(full))) == 0
    full[:, -1] = 1
    assert float(background_presence(full)) == 0
    full[1, -1] = 0
    assert float(background_presence(full)) == pytest.approx(-math.log(torch.finfo(torch.float32).tiny) / 2, rel=1e-4)


def test_total_variation_allows_several_pieces_and_concentration_does_not() -> None:
    one, two = torch.zeros(1, 2, 9, 9), torch.zeros(1, 2, 9, 9)
    one[0, 0, 3:6, 1:7] = 1
    two[0, 0, 0:3, 0:3] = two[0, 0, 6:9, 6:9] = 1
    assert float(concentration(two)) > 3 * float(concentration(one))
    assert float(total_variation(two)) < float(total_variation(one))  # corners have short borders


def test_presence_of_pieces_joined_equals_that_of_the_whole_and_a_queue_helps_small_batches() -> None:
    maps = some_maps(8)
    whole = float(presence(part_peaks(maps)))
    assert float(presence(torch.cat([part_peaks(maps[:3]), part_peaks(maps[3:])]))) == whole
    queue = PresenceQueue(7)
    for one in maps:
        last = float(presence(part_peaks(one[None]), queue))
    assert last == pytest.approx(whole)
    for one in some_maps(8, seed=1):
        last = float(presence(part_peaks(one[None]), queue))
    assert last == pytest.approx(float(presence(part_peaks(some_maps(8, seed=1)))))


def test_a_share_wants_each_part_in_that_many_images() -> None:
    peaks = torch.tensor([[0.9, 0.1], [0.5, 0.8], [0.7, 0.2], [0.1, 0.6]], dtype=torch.float64)
    assert float(presence(peaks)) == pytest.approx(1 - (0.9 + 0.8) / 2)
    assert float(presence(peaks, share=0.5)) == pytest.approx(1 - (0.9 + 0.7 + 0.8 + 0.6) / 4)
    assert float(presence(peaks, share=1.0)) == pytest.approx(1 - float(peaks.mean()))
    queue = PresenceQueue(3)
    presence(peaks[:3], queue, share=0.5)
    assert len(queue) == 3 and float(presence(peaks[3:], queue, share=0.5)) == pytest.approx(1 - (1.6 + 1.4) / 4)
    assert torch.equal(queue.rows(), peaks[1:])


@pytest.mark.parametrize(("height", "width"), [(6, 6), (5, 9)])
def test_equivariance_is_zero_for_moved_maps_and_ignores_what_was_never_seen(height: int, width: int) -> None:
    maps = some_maps(4, 3, height, width)
    still = torch.eye(2, 3, dtype=torch.float64).expand(4, -1, -1)
    back, valid = unwarp(warp(maps, still), still)
    assert bool(valid.all())
    torch.testing.assert_close(back, maps)
    assert float(equivariance(maps, back, valid)) == pytest.approx(0, abs=1e-9)
    turned = torch.tensor([[0.0, -1, 0], [1, 0, 0]], dtype=torch.float64).expand(4, -1, -1)
    back, valid = unwarp(warp(maps, turned), turned)
    assert float(equivariance(maps, back, valid)) == pytest.approx(0, abs=1e-6)
    spoilt = torch.where(valid, back, torch.rand_like(back))
    assert float(equivariance(maps, spoilt, valid)) == pytest.approx(float(equivariance(maps, back, valid)), abs=1e-12)


def test_equivariance_equals_a_plain_loop() -> None:
    maps, back = some_maps(3), some_maps(3, seed=9)
    valid = torch.rand(3, 1, 6, 5, generator=torch.Generator().manual_seed(1)) > 0.3
    total = 0.0
    for n in range(3):
        for k in range(4):
            one = [float(a) for a, v in zip(maps[n, k].flatten(), valid[n, 0].flatten(), strict=True) if v]
            two = [float(a) for a, v in zip(back[n, k].flatten(), valid[n, 0].flatten(), strict=True) if v]
            dot = sum(a * b for a, b in zip(one, two, strict=True))
            total += 1 - dot / math.sqrt(sum(a * a for a in one) * sum(b * b for b in two))
    assert float(equivariance(maps, back, valid)) == pytest.approx(total / 12, abs=1e-12)
    unseen = equivariance(maps, back, torch.zeros_like(valid))
    assert float(unseen) == 0


def test_gradients_are_true_and_reach_what_they_should() -> None:
    scores = torch.randn(2, 4, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(3)).requires_grad_()
    moves = random_affine(2, torch.Generator().manual_seed(0)).double()

    def twin(s: Tensor) -> Tensor:
        maps = s.softmax(1)
        return equivariance(maps, *unwarp(maps.flip(-1), moves))

    for loss in (
        lambda s: total_variation(s.softmax(1)),
        lambda s: pixel_entropy(s.softmax(1)),
        lambda s: presence(part_peaks(s.softmax(1))),
        lambda s: background_presence(s.softmax(1)),
        lambda s: part_orthogonality(s.softmax(1).flatten(2)),
        twin,
    ):
        assert torch.autograd.gradcheck(loss, (scores,))
    maps, back = some_maps().requires_grad_(), some_maps(seed=4).requires_grad_()
    for detach, reached in (("none", (True, True)), ("twin", (True, False)), ("first", (False, True))):
        maps.grad = back.grad = None
        equivariance(maps, back, torch.ones(3, 1, 6, 5), detach).backward()  # type: ignore[arg-type]
        assert (maps.grad is not None, back.grad is not None) == reached


def test_hard_and_empty_maps_give_finite_gradients() -> None:
    maps = torch.zeros(2, 3, 5, 5)
    maps[:, 0] = 1
    for loss in (total_variation, pixel_entropy, concentration, background_presence, lambda m: presence(part_peaks(m))):
        leaf = maps.clone().requires_grad_()
        value = loss(leaf)
        value.backward()
        assert torch.isfinite(value) and torch.isfinite(leaf.grad).all()  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(1, 1), (2, 5), (1, 7)])
def test_grids_smaller_than_the_window_work(shape: tuple[int, int]) -> None:
    maps = some_maps(2, 2, *shape)
    for value in (presence(part_peaks(maps)), background_presence(maps), total_variation(maps), concentration(maps)):
        assert torch.isfinite(value)
