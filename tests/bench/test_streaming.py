"""The small form of `ecotone bench streaming`: memory does not grow with the number of sites."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from ecotone.bench import streaming
from ecotone.bench.registry import BENCHES
from ecotone.bench.streaming import Options, run, simulate
from ecotone.errors import EcotoneError
from ecotone.files.atomic import write_json
from ecotone.stats.ranking import auc

SMALL = Options(
    sites=(20_000, 170_000), species=40, covariates=64, records=1.0, steps=40, warm_up=5, batch_size=100, width=32,
    speed=False,
)  # fmt: skip


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Both sizes in one process that imports once, the larger after the smaller: its peak then shows what is more.

    The smaller is measured twice, so that what the first training leaves behind is in both.
    """
    folder, names, rows = tmp_path_factory.mktemp("memory"), [], []
    for n in SMALL.sites:
        with simulate(folder / f"sites-{n}", n, SMALL) as store:
            rows.append({"store_mb": sum(p.stat().st_size for p in store.folder.iterdir()) / 1e6})
            names.append(folder / f"{n}.json")
            told = {"part": "memory", "store": str(store.folder), "answer": str(folder / f"{n}-said.json")}
            write_json(names[-1], told | {"options": SMALL.model_dump()})
    code = "import sys, pathlib\nfrom ecotone.bench.streaming_child import main\n[main(pathlib.Path(j)) for j in sys.argv[1:]]"
    subprocess.run([sys.executable, "-c", code, *map(str, [names[0], *names])], check=True, timeout=300)
    return [row | json.loads((folder / f"{n}-said.json").read_text()) for row, n in zip(rows, SMALL.sites, strict=True)]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_eight_times_the_sites_take_the_same_memory(measured):
    few, many = measured
    more = many["store_mb"] - few["store_mb"]
    assert more > 35
    for name in ("warm_mb", "peak_mb", "after_mb", "peak_with_calibration_mb"):
        assert many[name] < 1.1 * few[name], name
        assert many[name] - few[name] < more / 2, f"{name}: the store is being held"


def test_all_sizes_are_measured_and_summed_up(monkeypatch):
    asked = []
    monkeypatch.setattr(
        streaming, "_child", lambda part, folder, _: asked.append((part, folder.name)) or {"peak_mb": 100}
    )
    result = run(SMALL.model_copy(update={"sites": (300, 900), "covariates": 3}), progress=False)
    assert asked == [("memory", "sites-300"), ("memory", "sites-900")]
    assert [row["sites"] for row in result.rows] == [300, 900]
    assert result.lines[-1] == "peak memory grows by 0.0 % from 300 to 900 sites"


def test_the_simulated_world_depends_on_the_seed_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(streaming, "CHUNK", 500)
    options = Options(species=30, covariates=4, records=2.0)
    one, again = (simulate(tmp_path / name, 1700, options) for name in "ab")
    other = simulate(tmp_path / "c", 1700, options.model_copy(update={"seed": 1}))
    assert one.id == again.id != other.id
    every = one.sample(1700)
    assert 1.0 < one.n_entries / 1700 < 4.0
    assert one.records.max() > 4 * np.median(one.records)
    niche = np.random.default_rng([0, 1])  # the first species prefers its optimum
    axis, optimum = niche.integers(0, 4, 30), niche.normal(size=30)
    nearness = -((every.covariates[:, axis[0]] - optimum[0]) ** 2)
    assert auc(nearness, (every.counts[:, [0]].toarray()[:, 0] > 0).astype(float)) > 0.6


def test_it_is_registered_and_says_what_failed(tmp_path, monkeypatch):
    assert "streaming" in BENCHES
    failed = subprocess.CompletedProcess([], 1, "", "Traceback\nMemoryError: no room")
    monkeypatch.setattr(streaming.subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(EcotoneError, match="measuring memory: MemoryError: no room") as caught:
        streaming._child("memory", tmp_path / "none", SMALL)
    assert caught.value.code == "ST101"
