"""Effort surfaces against sums over kernels, and visits along covariates against counting."""

from __future__ import annotations

import numpy as np
import pytest

from ecotone.errors import EcotoneError
from ecotone.explain.sampling import condition_evidence, effort_along, effort_evidence, effort_surface

EXTENT = (0.0, 24.0, 0.0, 16.0)


@pytest.fixture
def land():
    y, x = np.mgrid[0:16, 0:24]
    return (x + y > 8) & ~((x > 15) & (y > 9))


def sites(land, n=60, seed=0):
    rng = np.random.default_rng(seed)
    rows, columns = np.nonzero(land)
    chosen = rng.choice(len(rows), n, replace=False)
    return np.stack([columns[chosen] + 0.5, 15.5 - rows[chosen]], axis=1)


def slow_density(xy, land, bandwidth):
    """Sum over sites of a truncated Gaussian on cells, each divided by what falls on land."""
    height, width = land.shape
    reach = int(4 * bandwidth + 0.5)
    offsets = np.arange(-reach, reach + 1)
    line = np.exp(-0.5 * (offsets / bandwidth) ** 2)
    line /= line.sum()
    total = np.zeros(land.shape)
    for px, py in xy:
        column, row = int(px), int(16 - py)
        kernel = np.zeros(land.shape)
        for i in range(height):
            for j in range(width):
                if abs(i - row) <= reach and abs(j - column) <= reach:
                    kernel[i, j] = line[i - row + reach] * line[j - column + reach]
        kernel *= land
        total += kernel / kernel.sum()
    return np.where(land, total, np.nan)


def test_equals_a_sum_over_kernels_and_adds_up_to_the_sites(land):
    xy = sites(land, 25)
    found = effort_surface(xy, land, EXTENT, bandwidth=1.7)
    np.testing.assert_allclose(found.density, slow_density(xy, land, 1.7), rtol=1e-9, atol=1e-12)
    assert np.nansum(found.density) == pytest.approx(25)
    nearest = np.array(
        [[np.hypot(xy[:, 0] - (j + 0.5), xy[:, 1] - (15.5 - i)).min() for j in range(24)] for i in range(16)]
    )
    np.testing.assert_allclose(found.distance, np.where(land, nearest / 1.7, np.nan))
    assert found.share_without == pytest.approx((nearest[land] > 3.4).mean())


def test_even_visits_are_even_up_to_the_coast(land):
    """A site on every cell gives about one per cell, at the edge too."""
    rows, columns = np.nonzero(land)
    found = effort_surface(np.stack([columns + 0.5, 15.5 - rows], axis=1), land, EXTENT, bandwidth=1.0)
    assert np.nanmin(found.density) > 0.75 and np.nanmax(found.density) < 1.25
    assert found.share_without == 0


def test_the_bandwidth_rule(land):
    xy = sites(land)
    spread = [min(v.std(), np.subtract(*np.quantile(v, [0.75, 0.25])) / 1.349) for v in xy.T]
    assert effort_surface(xy, land, EXTENT).bandwidth == pytest.approx(np.mean(spread) * 60 ** (-1 / 6))
    assert effort_surface(xy[:1], land, EXTENT).bandwidth == 1.0  # never below a cell


def test_degrees_shrink_with_latitude(land):
    xy = sites(land) + np.array([0, 52])
    found = effort_surface(xy, land, (0, 24, 52, 68), bandwidth=2.0, geographic=True)
    assert np.nansum(found.density) == pytest.approx(60)
    assert found.area[0, 20] / found.area[15, 0] == pytest.approx(np.cos(np.radians(67.5)) / np.cos(np.radians(52.5)))
    one = effort_surface(
        np.array([[12.5, 59.5]]), np.ones((16, 24), bool), (0, 24, 52, 68), bandwidth=1.5, geographic=True
    )
    across, down = one.density[8, 14] / one.density[8, 12], one.density[10, 12] / one.density[8, 12]
    assert across == pytest.approx(down ** (np.cos(np.radians(60)) ** 2), rel=1e-6)


def test_sites_off_the_map_are_left_out(land):
    xy = np.concatenate([sites(land, 5), [[0.5, 15.5], [99.0, 3.0]]])
    assert effort_surface(xy, land, EXTENT, bandwidth=1.0).sites == 5


def test_effort_evidence(land):
    picture, check = effort_evidence(effort_surface(sites(land, 4), land, EXTENT, bandwidth=1.0), bound=20, unit="km")
    assert np.isnan(picture.weights[0][~land]).all() and picture.weights[0][land].min() >= -2
    assert check.verdict == "note" and check.measured > 20
    assert "2 km" in check.details[0][1]


