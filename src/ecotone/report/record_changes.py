"""What differs between the records of two runs: settings, inputs by content, versions."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ecotone.report.style import number


@dataclass(frozen=True)
class Change:
    """One entry that is not the same in both records.

    Attributes:
        name: What it is called.
        run: Its value in the first run; "" where it is not recorded.
        other: Its value in the second.
        shared: Whether both records have the entry.
    """

    name: str
    run: str
    other: str
    shared: bool = True


@dataclass(frozen=True)
class Changes:
    """Entries that differ, those of both records first, and how many are the same."""

    changed: tuple[Change, ...]
    same: int

    @property
    def shared(self) -> tuple[Change, ...]:
        """Those that both records have."""
        return tuple(c for c in self.changed if c.shared)


def setting_changes(run: Mapping[str, Any], other: Mapping[str, Any]) -> Changes:
    """System, settings and seeds; a setting that is left open reads as "default"."""
    return _changes(_settings(run), _settings(other))


def version_changes(run: Mapping[str, Any], other: Mapping[str, Any]) -> Changes:
    """Versions of packages and kind of machine."""
    sides = [{str(k): _shown(v) for k, v in (r.get("versions") or {}).items()} for r in (run, other)]
    return _changes(*sides)


def input_changes(run: Mapping[str, Any], other: Mapping[str, Any]) -> Changes:
    """Input files, matched by what is in them; a file of the same name with another content counts as changed."""
    left, right = (_inputs(record) for record in (run, other))
    common = Counter(left.values()) & Counter(right.values())
    rest = [_without(side, common) for side in (left, right)]
    names = [dict.fromkeys(_file_name(p) for p in side) for side in rest]
    hashes = [{_file_name(p): digest[:12] for p, digest in side.items()} for side in rest]
    both = [name for name in names[0] if name in names[1]]
    changed = [Change(name, hashes[0][name], hashes[1][name]) for name in both]
    changed += [Change(name, hashes[0][name], "", shared=False) for name in names[0] if name not in both]
    changed += [Change(name, "", hashes[1][name], shared=False) for name in names[1] if name not in both]
    return Changes(tuple(changed), common.total())


def _changes(run: Mapping[str, str], other: Mapping[str, str]) -> Changes:
    names = dict.fromkeys([*run, *other])
    found = [
        Change(name, run.get(name, ""), other.get(name, ""), shared=name in run and name in other)
        for name in names
        if run.get(name) != other.get(name)
    ]
    same = sum(name in run and name in other and run[name] == other[name] for name in names)
    return Changes(tuple(sorted(found, key=lambda c: not c.shared)), same)


def _settings(record: Mapping[str, Any]) -> dict[str, str]:
    entries = {"system": record.get("system"), **(record.get("config") or {})}
    for name, value in (record.get("seeds") or {}).items():
        entries.setdefault(name, value)
    return {str(name): _shown(value) for name, value in entries.items()}


def _shown(value: Any) -> str:
    if value is None or value in ([], {}, ""):
        return "default"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return number(value, 6)
    if isinstance(value, list | tuple):
        return textwrap.shorten(", ".join(_shown(v) for v in value[:50]), 200, placeholder="…")
    return textwrap.shorten(str(value), 200, placeholder="…")


def _inputs(record: Mapping[str, Any]) -> dict[str, str]:
    """Path -> hash; the two halves of an R raster are one input."""
    files = {str(k): str(v) for k, v in (record.get("inputs") or {}).items()}
    halves = [path for path in files if path.endswith(".gri") and f"{path[:-1]}d" in files]
    for path in halves:
        files[f"{path[:-1]}d"] = files.pop(path) + files[f"{path[:-1]}d"]  # the values first: they are what is shown
    return files


def _without(side: Mapping[str, str], common: Counter[str]) -> dict[str, str]:
    """The files whose content the other side lacks."""
    left = Counter(common)
    kept = {}
    for path, digest in side.items():
        if left[digest] > 0:
            left[digest] -= 1
        else:
            kept[path] = digest
    return kept


def _file_name(path: str) -> str:
    return path.replace("\\", "/").rpartition("/")[2]
