"""Windows on several processes and on a cluster: the same bytes, and deaths that are noticed."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import pytest

from ecotone.data.rasters import RasterStack
from ecotone.errors import EcotoneWarning, InputError, InterruptedRunError, MissingDependencyError, UsageError
from ecotone.mapping import cluster, pool
from ecotone.mapping.windows import make_map

TAGS = {"ECOTONE_MODEL": "m1"}


@pytest.fixture
def stack(pair):
    return RasterStack.open(pair)


def content(files):
    return [f.read_bytes() for f in files]


def test_workers_change_no_byte_and_pass_on_warnings_once(tmp_path, stack, toys):
    whole = content(make_map(toys.Sum(), stack, tmp_path / "whole.tif", tags=TAGS, progress=False))
    told = []
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", EcotoneWarning)
        files = make_map(
            toys.Sum(warn=True), stack, tmp_path / "m.tif", window=30, workers=2, tags=TAGS,
            progress=lambda done, total: told.append((done, total)),
        )  # fmt: skip
    assert content(files) == whole and told == [(i, 9) for i in range(1, 10)]
    codes = [w.message.code for w in said if isinstance(w.message, EcotoneWarning)]
    assert set(codes) == {"DA402"}


def test_a_worker_that_dies_is_replaced(tmp_path, stack, toys):
    whole = content(make_map(toys.Sum(), stack, tmp_path / "whole.tif", tags=TAGS, progress=False))
    system = toys.Sum(die_once=str(tmp_path / "died"))
    files = make_map(system, stack, tmp_path / "m.tif", window=30, workers=2, tags=TAGS, progress=False)
    assert (tmp_path / "died").exists() and content(files) == whole


def test_a_window_that_brings_down_every_worker_stops_the_map(tmp_path, stack, toys, monkeypatch):
    monkeypatch.setattr(pool, "TRIES", 2)
    out = tmp_path / "m.tif"
    with pytest.raises(InterruptedRunError) as caught:
        make_map(toys.Sum(die=True), stack, out, window=30, workers=2, tags=TAGS, progress=False)
    assert (
        caught.value.code == "ST106"
        and caught.value.exit_status == 6
        and "finished windows are kept" in str(caught.value)
    )
    assert not out.exists()


def test_what_goes_wrong_in_a_worker_is_told_as_it_is(tmp_path, stack, pair, toys):
    content = bytearray(pair[1].read_bytes())
    content[-6000:] = b"\xff" * 6000
    stored = pair[1].stat()
    system = toys.Sum()
    system.lock = lambda: None  # cannot be sent to another process
    with pytest.raises(UsageError) as caught:
        make_map(system, stack, tmp_path / "m.tif", workers=2, progress=False)
    assert caught.value.code == "US105" and "save it" in str(caught.value)
    with pytest.raises(UsageError):
        make_map(toys.Sum(), stack, tmp_path / "m.tif", workers=0, progress=False)
    assert stored.st_size == len(content) and not list(tmp_path.glob("m*")) and not list(tmp_path.glob(".*"))


def test_a_raster_that_vanishes_is_told_by_workers_too(tmp_path, stack, pair, toys, monkeypatch):
    monkeypatch.setattr("ecotone.mapping.run._CHECK_S", 0.0)

    def vanish(done, total):
        if done == 2:
            pair[1].rename(tmp_path / "elsewhere")

    with pytest.raises(InputError) as caught:
        make_map(toys.Sum(sleep_s=0.05), stack, tmp_path / "m.tif", window=30, workers=1, tags=TAGS, progress=vanish)
    assert caught.value.code == "IO101" and "b.tif" in caught.value.where


# ------------------------------------------------------------------------------------------------ cluster
@pytest.fixture(scope="module")
def scheduler():
    import dask
    from distributed import LocalCluster

    sys.path.insert(0, str(Path(__file__).parent))  # workers import the toys
    quiet = {"distributed.worker.daemon": True, "distributed.scheduler.allowed-failures": 1}
    with dask.config.set(quiet), LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50, memory_limit=0,
    ) as local:  # fmt: skip
        yield local.scheduler_address
    sys.path.remove(str(Path(__file__).parent))


def test_a_cluster_changes_no_byte(tmp_path, stack, toys, scheduler):
    whole = content(make_map(toys.Sum(), stack, tmp_path / "whole.tif", tags=TAGS, progress=False))
    told, plans = [], []
    files = make_map(
        toys.Sum(die_once=str(tmp_path / "died")), stack, tmp_path / "m.tif", window=30, scheduler=scheduler, tags=TAGS,
        progress=lambda done, total: told.append(done), tell=plans.append,
    )  # fmt: skip
    assert content(files) == whole and told == list(range(1, 10)), "one worker died on the way"
    assert (tmp_path / "died").exists()
    assert any("workers of the cluster" in line for line in plans[0].lines())


def test_a_cluster_that_loses_its_workers(tmp_path, stack, toys, scheduler):
    with pytest.raises(InterruptedRunError) as caught:
        make_map(
            toys.Sum(die=True), stack, tmp_path / "m.tif", window=30, scheduler=scheduler, tags=TAGS, progress=False
        )
    assert caught.value.code == "ST106" and "\n" not in str(caught.value)
    with pytest.raises(InputError) as caught:
        stack.sources[0].path.rename(tmp_path / "x")
        make_map(toys.Sum(), stack, tmp_path / "m.tif", window=30, scheduler=scheduler, tags=TAGS, progress=False)
    assert caught.value.code == "IO101"


def test_no_scheduler_and_no_dask(tmp_path, stack, toys, monkeypatch):
    monkeypatch.setattr(cluster, "CONNECT_S", 0.3)
    for address, kind, code in [
        ("tcp://127.0.0.1:9", InterruptedRunError, "ST106"), ("nonsense://x", UsageError, "US104"),
    ]:  # fmt: skip
        with pytest.raises(kind) as caught:
            make_map(toys.Sum(), stack, tmp_path / "m.tif", scheduler=address, tags=TAGS, progress=False)
        assert caught.value.code == code
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'ecotone\[cluster\]'") as caught:
        make_map(toys.Sum(), stack, tmp_path / "m.tif", scheduler="tcp://127.0.0.1:9", tags=TAGS, progress=False)
    assert caught.value.code == "MD101" and caught.value.exit_status == 4
    assert not list(tmp_path.glob(".*"))
