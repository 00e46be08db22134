"""Maps from the command line: what the files hold, other climates and areas, and refusals that leave no file."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine

ALL = ("--spread", "--richness", "--top", "--thresholds", "--extrapolation", "--applicability")


def cells(path):
    with rasterio.open(path) as source:
        return source.read()


def left(folder):
    return sorted(path.name for path in folder.iterdir() if path.suffix in (".tif", ".partial") or path.name[0] == ".")


def test_a_map_is_a_geotiff_that_says_what_it_is(world, ecotone, run, tmp_path):
    out = tmp_path / "map.tif"
    ended = ecotone("map", run, "--out", out)
    assert ended.status == 0 and ended.out == f"suitability: {out}\n" and not ended.err
    from ecotone.files.model_folder import model_id

    with rasterio.open(out) as source, rasterio.open(world.covariates / "soil_ph.tif") as grid:
        assert source.descriptions == ("Simulata altera", "Simulata prima", "Simulata quarta", "Simulata tertia")
        assert (source.crs, source.transform, source.shape) == (grid.crs, grid.transform, grid.shape)
        assert np.isnan(source.nodata) and source.dtypes == ("float32",) * 4 and source.units == ("1",) * 4
        assert source.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert source.tags()["ECOTONE_MODEL"] == model_id(run) and source.tags()["ECOTONE_SYSTEM"] == "deepmaxent"
        values, land = source.read(), np.isfinite(grid.read(1))
    assert (np.isfinite(values) == land).all() and values[:, land].min() >= 0 and values[:, land].max() <= 1
    assert json.loads((run / "run.json").read_text())["maps"][-1] == {"path": "../map.tif", "title": "map: suitability"}


def test_the_window_changes_no_bit(ecotone, fitted, tmp_path):
    for size in ("16", "64", "512"):
        assert ecotone("map", fitted, "--out", tmp_path / f"w{size}.tif", "--window", size, *ALL).status == 0
    written = sorted(p.name.removeprefix("w512") for p in tmp_path.glob("w512*.tif"))
    assert len(written) == 1 + 7 + 2
    for name in written:
        whole = (tmp_path / f"w512{name}").read_bytes()
        assert (tmp_path / f"w16{name}").read_bytes() == whole == (tmp_path / f"w64{name}").read_bytes()


def test_another_climate_gives_all_layers(world, ecotone, fitted, tmp_path):
    now, then = tmp_path / "now.tif", tmp_path / "future.tif"
    assert ecotone("map", fitted, "--out", now).status == 0
    ended = ecotone("map", fitted, "--covariates", world.future, "--out", then)
    assert ended.status == 0 and not ended.err
    layers = ("binary-maxtss", "binary-p10", "change", "difference", "extrapolation", "extrapolation-by", "turnover")
    assert left(tmp_path) == sorted(["now.tif", "future.tif", *(f"future.{layer}.tif" for layer in layers)])
    for layer in layers:
        assert f"{tmp_path}/future.{layer}.tif" in ended.out
    difference = cells(then) - cells(now)
    assert np.allclose(cells(tmp_path / "future.difference.tif"), difference, atol=1e-6, equal_nan=True)
    assert np.nanmax(np.abs(difference)) > 0
    binary = cells(tmp_path / "future.binary-p10.tif")
    assert set(np.unique(binary)) == {0, 1, 255} and ((binary == 255) == np.isnan(cells(then))).all()
    with rasterio.open(tmp_path / "future.extrapolation-by.tif") as source:
        legend = json.loads(source.tags()["ECOTONE_LEGEND"])
        similar = cells(tmp_path / "future.extrapolation.tif")[0]
        outside = source.read(1)
    assert legend["0"] == "inside" and "temperature" in legend.values()
    land = np.isfinite(similar)
    assert ((outside[land] > 0) == (similar[land] < 0)).all() and (similar[land] < 0).any()
    alone = ecotone("map", fitted, "--covariates", world.future, "--no-extras", "--out", tmp_path / "f.tif")
    assert alone.out == f"suitability: {tmp_path}/f.tif\n"
    assert (cells(tmp_path / "f.tif") == cells(then))[:, land].all()


def test_another_area_gives_no_difference_and_says_so(world, ecotone, fitted, tmp_path):
    away = world.rasters(tmp_path / "away", transform=Affine(0.05, 0, 10, 0, -0.05, 50))
    ended = ecotone("map", fitted, "--covariates", away, "--out", tmp_path / "away.tif")
    assert ended.status == 0 and ended.warned == {"RA304"} and "no map of the difference" in ended.err
    assert "away.difference.tif" not in left(tmp_path) and "away.extrapolation.tif" in left(tmp_path)


def test_a_model_that_was_passed_on_maps_without_the_rasters_of_fit(world, ecotone, run, tmp_path):
    stored = json.loads((run / "preprocessing.json").read_text())
    stored["inputs"]["covariates"] = ["elsewhere"]
    (run / "preprocessing.json").write_text(json.dumps(stored))
    (run / "run.json").unlink()
    ended = ecotone("map", run, "--out", tmp_path / "m.tif")
    assert (ended.status, ended.error) == (3, "IO101") and "--covariates" in ended.err
    ended = ecotone("map", run, "--covariates", world.future, "--out", tmp_path / "m.tif")
    assert ended.status == 0 and "cannot be read" in ended.err


def test_bands_are_matched_by_name(world, ecotone, fitted, tmp_path):
    assert ecotone("map", fitted, "--out", tmp_path / "plain.tif").status == 0
    shouting = tmp_path / "shouting"
    shutil.copytree(world.covariates, shouting)
    for path in shouting.iterdir():
        path.rename(path.with_name(path.name.upper().replace(".TIF", ".tif")))
    paths = sorted(world.covariates.glob("*.tif"), reverse=True)
    with rasterio.open(paths[0]) as first:
        profile = first.profile | {"count": len(paths), "dtype": "float32", "nodata": -99.0, "predictor": 3}
    stacked = tmp_path / "stacked.tif"
    with rasterio.open(stacked, "w", **profile) as target:
        for band, path in enumerate(paths, 1):
            with rasterio.open(path) as source:
                target.write(source.read(1, masked=True).astype("float32").filled(np.nan), band)
            target.set_band_description(band, path.stem)
    for name, given in {"upper": shouting, "stack": stacked}.items():
        words = ["map", fitted, "--covariates", given, "--no-extras", "--out", tmp_path / f"{name}.tif"]
        assert ecotone(*words).status == 0
        assert np.array_equal(cells(tmp_path / f"{name}.tif"), cells(tmp_path / "plain.tif"), equal_nan=True), name


def test_a_missing_covariate_is_refused(world, ecotone, fitted, tmp_path):
    folder = tmp_path / "clim"
    shutil.copytree(world.covariates, folder)
    (folder / "soil_ph.tif").rename(folder / "soilph.tif")
    ended = ecotone("map", fitted, "--covariates", folder, "--out", tmp_path / "m.tif")
    assert (ended.status, ended.error) == (3, "RA303") and "soil_ph: did you mean 'soilph'?" in ended.err
    assert left(tmp_path) == []


def test_labels_that_training_did_not_know_are_told_once(world, ecotone, fitted, tmp_path):
    other = world.rasters(tmp_path / "clim", "rock", values=lambda a: np.where(a == 1, 9, a))
    ended = ecotone("map", fitted, "--covariates", other, "--window", "16", "--out", tmp_path / "m.tif")
    assert ended.status == 0 and ended.warned == {"DA402"} and "category 9" in ended.err
    assert len(ended.err.splitlines()) == 1
    words = ["--points", world.records, "--covariates", other, "--out", tmp_path / "p.csv"]
    assert ecotone("predict", fitted, *words).warned == {"DA402"}


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_cells_without_data_stay_without_an_answer(world, ecotone, fitted, tmp_path, value):
    def holes(array):
        return np.where(np.arange(array.shape[2]) % 2 == 0, value, array)

    folder = world.rasters(tmp_path / "clim", "soil_ph", values=holes)
    assert ecotone("map", fitted, "--covariates", folder, "--no-extras", "--out", tmp_path / "m.tif").status == 0
    found = cells(tmp_path / "m.tif")
    assert np.isnan(found[:, :, ::2]).all() and np.isfinite(found[:, :, 1::2]).any()
    nowhere = world.rasters(tmp_path / "none", "soil_ph", values=lambda a: a * np.nan)
    ended = ecotone("map", fitted, "--covariates", nowhere, "--out", tmp_path / "n.tif")
    assert (ended.status, ended.error) == (3, "RA304")
    assert left(tmp_path) == ["m.tif"]


@pytest.mark.parametrize(
    ("words", "code", "hint"),
    [
        ([], "US105", "--out map.tif"),
        (["--out"], "US104", "--out VALUE"),
        (["--out", "m.png"], "US104", "name it m.tif"),
        (["--out", "m.tif", "--window", "3"], "US104", "--window"),
        (["--out", "m.tif", "--windows", "64"], "US101", "did you mean '--window'?"),
        (["--out", "m.tif", "--output", "clolog"], "US101", "did you mean 'cloglog'?"),
        (["--out", "m.tif", "--species", "Simulata primaa"], "US101", "did you mean 'Simulata prima'?"),
        (["--out", "m.tif", "--covariates", "none"], "IO101", "none"),
    ],
)
def test_what_cannot_be_mapped(ecotone, fitted, tmp_path, monkeypatch, words, code, hint):
    monkeypatch.chdir(tmp_path)
    ended = ecotone("map", fitted, *words)
    assert ended.error == code and hint in ended.err and ended.status == (3 if code == "IO101" else 2)
    assert left(tmp_path) == []


def test_species_and_scale_may_be_chosen(ecotone, fitted, tmp_path):
    words = ["--species", "Simulata tertia", "Simulata altera", "--output", "raw", "--quiet"]
    ended = ecotone("map", fitted, "--out", tmp_path / "m.tif", *words)
    assert (ended.status, ended.out, ended.err) == (0, "", "")
    with rasterio.open(tmp_path / "m.tif") as source:
        assert source.descriptions == ("Simulata tertia", "Simulata altera")
        assert source.units == ("share of the background",) * 2


def test_a_record_that_cannot_be_written_does_not_cost_the_map(ecotone, run, tmp_path):
    (run / "run.json").write_text("no json")
    ended = ecotone("map", run, "--out", tmp_path / "m.tif")
    assert ended.status == 0 and ended.warned == {"IO102"} and (tmp_path / "m.tif").is_file()
