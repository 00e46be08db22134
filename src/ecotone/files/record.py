"""The record of a run, run.json: reading one that may be a stranger's, comparing two, repeating what it says.

Paths under the working folder are kept relative to it, paths under the home folder start with ``~``; no user or host
name is stored.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ecotone.files.bounded import read_json, refuse
from ecotone.files.fingerprint import cache_key

STATUSES: tuple[str, ...] = ("running", "done", "failed", "interrupted")
REPLAYABLE = ("fit", "evaluate", "predict", "map", "explain", "embed", "zeroshot", "report", "bench", "demo")
"""Verbs a record may name; `replay` itself and `data` (downloads) are not among them."""

VERSIONED = ("torch", "numpy", "scipy", "scikit-learn", "pandas", "rasterio", "safetensors")
_MAX_RECORD = 4 << 20
_OPTIONAL = {
    "config": dict, "inputs": dict, "seeds": dict, "versions": dict, "timings": dict,
    "warnings": list, "metrics": dict, "maps": list, "tables": dict, "error": str,
}  # fmt: skip


def read_record(path: str | Path) -> dict[str, Any]:
    """A run.json, possibly a stranger's: size, structure and types are checked.

    Raises:
        InputError: IO101 when missing, IO102 when it is not a record.
    """
    path = Path(path)
    record = read_json(path, _MAX_RECORD, code="IO102")
    fix = "use a run.json written by ecotone"
    for key, kind in {"system": str, "status": str, "command": list, "started": str}.items():
        if not isinstance(record.get(key), kind):
            refuse("IO102", path, f"is not a run record ({key} is missing or of another type)", fix)
    for key, kind in _OPTIONAL.items():
        if record.get(key) is not None and not isinstance(record[key], kind):
            refuse("IO102", path, f"is not a run record ({key} is of another type)", fix)
    if record["status"] not in STATUSES or not all(isinstance(part, str) for part in record["command"]):
        refuse("IO102", path, "is not a run record (status or command)", fix)
    if not all(isinstance(digest, str) for digest in (record.get("inputs") or {}).values()):
        refuse("IO102", path, "is not a run record (inputs)", fix)
    return {key: value for key, value in record.items() if value is not None or key not in _OPTIONAL}


def replay_command(run_json: str | Path) -> list[str]:
    """The arguments (without the program name) that repeat a recorded run.

    The file is not trusted: only verbs of `REPLAYABLE` are given back, as an argument list, never a shell line.

    Raises:
        InputError: IO101, IO102 for the file; IO103 when it names no ecotone command that may be repeated.
    """
    command = read_record(run_json)["command"]
    fix = "type the command yourself if you trust it"
    if len(command) < 2 or command[0] != "ecotone" or command[1] not in REPLAYABLE:
        refuse("IO103", run_json, "names no ecotone command that can be repeated", fix)
    if len(command) > 10_000 or any(len(part) > 4096 or not part.isprintable() for part in command):
        refuse("IO103", run_json, "holds arguments that are too long or not printable", fix)
    return [_expand(part) for part in command[1:]]


def settings_diff(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Names of the settings in which two records differ, for example ``["config.epochs", "inputs"]``."""
    changed = [] if old.get("system") == new.get("system") else ["system"]
    for group in ("config", "seeds"):
        a, b = old.get(group) or {}, new.get(group) or {}
        keys = sorted(set(a) | set(b))
        changed += [f"{group}.{key}" for key in keys if cache_key(v=a.get(key)) != cache_key(v=b.get(key))]
    if sorted((old.get("inputs") or {}).values()) != sorted((new.get("inputs") or {}).values()):
        changed.append("inputs")
    return changed


def versions() -> dict[str, str]:
    """Versions of what a result depends on; packages are asked by metadata, not imported."""
    found = {"ecotone": str(import_module("ecotone").__version__), "python": platform.python_version()}
    for name in VERSIONED:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found | {"platform": f"{platform.system()} {platform.machine()}", "cpus": str(os.cpu_count() or 1)}


def portable_path(path: str | Path) -> str:
    """A path without the name of the machine's user: relative to the working folder, or ``~/...``, else as given."""
    place = Path(path).expanduser()
    if not place.is_absolute():
        return Path(path).as_posix()
    with suppress(ValueError, OSError):
        return place.relative_to(Path.cwd()).as_posix()
    with suppress(ValueError, RuntimeError):
        return "~/" + place.relative_to(Path.home()).as_posix()
    return place.as_posix()


def portable_argument(argument: str) -> str:
    """`portable_path` for an argument that is an absolute path, alone or after ``--option=``."""
    name, equals, value = argument.partition("=")
    if name.startswith("--") and equals and Path(value).is_absolute():
        return f"{name}={portable_path(value)}"
    return portable_path(argument) if Path(argument).is_absolute() else argument


def _expand(argument: str) -> str:
    name, equals, value = argument.partition("=")
    if name.startswith("--") and equals and value.startswith("~/"):
        return f"{name}={Path(value).expanduser()}"
    return str(Path(argument).expanduser()) if argument.startswith("~/") else argument


def program_name(command: Sequence[str]) -> list[str]:
    """The command with its first word reduced to ``ecotone``, however the program was started."""
    parts = [str(part) for part in command]
    if parts and (Path(parts[0]).stem == "ecotone" or Path(parts[0]).name in ("__main__.py", "main.py")):
        parts[0] = "ecotone"
    return parts
