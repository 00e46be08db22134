import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_task import TinyTask, tiny_plan

from ecotone.train.loop import fit

pytestmark = pytest.mark.skipif(not torch.distributed.is_available(), reason="torch without torch.distributed")
FOREIGN = (
    "SLURM_",
    "PMI_",
    "OMPI_",
    "LOCAL_RANK",
    "RANK",
    "WORLD_SIZE",
    "NODE_RANK",
    "GROUP_RANK",
    "MASTER_",
    "TORCHELASTIC",
)


def start(folder: Path, *modes: str) -> list[list[dict]]:
    script = Path(__file__).with_name("ddp_script.py")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    if Path("/sys/class/net/lo").exists():
        clean["GLOO_SOCKET_IFNAME"] = "lo"
    command = [sys.executable, str(script), str(folder), *modes]
    done = subprocess.run(command, env=clean, capture_output=True, text=True, timeout=180, check=False)
    answers = [[folder / f"{mode}-{rank}.json" for rank in (0, 1)] for mode in modes]
    assert done.returncode == 0 and all(path.exists() for pair in answers for path in pair), done.stderr[-3000:]
    return [[json.loads(path.read_text()) for path in pair] for pair in answers]


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """Two processes, the second of which gets SIGTERM in step 13 of 25."""
    folder = tmp_path_factory.mktemp("ddp")
    return folder, start(folder, "stop")[0]


@pytest.fixture(scope="module")
def finished(stopped, tmp_path_factory):
    """The stopped training taken up again, then a training whose second process meets a NaN in step 6."""
    folder = tmp_path_factory.mktemp("ddp") / "again"
    shutil.copytree(stopped[0], folder)
    return folder, *start(folder, "go", "nan")


def test_a_signal_to_one_process_stops_both_and_is_saved(stopped):
    folder, answers = stopped
    assert [answer["code"] for answer in answers] == ["ST101", "ST101"]
    assert (folder / "run" / "checkpoints" / "step-000000014.safetensors").exists()
    assert not (folder / "run" / ".lock").exists()


def test_two_processes_equal_one_on_the_same_global_batches(finished, tmp_path):
    folder, answers, _ = finished
    alone, before = (TinyTask(dropout=0.0, noise=0.0, drop_last=True) for _ in range(2))
    result = fit(alone, tiny_plan(), tmp_path / "alone")
    assert answers[0] == answers[1] == {"steps": 25, "resumed_at": 14, "best_step": result.best_step}
    ranks = [load_file(folder / f"go-{rank}.safetensors") for rank in (0, 1)]
    for name, tensor in alone.module.state_dict().items():
        assert torch.equal(ranks[0][name], ranks[1][name]), name
        torch.testing.assert_close(ranks[0][name], tensor, rtol=2e-5, atol=2e-6)
        assert not torch.equal(ranks[0][name], before.module.state_dict()[name]), name
    ours, theirs = ((f / "metrics.csv").read_text().splitlines()[1:] for f in (folder / "run", tmp_path / "alone"))
    for one, other in zip(ours, theirs, strict=True):
        assert one.rpartition(",")[0] == other.rpartition(",")[0]
        assert float(one.rpartition(",")[2]) == pytest.approx(float(other.rpartition(",")[2]), rel=1e-4)


def test_a_nan_on_one_process_names_its_step_on_both(finished):
    answers = finished[2]
    assert [answer["code"] for answer in answers] == ["TR501", "TR501"]
    assert all("step 6 (epoch 1, batch 1 of 5)" in answer["line"] for answer in answers)
