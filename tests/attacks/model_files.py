"""Makes hostile model folders. Generators, not stored binaries: each says what it attacks.

`ATTACKS` maps a name to (function that damages a good folder, error code it must be refused with).
"""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ecotone.files.model_folder import write_model

SYSTEM = "deepmaxent"
LIMITS = {"units": 4096, "hidden": 4096, "layers": 64}


def good_folder(folder: Path) -> Path:
    """A small, whole model."""
    write_model(
        folder,
        system=SYSTEM,
        config={"hidden": [4], "layers": 1},
        tensors={"w": np.arange(12, dtype=np.float32).reshape(3, 4), "b": np.zeros(4, np.float32)},
        preprocessing={"covariates": ["bio1", "bio2", "bio3"]},
        card="# A model\n",
    )
    return folder


def shapes(config: dict, preprocessing: dict) -> dict[str, tuple[int, ...]]:
    """What that model's tensors must be."""
    return {"w": (len(preprocessing["covariates"]), config["hidden"][0]), "b": (config["hidden"][0],)}


def raw_safetensors(path: Path, header: object, data: bytes = b"", *, length: int | None = None) -> None:
    """A safetensors file with any header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + data)


def _entry(shape: list, low: int, high: int, dtype: str = "F32") -> dict:
    return {"dtype": dtype, "shape": shape, "data_offsets": [low, high]}


class _Boom:
    def __reduce__(self):
        return os.mkdir, ("pickle-was-run",)


def _pickle(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(pickle.dumps(_Boom()))


def _old_pickle(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(pickle.dumps(_Boom(), protocol=0))


def _torch_zip(folder: Path) -> None:
    with zipfile.ZipFile(folder / "model.safetensors", "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(_Boom()))


def _weights(header: object, data: bytes = b"", **more: int) -> Callable[[Path], None]:
    return lambda folder: raw_safetensors(folder / "model.safetensors", header, data, **more)


def _header_bomb(folder: Path) -> None:
    text = b'{"w": [' + b"[]," * 3_000_000 + b"[]]}"
    raw_safetensors(folder / "model.safetensors", text)


def _sparse_bomb(folder: Path) -> None:
    size = 1 << 40
    text = json.dumps({"w": _entry([size // 4], 0, size)}).encode()
    with (folder / "model.safetensors").open("wb") as handle:
        handle.write(len(text).to_bytes(8, "little") + text)
        handle.truncate(8 + len(text) + size)


def _config(change: dict) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = folder / "config.json"
        content = json.loads(path.read_text())
        content["config"].update(change.get("config", {}))
        content.update({k: v for k, v in change.items() if k != "config"})
        path.write_text(json.dumps(content))

    return damage


def _write(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(content) and None


def _link_out(name: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        outside = folder.parent / f"outside-{name}"
        (folder / name).rename(outside)
        (folder / name).symlink_to(outside)

    return damage


def _fifo(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    os.mkfifo(folder / "model.safetensors")


def _folder_as_file(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").mkdir()


def _nan(folder: Path) -> None:
    values = np.arange(16, dtype=np.float32)
    values[5] = np.nan
    header = {"b": _entry([4], 0, 16), "w": _entry([3, 4], 16, 64)}
    raw_safetensors(folder / "model.safetensors", header, values.tobytes())


def _remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


_DATA = np.zeros(16, np.float32).tobytes()
_GOOD = {"b": _entry([4], 0, 16), "w": _entry([3, 4], 16, 64)}

ATTACKS: dict[str, tuple[Callable[[Path], None], str]] = {
    "pickle renamed": (_pickle, "IN101"),
    "old pickle renamed": (_old_pickle, "IN101"),
    "torch checkpoint renamed": (_torch_zip, "IN101"),
    "empty weights": (_write("model.safetensors", b""), "IN101"),
    "header bomb": (_header_bomb, "IN101"),
    "header longer than the limit": (_weights(b"{}", b"x" * 64, length=1 << 62), "IN101"),
    "header not JSON": (_weights(b"{'w': 1}   ", _DATA), "IN101"),
    "header a list": (_weights([], _DATA), "IN101"),
    "header deep": (_weights(b'{"w":' * 5000 + b"1" + b"}" * 5000), "IN101"),
    "header repeats a name": (
        _weights(b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"w":{}}', _DATA),
        "IN101",
    ),
    "overlapping offsets": (_weights({"b": _entry([4], 0, 16), "w": _entry([3, 4], 8, 56)}, _DATA), "IN101"),
    "hole between tensors": (_weights({"b": _entry([4], 0, 16), "w": _entry([2, 4], 32, 64)}, _DATA), "IN101"),
    "huge shape": (_weights({**_GOOD, "w": _entry([1 << 40, 1 << 40], 16, 64)}, _DATA), "IN101"),
    "negative shape": (_weights({**_GOOD, "w": _entry([-3, -4], 16, 64)}, _DATA), "IN101"),
    "text as shape": (_weights({**_GOOD, "w": _entry(["3", 4], 16, 64)}, _DATA), "IN101"),
    "shape and bytes disagree": (_weights({**_GOOD, "w": _entry([3, 5], 16, 64)}, _DATA), "IN101"),
    "unknown dtype": (_weights({**_GOOD, "w": _entry([3, 4], 16, 64, "OBJECT")}, _DATA), "IN101"),
    "weights cut off": (_weights(_GOOD, _DATA[:-1]), "IN101"),
    "bytes after the weights": (_weights(_GOOD, _DATA + b"!"), "IN101"),
    "sparse terabyte": (_sparse_bomb, "IN101"),
    "NaN weights": (_nan, "IN101"),
    "missing tensor": (_weights({"w": _entry([3, 4], 0, 48)}, _DATA[:48]), "IN101"),
    "extra tensor": (_weights({**_GOOD, "z": _entry([1], 64, 68)}, _DATA + b"\0" * 4), "IN101"),
    "other shape": (_weights({"b": _entry([4], 0, 16), "w": _entry([4, 3], 16, 64)}, _DATA), "IN101"),
    "weights are a link out": (_link_out("model.safetensors"), "IN101"),
    "weights are a pipe": (_fifo, "IN101"),
    "weights are a folder": (_folder_as_file, "IN101"),
    "weights missing": (_remove("model.safetensors"), "IO101"),
    "config missing": (_remove("config.json"), "IO101"),
    "preprocessing missing": (_remove("preprocessing.json"), "IO101"),
    "path as class name": (_config({"system": "os:system"}), "IN102"),
    "file as class name": (_config({"system": "../../evil.py"}), "IN102"),
    "system a list": (_config({"system": ["deepmaxent"]}), "IN102"),
    "unknown top key": (_config({"auto_map": {"AutoModel": "evil.Model"}}), "IN102"),
    "10^9 units": (_config({"config": {"hidden": [1_000_000_000]}}), "IN102"),
    "10^9 units, hidden in a list": (_config({"config": {"hidden": [[4], [[10**9]]]}}), "IN102"),
    "infinite layers": (_config({"config": {"layers": 1e308 * 10}}), "IN102"),
    "config 1 MB": (_write("config.json", b'{"a": "' + b"x" * (1 << 20) + b'"}'), "IN102"),
    "config deep": (_write("config.json", b'{"config":' * 20_000 + b"1" + b"}" * 20_000), "IN102"),
    "config not UTF-8": (_write("config.json", b'{"system": "\xff\xfe"}'), "IN102"),
    "config a link out": (_link_out("config.json"), "IN102"),
    "preprocessing bomb": (_write("preprocessing.json", b"[" + b"[]," * 1_300_000 + b"[]]"), "IN102"),
    "preprocessing of another kind": (_write("preprocessing.json", b'{"covariates": 7}'), "IN102"),
}
