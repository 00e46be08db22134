"""The cherry benchmark's own parts on drawn seasons; the models are tested by themselves."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from tests.systems.phenology.made_seasons import seasons

from ecotone.bench import cherry
from ecotone.bench.cherry import DataSet, Options, run, run_model, splits_of
from ecotone.bench.cherry_models import MODELS, ModelEntry, ready_models
from ecotone.bench.cherry_summary import lead, pool
from ecotone.errors import InputError, UsageError

WORLD = seasons(years=20, sites=4)


@pytest.fixture
def drawn(monkeypatch):
    monkeypatch.setattr(cherry, "data_sets", lambda options, missed: iter([DataSet("observed", WORLD)]))
    monkeypatch.setitem(MODELS, "hybrid", ModelEntry("hybrid", "baselines.spring:SpringRegression"))
    monkeypatch.setitem(MODELS, "thermal_time", ModelEntry("biophysical", "baselines.simple:SiteTrend"))


def test_rows_and_lines(drawn, tmp_path):
    place = tmp_path / "leads.csv"
    models = "site_mean,spring,thermal_time,hybrid"
    result = run(Options(seeds=2, models=models, splits=cherry.SPLITS, leads=str(place)), progress=False)
    rows = list(result.rows)
    told = pd.read_csv(place)
    assert set(told["against"]) == {"spring", "thermal_time"} and set(told["split"]) == set(cherry.SPLITS)
    assert (told["lead_low"] <= told["lead"]).all() and (told["lead"] <= told["lead_high"]).all()
    assert {"model", "split", "country", "site", "quality", "seed", "mae", "rmse", "n", "seconds"} <= set(rows[0])
    assert {r["split"] for r in rows} == set(cherry.SPLITS)
    tested = [r for r in rows if r["model"] == "spring" and r["split"] == "stations" and r["seed"] == 0]
    assert sum(r["n"] for r in tested) == len(WORLD)
    json.dumps(rows, allow_nan=False)
    text = "\n".join(result.lines)
    assert "lead of hybrid over best biophysical, thermal_time" in text
    assert "lead of hybrid over spring: +0.000" in text
    assert "MAE A" in text


def test_what_cannot_be_run_costs_the_others_nothing(drawn, monkeypatch):
    monkeypatch.setattr(cherry, "FEW_STATIONS", 0)  # stations in four groups
    one = WORLD.take(WORLD.site == 0)
    monkeypatch.setattr(cherry, "data_sets", lambda options, missed: iter([DataSet("observed", one)]))
    result = run(Options(seeds=2, models="site_mean,spring", splits="forward,stations"), progress=False)
    assert {r["split"] for r in result.rows} == {"forward"} and {r["seed"] for r in result.rows} == {0, 1}
    told = [line for line in result.lines if line.startswith("not run")]
    assert len(told) == 2 and all("stations, observed temperatures" in line for line in told)
    with pytest.raises(InputError, match="not run: spring") as caught:
        run(Options(seeds=1, models="spring", splits="stations"), progress=False)
    assert caught.value.code == "PH656"


def test_a_set_without_enough_seasons_is_named(monkeypatch, tmp_path):
    from ecotone.data.benchmarks import cherry as reader

    def read(folder, chosen, least):
        if chosen == ("observed",):
            raise InputError("PH616", "usable_seasons.csv", "no site has 8 seasons", "lower it")
        return WORLD

    monkeypatch.setattr(reader, "read_cherry", read)
    result = run(Options(seeds=1, models="site_mean", splits="forward", folder=str(tmp_path)), progress=False)
    assert {r["quality"] for r in result.rows} == {"all"}
    assert result.lines[-1].startswith("not run: observed temperatures: usable_seasons.csv: no site has 8 seasons")


def test_what_does_not_depend_on_the_seed_is_fitted_once(drawn, monkeypatch):
    fits = []
    make = ModelEntry.make
    monkeypatch.setattr(ModelEntry, "make", lambda self, **k: fits.append(self) or make(self, **k))
    data = DataSet("observed", WORLD)
    outcomes = list(run_model(data, "site_mean", "forward", Options(seeds=3)))
    assert [o.seed for o in outcomes] == [0, 1, 2]
    assert len(fits) == 1
    list(run_model(data, "site_mean", "random_years", Options(seeds=3)))
    assert len(fits) == 4


def test_leads_are_positive_where_the_first_errs_less(drawn):
    data, options = DataSet("observed", WORLD), Options(seeds=2)
    outcomes = [o for m in ("site_mean", "spring") for o in run_model(data, m, "random_years", options)]
    pooled = pool(outcomes)
    i, share = lead(pooled["observed", "random_years", "spring"], pooled["observed", "random_years", "site_mean"])
    assert i.low > 0
    assert 0 < share < 1


def test_many_stations_go_in_four_groups():
    world = seasons(years=9, sites=13)
    assert len(splits_of("stations", world, 0)) == 4
    assert len(splits_of("stations_and_years", WORLD, 0)) == 4
    assert np.sum([s.test.sum() for s in splits_of("stations", world, 0)]) == len(world)


def test_unknown_names_are_refused(monkeypatch):
    for field in ("models", "splits"):
        with pytest.raises(UsageError):
            run(Options(**{field: "nothing"}), progress=False)
    monkeypatch.delenv("ECOTONE_DATA", raising=False)
    with pytest.raises(InputError):
        run(Options(), progress=False)
    assert "ridge" in ready_models()


@pytest.mark.realdata
def test_real_seasons_are_read_and_scored(data_folder):
    options = Options(seeds=1, models="site_mean,spring", splits="forward", qualities="observed",
                      folder=str(data_folder / "phenology"))  # fmt: skip
    rows = run(options, progress=False).rows
    assert {"Japan", "Switzerland"} <= {r["country"] for r in rows}


def test_what_takes_hours_runs_only_when_named() -> None:
    assert "hybrid_paper" not in ready_models() and "hybrid_paper" in ready_models(every=True)
    assert {"hybrid", "lstm", "thermal_time_sigmoid_by_group"} <= set(ready_models())
