"""The run folder: one place that says what was done, with what, and how to do it again.

Layout: run.json (the record), config.json, model.safetensors, preprocessing.json, card.md, metrics.csv, scores.json,
evidence/, report.html. The record holds no user or host name; paths under the working folder are kept relative to it,
paths under the home folder start with ``~``.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from ecotone.contract import Score, Scores
from ecotone.errors import InputError, IntegrityError, InterruptedRunError, UsageError
from ecotone.files.atomic import jsonable, make_folder, sweep_partials, write_json
from ecotone.files.bounded import read_json, refuse
from ecotone.files.fingerprint import hash_file
from ecotone.files.lock import FolderLock
from ecotone.files.record import portable_argument, portable_path, program_name, read_record, settings_diff, versions

Status = Literal["running", "done", "failed", "interrupted"]
_FORMAT = 1
_WARNING = ("code", "where", "what", "fix")
_MAX_SCORES = 32 << 20


@dataclass(frozen=True)
class RunFolder:
    """A folder that holds one run.

    Attributes:
        path: Where it is. Nothing is created before `begin`.
    """

    path: Path

    def __init__(self, path: str | Path) -> None:
        object.__setattr__(self, "path", Path(path))

    @property
    def record_path(self) -> Path:
        """The record, run.json."""
        return self.path / "run.json"

    @property
    def metrics_path(self) -> Path:
        """Training metrics, one row per step or epoch."""
        return self.path / "metrics.csv"

    @property
    def evidence_path(self) -> Path:
        """Folder of evidence items."""
        return self.path / "evidence"

    @property
    def tables_path(self) -> Path:
        """Folder of tables that belong beside the evidence."""
        return self.path / "tables"

    @property
    def report_path(self) -> Path:
        """The HTML page."""
        return self.path / "report.html"

    @property
    def scores_path(self) -> Path:
        """The `Scores` of the last evaluation."""
        return self.path / "scores.json"

    @property
    def record(self) -> dict[str, Any]:
        """The content of run.json.

        Raises:
            InputError: IO101 when there is none, IO102 when it is damaged.
        """
        return read_record(self.record_path)

    def begin(
        self,
        command: Sequence[str],
        system: str,
        config: Mapping[str, Any],
        inputs: Mapping[str | Path, str],
        seeds: Mapping[str, int] | None = None,
        *,
        resume: bool = False,
        allow_change: Sequence[str] = (),
    ) -> bool:
        """Opens the record with status running.

        A folder that holds a run with the same settings is taken over: an unfinished run goes on, a finished one is
        repeated. Settings are system, config, seeds and the content of the inputs.

        Args:
            command: The command line, program name first.
            system: Name of the system.
            config: Its settings.
            inputs: Path -> sha256 (`ecotone.files.fingerprint.hash_files`).
            seeds: Name -> seed.
            resume: The user asked to go on; settings that differ are then an integrity error.
            allow_change: With `resume`, names of settings that may differ ("config.epochs", or "inputs" for all).

        Returns:
            True when an unfinished run with these settings goes on, False for a fresh start.

        Raises:
            UsageError: US106 when the folder holds something else, or a run with other settings.
            IntegrityError: IN103 when resuming with changed settings.
            InputError: IO104 when the folder cannot be written.
        """
        new: dict[str, Any] = {
            "format": _FORMAT,
            "system": system,
            "status": "running",
            "command": [portable_argument(part) for part in program_name(command)],
            "started": _now(),
            "finished": None,
            "seeds": dict(seeds or {}),
            "config": jsonable(dict(config)),
            "inputs": {portable_path(path): digest for path, digest in inputs.items()},
            "versions": versions(),
        }
        going_on = False
        if self.record_path.is_file():
            old = self.record
            changed = [key for key in settings_diff(old, new) if not _allowed(key, allow_change)]
            if changed and resume:
                raise IntegrityError("IN103", self.path, f"changed since the run began: {', '.join(changed[:8])}",
                                     "restore them, or start in a new folder")  # fmt: skip
            if changed:
                raise UsageError("US106", self.path, f"holds a run with other settings ({', '.join(changed[:8])})",
                                 "choose another --out or remove the folder")  # fmt: skip
            going_on = old["status"] != "done"
            new["started"] = old["started"] if going_on else new["started"]
        else:
            self._refuse_foreign()
        make_folder(self.path)
        sweep_partials(self.path)
        write_json(self.record_path, new)
        return going_on

    def update(self, **changes: Any) -> None:
        """Replaces entries of the record (merging `timings`, `metrics` and `tables`) atomically."""
        record = self.record
        for key, value in changes.items():
            if key in ("timings", "metrics", "tables"):
                record[key] = {**record.get(key, {}), **value}
            else:
                record[key] = value
        write_json(self.record_path, record)

    def finish(
        self,
        timings: Mapping[str, float] | None = None,
        warnings: Sequence[Any] = (),
        metrics: Mapping[str, Any] | None = None,
        *,
        tables: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
        status: Status = "done",
        error: str = "",
    ) -> None:
        """Closes the record.

        Args:
            timings: Step -> seconds.
            warnings: `EcotoneWarning`s, or plain texts.
            metrics: Metric -> number, or -> `Score`.
            tables: Title -> rows shown in the report, for example what the data cleaning set aside.
            status: How it ended.
            error: The one-line message when it did not end well.
        """
        self.update(
            status=status,
            finished=_now(),
            timings=dict(timings or {}),
            warnings=[_warning_row(w) for w in warnings],
            metrics={name: _score_row(value) for name, value in (metrics or {}).items()},
            tables={title: [dict(row) for row in rows] for title, rows in (tables or {}).items()},
            error=error,
        )

    @contextmanager
    def closing(self) -> Iterator[None]:
        """Marks the record interrupted or failed when the block is left by an exception, which goes on."""
        try:
            yield
        except BaseException as error:
            interrupted = isinstance(error, KeyboardInterrupt | InterruptedRunError)
            with suppress(Exception):
                self.finish(status="interrupted" if interrupted else "failed", error=str(error)[:500])
            raise

    def lock(self) -> FolderLock:
        """The single-writer lock of the folder, a context manager (ST103 while another process holds it)."""
        return FolderLock(self.path)

    def add_map(self, path: str | Path, title: str = "") -> None:
        """Notes a map made from this run, so that the report shows it; the path is kept relative to the folder."""
        place = _relative(Path(path), self.path)
        kept = [m for m in self.record.get("maps", []) if not (isinstance(m, dict) and m.get("path") == place)]
        self.update(maps=[*kept, {"path": place, "title": title or Path(path).stem}])

    def write_scores(self, scores: Scores) -> None:
        """Writes scores.json and repeats the metrics in the record, in place of those of an earlier evaluation."""
        metrics = {name: _score_row(score) for name, score in scores.metrics.items()}
        rows = [dict(row) for row in scores.rows]
        write_json(self.scores_path, {"format": _FORMAT, "split": scores.split, "metrics": metrics, "rows": rows})
        if self.record_path.is_file():
            write_json(self.record_path, {**self.record, "metrics": metrics})

    def read_scores(self) -> Scores | None:
        """What `write_scores` wrote; None when there is nothing.

        Raises:
            InputError: IO102 when the file is damaged.
        """
        if not self.scores_path.exists():
            return None
        content = read_json(self.scores_path, _MAX_SCORES, inside=self.path, code="IO102")
        try:
            metrics = {str(name): _score(row) for name, row in content["metrics"].items()}
            rows = tuple(dict(row) for row in content["rows"])
            return Scores(metrics=metrics, split=str(content["split"]), rows=rows)
        except (KeyError, TypeError, ValueError, AttributeError):
            refuse("IO102", self.scores_path, "is not a table of scores", "run `ecotone evaluate` again")

    def changed_inputs(self) -> list[str]:
        """Recorded inputs that are missing now or have another content; paths as in the record."""
        return [
            name for name, digest in self.record.get("inputs", {}).items() if not _same(Path(name).expanduser(), digest)
        ]

    def verify_inputs(self) -> None:
        """Checks every recorded input against its hash.

        Raises:
            IntegrityError: IN104, naming those that differ.
        """
        changed = self.changed_inputs()
        if changed:
            more = f" and {len(changed) - 5} more" if len(changed) > 5 else ""
            raise IntegrityError(
                "IN104",
                self.record_path,
                f"inputs differ or are missing: {', '.join(changed[:5])}{more}",
                "restore them, or run from the folder the command was given in",
            )

    def _refuse_foreign(self) -> None:
        if self.path.is_dir():
            ours = {".lock"}
            others = [p.name for p in self.path.iterdir() if p.name not in ours and ".partial" not in p.name]
            if others:
                raise UsageError(
                    "US106", self.path, "is not empty and holds no run", "choose a new or empty --out folder"
                )
        elif self.path.exists():
            raise InputError("IO104", self.path, "is a file, not a folder", "choose another --out")


def _relative(path: Path, folder: Path) -> str:
    try:
        return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()
    except ValueError:  # another drive
        return path.resolve().as_posix()


def _same(path: Path, digest: str) -> bool:
    try:
        return path.is_file() and hash_file(path) == digest
    except (InputError, OSError, ValueError):
        return False


def _allowed(key: str, allowed: Sequence[str]) -> bool:
    group, _, name = key.partition(".")
    return bool({key, group, name} & set(allowed))


def _warning_row(warning: Any) -> dict[str, str]:
    given = dict(warning) if isinstance(warning, Mapping) else {k: getattr(warning, k, None) for k in _WARNING}
    parts = {name: str(given[name]) for name in _WARNING if given.get(name) is not None}
    return parts if len(parts) == 4 else {"what": str(warning)[:1000]}


def _score_row(value: Any) -> Any:
    if isinstance(value, Score):
        return {"value": value.value, "low": value.low, "high": value.high, "n": value.n}
    return value


def _score(row: Mapping[str, Any]) -> Score:
    number = {key: float("nan") if row.get(key) is None else float(row[key]) for key in ("value", "low", "high")}
    return Score(**number, n=int(row.get("n") or 0))


def _now() -> str:
    return datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds")
