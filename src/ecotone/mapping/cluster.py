"""Windows on the workers of a dask.distributed cluster.

Workers read the rasters and the model under the same paths as this process (a shared file system) and send their answers
back; this process stores them and keeps the journal. dask starts a window again elsewhere when its worker dies.
"""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from ecotone.data.rasters import RasterStack
from ecotone.errors import (
    EcotoneError,
    EcotoneWarning,
    IntegrityError,
    InterruptedRunError,
    MissingDependencyError,
    UsageError,
)
from ecotone.mapping.answer import Answer, MapJob, answer, read_window
from ecotone.mapping.journal import Done
from ecotone.mapping.layers import OpenLayers
from ecotone.mapping.run import Note, Task, Watch, store

CONNECT_S = 10.0
_AHEAD = 2
_LOADED: OrderedDict[str, Any] = OrderedDict()
_KEEP = 2


@contextmanager
def connected(address: str) -> Iterator[Any]:
    """A client of the cluster.

    Raises:
        MissingDependencyError: MD101 without dask.
        InterruptedRunError: ST106 when nobody answers at the address or the cluster has no worker.
        UsageError: US104 for an address that is none.
    """
    try:
        import distributed
    except ImportError:
        fix = "install it: pip install 'ecotone[cluster]'"
        raise MissingDependencyError("MD101", "--scheduler", "dask.distributed is not installed", fix) from None
    from dask import config as dask_config

    try:
        # nobody is asked for a dashboard, and messages of the event loop stay out of the way
        with dask_config.set({"distributed.comm.retry.count": 0, "distributed.logging.distributed": "critical"}):
            client = distributed.Client(address, timeout=CONNECT_S, set_as_default=False)
    except (OSError, TimeoutError) as error:
        fix = "check the address and that the scheduler runs; finished windows are kept"
        raise InterruptedRunError("ST106", address, f"no scheduler answers ({_short(error)})", fix) from None
    except ValueError as error:
        raise UsageError("US104", "scheduler", _short(error), "write for example tcp://10.0.0.5:8786") from None
    try:
        yield client
    finally:
        client.close(timeout=5)


def worker_count(client: Any) -> int:
    """Windows the cluster does at a time.

    Raises:
        InterruptedRunError: ST106 when there is no worker within ten seconds.
        MissingDependencyError: MD101 when a worker lacks this package.
        IntegrityError: IN104 when one has another version of it.
    """
    try:
        client.wait_for_workers(1, timeout=CONNECT_S)
    except (TimeoutError, OSError):
        where, fix = client.scheduler.address, "start workers and run the same command again"
        raise InterruptedRunError("ST106", where, "the cluster has no workers", fix) from None
    from importlib.metadata import version

    # what a worker cannot import would break its connection without a word of why
    found = client.run(version, "ecotone", on_error="return")
    for address, told in found.items():
        if isinstance(told, BaseException):
            where, fix = f"worker {address}", "install the same ecotone on every worker"
            raise MissingDependencyError("MD101", where, f"has no ecotone ({_short(told)})", fix)
    if len({*found.values(), version("ecotone")}) > 1:
        what = f"they have ecotone {', '.join(sorted({*found.values()}))}, here is {version('ecotone')}"
        raise IntegrityError("IN104", "workers", what, "install the same version everywhere")
    return max(1, sum(client.nthreads().values()))


def run_cluster(
    job: MapJob,
    tasks: Sequence[Task],
    layers: OpenLayers,
    note: Note,
    *,
    client: Any,
    workers: int,
    cache: int,
    key: str,
) -> None:
    """Does the windows on a cluster.

    Args:
        job: What is asked.
        tasks: Number and place of each window.
        layers: Where answers go.
        note: Called with every finished window.
        client: From `connected`.
        workers: Windows at a time.
        cache: GDAL's block cache of each worker, bytes.
        key: Names the map, so that a worker loads its model once.

    Raises:
        InterruptedRunError: ST106 when the cluster is lost or a window brings down its workers.
        EcotoneError: What a worker ran into.
    """
    from distributed import as_completed

    sent = _absolute(job)
    rest, told, watch = iter(tasks), set[str](), Watch(job)
    running: dict[Any, Task] = {}

    def submit() -> Any | None:
        task = next(rest, None)
        if task is None:
            return None
        future = client.submit(remote_window, sent, task[1], cache, key, pure=False, key=f"{key}-{task[0]}")
        running[future] = task
        return future

    first = [f for f in (submit() for _ in range(_AHEAD * workers)) if f is not None]
    queue = as_completed(first, loop=client.loop)
    try:
        for future in queue:
            index, window = running.pop(future)
            found, said = _result(future, index, job)
            for warning in said:
                if str(warning) not in told:
                    told.add(str(warning))
                    warnings.warn(warning, stacklevel=3)
            watch()
            note(index, Done(found.valid, store(layers, window, found.layers)))
            del found
            future.release()
            more = submit()
            if more is not None:
                queue.add(more)
    finally:
        if running:
            client.cancel(list(running), force=True)
    if running or next(rest, None) is not None:
        fix = "finished windows are kept; run the same command again"
        raise InterruptedRunError("ST106", "--scheduler", "the cluster was lost", fix)
    watch(now=True)


def remote_window(job: MapJob, window: Any, cache: int, key: str) -> tuple[Answer, list[EcotoneWarning]]:
    """One window on a worker."""
    from ecotone.data.raster_open import quiet_gdal

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", EcotoneWarning)
        if key not in _LOADED:
            _LOADED[key] = job.load()
            while len(_LOADED) > _KEEP:
                _LOADED.popitem(last=False)
        job.check_stamps()
        with quiet_gdal(GDAL_CACHEMAX=cache):
            found = answer(job, _LOADED[key], window, read_window(job, window))
    return found, [w.message for w in said if isinstance(w.message, EcotoneWarning)]


def _absolute(job: MapJob) -> MapJob:
    """The job as processes with another working folder can do it."""

    def moved(stack: RasterStack) -> RasterStack:
        return replace(stack, sources=tuple(replace(s, path=s.path.absolute()) for s in stack.sources))

    return replace(
        job,
        stack=moved(job.stack),
        baseline=None if job.baseline is None else moved(job.baseline),
        watched=tuple((str(Path(path).absolute()), stamp) for path, stamp in job.watched),
        folder=None if job.folder is None else job.folder.absolute(),
        system=None if job.folder is not None else job.system,
    )


def _result(future: Any, index: int, job: MapJob) -> tuple[Answer, list[EcotoneWarning]]:
    from distributed import CancelledError, KilledWorker
    from distributed.scheduler import NoValidWorkerError

    fix = "finished windows are kept; check its memory and log, then run the same command again"
    try:
        return future.result()
    except EcotoneError:
        job.check_stamps()
        raise
    except (KilledWorker, NoValidWorkerError):
        raise InterruptedRunError("ST106", f"window {index}", "workers died on it one after the other", fix) from None
    except (CancelledError, OSError, TimeoutError) as error:
        raise InterruptedRunError("ST106", "--scheduler", f"the cluster was lost ({_short(error)})", fix) from None
    except ModuleNotFoundError as error:
        what = f"they lack a package ({error})"
        raise MissingDependencyError("MD101", "workers", what, "install the same ecotone on every worker") from None
    except AttributeError as error:
        what = f"they run another version ({_short(error)})"
        raise IntegrityError("IN104", "workers", what, "install the same ecotone on every worker") from None


def _short(error: BaseException) -> str:
    return (" ".join(str(error).split()) or type(error).__name__)[:120]
