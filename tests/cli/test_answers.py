"""predict, evaluate, explain and report on a run, and run folders that are not what they claim to be."""

from __future__ import annotations

import json
import os
import pickle

import numpy as np
import pandas as pd
import pytest

SPECIES = ["Simulata altera", "Simulata prima", "Simulata quarta", "Simulata tertia"]


# ------------------------------------------------------------------------------------------------ predict
def test_predict_gives_a_row_per_point(world, ecotone, fitted, tmp_path):
    ended = ecotone("predict", fitted, "--points", world.surveys, "--out", tmp_path / "p.csv")
    assert ended.status == 0 and not ended.err
    asked, answered = pd.read_csv(world.surveys), pd.read_csv(tmp_path / "p.csv")
    assert list(answered) == ["x", "y", *SPECIES] and len(answered) == len(asked)
    assert np.allclose(answered.x, asked.decimalLongitude) and answered[SPECIES].stack().between(0, 1).all()
    assert ecotone("predict", fitted, "--points", world.surveys, "--out", tmp_path / "p.parquet").status == 0
    assert np.allclose(pd.read_parquet(tmp_path / "p.parquet")[SPECIES], answered[SPECIES])


def test_predict_agrees_with_the_map(world, ecotone, fitted, tmp_path):
    import rasterio

    extras = ["--richness", "--top", "--thresholds", "--extrapolation", "--spread"]
    assert ecotone("map", fitted, "--out", tmp_path / "m.tif", *extras).status == 0
    words = ["--points", world.surveys, "--only-species", SPECIES[1], *extras, "--out", tmp_path / "p.csv"]
    assert ecotone("predict", fitted, *words).status == 0
    table = pd.read_csv(tmp_path / "p.csv")
    places = list(zip(table.x, table.y, strict=True))
    for column, suffix, band in (
        (f"cloglog:{SPECIES[1]}", "", 2),
        (f"binary-p10:{SPECIES[1]}", ".binary-p10", 2),
        ("richness", ".richness", 1),
        ("extrapolation", ".extrapolation", 1),
    ):
        with rasterio.open(tmp_path / f"m{suffix}.tif") as source:
            there = np.array([v[0] for v in source.sample(places, indexes=[band])], dtype=float)
        assert np.allclose(table[column], there, atol=1e-5), column
    assert set(table["top"]) <= set(SPECIES) and "inside" in set(table["extrapolation-by"])


def test_points_need_no_species_and_may_lie_outside(world, ecotone, fitted, tmp_path):
    table = pd.read_csv(world.surveys)[["decimalLongitude", "decimalLatitude"]].iloc[:5]
    table["plot"] = [f"plot {i}" for i in range(5)]
    table.loc[0, "decimalLongitude"] = 100.0
    table.to_csv(tmp_path / "plots.csv", index=False)
    ended = ecotone("predict", fitted, "--points", tmp_path / "plots.csv", "--out", tmp_path / "p.csv")
    assert ended.status == 0, ended.err
    answered = pd.read_csv(tmp_path / "p.csv")
    assert answered[SPECIES].isna().all(axis=1).tolist() == [True, False, False, False, False]


@pytest.mark.parametrize(
    ("words", "code", "status"),
    [
        (["--points", "RECORDS"], "US105", 2),
        (["--out", "p.csv"], "US105", 2),
        (["--points", "RECORDS", "--out", "p.xyz"], "US104", 2),
        (["--points", "RECORDS", "--out", "p.csv", "--only-species", "Simulata primma"], "US101", 2),
        (["--points", "none.csv", "--out", "p.csv"], "IO101", 3),
        (["--points", "FAR", "--out", "p.csv"], "OC202", 3),
        (["--points", "RECORDS", "--out", "p.csv", "--covariates", "ROCK"], "RA303", 3),
        (["--points", "RECORDS", "--out", "RECORDS/p.csv"], "IO104", 3),
    ],
)
def test_what_cannot_be_predicted(world, ecotone, fitted, tmp_path, monkeypatch, words, code, status):
    monkeypatch.chdir(tmp_path)
    far = world.table(tmp_path / "far.csv", lambda t: t.assign(decimalLongitude=t.decimalLongitude + 50))
    names = {"RECORDS": world.records, "FAR": far, "ROCK": world.covariates / "rock.tif"}
    ended = ecotone("predict", fitted, *(str(names.get(w, w)).replace("RECORDS", str(world.records)) for w in words))
    assert (ended.status, ended.error) == (status, code), ended.err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["far.csv"]


