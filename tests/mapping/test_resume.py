"""Interrupted maps: what is kept, what goes on, what starts anew and says why."""

from __future__ import annotations

import os
import signal
import time
import warnings

import numpy as np
import pytest
import rasterio

from ecotone.data.rasters import RasterStack
from ecotone.errors import EcotoneWarning, InputError, IntegrityError, InterruptedRunError
from ecotone.mapping import journal as journals
from ecotone.mapping import layers as raw_layers
from ecotone.mapping import write
from ecotone.mapping.journal import Done, Journal
from ecotone.mapping.windows import make_map, plan_map

TAGS = {"ECOTONE_MODEL": "m1"}


class Stop(Exception):
    pass


@pytest.fixture
def stack(pair):
    return RasterStack.open(pair)


def stopping(after):
    """Progress that stops the map after some windows."""
    told = []

    def progress(done, total):
        told.append(done)
        if len(told) == after:
            raise Stop

    return progress


def interrupted(system, stack, out, after=3, **more):
    out.unlink(missing_ok=True)
    with pytest.raises(Stop):
        make_map(system, stack, out, window=30, progress=stopping(after), tags=TAGS, **more)
    work = out.with_name(f".{out.name}.work")
    assert not out.exists() and (work / "journal.txt").is_file() and not (work / ".lock").exists()
    return work


def finished(system, stack, out, **more):
    """(told, files, warnings) of a map made to its end."""
    told = []
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", EcotoneWarning)
        arguments = {"window": 30, "tags": TAGS, **more}
        files = make_map(system, stack, out, progress=lambda done, total: told.append((done, total)), **arguments)
    assert not list(out.parent.glob(".*"))
    return told, [f.read_bytes() for f in files], [w.message for w in said if isinstance(w.message, EcotoneWarning)]


def test_only_the_rest_is_done_and_the_bytes_are_the_same(tmp_path, stack, toys):
    whole = finished(toys.Sum(), stack, tmp_path / "whole.tif")[1]
    out = tmp_path / "m.tif"
    interrupted(toys.Sum(), stack, out)
    assert plan_map(toys.Sum(), stack, out, window=30, tags=TAGS).done == 3
    told, files, said = finished(toys.Sum(), stack, out)
    assert told == [(i, 9) for i in range(4, 10)] and files == whole and not said
    interrupted(toys.Sum(), stack, out)
    told, files, _ = finished(toys.Sum(), stack, out, memory="2GB", window=None)
    assert told[0] == (4, 9) and files == whole, "the windows begun with are kept"
    interrupted(toys.Sum(), stack, out)
    told, files, said = finished(toys.Sum(), stack, out, resume=False)
    assert len(told) == 9 and files == whole and not said


@pytest.mark.parametrize("change", ["model", "raster", "options", "version", "tags", "grid"])
def test_a_change_starts_anew_and_is_named(tmp_path, stack, pair, toys, change, monkeypatch, write_raster, holed):
    out = tmp_path / "m.tif"
    interrupted(toys.Sum(), stack, out)
    more = {}
    if change == "model":
        more["tags"] = {"ECOTONE_MODEL": "m2"}
    elif change == "tags":
        more["tags"] = {**TAGS, "NOTE": "x"}
    elif change == "raster":
        stack = RasterStack.open([write_raster(pair[0], holed((70, 90), 5)), pair[1]])
    elif change == "options":
        more["ask"] = {"scale": 3.0}
    elif change == "version":
        monkeypatch.setattr("ecotone.mapping.inputs.__version__", "99")
    else:
        stack = RasterStack.open(pair[::-1])
    told, files, said = finished(toys.Sum(), stack, out, **more)
    named = {"raster": "a.tif", "options": "options (scale)", "version": "ecotone version", "grid": "covariates"}
    if change == "grid":  # the covariates are picked by name, in the model's order: nothing changed
        assert not said and told[0] == (4, 9)
        return
    assert [w.code for w in said] == ["ST105"] and named.get(change, change) in str(said[0]) and len(told) == 9
    whole = finished(toys.Sum(), stack, tmp_path / "whole.tif", **more)[1]
    assert files == whole or change == "version"


def test_rasters_in_another_place_or_touched_only(tmp_path, stack, pair, toys):
    out = tmp_path / "m.tif"
    interrupted(toys.Sum(), stack, out)
    os.utime(pair[0], (1, 1))
    told, _, said = finished(toys.Sum(), RasterStack.open(pair), out)
    assert told[0] == (4, 9) and not said, "same content, same map"


