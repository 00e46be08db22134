"""`ecotone fit SYSTEM [inputs] --out RUN`: learn, score, explain, report, all in one folder."""

from __future__ import annotations

import glob
import math
import shutil
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ecotone.cli.common import (
    collected_warnings,
    command_line,
    need_out,
    read_options,
    show_help,
    split,
    wants_help,
)
from ecotone.cli.options import RunOptions, read
from ecotone.cli.screen import say
from ecotone.contract import Options, Scores, System
from ecotone.errors import EcotoneWarning, InputError, InterruptedRunError
from ecotone.files.fingerprint import hash_files
from ecotone.files.run import RunFolder
from ecotone.registry import list_systems, system_class

USAGE = "ecotone fit SYSTEM [inputs] --out RUN"
CHECKPOINTS = "checkpoints"


def run(tokens: list[str]) -> None:
    """The verb."""
    names, rest = split(tokens, ["SYSTEM"], usage=USAGE)
    if wants_help(tokens) and not names:
        about = f"Systems: {', '.join(list_systems())}. `ecotone fit SYSTEM --help` lists the options of one."
        show_help(USAGE, about, ("command", RunOptions))
        return
    cls = system_class(names[0])
    if wants_help(rest):
        groups = [("inputs", cls.Inputs), ("learning", cls.Config), ("command", RunOptions)]
        show_help(f"ecotone fit {names[0]} [inputs] --out RUN", (cls.__doc__ or "").splitlines()[0], *groups)
        return
    options, (inputs, config) = read_options(rest, cls.Inputs, cls.Config)
    system = cls(read(cls.Config, config))
    given = read(cls.Inputs, inputs).check()
    out = need_out(options, f"runs/{names[0]}")
    fit_run(system, given, out, command_line("fit", tokens), quiet=options.quiet)


def fit_run(
    system: System, inputs: Options, out: Path, command: list[str], *, quiet: bool = False, report: bool = True
) -> RunFolder:
    """Fits a system into a run folder: record, model, scores, evidence, report.

    Args:
        system: Unfitted.
        inputs: What it reads.
        out: The run folder.
        command: What is recorded as the command.
        quiet: No output besides warnings.
        report: Also write the HTML page.
    """
    folder = RunFolder(out)
    system.progress = not quiet
    seeds = {"seed": int(getattr(system.config, "seed", 0))}
    settings = {**system.config.model_dump(), **input_settings(inputs)}
    timings: dict[str, float] = {}
    with collected_warnings() as warned:
        hashes = hash_files(system.input_files(inputs))
        with _locked(folder):
            folder.begin(command, system.name, settings, {str(k): v for k, v in hashes.items()}, seeds)
            with folder.closing():
                start = time.perf_counter()
                system.fit(inputs, run=folder)
                timings["fit"] = time.perf_counter() - start
                system.save(folder.path)
                with _going_on(folder):
                    timings |= score_and_explain(system, folder, quiet=quiet)
                folder.finish(timings, warned, _metrics(folder))
            shutil.rmtree(folder.path / CHECKPOINTS, ignore_errors=True)
    say(f"model, scores and evidence: {folder.path}", quiet=quiet)
    if report:
        folder.update(timings={"report": _report(folder)})
        say(f"report: {folder.report_path}", quiet=quiet)
    return folder


def input_settings(inputs: Options) -> dict[str, Any]:
    """The options of the inputs that are no paths, for the record: a run with others is another run.

    The files themselves are recorded by their content.
    """
    return {name: value for name, value in inputs.model_dump().items() if not _is_path(value)}


def _is_path(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return any(_is_path(part) for part in value)
    if isinstance(value, str):
        with suppress(OSError, ValueError):
            return glob.has_magic(value) or Path(value).exists()
    return not isinstance(value, str | int | float | bool | None)


@contextmanager
def _locked(folder: RunFolder) -> Iterator[None]:
    """Holds the folder; a run that failed before anything was learned leaves nothing that would stand in the way."""
    fresh, new = not folder.record_path.exists(), not folder.path.exists()
    try:
        with folder.lock():
            try:
                yield
            except BaseException:
                if fresh:
                    _forget(folder)
                raise
    finally:
        if new:
            with suppress(OSError):
                folder.path.rmdir()  # refuses unless it is empty


def _forget(folder: RunFolder) -> None:
    kept = folder.path / CHECKPOINTS
    if any(kept.rglob("*.safetensors*")) or any(folder.path.glob("*.safetensors")):
        return
    with suppress(OSError):
        folder.record_path.unlink(missing_ok=True)
        folder.metrics_path.unlink(missing_ok=True)
        kept.rmdir()


@contextmanager
def _going_on(folder: RunFolder) -> Iterator[None]:
    """Refits for scores and evidence keep nothing of their own, but the training before them is saved."""
    try:
        yield
    except InterruptedRunError as error:
        if error.code != "ST101":
            raise
        what = "interrupted while scores and evidence were made; the training is saved"
        raise InterruptedRunError("ST101", folder.path, what, "run the same command again to go on") from None


def score_and_explain(system: System, folder: RunFolder, *, quiet: bool) -> dict[str, float]:
    """Cross-validation and evidence; returns their timings."""
    from ecotone.data.tables import write_table
    from ecotone.files.atomic import make_folder
    from ecotone.files.evidence import save_evidence

    timings, start = {}, time.perf_counter()
    try:
        scores = system.evaluate()
    except InputError as error:  # too little data to hold some back is no reason to give no map
        if error.code != "OC205":
            raise
        warnings.warn(EcotoneWarning(error.code, error.where, f"no scores: {error.what}", error.fix), stacklevel=2)
        folder.scores_path.unlink(missing_ok=True)
    else:
        folder.write_scores(scores)
        say(*score_lines(scores), quiet=quiet)
    timings["evaluate"] = time.perf_counter() - start
    start = time.perf_counter()
    save_evidence(folder.evidence_path, system.explain())
    for name, table in system.tables().items():
        write_table(table, make_folder(folder.tables_path) / f"{name}.csv")
    timings["explain"] = time.perf_counter() - start
    return timings


def score_lines(scores: Scores) -> Sequence[str]:
    """One line per metric, then how the data were split."""
    lines = []
    for name, s in scores.metrics.items():
        interval = f"[{s.low:.3f}, {s.high:.3f}]" if math.isfinite(s.low) and math.isfinite(s.high) else ""
        lines.append(f"{name:24s} {s.value:6.3f}  {interval:16s} n={s.n}")
    return [*lines, f"({scores.split})"]


def _metrics(folder: RunFolder) -> dict[str, Any]:
    scores = folder.read_scores()
    return {} if scores is None else dict(scores.metrics)


def _report(folder: RunFolder) -> float:
    from ecotone.report.page import write_report

    start = time.perf_counter()
    write_report(folder.path)
    return time.perf_counter() - start
