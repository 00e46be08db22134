"""Evidence on disk: one small JSON per item with its numbers in an .npz beside it, and a .csv for people.

Values come back exactly as they were: arrays keep dtype and shape, NaN stays NaN. Loading trusts nothing: no pickle,
sizes checked first, every field checked against its declared type.
"""

from __future__ import annotations

import io
import json
import math
import re
import shutil
import tempfile
import unicodedata
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ecotone.contract import EVIDENCE_KINDS, Contributions, Evidence, Gallery, evidence_fields
from ecotone.errors import EcotoneError, InputError
from ecotone.files.atomic import PARTIAL, fsync_path, make_folder, write_problem
from ecotone.files.bounded import open_regular, read_json, refuse

if TYPE_CHECKING:
    import pandas as pd

MAX_ITEMS = 20_000
MAX_JSON = 8 << 20
MAX_ARRAYS = 512 << 20
"""Bytes of all arrays of one item, unpacked."""

_OURS = re.compile(r"\d{2,}-[a-z0-9-]+\.(json|npz|csv)")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_FORMAT = 1
_PARTIAL_FOLDER = f".evidence{PARTIAL}"

Arrays = dict[str, np.ndarray]


def save_evidence(folder: str | Path, items: Sequence[Evidence]) -> list[Path]:
    """Replaces the evidence in a folder; all of it is written before anything old is removed.

    Args:
        folder: The `evidence` folder of a run.
        items: In the order in which they are to be shown.

    Returns:
        The JSON file of each item.

    Raises:
        InputError: DA404 when an array holds objects or text; IO104 when the folder cannot be written.
        InterruptedRunError: ST102 when the disk is full; the old evidence is intact then.
    """
    folder = make_folder(Path(folder))
    width = max(2, len(str(len(items))))
    names = [f"{i:0{width}d}-{slug(item)}" for i, item in enumerate(items, start=1)]
    try:
        for leftover in folder.glob(f"{_PARTIAL_FOLDER}*"):
            shutil.rmtree(leftover, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=_PARTIAL_FOLDER, dir=folder) as temporary:
            for name, item in zip(names, items, strict=True):
                _write_item(Path(temporary), name, item)
            new = sorted(p.name for p in Path(temporary).iterdir())
            for path in folder.iterdir():
                if _OURS.fullmatch(path.name) and path.name not in new:
                    path.unlink()
            for name in sorted(new, key=lambda n: n.endswith(".json")):
                (Path(temporary) / name).replace(folder / name)
        fsync_path(folder)
    except OSError as error:
        raise write_problem(folder, error) from error
    return [folder / f"{name}.json" for name in names]


def load_evidence(folder: str | Path) -> list[Evidence]:
    """What `save_evidence` wrote, in its order; an absent folder gives an empty list.

    Raises:
        InputError: IO102 when an item is damaged or larger than the limits.
    """
    folder = Path(folder)
    if not folder.is_dir():
        return []
    paths = [p for p in folder.iterdir() if _OURS.fullmatch(p.name) and p.suffix == ".json"]
    if len(paths) > MAX_ITEMS:
        refuse(
            "IO102", folder, f"{len(paths)} items, more than the {MAX_ITEMS} allowed", "explain fewer targets at once"
        )
    return [_read_item(path) for path in sorted(paths, key=lambda p: (int(p.name.split("-")[0]), p.name))]


def slug(item: Evidence) -> str:
    """A file name made of kind, title and target: ASCII letters, digits and dashes."""
    text = unicodedata.normalize("NFKD", f"{item.kind} {item.title} {item.target}").encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:60].strip("-") or item.kind


def csv_text(frame: pd.DataFrame) -> str:
    """CSV for spreadsheets: text that a spreadsheet would run as a formula is preceded by an apostrophe."""
    frame = frame.copy()
    frame.columns = [_harmless(str(name)) for name in frame.columns]
    for i in range(frame.shape[1]):
        if frame.iloc[:, i].dtype.kind not in "biufc":
            frame.isetitem(i, [_harmless(v) for v in frame.iloc[:, i]])
    return frame.to_csv(index=False, lineterminator="\n")


