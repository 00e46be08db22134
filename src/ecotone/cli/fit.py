"""`ecotone fit SYSTEM [inputs] --out RUN`: learn, score, explain, report, all in one folder."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ecotone.cli.common import (
    collected_warnings,
    command_line,
    need_out,
    read_options,
    say,
    show_help,
    split,
    wants_help,
)
from ecotone.contract import Options, System
from ecotone.files.fingerprint import hash_files
from ecotone.files.run import RunFolder
from ecotone.registry import list_systems, system_class

USAGE = "ecotone fit SYSTEM [inputs] --out RUN"


def run(tokens: list[str]) -> None:
    """The verb."""
    names, rest = split(tokens, ["SYSTEM"], usage=USAGE)
    if wants_help(tokens) and not names:
        show_help(USAGE, f"Systems: {', '.join(list_systems())}. `ecotone fit SYSTEM --help` lists the options of one.")
        return
    cls = system_class(names[0])
    if wants_help(rest):
        groups = [("inputs", cls.Inputs), ("learning", cls.Config)]
        show_help(f"ecotone fit {names[0]} [inputs] --out RUN", (cls.__doc__ or "").splitlines()[0], *groups)
        return
    options, (inputs, config) = read_options(rest, cls.Inputs, cls.Config)
    out = need_out(options, f"runs/{names[0]}")
    fit_run(cls(config), cls.Inputs.parse(inputs), out, command_line("fit", tokens), quiet=options.quiet)


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
    seeds = {"seed": int(getattr(system.config, "seed", 0))}
    timings: dict[str, float] = {}
    with collected_warnings() as warned:
        hashes = hash_files(system.input_files(inputs))
        folder.begin(command, system.name, system.config.model_dump(), {str(k): v for k, v in hashes.items()}, seeds)
        with folder.lock(), folder.closing():
            start = time.perf_counter()
            system.fit(inputs, run=folder)
            timings["fit"] = time.perf_counter() - start
            system.save(folder.path)
            timings |= score_and_explain(system, folder, quiet=quiet)
            folder.finish(timings, warned, _metrics(folder))
    say(f"model, scores and evidence: {folder.path}", quiet=quiet)
    if report:
        folder.update(timings={"report": _report(folder)})
        say(f"report: {folder.report_path}", quiet=quiet)
    return folder


def score_and_explain(system: System, folder: RunFolder, *, quiet: bool) -> dict[str, float]:
    """Cross-validation and evidence; returns their timings."""
    from ecotone.files.evidence import save_evidence

    timings, start = {}, time.perf_counter()
    scores = system.evaluate()
    folder.write_scores(scores)
    timings["evaluate"] = time.perf_counter() - start
    say(*score_lines(scores.metrics), f"({scores.split})", quiet=quiet)
    start = time.perf_counter()
    save_evidence(folder.evidence_path, system.explain())
    timings["explain"] = time.perf_counter() - start
    return timings


def score_lines(metrics: Mapping[str, Any]) -> list[str]:
    """One line per metric."""
    return [f"{name:24s} {s.value:.3f}  [{s.low:.3f}, {s.high:.3f}]  n={s.n}" for name, s in metrics.items()]


def _metrics(folder: RunFolder) -> dict[str, Any]:
    scores = folder.read_scores()
    return {} if scores is None else dict(scores.metrics)


def _report(folder: RunFolder) -> float:
    from ecotone.report.page import write_report

    start = time.perf_counter()
    write_report(folder.path)
    return time.perf_counter() - start
