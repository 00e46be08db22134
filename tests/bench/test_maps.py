"""The benchmark of maps on small grids: its tiling, its rows, and a budget that is kept."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio

from ecotone.bench import maps, tiling
from ecotone.data.benchmarks.bradypus import files
from ecotone.data.rasters import RasterStack


@pytest.fixture(scope="module")
def given(data_folder):
    return files(data_folder / "bradypus_dismo")


@pytest.fixture(scope="module")
def model(given, tmp_path_factory):
    return maps.fit_network(given, tmp_path_factory.mktemp("model") / "network", maps.Options(epochs=1))


@pytest.mark.realdata
def test_tilings_repeat_their_rasters(tmp_path, given, monkeypatch):
    path = given.rasters[0]
    with rasterio.open(path) as source:
        values = source.read(1)
    whole = np.tile(values, (4, 4))[:500, :500]
    (plain,) = tiling.write_tiled([path], tmp_path, 500)
    one = tiling.write_vrt(path, tmp_path, 500)
    monkeypatch.setattr(tiling, "_INNER", 200)
    (tmp_path / "nested").mkdir()
    nested = tiling.write_vrt(path, tmp_path / "nested", 500)
    for made in (plain, one):
        with rasterio.open(made) as source:
            assert np.array_equal(source.read(1), whole)
    side = -(-200 // max(values.shape)) * max(values.shape)
    tile = np.tile(values, (3, 3))[:side, :side]
    with rasterio.open(nested) as source:
        assert np.array_equal(source.read(1), np.tile(tile, (3, 3))[:500, :500])
    stack = RasterStack.open([nested], allow_vrt=True)
    assert stack.grid == RasterStack.open([plain]).grid


@pytest.mark.realdata
def test_race_rows(tmp_path, given, model):
    rows = maps.race(given, model, tmp_path, maps.Options(size=200, rounds=1, epochs=1))
    by_name = {row["method"]: row for row in rows}
    assert {"elapid maxent", "deepmaxent float32"} <= set(by_name)
    assert by_name["elapid maxent"]["ratio"] == 1.0
    assert by_name["elapid maxent"]["valid_share"] == by_name["deepmaxent float32"]["valid_share"] > 0.2
    assert all(maps._race_line(row) for row in rows)


@pytest.mark.realdata
def test_a_large_vrt_is_mapped_within_its_memory(tmp_path, given, model):
    row = maps.continent(given, model, tmp_path, maps.Options(continent=2000, memory="1GB"), progress=False)
    assert row["within"] and 1 << 28 < row["peak"] <= 10**9 and "of 1.00 GB" in row["plan"]
    assert "within the budget" in maps._continent_line(row)
