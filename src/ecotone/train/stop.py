"""Stopping on request: the first SIGINT or SIGTERM asks for an orderly end, the second one is not held back."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """Whether, and by which signal, an orderly stop was asked for."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None

    def __bool__(self) -> bool:
        return self.signal is not None


@contextmanager
def stop_requested() -> Iterator[StopRequest]:
    """Listens for SIGINT and SIGTERM while the block runs.

    After the first signal the handlers that were there before are back, so a second one acts as if this block did not
    exist: Ctrl-C raises KeyboardInterrupt, SIGTERM ends the process. Outside the main thread python allows no handlers
    and the request is never set.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before: dict[signal.Signals, Any] = {}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def note(number: int, frame: FrameType | None) -> None:
        request.signal = signal.Signals(number)
        restore()

    for number in SIGNALS:
        before[number] = signal.getsignal(number)
        if before[number] != signal.SIG_IGN:
            signal.signal(number, note)
    try:
        yield request
    finally:
        restore()
