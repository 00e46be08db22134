"""How much memory there is, how much this process holds, and what a piece of work adds to it.

Everything is in bytes. What the system does not tell (free memory outside Linux, say) is None, and callers fall back on
formulas.
"""

from __future__ import annotations

import ctypes
import os
import re
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from ecotone.errors import UsageError

UNITS = {"": 1, "b": 1, "k": 10**3, "kb": 10**3, "kib": 1 << 10, "m": 10**6, "mb": 10**6, "mib": 1 << 20}
UNITS |= {"g": 10**9, "gb": 10**9, "gib": 1 << 30, "t": 10**12, "tb": 10**12, "tib": 1 << 40}
SHARE = 0.5
"""Part of the free memory a map may use when no budget is given."""

_STATUS = Path("/proc/self/status")
_GROUPS = (("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
           ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"))  # fmt: skip
Result = TypeVar("Result")


def parse_size(text: str | int) -> int:
    """Bytes of a size such as 1GB, 512MiB or 1500000000.

    Raises:
        UsageError: US104 for anything else.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([A-Za-z]*)\s*", str(text))
    if found is None or found[2].lower() not in UNITS or float(found[1]) <= 0:
        raise UsageError("US104", "memory", f"{str(text)[:40]!r} is no size", "write for example 1GB, 512MiB or bytes")
    return int(float(found[1]) * UNITS[found[2].lower()])


def show_size(size: float) -> str:
    """A size for people: 0.93 GB, 12 MB."""
    return f"{size / 1e9:.2f} GB" if size >= 1e8 else f"{size / 1e6:.0f} MB" if size >= 1e6 else f"{size / 1e3:.0f} kB"


def resident() -> int | None:
    """Memory of this process that lies in RAM."""
    return _status("VmRSS")


def peak() -> int | None:
    """The largest `resident` so far."""
    return _status("VmHWM")


def available() -> int | None:
    """What this process may hold at most without anyone swapping: what is free or can be freed, and what it holds."""
    found = []
    with suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        found.append(1024 * int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1]))
    for limit, used in _GROUPS:
        with suppress(OSError, ValueError):  # "max" is no number: no limit
            found.append(int(Path(limit).read_text(encoding="ascii")) - int(Path(used).read_text(encoding="ascii")))
    if not found:
        with suppress(AttributeError, OSError, ValueError):
            return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
        return None
    return max(0, min(found)) + (resident() or 0)


def budget(asked: str | int | None) -> int:
    """The budget of a map: what is asked for or half of what is free, never more than there is."""
    there = available()
    if asked is None:
        return int(SHARE * (there if there is not None else 4 << 30))
    wanted = parse_size(asked)
    return wanted if there is None else min(wanted, there)


def added(work: Callable[[], Result]) -> tuple[Result, int | None]:
    """Runs `work` and says by how much memory rose at most meanwhile, above what was held before."""
    before, high = resident(), peak()
    if before is None or high is None:
        return work(), None
    seen, done = [before], threading.Event()

    def watch() -> None:
        while not done.wait(0.0005):
            seen.append(max(seen.pop(), resident() or 0))

    watcher = threading.Thread(target=watch, name="memory", daemon=True)
    watcher.start()
    try:
        result = work()
    finally:
        done.set()
        watcher.join()
    after = peak() or 0
    # the kernel's own peak is exact, but tells nothing when memory was higher before
    return result, (after if after > high else max(seen[0], resident() or 0)) - before


def give_back() -> None:
    """Returns freed memory to the system, where the C library would keep it for later."""
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def _status(key: str) -> int | None:
    with suppress(OSError, ValueError, IndexError):
        for line in _STATUS.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith(key + ":"):
                return 1024 * int(line.split()[1])
    return None
