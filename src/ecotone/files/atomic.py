"""Writing a file whole or not at all.

The new content goes to a temporary name in the same folder, is flushed and fsynced, then replaces the old file; the
folder is fsynced last. A crash at any moment leaves the old file or the new one, never a half.
"""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from ecotone.errors import EcotoneError, InputError, InterruptedRunError

PARTIAL = ".partial"


def write_problem(path: Path, error: OSError) -> EcotoneError:
    """The one-line message for a failed write."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return InterruptedRunError(
            "ST102", path, "disk full while writing", "free some space and run the same command again"
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return InputError("IO104", path, "cannot be written (no permission or read-only)", "choose another --out")
    if error.errno in (errno.ENOTDIR, errno.EISDIR, errno.ENOENT, errno.ENAMETOOLONG):
        return InputError("IO104", path, f"cannot be written ({os.strerror(error.errno)})", "choose another --out")
    return InterruptedRunError(
        "ST104", path, f"write failed ({error.strerror or error})", "check the disk and run again"
    )


def fsync_path(path: Path) -> None:
    """Flushes a file or folder to disk; folders that refuse (some network file systems) are skipped."""
    handle = os.open(path, os.O_RDONLY)
    try:
        with suppress(OSError) if path.is_dir() else nullcontext():
            os.fsync(handle)
    finally:
        os.close(handle)


def make_folder(path: Path) -> Path:
    """Creates a folder and its parents.

    Raises:
        InputError: IO104 when that is not allowed.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if isinstance(error, FileExistsError):
            raise InputError("IO104", path, "is a file, not a folder", "choose another --out") from None
        raise write_problem(path, error) from error
    return path


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`; on a clean exit it replaces `path`, otherwise it is removed.

    The temporary name keeps the ending, since GDAL and others choose the format by it.
    """
    path = Path(path)
    make_folder(path.parent)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{PARTIAL}{path.suffix}")
    try:
        yield temporary
        fsync_path(temporary)
        temporary.replace(path)
        fsync_path(path.parent)
    except OSError as error:
        raise write_problem(path, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_bytes(path: str | Path, content: bytes) -> None:
    """Writes bytes atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: str | Path, text: str) -> None:
    """Writes UTF-8 text atomically, with Unix line ends."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: str | Path, content: Any) -> None:
    """Writes JSON atomically; keys keep their order, floats round-trip, NaN becomes null."""
    write_text(path, json.dumps(jsonable(content), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def jsonable(value: Any) -> Any:
    """Plain JSON types for numpy scalars and arrays, paths and non-finite numbers (null)."""
    if isinstance(value, dict):
        return {str(k): jsonable(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [jsonable(v) for v in value]
    if hasattr(value, "tolist"):
        return jsonable(value.tolist())
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float) and value - value != 0.0:  # nan and both infinities
        return None
    return value


def sweep_partials(folder: Path, *, older_than_s: float = 3600.0) -> list[Path]:
    """Removes temporary files a killed process left behind; returns what was removed."""
    removed = []
    for path in folder.glob(f".*{PARTIAL}*"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime >= older_than_s and path.is_file():
                path.unlink()
                removed.append(path)
    return removed
