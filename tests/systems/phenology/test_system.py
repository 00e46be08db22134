"""The system around the hybrid: options, answers, evidence, scores, storing, the command line, real cherry trees."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ecotone.abilities import Forecasts
from ecotone.cli.main import main
from ecotone.contract import Contributions, Curve
from ecotone.errors import EcotoneWarning, InputError, UsageError
from ecotone.systems.phenology.options import Ask, Inputs, Query, read_columns, read_years


# ------------------------------------------------------------------------------------------------ options
def test_warmings_are_lists_and_ranges() -> None:
    assert Ask.parse(warm=["0..3"]).warm == (0, 1, 2, 3)
    assert Ask.parse(warm="0..1:0.5").warm == (0, 0.5, 1)
    assert Ask.parse(warm=["0", "1,2", "-1.5"]).warm == (0, 1, 2, -1.5)
    assert Ask.parse(warm=[1, 1.0]).warm == (1,)
    for bad in ("x", "3..1", "0..1e9", "99", "0..30:0.1"):
        with pytest.raises(UsageError) as caught:
            Ask.parse(warm=bad)
        assert caught.value.code == "US104"


def test_days_and_years_are_read() -> None:
    assert Ask.parse(by="04-01,04-15").by == ("04-01", "04-15")
    assert Ask.parse(as_of="2026-02-01").as_of == "2026-02-01"
    for field, bad in (("by", "4-1"), ("by", "13-01"), ("as_of", "02-30"), ("as_of", "yesterday")):
        with pytest.raises(UsageError):
            Ask.parse({field: bad})
    assert read_years("2024") == (2024, 2024) and read_years("1990-2020") == read_years("1990..2020") == (1990, 2020)
    assert read_columns("bloom_columns", ["year=jahr"]) == {"year": "jahr"}
    for call in (
        lambda: read_years("2020-1990"),
        lambda: read_years("x"),
        lambda: read_columns("bloom_columns", ["x"]),
    ):
        with pytest.raises(UsageError) as caught:
            call()
        assert caught.value.code == "US104"


def test_what_is_missing_is_named() -> None:
    for given, name in (({}, "--bloom"), ({"bloom": "b.csv"}, "--temperature")):
        with pytest.raises(UsageError) as caught:
            Inputs.parse(given).check()
        assert caught.value.code == "US105" and caught.value.where == name
    for given, name in (
        ({"bloom": "b.csv"}, "--bloom"),
        ({"max_gap": 9}, "--max-gap"),
        ({"stations": "s"}, "--stations"),
    ):
        with pytest.raises(UsageError) as caught:
            Query.parse(given).check()
        assert caught.value.code == "US105" and caught.value.where == name
    with pytest.raises(UsageError) as caught:
        Query.parse(temperature="t.csv", bloom_columns="x").check()
    assert caught.value.code == "US104"


# ------------------------------------------------------------------------------------------------ answers
def test_every_season_is_dated(fitted: Any) -> None:
    table = fitted.predict({"years": "1991-2000"}).to_frame()
    assert len(table) == 30 and (table["reason"] == "").all() and (table["kind"] == "hindcast").all()
    doy = pd.to_datetime(table["date"]).dt.day_of_year
    assert (np.abs(doy - table["doy"]) <= 0.5001).all()
    levels = table[["q05", "q25", "q50", "q75", "q95"]].to_numpy()
    assert (np.diff(levels, axis=1) >= 0).all()
    assert isinstance(fitted, Forecasts)


def test_a_coming_season_is_answered_from_past_years(fitted: Any) -> None:
    table = fitted.predict({"years": "2000-2003", "sites": "site-02"}, by="04-20").to_frame()
    assert list(table["year"]) == [2000, 2001, 2002, 2003]
    assert list(table["kind"]) == ["hindcast", "forecast", "forecast", "forecast"]
    assert list(table["known_until"]) == ["2000-06-30", "2000-12-31", "", ""]  # the tables end with the year 2000
    assert (table["completions"].to_numpy()[1:] == 10).all() and table["by_04-20"].between(0, 1).all()
    spread = (table["q95"] - table["q05"]).to_numpy()
    assert spread[1:].min() > spread[0]
    latest = fitted.forecast().to_frame()
    assert list(latest["year"]) == [2001] * 3 and (latest["kind"] == "forecast").all()


def test_years_without_temperatures_say_so(fitted: Any) -> None:
    table = fitted.predict({"years": "1980", "sites": ["site-01"]}).to_frame()
    assert np.isnan(table["doy"][0]) and table["date"][0] == "" and "no temperatures" in table["reason"][0]


def test_less_is_known_earlier(fitted: Any) -> None:
    widths = []
    for day in ("11-01", "03-20", "06-30"):
        table = fitted.predict({"years": "1999"}, as_of=day).to_frame()
        widths.append(float((table["q95"] - table["q05"]).mean()))
    assert widths[0] > widths[1] > widths[2]


def test_no_bloom_by_a_date_without_temperatures(fitted: Any) -> None:
    query = {"years": "2001", "sites": "site-01"}  # the tables end with the year 2000
    free = fitted.predict(query, by=["04-05", "04-06"]).to_frame().iloc[0]
    told = fitted.predict(query, as_of="2001-04-05", not_yet=True, by=["04-05", "04-06"]).to_frame().iloc[0]
    assert told["by_04-05"] == 0 and told["q05"] > 95 and told["known_until"] == "2000-12-31"
    want = (free["by_04-06"] - free["by_04-05"]) / (1 - free["by_04-05"])
    assert free["by_04-05"] > 0 and told["by_04-06"] == pytest.approx(want, abs=1e-3)


def test_days_outside_the_season_are_refused(fitted: Any) -> None:
    with pytest.raises(UsageError) as caught:
        fitted.predict({"years": "1999"}, by=["04-10", "08-01"])
    assert caught.value.code == "US104"
    assert str(caught.value) == "--by: outside the season (10-01 to 07-01): 08-01 - ask for days within it"
    with pytest.raises(UsageError, match="--as-of: outside the season"):
        fitted.predict(as_of="08-01")
    north = fitted.trained.take(fitted.trained.year == 1999)
    south = replace(north, first=north.first + np.timedelta64(182, "D"))  # 1 April 1999
    both = replace(north.take([0, 1]), first=np.array([north.first[0], south.first[0]]))
    table = fitted.predict(both, by=["02-01", "09-15"]).to_frame()
    assert list(table["by_02-01"].isna()) == [False, True] and list(table["by_09-15"].isna()) == [True, False]
    with pytest.raises(UsageError) as caught:
        fitted.predict(south, by="02-01")
    assert "(04-01 to 12-30): 02-01" in caught.value.what


def test_warming_gives_a_row_each_and_is_flagged(fitted: Any) -> None:
    table = fitted.predict({"years": "1999-2000"}, warm="0..6:3").to_frame()
    assert list(table["warm"][:3]) == [0, 3, 6] and len(table) == 18
    plain = fitted.predict({"years": "1999-2000"}).to_frame()
    np.testing.assert_array_equal(table["doy"][table["warm"] == 0], plain["doy"])
    assert not table["extrapolates"][table["warm"] == 0].any() and table["extrapolates"][table["warm"] == 6].all()


def test_a_date_hides_later_years_too(fitted: Any) -> None:
    table = fitted.predict({"sites": "site-01"}, as_of="1996-12-31").to_frame().set_index("year")
    assert (table["kind"][:6] == "hindcast").all() and (table["kind"][6:] == "forecast").all()
    assert (table["completions"][6:] == 6).all()  # 1991 to 1996


def test_tables_in_memory_answer_like_files(fitted: Any, tree_folder: Path) -> None:
    bloom, weather = (pd.read_csv(tree_folder / f"{name}.csv") for name in ("bloom", "temperature"))
    again = type(fitted)(members=2, steps=40).fit({"bloom": bloom, "temperature": weather})
    query = {"bloom": bloom, "temperature": weather, "years": "1995"}
    own = fitted.predict({"years": "1995"}).to_frame()
    np.testing.assert_allclose(again.predict(query).to_frame()["doy"], own["doy"], atol=1e-3)


def test_unknown_sites_are_named(fitted: Any) -> None:
    with pytest.raises(UsageError) as caught:
        fitted.predict({"sites": "site-9"})
    assert caught.value.code == "US101" and "site-0" in caught.value.fix


def test_temperatures_of_a_query_answer_the_same(fitted: Any, tree_folder: Path) -> None:
    query = {"temperature": tree_folder / "temperature.csv", "bloom": tree_folder / "bloom.csv", "years": "1995-1996"}
    given, own = fitted.predict(query).to_frame(), fitted.predict({"years": "1995-1996"}).to_frame()
    np.testing.assert_allclose(given["doy"], own["doy"], atol=1e-6)
    alone = fitted.predict({k: v for k, v in query.items() if k != "bloom"}).to_frame()
    np.testing.assert_allclose(alone["doy"], own["doy"], atol=1e-6)  # sites keep their places and stations


def test_what_messages_advise_is_an_option_of_the_query(fitted: Any, tree_folder: Path) -> None:
    bloom, weather = (pd.read_csv(tree_folder / f"{name}.csv") for name in ("bloom", "temperature"))
    bloom = bloom.drop(columns="date")
    moved = bloom.assign(doy=bloom["doy"] + 3)
    query = {"temperature": [weather], "bloom": pd.concat([bloom, moved])}
    with pytest.raises(InputError) as caught:
        fitted.evaluate(query)
    assert caught.value.code == "PH606" and "--duplicates" in caught.value.fix
    with pytest.warns(EcotoneWarning, match="settled by 'first'"):
        scores = fitted.evaluate({**query, "duplicates": "first"})
    assert scores.metrics["mae"].value == fitted.evaluate({**query, "bloom": bloom}).metrics["mae"].value
    odd = {
        "temperature": [weather.rename(columns={"tmin_c": "a", "tmax_c": "b"})],
        "bloom": bloom.rename(columns={"doy": "c"}),
    }
    named = {"bloom_columns": "doy=c", "temperature_columns": ["tmin=a", "tmax=b"]}
    np.testing.assert_array_equal(
        fitted.predict({**odd, **named}).to_frame()["doy"], fitted.predict({**query, "bloom": bloom}).to_frame()["doy"]
    )
    stages = {**query, "bloom": pd.concat([bloom.assign(phenophase="first"), moved.assign(phenophase="full")])}
    with pytest.raises(InputError) as caught:
        fitted.predict(stages)
    assert caught.value.code == "PH602" and "--phase" in caught.value.fix
    assert np.isfinite(fitted.predict({**stages, "phase": "first", "years": "1995"}).to_frame()["doy"]).all()
    holes = weather[~weather["date"].between("1995-01-10", "1995-01-18")]
    for option, there in (({}, False), ({"max_gap": 9, "max_missing": 0.2}, True)):
        asked = {"temperature": [holes], "bloom": bloom, "years": "1995", **option}
        assert (np.isfinite(fitted.predict(asked).to_frame()["doy"]) == there).all()


# ------------------------------------------------------------------------------------------------ evidence, scores
def test_evidence_of_a_site(fitted: Any) -> None:
    items = fitted.explain(target="site-02", season=1995)
    titles = [item.title for item in items]
    for words in ("Chill response", "Forcing response", "Coverage", "chill and forcing in 1995", "warmer climate"):
        assert any(words in title for title in titles), words
    (chill,) = (e for e in items if e.title == "Chill response" and isinstance(e, Curve))
    assert set(chill.references) == {"Utah", "chill hours", "triangular", "Dynamic, lasting"}
    assert all(np.nanmax(y) == pytest.approx(1) for y in chill.references.values())
    (moved,) = (e for e in items if isinstance(e, Contributions))
    assert moved.additive and moved.unit == "days"
    with pytest.raises(UsageError) as caught:
        fitted.explain(target="site-02", season=1950)
    assert caught.value.code == "US104"


def test_month_terms_add_up_to_the_shift_against_other_years(fitted: Any) -> None:
    (moved,) = (e for e in fitted.explain(target="site-01", season=1996) if isinstance(e, Contributions))
    pool = fitted.trained_whole("site-01")
    own = fitted.estimator.predict(pool.take(pool.year == 1996).unlabelled()).day[0]
    others = fitted.estimator.predict(pool.take(pool.year != 1996).unlabelled()).day
    # the other years keep their own first days, which leap years do not move
    assert moved.total == pytest.approx(own - others.mean(), abs=0.2)


def test_tables_hold_winters_and_records(fitted: Any) -> None:
    tables = fitted.tables()
    assert {"parameters", "predictions", "records", "winter-chill", "safe-winter-chill", "warming"} <= set(tables)
    assert set(tables["records"]["status"]) <= {"observed", "after", "before", "unknown"}
    assert {"dynamic", "chill_hours", "utah"} <= set(tables["winter-chill"].columns)


def test_scores_stand_beside_rivals(fitted: Any, tree_folder: Path) -> None:
    scores = fitted.evaluate()
    names = {"mae", "rmse", "r2", "tau", "coverage90", "mae_site_mean", "mae_thermal_time", "mae_utah"}
    assert names <= set(scores.metrics) and scores.metrics["mae"].n == 30
    assert {row["by"] for row in scores.rows} >= {"site", "quality"}
    some = fitted.evaluate({"years": "1995-1997"})
    assert some.metrics["mae"].n == 9
    query = {"temperature": tree_folder / "temperature.csv", "bloom": tree_folder / "bloom.csv"}
    new = fitted.evaluate(query)
    assert new.metrics["mae"].n == 30 and "30 of them were learned from" in new.split
    with pytest.raises(UsageError) as caught:
        fitted.evaluate({"temperature": tree_folder / "temperature.csv"})
    assert caught.value.code == "US105"


def test_held_out_answers_find_their_seasons_in_any_order(fitted: Any) -> None:
    from ecotone.systems.phenology.scores import held_out

    frame = fitted.estimator.held_out_days()
    one = fitted.held_out()
    assert len(one.seasons) == len(frame) and np.abs(one.error).mean() < 15
    other = held_out(frame.sample(frac=1, random_state=0).assign(row=0), fitted.trained)
    np.testing.assert_array_equal(one.day, other.day)
    np.testing.assert_array_equal(one.seasons.event, other.seasons.event)
    twice = fitted.trained.take(np.repeat(np.arange(30), 2))  # two trees of a year with the same day
    both = held_out(pd.concat([frame, frame.assign(day=frame["day"] + 1)]), twice)
    assert len(both.seasons) == 60 and sorted(both.day) == pytest.approx(sorted([*one.day, *(one.day + 1)]))


def test_weighted_tau_is_kendalls(fitted: Any) -> None:
    from scipy.stats import kendalltau

    from ecotone.systems.phenology.scores import unit_weights, within_tau

    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 6, 30).astype(float), rng.normal(size=30)
    figure = within_tau(x, y, np.zeros(30, dtype=int))
    assert figure(np.ones(30)) == pytest.approx(kendalltau(x, y).statistic)
    (w,) = unit_weights(np.arange(30), draws=1)
    many = np.repeat(np.arange(30), w.astype(int))
    assert figure(w) == pytest.approx(kendalltau(x[many], y[many]).statistic)


def test_seasons_in_memory_and_nothing_to_learn_from(fitted: Any) -> None:
    again = type(fitted)(members=2, steps=40).fit(fitted.trained)
    own = fitted.predict({"years": "1995"}).to_frame()
    np.testing.assert_allclose(again.predict({"years": "1995"}).to_frame()["doy"], own["doy"], atol=0.5)
    with pytest.raises(InputError) as caught:
        type(fitted)(members=2).fit(fitted.trained.unlabelled())
    assert caught.value.code == "PH655"


def test_hourly_seasons_are_stored(fitted: Any) -> None:
    from ecotone.systems.phenology.storage import pack, packed_shapes, unpack

    hours = fitted.trained.hourly()
    hours[0, 3] = np.nan
    seasons = replace(fitted.trained, hours=hours)
    tensors, notes = pack(seasons)
    assert {k: v.shape for k, v in tensors.items()} == packed_shapes(notes)
    again = unpack(tensors, notes)
    np.testing.assert_array_equal(again.hours, hours)
    np.testing.assert_array_equal(again.event, seasons.event)
    pd.testing.assert_frame_equal(again.sites, seasons.sites, check_dtype=False)
    tensors["site"] = tensors["site"] + 99
    with pytest.raises(ValueError, match="unknown sites"):
        unpack(tensors, notes)


# ------------------------------------------------------------------------------------------------ temperatures with holes
def winter(tree_folder: Path) -> pd.DataFrame:
    """Temperatures of all sites in the season that the tables of fit end in, moved one year on."""
    table = pd.read_csv(tree_folder / "temperature.csv")
    date = pd.to_datetime(table["date"])
    last = date.max().year
    own = table[(date >= f"{last - 1}-10-01") & (date < f"{last}-02-21")].copy()
    return own.assign(
        date=(pd.to_datetime(own["date"]) + pd.DateOffset(years=1)).dt.strftime("%Y-%m-%d")
    ).drop_duplicates(["site_id", "date"])


def test_empty_days_at_the_end_are_days_to_come(fitted: Any, tree_folder: Path) -> None:
    table = winter(tree_folder)
    date = table["date"].to_numpy()
    cut = f"{date.max()[:4]}-01-25"
    gone = (table["site_id"] == "site-01") & (table["date"] > cut)
    padded = table.assign(tmin_c=table["tmin_c"].mask(gone))
    want = fitted.predict({"temperature": [table[~gone]]}).to_frame()
    got = fitted.predict({"temperature": [padded]}).to_frame()
    assert list(got["site_id"]) == ["site-01", "site-02", "site-03"] and got["known_until"][0] == cut
    pd.testing.assert_frame_equal(got, want)


def test_a_gap_in_a_season_is_told(fitted: Any, tree_folder: Path) -> None:
    table = winter(tree_folder)
    gap = (table["site_id"] == "site-02") & table["date"].str[5:].between("12-01", "12-11")
    for query in ({}, {"sites": "site-02"}):
        found = fitted.predict({"temperature": [table[~gap]], **query}).to_frame().set_index("site_id")
        assert np.isnan(found.loc["site-02", "doy"]) and "11 of" in str(found.loc["site-02", "reason"])
        assert len(found) == (1 if query else 3)
    assert found["kind"].notna().all()


def test_sites_without_temperatures_are_named(fitted: Any, tree_folder: Path) -> None:
    table = winter(tree_folder)
    some = table[table["site_id"] == "site-01"]
    with pytest.warns(EcotoneWarning, match="no temperatures of site-02, site-03"):
        assert len(fitted.predict({"temperature": [some]}).to_frame()) == 1
    found = fitted.predict({"temperature": [some], "sites": ["site-01", "site-02"]}).to_frame()
    assert np.isfinite(found["doy"][0]) and found["reason"][1] == "no temperatures of this site"
    with pytest.raises(UsageError, match="no such site"):
        fitted.predict({"temperature": [some], "sites": "site-9"})


def test_a_table_that_begins_too_late_is_told_so(fitted: Any, tree_folder: Path) -> None:
    table = winter(tree_folder)
    with pytest.raises(InputError, match=r"site-01 .*: 31 of .* days from .*-10-01 on are missing") as caught:
        fitted.predict({"temperature": [table[table["date"].str[5:7] != "10"]]})
    assert caught.value.code == "PH616"


# ------------------------------------------------------------------------------------------------ taking a response over
def test_a_chill_response_taken_over_from_a_run(fitted: Any, tmp_path: Path, capsys: Any) -> None:
    from ecotone.data.simulated.trees import trees
    from ecotone.systems.phenology.system import PhenologySystem

    fitted.save(tmp_path / "old")
    other = trees(5, sites=2, years=5).write(tmp_path / "trees")
    files = ["--bloom", str(other / "bloom.csv"), "--temperature", str(other / "temperature.csv")]
    run = tmp_path / "new"
    asked = ["fit", "phenology", *files, "--out", str(run), "--members", "2", "--steps", "40", "--quiet"]
    assert main([*asked, "--chill-from", str(tmp_path / "old"), "--width", "9"]) == 0
    new = PhenologySystem.load(run)
    x = np.arange(-5, 15.0)
    want = fitted.estimator.members_response(x)
    got = new.estimator.members_response(x)
    assert all(min(np.abs(curve - w).max() for w in want) < 1e-6 for curve in got)  # a member may be dropped
    assert new.config.width == fitted.config.width and new.estimator.taken_over_ and not fitted.estimator.taken_over_
    assert new.estimator.learned().identified == fitted.estimator.learned().identified
    assert "taken over" in new.estimator.identifiability()[0].note
    assert str(tmp_path) not in (run / "preprocessing.json").read_text(encoding="utf-8")
    again = [str(tmp_path / "newer") if part == str(run) else part for part in asked]
    assert main([*again, "--chill-from", str(tmp_path / "none")]) != 0
    said = capsys.readouterr().err
    assert "IO101" in said and "--chill-from RUN" in said


# ------------------------------------------------------------------------------------------------ command line
def test_the_commands_of_a_season(tree_folder: Path, tmp_path: Path, capsys: Any) -> None:
    run, out = tmp_path / "demo", tmp_path / "dates.csv"
    assert main(["demo", "phenology", "--tiny", "--out", str(run)]) == 0
    assert "true chill response" in capsys.readouterr().out
    for name in ("report.html", "model.safetensors", "run.json", "forecast.csv", "tables/predictions.csv"):
        assert (run / name).stat().st_size > 100, name
    assert main(["predict", str(run), "--years", "2001", "--warm", "0..2", "--by", "04-15", "--out", str(out)]) == 0
    assert len(pd.read_csv(out)) == 9
    assert main(["explain", str(run), "--target", "site-01", "--season", "1995", "--warm", "0", "2", "--quiet"]) == 0
    capsys.readouterr()
    assert main(["fit", "phenology", "--help"]) == 0
    text = capsys.readouterr().out
    assert "--season-start" in text and max(map(len, text.splitlines())) <= 120
    assert main(["fit", "phenology", "--bloom", str(tree_folder / "bloom.csv"), "--out", str(run)]) == 2
    assert "--temperature: is missing" in capsys.readouterr().err


def test_a_fit_says_which_records_it_left_out(tree_folder: Path, tmp_path: Path, capsys: Any) -> None:
    bloom = pd.read_csv(tree_folder / "bloom.csv")
    lost = bloom[bloom["site_id"] == "site-01"].assign(site_id="far")
    pd.concat([bloom, lost]).to_csv(tmp_path / "bloom.csv", index=False)
    files = ["--bloom", str(tmp_path / "bloom.csv"), "--temperature", str(tree_folder / "temperature.csv")]
    small = ["--members", "1", "--steps", "40", "--out", str(tmp_path / "run"), "--quiet"]
    assert main(["fit", "phenology", *files, *small]) == 0
    (said,) = [line for line in capsys.readouterr().err.splitlines() if "PH621" in line]
    assert "30 of 40 bloom records at 3 sites" in said and "[PH612]" in said and "no season is left at far -" in said
    assert "PH621" in (tmp_path / "run" / "run.json").read_text(encoding="utf-8")


@pytest.mark.realdata
def test_cherry_trees_of_kyoto_and_basel(data_folder: Path, tmp_path: Path, capsys: Any) -> None:
    from ecotone.registry import load

    source = data_folder / "phenology"
    usable = pd.read_csv(source / "usable_seasons.csv")
    many = usable.groupby(["country", "site_id"]).size().reset_index(name="n").sort_values("n", ascending=False)
    sites = list(many.groupby("country").head(1)["site_id"])
    bloom = pd.read_csv(source / "bloom.csv").merge(usable[usable["site_id"].isin(sites)][["site_id", "year"]])
    stations = pd.read_csv(source / "site_station.csv")
    stations = stations[stations["site_id"].isin(sites)]
    weather = pd.read_csv(source / "temperature_daily.csv.gz")
    weather = weather[weather["station_id"].isin(stations["station_id"]) & (weather["date"] >= "1985")]
    bloom = bloom[bloom["year"] > 1986]
    for name, table in (("bloom", bloom), ("stations", stations), ("weather", weather)):
        table.to_csv(tmp_path / f"{name}.csv", index=False)
    files = [("--bloom", "bloom"), ("--temperature", "weather"), ("--stations", "stations")]
    words = [word for option, name in files for word in (option, str(tmp_path / f"{name}.csv"))]
    run = tmp_path / "run"
    assert main(["fit", "phenology", *words, "--members", "2", "--steps", "60", "--out", str(run), "--quiet"]) == 0
    system: Any = load(run)
    assert set(system.sites) == set(sites)
    table = system.predict({"years": "2000-2005"}).to_frame()
    assert np.isfinite(table["doy"]).all() and table["doy"].between(60, 150).all()
    scores = system.evaluate()
    assert scores.metrics["mae"].value < scores.metrics["mae_site_mean"].value + 1
