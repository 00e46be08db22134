"""Run folders over time: taken, interrupted, killed, full disks, replayed, and two processes that want one."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

FINE = ("--categorical", "rock")


def status(run):
    return json.loads((run / "run.json").read_text())["status"]


def model(run):
    return (run / "model.safetensors").read_bytes()


# ------------------------------------------------------------------------------------------------ folders
@pytest.mark.usefixtures("no_report")
class TestFolders:
    def test_a_finished_run_holds_no_checkpoints_and_is_repeated_in_full(self, world, ecotone, run):
        before = model(run), (run / "metrics.csv").read_bytes()
        assert not (run / "checkpoints").exists() and status(run) == "done"
        (run / "model.safetensors").unlink()
        assert ecotone(*world.fit(run, *FINE)).status == 0
        assert (model(run), (run / "metrics.csv").read_bytes()) == before

    @pytest.mark.parametrize(
        "more",
        [("--epochs", "3"), ("--seed", "1"), ("--background-cells", "400"), ("--only-species", "Simulata prima")],
    )
    def test_another_run_does_not_take_the_folder(self, world, ecotone, run, more):
        before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}
        ended = ecotone(*world.fit(run, *FINE, *more))
        assert (ended.status, ended.error) == (2, "US106")
        assert more[0].strip("-").replace("-", "_") in ended.err
        assert {p: p.read_bytes() for p in run.rglob("*") if p.is_file()} == before

    def test_other_records_do_not_take_the_folder(self, world, ecotone, run, tmp_path):
        records = world.table(tmp_path / "points.csv", lambda t: t.iloc[1:])
        ended = ecotone(*world.fit(run, *FINE, records=records))
        assert (ended.status, ended.error) == (2, "US106") and "inputs" in ended.err

    def test_foreign_folders_and_files_are_left_alone(self, world, ecotone, tmp_path):
        folder = tmp_path / "thesis"
        folder.mkdir()
        (folder / "chapter1.txt").write_text("years of work")
        ended = ecotone(*world.fit(folder))
        assert (ended.status, ended.error) == (2, "US106")
        assert [p.name for p in folder.iterdir()] == ["chapter1.txt"]
        for place in (folder / "chapter1.txt", folder / "chapter1.txt" / "run"):
            ended = ecotone(*world.fit(place))
            assert (ended.status, ended.error) == (3, "IO104")
        assert (folder / "chapter1.txt").read_text() == "years of work"

    def test_an_empty_folder_is_taken(self, world, ecotone, tmp_path):
        (tmp_path / "run").mkdir()
        assert ecotone(*world.fit(tmp_path / "run", *FINE)).status == 0

    @pytest.mark.parametrize("verb", ["map", "predict", "explain", "evaluate"])
    def test_places_where_nothing_can_be_written(self, world, ecotone, run, tmp_path, verb):
        (tmp_path / "file").write_text("x")
        words = ["--points", world.surveys] if verb in ("predict", "evaluate") else []
        name = {"map": "m.tif", "explain": "evidence"}.get(verb, "t.csv")
        before = (run / "scores.json").read_bytes()
        ended = ecotone(verb, run, *words, "--out", tmp_path / "file" / name)
        assert (ended.status, ended.error) == (3, "IO104")
        assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "run"]
        assert (run / "scores.json").read_bytes() == before


# ------------------------------------------------------------------------------------------------ disks
class FullDisk:
    """`os.fsync` that fails from the n-th call on."""

    def __init__(self, allowed, number=errno.ENOSPC):
        self.allowed, self.number, self.calls = allowed, number, 0

    def __call__(self, handle):
        self.calls += 1
        if self.calls > self.allowed:
            raise OSError(self.number, os.strerror(self.number))


@pytest.mark.usefixtures("no_report")
class TestDisks:
    def test_a_disk_that_fills_up_at_any_write_of_a_fit(self, world, ecotone, tmp_path, monkeypatch, fitted):
        counting = FullDisk(10**9)
        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", counting)
            assert ecotone(*world.fit(tmp_path / "whole", *FINE)).status == 0
        for allowed in sorted({0, 1, 3, 6, 10, counting.calls // 2, counting.calls - 2}):
            out = tmp_path / f"run{allowed}"
            with monkeypatch.context() as patched:
                patched.setattr(os, "fsync", FullDisk(allowed))
                ended = ecotone(*world.fit(out, *FINE))
            assert (ended.status, ended.error) == (6, "ST102"), (allowed, ended.err)
            left = [p.name for p in out.rglob("*")] if out.exists() else []
            assert not [name for name in left if ".partial" in name], (allowed, left)
            assert ecotone(*world.fit(out, *FINE)).status == 0, allowed
            assert model(out) == model(fitted)

    @pytest.mark.parametrize(("number", "code"), [(errno.ENOSPC, "ST102"), (errno.EIO, "ST104")])
    def test_a_map_that_cannot_be_written_leaves_the_old_one(
        self, ecotone, fitted, tmp_path, monkeypatch, number, code
    ):
        out = tmp_path / "map.tif"
        out.write_text("the old map")
        monkeypatch.setattr(os, "fsync", FullDisk(0, number))
        ended = ecotone("map", fitted, "--out", out)
        assert (ended.status, ended.error) == (6, code)
        assert [p.name for p in tmp_path.iterdir()] == ["map.tif"] and out.read_text() == "the old map"

    def test_answers_that_cannot_be_written_leave_the_old_ones(self, world, ecotone, fitted, tmp_path, monkeypatch):
        out = tmp_path / "answers.csv"
        out.write_text("the old table")
        monkeypatch.setattr(os, "fsync", FullDisk(0))
        ended = ecotone("predict", fitted, "--points", world.surveys, "--out", out)
        assert (ended.status, ended.error) == (6, "ST102")
        assert [p.name for p in tmp_path.iterdir()] == ["answers.csv"] and out.read_text() == "the old table"


# ------------------------------------------------------------------------------------------------ interruptions
def waits_for(run, pattern, process, seconds=120.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        if list(run.glob(pattern)):
            return
        time.sleep(0.01)
    raise AssertionError(process.communicate())


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX systems")
def test_an_interrupted_fit_goes_on_and_ends_in_the_same_bits(world, ecotone, tmp_path, monkeypatch):
    """Stopped politely, then killed, meanwhile wanted by a second process, then left to end."""
    monkeypatch.setattr("ecotone.cli.fit._report", lambda folder: 0.0)
    monkeypatch.setattr("ecotone.cli.fit.score_and_explain", lambda *_, **__: {})
    out, whole = tmp_path / "run", tmp_path / "whole"
    more = [*FINE, "--epochs", "30", "--background", "target_group"]
    words = [str(w) for w in world.fit(out, *more)]
    assert ecotone(*world.fit(whole, *more)).status == 0

    def start():
        script = str(Path(__file__).with_name("slow_fit.py"))
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen([sys.executable, script, *words], env={**os.environ, "OMP_NUM_THREADS": "1"}, **pipes)

    process = start()
    waits_for(out, "checkpoints/step-*.safetensors", process)
    for taken in (words, [*words, "--seed", "3"]):
        ended = ecotone(*taken)
        assert (ended.status, ended.error) == (6, "ST103") and f"process {process.pid} on" in ended.err
    assert status(out) == "running"
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 6
    last = err.splitlines()[-1]
    assert last.startswith(f"error[ST101]: {out}: SIGTERM after ")
    assert last.endswith("run the same command again to go on")
    assert status(out) == "interrupted" and not (out / ".lock").exists()
    assert not (out / "model.safetensors").exists()
    ended = ecotone("map", out, "--out", tmp_path / "m.tif")
    assert (ended.status, ended.error) == (3, "IO101")
    ended = ecotone(*words, "--seed", "3")
    assert (ended.status, ended.error) == (2, "US106")

    done = sorted(out.glob("checkpoints/step-*"))[-1]
    process = start()
    waits_for(out, f"checkpoints/step-{int(done.stem[5:]) // 5 * 5 + 10:09d}*", process)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL and status(out) == "running" and (out / ".lock").exists()

    ended = ecotone(*words)
    assert ended.status == 0, ended.err
    assert model(out) == model(whole) and (out / "metrics.csv").read_bytes() == (whole / "metrics.csv").read_bytes()
    assert status(out) == "done" and not (out / ".lock").exists() and not (out / "checkpoints").exists()


def test_ctrl_c_while_scores_are_made_keeps_the_training(world, ecotone, tmp_path, monkeypatch):
    from ecotone.errors import InterruptedRunError

    def stopped(*_, **__):
        raise InterruptedRunError("ST101", "cross-validation", "SIGINT after 3 of 9 steps", "nothing was saved")

    monkeypatch.setattr("ecotone.cli.fit._report", lambda folder: 0.0)
    with monkeypatch.context() as patched:
        patched.setattr("ecotone.cli.fit.score_and_explain", stopped)
        ended = ecotone(*world.fit(tmp_path / "run", *FINE))
    assert (ended.status, ended.error) == (6, "ST101") and "the training is saved" in ended.err
    assert status(tmp_path / "run") == "interrupted"
    before = model(tmp_path / "run")
    assert ecotone(*world.fit(tmp_path / "run", *FINE)).status == 0
    assert model(tmp_path / "run") == before and status(tmp_path / "run") == "done"


# ------------------------------------------------------------------------------------------------ replay
@pytest.mark.usefixtures("no_report")
class TestReplay:
    def test_a_run_repeats_bit_for_bit(self, ecotone, run, tmp_path):
        for form in (run, run / "run.json"):
            again = tmp_path / f"again{form.suffix}"
            ended = ecotone("replay", form, "--out", again)
            assert ended.status == 0 and ended.out.startswith("replaying: ecotone fit deepmaxent ")
            assert model(again) == model(run)
            assert (again / "scores.json").read_bytes() == (run / "scores.json").read_bytes()

    def test_changed_inputs_are_refused(self, world, ecotone, tmp_path):
        records, out = tmp_path / "points.csv", tmp_path / "run"
        shutil.copy(world.records, records)
        assert ecotone(*world.fit(out, *FINE, records=records)).status == 0
        with records.open("a") as file:
            file.write("x,Simulata prima,-30.0,35.0,WGS84,100,HumanObservation,PRESENT\n")
        ended = ecotone("replay", out, "--out", tmp_path / "again")
        assert (ended.status, ended.error) == (5, "IN104") and "points.csv" in ended.err
        records.unlink()
        assert ecotone("replay", out, "--out", tmp_path / "again").error == "IN104"
        assert not (tmp_path / "again").exists()

    def test_a_record_cannot_start_other_programs(self, ecotone, run):
        record = json.loads((run / "run.json").read_text())
        for bad in (["sh", "-c", "touch x"], ["ecotone", "replay", "run.json"], ["ecotone", "fitt"], ["ecotone"]):
            (run / "run.json").write_text(json.dumps({**record, "command": bad}))
            ended = ecotone("replay", run)
            assert (ended.status, ended.error) == (3, "IO103")


# ------------------------------------------------------------------------------------------------ the rest
@pytest.mark.realdata
def test_a_missing_optional_package_is_status_4(ecotone, data_folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "elapid", None)
    monkeypatch.setenv("ECOTONE_DATA", str(data_folder))
    ended = ecotone("bench", "nceas", "--methods", "maxent", "--regions", "AWT")
    assert (ended.status, ended.error) == (4, "MD101") and "ecotone[bench]" in ended.err


def test_doctor_names_each_fault_and_its_mend(world, ecotone, tmp_path):
    ended = ecotone("doctor", world.records, world.covariates)
    assert ended.status == 0 and ended.out.splitlines()[-1] == "0 errors, 0 warnings"
    assert "pass --categorical rock" in ended.out and "Finding(" not in ended.out
    folder = world.rasters(tmp_path / "clim", "soil_ph", crs=None)
    (folder / "rock.tif").write_bytes(b"no raster")
    ended = ecotone("doctor", tmp_path / "none.csv", folder)
    assert ended.status == 3 and ended.out.splitlines()[-1].startswith("3 errors")
    for code in ("IO101", "IO102", "RA301"):
        assert f"error[{code}]" in ended.out
    assert "-> pass --raster-crs EPSG:4326" in ended.out
    assert "RA301" not in ecotone("doctor", folder, "--raster-crs", "EPSG:4326").out


def test_data_says_what_is_there(ecotone, tmp_path):
    listed = ecotone("data", "list")
    assert listed.status == 0 and "bradypus" in listed.out
    assert "ecotone data check bradypus" in ecotone("data", "get", "bradypus", "--folder", tmp_path).out
    ended = ecotone("data", "check", "bradypus", "--folder", tmp_path)
    assert (ended.status, ended.error) == (3, "IO101") and "missing: " in ended.out and "FileState" not in ended.out


@pytest.mark.realdata
def test_data_check_of_a_complete_set(ecotone, data_folder):
    ended = ecotone("data", "check", "bradypus", "--folder", data_folder)
    assert ended.status == 0 and ended.out.startswith("complete")
