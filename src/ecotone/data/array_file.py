"""One array on disk, read by position: a plain .npy file whose rows are fetched without mapping it into memory.

Pages of a memory map that were touched count as the process's memory and stay; `os.pread` copies the rows asked for and
nothing else, so memory does not grow with the file. Rows that touch are read at once.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ecotone.errors import IntegrityError
from ecotone.files.atomic import fsync_path

Array = np.ndarray
HEADER = 128
"""Bytes before the first row; numpy can open the file because they are an ordinary header, padded."""

BLOCK = 1 << 20
_PAGE = 4096


def npy_header(dtype: np.dtype, shape: tuple[int, ...]) -> bytes:
    """A version 1 header of exactly `HEADER` bytes."""
    text = f"{{'descr': {dtype.str!r}, 'fortran_order': False, 'shape': {shape!r}, }}"
    size = HEADER - 10
    return b"\x93NUMPY\x01\x00" + size.to_bytes(2, "little") + text.ljust(size - 1).encode("ascii") + b"\n"


class ArrayFile:
    """An array of rows, open for reading.

    Args:
        path: The file.
        dtype: Type of its elements.
        shape: Its shape; the first length counts rows.
        digest: sha256 of what follows the header.

    Raises:
        IntegrityError: IN105 when the file is missing, or its size or header is not what this says.
    """

    def __init__(self, path: Path, dtype: np.dtype, shape: tuple[int, ...], digest: str) -> None:
        self.path, self.dtype, self.shape, self.digest = path, dtype, shape, digest
        self.width = dtype.itemsize * int(np.prod(shape[1:], dtype=np.int64))
        try:
            self._handle = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        except OSError as error:
            raise damaged(path, f"cannot be opened ({error.strerror})") from error
        self._before = self._state()
        want = HEADER + self.width * shape[0]
        if self._before[0] != want:
            raise damaged(path, f"is truncated or not the one written: {self._before[0]} bytes, expected {want}")
        if os.pread(self._handle, HEADER, 0) != npy_header(dtype, shape):
            raise damaged(path, f"its header does not say {dtype.str} {shape}")

    def __len__(self) -> int:
        return self.shape[0]

    def close(self) -> None:
        """Closes the file; reading is then over."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def read(self, start: int, stop: int) -> Array:
        """Rows `start` to `stop` - 1, as a read-only array."""
        return self._array(self._bytes(start, stop))

    def spans(self, starts: Array, stops: Array) -> Array:
        """Rows of several spans, end to end.

        Args:
            starts: (n,) first rows, ascending; spans do not overlap.
            stops: (n,) rows after the last ones.
        """
        some = stops > starts
        if not some.any():
            return np.empty((0, *self.shape[1:]), self.dtype)
        starts, stops = starts[some], stops[some]
        apart = np.flatnonzero(starts[1:] != stops[:-1])
        first = starts[np.append(0, apart + 1)].tolist()
        last = stops[np.append(apart, len(stops) - 1)].tolist()
        return self._array(self._joined(first, last))

    def pairs(self, rows: Array) -> Array:
        """(n, 2) of a flat array: the elements at `rows` and those after them."""
        return self._array(self._joined(rows.tolist(), (rows + 2).tolist())).reshape(-1, 2)

    def take(self, rows: Array) -> Array:
        """Rows by number.

        Args:
            rows: (n,) ascending, each once.
        """
        n = len(rows)
        if not n:
            return np.empty((0, *self.shape[1:]), self.dtype)
        if (rows[-1] - rows[0] + 1) * self.width > n * _PAGE:
            return self.spans(rows, rows + 1)
        out = np.empty((n, *self.shape[1:]), self.dtype)  # lying close together: whole blocks cost less than many calls
        step = max(BLOCK // max(self.width, 1), 1)
        done = 0
        while done < n:
            start = int(rows[done])
            stop = min(start + step, int(rows[-1]) + 1)
            end = int(np.searchsorted(rows, stop))
            out[done:end] = self.read(start, stop)[rows[done:end] - start]
            done = end
        return out

    def blocks(self) -> Iterator[bytes]:
        """The content after the header, block by block."""
        at, end = HEADER, HEADER + self.width * self.shape[0]
        while at < end:
            block = os.pread(self._handle, min(BLOCK, end - at), at)
            if not block:
                raise damaged(self.path, "is truncated")
            at += len(block)
            yield block

    def verify(self) -> None:
        """Reads everything and compares the checksum.

        Raises:
            IntegrityError: IN105 when it differs.
        """
        digest = hashlib.sha256()
        for block in self.blocks():
            digest.update(block)
        if digest.hexdigest() != self.digest:
            raise damaged(self.path, "checksum does not match")

    def require_unchanged(self) -> None:
        """Makes sure that the file is still the one that was opened.

        Raises:
            IntegrityError: IN103 when it was written to, replaced or removed.
        """
        try:
            same = self._state() == self._before and self.path.stat().st_ino == self._before[2]
        except OSError:
            same = False
        if not same:
            what = "was changed, replaced or removed while it was being read"
            raise IntegrityError("IN103", self.path, what, "leave the store alone, and start the run anew")

    def _state(self) -> tuple[int, int, int]:
        status = os.fstat(self._handle)
        return status.st_size, status.st_mtime_ns, status.st_ino

    def _bytes(self, start: int, stop: int) -> bytes:
        size, at = (stop - start) * self.width, HEADER + start * self.width
        content = os.pread(self._handle, size, at)
        while len(content) < size:  # the system may give less than asked for (2 GiB at most)
            more = os.pread(self._handle, size - len(content), at + len(content))
            if not more:
                raise damaged(self.path, f"ends before row {stop}")
            content += more
        return content

    def _joined(self, first: list[int], last: list[int]) -> bytes:
        """Spans of rows end to end; one call to the system each, which is all that this costs."""
        read, handle, width = os.pread, self._handle, self.width
        parts = [read(handle, (b - a) * width, HEADER + a * width) for a, b in zip(first, last, strict=True)]
        content = b"".join(parts)
        if len(content) < (sum(last) - sum(first)) * width:
            content = b"".join([self._bytes(a, b) for a, b in zip(first, last, strict=True)])
        return content

    def _array(self, content: bytes) -> Array:
        return np.frombuffer(content, self.dtype).reshape(-1, *self.shape[1:])


class GrowingArray:
    """An .npy file that grows row by row.

    Args:
        path: The file.
        dtype: Type of its elements.
        row: Shape of one row.
    """

    def __init__(self, path: Path, dtype: str, row: tuple[int, ...]) -> None:
        self.path, self.dtype, self.row, self.length = path, np.dtype(dtype), row, 0
        self._digest = hashlib.sha256()
        self._file: BinaryIO = path.open("wb", buffering=1 << 20)
        self._file.write(bytes(HEADER))

    def add(self, rows: Array) -> None:
        """Appends rows."""
        content = np.ascontiguousarray(rows, self.dtype)
        self._file.write(content.data.cast("B") if content.size else b"")
        self._digest.update(content.data.cast("B") if content.size else b"")
        self.length += len(content)

    def finish(self) -> dict[str, Any]:
        """Writes the header and brings the file to disk; its shape, and the sha256 of what follows the header."""
        shape = (self.length, *self.row)
        self._file.seek(0)
        self._file.write(npy_header(self.dtype, shape))
        self._file.close()
        fsync_path(self.path)
        return {"shape": list(shape), "sha256": self._digest.hexdigest()}

    def close(self) -> None:
        """Closes the file as it is."""
        with suppress(OSError):
            self._file.close()


def damaged(path: Path, what: str) -> IntegrityError:
    """The error for a part of a store that is not as it was written."""
    return IntegrityError("IN105", path, what, "pack the sites again, or copy the store again")
