"""How much sites differ, for answers at unknown ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ecotone.systems.phenology.hybrid.features import Places
from ecotone.systems.phenology.hybrid.model import SPREAD
from ecotone.systems.phenology.hybrid.spread import LEAST, NODES, widths

PLACES = Places(("a", "b", "c", "d"), ("x", "y"), (0, 0, 1, 1))


def parameters(site: list[float], group: list[float]) -> dict[str, torch.Tensor]:
    return {"heat_site": torch.tensor([site, site]), "heat_group": torch.tensor([group, group])}


def test_variance_is_averaged_with_the_prior() -> None:
    seen = np.ones(4, dtype=bool)
    site, group = widths(parameters([0.3, -0.1, 0.2, 0.0], [0.1, -0.4]), PLACES, seen)
    assert site == pytest.approx(((0.09 + 0.01 + 0.04 + 2 * SPREAD["heat_site"] ** 2) / 6) ** 0.5)
    assert group == pytest.approx(((0.01 + 0.16 + SPREAD["heat_group"] ** 2) / 3) ** 0.5)


def test_only_seen_places_count() -> None:
    p = parameters([0.3, 9.0, 9.0, 9.0], [0.1, 9.0])
    site, group = widths(p, PLACES, np.array([True, False, False, False]))
    assert site == pytest.approx(((0.09 + 2 * SPREAD["heat_site"] ** 2) / 3) ** 0.5)
    assert group == pytest.approx(((0.01 + SPREAD["heat_group"] ** 2) / 2) ** 0.5)


def test_more_different_sites_make_it_wider_and_equal_ones_leave_some() -> None:
    seen = np.ones(4, dtype=bool)
    wide = widths(parameters([0.4, -0.4, 0.4, -0.4], [0.0, 0.0]), PLACES, seen)[0]
    narrow = widths(parameters([0.0, 0.0, 0.0, 0.0], [0.0, 0.0]), PLACES, seen)[0]
    assert wide > 2 * narrow > 2 * LEAST
    many = Places(tuple(map(str, range(400))), ("x",), (0,) * 400)
    p = {"heat_site": torch.zeros(1, 400), "heat_group": torch.zeros(1, 1)}
    assert widths(p, many, np.ones(400, dtype=bool))[0] == LEAST


def test_the_published_form_has_no_spread_of_sites() -> None:
    assert widths({"th_g": torch.zeros(1, 4)}, PLACES, np.ones(4, dtype=bool)) == (LEAST, LEAST)


def test_nodes_are_those_of_a_normal_distribution() -> None:
    x, w = np.array(NODES).T
    moments = [float((w * x**k).sum()) for k in (0, 1, 2, 4, 6)]
    np.testing.assert_allclose(moments, [1, 0, 1, 3, 15], atol=1e-9)
