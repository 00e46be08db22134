"""How much sites differ, for answers at unknown ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from ecotone.data.simulated.trees import trees
from ecotone.systems.phenology.hybrid.config import HybridConfig
from ecotone.systems.phenology.hybrid.estimator import HybridPhenology, without_gaps
from ecotone.systems.phenology.hybrid.features import Places, features
from ecotone.systems.phenology.hybrid.model import Hybrid
from ecotone.systems.phenology.hybrid.neighbours import PRIOR
from ecotone.systems.phenology.hybrid.spread import GROUPS, LEAST, NODES, SEASONS, SITES, offsets, sites_apart


@pytest.fixture(scope="module")
def asked():
    """Four sites in two groups, a model of them with nothing of its own at any site, rows that were learned from."""
    seasons = trees(2, sites=4, years=5).seasons
    seasons.sites["group"] = ["x", "x", "y", "y"]
    places = Places.of(seasons)
    f = without_gaps(features(seasons, places))
    core = Hybrid(HybridConfig(members=2, width=4), places)
    p = core.initial(2, torch.Generator().manual_seed(0), f)
    p["heat_group"].zero_()
    p["heat_place"].zero_()
    return core, p, places, f, torch.nonzero(f.usable)[:, 0]


def slow_ratio(core, p, f, i: int, *, group: bool = True, place: tuple[int, ...] = (1, 1, 1, 1)) -> float:
    """Mean over members of the log of what one season gathered over what it needs, from its whole course."""
    one = replace(
        f,
        site=torch.full_like(f.site, len(core.places.sites)),
        group=f.group if group else torch.full_like(f.group, len(core.places.groups)),
        place=f.place * torch.tensor(place),
    )
    gathered = core.course(p, one).forcing[:, i, int(f.event[i])]
    return float((gathered / core.forcing_requirement(p, one)[:, i]).log().mean())


def test_offsets_equal_those_of_whole_courses(asked) -> None:
    core, p, _, f, rows = asked
    p = p | {"heat_group": torch.tensor([[0.2, -0.1]] * 2), "base_site": torch.full((2, 4), 0.7)}
    p |= {name: torch.tensor([[0.3, 0.1, -0.2, 0.1]] * 2) for name in ("heat_place", "chill_place")}
    by_site, by_group, by_place = offsets(core, p, f, rows)
    for k, i in enumerate(rows[:6].tolist()):
        own, amid = slow_ratio(core, p, f, i), slow_ratio(core, p, f, i, place=(0, 0, 0, 0))
        assert by_site[k] == pytest.approx(own, abs=1e-4)
        nothing = slow_ratio(core, p, f, i, group=False, place=(0, 0, 0, 0))
        assert by_group[k] == pytest.approx(nothing - amid, abs=1e-4)
        less = [slow_ratio(core, p, f, i, place=told) - own for told in ((0, 0, 1, 1), (1, 1, 0, 1), (1, 1, 1, 0))]
        np.testing.assert_allclose(by_place[k], less, atol=1e-4)


def test_variance_is_averaged_with_the_prior(asked) -> None:
    core, p, places, f, rows = asked
    found = sites_apart(core, p, places, f, rows)
    site, group = found.site, found.group
    by_site, by_group, _ = offsets(core, p, f, rows)
    known = f.site[rows].numpy()
    mean = np.array([by_site[known == k].mean() for k in range(4)])
    assert site == pytest.approx((((mean**2).sum() + 2 * SITES**2) / 6) ** 0.5)
    np.testing.assert_allclose(found.offset, mean)
    left = sum(((by_site[known == k] - mean[k]) ** 2).sum() for k in range(4))
    np.testing.assert_allclose(found.noise, (left + SEASONS**2) / (len(rows) - 3) / 5)
    np.testing.assert_allclose(by_group, 0, atol=1e-6)  # groups that are alike
    assert group == pytest.approx((GROUPS**2 / 3) ** 0.5)


def test_other_bases_count_as_other_sites_do(asked) -> None:
    core, p, places, f, rows = asked
    seasons = trees(2, sites=4, years=5).seasons
    seasons.sites["group"] = ["x", "x", "y", "y"]
    seasons.event[seasons.site % 2 == 1] += 8  # every other site blooms later than its weather says
    late = without_gaps(features(seasons, places))
    assert sites_apart(core, p, places, late, rows).site > 1.05 * sites_apart(core, p, places, f, rows).site


def test_only_rows_that_were_learned_from_count(asked) -> None:
    core, p, places, f, rows = asked
    one = rows[f.site[rows] == 0]
    found = sites_apart(core, p, places, f, one)
    site, group = found.site, found.group
    assert np.isfinite(found.offset).tolist() == [True, False, False, False]
    mean = offsets(core, p, f, one)[0].mean()
    assert site == pytest.approx(((mean**2 + 2 * SITES**2) / 3) ** 0.5)
    assert group == pytest.approx((GROUPS**2 / 2) ** 0.5)
    none = sites_apart(core, p, places, f, rows[:0])
    assert (none.site, none.group) == (LEAST, LEAST) and np.isnan(none.offset).all()
    np.testing.assert_array_equal(none.weight, PRIOR)


def test_the_published_form_has_no_spread_of_sites(asked) -> None:
    _, p, places, f, rows = asked
    found = sites_apart(object(), p, places, f, rows)
    assert (found.site, found.group) == (LEAST, LEAST) and np.isnan(found.offset).all()


def test_a_place_that_is_not_told_may_be_any_of_the_known(asked) -> None:
    core, p, places, f, rows = asked
    found = sites_apart(core, p | {"heat_place": torch.tensor([[1.0, 0.0, 0.5, 0.0]] * 2)}, places, f, rows)
    told = replace(f, site=torch.full_like(f.site, 4))
    _, sd = found.between(places, told)
    one = 0  # of group x: sites 0 and 1
    for axes in ((0,), (1,), (0, 1, 2)):
        where = f.where.clone()
        where[:, list(axes)] = float("nan")
        mean, wide = found.between(places, replace(told, where=where))
        part = found.moved[:2, list(axes)].sum(1)
        assert part.std() > 0.01 and mean[one] != 0
        assert wide[one] > sd[one] and wide[one] >= part.std()
    lost = replace(told, group=torch.full_like(f.group, 2))
    assert found.between(places, lost)[1][one] >= np.hypot(found.group, found.moved.sum(1).std())


def test_unknown_sites_of_different_known_ones_get_wide_answers() -> None:
    found = []
    for apart in (0, 30):
        seasons = trees(3, sites=4, years=8).seasons
        seasons.event[seasons.site % 2 == 0] += apart
        model = HybridPhenology(members=1, steps=150, width=6, held_out=0.0, start="utah").fit(seasons)
        found.append(model.apart_.site)
    assert found[1] > 1.5 * found[0]


def test_nodes_are_those_of_a_normal_distribution() -> None:
    x, w = np.array(NODES).T
    moments = [float((w * x**k).sum()) for k in (0, 1, 2, 4, 6)]
    np.testing.assert_allclose(moments, [1, 0, 1, 3, 15], atol=1e-9)
