"""What is usual at a place: its terms, their start, answers at sites that were never seen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from tests.systems.phenology.hybrid.worlds import made, ready

from ecotone.data.seasons import Seasons
from ecotone.data.simulated.trees import trees
from ecotone.systems.phenology.distribution import quantile
from ecotone.systems.phenology.hybrid import neighbours
from ecotone.systems.phenology.hybrid.config import HybridConfig
from ecotone.systems.phenology.hybrid.estimator import HybridPhenology
from ecotone.systems.phenology.hybrid.features import TERMS, Places, features
from ecotone.systems.phenology.hybrid.model import SCATTER, SPREAD, Hybrid
from ecotone.systems.phenology.hybrid.neighbours import alike

NORTH = np.linspace(30.0, 45.0, 12)
QUICK = {"members": 1, "width": 6, "held_out": 0.0, "start": "utah", "steps": 120}


def moved(seasons: Seasons, **columns: Any) -> Seasons:
    return replace(seasons, sites=seasons.sites.assign(**columns))


@pytest.fixture(scope="module")
def four() -> Seasons:
    """Three sites of one group, one of another, without an altitude."""
    where = {
        "latitude": [40.0, 44.0, 45.0, -20.0],
        "longitude": [5.0, 7.0, 9.0, 30.0],
        "altitude": [100.0, np.nan, 400.0, np.nan],
    }
    return moved(trees(3, sites=4, years=2).seasons, group=["a", "a", "a", "b"], **where)


def test_terms_are_distances_from_the_middle_of_the_group(four: Seasons) -> None:
    places = Places.of(four)
    np.testing.assert_allclose(places.centre, [(43.0, 7.0, 250.0), (20.0, 30.0, np.nan)])
    np.testing.assert_array_equal(places.where, four.sites[["latitude", "longitude", "altitude"]])
    np.testing.assert_allclose(places.low, [(-3.0, -2.0, -150.0), (0.0, 0.0, 0.0)])
    np.testing.assert_allclose(places.high, [(2.0, 2.0, 150.0), (0.0, 0.0, 0.0)])
    f = features(four, places)
    expected = [[-0.3, 0.09, -0.2, -0.15], [0.1, 0.01, 0.0, 0.0], [0.2, 0.04, 0.2, 0.15], [0.0] * 4]
    assert f.place.shape == (8, len(TERMS)) and f.place.dtype == torch.float32
    np.testing.assert_allclose(f.place[::2], expected, atol=1e-6)
    assert not f.beyond.any()


def test_beyond_the_known_sites_terms_end_and_the_distance_is_told(four: Seasons) -> None:
    far = moved(four, latitude=[50.0, 44.0, 45.0, -20.0], altitude=[100.0, 3250.0, 400.0, 800.0], site_id=list("wxyz"))
    f = features(far, Places.of(four))
    np.testing.assert_allclose(f.place[0], [0.2, 0.04, -0.2, -0.15], atol=1e-6)  # the edge to the north is nearer
    np.testing.assert_allclose(f.place[2], [0.1, 0.01, 0.0, 0.15], atol=1e-6)
    np.testing.assert_allclose(f.beyond[::2], [0.5, 2.85, 0.0, 0.0], atol=1e-6)  # the last group's site has no height
    near = Places.of(four).within(np.array([True, True, False, True]))  # of the third nothing was learned
    np.testing.assert_allclose(near.high[0], (1.0, 0.0, 0.0), atol=1e-9)
    assert near.centre[0] == Places.of(four).centre[0] and features(far, near).beyond[0] > f.beyond[0]


def test_longitudes_go_round(four: Seasons) -> None:
    east = moved(four, longitude=[179.0, -179.0, 183.0, 235.0], site_id=list("wxyz"))
    places = Places.of(east)
    assert places.centre[0][1] % 360 == pytest.approx(181.0)
    np.testing.assert_allclose(features(east, places).place[::2, 2], [-0.2, 0.0, 0.2, 0.0], atol=1e-6)
    again = moved(east, longitude=[-181.0, 181.0, -177.0, -125.0], site_id=list("abcd"))
    np.testing.assert_allclose(features(again, places).place, features(east, places).place, atol=1e-5)


def test_known_sites_are_of_the_group_they_were_learned_in(four: Seasons) -> None:
    places = Places.of(four)
    for word in ("", "another word"):
        site, group = places.find(moved(four, group=word))
        assert site[::2].tolist() == [0, 1, 2, 3] and group[::2].tolist() == [0, 0, 0, 1]
    site, group = places.find(moved(four, group="b"))  # other trees at these sites
    assert site[::2].tolist() == [4, 4, 4, 3] and (group == 1).all()
    twice = moved(four, site_id=["w", "x", "y", "w"])  # one name in two groups
    assert Places.of(twice).find(twice)[0][::2].tolist() == [0, 1, 2, 3]


def test_unknown_groups_and_places_are_in_the_middle(four: Seasons) -> None:
    places = Places.of(four)
    f = features(moved(four, group="c", latitude=70.0, site_id=list("wxyz")), places)
    assert not f.place.any() and not f.beyond.any()
    bare = replace(four, sites=four.sites.drop(columns=["longitude", "altitude"]))
    assert Places.of(bare).low[0] == (-3.0, 0.0, 0.0)
    lone = features(moved(four, site_id=list("wxyz"), longitude=300.0, altitude=4000.0), Places.of(bare))
    assert not lone.place[:, 2:].any() and not lone.beyond.any()  # no known site says where it is
    assert features(moved(bare, site_id=list("wxyz")), places).place[:, 2:].abs().max() == 0
    text = moved(four, altitude=["100", "", "about 400", "x"])
    assert Places.of(text).centre[0] == (43.0, 7.0, 100.0)


def test_groups_of_another_model_keep_their_middle(four: Seasons) -> None:
    places, other = Places.of(four), moved(four, latitude=60.0, group=["a", "a", "c", "c"])
    found = Places.of(other, like=places)
    assert found.groups == ("a", "c")
    assert found.centre[0] == places.centre[0] and (found.low[0], found.high[0]) == (places.low[0], places.high[0])
    assert found.centre[1] == (60.0, 19.5, 400.0)


def test_the_start_is_a_ridge_over_sites() -> None:
    seasons = made(years=5)
    core = Hybrid(HybridConfig(start="random", width=4), Places.of(seasons))
    f = ready(seasons)
    f = replace(f, **{n: getattr(f, n).float() for n in ("share", "summed", "until_event", "place", "year")})
    p = core.initial(2, torch.Generator().manual_seed(1), f)
    seen = np.flatnonzero(f.usable & ~f.after & ~f.before)
    none = p | {k: torch.zeros_like(p[k]) for k in ("heat", "heat_group", "heat_place")}
    course = core.course(none, f)
    gathered = course.forcing[:, torch.from_numpy(seen), f.event[seen]].log().numpy() - np.log(100)
    group, site = f.group.numpy()[seen], f.site.numpy()[seen]
    for m in range(2):
        rest = gathered[m].copy()
        for k in np.unique(group):
            rest[group == k] -= np.sort(rest[group == k])[(int((group == k).sum()) - 1) // 2]
        square, line = np.eye(4) / SPREAD["heat_place"] ** 2, np.zeros(4)
        for k in np.unique(site):
            x = f.place.numpy()[seen][site == k][0]
            weight = 1 / (SPREAD["heat_site"] ** 2 + SCATTER**2 / (site == k).sum())
            square, line = square + weight * np.outer(x, x), line + weight * x * rest[site == k].mean()
        np.testing.assert_allclose(p["heat_place"][m], np.linalg.solve(square, line), rtol=1e-3, atol=1e-4)


def north(site: int | None = None) -> Seasons:
    """Trees that bloom the later, the farther north: 1.5 days a degree more than their weather says."""
    seasons = moved(trees(5, sites=12, years=6).seasons, latitude=NORTH, longitude=10.0, altitude=0.0)
    shifted = replace(seasons, event=np.round(seasons.event + 1.5 * (NORTH - NORTH.mean())[seasons.site]))
    return shifted if site is None else shifted.take(shifted.site == site)


def test_sites_never_seen_get_what_is_usual_at_their_place(monkeypatch: pytest.MonkeyPatch) -> None:
    seasons = north()
    out = np.isin(seasons.site, (1, 6, 10))

    def error(**options: Any) -> float:
        model = HybridPhenology(**options, **QUICK).fit(seasons.take(~out))
        new = seasons.take(out)
        return float(np.abs(model.predict(new.unlabelled()).day - new.event).mean())

    by_neighbours = error(place=False)
    monkeypatch.setattr(neighbours, "weigh", lambda *_: np.eye(len(neighbours.PATTERNS))[0])
    neither, by_place = error(place=False), error(place=True)
    assert by_place < 0.6 * neither and by_neighbours < 0.6 * neither


def test_far_from_all_known_sites_answers_are_wider() -> None:
    seasons = north()
    model = HybridPhenology(**QUICK).fit(seasons.take(seasons.site < 8))
    wide = []
    for latitude in (35.0, 45.0, 60.0):
        strange = moved(north(9), site_id=[f"new-{k}" for k in range(12)], latitude=latitude)
        cdf = model.predict(strange).cdf
        wide.append(np.mean(quantile(cdf, 0.95) - quantile(cdf, 0.05)))
    assert wide[0] + 1 < wide[1] < wide[2] - 1


def test_the_published_form_knows_no_places() -> None:
    assert not HybridConfig.parse({"preset": "paper"}).place


def test_what_changes_with_place_is_told() -> None:
    seasons = north()
    model = HybridPhenology(**QUICK | {"steps": 2}).fit(seasons)
    model.parameters_["heat_place"] = torch.tensor([[0.2, 9.0, -0.1, 0.5]])
    model.parameters_["chill_place"] = torch.tensor([[1.0, 9.0, 0.0, -0.00001]])
    model.parameters_["chill_place"] *= model.top(model.parameters_)
    (told,) = [c for c in model.identifiability() if c.title == "Requirements by place"]
    details = dict(told.details)
    assert told.verdict == "note" and told.measured == pytest.approx(100 * (np.exp(0.02) - 1))
    assert details["chill requirement with it"] == "+1.0 chill days"
    assert details["per degree farther east"] == "forcing -1.0 %, chill +0.0 chill days"
    assert details["per 100 m higher"] == "forcing +5.1 %, chill +0.0 chill days"
    assert details["farthest site from the middle of its group"] == "7.5 degrees, 0 m"
    assert details["of which sites 50 km apart have in common"] == f"{alike(50, model.apart_.weight) * 100:.0f} %"
    for quiet in (HybridPhenology(place=False, **QUICK | {"steps": 2}).fit(seasons), one_place()):
        assert "Requirements by place" not in [c.title for c in quiet.identifiability()]


def one_place() -> HybridPhenology:
    return HybridPhenology(**QUICK | {"steps": 2}).fit(moved(north(), latitude=40.0))


def test_what_is_shown_of_a_new_site_is_what_it_is_answered_with() -> None:
    seasons = north()
    model = HybridPhenology(place=False, **QUICK).fit(seasons.take(seasons.site != 6))
    new = seasons.take(seasons.site == 6)
    shown, known = model.accumulation(new), model.accumulation(seasons.take(seasons.site == 5))
    f = model._features(new)
    expected, _ = model.apart_.between(model.places_, f)
    with torch.no_grad():
        usual = model.core.forcing_requirement(model.parameters_, f).mean(0).numpy()
    np.testing.assert_allclose(shown.forcing_requirement, usual * np.exp(expected), rtol=1e-5)
    assert abs(expected[0]) > 0.005 and known.forcing_requirement[0] > 0
