"""One writer per folder.

The lock is a small file naming its holder: process, host, boot. A holder that died is recognised, so a killed run can
be started again at once: on the same host by process number, start time and boot; from another host by a heartbeat
that stopped. Reading and writing the file is guarded by `flock` where the system has it, so two newcomers cannot both
take over a stale lock.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ecotone.errors import InterruptedRunError
from ecotone.files.atomic import make_folder, write_problem

try:
    import fcntl
except ImportError:  # not a POSIX system
    fcntl = None

NAME = ".lock"
PASS = "ECOTONE_LOCK"
"""Environment variable by which a process lets those it starts work in the folder it holds."""

BEAT_S = 30.0
REMOTE_STALE_S = 600.0


def boot_id() -> str:
    """Changes at each start of the machine; "" where that is not told."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return ""


def start_time(pid: int) -> str | None:
    """When a process started, in the kernel's ticks; "" where that is not told, None when it is dead."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return None if fields[0] in "ZX" else fields[19]
    except (OSError, IndexError):
        pass
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return None
    except OSError:
        return ""
    return ""


_HELD: dict[Path, int] = {}  # folder -> thread of this process that holds it


class FolderLock:
    """Holds a folder for one writer, as a context manager; the thread that holds it may enter again.

    Args:
        folder: Is created when missing.

    Raises:
        InterruptedRunError: ST103 on entry, when another process (or another thread of this one) holds the folder.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.path = self.folder / NAME
        self._record: dict[str, Any] = {}
        self._done = threading.Event()
        self._pulse: threading.Thread | None = None
        self._nested = False

    def __enter__(self) -> Self:
        make_folder(self.folder)
        self._nested = _HELD.get(self.folder.resolve()) == threading.get_ident()
        if self._nested:
            return self
        record = {
            "pid": os.getpid(),
            "started": start_time(os.getpid()) or "",
            "host": socket.gethostname(),
            "boot": boot_id(),
            "token": os.urandom(8).hex(),
        }
        handle = self._open_guarded()
        try:
            holder = _read(handle)
            if holder is not None and holder.get("token", "") == os.environ.get(PASS, os.devnull):
                self._nested = True
                return self
            if holder is not None and not self._stale(holder, os.fstat(handle).st_mtime):
                raise InterruptedRunError(
                    "ST103",
                    self.folder,
                    f"process {holder['pid']} on {holder['host']} is working on it",
                    f"wait for it, choose another --out, or remove {self.path} if that process is gone",
                )
            try:
                _write(handle, record)
            except OSError:
                with suppress(OSError):
                    self.path.unlink()  # or it would name this process as holder
                raise
        except OSError as error:
            raise write_problem(self.path, error) from error
        finally:
            os.close(handle)
        self._record = record
        _HELD[self.folder.resolve()] = threading.get_ident()
        self._done.clear()
        self._pulse = threading.Thread(target=self._beat, name="ecotone-lock", daemon=True)
        self._pulse.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._nested:
            return
        _HELD.pop(self.folder.resolve(), None)
        self._done.set()
        if self._pulse is not None:
            self._pulse.join(timeout=5.0)
        with suppress(OSError, InterruptedRunError):
            handle = self._open_guarded()
            try:
                if _read(handle) == self._record:
                    self.path.unlink()
            finally:
                os.close(handle)

    def _open_guarded(self) -> int:
        """Opens the lock file and waits for its guard; the file is still the one at the path when this returns."""
        try:
            while True:
                handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
                if fcntl is None:
                    return handle
                with suppress(OSError):  # file systems without flock go unguarded
                    fcntl.flock(handle, fcntl.LOCK_EX)
                with suppress(FileNotFoundError):
                    if os.fstat(handle).st_ino == self.path.stat().st_ino:
                        return handle
                os.close(handle)
        except OSError as error:
            raise write_problem(self.path, error) from error

    def _stale(self, holder: dict[str, Any], beat: float) -> bool:
        if holder["host"] != socket.gethostname():
            return time.time() - beat > REMOTE_STALE_S
        if holder["boot"] != boot_id():
            return True
        started = start_time(holder["pid"])
        return started is None or bool(started and holder["started"] and started != holder["started"])

    def _beat(self) -> None:
        while not self._done.wait(BEAT_S):
            with suppress(OSError):
                os.utime(self.path)


def pass_of(folder: str | Path) -> str | None:
    """What lets processes started by this one into a folder it holds (as `PASS`); None when it holds none."""
    if Path(folder).resolve() not in _HELD:
        return None
    with suppress(OSError):
        handle = os.open(Path(folder) / NAME, os.O_RDONLY)
        try:
            holder = _read(handle)
        finally:
            os.close(handle)
        return None if holder is None else str(holder.get("token") or "") or None
    return None


def _read(handle: int) -> dict[str, Any] | None:
    """The holder; None when the file is empty or was left half-written by a process that died under the guard."""
    os.lseek(handle, 0, os.SEEK_SET)
    try:
        record = json.loads(os.read(handle, 4096))
        well = isinstance(record["pid"], int) and all(isinstance(record[k], str) for k in ("started", "host", "boot"))
        return record if well else None
    except (ValueError, TypeError, KeyError):
        return None


def _write(handle: int, record: dict[str, Any]) -> None:
    os.ftruncate(handle, 0)
    os.lseek(handle, 0, os.SEEK_SET)
    os.write(handle, json.dumps(record).encode())
    os.fsync(handle)
