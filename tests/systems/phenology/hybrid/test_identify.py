"""What a fit says about how well it is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from ecotone.data.simulated.trees import trees
from ecotone.systems.phenology.hybrid.estimator import HybridPhenology
from ecotone.systems.phenology.hybrid.features import KNOTS
from ecotone.systems.phenology.hybrid.identify import LEAST_LIMITED, WIDEST, Learned
from ecotone.systems.phenology.hybrid.uncertainty import posterior


@pytest.fixture(scope="module")
def cold() -> HybridPhenology:
    return HybridPhenology(members=2, steps=40, held_out=0.0).fit(trees(5, winters="cold", sites=3, years=8).seasons)


@pytest.fixture(scope="module")
def mild() -> HybridPhenology:
    """A utah-like start near the truth, so that few steps do."""
    seasons = trees(6, sites=6, years=16).seasons
    return HybridPhenology(members=1, steps=60, start="utah", held_out=0.0).fit(seasons)


@pytest.mark.parametrize("seed", [5, 6])
def test_cold_winters_do_not_identify_chill(seed: int, cold: HybridPhenology) -> None:
    seasons = trees(seed, winters="cold", sites=3, years=8).seasons
    model = cold if seed == 5 else HybridPhenology(members=1, steps=30, held_out=0.0).fit(seasons)
    assert not model.learned().identified
    assert not model.response(np.arange(-3.0, 10)).identified
    assert model.identifiability()[0].verdict == "fail"


def test_mild_winters_identify_chill(mild: HybridPhenology) -> None:
    learned = mild.learned()
    assert learned.limited > 0.3
    assert learned.width < min(WIDEST, learned.prior_width)
    assert learned.identified and mild.identifiability()[0].verdict == "pass"


def test_every_claim_has_its_check(cold: HybridPhenology, mild: HybridPhenology) -> None:
    titles = [
        "Is the chill response identified?",
        "Winters in which chill mattered",
        "Effective seasons and parameters",
        "Correlated parameters",
        "Profile width of the chill requirement",
        "Parameters at their bounds",
        "Requirements by place",
    ]
    for model in (cold, mild):
        found = {c.title: c for c in model.identifiability()}
        learned = model.learned()
        assert list(found) == titles
        assert found[titles[0]].measured == learned.width and found[titles[0]].bound == WIDEST
        assert found[titles[1]].measured == learned.limited
        assert found[titles[2]].measured == learned.effective and found[titles[2]].bound == learned.station_years
        table = model.parameters()
        share = (table["chill_requirement_sd"] / table["chill_requirement"].clip(lower=1)).max()
        assert found[titles[4]].measured == pytest.approx(share)
        assert len(found[titles[4]].details) == len(table)
        for title in titles[1:2]:
            assert (found[title].verdict == "pass") == (found[title].measured >= LEAST_LIMITED)
        for title in titles[3:6]:
            assert (found[title].verdict == "pass") == (abs(found[title].measured) <= found[title].bound)


def with_numbers(learned: Learned, model: HybridPhenology, **numbers: object) -> list[str]:
    return [c.verdict for c in replace(learned, **numbers).checks(model)]


def test_verdicts_follow_the_numbers(mild: HybridPhenology) -> None:
    learned = mild.learned()
    good = {"width": 0.1, "limited": 0.5, "correlated": ("a", "b", -0.5)}
    assert with_numbers(learned, mild, **good)[:2] == ["pass", "pass"]
    assert with_numbers(learned, mild, **good | {"width": 0.3})[:2] == ["fail", "pass"]
    assert with_numbers(learned, mild, **good | {"limited": 0.05})[:2] == ["fail", "fail"]
    assert with_numbers(learned, mild, **good | {"correlated": ("a", "b", -0.97)})[3] == "fail"
    assert with_numbers(learned, mild, **good)[3] == "pass"
    table = learned.parameters.assign(chill_requirement=3.0, chill_requirement_sd=2.0)
    assert with_numbers(learned, mild, parameters=table)[4:6] == ["fail", "fail"]
    table = learned.parameters.assign(chill_requirement=40.0, chill_requirement_sd=2.0)
    assert with_numbers(learned, mild, parameters=table)[4:6] == ["pass", "pass"]


def test_effective_parameters_are_those_the_data_set(cold: HybridPhenology) -> None:
    learned = cold.learned()
    work = cold._work
    assert work is not None
    q = posterior(cold.core, cold.parameters_, 0, work.features, torch.ones(24), cold.config.outliers)
    data = torch.linalg.inv(q.covariance) - q.prior
    assert learned.effective == pytest.approx(float((data * q.covariance).sum()), abs=0.05)
    assert 1 < learned.effective < 24
    assert learned.total == len(q.mean) and learned.seasons == learned.station_years == 24


def test_requirements_have_one_row_per_site(cold: HybridPhenology) -> None:
    table = cold.parameters()
    assert table["site_id"].tolist() == ["site-01", "site-02", "site-03"]
    assert (table["seasons"] == 8).all() and (table["group"] == "simulated").all()
    for name in ("chill_requirement", "forcing_requirement", "base"):
        assert np.isfinite(table[name]).all() and (table[f"{name}_sd"] > 0).all()


def test_the_band_is_the_wider_the_less_is_known(cold: HybridPhenology, mild: HybridPhenology) -> None:
    usual = KNOTS[((mild.usual_[0] <= KNOTS) & (mild.usual_[1] >= KNOTS))]
    sure, wide = mild.response(usual, level=0.5), mild.response(usual, level=0.9)
    assert ((wide.upper - wide.lower) >= (sure.upper - sure.lower) - 1e-9).all()
    open_ = cold.response(KNOTS[((cold.usual_[0] <= KNOTS) & (cold.usual_[1] >= KNOTS))])
    assert (open_.upper - open_.lower).mean() > (wide.upper - wide.lower).mean()


def test_the_published_network_is_known_by_its_members_only() -> None:
    seasons = trees(2, sites=2, years=5).seasons
    one = HybridPhenology(members=1, steps=2, network="day", width=3, held_out=0.0).fit(seasons)
    assert not one.learned().identified and (one.learned().response_sd == 1.0).all()
    assert one.identifiability()[0].verdict == "fail"
    two = HybridPhenology(members=2, steps=2, network="day", width=3, held_out=0.0).fit(seasons)
    assert np.isfinite(two.learned().response_sd).all()
