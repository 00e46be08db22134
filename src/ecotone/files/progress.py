"""Progress of long work: a bar on a terminal, a plain line now and then elsewhere, nothing when switched off.

Everything goes to standard error, so piped output stays clean.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

BAR_EVERY_S = 0.1
LINE_EVERY_S = 10.0


class Progress:
    """Counts work done. `advance` may be called from several threads and costs under a microsecond."""

    def __init__(self, total: int | None, label: str, every_s: float = float("inf")) -> None:
        self.total, self.label, self.done = total, label, 0
        self._first = 0
        self._metrics: dict[str, float] = {}
        self._every, self._start = every_s, time.monotonic()
        self._next = self._start + every_s
        self._lock = threading.Lock()

    def advance(self, n: int = 1, **metrics: float) -> None:
        """Adds `n` units; `metrics` are shown beside the count."""
        with self._lock:
            self.done += n
            if metrics:
                self._metrics = metrics
            now = time.monotonic()
            if now >= self._next:
                self._next = now + self._every
                self.show()

    def skip(self, n: int) -> None:
        """Counts `n` units as done in an earlier run; the rate leaves them out."""
        with self._lock:
            self.done += n
            self._first += n

    def show(self) -> None:
        """Draws the present state."""

    def finish(self) -> None:
        """Draws the last state."""

    @property
    def shown_metrics(self) -> str:
        """Metrics as text, four significant digits."""
        return ", ".join(f"{name} {value:.4g}" for name, value in self._metrics.items())

    @property
    def rate(self) -> float:
        """Units per second of this run."""
        return (self.done - self._first) / max(time.monotonic() - self._start, 1e-9)


class _Lines(Progress):
    def __init__(self, total: int | None, label: str, stream: TextIO) -> None:
        super().__init__(total, label, LINE_EVERY_S)
        self._stream = stream
        self._shown = -1

    def show(self) -> None:
        self._shown = self.done
        parts = [f"{self.label}: {self.done}" + (f"/{self.total}" if self.total else "")]
        if self.total:
            parts[0] += f" ({100 * self.done // self.total}%)"
        parts.append(f"{self.rate:.3g}/s")
        if self.total and self.rate > 0 and self.done < self.total:
            parts.append(f"{_duration((self.total - self.done) / self.rate)} left")
        if self._metrics:
            parts.append(self.shown_metrics)
        self._stream.write(", ".join(parts) + "\n")
        self._stream.flush()

    def finish(self) -> None:
        if self._shown not in (-1, self.done):
            self.show()


class _Bar(Progress):
    def __init__(self, total: int | None, label: str, stream: TextIO) -> None:
        super().__init__(total, label, BAR_EVERY_S)
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        times = (TimeElapsedColumn(), TextColumn("<"), TimeRemainingColumn())
        columns: tuple[Any, ...] = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
        shown = TextColumn("{task.fields[metrics]}", markup=False)
        self._rich = RichProgress(*columns, *times, shown, console=Console(file=stream))
        self._task = self._rich.add_task(label, total=total, metrics="")
        self._rich.start()

    def show(self) -> None:
        self._rich.update(self._task, completed=self.done, metrics=self.shown_metrics)

    def finish(self) -> None:
        self.show()
        self._rich.stop()


@contextmanager
def progress(
    total: int | None, label: str, *, enabled: bool = True, stream: TextIO | None = None
) -> Iterator[Progress]:
    """Shows how far a piece of work is.

    Args:
        total: Units of work, or None when unknown.
        label: Word in front.
        enabled: False shows nothing.
        stream: Where to draw; standard error by default.

    Yields:
        A `Progress`, whose `advance` is called after each unit.
    """
    target = sys.stderr if stream is None else stream
    kind = Progress(total, label)
    if enabled and target is not None:
        kind = (_Bar if target.isatty() else _Lines)(total, label, target)
    try:
        yield kind
    finally:
        kind.finish()


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