def test_a_torn_journal_and_lost_layers_cost_their_windows_only(tmp_path, stack, toys):
    whole = finished(toys.Sum(), stack, tmp_path / "whole.tif")[1]
    out = tmp_path / "m.tif"
    work = interrupted(toys.Sum(), stack, out, after=5)
    lines = (work / "journal.txt").read_bytes()
    (work / "journal.txt").write_bytes(lines[:-7])  # the last line is torn
    with (work / "0.raw").open("r+b") as file:
        file.write(b"\xff" * 8)  # the first window is not what it was
    told, files, said = finished(toys.Sum(), stack, out)
    assert told[0] == (4, 9) and len(told) == 6 and files == whole and not said
    interrupted(toys.Sum(), stack, out, after=5)
    (work / "1.raw").unlink()
    told, files, _ = finished(toys.Sum(), stack, out)
    assert files == whole
    interrupted(toys.Sum(), stack, out, after=5)
    (work / "job.json").write_text("{")
    told, files, _ = finished(toys.Sum(), stack, out)
    assert len(told) == 9 and files == whole


def test_journal_lines(tmp_path):
    path = tmp_path / "journal.txt"
    journal = Journal(path)
    for i in range(4):
        journal.append(i, Done(10 * i, 7 + i))
    journal.close()
    content = path.read_bytes()
    for cut in range(len(content)):
        path.write_bytes(content[:cut])
        found = Journal(path)
        assert len(found.done) in (content[:cut].count(b"\n"), content[:cut].count(b"\n") + 1)
        found.append(9, Done(1, 2))
        found.close()
        again = Journal(path)
        assert again.done[9] == Done(1, 2) and len(again.done) == len(found.done) and not again.again
    path.write_bytes(content + content[: content.index(b"\n") + 1] + b"x y z 00000000\n\xff\n")
    assert Journal(path).again == [0] and len(Journal(path).done) == 4
    assert journals.read_job(tmp_path) is None


@pytest.mark.parametrize("renames", [0, 1])
def test_a_kill_between_two_renames_is_made_good(tmp_path, stack, toys, renames, monkeypatch):
    whole = finished(toys.Sum(), stack, tmp_path / "whole.tif")[1]
    out = tmp_path / "m.tif"
    real, count = write.Path.replace, []

    def replace(path, target):
        if path.name.endswith("packed.tif"):
            count.append(1)
            if len(count) > renames:
                raise Stop
        return real(path, target)

    monkeypatch.setattr(write.Path, "replace", replace)
    with pytest.raises(Stop):
        make_map(toys.Sum(), stack, out, window=30, tags=TAGS, progress=False)
    monkeypatch.undo()
    assert out.exists() == bool(renames) and not (tmp_path / "m.class.tif").exists()
    told, files, _ = finished(toys.Sum(), stack, out)
    assert told == [] and files == whole
    # an unfinished publication of another map is finished before the new map begins
    monkeypatch.setattr(write.Path, "replace", replace)
    count.clear()
    with pytest.raises(Stop):
        make_map(toys.Sum(), stack, out, window=30, tags=TAGS, progress=False)
    monkeypatch.undo()
    with pytest.raises(Stop), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        make_map(toys.Sum(), stack, out, window=30, tags={"ECOTONE_MODEL": "m2"}, progress=stopping(2))
    assert [out.read_bytes(), (tmp_path / "m.class.tif").read_bytes()] == whole


def test_without_a_name_of_the_model_nothing_is_kept(tmp_path, stack, toys):
    with pytest.raises(Stop):
        make_map(toys.Sum(), stack, tmp_path / "m.tif", window=30, progress=stopping(3))
    assert not list(tmp_path.glob(".*"))


def test_killed_by_signals_and_gone_on(tmp_path, pair, child, toys):
    out = tmp_path / "m.tif"
    given = {"rasters": pair, "map": {"out": out, "window": 30, "tags": TAGS}}
    (whole, _) = make_map(toys.Sum(), RasterStack.open(pair), tmp_path / "whole.tif",
                          tags=TAGS, progress=False)  # fmt: skip
    killed = child({**given, "kill_after": 2})
    assert killed.returncode == -signal.SIGKILL and not out.exists()
    slow = child({**given, "system": {"sleep_s": 0.3}}, wait=False)
    for line in slow.stdout:
        if line.startswith("done 4"):
            slow.send_signal(signal.SIGTERM)
            break
    assert slow.wait(timeout=30) != 0 and not out.exists()
    last = child(given)
    assert last.returncode == 0, last.err
    assert "done 2" not in last.out and last.out.count("done ") >= 1 and "9 9" in last.out
    assert out.read_bytes() == whole.read_bytes() and not list(tmp_path.glob(".*"))


