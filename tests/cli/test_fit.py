"""Fits on data as people have them: each fault is one line with a code, and leaves nothing in the way of the next try."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest

pytestmark = pytest.mark.usefixtures("no_report")
X, Y, NAME = "decimalLongitude", "decimalLatitude", "scientificName"
FINE = ("--categorical", "rock")


def swap(table):
    return table.rename(columns={X: Y, Y: X})


TABLES = {
    "no latitude": (lambda t: t.drop(columns=Y), (), "OC201", "latitude (y)"),
    "unusual names": (
        lambda t: t.rename(columns={X: "laenge", Y: "breite", NAME: "art"}),
        (),
        "OC201",
        "--x 'laenge'? --y COLUMN",
    ),
    "wrong option": (lambda t: t.rename(columns={X: "laenge"}), ("--x", "laange"), "OC201", "did you mean 'laenge'?"),
    "no rows": (lambda t: t.iloc[:0], (), "OC205", "no records"),
    "far away": (lambda t: t.assign(**{X: t[X] + 90}), (), "OC202", "rasters x -31"),
    "swapped": (swap, (), "OC203", "--swap-xy"),
    "words": (lambda t: t.assign(**{Y: "north"}), (), "OC204", "row 2 'north'"),
    "infinite": (lambda t: t.assign(**{Y: np.inf}), (), "OC204", "row 2 'inf'"),
    "all missing": (lambda t: t.assign(**{Y: np.nan}), (), "OC205", "missing coordinates"),
    "one record": (lambda t: t.iloc[:1], (), "OC205", "one raster cell"),
    "one place": (lambda t: t.assign(**{X: t[X][0], Y: t[Y][0]}), (), "OC205", "one raster cell"),
    "other system": (lambda t: t, ("--crs", "EPSG:32633"), "OC202", "--crs"),
    "no such system": (lambda t: t, ("--crs", "banana"), "US104", "EPSG:4326"),
    "unknown species": (lambda t: t, ("--only-species", "Simulata prma"), "US101", "did you mean 'Simulata prima'?"),
    "one species": (lambda t: t, ("--species", "=Foo bar", "--background", "target_group"), "DA405", "uniform or auto"),
    "unknown label": (lambda t: t, ("--categorical", "rok"), "US101", "did you mean 'rock'?"),
    "label of decimals": (lambda t: t, ("--categorical", "soil_ph"), "RA307", "recode it"),
    "no device": (lambda t: t, ("--device", "cuda"), "US104", "device=auto"),
}


@pytest.mark.parametrize("name", TABLES)
def test_faulty_tables(world, ecotone, tmp_path, name):
    import torch

    change, more, code, hint = TABLES[name]
    if name == "no device" and torch.cuda.is_available():
        pytest.skip("there is one here")
    out = tmp_path / "runs" / "a"
    ended = ecotone(*world.fit(out, *more, records=world.table(tmp_path / "points.csv", change)))
    assert ended.error == code and hint in ended.err, ended.err
    assert ended.status == (2 if code.startswith("US") else 3)
    assert not ended.out and not out.exists()
    assert ecotone(*world.fit(out, *FINE)).status == 0  # the same folder, with other data


@pytest.mark.parametrize(
    ("content", "code"), [(None, "IO101"), (b"", "IO102"), (b"\x00\x01\x02" * 99, "IO10"), ("folder", "IO101")]
)
def test_files_that_are_no_tables(world, ecotone, tmp_path, content, code):
    place = tmp_path / "points.csv"
    if content == "folder":
        place.mkdir()
    elif content is not None:
        place.write_bytes(content)
    ended = ecotone(*world.fit(tmp_path / "run", records=place))
    assert ended.status == 3 and ended.error.startswith(code)
    assert not (tmp_path / "run").exists()


def half(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


RASTERS = {
    "truncated": (half, "IO102"),
    "empty": (lambda path: path.write_bytes(b""), "IO102"),
    "text": (lambda path: path.write_text("hello"), "IO102"),
    "gone": (lambda path: [path.unlink() for path in path.parent.iterdir()], "IO101"),
}


@pytest.mark.parametrize("name", RASTERS)
def test_damaged_rasters(world, ecotone, tmp_path, name, capfd):
    change, code = RASTERS[name]
    folder = world.rasters(tmp_path / "clim")
    change(folder / "soil_ph.tif")
    ended = ecotone(*world.fit(tmp_path / "run", covariates=folder))
    assert (ended.status, ended.error) == (3, code)
    assert not (tmp_path / "run").exists()
    assert capfd.readouterr().err == "", "a library wrote to standard error"


def test_no_raster_fits_a_pattern_or_lies_in_a_folder(world, ecotone, tmp_path):
    (tmp_path / "empty").mkdir()
    for place in (tmp_path / "none", tmp_path / "empty", tmp_path / "*.tif"):
        ended = ecotone(*world.fit(tmp_path / "run", covariates=place))
        assert (ended.status, ended.error) == (3, "IO101")


def test_swapped_axes_are_mended_by_the_option_the_message_names(world, ecotone, tmp_path, fitted):
    swapped = world.table(tmp_path / "swapped.csv", swap)
    ended = ecotone(*world.fit(tmp_path / "run", "--swap-xy", *FINE, records=swapped))
    assert ended.status == 0
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == (fitted / "model.safetensors").read_bytes()
    assert ecotone(*world.fit(tmp_path / "other", "--swap-xy")).error == "OC203"


def test_a_missing_reference_system_is_mended_by_the_option_the_message_names(world, ecotone, tmp_path, fitted):
    folder = world.rasters(tmp_path / "clim", crs=None)
    ended = ecotone(*world.fit(tmp_path / "run", *FINE, covariates=folder))
    assert (ended.status, ended.error) == (3, "RA301") and "--raster-crs EPSG:4326" in ended.err
    words = world.fit(tmp_path / "run", *FINE, "--raster-crs", "EPSG:4326", covariates=folder)
    assert ecotone(*words).status == 0
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == (fitted / "model.safetensors").read_bytes()
    assert ecotone(*words[:-1], "EPSG:99999").error == "US104"
    assert ecotone("map", tmp_path / "run", "--out", tmp_path / "map.tif").status == 0


def test_what_is_odd_but_usable_is_warned_about_and_recorded(world, ecotone, tmp_path):
    folder = world.rasters(tmp_path / "clim", "soil_ph", nodata=None)
    flat = world.rasters(tmp_path / "flat", "tree_cover", values=lambda a: np.where(np.isfinite(a), 5.0, a))
    shutil.copy(flat / "tree_cover.tif", folder / "tree_cover.tif")

    def few(table):
        first = table[NAME][0]
        return pd.concat([table[table[NAME] == first].iloc[:1], table[table[NAME] != first]])

    records = world.table(tmp_path / "points.csv", few)
    ended = ecotone(*world.fit(tmp_path / "run", records=records, covariates=folder))
    assert ended.status == 0 and not ended.error
    assert ended.warned == {"RA302", "RA308", "DA401", "OC207"}, ended.err
    assert "tree_cover: is constant" in ended.err and "--categorical rock" in ended.err and "1 species has" in ended.err
    assert len(ended.err.splitlines()) == 4, "each is told once"
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert {w["code"] for w in record["warnings"]} == ended.warned
    stored = json.loads((tmp_path / "run" / "preprocessing.json").read_text())
    assert stored["features"]["constant"] == ["tree_cover"]
    assert "tree_cover" in (tmp_path / "run" / "card.md").read_text()
    assert ecotone("map", tmp_path / "run", "--out", tmp_path / "map.tif").status == 0


def test_infinite_cells_are_cells_without_data(world, ecotone, tmp_path):
    def holes(array):
        return np.where(np.arange(array.shape[2]) % 2 == 0, np.inf, array)

    folder = world.rasters(tmp_path / "clim", "soil_ph", values=holes)
    ended = ecotone(*world.fit(tmp_path / "run", *FINE, covariates=folder))
    assert ended.status == 0 and ended.warned == {"OC206"} and "no data" in ended.err
    nowhere = world.rasters(tmp_path / "none", "soil_ph", values=lambda a: a * np.nan)
    assert ecotone(*world.fit(tmp_path / "other", *FINE, covariates=nowhere)).error == "OC205"


@pytest.mark.parametrize("records", [2, 3])
def test_a_species_with_few_records_alone_gets_a_map_and_honest_scores(world, ecotone, tmp_path, records):
    points = world.table(tmp_path / "points.csv", lambda t: t.iloc[:records])
    ended = ecotone(*world.fit(tmp_path / "run", *FINE, records=points))
    assert ended.status == 0 and "OC207" in ended.warned
    if records == 2:
        assert "OC205" in ended.warned and not (tmp_path / "run" / "scores.json").exists()
    else:
        for score in json.loads((tmp_path / "run" / "scores.json").read_text())["metrics"].values():
            assert score["low"] is None or score["low"] < score["value"] < score["high"]
    assert ecotone("map", tmp_path / "run", "--out", tmp_path / "map.tif").status == 0


def test_lists_may_be_repeated_patterns_and_folders(world, ecotone, tmp_path):
    one, two, three = (world.covariates / f"{name}.tif" for name in ("rock", "soil_ph", "temperature"))
    forms = {
        "two lists": [one, two, "--covariates", three, *FINE],
        "attached": [one, two, three, "--categorical=rock"],
        "twice": [one, two, three, one, *FINE],
        "excluded": [world.covariates, *FINE, "--exclude", "tree*", "--exclude", "coast*", "season*", "precip*"],
        "pattern": [f"{world.covariates}/[rst][oe][cim]*.tif", two, *FINE],
    }
    models = []
    for name, form in forms.items():
        out = tmp_path / name
        assert ecotone(*world.fit(out, covariates=form)).status == 0, name
        models.append(sorted(json.loads((out / "preprocessing.json").read_text())["features"]["covariates"]))
    assert models == [["rock", "soil_ph", "temperature"]] * len(forms)
    ended = ecotone(*world.fit(tmp_path / "x", "--occurrences", world.records, world.records))
    assert ended.error == "US101"


def test_paths_with_spaces_and_letters_of_any_alphabet(world, ecotone, tmp_path):
    folder = tmp_path / "données été 数据"
    folder.mkdir()
    shutil.copytree(world.covariates, folder / "cov ariables")
    shutil.copy(world.records, folder / "espèces x.csv")
    words = world.fit(folder / "ru n", *FINE, records=folder / "espèces x.csv", covariates=folder / "cov ariables")
    assert ecotone(*words).status == 0
    assert ecotone("map", folder / "ru n", "--out", folder / "kårte 1.tif").status == 0
    again = ecotone("replay", folder / "ru n" / "run.json", "--out", folder / "re ü")
    assert again.status == 0, again.err
    assert (folder / "re ü/model.safetensors").read_bytes() == (folder / "ru n/model.safetensors").read_bytes()


def test_quiet_is_quiet(world, ecotone, tmp_path):
    ended = ecotone(*world.fit(tmp_path / "run", *FINE, "--quiet"))
    assert (ended.status, ended.out, ended.err) == (0, "", "")


@pytest.mark.realdata
def test_bradypus_from_its_folder(ecotone, data_folder, tmp_path):
    """The classic example as people type it; a shell expands *.grd, the folder also holds .gri and the table."""
    place = data_folder / "bradypus_dismo"
    quick = [
        "--epochs",
        "1",
        "--members",
        "1",
        "--width",
        "8",
        "--background-cells",
        "300",
        "--min-steps",
        "0",
        "--categorical",
        "biome",
    ]
    expanded = sorted(place.glob("*.grd"))
    models = []
    for name, given in {"files": expanded, "folder": [place], "pattern": [f"{place}/*.grd"]}.items():
        words = ["fit", "deepmaxent", "--occurrences", place / "bradypus.csv", "--covariates", *given, *quick]
        ended = ecotone(*words, "--out", tmp_path / name)
        assert ended.status == 0 and not ended.warned, ended.err
        models.append(json.loads((tmp_path / name / "preprocessing.json").read_text())["calibration"])
    assert models[0]["records"] == [94.0] == models[1]["records"] == models[2]["records"]
