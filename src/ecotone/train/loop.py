"""The training loop: step-exact, resumable, on one or many devices.

A step is a pure function of the weights and its position. The loop therefore stores weights, optimiser and position,
and nothing about samplers or generators; killed at any moment and started again, it ends in the same bits on the CPU.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ecotone.errors import EcotoneWarning, InputError, IntegrityError, InterruptedRunError, UsageError, suggest
from ecotone.files.lock import FolderLock
from ecotone.files.progress import Progress, progress
from ecotone.train.checkpoint import Checkpoint, Shelf, check_settings, read_checkpoint, settings_of
from ecotone.train.device import Processes, launch, prepared
from ecotone.train.feed import feed, positions
from ecotone.train.metrics_log import MetricsLog
from ecotone.train.noise import generators_kept, reseed, step_seed
from ecotone.train.state import load_module, module_tensors, pack, unpack
from ecotone.train.stop import StopRequest, stop_requested
from ecotone.train.task import Plan, Position, Task
from ecotone.train.watch import FiniteWatch, Window

if TYPE_CHECKING:
    from lightning_fabric import Fabric

METRICS = "metrics.csv"
CHECKPOINTS = "checkpoints"


@dataclass(frozen=True)
class FitResult:
    """How a training ended.

    Attributes:
        steps: Steps done.
        resumed_at: Steps that an earlier run had done.
        checkpoint: The last checkpoint, or None without a folder.
        best_step: Steps behind the best model; None without validation.
        best_scores: Its validation scores.
        best: The best model's tensors, under "model/" names.
    """

    steps: int
    resumed_at: int
    checkpoint: Path | None = None
    best_step: int | None = None
    best_scores: Mapping[str, float] = field(default_factory=dict)
    best: Mapping[str, Tensor] | None = field(default=None, repr=False)

    def restore_best(self, module: nn.Module) -> None:
        """Puts the best weights into a module; leaves it alone when nothing was validated."""
        if self.best is not None:
            load_module(module, dict(self.best), "best model")


def fit(task: Task, plan: Plan, folder: str | Path | None = None) -> FitResult:
    """Trains `task.module` in place.

    With a folder, checkpoints and metrics.csv are kept there, and a call with the same task, plan and folder goes on
    where an earlier one stopped. `devices` above 1 starts further processes that run the same command up to this call.

    Args:
        task: What to learn.
        plan: How.
        folder: Run folder, or None to keep nothing.

    Returns:
        How it ended; `task.module` holds the last weights.

    Raises:
        InputError: TR501 when the loss or a weight is not finite; DA404 when an epoch has no step.
        IntegrityError: IN103 when settings changed since the run began; IN101 when every checkpoint is damaged.
        InterruptedRunError: ST101 after SIGINT or SIGTERM (the step was finished and saved), ST102 when the disk is
            full, ST103 when another process works on the folder.
        UsageError: US104, US105 for devices and strategies that are not there.
    """
    fabric = launch(plan)
    processes = Processes(fabric)
    with ExitStack() as stack:
        if folder is not None:
            processes.first(lambda: _hold(stack, Path(folder)))
        stack.enter_context(generators_kept(fabric.device))
        stack.enter_context(_deterministic(plan.deterministic))
        run = _Run(task, plan, None if folder is None else Path(folder), fabric, processes)
        stack.callback(run.log.close)
        return run.train()


class _Run:
    """One call of `fit`."""

    def __init__(self, task: Task, plan: Plan, folder: Path | None, fabric: Fabric, processes: Processes) -> None:
        self.task, self.plan, self.fabric, self.processes = task, plan, fabric, processes
        self.where: Path | str = folder if folder is not None else plan.label
        self.per_epoch = task.steps_per_epoch()
        if self.per_epoch < 1 and plan.epochs:
            raise InputError("DA404", plan.label, "the training data give no batch", "check filters and batch size")
        self.total = plan.epochs * self.per_epoch
        self.device = fabric.device
        task.module.to(self.device)
        self.optimizer = task.optimizer()
        self.parameters = list(task.module.parameters())
        self.watch = FiniteWatch(self.device)
        self.window = Window(self.device)
        self.best: Checkpoint | None = None
        self.last: Path | None = None
        self.saved = -1
        self.settings = self._settings()
        self.shelf = Shelf(folder / CHECKPOINTS, plan.keep) if folder is not None else None
        found = processes.first(self._find) if self.shelf is not None else None
        self.start = self._take_back(found) if found is not None else 0
        self.module, self._stepper, self._backward = prepared(fabric, task.module, self.optimizer, plan.precision)
        metrics = folder / METRICS if folder is not None and processes.rank == 0 else None
        self.log = MetricsLog(metrics, int(found.state["metrics_bytes"]) if found is not None else 0)

    # ------------------------------------------------------------------------------------------ the loop
    def train(self) -> FitResult:
        """Runs the steps that are left."""
        plan, rank, world = self.plan, self.processes.rank, self.processes.world
        order = positions(self.start, self.total, self.per_epoch, rank=rank, world=world, seed=plan.seed)
        shown = plan.progress and rank == 0 and self.start < self.total
        self.task.module.train()
        with (
            stop_requested() as stop,
            feed(self.task.batch, order, plan.workers) as batches,
            progress(self.total, plan.label, enabled=shown) as bar,
        ):
            bar.skip(self.start)
            self._restart_clock()
            for at, batch in batches:
                self._step(at, batch, bar)
                self._after(at, stop)
            if self.saved != self.total:
                self._save(self.total)
            if stop:
                self._interrupted(self.total, stop)
        return self._result()

    def _step(self, at: Position, batch: Any, bar: Progress) -> None:
        task, plan = self.task, self.plan
        rate = task.learning_rate(at.step)
        if rate is not None:
            for group in self.optimizer.param_groups:
                group["lr"] = rate * group.get("lr_scale", 1.0)
        reseed(step_seed(plan.seed, at.step, at.rank), self.device)
        if self.device.type != "cpu":
            batch = self.fabric.to_device(batch)
        terms = task.loss(self.module, batch)
        if not self.watch.see(terms["loss"], at.step) and self.processes.world == 1:
            self._not_finite(at.step, terms)
        for parameter in self.parameters:  # faster than optimizer.zero_grad, which opens a profiler record
            parameter.grad = None
        self._backward(terms["loss"])
        if plan.clip_grad_norm is not None:
            self.fabric.clip_gradients(
                self.module, self._stepper, max_norm=plan.clip_grad_norm, error_if_nonfinite=False
            )
        self._stepper.step()
        self.window.add(terms)
        task.after_step(at.step)
        if self.watch.last is None:
            bar.advance()
        else:
            bar.advance(loss=self.watch.last)

    def _after(self, at: Position, stop: StopRequest) -> None:
        """What is due after a step; all processes decide alike."""
        plan, done = self.plan, at.step + 1
        due = time.monotonic() >= self._next_save if self._next_save is not None else False
        asked, due = self.processes.largest(int(bool(stop)), int(due))
        due = due or (plan.checkpoint_every_steps is not None and done % plan.checkpoint_every_steps == 0)
        epoch_end = at.step_in_epoch == self.per_epoch - 1
        logs = done % plan.log_every_steps == 0 or done == self.total
        if due or asked or epoch_end or logs or done % plan.finite_every_steps == 0:
            (bad,) = self.processes.largest(-1 if (seen := self.watch.first()) is None else self.total - seen)
            if bad >= 0:
                self._not_finite(self.total - bad)
        if logs:
            means = self.window.means(self.processes)
            rate = float(self.optimizer.param_groups[0]["lr"])
            self.log.add(done, at.epoch, "train", {**means, "learning_rate": rate})
        if epoch_end and ((at.epoch + 1) % plan.validate_every_epochs == 0 or done == self.total):
            self._validate(at.epoch, done)
        if self.shelf is not None and (due or asked):
            self._save(done)
            self._restart_clock()
        if asked:
            self._interrupted(done, stop)

    def _restart_clock(self) -> None:
        every = self.plan.checkpoint_every_s
        self._next_save = None if every is None or self.shelf is None else time.monotonic() + every

    def _validate(self, epoch: int, done: int) -> None:
        module, plan = self.task.module, self.plan
        modes = [(part, part.training) for part in module.modules()]
        module.eval()
        reseed(step_seed(plan.seed, epoch, 0, "validate"), self.device)
        try:
            with torch.no_grad():
                scores = {name: float(value) for name, value in self.task.validate().items()}
        finally:
            for part, mode in modes:
                part.training = mode
        scores = self.processes.first(lambda: scores)
        if not scores:
            return
        self.log.add(done, epoch, "validation", scores)
        name = plan.monitor or next(iter(scores))
        if name not in scores:
            raise UsageError("US101", "monitor", f"{name!r} is not among the scores", suggest(name, scores))
        sign = 1.0 if plan.larger_is_better else -1.0
        before = -math.inf if self.best is None else sign * self.best.state["value"]
        if sign * scores[name] > before:
            state = {"step": done, "epoch": epoch, "monitor": name, "value": scores[name], "scores": scores}
            self.best = Checkpoint(module_tensors(module), state)

    # ------------------------------------------------------------------------------------------ saving and resuming
    def _settings(self) -> dict[str, Any]:
        plan = self.plan
        names = ("epochs", "seed", "precision", "clip_grad_norm", "log_every_steps", "validate_every_epochs", "monitor")
        own = {f"plan.{name}": getattr(plan, name) for name in names}
        return settings_of(plan.fingerprint) | own | {"steps_per_epoch": self.per_epoch}

    def _save(self, done: int) -> None:
        if self.shelf is None:
            return
        rows = self.window.rows(self.processes)
        self.last = self.processes.first(lambda: self._write(done, rows))
        self.saved = done

    def _write(self, done: int, rows: Tensor) -> Path:
        odd = [n for n, p in self.task.module.named_parameters() if not bool(torch.isfinite(p).all())]
        if odd:
            self._stopped(f"after step {done - 1}", f"weight {odd[0]!r} became nan or infinite since the last save")
        tensors = module_tensors(self.task.module)
        packed = {
            "optimizer": pack(self.optimizer.state_dict(), "optimizer", tensors),
            "task": pack(self.task.state(), "task", tensors),
            "window": pack(self.window.state(rows), "window", tensors),
            "precision": pack(self.fabric.strategy.precision.state_dict(), "precision", tensors),
        }
        state = {
            "step": done,
            "settings": self.settings,
            "metrics_bytes": self.log.sync(),
            "best": None if self.best is None else self.best.state,
            "packed": packed,
        }
        if self.shelf is None:
            raise RuntimeError("nowhere to save")
        return self.shelf.put(Checkpoint(tensors, state), self.best)

    def _find(self) -> Checkpoint | None:
        """The checkpoint to go on from, with the settings checked."""
        if self.shelf is None or (found := self.shelf.newest()) is None:
            return None
        check_settings(found.state["settings"], self.settings, self.plan.allow_change, self.where)
        if found.step > self.total:
            what = f"{found.step} steps are done, the plan has {self.total}"
            raise IntegrityError("IN103", self.where, what, "use a new --out")
        return found

    def _take_back(self, found: Checkpoint) -> int:
        tensors, packed = found.tensors, found.state["packed"]
        try:
            load_module(self.task.module, tensors, found.path)
            self.optimizer.load_state_dict(unpack(packed["optimizer"], tensors))
            self.task.load_state(unpack(packed["task"], tensors))
            self.window.load(unpack(packed["window"], tensors), self.processes)
            self.fabric.strategy.precision.load_state_dict(unpack(packed["precision"], tensors))
        except (KeyError, ValueError, RuntimeError) as error:
            what = f"does not fit the model or optimiser ({error})"[:200]
            raise IntegrityError("IN101", found.path, what, "use a new --out") from error
        self.best = self._best_of(found)
        self.last, self.saved = found.path, found.step
        return found.step

    def _best_of(self, found: Checkpoint) -> Checkpoint | None:
        state = found.state["best"]
        if state is None or self.shelf is None:
            return None
        path = self.shelf.path("best", state["step"])
        try:
            return read_checkpoint(path)
        except IntegrityError as error:
            what, fix = f"best model so far is lost: {error.what}", "the best is looked for anew from here"
            warnings.warn(EcotoneWarning("IN101", path, what, fix), stacklevel=2)
            return None

    # ------------------------------------------------------------------------------------------ endings
    def _result(self) -> FitResult:
        best = self.best
        if best is None:
            return FitResult(self.total, self.start, self.last)
        state = best.state
        return FitResult(self.total, self.start, self.last, state["step"], state["scores"], best.tensors)

    def _not_finite(self, step: int, terms: Mapping[str, Tensor] | None = None) -> None:
        epoch, within = divmod(step, self.per_epoch)
        values = ", ".join(f"{name} {float(value.detach().mean())}" for name, value in (terms or {}).items())
        what = f"the loss is not finite ({values})" if values else "the loss is not finite"
        self._stopped(f"step {step} (epoch {epoch}, batch {within} of {self.per_epoch})", what)

    def _stopped(self, where: str, what: str) -> None:
        last = f"last good checkpoint: {self.last}" if self.last is not None else "there is no checkpoint yet"
        fix = f"{last}; lower the learning rate, clip gradients, or look at the rows of this batch"
        raise InputError("TR501", where, what, fix)

    def _interrupted(self, done: int, stop: StopRequest) -> None:
        name = stop.signal.name if stop.signal is not None else "a signal to another process"
        if self.shelf is None:
            what, fix = (
                f"{name} after {done} of {self.total} steps",
                "nothing was saved: give a run folder to go on later",
            )
        else:
            what, fix = f"{name} after {done} of {self.total} steps, saved", "run the same command again to go on"
        raise InterruptedRunError("ST101", self.where, what, fix)


def _hold(stack: ExitStack, folder: Path) -> None:
    stack.enter_context(FolderLock(folder))


@contextmanager
def _deterministic(wanted: bool) -> Iterator[None]:
    if not wanted:
        yield
        return
    before, only_warned = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=only_warned)
