from itertools import combinations, pairwise

import numpy as np
import pytest
from tests.systems.phenology.made_seasons import seasons

from ecotone.errors import InputError
from ecotone.systems.phenology.breaks import (
    against_model,
    against_neighbours,
    against_temperature,
    check_records,
    cut_points,
    find_breaks,
)
from ecotone.systems.phenology.distribution import BloomDays

YEARS = np.arange(1960, 2010)


def slow_cost(x, cuts, kind):
    edges = [0, *cuts, len(x)]
    total = 0.0
    for a, b in pairwise(edges):
        part = x[a:b]
        total += ((part - part.mean()) ** 2).sum() if kind == "level" else len(part) * np.log(np.mean(part**2))
    return total


@pytest.mark.parametrize("kind", ["level", "scatter"])
def test_cuts_are_the_best_of_all(kind):
    x = np.random.default_rng(3).normal(size=18)
    x[11:] += 2
    costs, cuts = cut_points(x, kind, most=2, shortest=3)
    for k in (1, 2):
        possible = [c for c in combinations(range(3, 16), k) if all(b - a >= 3 for a, b in zip((0, *c), (*c, 18)))]
        best = min(possible, key=lambda c: slow_cost(x, c, kind))
        assert costs[k] == pytest.approx(slow_cost(x, best, kind))
        assert tuple(cuts[k][:k]) == best


def test_clean_records_are_rarely_suspected():
    rng = np.random.default_rng(1)
    found = [find_breaks(YEARS, rng.normal(0, 3, 50), permutations=79, seed=k).broken for k in range(40)]
    assert np.mean(found) <= 0.125  # 0.05 expected


def test_a_step_is_found_with_its_year_and_size():
    rng = np.random.default_rng(2)
    hits, sizes = 0, []
    for k in range(12):
        x = rng.normal(0, 3, 50)
        x[28:] -= 7
        steps = [b for b in find_breaks(YEARS, x, permutations=99, seed=k).breaks if b.kind == "level"]
        hits += any(abs(b.year - 1988) <= 2 for b in steps)
        sizes += [b.size for b in steps if abs(b.year - 1988) <= 2]
    assert hits >= 10
    assert np.mean(sizes) == pytest.approx(-7, abs=1.2)


def test_growing_scatter_and_single_slips_are_told_from_steps():
    rng = np.random.default_rng(4)
    x = rng.normal(0, 1.5, 50)
    x[30:] *= 5
    record = find_breaks(YEARS, x, site="s", permutations=199)
    kinds = {b.kind: b for b in record.breaks}
    assert "scatter" in kinds
    assert abs(kinds["scatter"].year - 1990) <= 4
    assert kinds["scatter"].size > 2
    x = rng.normal(0, 2, 50)
    x[20] += 40
    record = find_breaks(YEARS, x, permutations=199)
    assert not record.broken
    assert record.outliers == (1980,)
    assert record.row()["outliers"] == "1980"


def test_residuals_of_a_broken_site_among_clean_ones():
    world = seasons(years=40, sites=4, seed=2)
    broken = (world.site == 1) & (world.year >= 2000)
    world.event[broken] += 9
    for residual in (
        against_temperature(world),
        against_neighbours(world, within=500),
        against_model(world, BloomDays.from_day(world.event - 9.0 * broken, np.zeros(1), world.length)),
    ):
        records = check_records(world, residual)
        assert [r.site for r in records] == ["s0", "s1", "s2", "s3"]
        assert any(abs(b.year - 2000) <= 2 and b.size > 5 for b in records[1].breaks)
        assert not records[3].broken


def test_short_records_are_refused():
    with pytest.raises(InputError) as error:
        find_breaks(YEARS[:9], np.zeros(9))
    assert error.value.code == "PH657"
    with pytest.raises(InputError):
        find_breaks(YEARS, np.zeros(9))
    world = seasons(years=8)
    assert check_records(world, against_temperature(world)) == []


@pytest.mark.realdata
def test_versoix_and_basel(data_folder):
    from ecotone.data.benchmarks.cherry import read_cherry

    world = read_cherry(data_folder / "phenology", None)
    by_site = {r.site: r for r in check_records(world, against_temperature(world))}
    if "CH_versoix" in by_site:
        assert {2008, 2012} <= set(by_site["CH_versoix"].outliers)
    if "CH_basel_binningen" in by_site:
        assert any(abs(b.year - 1989) <= 2 and b.size < -5 for b in by_site["CH_basel_binningen"].breaks)
