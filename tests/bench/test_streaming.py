"""The small form of `ecotone bench streaming`: memory does not grow with the number of sites."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from ecotone.bench import streaming
from ecotone.bench.registry import BENCHES
from ecotone.bench.streaming import Options, run, simulate
from ecotone.errors import EcotoneError
from ecotone.stats.ranking import auc

SMALL = Options(
    sites=(10_000, 200_000), species=40, covariates=5, steps=40, warm_up=5, batch_size=100, width=32, speed=False
)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_twenty_times_the_sites_take_the_same_memory():
    result = run(SMALL, progress=False)
    few, many = result.rows
    assert (few["sites"], many["sites"]) == (10_000, 200_000)
    assert many["store_mb"] > 15 * few["store_mb"]
    for name in ("warm_mb", "peak_mb", "after_mb", "peak_with_calibration_mb"):
        assert many[name] < 1.1 * few[name], name
    assert "grows by" in result.lines[-1]


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