def test_records_of_one_species_are_not_called_effort(land):
    surface = effort_surface(sites(land, 4), land, EXTENT, bandwidth=1.0)
    picture, check = effort_evidence(surface, single=True)
    assert "where it lives" in picture.note and "follows the observers" not in picture.note
    assert check.verdict == "note" and np.isnan(check.bound)
    rng = np.random.default_rng(0)
    along = effort_along(rng.normal(size=(20, 1)), rng.normal(size=(50, 1)), ["heat"])
    assert "where it lives" in condition_evidence(along, single=True)[0].note


def test_levels_too_rare_to_be_visited_are_not_drawn():
    available = np.repeat([1.0, 2.0, 3.0], [600, 396, 4])[:, None]
    visited = np.repeat([1.0, 2.0], [30, 10])[:, None]
    along = effort_along(visited, available, ["biome"], categorical=["biome"])
    assert along[0].available.tolist() == [0.6, 0.396, 0.004] and along[0].upper[2] > 10
    _, curve = condition_evidence(along)
    assert curve.categories == ("1", "2") and curve.upper.max() < 3 and "in no picture" in curve.note


def test_visits_along_covariates_by_counting():
    rng = np.random.default_rng(0)
    available = np.column_stack([rng.normal(size=1000), rng.choice([1, 2, 5], 1000), rng.normal(size=1000)])
    visited = available[available[:, 0] > 0][:300]
    heat, soil, even = effort_along(visited, available, ["heat", "soil", "even"], categorical=["soil"], bins=4)
    edges = np.sort(available[:, 0])[[249, 499, 749]]
    for b, (low, high) in enumerate(
        [(-np.inf, edges[0]), (edges[0], edges[1]), (edges[1], edges[2]), (edges[2], np.inf)]
    ):
        inside = (visited[:, 0] > low) & (visited[:, 0] <= high)
        assert heat.visited[b] == inside.sum()
        assert heat.ratio[b] == pytest.approx(inside.mean() / 0.25)
    assert heat.moved == pytest.approx(0.5 * np.abs(heat.visited / 300 - 0.25).sum())
    for k, level in enumerate([1, 2, 5]):
        assert soil.ratio[k] == pytest.approx((visited[:, 1] == level).mean() / (available[:, 1] == level).mean())
    assert heat.moved > 0.4 > 0.1 > even.moved
    assert (heat.lower <= heat.ratio).all() and (heat.upper >= heat.ratio).all()


def test_the_chance_level_is_what_random_sites_give():
    rng = np.random.default_rng(1)
    available = rng.normal(size=(4000, 1))
    moved = [effort_along(available[rng.choice(4000, 200)], available, ["a"])[0].moved for _ in range(60)]
    assert np.mean(moved) == pytest.approx(effort_along(available[:200], available, ["a"])[0].chance, rel=0.12)


def test_weights_stand_for_repeated_sites():
    rng = np.random.default_rng(2)
    available, times = rng.normal(size=(200, 1)), rng.integers(1, 4, 200)
    visited = rng.normal(size=(50, 1))
    (one,) = effort_along(visited, available, ["a"], weight=times)
    (other,) = effort_along(visited, np.repeat(available, times, axis=0), ["a"])
    np.testing.assert_allclose(one.ratio, other.ratio)


def test_condition_evidence_shows_the_most_uneven():
    rng = np.random.default_rng(0)
    available = np.column_stack([rng.normal(size=500), rng.choice([1, 2], 500), np.ones(500)])
    visited = available[available[:, 0] > 0]
    ranked, *curves = condition_evidence(
        effort_along(visited, available, ["heat", "soil", "flat"], categorical=["soil"]),
        units={"heat": "degC"},
        curves=2,
    )
    assert ranked.values[0] > 45 and ranked.values[2] == 0
    assert curves[0].x_label == "heat" and curves[0].x_unit == "degC" and curves[1].categories == ("1", "2")


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda land: effort_surface(np.array([[0.5, 15.5]]), land, EXTENT), "OC202"),
        (lambda land: effort_surface(np.zeros(3), land, EXTENT), "DA404"),
        (lambda land: effort_surface(np.zeros((3, 2)), land, (0, 0, 1, 2)), "DA404"),
        (lambda land: effort_surface(sites(land), land, EXTENT, bandwidth=0), "US104"),
        (lambda land: effort_along(np.zeros((3, 2)), np.zeros((4, 1)), ["a"]), "DA404"),
        (lambda land: effort_along(np.zeros((0, 1)), np.zeros((4, 1)), ["a"]), "OC205"),
        (lambda land: effort_along(np.zeros((3, 1)), np.zeros((4, 1)), ["a"], bins=1), "US104"),
        (lambda land: effort_along(np.zeros((3, 1)), np.zeros((4, 1)), ["a"], weight=-np.ones(4)), "DA403"),
    ],
)
def test_bad_requests_are_one_line(land, call, code):
    with pytest.raises(EcotoneError) as caught:
        call(land)
    assert caught.value.code == code and "\n" not in str(caught.value)
