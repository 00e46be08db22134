"""Tables of a query: which sites they mean, where these stand, and whose weather is whose."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ecotone.errors import EcotoneWarning, InputError
from ecotone.systems.phenology.system import PhenologySystem

HERE = {"latitude": 41.0, "longitude": 4.0, "altitude": 900.0}


def weather(folder: Path, **names: str) -> pd.DataFrame:
    """Temperatures of some sites under other names."""
    whole = pd.read_csv(folder / "temperature.csv")
    return pd.concat([whole[whole["site_id"] == site].assign(site_id=name) for name, site in names.items()])


def asked(system: Any, **query: Any) -> pd.DataFrame:
    """Answers for 1995 by site."""
    return system.predict({"years": "1995", **query}).to_frame().set_index("site_id")


@pytest.fixture(scope="module")
def two_kinds(tree_folder: Path) -> Any:
    """A system of two species at every site, which it tells apart behind the names."""
    bloom = pd.read_csv(tree_folder / "bloom.csv")
    late = bloom.assign(species="late", doy=bloom["doy"] + 20, date=np.nan)
    both = pd.concat([bloom.assign(species="early"), late]).drop(columns=["date"])
    inputs = {"bloom": both, "temperature": tree_folder / "temperature.csv", "species": "all"}
    return PhenologySystem(members=1, steps=40).fit(inputs)


@pytest.mark.filterwarnings("ignore::ecotone.errors.EcotoneWarning")
def test_other_stations_are_sites_of_their_own(fitted: Any, tree_folder: Path) -> None:
    other = weather(tree_folder, new="site-01")
    found = asked(fitted, temperature=[other])
    assert list(found.index) == ["new"] and np.isfinite(found["doy"]).all()
    links = pd.DataFrame({"site_id": ["site-01", "site-02"], "station_id": ["a", "b"]})
    with pytest.warns(EcotoneWarning, match=r"no temperatures of site-01, site-02 \(2 of 2 sites of --stations\)"):
        pd.testing.assert_frame_equal(asked(fitted, temperature=[other], stations=[links]), found)


def test_sites_of_a_table_are_answered_where_they_are(fitted: Any, tree_folder: Path, tmp_path: Path) -> None:
    """Named after their station or linked to it, alone or beside known sites: a place says the same in every form."""
    whole, other = pd.read_csv(tree_folder / "temperature.csv"), weather(tree_folder, met="site-01")
    place = {name: [value] for name, value in HERE.items()}
    forms = {
        "met": pd.DataFrame({"station_id": ["met"], **place}),
        "tree": pd.DataFrame({"site_id": ["tree"], "station_id": ["met"], **place}),
        "far": pd.DataFrame({"site_id": ["far"], "station_id": ["met"], **place, "latitude": [60.0]}),
    }
    found = {}
    for name, table in forms.items():
        path = tmp_path / f"{name}.csv"
        table.to_csv(path, index=False)
        found[name] = asked(fitted, temperature=[other], stations=[path])
        assert list(found[name].index) == [name]
    assert found["met"]["q95"].item() == pytest.approx(found["tree"]["q95"].item())
    wide = {name: (t["q75"] - t["q25"]).item() for name, t in found.items()}
    assert wide["far"] > wide["tree"] + 1
    both = pd.concat([whole, other])
    own = asked(fitted, temperature=[both], stations=[tmp_path / "tree.csv"])["doy"]
    assert own["tree"] == pytest.approx(found["tree"]["doy"].item())
    pd.testing.assert_series_equal(own.drop("tree"), asked(fitted, temperature=[whole])["doy"])


@pytest.mark.filterwarnings("ignore::ecotone.errors.EcotoneWarning")
def test_known_sites_are_not_answered_from_the_weather_of_new_ones(fitted: Any, tree_folder: Path) -> None:
    other = weather(tree_folder, met="site-01")
    places = pd.DataFrame({"site_id": ["site-01", "site-02", "site-03", "tree"], **HERE})
    assert list(asked(fitted, temperature=[other], stations=[places]).index) == ["tree"]


def test_new_sites_without_temperatures_are_told(fitted: Any, tree_folder: Path) -> None:
    both = pd.concat([pd.read_csv(tree_folder / "temperature.csv"), weather(tree_folder, met="site-01")])
    links = pd.DataFrame({"site_id": ["tree", "bush"], "station_id": ["met", "lost"], **HERE})
    with pytest.warns(EcotoneWarning, match=r"no temperatures of bush \(1 of 5 sites\)"):
        found = asked(fitted, temperature=[both], stations=[links])
    assert "bush" not in found.index and np.isfinite(found.loc["tree", "doy"])
    named = asked(fitted, temperature=[both], stations=[links], sites=["bush", "tree"])
    assert named.loc["bush", "reason"] and np.isnan(named.loc["bush", "doy"]) and np.isfinite(named.loc["tree", "doy"])


def test_several_files_are_named_by_their_files(fitted: Any, tree_folder: Path, tmp_path: Path) -> None:
    whole = pd.read_csv(tree_folder / "temperature.csv")
    paths = []
    for name, part in whole.groupby("site_id"):
        part.drop(columns="site_id").to_csv(tmp_path / f"{name}.csv", index=False)
        paths.append(tmp_path / f"{name}.csv")
    query = {"temperature": paths, "bloom": tree_folder / "bloom.csv", "years": "1995"}
    found = fitted.predict(query).to_frame()
    np.testing.assert_allclose(found["doy"], fitted.predict({"years": "1995"}).to_frame()["doy"], atol=1e-6)
    (tmp_path / "odd.csv").write_text("date,tmin,tmax\n2000-01-01,1,2\n")
    with pytest.raises(InputError) as caught:
        fitted.predict({**query, "temperature": [*paths, tmp_path / "odd.csv"]})
    assert caught.value.code == "PH601"


def test_tables_name_sites_of_several_species_once(two_kinds: Any, tree_folder: Path) -> None:
    own = asked(two_kinds)
    assert len(own) == 6 and (own["doy"].filter(like="late") > own["doy"].filter(like="early").to_numpy() + 5).all()
    met = weather(tree_folder, a="site-01", b="site-02", c="site-03")
    links = pd.DataFrame({"site_id": ["site-01", "site-02", "site-03"], "station_id": list("abc")})
    pd.testing.assert_series_equal(asked(two_kinds, temperature=[met], stations=[links])["doy"], own["doy"])


def test_known_sites_are_found_by_name_and_species(two_kinds: Any, fitted: Any, tree_folder: Path) -> None:
    bloom = pd.read_csv(tree_folder / "bloom.csv").drop(columns="date")
    weather = [tree_folder / "temperature.csv"]
    late = asked(two_kinds, temperature=weather, bloom=bloom.assign(species="late", doy=bloom["doy"] + 20))
    pd.testing.assert_series_equal(late["doy"], asked(two_kinds)["doy"].filter(like="late"))
    plain = asked(fitted, temperature=weather, bloom=bloom)["doy"]
    bare = bloom.drop(columns=["latitude", "longitude", "altitude"], errors="ignore")
    pd.testing.assert_series_equal(asked(fitted, temperature=weather, bloom=bare)["doy"], plain)


def test_species_in_tables_mean_sites_of_the_run(two_kinds: Any, tree_folder: Path) -> None:
    bloom = pd.read_csv(tree_folder / "bloom.csv").drop(columns="date")
    table = [tree_folder / "temperature.csv"]
    own = asked(two_kinds)
    early = own["doy"].filter(like="early")
    for named in (
        {"bloom": bloom.assign(species="Early")},
        {"bloom": bloom.assign(species="early"), "species": "early"},
        {"bloom": bloom.assign(site_id=bloom["site_id"] + " / early")},
        {"bloom": bloom.assign(site_id=bloom["site_id"] + " / early", species="early")},
    ):
        pd.testing.assert_series_equal(asked(two_kinds, temperature=table, **named)["doy"], early)
    with pytest.raises(InputError) as caught:
        asked(two_kinds, temperature=table, bloom=bloom)
    assert caught.value.code == "PH603" and "early, late" in caught.value.what
    other = asked(two_kinds, temperature=table, bloom=bloom.assign(species="plum"))
    assert other.index[0] == "site-01 / plum"  # a tree that the run has never seen
    wide = other["q95"] - other["q05"]
    assert (wide > (own["q95"] - own["q05"]).filter(like="early").to_numpy() + 5).all()


def test_one_species_per_site(tree_folder: Path) -> None:
    bloom = pd.read_csv(tree_folder / "bloom.csv").drop(columns="date")
    table = [tree_folder / "temperature.csv"]
    kind = np.where(bloom["site_id"] == "site-02", "late", "early")
    bloom["doy"] += np.where(kind == "late", 20, 0)
    system = PhenologySystem(members=1, steps=40).fit({"bloom": bloom.assign(species=kind), "temperature": table})
    own = asked(system)["doy"]
    pd.testing.assert_series_equal(asked(system, temperature=table, bloom=bloom)["doy"], own)
    pd.testing.assert_series_equal(asked(system, temperature=table, bloom=bloom.assign(species=kind))["doy"], own)
    late = asked(system, temperature=table, bloom=bloom.assign(species="late"), species="late")["doy"]
    assert list(late.index) == ["site-01 / late", "site-02", "site-03 / late"]
    assert late["site-01 / late"] > own["site-01"] + 5 and late["site-02"] == pytest.approx(own["site-02"])


def test_kinds_that_a_run_does_not_know_are_not_told_apart(fitted: Any, tree_folder: Path) -> None:
    bloom = pd.read_csv(tree_folder / "bloom.csv").drop(columns="date").assign(species="cherry")
    found = asked(fitted, temperature=[tree_folder / "temperature.csv"], bloom=bloom, species="all")
    pd.testing.assert_series_equal(found["doy"], asked(fitted)["doy"])


def test_names_with_a_stroke_are_names(tree_folder: Path) -> None:
    bloom = pd.read_csv(tree_folder / "bloom.csv").drop(columns="date")
    odd = {f"site-0{k}": f"site-0{k} / early" for k in (1, 2, 3)}
    table = pd.read_csv(tree_folder / "temperature.csv")
    both = bloom.replace({"site_id": odd}).assign(variety="early")
    system = PhenologySystem(members=1, steps=20).fit({"bloom": both, "temperature": table.replace({"site_id": odd})})
    there = pd.concat([table.replace({"site_id": odd}), weather(tree_folder, **{"site-01": "site-02"})])
    new = pd.DataFrame({"site_id": ["site-01"], "station_id": ["site-01"], **HERE})
    found = asked(system, temperature=[there], stations=[new])
    assert sorted(found.index) == ["site-01", *odd.values()]
    assert (found["q95"] - found["q05"])["site-01"] > (found["q95"] - found["q05"])["site-02 / early"] + 3


def test_a_site_without_coordinates_counts_as_amid_its_group(fitted: Any, tree_folder: Path) -> None:
    other = weather(tree_folder, new="site-01").drop(columns=["latitude", "longitude", "altitude"], errors="ignore")
    with pytest.warns(EcotoneWarning, match="no latitude"):
        found = asked(fitted, temperature=[other])
    seasons, _ = fitted._asked({"temperature": [other], "years": "1995"})
    assert seasons.sites["latitude"].isna().all()
    f = fitted.estimator._features(seasons)
    assert not f.place.any() and not f.beyond.any() and np.isfinite(found["doy"]).all()
