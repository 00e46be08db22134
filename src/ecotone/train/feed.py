"""Batches in order, prepared ahead by background threads.

Threads suffice: reading, decoding and array work release the interpreter lock, and tasks may hold open files and large
arrays that need not be copied. Since a batch is a pure function of its position, threads only change when it is made.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from ecotone.train.task import Position

AHEAD = 2  # batches in flight per worker


def positions(start: int, stop: int, per_epoch: int, *, rank: int, world: int, seed: int) -> Iterator[Position]:
    """The positions of steps `start` to `stop` - 1."""
    for step in range(start, stop):
        epoch, within = divmod(step, per_epoch)
        yield Position(epoch, within, step, rank, world, seed)


@contextmanager
def feed(
    fetch: Callable[[Position], Any], order: Iterator[Position], workers: int
) -> Iterator[Iterator[tuple[Position, Any]]]:
    """Yields an iterator over (position, batch).

    Args:
        fetch: Makes the batch of a position.
        order: Positions, in the order wanted.
        workers: Threads; 0 makes each batch when it is asked for.
    """
    if workers == 0:
        yield ((at, fetch(at)) for at in order)
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="ecotone-batch")
    try:
        yield _ahead(pool, fetch, order, workers * AHEAD)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _ahead(
    pool: ThreadPoolExecutor, fetch: Callable[[Position], Any], order: Iterator[Position], depth: int
) -> Iterator[tuple[Position, Any]]:
    waiting: deque[tuple[Position, Future[Any]]] = deque()
    for at in order:
        waiting.append((at, pool.submit(fetch, at)))
        if len(waiting) > depth:
            first, batch = waiting.popleft()
            yield first, batch.result()
    while waiting:
        first, batch = waiting.popleft()
        yield first, batch.result()
