"""The hybrid as an estimator: what its answers depend on, and what they must not."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from ecotone.data.seasons import Seasons, Status
from ecotone.data.simulated.trees import trees
from ecotone.errors import InputError
from ecotone.systems.phenology.hybrid.estimator import HybridPhenology

SEASONS = trees(7, sites=3, years=8).seasons
QUICK: dict[str, Any] = {"members": 1, "steps": 60, "width": 4, "held_out": 0.0, "start": "utah"}


@cache
def fitted() -> HybridPhenology:
    """Tests must not change it."""
    return HybridPhenology(**QUICK).fit(SEASONS)


def without(seasons: Seasons, row: int, day: int) -> Seasons:
    daily = seasons.daily.copy()
    daily[row, day] = np.nan
    return replace(seasons, daily=daily)


def test_answers_read_no_bloom_day() -> None:
    found = fitted().predict(SEASONS)
    assert (fitted().predict(SEASONS.unlabelled()).cdf == found.cdf).all()
    assert (np.diff(found.cdf, axis=1) >= -1e-6).all()
    error = np.abs(found.day - SEASONS.event)
    assert error.mean() < np.abs(SEASONS.event - SEASONS.event.mean()).mean()


def test_a_missing_day_before_bloom_is_said_and_one_after_does_not_matter() -> None:
    full = fitted().predict(SEASONS)
    early = fitted().predict(without(SEASONS, 2, 40))
    assert np.isnan(early.day[2]) and np.isnan(early.cdf[2]).all()
    assert str(SEASONS.dates(np.full(len(SEASONS), 40.0))[2]) in early.reason[2]
    assert (np.delete(early.day, 2) == np.delete(full.day, 2)).all()
    day = int(full.day[2]) + 3
    late = fitted().predict(without(SEASONS, 2, day))
    assert late.day[2] == full.day[2] and late.reason[2] == ""


@pytest.mark.parametrize("options", [{}, {"network": "day"}])
def test_one_missing_day_does_not_spoil_a_fit(options: dict[str, Any]) -> None:
    few = QUICK | options | {"steps": 10}
    plain = HybridPhenology(**few).fit(SEASONS)
    after = HybridPhenology(**few).fit(without(SEASONS, 2, int(SEASONS.event[2]) + 3))
    for k, v in plain.parameters_.items():  # what lies after bloom teaches nothing
        np.testing.assert_allclose(after.parameters_[k].numpy(), v.numpy(), rtol=1e-4, atol=1e-5)
    rows = np.delete(np.arange(len(SEASONS)), 2)
    before = HybridPhenology(**few).fit(without(SEASONS, 2, 40))
    left_out = HybridPhenology(**few).fit(SEASONS.take(rows))
    for k, v in left_out.parameters_.items():
        np.testing.assert_allclose(before.parameters_[k].numpy(), v.numpy(), rtol=2e-3, atol=2e-4)
    assert len(before.steps_) == 1 and np.isfinite(before.predict(SEASONS).day).all()
    if not options:
        assert np.isfinite(before.learned().width) and before.learned().seasons == len(rows)


def test_a_site_that_is_not_known_has_a_wider_answer() -> None:
    other = replace(SEASONS, sites=SEASONS.sites.assign(site_id=["x", "y", "z"]))
    known, new = fitted().predict(SEASONS), fitted().predict(other)
    stranger = fitted().predict(replace(other, sites=other.sites.assign(group="elsewhere")))

    def wide(answer: Any) -> np.ndarray:
        ends = answer.quantiles((0.05, 0.95))
        return ends[:, 1] - ends[:, 0]

    assert (wide(new) > wide(known) + 0.5).all() and (wide(stranger) > wide(new)).all()


def test_answers_do_not_depend_on_company() -> None:
    sites = SEASONS.sites.assign(group=["a", "b", "c"])
    model = HybridPhenology(**QUICK | {"steps": 5}).fit(replace(SEASONS, sites=sites))
    model.parameters_["base_group"] = torch.tensor([[2.0, -2.0, 0.0]])
    other = replace(SEASONS, sites=sites.assign(site_id=["x", "y", "z"]))
    together = model.predict(other)
    for n in (0, 9, 17):
        np.testing.assert_allclose(model.predict(other.take([n])).day[0], together.day[n], atol=1e-3)


@pytest.mark.parametrize("options", [{}, {"network": "day"}])
def test_transfer_keeps_the_chill_response(options: dict[str, Any]) -> None:
    old = HybridPhenology(**QUICK | options).fit(SEASONS)
    other = trees(9, sites=2, years=6).seasons
    new = old.transfer(other)
    kept = ("w1", "b1", "w2", "b2", "w3", "b3") if options else (
        "net_in", "net_bias", "net_out", "net_level", "negation", "base", "bend", "release", "bloom", "chill", "heat"
    )  # fmt: skip
    assert all(bool((new.parameters_[k] == old.parameters_[k]).all()) for k in kept)
    assert new.places_.sites == tuple(map(str, other.sites["site_id"]))
    own = "th_g" if options else "heat_site"
    assert bool((new.parameters_[own] != 0).any())
    if not options:
        error = np.abs(new.predict(other).day - other.event).mean()
        untaught = np.abs(old.predict(other.take(slice(None))).day - other.event).mean()
        assert error < min(untaught + 1, 8)


def test_drift_goes_on_only_to_the_ends_of_training() -> None:
    model = HybridPhenology(**QUICK | {"steps": 2}).fit(SEASONS)
    model.parameters_["drift_site"] = torch.full_like(model.parameters_["drift_site"], 0.3)
    first, last = model.years_

    def need(year: int) -> float:
        one = replace(SEASONS.take([0]), year=np.array([year]))
        return float(model.accumulation(one).forcing_requirement[0])

    assert need(last + 40) == need(last) > need(first) == need(first - 40)


def test_warmth_brings_bloom_forward_where_chill_never_lacks() -> None:
    world = trees(2, sites=2, years=8, winters="cold")
    model = HybridPhenology(**QUICK).fit(world.seasons)
    days = [model.predict(world.seasons.warmed(w)).day for w in (0.0, 1.0)]
    assert (days[1] < days[0]).all()


def test_equal_seeds_equal_bits_and_other_randomness_is_left_alone() -> None:
    quick = QUICK | {"steps": 3, "start": "random"}
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    one = HybridPhenology(**quick).fit(SEASONS)
    after = float(torch.rand(1)), float(np.random.rand())  # noqa: NPY002
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    assert after == (float(torch.rand(1)), float(np.random.rand()))  # noqa: NPY002
    other = HybridPhenology(**quick).fit(SEASONS)
    assert all(bool((v == other.parameters_[k]).all()) for k, v in one.parameters_.items())
    third = HybridPhenology(**quick | {"seed": 1}).fit(SEASONS)
    assert bool((third.parameters_["net_in"] != one.parameters_["net_in"]).any())


def test_censored_seasons_teach() -> None:
    day = fitted().predict(SEASONS).day
    own = np.flatnonzero(SEASONS.site == 0)
    moved = {}
    for status, shift in ((Status.AFTER, 20.0), (Status.BEFORE, -20.0)):
        kind, event = np.array(SEASONS.status), np.array(SEASONS.event)
        kind[own], event[own] = status, np.clip(day[own] + shift, 1, SEASONS.length - 1)
        model = HybridPhenology(**QUICK).fit(replace(SEASONS, status=kind, event=event))
        moved[status] = float((model.predict(SEASONS).day - day)[own].mean())
    assert moved[Status.AFTER] > 3 and moved[Status.BEFORE] < -3


def test_a_new_fit_forgets_the_old_one() -> None:
    model = HybridPhenology(**QUICK | {"steps": 2, "start": "random"}).fit(SEASONS)
    assert len(model.parameters()) == 3
    model.fit(SEASONS.take(np.flatnonzero(SEASONS.site == 0)))
    assert len(model.parameters()) == 1


def test_too_few_seasons_are_refused() -> None:
    with pytest.raises(InputError, match="at least 5") as caught:
        HybridPhenology(**QUICK).fit(SEASONS.take(slice(0, 4)))
    assert caught.value.code == "PH616"
    status = np.full(len(SEASONS), Status.AFTER, dtype=np.int8)
    with pytest.raises(InputError, match="censored bloom only") as caught:
        HybridPhenology(**QUICK).fit(replace(SEASONS, status=status))
    assert caught.value.code == "PH616"
