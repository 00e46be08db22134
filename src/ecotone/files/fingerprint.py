"""Content hashes: what a result was made from, and keys for caches that cannot go stale."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ecotone.errors import InputError
from ecotone.files.atomic import jsonable

_CHUNK = 1 << 20


def hash_file(path: str | Path) -> str:
    """sha256 of a file's content, hexadecimal."""
    digest = hashlib.sha256()
    try:
        with Path(path).open("rb") as handle:
            while chunk := handle.read(_CHUNK):
                digest.update(chunk)
    except FileNotFoundError:
        raise InputError("IO101", path, "not found", "check the path") from None
    except OSError as error:
        raise InputError(
            "IO102", path, f"cannot be read ({error.strerror})", "check the file and its permissions"
        ) from error
    return digest.hexdigest()


def hash_files(paths: Iterable[str | Path]) -> dict[str, str]:
    """Path -> sha256, sorted by path."""
    return {str(path): hash_file(path) for path in sorted(paths, key=str)}


def cache_key(**parts: Any) -> str:
    """A key that changes when any part does.

    Parts may be JSON values, numpy arrays (dtype, shape and bytes count), or nested mappings of them. Names and types
    enter the key, so ``1`` and ``"1"`` or ``[1, 23]`` and ``[12, 3]`` differ.

    Returns:
        64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    _feed(digest, parts)
    return digest.hexdigest()


def _feed(digest: Any, value: Any) -> None:
    if isinstance(value, np.ndarray):
        if value.dtype == object:
            _feed(digest, value.tolist())
            return
        array = np.ascontiguousarray(value)
        digest.update(f"array {array.dtype.str} {array.shape};".encode())
        digest.update(array.tobytes())
    elif isinstance(value, Mapping):
        digest.update(f"map {len(value)};".encode())
        for key in sorted(value, key=str):
            digest.update(f"{len(str(key))}:{key}=".encode())
            _feed(digest, value[key])
    elif isinstance(value, list | tuple):
        digest.update(f"list {len(value)};".encode())
        for item in value:
            _feed(digest, item)
    else:
        text = json.dumps(jsonable(value), ensure_ascii=False, sort_keys=True, default=repr)
        digest.update(f"{type(value).__name__} {len(text)}:{text};".encode())
