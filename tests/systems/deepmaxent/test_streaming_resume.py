"""A training from a store that is killed at any step and started again ends in the same bits."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import stream_kills

from ecotone.data.site_store import SiteStore
from ecotone.errors import IntegrityError
from ecotone.systems.deepmaxent.estimator import DeepMaxent


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_in_mid_epoch_and_run_again_gives_the_same_bits(tmp_path):
    script = Path(__file__).with_name("stream_kills.py")
    command = [sys.executable, str(script), str(tmp_path), os.environ.get("ECOTONE_KILL_SEED", "1")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    kills = json.loads(done.stdout)
    assert sum(kills.values()) == 5
    expected = np.load(tmp_path / "whole.npz")
    files = {p.name: p.read_bytes() for p in (tmp_path / "whole").rglob("*") if p.is_file()}
    assert "step-000000027.safetensors" in files
    for name in kills:
        found = np.load(tmp_path / f"{name}.npz")
        for key in expected.files:
            np.testing.assert_array_equal(found[key], expected[key], err_msg=f"{name} {key}")
        assert {p.name: p.read_bytes() for p in (tmp_path / name).rglob("*") if p.is_file()} == files


def test_another_store_or_sample_is_refused_on_resume(tmp_path):
    stream_kills.make(tmp_path)
    options = stream_kills.OPTIONS | {"epochs": 1}
    store = SiteStore(tmp_path / "store")
    DeepMaxent(**options).fit_store(store, folder=tmp_path / "run")
    every = store.sample(10**6)
    counts = every.counts.copy()
    counts.data[3] += 1
    other = SiteStore.from_arrays(tmp_path / "other", every.covariates, counts, background=store.background()[0])
    for changed, more in ((other, {}), (store, {"sample": 30})):
        with pytest.raises(IntegrityError) as caught:
            DeepMaxent(**options).fit_store(changed, folder=tmp_path / "run", **more)
        assert caught.value.code == "IN103"
