import errno
import json
import os
import stat
import warnings
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

import ecotone.files.atomic as atomic
from ecotone.errors import EcotoneWarning, IntegrityError, InterruptedRunError, UsageError
from ecotone.train.checkpoint import Checkpoint, Shelf, check_settings, read_checkpoint, settings_of, write_checkpoint
from ecotone.train.state import load_module, module_tensors, pack, unpack

TYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16]
TYPES += [torch.int8, torch.uint8, torch.bool]


def made(step: int, best: int | None = None) -> Checkpoint:
    tensors = {f"model/{i}": (torch.arange(i * 3) + step).to(kind).reshape(i, 3) for i, kind in enumerate(TYPES)}
    tensors["scalar"] = torch.tensor(float("inf"))
    return Checkpoint(tensors, {"step": step, "best": None if best is None else {"step": best}})


def assert_same(one: Checkpoint, two: Checkpoint) -> None:
    assert one.state == two.state
    assert one.tensors.keys() == two.tensors.keys()
    for name, tensor in one.tensors.items():
        assert tensor.dtype == two.tensors[name].dtype
        assert torch.equal(tensor, two.tensors[name])


def test_write_then_read_is_exact_and_the_library_agrees(tmp_path):
    path = tmp_path / "c.safetensors"
    write_checkpoint(path, made(7))
    assert_same(read_checkpoint(path), made(7))
    theirs = load_file(path)
    assert all(torch.equal(theirs[name], tensor) for name, tensor in made(7).tensors.items())
    again = tmp_path / "again.safetensors"
    write_checkpoint(again, made(7))
    assert again.read_bytes() == path.read_bytes()


def test_permissions_follow_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        write_checkpoint(tmp_path / "c.safetensors", made(1))
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "c.safetensors").stat().st_mode) == 0o640


