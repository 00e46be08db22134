"""metrics.csv of a run: tidy rows that only grow, and that a resumed run continues without a seam.

A checkpoint records how many bytes belong to it. On resume the file is cut back there, the steps in between are
repeated, and the finished file equals that of an uninterrupted run byte for byte.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from ecotone.errors import EcotoneWarning
from ecotone.files.atomic import make_folder, write_problem

HEADER = b"step,epoch,split,name,value\n"


class MetricsLog:
    """Appends rows `step,epoch,split,name,value`; does nothing without a path.

    Args:
        path: The CSV file, or None.
        position: Bytes that belong to the checkpoint the run goes on from; 0 starts anew.

    Raises:
        InterruptedRunError: ST102 or ST104 when the file cannot be written.
    """

    def __init__(self, path: Path | None, position: int = 0) -> None:
        self.path = path
        self._file: BinaryIO | None = None
        if path is None:
            return
        make_folder(path.parent)
        try:
            self._file = path.open("r+b" if path.exists() else "w+b")
            size = self._file.seek(0, os.SEEK_END)
            if size < position:
                warnings.warn(
                    EcotoneWarning(
                        "IO102",
                        path,
                        f"holds {size} bytes, the checkpoint knew {position}",
                        "rows of earlier steps are lost; training is not affected",
                    ),
                    stacklevel=2,
                )
            self._file.truncate(min(size, position))
            if self._file.seek(0, os.SEEK_END) == 0:
                self._file.write(HEADER)
                self._file.flush()
        except OSError as error:
            raise write_problem(path, error) from error

    def add(self, step: int, epoch: int, split: str, values: Mapping[str, float]) -> None:
        """Appends one row per value; floats are written so that they read back exactly."""
        if self._file is None or self.path is None:
            return
        text = "".join(f"{step},{epoch},{split},{_quoted(name)},{float(value)!r}\n" for name, value in values.items())
        try:
            self._file.write(text.encode())
            self._file.flush()
        except OSError as error:
            raise write_problem(self.path, error) from error

    def sync(self) -> int:
        """Brings the rows to disk; returns their size in bytes."""
        if self._file is None or self.path is None:
            return 0
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            return self._file.tell()
        except OSError as error:
            raise write_problem(self.path, error) from error

    def close(self) -> None:
        """Closes the file."""
        if self._file is not None and self.path is not None:
            try:
                self._file.close()
            except OSError as error:
                raise write_problem(self.path, error) from error
            finally:
                self._file = None


def _quoted(name: str) -> str:
    clean = " ".join(name.split())
    return '"' + clean.replace('"', '""') + '"' if "," in clean or '"' in clean else clean
