from __future__ import annotations

import errno
import json
import os
import time
from pathlib import Path

import numpy as np
import pytest

from ecotone.errors import EcotoneError
from ecotone.files import atomic
from ecotone.files.atomic import atomic_path, jsonable, make_folder, sweep_partials, write_bytes, write_json, write_text


@pytest.fixture
def old(tmp_path) -> Path:
    path = tmp_path / "a.json"
    path.write_text("old")
    return path


def refuse(number: int):
    def fail(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize(
    ("number", "code", "status"),
    [(errno.ENOSPC, "ST102", 6), (errno.EDQUOT, "ST102", 6), (errno.EIO, "ST104", 6), (errno.EROFS, "IO104", 3),
     (errno.EACCES, "IO104", 3), (errno.EPERM, "IO104", 3)],
)  # fmt: skip
@pytest.mark.parametrize("step", ["write_bytes", "fsync", "replace"])
def test_a_fault_at_any_step_leaves_the_old_file_whole_and_no_rest(old, monkeypatch, number, code, status, step):
    if step == "fsync":
        monkeypatch.setattr(atomic, "fsync_path", refuse(number))
    else:
        monkeypatch.setattr(Path, step, refuse(number))
    with pytest.raises(EcotoneError) as caught:
        write_bytes(old, b"new")
    assert (caught.value.code, caught.value.exit_status) == (code, status)
    assert old.read_text() == "old" and [p.name for p in old.parent.iterdir()] == ["a.json"]


def test_any_exception_in_the_block_leaves_the_old_file(old):
    with pytest.raises(KeyboardInterrupt), atomic_path(old) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert old.read_text() == "old" and [p.name for p in old.parent.iterdir()] == ["a.json"]


def test_the_new_file_replaces_the_old_and_keeps_the_ending_meanwhile(old):
    with atomic_path(old) as temporary:
        assert temporary.suffix == ".json" and temporary.parent == old.parent and atomic.PARTIAL in temporary.name
        temporary.write_text("new")
        assert old.read_text() == "old"
    assert old.read_text() == "new"


def test_permissions_follow_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "x", "x")
    finally:
        os.umask(before)
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o640


def test_folders_in_the_way(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "inner"):
        with pytest.raises(EcotoneError) as caught:
            make_folder(path)
        assert caught.value.code == "IO104"
    with pytest.raises(EcotoneError) as caught:
        write_text(tmp_path, "a folder is here")
    assert caught.value.code == "IO104"
    monkeypatch.setattr(Path, "mkdir", refuse(errno.EROFS))
    with pytest.raises(EcotoneError) as caught:
        make_folder(tmp_path / "new")
    assert caught.value.code == "IO104"


def test_text_and_json_are_exact(tmp_path):
    write_text(tmp_path / "t", "é\n")
    assert (tmp_path / "t").read_bytes() == "é\n".encode()
    content = {
        "b": 0.1,
        "a": np.float32(0.5),
        "n": np.nan,
        "i": np.int64(3),
        "l": np.arange(2),
        "p": Path("x/y"),
        "t": (1,),
    }
    write_json(tmp_path / "j", content)
    back = json.loads((tmp_path / "j").read_text())
    assert back == {"b": 0.1, "a": 0.5, "n": None, "i": 3, "l": [0, 1], "p": "x/y", "t": [1]}
    assert list(back) == list(content)
    assert jsonable([np.inf, {"x": -np.inf}, np.array([np.nan])]) == [None, {"x": None}, [None]]


def test_only_old_leftovers_are_swept(tmp_path):
    stale, fresh, other = tmp_path / ".a.1.partial.json", tmp_path / ".b.2.partial.json", tmp_path / "a.json"
    for path in (stale, fresh, other):
        path.write_text("")
    os.utime(stale, (time.time() - 7200,) * 2)
    os.utime(other, (time.time() - 7200,) * 2)
    assert sweep_partials(tmp_path) == [stale]
    assert sorted(p.name for p in tmp_path.iterdir()) == [".b.2.partial.json", "a.json"]
