"""A model on disk: model.safetensors, config.json, preprocessing.json and card.md, readable from strangers.

Nothing here runs code from a file. Sizes, structure and links are checked before anything is allocated; what fails is
an `IntegrityError`. The bytes written depend on the content alone, so `model_id` names a model.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ecotone.contract import Options
from ecotone.errors import IntegrityError, UsageError
from ecotone.files.atomic import jsonable, make_folder, write_bytes, write_json, write_text
from ecotone.files.bounded import open_regular, parse_json, read_bounded, read_json, refuse

WEIGHTS, CONFIG, PREPROCESSING, CARD = "model.safetensors", "config.json", "preprocessing.json", "card.md"
MAX_HEADER = 10_000_000
MAX_CONFIG = 1 << 20
MAX_PREPROCESSING = 4 << 20
MAX_CARD = 1 << 20
MAX_WEIGHTS = 8 << 30
DTYPES = {"F64": 8, "F32": 4, "F16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
"""Element types read and written, with their bytes; bf16 has no numpy type, so weights are stored as F32."""

_FORMAT = 1
_CHUNK = 1 << 20
_NUMPY = {"float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint8", "bool"}
_LOOKS_LIKE = {
    b"\x80": "a pickle",
    b"PK\x03\x04": "a zip archive, such as a PyTorch checkpoint with pickles inside",
    b"\x89HDF": "an HDF5 file",
    b"(": "a pickle",
    b"c": "a pickle",
}

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class StoredModel:
    """What a model folder holds.

    Attributes:
        config: Settings of the system.
        tensors: Name -> array.
        preprocessing: Names, statistics and levels the model needs to read new data.
        card: The model card, Markdown; "" when there is none.
    """

    config: dict[str, Any]
    tensors: dict[str, np.ndarray]
    preprocessing: dict[str, Any]
    card: str = ""


def write_model(
    folder: str | Path,
    *,
    system: str,
    config: Mapping[str, Any],
    tensors: Mapping[str, np.ndarray],
    preprocessing: Mapping[str, Any],
    card: str,
) -> None:
    """Writes a model; equal content gives equal bytes. config.json comes last, so a folder that has it is whole.

    Raises:
        IntegrityError: IN101 when a tensor is not finite or of a type that is not stored, IN102 for too large a part.
        InputError: IO104 when the folder cannot be written.
    """
    from safetensors.numpy import save

    folder = make_folder(Path(folder))
    arrays: dict[str, np.ndarray] = {}
    for name in sorted(tensors):
        array = np.ascontiguousarray(tensors[name]).reshape(np.shape(tensors[name]))
        if array.dtype.name not in _NUMPY:
            raise IntegrityError("IN101", name, f"type {array.dtype} is not stored here", "convert it to float32")
        _require_finite(array, name, "the fit diverged; lower the learning rate")
        arrays[name] = array
    parts = {PREPROCESSING: (jsonable(dict(preprocessing)), MAX_PREPROCESSING)}
    parts[CONFIG] = ({"format": _FORMAT, "system": system, "config": jsonable(dict(config))}, MAX_CONFIG)
    for name, (content, limit) in parts.items():
        if len(json.dumps(content, indent=2, ensure_ascii=False).encode()) >= limit:
            raise IntegrityError("IN102", folder / name, f"more than {limit} bytes", "store arrays as tensors")
    write_bytes(folder / WEIGHTS, save(arrays))
    write_json(folder / PREPROCESSING, parts[PREPROCESSING][0])
    write_text(folder / CARD, card)
    write_json(folder / CONFIG, parts[CONFIG][0])


def read_model(
    folder: str | Path,
    system: str,
    *,
    options: type[Options] | None = None,
    limits: Mapping[str, float] | None = None,
    shapes: Shapes | Callable[[dict[str, Any], dict[str, Any]], Shapes] | None = None,
    max_bytes: int = MAX_WEIGHTS,
) -> StoredModel:
    """Reads a model folder that may come from a stranger.

    Args:
        folder: Where it is.
        system: The system that reads; another system's model is refused.
        options: The system's `Config`; unknown keys and bad values are refused with it.
        limits: Config key -> largest number allowed in it, lists and nested values included.
        shapes: Expected tensor name -> shape, or a function of (config, preprocessing) that gives them; checked against
            the file's header before any tensor is read.
        max_bytes: Largest weights file.

    Raises:
        InputError: IO101 when a file is missing.
        IntegrityError: IN101 for the weights, IN102 for config and preprocessing.
    """
    folder = Path(folder)
    if not folder.is_dir():
        refuse("IO101", folder, "no such model folder", "pass a folder written by `ecotone fit`")
    config = _read_config(folder, system, options, limits or {})
    preprocessing = read_json(folder / PREPROCESSING, MAX_PREPROCESSING, inside=folder)
    expected = _expected(folder, shapes, config, preprocessing)
    tensors = read_tensors(folder / WEIGHTS, inside=folder, shapes=expected, max_bytes=max_bytes)
    card = ""
    if (folder / CARD).exists():
        card = read_bounded(folder / CARD, MAX_CARD, inside=folder).decode("utf-8", errors="replace")
    return StoredModel(config, tensors, preprocessing, card)


def read_tensors(
    path: Path, *, inside: Path | None = None, shapes: Shapes | None = None, max_bytes: int = MAX_WEIGHTS
) -> dict[str, np.ndarray]:
    """All tensors of a safetensors file after `check_header`, each finite.

    Raises:
        InputError: IO101 when missing.
        IntegrityError: IN101.
    """
    from safetensors import SafetensorError, safe_open

    handle, size = open_regular(path, inside=inside)
    with handle:
        header = check_header(handle, size, path, max_bytes=max_bytes)
    found = {name: tuple(entry["shape"]) for name, entry in header.items()}
    if shapes is not None:
        _require_shapes(path, found, shapes)
    tensors: dict[str, np.ndarray] = {}
    try:
        with safe_open(str(path), framework="numpy") as stored:
            for name in sorted(found):
                tensors[name] = stored.get_tensor(name)
                _require_finite(tensors[name], f"{path}: {name}", "get the file again")
    except (SafetensorError, OSError, ValueError, TypeError) as error:
        refuse("IN101", path, f"cannot be read ({str(error)[:100]})", "get the file again")
    return tensors


def check_header(handle: BinaryIO, size: int, path: Path, *, max_bytes: int = MAX_WEIGHTS) -> dict[str, dict[str, Any]]:
    """Checks a safetensors header against the size of its file, reading at most `MAX_HEADER` bytes.

    The tensors must cover the data without gap or overlap, in known types, with shapes that give their number of bytes.

    Returns:
        Tensor name -> header entry.

    Raises:
        IntegrityError: IN101.
    """
    start = handle.read(8)
    length = int.from_bytes(start, "little") if len(start) == 8 else 0
    if not 2 <= length <= min(size - 8, MAX_HEADER):
        looks = next((what for magic, what in _LOOKS_LIKE.items() if start.startswith(magic)), "")
        what = f"not a safetensors file (looks like {looks})" if looks else "not a safetensors file, or truncated"
        refuse("IN101", path, what, "get the model again, as safetensors")
    if size > max_bytes:
        refuse(
            "IN101", path, f"{size} bytes, more than the {max_bytes} allowed", "raise the limit if you trust the file"
        )
    header = parse_json(handle.read(length), path, code="IN101")
    if not isinstance(header, dict):
        refuse("IN101", path, "header is not a JSON object")
    header.pop("__metadata__", None)
    spans = []
    for name, entry in header.items():
        problem = _entry_problem(name, entry)
        if problem:
            refuse("IN101", path, f"tensor {name[:60]!r}: {problem}", "get the file again")
        spans.append(tuple(entry["data_offsets"]))
    end = 0
    for low, high in sorted(spans):
        if low != end:
            refuse("IN101", path, "tensors overlap or leave holes", "get the file again")
        end = high
    if end != size - 8 - length:
        refuse(
            "IN101",
            path,
            f"header promises {end} bytes of weights, the file holds {size - 8 - length}",
            "get the file again",
        )
    return header


def model_hash(folder: str | Path) -> str:
    """sha256 over weights, config and preprocessing: equal models have equal hashes, whatever their card says.

    Raises:
        InputError: IO101 when a file is missing.
    """
    folder = Path(folder)
    digest = hashlib.sha256()
    for name in (CONFIG, PREPROCESSING, WEIGHTS):
        handle, size = open_regular(folder / name, inside=folder)
        digest.update(f"{name} {size};".encode())
        with handle:
            while chunk := handle.read(_CHUNK):
                digest.update(chunk)
    return digest.hexdigest()


def model_id(folder: str | Path) -> str:
    """The first 12 hexadecimal digits of `model_hash`."""
    return model_hash(folder)[:12]


def _read_config(
    folder: Path, system: str, options: type[Options] | None, limits: Mapping[str, float]
) -> dict[str, Any]:
    path = folder / CONFIG
    content = read_json(path, MAX_CONFIG, inside=folder)
    extra = sorted(set(content) - {"format", "system", "config"})
    if extra:
        refuse("IN102", path, f"unknown key {extra[0][:60]!r}")
    if content.get("format") != _FORMAT:
        refuse("IN102", path, f"format {str(content.get('format'))[:20]!r} is not read here", "update ecotone")
    if content.get("system") != system:
        refuse(
            "IN102",
            path,
            f"is a model of {str(content.get('system'))[:40]!r}, not of {system!r}",
            "use ecotone.load(folder)",
        )
    config = content.get("config")
    if not isinstance(config, dict):
        refuse("IN102", path, "config is missing")
    _require_limits(path, config, limits)
    if options is not None:
        try:
            options.parse(config)
        except UsageError as error:
            refuse("IN102", path, f"{error.where[:60]}: {error.what[:200]}", error.fix)
    return config


def _require_limits(path: Path, value: Any, limits: Mapping[str, float], key: str = "") -> None:
    if isinstance(value, dict):
        for name, inner in value.items():
            _require_limits(path, inner, limits, name if name in limits else key)
    elif isinstance(value, list):
        if key in limits and len(value) > 10_000:
            refuse("IN102", path, f"{key} has {len(value)} entries")
        for inner in value:
            _require_limits(path, inner, limits, key)
    elif isinstance(value, int | float) and key in limits and not abs(value) <= limits[key]:
        refuse("IN102", path, f"{key} = {str(value)[:30]} is more than the limit {limits[key]:g}")


def _expected(
    folder: Path,
    shapes: Shapes | Callable[[dict[str, Any], dict[str, Any]], Shapes] | None,
    config: dict[str, Any],
    preprocessing: dict[str, Any],
) -> Shapes | None:
    if not callable(shapes):
        return shapes
    try:
        return shapes(config, preprocessing)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        refuse("IN102", folder / PREPROCESSING, f"does not fit the system ({type(error).__name__}: {str(error)[:60]})")


def _require_shapes(path: Path, found: Shapes, expected: Shapes) -> None:
    missing, extra = sorted(set(expected) - set(found)), sorted(set(found) - set(expected))
    if missing or extra:
        what = f"tensor {missing[0]!r} is missing" if missing else f"unexpected tensor {extra[0][:60]!r}"
        refuse("IN101", path, what, "get the file that belongs to this config.json")
    for name, shape in expected.items():
        if tuple(shape) != found[name]:
            refuse("IN101", path, f"tensor {name!r} is {found[name]}, config.json asks for {tuple(shape)}",
                   "get the file that belongs to this config.json")  # fmt: skip


def _entry_problem(name: str, entry: Any) -> str:
    if len(name) > 512 or not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        return "malformed header entry"
    if not isinstance(entry["dtype"], str) or entry["dtype"] not in DTYPES:
        return f"type {str(entry['dtype'])[:20]!r} is not allowed"
    shape, offsets = entry["shape"], entry["data_offsets"]
    if not _whole_numbers(shape, 8) or not _whole_numbers(offsets, 2) or len(offsets) != 2:
        return "shape or offsets are not whole numbers"
    if offsets[1] - offsets[0] != math.prod(shape) * DTYPES[entry["dtype"]]:
        return "shape and number of bytes disagree"
    return ""


def _whole_numbers(value: Any, most: int) -> bool:
    if not isinstance(value, list) or len(value) > most:
        return False
    return all(type(v) is int and 0 <= v < 1 << 48 for v in value)


def _require_finite(array: np.ndarray, where: str, fix: str) -> None:
    if array.dtype.kind != "f":
        return
    flat = array.reshape(-1)
    for low in range(0, flat.size, _CHUNK):
        if not np.isfinite(flat[low : low + _CHUNK]).all():
            raise IntegrityError("IN101", where, "holds NaN or infinite weights", fix)


def weights_present(folder: str | Path) -> bool:
    """Whether a folder holds a model (its config.json, which is written last)."""
    return (Path(folder) / CONFIG).is_file()