def test_every_truncation_and_byte_flip_is_noticed(tmp_path):
    path = tmp_path / "c.safetensors"
    write_checkpoint(path, made(3))
    good = path.read_bytes()
    broken = [good[:cut] for cut in (0, 1, 7, 8, 9, len(good) // 2, len(good) - 1)] + [good + b"x"]
    step = max(1, len(good) // 150)
    broken += [good[:i] + bytes([good[i] ^ 0x15]) + good[i + 1 :] for i in range(0, len(good), step)]
    for content in broken:
        path.write_bytes(content)
        try:
            found = read_checkpoint(path)
        except IntegrityError as error:
            assert error.code == "IN101"
        else:
            assert_same(found, made(3))  # a flip in padding or spelling that changes nothing


class Failing:
    """A file whose k-th write fails, after half of it got through."""

    calls = 0

    def __init__(self, file, at, code):
        self.file, self.at, self.code = file, at, code

    def __enter__(self):
        return self

    def __exit__(self, *problem):
        self.file.close()

    def write(self, data):
        Failing.calls += 1
        if Failing.calls == self.at:
            self.file.write(bytes(data)[: len(data) // 2])
            raise OSError(self.code, os.strerror(self.code))
        return self.file.write(data)


@pytest.mark.parametrize(("code", "word"), [(errno.ENOSPC, "ST102"), (errno.EIO, "ST104")])
def test_a_failed_write_never_loses_the_previous_checkpoint(tmp_path, monkeypatch, code, word):
    shelf = Shelf(tmp_path, keep=2)
    shelf.put(made(1))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    really = Path.open
    failures = 0
    for at in range(1, 100):
        Failing.calls = 0

        def opened(path, mode="r", *rest, at=at, **more):
            file = really(path, mode, *rest, **more)
            return Failing(file, at, code) if "w" in mode else file

        with monkeypatch.context() as patch:
            patch.setattr(Path, "open", opened)
            try:
                shelf.put(made(2))
            except InterruptedRunError as error:
                assert error.code == word
                if word == "ST102":
                    assert "bytes" in error.what
                failures += 1
            else:
                break
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
        assert_same(Shelf(tmp_path).newest(), made(1))
    assert failures == len(made(2).tensors) + 1
    assert_same(Shelf(tmp_path).newest(), made(2))


@pytest.mark.parametrize("where", ["fsync", "replace"])
def test_a_failed_flush_or_rename_never_loses_the_previous_checkpoint(tmp_path, monkeypatch, where):
    shelf = Shelf(tmp_path)
    shelf.put(made(1))

    def fails(*arguments):
        raise OSError(errno.ENOSPC, "no space")

    with monkeypatch.context() as patch:
        patch.setattr(*((atomic.os, "fsync", fails) if where == "fsync" else (Path, "replace", fails)))
        with pytest.raises(InterruptedRunError):
            shelf.put(made(2))
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000001.safetensors"]
    assert_same(Shelf(tmp_path).newest(), made(1))


def test_what_does_not_read_back_does_not_replace(tmp_path, monkeypatch):
    path = tmp_path / "c.safetensors"
    write_checkpoint(path, made(1))
    really = Path.open

    class Lossy:
        def __init__(self, file):
            self.file = file

        def __enter__(self):
            return self

        def __exit__(self, *problem):
            self.file.close()

        def write(self, data):
            return self.file.write(bytes(len(data)))

    with monkeypatch.context() as patch:
        patch.setattr(
            Path, "open", lambda p, mode="r", *a: Lossy(really(p, mode, *a)) if "w" in mode else really(p, mode, *a)
        )
        with pytest.raises(IntegrityError):
            write_checkpoint(path, made(2))
    assert_same(read_checkpoint(path), made(1))


def names(folder):
    return sorted(path.name[: path.name.index(".")] for path in folder.iterdir())


def test_the_last_two_and_the_best_stay(tmp_path):
    shelf = Shelf(tmp_path, keep=2)
    shelf.put(made(10))
    shelf.put(made(20, best=15), made(15))
    assert names(tmp_path) == ["best-000000015", "step-000000010", "step-000000020"]
    shelf.put(made(30, best=25), made(25))
    assert names(tmp_path) == ["best-000000015", "best-000000025", "step-000000020", "step-000000030"]
    again = Shelf(tmp_path, keep=2)
    assert again.newest().step == 30
    again.put(made(40, best=25), made(25))
    assert names(tmp_path) == ["best-000000025", "step-000000030", "step-000000040"]


def test_a_damaged_newest_checkpoint_is_set_aside(tmp_path):
    shelf = Shelf(tmp_path)
    shelf.put(made(1))
    newest = shelf.put(made(2))
    newest.write_bytes(newest.read_bytes()[:-1])
    with pytest.warns(EcotoneWarning, match="set aside") as caught:
        found = Shelf(tmp_path).newest()
    assert caught[0].message.code == "IN101"
    assert_same(found, made(1))
    assert newest.with_name(newest.name + ".damaged").exists()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Shelf(tmp_path).newest().step == 1


def test_when_all_are_damaged_nothing_is_started_anew_silently(tmp_path):
    path = Shelf(tmp_path).put(made(1))
    path.write_bytes(b"")
    with pytest.warns(EcotoneWarning), pytest.raises(IntegrityError) as caught:
        Shelf(tmp_path).newest()
    assert caught.value.code == "IN101"


def test_stale_partials_are_swept(tmp_path):
    (tmp_path / ".step-000000009.4711.partial.safetensors").write_bytes(b"half")
    assert Shelf(tmp_path).newest() is None
    assert not list(tmp_path.iterdir())


nested = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.integers(-5, 5) | st.text(max_size=3), inner, max_size=3)
        | st.tuples(inner, inner)
    ),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None)
@given(nested)
def test_nested_state_comes_back(value):
    tensors = {}
    text = json.dumps(pack({"x": value, "t": [torch.ones(2)]}, "s", tensors))
    back = unpack(json.loads(text), tensors)
    assert back["x"] == value
    assert type(back["x"]) is type(value)
    assert torch.equal(back["t"][0], torch.ones(2))


def test_what_cannot_be_stored_is_refused():
    for value in ({"a": object()}, {(1, 2): 3}):
        with pytest.raises(UsageError):
            pack(value, "s", {})
    with pytest.raises(IntegrityError):
        unpack({"call": "me"}, {})


def test_a_model_of_other_shape_is_refused_before_anything_is_copied():
    small, large = torch.nn.Linear(2, 2), torch.nn.Linear(3, 2)
    before = module_tensors(large)
    with pytest.raises(IntegrityError, match="weight"):
        load_module(large, module_tensors(small), "here")
    assert all(torch.equal(before[k], v) for k, v in module_tensors(large).items())


def test_the_diff_of_settings_names_the_keys():
    old = settings_of({"lr": 0.1, "data": {"sha256": "a" * 64}, "gone": 1})
    new = settings_of({"lr": 0.01, "data": {"sha256": "b" * 64}})
    with pytest.raises(IntegrityError) as caught:
        check_settings(old, new, (), "runs/x")
    line = str(caught.value)
    assert caught.value.code == "IN103"
    assert "lr: 0.1 -> 0.01" in line and "data.sha256: aaa" in line and "gone: 1 -> absent" in line
    check_settings(old, new, ("lr", "data.sha256", "gone"), "runs/x")
    assert settings_of("abc") == {"fingerprint": "abc"}
