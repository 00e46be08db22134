"""Fitting from sites of any number: a store or Parquet tables instead of records and rasters."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ecotone.contract import Check, Overlay
from ecotone.data.site_store import SiteStore
from ecotone.errors import InputError, UsageError
from ecotone.files.run import RunFolder
from ecotone.registry import create, load
from ecotone.species.from_store import sample_size
from ecotone.species.options import Inputs

TINY = {"deepmaxent": {"epochs": 1, "members": 2, "width": 8, "min_steps": 0}, "maxent": {"hinges": 5}}


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 2))
    seen = rng.random((400, 3)) < 1 / (1 + np.exp(-x @ rng.normal(size=(2, 3)) * 2))
    species = [[name for name, there in zip("abc", row, strict=True) if there] for row in seen]
    lon, lat = rng.uniform(0, 10, 400), rng.uniform(40, 50, 400)
    columns = {"warm": x[:, 0], "wet": x[:, 1], "species": species, "lon": lon, "lat": lat}
    pq.write_table(pa.table(columns), folder / "sites.parquet")
    cells = rng.normal(size=(500, 2))
    pq.write_table(pa.table({"warm": cells[:, 0], "wet": cells[:, 1]}), folder / "cells.parquet")
    return folder


@pytest.mark.parametrize("name", ["deepmaxent", "maxent"])
@pytest.mark.parametrize("placed", [True, False])
def test_fit_score_explain_and_store(tables, tmp_path, name, placed):
    run = RunFolder(tmp_path / "run")
    inputs = {"sites": tables / "sites.parquet", "cells": tables / "cells.parquet"}
    inputs |= {"x": "lon", "y": "lat"} if placed else {"exclude": ["lon", "lat"]}
    system = create(name, **TINY[name])
    assert system.input_files(Inputs.parse(inputs)) == [tables / "sites.parquet", tables / "cells.parquet"]
    system.fit(inputs, run=run)
    system.save(run.path)
    scores = system.evaluate()
    assert ("auc" in scores.metrics) == placed and 0.4 < scores.metrics["auc_random"].value < 1
    assert ("spatial blocks," in scores.split) == placed
    found = system.explain()
    assert any(isinstance(e, Check) and e.title == "a: thresholds" for e in found)
    assert not [e for e in found if isinstance(e, Overlay) and e.extent is not None and e.is_map]
    again = load(run.path)
    x = np.random.default_rng(1).normal(size=(5, 2))
    np.testing.assert_array_equal(again.predict(x).arrays["cloglog"], system.predict(x).arrays["cloglog"])
    assert (again.applicability is not None) == placed
    assert name == "maxent" or placed or len(again.explain(target="b")) > 0
    with pytest.raises(InputError) as caught:
        again.predict({"points": tables / "sites.parquet"})
    assert caught.value.code in ("RA303", "OC201", "IO103")


def test_a_store_is_taken_as_it_is_and_needs_no_background(tables, tmp_path):
    store = SiteStore.from_parquet(tables / "sites.parquet", tmp_path / "store", x="lon", y="lat")
    system = create("deepmaxent", **TINY["deepmaxent"]).fit({"sites": store.folder})
    assert system.stored_inputs["sites"] == str(tmp_path / "store")
    assert system.estimator.background_.uniform_share == 0
    assert len(system.explain(target="a")) > 3


def test_too_many_sites_for_a_method_that_solves_in_memory(tables, tmp_path, monkeypatch):
    from ecotone.species import system

    monkeypatch.setattr(system, "IN_MEMORY", 100)
    store = SiteStore.from_parquet(tables / "sites.parquet", tmp_path / "store")
    with pytest.raises(UsageError, match="too many") as caught:
        create("maxent").fit({"sites": store.folder})
    assert caught.value.code == "US105"


@pytest.mark.parametrize(
    ("given", "where"),
    [
        ({}, "occurrences"),
        ({"occurrences": "a.csv"}, "covariates"),
        ({"occurrences": "a.csv", "sites": "s"}, "sites"),
        ({"labels": "l"}, "labels"),
        ({"cells": "l", "occurrences": "a.csv"}, "cells"),
    ],
)
def test_inputs_that_contradict_or_lack_something(given, where):
    with pytest.raises(UsageError) as caught:
        create("maxent").fit(given)
    assert caught.value.code == "US105" and caught.value.where == where


def test_tables_need_a_place_to_be_packed(tables):
    with pytest.raises(InputError) as caught:
        create("maxent").fit({"sites": tables / "sites.parquet"})
    assert caught.value.code == "IO104"


def test_thousands_of_species_are_judged_on_fewer_sites():
    assert sample_size(20, 10) == 20_000
    assert 200 <= sample_size(5000, 16) < 2000