# ------------------------------------------------------------------------------------------------ evaluate
def test_evaluate_by_cross_validation_repeats_the_scores_of_fit(ecotone, run):
    before = (run / "scores.json").read_bytes()
    ended = ecotone("evaluate", run)
    assert ended.status == 0 and "spatial blocks" in ended.out
    assert (run / "scores.json").read_bytes() == before


def test_evaluate_against_a_survey_long_or_wide(world, ecotone, run, tmp_path):
    ended = ecotone("evaluate", run, "--points", world.surveys, "--out", tmp_path / "rows.csv")
    assert ended.status == 0 and "independent survey" in ended.out
    assert pd.read_csv(tmp_path / "rows.csv").species.tolist() == SPECIES
    wide = json.loads((run / "scores.json").read_text())
    assert "auc_random" not in wide["metrics"]

    table = pd.read_csv(world.surveys)
    where = ["decimalLongitude", "decimalLatitude"]
    long = table.melt(where, SPECIES, "species", "seen").rename(columns={where[0]: "east", where[1]: "north"})
    long.to_csv(tmp_path / "long.csv", index=False)
    words = ["--points", tmp_path / "long.csv", "--presence", "seen", "--x", "east", "--y", "north"]
    assert ecotone("evaluate", run, *words).status == 0
    same = json.loads((run / "scores.json").read_text())
    for name, score in wide["metrics"].items():
        assert same["metrics"][name]["value"] == pytest.approx(score["value"], abs=1e-9), name


def test_the_report_shows_the_scores_of_one_evaluation_only(world, ecotone, run):
    assert ecotone("evaluate", run, "--points", world.surveys).status == 0
    from ecotone.files.run import RunFolder
    from ecotone.report.page import _score_tiles

    folder = RunFolder(run)
    assert {tile["key"] for tile in _score_tiles(folder, folder.record)} == set(folder.read_scores().metrics)


def test_absences_that_are_missing_are_not_absences(world, ecotone, run, tmp_path):
    table = pd.read_csv(world.surveys)
    table["Simulata prima"] = table["Simulata prima"].astype(float).where(table.index % 3 > 0)
    table.to_csv(tmp_path / "wide.csv", index=False)
    words = ["--points", tmp_path / "wide.csv", "--out", tmp_path / "rows.csv"]
    assert ecotone("evaluate", run, *words).status == 0
    rows = pd.read_csv(tmp_path / "rows.csv").set_index("species")
    assert rows.presences["Simulata prima"] == table["Simulata prima"].sum()


@pytest.mark.parametrize(
    ("words", "hint"), [([], "--presence COLUMN"), (["--presence", "occurenceStatus"], "did you mean")]
)
def test_a_survey_needs_presences_and_absences(world, ecotone, fitted, words, hint):
    ended = ecotone("evaluate", fitted, "--points", world.records, *words)
    assert (ended.status, ended.error) == (3, "OC201") and hint in ended.err


# ------------------------------------------------------------------------------------------------ explain, report
def test_explaining_one_species_keeps_the_others(ecotone, run, tmp_path):
    from ecotone.files.evidence import load_evidence

    before = load_evidence(run / "evidence")
    ended = ecotone("explain", run, "--target", "Simulata prima", "--output", "relative")
    assert ended.status == 0 and not ended.err
    after = load_evidence(run / "evidence")
    assert {e.target for e in after} == {e.target for e in before}
    curves = [e for e in after if e.target == "Simulata prima" and e.kind == "curve"]
    assert curves and all("relative" in c.y_label for c in curves)
    assert ecotone("explain", run, "--target", "Simulata prima", "--out", tmp_path / "alone").status == 0
    assert {e.target for e in load_evidence(tmp_path / "alone")} <= {"", "Simulata prima"}


