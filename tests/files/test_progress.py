import io
import threading
import time

import pytest

from ecotone.files import progress as module
from ecotone.files.progress import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """A clock that moves when told to."""
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def test_plain_lines_come_at_most_every_ten_seconds(clock):
    out = io.StringIO()
    with progress(200, "fit", stream=out) as bar:
        bar.skip(100)
        for _ in range(100):
            clock[0] += 0.25
            bar.advance(loss=0.12345678)
    lines = out.getvalue().splitlines()
    assert lines[0] == "fit: 140/200 (70%), 4/s, 15 s left, loss 0.1235"
    assert len(lines) == 3
    assert lines[-1] == "fit: 200/200 (100%), 4/s, loss 0.1235"


def test_short_work_and_disabled_work_are_silent(clock):
    out = io.StringIO()
    with progress(10, "fit", stream=out) as bar:
        bar.advance(10)
    with progress(10, "fit", enabled=False, stream=out) as bar:
        clock[0] += 100
        bar.advance(10)
    assert out.getvalue() == ""


def test_an_unknown_total(clock):
    out = io.StringIO()
    with progress(None, "read", stream=out) as bar:
        clock[0] += 11
        bar.advance(22)
    assert out.getvalue() == "read: 22, 2/s\n"


def test_a_terminal_gets_a_bar():
    out = Terminal()
    with progress(3, "map [1]", stream=out) as bar:
        for _ in range(3):
            bar.advance(score=0.5)
    assert "map [1]" in out.getvalue() and "3/3" in out.getvalue() and "score 0.5" in out.getvalue()


def test_the_bar_is_taken_down_on_errors():
    out = Terminal()
    before = threading.active_count()  # of which one draws the bar meanwhile
    with pytest.raises(ZeroDivisionError), progress(3, "map", stream=out):
        raise ZeroDivisionError
    deadline = time.time() + 10
    while threading.active_count() > before and time.time() < deadline:
        time.sleep(0.01)
    assert threading.active_count() == before


def test_threads_lose_no_count():
    with progress(None, "x", enabled=False) as bar:
        threads = [threading.Thread(target=lambda: [bar.advance() for _ in range(2000)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert bar.done == 8000


@pytest.mark.parametrize(("seconds", "text"), [(3.2, "3 s"), (200, "3 min"), (7200, "2.0 h")])
def test_durations(seconds, text):
    assert module._duration(seconds) == text
