"""Windows on several processes of this machine.

Each process is started afresh (spawned), loads the model from its folder, opens the rasters itself and writes its
windows into the raw layers; this process hands out windows and keeps the journal. A worker that dies is noticed at once
and its window tried again by another.
"""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing import connection, get_context
from typing import Any

from ecotone.errors import EcotoneError, EcotoneWarning, InterruptedRunError, UsageError
from ecotone.mapping.answer import MapJob, answer, read_window
from ecotone.mapping.journal import Done
from ecotone.mapping.layers import RawLayers
from ecotone.mapping.run import Note, Task, Watch, store

TRIES = 3
"""How often a window is given to a worker before the map stops."""

_WAIT_S = 1.0


def run_pool(job: MapJob, tasks: Sequence[Task], raw: RawLayers, note: Note, *, workers: int, cache: int) -> None:
    """Does the windows on `workers` processes.

    Args:
        job: What is asked; its system is sent along when there is no folder to load it from.
        tasks: Number and place of each window.
        raw: Where answers go.
        note: Called in this process with every finished window.
        workers: Processes.
        cache: GDAL's block cache of each, bytes.

    Raises:
        InterruptedRunError: ST106 when a window brings down one worker after the other.
        EcotoneError: What a worker ran into.
    """
    crew = _Crew(replace(job, system=None if job.folder is not None else job.system), raw, cache)
    waiting, tries, told = deque(tasks), Counter[int](), set[str]()
    watch = Watch(job)
    try:
        for _ in range(min(workers, len(waiting))):
            crew.hire()
        while waiting or any(member.task is not None for member in crew.members):
            for member in list(crew.members):
                if member.ready and member.task is None and waiting:
                    if not crew.send(member, waiting[0]):
                        crew.dismiss(member)
                        crew.hire()
                        continue
                    tries[waiting.popleft()[0]] += 1
            for member in crew.wait(_WAIT_S):
                said = crew.hear(member)
                if said is None:
                    task = member.task
                    crew.dismiss(member)
                    _lost(task, tries, crew)
                    if task is not None:
                        waiting.appendleft(task)
                    crew.hire()
                    continue
                kind, *rest = said
                if kind == "warning":
                    if str(rest[0]) not in told:
                        told.add(str(rest[0]))
                        warnings.warn(rest[0], stacklevel=3)
                elif kind == "error":
                    raise rest[0]
                elif kind == "ready":
                    member.ready, crew.stillborn = True, 0
                elif kind == "done":
                    member.task = None
                    note(rest[0], rest[1])
            watch()
        watch(now=True)
    finally:
        crew.close()


def _lost(task: Task | None, tries: Counter[int], crew: _Crew) -> None:
    crew.stillborn += task is None
    times = tries[task[0]] if task is not None else crew.stillborn
    if times >= TRIES:
        where = f"window {task[0]}" if task is not None else "workers"
        what = f"{times} workers died on it one after the other" if task is not None else "they die as they start"
        fix = "finished windows are kept; give more --memory or fewer --workers and run the same command again"
        raise InterruptedRunError("ST106", where, what, fix)


@dataclass(eq=False)
class _Member:
    process: Any
    line: Any
    task: Task | None = None
    ready: bool = False


class _Crew:
    def __init__(self, job: MapJob, raw: RawLayers, cache: int) -> None:
        self.job, self.raw, self.cache = job, raw, cache
        self.members: list[_Member] = []
        self.stillborn = 0
        self._context = get_context("spawn")

    def hire(self) -> None:
        here, there = self._context.Pipe()
        arguments = (there, self.job, self.raw, self.cache)
        process = self._context.Process(target=_work, args=arguments, daemon=True, name="ecotone-map")
        try:
            process.start()
        except (TypeError, AttributeError, ValueError) as error:  # what cannot be sent to another process
            fix = "save it and map the folder, or use one worker"
            raise UsageError("US105", "workers", f"the system in memory cannot be sent ({error})"[:200], fix) from None
        finally:
            there.close()
        self.members.append(_Member(process, here))

    def send(self, member: _Member, task: Task) -> bool:
        with suppress(OSError):
            member.line.send(task)
            member.task = task
            return True
        return False

    def hear(self, member: _Member) -> tuple[Any, ...] | None:
        try:
            return member.line.recv()
        except (EOFError, OSError):
            return None

    def wait(self, seconds: float) -> list[_Member]:
        lines = {member.line: member for member in self.members}
        return [lines[line] for line in connection.wait(list(lines), seconds) if line in lines]

    def dismiss(self, member: _Member) -> None:
        self.members.remove(member)
        member.line.close()
        if member.process.is_alive():
            member.process.kill()
        member.process.join(10)

    def close(self) -> None:
        for member in self.members:
            with suppress(OSError):
                member.line.close()
        for member in self.members:
            member.process.terminate()
        for member in self.members:
            member.process.join(5)
            if member.process.is_alive():
                member.process.kill()
                member.process.join(5)
        self.members.clear()


def _work(line: Any, job: MapJob, raw: RawLayers, cache: int) -> None:
    """The life of a worker: ready, then windows until the other side hangs up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("always", EcotoneWarning)
                warnings.showwarning = lambda said, *_, **__: _pass_on(line, said)  # type: ignore[assignment]
                _windows(line, job, raw, cache)
        except EcotoneError as error:
            line.send(("error", error))
        except (EOFError, BrokenPipeError, ConnectionResetError):
            raise
        except MemoryError:
            what, fix = "out of memory", "use fewer workers or smaller windows, then run the same command again"
            line.send(("error", InterruptedRunError("ST106", "a worker", what, fix)))
        except Exception as error:
            line.send(("error", RuntimeError(f"in a worker: {type(error).__name__}: {error}"[:500])))


def _windows(line: Any, job: MapJob, raw: RawLayers, cache: int) -> None:
    from ecotone.data.raster_open import quiet_gdal

    system = job.load()
    if job.threads and "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(job.threads)
    watch = Watch(job)
    with quiet_gdal(GDAL_CACHEMAX=cache), raw.opened() as layers:
        line.send(("ready",))
        while True:
            index, window = line.recv()
            try:
                found = answer(job, system, window, read_window(job, window))
            except EcotoneError:
                watch(now=True)
                raise
            watch()
            line.send(("done", index, Done(found.valid, store(layers, window, found.layers))))
            del found


def _pass_on(line: Any, said: Any) -> None:
    if isinstance(said, EcotoneWarning):
        line.send(("warning", said))
