from __future__ import annotations

import json
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from ecotone.contract import Score, Scores
from ecotone.errors import EcotoneError, EcotoneWarning, InputError, IntegrityError, InterruptedRunError, UsageError
from ecotone.files.fingerprint import hash_files
from ecotone.files.record import portable_argument, portable_path, read_record, replay_command
from ecotone.files.run import RunFolder

COMMAND = ["ecotone", "fit", "deepmaxent", "occ.csv", "--out", "r"]


@pytest.fixture
def work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "occ.csv").write_text("species,x,y\n")
    return tmp_path


def begin(run: RunFolder, *, config=None, seeds=None, command=COMMAND, **more) -> bool:
    return run.begin(
        command, "deepmaxent", config or {"epochs": 3}, hash_files([Path("occ.csv")]), seeds or {"fit": 1}, **more
    )


def test_life_of_a_run(work):
    run = RunFolder("r")
    assert begin(run) is False
    assert run.record["status"] == "running" and run.record["command"] == COMMAND
    run.finish(
        {"fit": 1.5}, [EcotoneWarning("OC206", "occ.csv", "2 set aside", "see it")], {"AUC": Score(0.8, 0.7, 0.9, 5)}
    )
    record = run.record
    assert record["status"] == "done" and record["finished"] >= record["started"]
    assert record["warnings"] == [{"code": "OC206", "where": "occ.csv", "what": "2 set aside", "fix": "see it"}]
    assert record["metrics"]["AUC"] == {"value": 0.8, "low": 0.7, "high": 0.9, "n": 5}
    assert {"ecotone", "python", "torch", "numpy", "rasterio", "platform"} <= set(record["versions"])
    assert record["inputs"] == hash_files([Path("occ.csv")])


def test_record_tells_no_names_of_people_or_machines(work, monkeypatch):
    import getpass
    import socket

    monkeypatch.setenv("HOME", "/home/somebody")
    run = RunFolder("r")
    inputs = {"/home/somebody/data/a.tif": "0" * 64, work / "occ.csv": "1" * 64}
    command = [
        "/home/somebody/venv/bin/ecotone",
        "fit",
        "/home/somebody/data/a.tif",
        f"--out={work}/r",
        f"{work}/occ.csv",
    ]
    run.begin(command, "deepmaxent", {}, inputs, {})
    text = run.record_path.read_text()
    for secret in ("somebody", str(work), socket.gethostname(), "/home"):
        assert secret not in text
    assert getpass.getuser() in ("root",) or getpass.getuser() not in text
    assert run.record["command"] == ["ecotone", "fit", "~/data/a.tif", "--out=r", "occ.csv"]
    assert replay_command(run.record_path) == ["fit", "/home/somebody/data/a.tif", "--out=r", "occ.csv"]


