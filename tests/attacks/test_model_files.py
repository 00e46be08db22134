from __future__ import annotations

import importlib.util
import time
import tracemalloc
from pathlib import Path

import pytest

from ecotone.errors import EcotoneError
from ecotone.files.model_folder import read_model

_spec = importlib.util.spec_from_file_location("attack_model_files", Path(__file__).with_name("model_files.py"))
assert _spec is not None and _spec.loader is not None
attacks = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(attacks)


def read(folder: Path):
    return read_model(folder, attacks.SYSTEM, limits=attacks.LIMITS, shapes=attacks.shapes)


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    yield
    assert list(work.iterdir()) == []


def test_the_folder_that_is_attacked_is_good(tmp_path):
    assert set(read(attacks.good_folder(tmp_path / "m")).tensors) == {"w", "b"}


@pytest.mark.parametrize("name", attacks.ATTACKS)
def test_attack_is_refused_quickly_in_little_memory_and_leaves_nothing(name, tmp_path):
    damage, code = attacks.ATTACKS[name]
    folder = attacks.good_folder(tmp_path / "m")
    damage(folder)
    before = sorted(p.name for p in folder.iterdir())
    tracemalloc.start()
    start = time.perf_counter()
    try:
        with pytest.raises(EcotoneError) as caught:
            read(folder)
        took, peak = time.perf_counter() - start, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert caught.value.code == code
    assert took < 1.0 and peak < 200e6
    assert sorted(p.name for p in folder.iterdir()) == before
    assert len(str(caught.value)) < 600 and "\n" not in str(caught.value)


def test_a_pickle_is_called_a_pickle(tmp_path):
    folder = attacks.good_folder(tmp_path / "m")
    attacks.ATTACKS["pickle renamed"][0](folder)
    with pytest.raises(EcotoneError, match=r"not a safetensors file \(looks like a pickle\)"):
        read(folder)


def test_a_link_inside_the_folder_is_fine(tmp_path):
    folder = attacks.good_folder(tmp_path / "m")
    (folder / "config.json").rename(folder / "real.json")
    (folder / "config.json").symlink_to("real.json")
    assert read(folder).config["layers"] == 1


def test_every_truncation_and_byte_flip_is_refused_or_harmless(tmp_path):
    folder = attacks.good_folder(tmp_path / "m")
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    for cut in range(0, len(whole), 7):
        path.write_bytes(whole[:cut])
        with pytest.raises(EcotoneError):
            read(folder)
    for i in range(0, len(whole), 5):
        path.write_bytes(whole[:i] + bytes([whole[i] ^ 0xFF]) + whole[i + 1 :])
        try:
            model = read(folder)
        except EcotoneError:
            continue
        assert {k: v.shape for k, v in model.tensors.items()} == {"w": (3, 4), "b": (4,)}
