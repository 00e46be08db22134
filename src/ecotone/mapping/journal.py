"""What is done of a map: one line per finished window, and what the map is made from.

The journal lives in the work folder beside the output and outlives kills, crashes and full disks. A line carries its own
checksum, so that one torn by a crash is no line; a window counts when its line is whole and the raw layers still have
its checksum. `job.json` says what the map is made from, part by part: when a part differs, the journal is of no use.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ecotone.errors import EcotoneError
from ecotone.files.atomic import write_json
from ecotone.files.bounded import read_json

JOURNAL, JOB, PUBLISH = "journal.txt", "job.json", "publish.json"
_MAX_JOB = 64 << 20


class Done(NamedTuple):
    """A finished window: its valid pixels, and the checksum of its layers."""

    valid: int
    checksum: int


class Journal:
    """The finished windows of a map.

    Args:
        path: The file; made with the first line.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.done: dict[int, Done] = {}
        self.again: list[int] = []
        content = path.read_bytes() if path.exists() else b""
        for line in content.split(b"\n"):
            found = _read_line(line)
            if found is not None:
                if found[0] in self.done:
                    self.again.append(found[0])
                self.done[found[0]] = found[1]
        self._torn = bool(content) and not content.endswith(b"\n")
        self._handle: int | None = None

    def append(self, index: int, done: Done) -> None:
        """Notes a window.

        Raises:
            OSError: When the disk is full; the line may then be torn, which is noticed when it is read.
        """
        if self._handle is None:
            self._handle = os.open(
                self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o666
            )
        text = f"{index} {done.valid} {done.checksum:08x}"
        line = b"\n" * self._torn + f"{text} {zlib.crc32(text.encode()):08x}\n".encode()
        self._torn = True
        if os.write(self._handle, line) != len(line):
            raise OSError(28, "No space left on device")
        self._torn = False
        self.done[index] = done

    def drop(self, index: int) -> None:
        """Forgets a window whose layers are not what they were."""
        self.done.pop(index, None)

    def close(self) -> None:
        """Closes the file, flushed to disk."""
        if self._handle is not None:
            os.fsync(self._handle)
            os.close(self._handle)
            self._handle = None


def read_job(folder: Path) -> dict[str, Any] | None:
    """The stored job, None when there is none or it is unreadable."""
    try:
        return read_json(folder / JOB, _MAX_JOB)
    except EcotoneError:
        return None


def write_job(folder: Path, parts: Mapping[str, Any], layout: Mapping[str, int]) -> None:
    """Stores what a map is made from and how it is cut into windows."""
    write_json(folder / JOB, {"parts": dict(parts), "layout": dict(layout)})


def changed_parts(stored: Mapping[str, Any], parts: Mapping[str, Any]) -> list[str]:
    """Names of the parts that differ, in words."""
    old = stored.get("parts")
    if not isinstance(old, dict):
        return ["the record of the map"]
    found = []
    for key in sorted({*old, *parts}):
        one, other = old.get(key), parts.get(key)
        if one == other:
            continue
        if isinstance(one, dict) and isinstance(other, dict):
            inner = [name for name in sorted({*one, *other}) if one.get(name) != other.get(name)]
            shown = ", ".join(inner[:3]) + (f" and {len(inner) - 3} more" if len(inner) > 3 else "")
            found.append(f"{key} ({shown})")
        else:
            found.append(key)
    return found


def _read_line(line: bytes) -> tuple[int, Done] | None:
    parts = line.split(b" ")
    if len(parts) != 4 or b"%08x" % zlib.crc32(b" ".join(parts[:3])) != parts[3]:
        return None
    try:
        return int(parts[0]), Done(int(parts[1]), int(parts[2], 16))
    except ValueError:
        return None