def test_nothing_is_replaced_when_explaining_fails(ecotone, run):
    before = sorted(p.name for p in (run / "evidence").iterdir())
    ended = ecotone("explain", run, "--target", "Simulata primaa")
    assert (ended.status, ended.error) == (2, "US101") and "did you mean 'Simulata prima'?" in ended.err
    assert sorted(p.name for p in (run / "evidence").iterdir()) == before


def test_report_of_a_run_in_progress(ecotone, run):
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**record, "status": "running", "finished": None}))
    for path in [*(run / "evidence").iterdir(), run / "scores.json"]:
        path.unlink()
    ended = ecotone("report", run)
    assert ended.status == 0 and "running" in (run / "report.html").read_text()


@pytest.mark.parametrize("verb", ["embed", "zeroshot"])
def test_abilities_the_system_lacks(ecotone, fitted, tmp_path, verb):
    words = ["--classes", "a,b"] if verb == "zeroshot" else []
    ended = ecotone(verb, fitted, *words, "--out", tmp_path / "x.csv")
    assert (ended.status, ended.error) == (2, "US103") and "ecotone list" in ended.err


@pytest.mark.parametrize("verb", ["map", "predict", "evaluate", "explain", "report", "replay"])
def test_folders_that_are_no_runs(world, ecotone, tmp_path, verb):
    for place in (tmp_path / "none", world.covariates):
        words = ["--out", tmp_path / "x.tif"] if verb in ("map", "predict") else []
        ended = ecotone(verb, place, *words)
        assert (ended.status, ended.error) == (3, "IO101")


# ------------------------------------------------------------------------------------------------ attacks
class Evil:
    def __reduce__(self):
        return os.system, ("touch fooled",)


def config(run, **changes):
    stored = json.loads((run / "config.json").read_text())
    stored["config"].update(changes)
    (run / "config.json").write_text(json.dumps(stored))


ATTACKS = {
    "a pickle": (lambda run: (run / "model.safetensors").write_bytes(pickle.dumps(Evil())), "IN101"),
    "half the weights": (
        lambda run: (run / "model.safetensors").write_bytes((run / "model.safetensors").read_bytes()[:1000]),
        "IN101",
    ),
    "a width of a thousand million": (lambda run: config(run, width=10**9), "IN102"),
    "an unknown key": (lambda run: config(run, widht=8), "IN102"),
    "no system": (lambda run: (run / "config.json").write_text("{}"), "IN102"),
    "a path as system": (lambda run: (run / "config.json").write_text('{"system": "os:system"}'), "IN102"),
    "deep nesting": (lambda run: (run / "config.json").write_text("[" * 100_000), "IN102"),
    "empty preprocessing": (lambda run: (run / "preprocessing.json").write_text("{}"), "IN102"),
    "no weights": (lambda run: (run / "model.safetensors").unlink(), "IO101"),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_folders_that_are_not_what_they_claim(world, ecotone, run, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    change, code = ATTACKS[name]
    change(run)
    for words in (["map", run, "--out", "m.tif"], ["predict", run, "--points", world.records, "--out", "p.csv"]):
        ended = ecotone(*words)
        assert ended.error == code and ended.status == (3 if code == "IO101" else 5), ended.err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run"]


def test_damaged_records_and_evidence(ecotone, run):
    (run / "evidence").joinpath("01-overlay-suitability.json").write_text("{}")
    assert ecotone("report", run).error == "IO102"
    (run / "run.json").write_text("no json")
    assert ecotone("report", run).error == "IO102"
    assert ecotone("replay", run).error == "IO102"
