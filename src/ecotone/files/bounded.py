"""Reading small files that a stranger may have made: regular files only, size first, then JSON that cannot explode."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from ecotone.errors import EcotoneError, InputError, IntegrityError

MAX_CONTAINERS = 200_000
"""Lists and objects one JSON text may hold; each costs about 64 bytes of memory and only 2 bytes of file."""

MAX_DEPTH = 64
WRITTEN_BY_US = "use a folder written by ecotone"


def refuse(code: str, where: object, what: str, fix: str = WRITTEN_BY_US) -> NoReturn:
    """Raises the error class that belongs to the code's group.

    Raises:
        IntegrityError: For IN codes.
        InputError: For all others.
    """
    kind: type[EcotoneError] = IntegrityError if code.startswith("IN") else InputError
    raise kind(code, where, what, fix) from None


def open_regular(path: Path, *, inside: Path | None = None, code: str = "IN101") -> tuple[BinaryIO, int]:
    """Opens a regular file for reading and returns it with its size in bytes.

    Args:
        path: The file.
        inside: A folder the file must really lie in, so that a link cannot lead elsewhere.
        code: Error code for anything that is not an ordinary file there.

    Raises:
        InputError: IO101 when there is no such file, IO102 when it cannot be read.
        IntegrityError: `code` for links out of the folder, pipes, devices and folders.
    """
    try:
        if inside is not None and not path.resolve().is_relative_to(inside.resolve()):
            refuse(code, path, "is a link that leads out of its folder", "copy the real file there")
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except FileNotFoundError:
        refuse("IO101", path, "not found", WRITTEN_BY_US)
    except (OSError, RuntimeError) as error:
        refuse("IO102", path, f"cannot be read ({getattr(error, 'strerror', None) or error})", "check the file")
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode):
        os.close(handle)
        refuse(code, path, "is not an ordinary file")
    return os.fdopen(handle, "rb"), status.st_size


def read_bounded(path: Path, max_bytes: int, *, inside: Path | None = None, code: str = "IN102") -> bytes:
    """The content of a regular file of at most `max_bytes`."""
    handle, size = open_regular(path, inside=inside, code=code)
    with handle:
        content = b"" if size > max_bytes else handle.read(max_bytes + 1)
    if max(size, len(content)) > max_bytes:
        refuse(code, path, f"{size} bytes, more than the {max_bytes} allowed")
    return content


def parse_json(content: bytes, where: object, *, code: str = "IN102") -> Any:
    """Strict JSON: UTF-8, no repeated keys, no NaN, bounded depth and number of containers."""
    if content.count(b"[") + content.count(b"{") > MAX_CONTAINERS:
        refuse(code, where, f"holds more than {MAX_CONTAINERS} lists and objects")
    try:
        value = json.loads(content.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error).split(": line")[0]
        refuse(code, where, f"not valid JSON ({reason[:80]})")
    if _deeper_than(value, MAX_DEPTH):
        refuse(code, where, f"nested deeper than {MAX_DEPTH} levels")
    return value


def read_json(path: Path, max_bytes: int, *, inside: Path | None = None, code: str = "IN102") -> dict[str, Any]:
    """A JSON object from a small untrusted file.

    Raises:
        InputError: IO101 when missing.
        IntegrityError: `code` when too large, not JSON, or not an object (`InputError` for an IO code).
    """
    content = parse_json(read_bounded(path, max_bytes, inside=inside, code=code), path, code=code)
    if not isinstance(content, dict):
        refuse(code, path, "is not a JSON object")
    return content


def _deeper_than(value: Any, limit: int) -> bool:
    level = [value]
    for _ in range(limit):
        inner: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                inner += item.values()
            elif isinstance(item, list):
                inner += item
        level = [item for item in inner if isinstance(item, dict | list)]
        if not level:
            return False
    return True


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key occurs twice")
    return result


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")
