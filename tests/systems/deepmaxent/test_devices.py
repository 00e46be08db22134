"""Several processes that share each batch learn what one process learns; with normalisers of their own they do not.

A training from a store that is killed at any step and started again ends in the same bits.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import shared_script
import torch
from safetensors.torch import load_file

from ecotone.data.site_store import SiteStore
from ecotone.errors import EcotoneError, InterruptedRunError, UsageError
from ecotone.files.lock import FolderLock
from ecotone.systems.deepmaxent import launch
from ecotone.systems.deepmaxent.config import Config
from ecotone.systems.deepmaxent.engine import restore
from ecotone.systems.deepmaxent.estimator import DeepMaxent
from ecotone.train.task import Plan, Position

pytestmark = pytest.mark.skipif(
    not (torch.distributed.is_available() and hasattr(os, "fork")), reason="needs fork and torch.distributed"
)
RTOL, ATOL = 1e-4, 5e-5  # float32 sums in another order, through 12 steps of Adam
FREE = "biases.3"  # of the output: the loss does not depend on it, so Adam walks it along the rounding of its gradient


@pytest.fixture(scope="module")
def children(tmp_path_factory):
    """Folder of what other processes did, and how often each training was killed."""
    folder = tmp_path_factory.mktemp("shared")
    script = Path(shared_script.__file__).with_name("stream_children.py")
    done = subprocess.run(
        [sys.executable, str(script), str(folder)],
        env=launch._environment(None),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder, json.loads(done.stdout)


@pytest.fixture(scope="module")
def trained(children):
    """All cases by two processes over gloo, and by this one."""
    folder, _ = children
    before = os.environ.pop("LOCAL_RANK", None)
    shared_script.main(folder)
    if before is not None:
        os.environ["LOCAL_RANK"] = before
    return folder


def gap(folder, name):
    one, two = (load_file(folder / f"{first}{name}.safetensors") for first in ("alone-", ""))
    assert one.keys() == two.keys()
    return one, two


@pytest.mark.parametrize("name", [n for n in shared_script.CASES if n != "naive"])
def test_two_processes_learn_what_one_does(trained, name):
    one, two = gap(trained, name)
    start = shared_script.task_of(name, trained).module.state_dict()
    for key, value in one.items():
        tolerance = {"rtol": RTOL, "atol": 1e-3 if key.endswith(FREE) else ATOL}
        torch.testing.assert_close(two[key], value, **tolerance, msg=lambda m, k=key: f"{k}: {m}")
    moved = max(float((one[k] - start[k]).abs().max()) for k in one if k.startswith("network.weights"))
    assert moved > 0.03


@pytest.mark.parametrize("name", shared_script.LOGGED)
def test_the_logged_loss_is_that_of_the_whole_batch(trained, name):
    ours, theirs = ((trained / f"{f}run-{name}" / "metrics.csv").read_text().split() for f in ("", "alone-"))
    for one, other in zip(ours[1:], theirs[1:], strict=True):
        assert float(one.split(",")[-1]) == pytest.approx(float(other.split(",")[-1]), rel=1e-4)


def test_normalisers_of_their_own_learn_something_else(trained):
    one, two = gap(trained, "naive")
    off = max(float((one[k] - two[k]).abs().max()) for k in one if k.startswith("network.weights"))
    assert off > 100 * ATOL


@pytest.mark.parametrize("name", ["stack-full", "stream"])
def test_shares_are_disjoint_and_cover_the_batch(tmp_path, name):
    shared_script.make_store(tmp_path)
    task = shared_script.task_of(name, tmp_path)
    whole = task.batch(Position(0, 2, 2))
    shares = [task.batch(Position(0, 2, 2, rank, 3)) for rank in range(3)]
    columns = np.concatenate([s["share"].columns for s in shares])
    assert sorted(columns) == list(range(whole["features"].shape[1]))
    for key in ("features", "log_weight"):
        torch.testing.assert_close(torch.cat([s[key] for s in shares], 1), whole[key][:, columns], rtol=0, atol=0)
    dense = [c["counts"] if torch.is_tensor(c["counts"]) else c["counts"].dense() for c in (*shares, whole)]
    torch.testing.assert_close(torch.cat(dense[:-1], 1), dense[-1][:, columns], rtol=0, atol=0)


def test_killed_in_mid_epoch_and_run_again_gives_the_same_bits(children):
    folder, kills = children[0] / "kills", children[1]
    assert sum(kills.values()) == 2
    expected = np.load(folder / "whole.npz")
    files = {p.name: p.read_bytes() for p in (folder / "whole").rglob("*") if p.is_file()}
    assert "step-000000027.safetensors" in files
    for name in kills:
        found = np.load(folder / f"{name}.npz")
        for key in expected.files:
            np.testing.assert_array_equal(found[key], expected[key], err_msg=f"{name} {key}")
        assert {p.name: p.read_bytes() for p in (folder / name).rglob("*") if p.is_file()} == files


# ------------------------------------------------------------------------------------------- starting and ending them
OPTIONS = {"epochs": 2, "width": 8, "blocks": 1, "members": 1, "batch_size": 20, "min_steps": 0, "dropout": 0.3}


def test_the_devices_option_starts_and_ends_the_processes(tmp_path):
    """From an ordinary process, which holds the run folder, as the command line does."""
    shared_script.make_store(tmp_path)
    store = SiteStore(tmp_path / "store")
    with FolderLock(tmp_path / "run"):
        two = DeepMaxent(**OPTIONS, devices=2).fit_store(store, folder=tmp_path / "run")
    one = DeepMaxent(**OPTIONS).fit_store(store)
    assert (tmp_path / "run" / "metrics.csv").exists()
    for a, b in zip(one.network_.weights, two.network_.weights, strict=True):
        torch.testing.assert_close(a, b, rtol=RTOL, atol=ATOL)
    x = store.sample(100).covariates
    np.testing.assert_allclose(one.predict(x), two.predict(x), rtol=1e-3, atol=1e-4)


def test_sites_in_memory_reach_the_other_processes(tmp_path):
    task = shared_script.task_of("stack-full", tmp_path)
    assert task.describe(tmp_path) == {}
    again = restore(tmp_path, task.members, task.config, task.device)
    for key, value in task.batch(Position(1, 1, 5)).items():
        torch.testing.assert_close(again.batch(Position(1, 1, 5))[key], value, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("told", "kind"),
    [
        ({"kind": "UsageError", "code": "US104", "where": "w", "what": "x", "fix": "y"}, UsageError),
        ({"kind": "bug", "what": "ValueError: no"}, RuntimeError),
        (None, RuntimeError),
    ],
)
def test_what_a_process_says_is_raised_here(tmp_path, told, kind):
    if told is not None:
        (tmp_path / "error-1.json").write_text(json.dumps(told))
    with pytest.raises(kind) as caught:
        launch._failed(tmp_path, 2, interrupted=False, where="run")
    if kind is UsageError:
        assert (caught.value.code, str(caught.value)) == ("US104", "w: x - y")


def test_an_early_interruption_is_said():
    with pytest.raises(InterruptedRunError) as caught:
        launch._failed(Path("nowhere"), 2, interrupted=True, where="run")
    assert caught.value.code == "ST101"


def test_a_killed_process_is_said_rather_than_the_words_of_its_fellows(tmp_path, monkeypatch):
    """The other one is told of a broken connection, and ends with an error of its own."""
    code = "import os, sys; r = os.environ['LOCAL_RANK']; r == '1' and os.kill(os.getpid(), 9); sys.stdin.read(1)"
    monkeypatch.setattr(launch.sys, "executable", tmp_path / "one")
    (tmp_path / "one").write_text(f"#!{sys.base_prefix}/bin/python3\n{code}\n")
    (tmp_path / "one").chmod(0o755)
    monkeypatch.setattr(launch, "_GRACE_S", 0.2)
    (tmp_path / "error-0.json").write_text(json.dumps({"kind": "bug", "what": "RuntimeError: reset by peer"}))
    with pytest.raises(InterruptedRunError, match="run: a training process was ended by signal 9") as caught:
        launch._run(tmp_path, Plan(epochs=1, devices=2, progress=False, label="run"), None)
    assert caught.value.code == "ST101"


def test_errors_become_records():
    error = UsageError("US104", "a", "b", "c")
    assert launch.error_record(error) == {"kind": "UsageError", "code": "US104", "where": "a", "what": "b", "fix": "c"}
    assert launch.error_record(ValueError("x\ny"))["what"] == "ValueError: x y"


def test_devices_that_are_not_there():
    plan = Plan(epochs=1, accelerator="cuda", devices=torch.cuda.device_count() + 2)
    with pytest.raises(EcotoneError) as caught:
        launch.check_devices(plan)
    assert caught.value.code == "US104"
    with pytest.raises(UsageError):
        Config.parse({"devices": 0})
