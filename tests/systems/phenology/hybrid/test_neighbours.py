"""What known sites say of a place between them, against plain kriging and a drawn country."""

from __future__ import annotations

import numpy as np
import pytest

from ecotone.systems.phenology.hybrid import neighbours
from ecotone.systems.phenology.hybrid.features import Places
from ecotone.systems.phenology.hybrid.neighbours import PATTERNS, PRIOR, alike, apart, between, weigh

VARIANCE = 0.04


def country(seed: int, count: int = 40, length: float = 300.0, share: float = 0.9, groups: int = 1):
    """Sites with offsets drawn from a known covariance, and the noise of their means."""
    rng = np.random.default_rng(seed)
    where = np.column_stack([rng.uniform(33, 45, count), rng.uniform(130, 145, count), rng.uniform(0, 300, count)])
    group = np.arange(count) % groups
    cover = VARIANCE * share * np.exp(-apart(where, where) / length) * (group[:, None] == group)
    cover += VARIANCE * (1 - share) * np.eye(count)
    noise = rng.uniform(0.0005, 0.002, count)
    offset = rng.multivariate_normal(np.zeros(count), cover + np.diag(noise))
    return placed(where, group), offset, noise


def placed(where, group=None) -> Places:
    group = np.zeros(len(where), dtype=int) if group is None else group
    kinds = int(group.max()) + 1
    nowhere = ((0.0, 0.0, 0.0),) * kinds
    names = tuple(f"s{k}" for k in range(len(where)))
    return Places(
        names, tuple("abcdef"[:kinds]), tuple(group.tolist()), tuple(map(tuple, where)), nowhere, nowhere, nowhere
    )


def slow(where, group, places, offset, noise, length, share, without=None):
    """Mean and variance at one place from all known sites of its group, by the textbook formula."""
    use = [
        k
        for k in range(len(offset))
        if places.group_of[k] == group and np.isfinite(offset[k]) and k != without and np.isfinite(places.where[k][0])
    ]
    if not use or not np.isfinite(where[0]) or share == 0:
        return 0.0, VARIANCE

    def cover(a, b):
        return VARIANCE * share * np.exp(-apart(np.array([a]), np.array([b]))[0, 0] / length)

    k = np.array([cover(where, places.where[i]) for i in use])
    c = np.array([[cover(places.where[i], places.where[j]) for j in use] for i in use])
    c += np.diag([VARIANCE * (1 - share) + noise[i] for i in use])
    return float(k @ np.linalg.solve(c, offset[use])), float(VARIANCE - k @ np.linalg.solve(c, k))


def test_answers_are_those_of_textbook_kriging() -> None:
    places, offset, noise = country(1, 12, groups=2)
    offset[3] = np.nan
    weight = np.random.default_rng(0).dirichlet(np.ones(len(PATTERNS)))
    where = np.array([[40.0, 139.0, 50.0], [34.0, 131.0, np.nan], [36.0, 137.0, 900.0], [np.nan, 137.0, 0.0]])
    group = np.array([0, 1, 2, 0])  # the third is of no known group, the fourth of no known place
    mean, sd = between(where, group, places, offset, noise, VARIANCE, weight)
    for u in range(4):
        each = [slow(where[u], group[u], places, offset, noise, *pattern) for pattern in PATTERNS]
        expected = sum(w * m for w, (m, _) in zip(weight, each, strict=True))
        square = sum(w * (v + m**2) for w, (m, v) in zip(weight, each, strict=True))
        assert mean[u] == pytest.approx(expected, abs=1e-9)
        assert sd[u] == pytest.approx((square - expected**2) ** 0.5, abs=1e-9)
    assert mean[2] == mean[3] == 0 and sd[2] == sd[3] == pytest.approx(VARIANCE**0.5)


def test_patterns_are_weighed_by_sites_left_out() -> None:
    places, offset, noise = country(2, 15, groups=2)
    offset[5] = np.nan
    score = np.log(PRIOR)
    for j, pattern in enumerate(PATTERNS):
        for k in np.flatnonzero(np.isfinite(offset)):
            mean, var = slow(places.where[k], places.group_of[k], places, offset, noise, *pattern, without=k)
            score[j] -= 0.5 * (np.log(var + noise[k]) + (offset[k] - mean) ** 2 / (var + noise[k]))
    expected = np.exp(score - score.max())
    np.testing.assert_allclose(weigh(places, offset, noise, VARIANCE), expected / expected.sum(), atol=1e-9)


@pytest.mark.parametrize(("share", "together"), [(0.9, True), (0.0, False)])
def test_neighbours_are_listened_to_only_where_they_are_alike(share: float, together: bool) -> None:
    plain, kriged, inside, none = [], [], [], []
    for seed in range(12):
        places, offset, noise = country(seed, 80, share=share)
        half = np.where(np.arange(80) < 60, offset, np.nan)
        weight = weigh(places, half, noise, VARIANCE)
        where = np.array(places.where)[60:]
        mean, sd = between(where, np.zeros(20, dtype=int), places, half, noise, VARIANCE, weight)
        plain.append((offset[60:] ** 2).mean())
        kriged.append(((offset[60:] - mean) ** 2).mean())
        inside.append((np.abs(offset[60:] - mean) < 1.645 * np.sqrt(sd**2 + noise[60:])).mean())
        none.append(weight[0])
    assert np.mean(none) < 0.2 if together else np.mean(none) > 0.8
    ratio = np.mean(kriged) / np.mean(plain)
    assert ratio < 0.7 if together else 0.97 < ratio < 1.03
    assert 0.85 < np.mean(inside) < 0.95


def test_only_the_nearest_are_asked_of_many(monkeypatch: pytest.MonkeyPatch) -> None:
    places, offset, noise = country(4, 200)
    weight = np.eye(len(PATTERNS))[2]  # 50 km
    where = np.array(places.where)[:5] + 0.3
    asked = where, np.zeros(5, dtype=int), places, offset, noise, VARIANCE, weight
    few, _ = between(*asked)
    monkeypatch.setattr(neighbours, "MOST", 500)
    every, _ = between(*asked)
    np.testing.assert_allclose(few, every, atol=2e-3)


def test_a_lone_site_has_no_neighbours() -> None:
    places = placed(np.array([[45.0, 7.0, 300.0]]))
    np.testing.assert_allclose(weigh(places, np.array([0.3]), np.array([0.01]), VARIANCE), PRIOR)
    bare = placed(np.full((3, 3), np.nan))
    np.testing.assert_allclose(weigh(bare, np.array([0.3, 0.1, np.nan]), np.full(3, 0.01), VARIANCE), PRIOR)


def test_distances() -> None:
    one = np.array([[0.0, 0.0, 0.0], [0.0, 179.5, np.nan]])
    other = np.array([[1.0, 0.0, 0.0], [0.0, -179.5, 5.0], [0.0, 0.0, 200.0]])
    found = apart(one, other)
    assert found[0, 0] == pytest.approx(111.19, abs=0.02) and found[1, 1] == pytest.approx(111.19, abs=0.02)
    assert found[0, 2] == pytest.approx(200.0)  # 200 m higher


def test_what_neighbours_have_in_common() -> None:
    one = np.eye(len(PATTERNS))
    assert alike(50, one[0]) == 0 and alike(0, one[2]) == pytest.approx(0.9)
    assert alike(200, (one[3] + one[0]) / 2) == pytest.approx(0.25 * np.exp(-1))
