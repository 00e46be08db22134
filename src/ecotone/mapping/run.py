"""Doing the windows of a map in this process, and noting each one when its layers are in place."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

from ecotone.abilities import Maps
from ecotone.data.raster_grid import Window
from ecotone.data.raster_layers import Layers
from ecotone.errors import EcotoneError
from ecotone.files.atomic import write_problem
from ecotone.mapping.answer import MapJob, answer, read_window
from ecotone.mapping.journal import Done, Journal
from ecotone.mapping.layers import OpenLayers

Task = tuple[int, Window]
Note = Callable[[int, Done], None]
_CHECK_S = 1.0


class Watch:
    """Looks at the rasters now and then, so that one that changes or vanishes stops the map."""

    def __init__(self, job: MapJob) -> None:
        self._job, self._next = job, 0.0

    def __call__(self, *, now: bool = False) -> None:
        """Checks when a second has gone by since the last check, or at once.

        Raises:
            EcotoneError: IO101, IN104.
        """
        if now or time.monotonic() >= self._next:
            self._job.check_stamps()
            self._next = time.monotonic() + _CHECK_S


def noting(journal: Journal, tell: Callable[[], None]) -> Note:
    """What is called with every finished window: writes the journal, then tells."""

    def note(index: int, done: Done) -> None:
        try:
            journal.append(index, done)
        except OSError as error:
            raise write_problem(journal.path, error) from error
        tell()

    return note


def run_here(job: MapJob, system: Maps, tasks: Sequence[Task], layers: OpenLayers, note: Note) -> None:
    """Reads, answers and stores windows one after the other, the next one being read meanwhile.

    Raises:
        EcotoneError: ST102, ST104 when the disk is full or refuses, IO101, IO102, IN104 when a raster breaks.
    """
    watch = Watch(job)
    with closing(_read_ahead(job, tasks)) as ahead:
        for index, window, parts in ahead:
            found = answer(job, system, window, parts)
            watch()
            note(index, Done(found.valid, store(layers, window, found.layers)))
            del parts, found  # before the window after the next is read
    watch(now=True)


def store(layers: OpenLayers, window: Window, answers: list) -> int:
    """Writes a window's layers; returns their checksum.

    Raises:
        EcotoneError: ST102, ST104.
    """
    try:
        return layers.write(window, answers)
    except OSError as error:
        raise write_problem(layers.raw.folder, error) from error


def _read_ahead(job: MapJob, tasks: Sequence[Task]) -> Generator[tuple[int, Window, list[Layers]]]:
    """Reads the next window in a second thread while the present one is predicted."""

    def read(window: Window) -> list[Layers]:
        try:
            return read_window(job, window)
        except EcotoneError:
            job.check_stamps()  # a file that changed or vanished is told as such
            raise

    reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="read-ahead")
    try:
        previous = None
        for index, window in tasks:
            ahead = (index, window, reader.submit(read, window))
            if previous is not None:
                yield previous[0], previous[1], previous[2].result()
            previous = ahead
        if previous is not None:
            yield previous[0], previous[1], previous[2].result()
    finally:
        reader.shutdown(wait=True, cancel_futures=True)
