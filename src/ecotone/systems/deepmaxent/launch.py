"""Training on several devices: one process each, started here and ended here.

The processes run `ecotone.systems.deepmaxent.worker` on a job folder rather than the user's command over again, so it
works alike from the command line, a notebook and a test, and the rest of the work is done once. What the first process
learned comes back as a file.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import torch

from ecotone.errors import EcotoneError, InputError, IntegrityError, InterruptedRunError, UsageError
from ecotone.files.atomic import write_json
from ecotone.files.bounded import read_json
from ecotone.files.lock import PASS, pass_of
from ecotone.train.loop import fit
from ecotone.train.stop import stop_requested

if TYPE_CHECKING:
    from ecotone.systems.deepmaxent.recipe import Recipe
    from ecotone.train.task import Plan

JOB, WEIGHTS = "job.json", "weights.safetensors"
MAX_JOB = 256 << 20
_POLL_S = 0.05
_GRACE_S = 20.0  # how long the others may take to notice that one has ended badly
_KINDS = {cls.__name__: cls for cls in (InputError, IntegrityError, InterruptedRunError, UsageError)}


def train(task: Recipe, plan: Plan, folder: Path | None = None) -> None:
    """Trains `task.module` in place, on as many devices as the plan says.

    In a process that was itself started as one of several (LOCAL_RANK is set), this is `ecotone.train.loop.fit`.

    Args:
        task: What to learn.
        plan: How.
        folder: Run folder, or None to keep nothing.

    Raises:
        EcotoneError: As `fit`; an error of one process ends all.
    """
    if plan.devices == 1 or "LOCAL_RANK" in os.environ:
        fit(task, plan, folder)
        return
    check_devices(plan)
    with tempfile.TemporaryDirectory(prefix="ecotone-") as name:
        job = Path(name)
        write_json(job / JOB, _job(task, plan, folder, job))
        _run(job, plan, folder)
        _take_weights(task, job / WEIGHTS)


def check_devices(plan: Plan) -> None:
    """Refuses more devices than there are.

    Raises:
        UsageError: US104.
    """
    there = torch.cuda.device_count() if plan.accelerator == "cuda" else None
    if not torch.distributed.is_available():
        raise UsageError("US104", "devices", "this torch was built without torch.distributed", "use devices=1")
    if there is not None and int(plan.devices) > there:
        raise UsageError("US104", "devices", f"{plan.devices} asked for, {there} CUDA devices are there", "use fewer")


def _job(task: Recipe, plan: Plan, folder: Path | None, job: Path) -> dict[str, Any]:
    members = []
    for m in task.members:
        parts = {"rows": m.rows, "hidden": m.hidden}
        kept = {name: None if part is None else [int(v) for v in part] for name, part in parts.items()}
        members.append({"seed": m.seed, "uniform_share": m.uniform_share, **kept})
    return {
        "config": task.config.model_dump(),
        "plan": plan.model_dump(),
        "members": members,
        "folder": None if folder is None else str(folder.resolve()),
        "task": task.describe(job),
    }


def _run(job: Path, plan: Plan, folder: Path | None) -> None:
    """Starts the processes and waits for all of them."""
    world = int(plan.devices)
    shared = _environment(folder)
    command = [sys.executable, "-m", "ecotone.systems.deepmaxent.worker", str(job)]
    running: list[subprocess.Popen[bytes]] = []
    asked, ended = False, 0
    try:
        with stop_requested() as stop:
            for rank in range(world):
                shown = plan.progress and rank == 0
                with (job / f"said-{rank}.txt").open("wb") as said:
                    # a session of its own: Ctrl-C reaches this process alone, which passes it on once
                    running.append(
                        subprocess.Popen(
                            command,
                            env=shared | {"LOCAL_RANK": str(rank), "NODE_RANK": "0"},
                            stdin=subprocess.PIPE,
                            stdout=subprocess.DEVNULL,
                            stderr=None if shown else said,
                            start_new_session=True,
                        )
                    )
            ends_at = float("inf")
            while any(p.poll() is None for p in running):
                if stop and not asked:
                    asked = True
                    for process in running:
                        process.send_signal(signal.SIGTERM)
                if bad := [p.returncode for p in running if p.poll() not in (None, 0)]:
                    ended = ended or min(bad)
                    ends_at = min(ends_at, time.monotonic() + _GRACE_S)
                if time.monotonic() > ends_at:
                    break
                time.sleep(_POLL_S)
    finally:
        for process in running:
            with suppress(OSError):
                process.kill()
            process.wait()
            if process.stdin is not None:
                process.stdin.close()
    if any(p.returncode for p in running) or not (job / WEIGHTS).exists():
        _failed(job, world, interrupted=asked, killed=max(-ended, 0), where=folder or plan.label)


def _environment(folder: Path | None) -> dict[str, str]:
    from lightning_fabric.plugins.environments.lightning import find_free_network_port

    foreign = ("SLURM_", "PMI_", "OMPI_", "RANK", "WORLD_SIZE", "GROUP_RANK", "TORCHELASTIC", "MASTER_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    kept |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(find_free_network_port())}
    if Path("/sys/class/net/lo").exists():
        kept.setdefault("GLOO_SOCKET_IFNAME", "lo")
    # the package may be on the path of this process alone
    kept["PYTHONPATH"] = os.pathsep.join(
        [str(Path(__file__).resolve().parents[3]), *filter(None, [kept.get("PYTHONPATH")])]
    )
    held = None if folder is None else pass_of(folder)
    return kept if held is None else kept | {PASS: held}


def _failed(job: Path, world: int, *, interrupted: bool, where: object, killed: int = 0) -> NoReturn:
    """Raises what the first failing process said; `killed` is the signal that ended one, whose fellows then lose it."""
    told = [read_json(path, 1 << 20) for k in range(world) if (path := job / f"error-{k}.json").exists()]
    known = [t for t in told if t.get("kind") in _KINDS]
    if known:
        first = known[0]
        raise _KINDS[first["kind"]](str(first["code"]), first["where"], str(first["what"]), str(first["fix"]))
    if interrupted:
        what = "interrupted before the first step"
        raise InterruptedRunError("ST101", where, what, "run the same command again")
    if killed:
        what = f"a training process was ended by signal {killed}, perhaps for want of memory"
        raise InterruptedRunError("ST101", where, what, "run the same command again to go on, with fewer devices if so")
    words = "; ".join(str(t.get("what")) for t in told) or _last_words(job, world)
    raise RuntimeError(f"a training process ended: {words}")


def _last_words(job: Path, world: int) -> str:
    texts = [
        path.read_text(errors="replace").strip()[-300:]
        for k in range(world)
        if (path := job / f"said-{k}.txt").exists()
    ]
    return " | ".join(filter(None, texts)) or "killed, perhaps for want of memory"


def _take_weights(task: Recipe, path: Path) -> None:
    from safetensors.torch import load_file

    task.module.load_state_dict(load_file(path))


def error_record(error: Exception) -> dict[str, str]:
    """An error as JSON, for the process that waits."""
    if isinstance(error, EcotoneError):
        parts = {"code": error.code, "where": error.where, "what": error.what, "fix": error.fix}
        return {"kind": type(error).__name__, **parts}
    return {"kind": "bug", "what": f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"}
