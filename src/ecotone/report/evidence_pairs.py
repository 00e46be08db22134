"""Curves, importances and checks of two runs laid over each other, with a number for how far they are apart."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace

import numpy as np

from ecotone.contract import Check, Contributions, Curve
from ecotone.report.map_pairs import rank_correlation
from ecotone.report.style import pretty_unit

_STEPS = 101
_DIGITS = re.compile(r"\d+")
_VALUE = re.compile(r" \(H=[^)]*\)$")
_NO_UNCERTAINTY = "not an uncertainty"


@dataclass(frozen=True)
class CurvePair:
    """A response in both runs.

    Attributes:
        run: Of the first run.
        other: Of the second.
        distance: Mean absolute difference over the range of x that both cover (categories: that both name); nan when
            there is none, or when the axes are not in the same units.
    """

    run: Curve
    other: Curve
    distance: float

    @property
    def alike(self) -> bool:
        """Whether both can share a pair of axes."""
        return _same_axes(self.run, self.other)

    @property
    def drawn(self) -> tuple[Curve, Curve]:
        """Both, without a band that says how sites differ where the other's says something else."""
        bands = [_DIGITS.sub("", c.band) for c in (self.run, self.other)]
        if bands[0] == bands[1]:
            return self.run, self.other
        one, other = (
            replace(c, lower=None, upper=None, band="") if _NO_UNCERTAINTY in c.band else c
            for c in (self.run, self.other)
        )
        return one, other

    @property
    def variable(self) -> str:
        """What is varied."""
        return self.run.x_label


@dataclass(frozen=True)
class TermsPair:
    """Importances or contributions in both runs.

    Attributes:
        run: Of the first run.
        other: Of the second.
        names: Terms of both, then those of one; the largest first.
        values: (2, K) their values, nan where a run lacks the term.
        rank: Rank correlation over the terms of both.
    """

    run: Contributions
    other: Contributions
    names: tuple[str, ...]
    values: np.ndarray
    rank: float

    @property
    def same_unit(self) -> bool:
        """Whether one axis can serve both."""
        return pretty_unit(self.run.unit) == pretty_unit(self.other.unit)

    @property
    def first(self) -> tuple[str, str]:
        """The largest term of each run; "" where there is none."""
        a, b = (self.names[int(np.nanargmax(v))] if np.isfinite(v).any() else "" for v in self.values)
        return a, b


@dataclass(frozen=True)
class CheckPair:
    """A check made in both runs."""

    run: Check
    other: Check

    @property
    def verdict_differs(self) -> bool:
        """Whether one holds and the other does not."""
        return self.run.verdict != self.other.verdict

    @property
    def differs(self) -> bool:
        """Whether anything that was found differs."""
        same = self.run.measured == self.other.measured or (
            math.isnan(self.run.measured) and math.isnan(self.other.measured)
        )
        return self.verdict_differs or not same or self.run.claim != self.other.claim

    @property
    def order(self) -> tuple[int, int]:
        """Sorts what matters most first: another verdict, failures, then checks that judge nothing."""
        worst = min(("fail", "pass", "note").index(c.verdict) for c in (self.run, self.other))
        return 0 if self.verdict_differs else 1, worst


def pair_curves(run: Curve, other: Curve) -> CurvePair:
    """Two responses and their distance."""
    if not _same_axes(run, other):
        return CurvePair(run, other, math.nan)
    if run.categories is not None and other.categories is not None:
        there = {name: float(v) for name, v in zip(other.categories, other.y, strict=True)}
        gaps = [abs(float(v) - there[n]) for n, v in zip(run.categories, run.y, strict=True) if n in there]
        return CurvePair(run, other, _mean(np.array(gaps)))
    a, b = _ordered(run), _ordered(other)
    if not (a[0].size and b[0].size):
        return CurvePair(run, other, math.nan)
    low, high = max(a[0][0], b[0][0]), min(a[0][-1], b[0][-1])
    if high < low:
        return CurvePair(run, other, math.nan)
    x = np.linspace(low, high, _STEPS)
    return CurvePair(run, other, _mean(np.abs(np.interp(x, *a) - np.interp(x, *b))))


def pair_terms(run: Contributions, other: Contributions) -> TermsPair:
    """Two sets of terms on one list of names; what stands in brackets behind a name is a value and does not count."""
    run, other = (replace(t, names=tuple(_VALUE.sub("", name) for name in t.names)) for t in (run, other))
    sides = [dict(zip(t.names, np.asarray(t.values, float), strict=True)) for t in (run, other)]
    names = list(dict.fromkeys([*run.names, *other.names]))
    values = np.array([[side.get(name, math.nan) for name in names] for side in sides]).reshape(2, len(names))
    scale = np.nanmax(np.abs(values), axis=1, initial=0.0)[:, None]
    size = np.nan_to_num(np.abs(values) / np.where(scale > 0, scale, 1.0)).max(axis=0, initial=0.0)
    one = ~np.isfinite(values).all(axis=0)
    order = np.lexsort((-size, one))
    values = values[:, order]
    both = np.isfinite(values).all(axis=0)
    return TermsPair(run, other, tuple(names[i] for i in order), values, rank_correlation(*values[:, both]))


def _same_axes(run: Curve, other: Curve) -> bool:
    sides = [(pretty_unit(c.x_unit), pretty_unit(c.y_unit), c.categories is None) for c in (run, other)]
    return sides[0] == sides[1]


def _ordered(curve: Curve) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.asarray(curve.x, float), np.asarray(curve.y, float)
    kept = np.isfinite(x) & np.isfinite(y)
    order = np.argsort(x[kept], kind="stable")
    return x[kept][order], y[kept][order]


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else math.nan