def test_full_disk_midway_is_gone_on_with(tmp_path, stack, toys, monkeypatch):
    whole = finished(toys.Sum(), stack, tmp_path / "whole.tif")[1]
    out, real, count = tmp_path / "m.tif", os.pwrite, []

    def pwrite(handle, data, start):
        count.append(1)
        if len(count) > 200:
            raise OSError(28, "No space left on device")
        return real(handle, data[:64], start)  # and the system may write less than asked

    monkeypatch.setattr(raw_layers.os, "pwrite", pwrite)
    with pytest.raises(InterruptedRunError) as caught:
        make_map(toys.Sum(), stack, out, window=30, tags=TAGS, progress=False)
    assert caught.value.code == "ST102" and caught.value.exit_status == 6
    monkeypatch.undo()
    told, files, _ = finished(toys.Sum(), stack, out)
    assert 1 < told[0][0] < 9 and files == whole
    # full while the file is packed: no window is done again
    monkeypatch.setattr(write, "write_cog", lambda *a, **k: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(InterruptedRunError) as caught:
        make_map(toys.Sum(), stack, out, window=30, tags=TAGS, progress=False)
    assert caught.value.code == "ST102"
    monkeypatch.undo()
    told, files, _ = finished(toys.Sum(), stack, out)
    assert told == [] and files == whole


def test_a_raster_that_changes_or_vanishes_stops_the_map(tmp_path, stack, pair, toys, monkeypatch):
    monkeypatch.setattr("ecotone.mapping.run._CHECK_S", 0.0)
    out, told, content = tmp_path / "m.tif", [], pair[1].read_bytes()

    def vanish(done, total):
        told.append(done)
        if done == 3:
            pair[1].unlink()

    with pytest.raises(InputError) as caught:
        make_map(toys.Sum(), stack, out, window=30, tags=TAGS, progress=vanish)
    assert caught.value.code == "IO101" and "b.tif: vanished" in str(caught.value) and 3 <= len(told) <= 4
    pair[1].write_bytes(content)
    told, _, said = finished(toys.Sum(), RasterStack.open(pair), out)
    assert told[0][0] > 3 and not said, "put back, the map goes on"

    def change(done, total):
        if done == 3:
            with rasterio.open(pair[1], "r+") as dataset:
                dataset.write(np.zeros((1, 70, 90), np.float32))

    with pytest.raises(IntegrityError) as caught:
        make_map(toys.Sum(), RasterStack.open(pair), out, window=30, tags=TAGS, progress=change)
    assert caught.value.code == "IN104" and "b.tif: changed" in str(caught.value)
    told, _, said = finished(toys.Sum(), RasterStack.open(pair), out)
    assert len(told) == 9 and [w.code for w in said] == ["ST105"] and "b.tif" in str(said[0])


def test_two_processes_on_one_output(tmp_path, pair, stack, toys, child):
    out = tmp_path / "m.tif"
    slow = child(
        {"rasters": pair, "map": {"out": out, "window": 30, "tags": TAGS}, "system": {"sleep_s": 0.4}}, wait=False
    )
    assert any(line.startswith("done 1 ") for line in slow.stdout)
    with pytest.raises(InterruptedRunError) as caught:
        make_map(toys.Sum(), stack, out, window=30, tags=TAGS, progress=False)
    assert caught.value.code == "ST103" and caught.value.exit_status == 6
    slow.kill()
    slow.wait()
    time.sleep(0.05)
    assert finished(toys.Sum(), stack, out)[0][0][0] > 1


def test_files_behind_a_vrt_count(tmp_path, pair, toys):
    inner, outer = tmp_path / "in.vrt", tmp_path / "a.vrt"
    for path, source in ((inner, pair[0]), (outer, inner)):
        path.write_text(
            '<VRTDataset rasterXSize="90" rasterYSize="70"><SRS>EPSG:4326</SRS>'
            "<GeoTransform>-10,0.5,0,10,0,-0.5</GeoTransform>"
            '<VRTRasterBand dataType="Float32" band="1"><NoDataValue>-9999</NoDataValue><SimpleSource>'
            f'<SourceFilename relativeToVRT="1">{source.name}</SourceFilename><SourceBand>1</SourceBand>'
            "</SimpleSource></VRTRasterBand></VRTDataset>"
        )
    out = tmp_path / "m.tif"
    stack = RasterStack.open([outer, pair[1]], allow_vrt=True)
    interrupted(toys.Sum(), stack, out)
    with rasterio.open(pair[0], "r+") as dataset:
        dataset.write(np.ones((1, 70, 90), np.float32))
    told, _, said = finished(toys.Sum(), RasterStack.open([outer, pair[1]], allow_vrt=True), out)
    assert len(told) == 9 and "a.tif" in str(said[0])


def test_large_rasters_are_known_by_samples(tmp_path, monkeypatch):
    from ecotone.mapping import inputs

    path = tmp_path / "a.bin"
    path.write_bytes(bytes(3 << 20))
    small = inputs.file_mark(path)
    os.utime(path, (5, 5))
    assert inputs.file_mark(path) == small
    monkeypatch.setattr(inputs, "WHOLE_BYTES", 1 << 20)
    large = inputs.file_mark(path)
    assert inputs.file_mark(path) == large != small
    with path.open("r+b") as file:
        file.seek(-10, 2)
        file.write(b"x")
    os.utime(path, (5, 5))
    assert inputs.file_mark(path) != large
