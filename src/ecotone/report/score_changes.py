"""Scores of two runs side by side, paired over the species (or sites, classes) that both scored one by one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ecotone.contract import Score
from ecotone.stats.bootstrap import Interval, paired_bootstrap

ENOUGH = 6
"""Pairs from which on an interval is put into words: with fewer, one sign throughout is no rare accident."""

Rows = Sequence[Mapping[str, Any]]
Key = tuple[str, ...]


@dataclass(frozen=True)
class ScoreChange:
    """One metric of both runs.

    Attributes:
        name: The metric.
        run: Score of the first run.
        other: Score of the second.
        paired: Mean of first minus second over what both scored, with its interval; None where nothing is paired.
        keys: (n,) what was paired, a species for example.
        values: ((n,), (n,)) its scores in both runs.
    """

    name: str
    run: Score
    other: Score
    paired: Interval | None
    keys: tuple[str, ...] = ()
    values: tuple[np.ndarray, np.ndarray] = (np.zeros(0), np.zeros(0))

    @property
    def difference(self) -> float:
        """First minus second: over the pairs where there are some, else of the two scores."""
        return self.paired.estimate if self.paired else self.run.value - self.other.value

    @property
    def verdict(self) -> str:
        """higher, lower, open (the interval holds zero), few (too few pairs to tell) or alone (nothing is paired)."""
        if self.paired is None:
            return "alone"
        if self.paired.n < ENOUGH:
            return "few"
        if self.paired.low > 0:
            return "higher"
        return "lower" if self.paired.high < 0 else "open"


def score_changes(
    run: Mapping[str, Score], other: Mapping[str, Score], run_rows: Rows, other_rows: Rows, *, seed: int = 0
) -> list[ScoreChange]:
    """The metrics that both runs have, in the order of the first.

    Args:
        run: Metric -> score of the first run.
        other: Those of the second.
        run_rows: The rows they were averaged from: words that say what was scored, and a number per metric.
        other_rows: Those of the second.
        seed: Of the resampling.
    """
    words = key_columns(run_rows, other_rows)
    tables = [_by_key(rows, words) for rows in (run_rows, other_rows)]
    common = [key for key in tables[0] if key in tables[1]]
    found = []
    for name in (name for name in run if name in other):
        a, b = (np.array([_number(table[key].get(name)) for key in common]) for table in tables)
        kept = np.isfinite(a) & np.isfinite(b)
        keys = tuple(" · ".join(key) for key, k in zip(common, kept, strict=True) if k)
        interval = paired_bootstrap(a[kept], b[kept], seed=seed) if keys else None
        if interval is not None and interval.n < 2:
            interval = Interval(interval.estimate, math.nan, math.nan, interval.n)
        found.append(ScoreChange(name, run[name], other[name], interval, keys, (a[kept], b[kept])))
    return found


def key_columns(run_rows: Rows, other_rows: Rows) -> list[str]:
    """Columns that hold words in both tables and so say what a row is about."""
    sides = [_word_columns(rows) for rows in (run_rows, other_rows)]
    return [name for name in sides[0] if name in sides[1]]


def _word_columns(rows: Rows) -> list[str]:
    names = dict.fromkeys(str(name) for row in rows for name in row)
    return [name for name in names if rows and all(isinstance(row.get(name), str) for row in rows)]


def _by_key(rows: Rows, words: Sequence[str]) -> dict[Key, Mapping[str, Any]]:
    """Row of each key; a key that stands twice says nothing and is left out."""
    table: dict[Key, Mapping[str, Any]] = {}
    twice: set[Key] = set()
    for row in rows if words else ():
        key = tuple(str(row[name]) for name in words)
        if key in table:
            twice.add(key)
        table[key] = row
    return {key: row for key, row in table.items() if key not in twice}


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
