"""How well scores rank presences above absences, for many species at once.

N sites, S species. Scores are (N, S), or (N,) when there is one species or all share the scores; labels are 0/1 of the
same shape, where NaN means "this species was not looked for at this site" and takes the site out for that species only.
One-dimensional labels give a float, two-dimensional labels a (S,) array; NaN stands where a score is undefined, for
instance without a single presence.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import rankdata

from ecotone.errors import InputError, UsageError

Array = np.ndarray
PerSpecies = Any  # (S,) array, or a float for one-dimensional labels


def auc(scores: Array, labels: Array, weights: Array | None = None) -> PerSpecies:
    """Area under the receiver operating characteristic, as the Mann-Whitney statistic.

    The chance that a random presence scores above a random absence; a tie counts one half.

    Args:
        scores: (N, S) or (N,); infinite values are allowed, NaN only where the label is NaN.
        labels: (N, S) or (N,) of 0, 1 or NaN.
        weights: (N,) or (N, S) non-negative site weights, or None.

    Returns:
        (S,) or a float in [0, 1]; NaN without presences or without absences.

    Raises:
        InputError: DA404 on shapes or labels that do not fit, DA403 on NaN scores.
    """
    rows, truth, weight, flat = _columns(scores, labels, weights)
    out = np.full(truth.shape[0], np.nan)
    for j in range(truth.shape[0]):
        score = rows[j]
        present, absent = score[truth[j] == 1], score[truth[j] == 0]
        if weight is None:
            if not present.size or not absent.size:
                continue
            present.sort()
            absent.sort()
            below = np.searchsorted(absent, present, side="left")
            tied = present[absent[np.minimum(below, absent.size - 1)] == present]
            doubled = 2 * int(below.sum())
            if tied.size:
                doubled += int(np.searchsorted(absent, tied, side="right").sum())
                doubled -= int(np.searchsorted(absent, tied, side="left").sum())
            out[j] = doubled / (2 * present.size * absent.size)
        else:
            w_present, w_absent = weight[j][truth[j] == 1], weight[j][truth[j] == 0]
            if w_present.sum() <= 0 or w_absent.sum() <= 0:
                continue
            order = np.argsort(absent)
            mass = np.concatenate(([0.0], np.cumsum(w_absent[order])))
            absent = absent[order]
            reached = mass[np.searchsorted(absent, present, side="left")]
            reached = reached + mass[np.searchsorted(absent, present, side="right")]
            out[j] = w_present @ reached / (2.0 * w_present.sum() * mass[-1])
    return _give(out, flat)


def average_precision(scores: Array, labels: Array, weights: Array | None = None) -> PerSpecies:
    """Area under the precision-recall curve as the step sum ``sum (R_n - R_{n-1}) P_n`` over distinct scores.

    Equal scores enter together, so the order of rows does not matter. Its level under chance is the prevalence.

    Args:
        scores: (N, S) or (N,).
        labels: (N, S) or (N,) of 0, 1 or NaN.
        weights: (N,) or (N, S) non-negative site weights, or None.

    Returns:
        (S,) or a float in (0, 1]; NaN without presences or without absences.

    Raises:
        InputError: DA404 or DA403, as in `auc`.
    """
    steps, flat = _steps(scores, labels, weights)
    gained = np.diff(steps.hits, prepend=0.0)
    gained[steps.first] = steps.hits[steps.first]
    reached = steps.hits + steps.false_alarms
    precision = np.divide(steps.hits, reached, out=np.zeros_like(reached), where=reached > 0)
    total = np.bincount(steps.column, weights=gained * precision, minlength=steps.presences.size)
    out = np.divide(total, steps.presences, out=np.full(total.shape, np.nan), where=steps.defined)
    return _give(out, flat)


def correlation(scores: Array, labels: Array, weights: Array | None = None) -> PerSpecies:
    """Pearson correlation between score and 0/1 label (the point-biserial "COR" of the species-modelling literature).

    Unlike `auc` it depends on the scale of the scores, so say which scale was used.

    Args:
        scores: (N, S) or (N,); finite wherever the label is known.
        labels: (N, S) or (N,) of 0, 1 or NaN.
        weights: (N,) or (N, S) non-negative site weights, or None.

    Returns:
        (S,) or a float in [-1, 1]; NaN where score or label is constant.

    Raises:
        InputError: DA404 or DA403, as in `auc`, and DA403 on infinite scores.
    """
    rows, truth, weight, flat = _columns(scores, labels, weights)
    known = np.isfinite(truth)
    w = known.astype(np.float64) if weight is None else np.where(known, weight, 0.0)
    x, y = np.where(known, rows, 0.0), np.where(known, truth, 0.0)
    if not np.isfinite(x).all():
        raise InputError("DA403", "scores", "some are infinite", "pass finite scores, for example log-intensities")
    total = np.maximum(w.sum(axis=1, keepdims=True), np.finfo(float).tiny)
    offset = np.where(known, x - (w * x).sum(axis=1, keepdims=True) / total, 0.0)
    dev_y = np.where(known, y - (w * y).sum(axis=1, keepdims=True) / total, 0.0)
    largest = np.abs(offset).max(axis=1, initial=0.0)
    constant = largest <= 1e-12 * np.abs(x).max(axis=1, initial=0.0)
    dev_x = offset / np.where(largest > 0, largest, 1.0)[:, None]
    spread = np.sqrt((w * dev_x**2).sum(axis=1) * (w * dev_y**2).sum(axis=1))
    both = (w * dev_x * dev_y).sum(axis=1)
    out = np.divide(both, spread, out=np.full(both.shape, np.nan), where=(spread > 0) & ~constant)
    return _give(np.clip(out, -1.0, 1.0), flat)


def boyce(
    presence: Array, background: Array, *, windows: int = 101, width: float = 0.1, drop_repeats: bool = True
) -> float:
    """Continuous Boyce index of one species, for when there are presences but no absences.

    A window slides over the range of scores. P is the share of presences in it, E the share of background; a good
    model has P/E rising with the score. The index is the Spearman correlation of P/E with the window's middle. Windows
    without background (E = 0) have no P/E and are left out. Flat stretches would be ranked as ties and drag the index
    down, so of neighbouring windows with equal P/E only the last is kept, unless `drop_repeats` is False.

    Args:
        presence: (P,) scores at presences.
        background: (N,) scores at all available sites, or a random sample of them.
        windows: How many window positions.
        width: Window width as a share of the range of scores.
        drop_repeats: Keep one of several neighbouring windows with equal P/E.

    Returns:
        The index in [-1, 1]; NaN when the scores are constant, a side is empty or fewer than three windows remain.

    Raises:
        InputError: DA403 on scores that are not finite.
        UsageError: US104 on an impossible number or width of windows.

    Source: Hirzel et al. 2006, Ecological Modelling 199.
    """
    if windows < 3 or not 0 < width < 1:
        raise UsageError(
            "US104", "windows", f"{windows} windows of width {width}", "use at least 3, and a width between 0 and 1"
        )
    p, e = (np.sort(np.asarray(a, dtype=np.float64).ravel()) for a in (presence, background))
    if not (np.isfinite(p).all() and np.isfinite(e).all()):
        raise InputError("DA403", "scores", "some are not finite", "mask cells without data first")
    if not p.size or not e.size:
        return float("nan")
    low, high = min(p[0], e[0]), max(p[-1], e[-1])
    if not high > low:
        return float("nan")
    step = (high - low) * width
    starts = np.linspace(low, high - step, windows)
    ends = starts + step
    ends[-1] = high
    share_p = (np.searchsorted(p, ends, "right") - np.searchsorted(p, starts, "left")) / p.size
    share_e = (np.searchsorted(e, ends, "right") - np.searchsorted(e, starts, "left")) / e.size
    there = share_e > 0
    ratio, middle = share_p[there] / share_e[there], (starts + step / 2)[there]
    if drop_repeats:
        kept = np.append(ratio[1:] != ratio[:-1], True)
        ratio, middle = ratio[kept], middle[kept]
    if ratio.size < 3 or np.ptp(ratio) == 0:
        return float("nan")
    return float(np.corrcoef(rankdata(ratio), rankdata(middle))[0, 1])


def boyce_by_species(scores: Array, labels: Array, **options: float | bool) -> PerSpecies:
    """`boyce` per column: sites with label 1 against all sites whose label is known.

    Args:
        scores: (N, S) or (N,).
        labels: (N, S) or (N,) of 0, 1 or NaN.
        **options: `windows`, `width` and `drop_repeats` of `boyce`.

    Returns:
        (S,) or a float.
    """
    rows, truth, _, flat = _columns(scores, labels, None)
    pairs = zip(rows, truth, strict=True)
    out = np.array([boyce(s[t == 1], s[np.isfinite(t)], **options) for s, t in pairs])  # pyright: ignore[reportArgumentType]
    return _give(out, flat)


def max_tss_threshold(scores: Array, labels: Array, weights: Array | None = None) -> tuple[PerSpecies, PerSpecies]:
    """The threshold with the largest true skill statistic (sensitivity + specificity - 1), and that statistic.

    A site is called present when its score is at least the threshold. Of equally good thresholds the highest is taken.

    Args:
        scores: (N, S) or (N,).
        labels: (N, S) or (N,) of 0, 1 or NaN.
        weights: (N,) or (N, S) non-negative site weights, or None.

    Returns:
        Threshold and statistic, each (S,) or a float; NaN without presences or without absences.

    Raises:
        InputError: DA404 or DA403, as in `auc`.
    """
    steps, flat = _steps(scores, labels, weights)
    threshold, best = (np.full(steps.presences.size, np.nan) for _ in range(2))
    starts = np.flatnonzero(steps.first)
    for j, (begin, end) in enumerate(zip(starts, [*starts[1:], steps.column.size], strict=True)):
        if steps.defined[j]:
            skill = steps.hits[begin:end] / steps.presences[j] - steps.false_alarms[begin:end] / steps.absences[j]
            k = int(np.argmax(skill))
            threshold[j], best[j] = steps.value[begin + k], skill[k]
    return _give(threshold, flat), _give(best, flat)


def tenth_percentile_threshold(scores: Array, labels: Array, *, share: float = 0.1) -> PerSpecies:
    """The largest threshold that leaves out at most a tenth of the presences.

    A site is called present when its score is at least the threshold. Needs no absences.

    Args:
        scores: (N, S) or (N,).
        labels: (N, S) or (N,) of 0, 1 or NaN.
        share: Share of presences that may fall below.

    Returns:
        (S,) or a float; NaN without presences.

    Raises:
        UsageError: US104 when `share` is not in [0, 1).
    """
    if not 0 <= share < 1:
        raise UsageError("US104", "share", f"{share} is not a share", "use a number from 0 up to, not including, 1")
    rows, truth, _, flat = _columns(scores, labels, None)
    out = np.full(truth.shape[0], np.nan)
    for j in range(truth.shape[0]):
        present = np.sort(rows[j][truth[j] == 1])
        if present.size:
            out[j] = present[int(share * present.size + 1e-9)]
    return _give(out, flat)


class _Steps:
    """The distinct scores of every species from high to low, laid end to end, with what each threshold would catch."""

    def __init__(self, rows: Array, truth: Array, weight: Array | None) -> None:
        known = np.isfinite(truth)
        w = known.astype(np.float64) if weight is None else np.where(known, weight, 0.0)
        score = np.where(known, rows, -np.inf)
        order = np.argsort(score, axis=1, kind="stable")[:, ::-1]
        score = np.take_along_axis(score, order, axis=1)
        hit = np.take_along_axis(w * (truth == 1), order, axis=1)
        miss = np.take_along_axis(w * (truth == 0), order, axis=1)
        last = np.ones(score.shape, dtype=bool)
        last[:, :-1] = score[:, :-1] != score[:, 1:]
        hits, misses = np.cumsum(hit, axis=1), np.cumsum(miss, axis=1)
        self.value, self.hits, self.false_alarms = score[last], hits[last], misses[last]
        self.column = np.nonzero(last)[0]
        self.first = np.append(True, self.column[1:] != self.column[:-1]) if self.column.size else np.zeros(0, bool)
        self.presences, self.absences = hit.sum(axis=1), miss.sum(axis=1)
        self.defined = (self.presences > 0) & (self.absences > 0)


def _steps(scores: Array, labels: Array, weights: Array | None) -> tuple[_Steps, bool]:
    rows, truth, weight, flat = _columns(scores, labels, weights)
    return _Steps(rows, truth, weight), flat


def _columns(scores: Array, labels: Array, weights: Array | None) -> tuple[Array, Array, Array | None, bool]:
    """Checks the three arrays and lays species out as contiguous rows: (S, N)."""
    score, label = np.asarray(scores), np.asarray(labels)
    if label.dtype.kind not in "buif" or score.dtype.kind not in "buif":
        raise InputError("DA404", "scores", f"of type {score.dtype} with labels {label.dtype}", "pass numbers")
    flat = label.ndim == 1
    if label.ndim not in (1, 2) or score.ndim > label.ndim or score.shape[:1] != label.shape[:1] or not label.size:
        raise InputError(
            "DA404", "scores", f"{score.shape} for labels {label.shape}", "pass (N, S) or (N,), one row a site"
        )
    if score.ndim == 2 and score.shape != label.shape:
        raise InputError("DA404", "scores", f"{score.shape} for labels {label.shape}", "pass one column per species")
    truth = np.ascontiguousarray(np.atleast_2d(label.T), dtype=np.float64)
    rows = np.ascontiguousarray(np.broadcast_to(np.atleast_2d(score.T), truth.shape), dtype=np.float64)
    unknown = np.isnan(truth)
    if not ((truth == 0) | (truth == 1) | unknown).all():
        raise InputError("DA404", "labels", "hold something other than 0, 1 and NaN", "turn counts into presence first")
    if (np.isnan(rows) & ~unknown).any():
        raise InputError(
            "DA403", "scores", "NaN at a site with a label", "score every labelled site or set its label to NaN"
        )
    weight = None
    if weights is not None:
        weight = np.asarray(weights, dtype=np.float64)
        if weight.shape not in (label.shape, label.shape[:1]):
            raise InputError("DA404", "weights", f"{weight.shape} for labels {label.shape}", "pass one weight per site")
        weight = np.ascontiguousarray(np.broadcast_to(np.atleast_2d(weight.T), truth.shape))
        if not (np.isfinite(weight).all() and (weight >= 0).all()):
            raise InputError("DA403", "weights", "some are negative or not finite", "pass non-negative weights")
    return rows, truth, weight, flat


def _give(out: Array, flat: bool) -> PerSpecies:
    return float(out[0]) if flat else out