def test_portable_paths(work, monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    assert portable_path("a/b.tif") == "a/b.tif"
    assert portable_path(work / "a" / "b.tif") == "a/b.tif"
    assert portable_path("/home/somebody/x") == "~/x"
    assert portable_path("/mnt/x") == "/mnt/x"
    assert portable_argument("--alpha=0.5") == "--alpha=0.5"


def test_a_folder_of_something_else_is_refused(work):
    Path("r").mkdir()
    Path("r/thesis.docx").write_text("years of work")
    with pytest.raises(UsageError) as caught:
        begin(RunFolder("r"))
    assert caught.value.code == "US106" and Path("r/thesis.docx").read_text() == "years of work"
    assert not Path("r/run.json").exists()


def test_a_file_in_the_way_and_an_empty_folder(work):
    with pytest.raises(InputError) as caught:
        begin(RunFolder("occ.csv"))
    assert caught.value.code == "IO104"
    Path("r").mkdir()
    assert begin(RunFolder("r")) is False


def test_only_leftovers_of_a_killed_write_do_not_make_a_folder_foreign(work):
    Path("r").mkdir()
    Path("r/.run.77.partial.json").write_text("{")
    assert begin(RunFolder("r")) is False


@pytest.mark.parametrize("status", ["running", "failed", "interrupted"])
def test_the_same_command_goes_on_with_an_unfinished_run(work, status):
    run = RunFolder("r")
    begin(run)
    run.update(status=status, started="2001-01-01T00:00:00+00:00")
    assert begin(run) is True
    assert run.record["status"] == "running" and run.record["started"].startswith("2001")


def test_a_finished_run_is_repeated_not_resumed(work):
    run = RunFolder("r")
    begin(run)
    run.finish()
    assert begin(run) is False


def test_other_settings_are_refused_and_named(work):
    run = RunFolder("r")
    begin(run)
    before = run.record_path.read_bytes()
    with pytest.raises(UsageError, match=r"config\.epochs") as caught:
        begin(run, config={"epochs": 4})
    assert caught.value.code == "US106"
    with pytest.raises(IntegrityError, match=r"config\.epochs, seeds\.fit") as resumed:
        begin(run, config={"epochs": 4}, seeds={"fit": 2}, resume=True)
    assert resumed.value.code == "IN103"
    assert run.record_path.read_bytes() == before
    assert begin(run, config={"epochs": 4}, resume=True, allow_change=["epochs"]) is True


def test_changed_data_is_refused_but_moved_data_is_not(work):
    run = RunFolder("r")
    begin(run)
    Path("occ.csv").write_text("species,x,y\nnew,1,2\n")
    with pytest.raises(IntegrityError, match="inputs"):
        begin(run, resume=True)
    Path("occ.csv").write_text("species,x,y\n")
    Path("occ.csv").rename("moved.csv")
    assert run.begin(COMMAND, "deepmaxent", {"epochs": 3}, hash_files([Path("moved.csv")]), {"fit": 1}) is True


def test_verify_inputs_names_what_changed(work):
    run = RunFolder("r")
    begin(run)
    run.verify_inputs()
    Path("occ.csv").write_text("else")
    assert run.changed_inputs() == ["occ.csv"]
    with pytest.raises(IntegrityError, match=r"occ\.csv") as caught:
        run.verify_inputs()
    assert caught.value.code == "IN104"
    Path("occ.csv").unlink()
    assert run.changed_inputs() == ["occ.csv"]


def test_inputs_of_a_hostile_record_are_not_read_endlessly(work):
    run = RunFolder("r")
    begin(run)
    run.update(inputs={"/dev/zero": "0" * 64, "a\0b": "0" * 64})
    assert len(run.changed_inputs()) == 2


@pytest.mark.parametrize(
    ("error", "status"),
    [(KeyboardInterrupt(), "interrupted"), (InterruptedRunError("ST102", "x", "full", "free"), "interrupted"),
     (ValueError("bug"), "failed")],
)  # fmt: skip
def test_closing_records_how_it_ended_and_lets_the_error_through(work, error, status):
    run = RunFolder("r")
    begin(run)
    with pytest.raises(type(error)), run.closing():
        raise error
    assert run.record["status"] == status
    assert begin(run) is True


def test_one_writer_at_a_time(work):
    run = RunFolder("r")

    def other():
        with RunFolder("r").lock():
            pass

    with run.lock(), ThreadPoolExecutor(1) as second, pytest.raises(InterruptedRunError) as caught:
        second.submit(other).result()
    assert caught.value.code == "ST103"
    with run.lock(), run.lock():  # the thread that holds it may ask again, as training inside a fit does
        assert (run.path / ".lock").exists()
    assert not (run.path / ".lock").exists()
    assert begin(run) is False


def test_scores_round_trip_with_nan(work):
    run = RunFolder("r")
    begin(run)
    run.write_scores(
        Scores({"AUC": Score(0.8, 0.7, 0.9, 5), "R2": Score(0.1)}, "blocks", [{"species": "a", "AUC": np.nan}])
    )
    back = run.read_scores()
    assert back is not None and back.metrics["AUC"] == Score(0.8, 0.7, 0.9, 5) and back.split == "blocks"
    assert np.isnan(back.metrics["R2"].low) and back.rows[0]["AUC"] is None
    assert run.record["metrics"]["AUC"]["value"] == 0.8
    run.scores_path.write_text('{"metrics": 3}')
    with pytest.raises(InputError):
        run.read_scores()
    assert RunFolder("none").read_scores() is None


def test_maps_are_noted_once_relative_to_the_folder(work):
    run = RunFolder("r")
    begin(run)
    run.add_map("r/map.tif", "one")
    run.add_map(work / "r/map.tif", "two")
    run.add_map("elsewhere/x.tif")
    assert run.record["maps"] == [{"path": "map.tif", "title": "two"}, {"path": "../elsewhere/x.tif", "title": "x"}]


@pytest.mark.parametrize(
    "command",
    [["rm", "-rf", "/"], ["ecotone"], ["ecotone", "replay", "run.json"], ["ecotone", "data", "get", "x"], [],
     ["ecotone", "fit", "a\nb"], ["ecotone", "fit", "x" * 5000], ["ecotone", "--debug", "fit"]],
)  # fmt: skip
def test_replay_gives_back_nothing_but_ecotone_verbs(work, command):
    run = RunFolder("r")
    begin(run)
    run.update(command=command)
    with pytest.raises(InputError) as caught:
        replay_command(run.record_path)
    assert caught.value.code == "IO103"


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{", b'{"system": 1}', b"\xff", b'{"a": NaN}', b"{" * 9999, b'{"a":1,"a":2}',
     json.dumps({"system": "a", "status": "odd", "command": [], "started": ""}).encode(),
     json.dumps({"system": "a", "status": "done", "command": [1], "started": ""}).encode(),
     json.dumps({"system": "a", "status": "done", "command": [], "started": "", "inputs": []}).encode()],
)  # fmt: skip
def test_a_damaged_record_is_one_line(work, content):
    path = Path("run.json")
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_record(path)
    assert caught.value.code == "IO102"


def test_a_missing_record(work):
    with pytest.raises(InputError) as caught:
        _ = RunFolder("r").record
    assert caught.value.code == "IO101"


def test_an_interrupted_write_leaves_the_old_record(work, monkeypatch):
    run = RunFolder("r")
    begin(run)
    before = run.record_path.read_bytes()

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(EcotoneError) as caught:
        run.finish()
    assert caught.value.code == "ST102" and run.record_path.read_bytes() == before


def test_nothing_is_warned_about(work):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run = RunFolder("r")
        begin(run)
        run.finish()
    assert run.record["status"] == "done"