def _harmless(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _write_item(folder: Path, name: str, item: Evidence) -> None:
    arrays: Arrays = {}
    content = {"format": _FORMAT, **_encode_item(item, arrays)}
    if arrays:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for key, array in arrays.items():
                member = io.BytesIO()
                np.lib.format.write_array(member, array, allow_pickle=False)
                archive.writestr(zipfile.ZipInfo(f"{key}.npy"), member.getvalue(), zipfile.ZIP_DEFLATED)
        _put_file(folder / f"{name}.npz", buffer.getvalue())
    _put_file(folder / f"{name}.csv", csv_text(item.to_frame()).encode("utf-8"))
    _put_file(folder / f"{name}.json", (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode("utf-8"))


def _put_file(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    fsync_path(path)


def _read_item(path: Path) -> Evidence:
    content = read_json(path, MAX_JSON, inside=path.parent, code="IO102")
    stored = path.with_suffix(".npz")
    arrays = read_arrays(stored) if stored.exists() else {}
    try:
        return _decode_item(content, arrays, depth=0)
    except (KeyError, TypeError, ValueError, AttributeError, EcotoneError) as error:
        reason = error.what if isinstance(error, EcotoneError) else str(error)
        refuse("IO102", path, f"is not evidence ({type(error).__name__}: {reason[:80]})", "run `ecotone explain` again")


def read_arrays(path: Path) -> Arrays:
    """The arrays of an .npz, without pickle; sizes are checked before anything is unpacked.

    Raises:
        InputError: IO102 when damaged or larger than `MAX_ARRAYS`.
    """
    handle, _ = open_regular(path, inside=path.parent, code="IO102")
    fix = "run `ecotone explain` again"
    try:
        with handle, zipfile.ZipFile(handle) as archive:
            members = archive.infolist()
            if sum(member.file_size for member in members) > MAX_ARRAYS:
                refuse("IO102", path, f"unpacks to more than {MAX_ARRAYS} bytes", fix)
            return {member.filename.removesuffix(".npy"): _npy(archive, member) for member in members}
    except (zipfile.BadZipFile, ValueError, EOFError, OSError, NotImplementedError, RuntimeError) as error:
        refuse("IO102", path, f"damaged ({str(error)[:80]})", fix)
    except Exception as error:
        if type(error).__module__ == "zlib":
            refuse("IO102", path, "damaged (compressed data)", fix)
        raise


def _npy(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(member) as packed:
        data = io.BytesIO(packed.read(member.file_size))
    if np.lib.format.read_magic(data) != (1, 0):
        raise ValueError("array format")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(data)
    rest = data.read()
    if dtype.hasobject or dtype.kind not in "biuf" or math.prod(shape) * dtype.itemsize != len(rest):
        raise ValueError("array header and data disagree")
    return np.frombuffer(rest, dtype).reshape(shape, order="F" if fortran else "C").copy()


# ------------------------------------------------------------------------------------------------ fields
def _encode_item(item: Evidence, arrays: Arrays) -> dict[str, Any]:
    kinds = {f.name: str(f.type) for f in fields(item)}
    values = evidence_fields(item)
    return {"kind": item.kind, "fields": {name: _encode(values[name], kinds[name], arrays) for name in kinds}}


def _decode_item(content: Any, arrays: Arrays, depth: int, kind: type[Evidence] | None = None) -> Evidence:
    cls = EVIDENCE_KINDS[_text(content["kind"])]
    if depth > 8 or (kind is not None and cls is not kind):
        raise ValueError("nested evidence of the wrong kind or too deep")
    kinds = {f.name: str(f.type) for f in fields(cls)}
    unknown = set(content["fields"]) - set(kinds)
    if unknown:
        raise ValueError(f"unknown field {sorted(unknown)[0][:40]}")
    return cls(**{name: _decode(value, kinds[name], arrays, depth) for name, value in content["fields"].items()})


def _encode(value: Any, kind: str, arrays: Arrays) -> Any:
    if value is None:
        return None
    if kind.startswith("Array"):
        return _put(np.asarray(value), arrays)
    if kind.startswith("float"):
        return _put_float(value)
    if kind == "bool":
        return bool(value)
    if kind == "Mapping[str, Array]":
        return [[str(k), _put(np.asarray(v), arrays)] for k, v in value.items()]
    if kind == "Mapping[int, str]":
        return [[int(k), str(v)] for k, v in value.items()]
    if kind in _NESTED:
        return [[str(k), _encode_item(v, arrays)] for k, v in value.items()]
    if kind.startswith("tuple[float"):
        return [_put_float(v) for v in value]
    if kind.startswith("tuple[tuple[str"):
        return [[str(a), str(b)] for a, b in value]
    if kind.startswith("tuple[str"):
        return [str(v) for v in value]
    return str(value)


def _decode(value: Any, kind: str, arrays: Arrays, depth: int) -> Any:
    if value is None:
        if not kind.endswith("| None"):
            raise ValueError("a needed value is missing")
        return None
    return _DECODERS[kind.removesuffix(" | None")](value, arrays, depth)


def _put(array: np.ndarray, arrays: Arrays) -> str:
    if array.dtype.kind not in "biuf":
        raise InputError("DA404", "evidence", f"an array of type {array.dtype} cannot be stored", "pass numbers")
    name = f"a{len(arrays)}"
    arrays[name] = array
    return name


def _put_float(value: Any) -> float | str:
    number = float(value)
    return number if math.isfinite(number) else str(number)


def _float(value: Any) -> float:
    if isinstance(value, str) and value not in ("nan", "inf", "-inf"):
        raise ValueError("not a number")
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError("not a number")
    return float(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value


def _bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError("not true or false")
    return value


def _verdict(value: Any) -> str:
    if value not in ("pass", "fail", "note"):
        raise ValueError("unknown verdict")
    return value


def _legend(value: Any) -> dict[int, str]:
    legend = {key: _text(label) for key, label in value}
    if not all(type(key) is int for key in legend):
        raise TypeError("a legend key is not a whole number")
    return legend


_NESTED: dict[str, type[Evidence]] = {"Mapping[str, Contributions]": Contributions, "Mapping[str, Gallery]": Gallery}

_DECODERS: dict[str, Callable[[Any, Arrays, int], Any]] = {
    "str": lambda v, a, d: _text(v),
    "bool": lambda v, a, d: _bool(v),
    "float": lambda v, a, d: _float(v),
    "Verdict": lambda v, a, d: _verdict(v),
    "Array": lambda v, a, d: a[_text(v)],
    "Mapping[str, Array]": lambda v, a, d: {_text(k): a[_text(x)] for k, x in v},
    "Mapping[int, str]": lambda v, a, d: _legend(v),
    "tuple[str, ...]": lambda v, a, d: tuple(_text(x) for x in v),
    "tuple[float, float, float, float]": lambda v, a, d: tuple(_float(x) for x in v),
    "tuple[tuple[str, str], ...]": lambda v, a, d: tuple((_text(x), _text(y)) for x, y in v),
    **{
        name: (lambda v, a, d, cls=cls: {_text(k): _decode_item(x, a, d + 1, cls) for k, x in v})
        for name, cls in _NESTED.items()
    },
}
