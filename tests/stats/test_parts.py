"""Measures of parts and groups: equal to scikit-learn, plain loops and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from ecotone.stats.contingency import ContingencyTable
from ecotone.stats.keypoints import KeypointRegression, labels_at, part_centroids
from ecotone.stats.paired import group_accuracy, paired_difference

RNG = np.random.default_rng(0)


def table(truth: np.ndarray, found: np.ndarray) -> ContingencyTable:
    made = ContingencyTable(int(truth.max()) + 1, int(found.max()) + 1)
    made.add(truth, found)
    return made


@pytest.mark.parametrize("seed", range(5))
def test_nmi_and_ari_equal_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 5, 300)
    found = np.where(rng.random(300) < 0.6, (truth * 2) % 4, rng.integers(0, 4, 300))
    made = table(truth, found)
    assert made.nmi() == pytest.approx(normalized_mutual_info_score(truth, found), abs=1e-12)
    assert made.ari() == pytest.approx(adjusted_rand_score(truth, found), abs=1e-12)


@pytest.mark.parametrize(
    ("truth", "found"), [([0, 0, 0], [0, 0, 0]), ([0, 0, 0], [0, 1, 2]), ([0, 1, 2], [2, 0, 1]), ([0], [0])]
)
def test_edge_cases_equal_scikit_learn(truth: list[int], found: list[int]) -> None:
    made = table(np.array(truth), np.array(found))
    assert made.nmi() == pytest.approx(normalized_mutual_info_score(truth, found), abs=1e-12)
    assert made.ari() == pytest.approx(adjusted_rand_score(truth, found), abs=1e-12)


def test_pieces_give_the_whole_and_large_counts_do_not_overflow() -> None:
    truth, found = RNG.integers(0, 3, (4, 50)), RNG.integers(0, 6, (4, 50))
    whole, pieces, rest = (ContingencyTable(3, 6) for _ in range(3))
    whole.add(truth, found)
    for k in range(2):
        pieces.add(truth[k], found[k])
        rest.add(truth[k + 2], found[k + 2])
    pieces.merge(rest)
    np.testing.assert_array_equal(whole.counts, pieces.counts)
    large = ContingencyTable(3, 6)
    large.counts[:] = whole.counts * 10**10
    assert large.nmi() == pytest.approx(whole.nmi()) and large.ari() == pytest.approx(whole.ari(), abs=0.02)
    assert np.isnan(ContingencyTable(2, 2).nmi()) and np.isnan(ContingencyTable(2, 2).ari())
    with pytest.raises(ValueError):
        whole.add(np.array([3]), np.array([0]))


def test_intersection_over_union() -> None:
    truth, found = np.array([1, 1, 1, 0, 0, 0]), np.array([1, 1, 0, 1, 0, 0])
    made = table(truth, found)
    assert made.iou(1, 1) == pytest.approx(2 / 4) and made.iou(0, 0) == pytest.approx(2 / 4)
    assert np.isnan(ContingencyTable(2, 2).iou(1, 1))


def test_centres_of_parts() -> None:
    maps = np.zeros((1, 4, 4, 8))
    maps[0, 0, 1, 2] = 1
    maps[0, 1, :, :4] = 0.4
    centres, active = part_centroids(maps)
    np.testing.assert_allclose(centres[0], [[2.5 / 8, 1.5 / 4], [0.25, 0.5], [0.5, 0.5]])
    assert active.tolist() == [[True, False, False]]


def test_keypoints_that_follow_the_parts_are_found_and_a_plain_solution_agrees() -> None:
    centres, active = RNG.random((60, 3, 2)), RNG.random((60, 3)) < 0.8
    flat = centres.reshape(60, 6)
    standard = np.where(np.repeat(active, 2, 1), (flat - flat.mean(0)) / flat.std(0), 0)
    truth = np.stack([standard @ RNG.normal(size=(6, 2)) + 0.3, RNG.random((60, 2))], 1)
    visible = RNG.random((60, 2)) < 0.7
    model = KeypointRegression.fit(centres, active, truth, visible)
    rows = visible[:, 1]
    wanted = truth[rows, 1]
    plain = np.linalg.pinv(standard[rows]) @ ((wanted - wanted.mean(0)) / wanted.std(0))
    np.testing.assert_allclose(model.weights[1], plain, atol=1e-10)
    gap = np.linalg.norm(model.predict(centres, active)[:, 1] - truth[:, 1], axis=1)
    assert model.error(centres, active, truth, visible & [False, True]) == pytest.approx(gap[rows].mean() * 100)
    full = KeypointRegression.fit(
        centres, np.ones_like(active), np.stack([centres[:, 0], 1 - centres[:, 2]], 1), np.ones((60, 2), bool)
    )
    assert (
        full.error(
            centres, np.ones_like(active), np.stack([centres[:, 0], 1 - centres[:, 2]], 1), np.ones((60, 2), bool)
        )
        < 1e-9
    )


def test_labels_at_points_equal_interpolated_maps() -> None:
    maps = RNG.random((2, 3, 4, 5))
    points = RNG.random((2, 7, 2)) * [50, 40]
    found = labels_at(maps, points, (50, 40))
    for n in range(2):
        for p in range(7):
            x = min(max(points[n, p, 0] / 10 - 0.5, 0), 4)
            y = min(max(points[n, p, 1] / 10 - 0.5, 0), 3)
            values = []
            for k in range(3):
                rows = [np.interp(x, np.arange(5), maps[n, k, i]) for i in range(4)]
                values.append(np.interp(y, np.arange(4), rows))
            assert found[n, p] == int(np.argmax(values))
    single = labels_at(RNG.random((1, 2, 1, 1)), np.array([[[3.0, 3.0]]]), (5, 5))
    assert single.shape == (1, 1)


def test_groups() -> None:
    correct, group = np.array([True, True, False, True, False, False]), np.array([0, 0, 0, 1, 1, 3])
    found = group_accuracy(correct, group, ("a", "b", "c", "d"))
    np.testing.assert_allclose(found.accuracy, [2 / 3, 1 / 2, np.nan, 0])
    score = group_accuracy(np.arange(200) % 4 > 0, np.arange(200) // 100).worst_score()
    assert score.low < score.value == 0.75 <= score.high and score.n == 200
    assert found.worst == 0 and found.overall == 0.5 and found.count.tolist() == [3, 2, 0, 1]


def test_paired_differences_cover_the_truth_and_repeat() -> None:
    hits = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        shift = rng.normal(0, 0.02, (3, 1))
        one = rng.random((3, 200)) < 0.8 + shift
        other = rng.random((3, 200)) < 0.7 + shift
        found = paired_difference(one, other, draws=300)
        hits += found.low <= 0.1 <= found.high
    assert hits >= 52
    again = paired_difference(one, other, draws=300)
    assert again == found and found.runs == 3 and found.images == 200
    same = paired_difference(one, one)
    assert (same.value, same.low, same.high) == (0, 0, 0)
