"""Maps that say what a picture among the evidence says already, so that a page need not show both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from ecotone.contract import Evidence, Overlay

Array = np.ndarray
_CLOSE = 0.01  # of the range of values; the files are stored in single precision and may have been thinned
_MOST = 0.95  # of the cells


def without_repeats(maps: Sequence[Overlay], evidence: Sequence[Evidence]) -> tuple[list[Overlay], list[Evidence]]:
    """Leaves out maps that a picture among the evidence shows already, and names their files under that picture.

    Args:
        maps: Recorded maps, as `ecotone.report.maps.read_overlay` gives them; the note begins with the file's name.
        evidence: All evidence, in its order, which is kept.
    """
    kept: list[Overlay] = []
    shown = list(evidence)
    for item in maps:
        for i, other in enumerate(shown):
            if isinstance(other, Overlay) and same_map(item, other):
                shown[i] = replace(other, note=f"{other.note} In full: {item.note}".strip())
                break
        else:
            kept.append(item)
    return kept, shown


def same_map(one: Overlay, other: Overlay) -> bool:
    """Whether two maps of one area agree in all layers that both have; False where they share none."""
    if one.extent is None or other.extent is None or not np.allclose(one.extent, other.extent):
        return False
    if bool(one.legend) != bool(other.legend):
        return False
    shared = [name for name in one.names if name in other.names]
    return bool(shared) and all(_agree(_layer(one, name), _layer(other, name), one, other) for name in shared)


def _layer(overlay: Overlay, name: str) -> Array:
    return np.asarray(overlay.weights[overlay.names.index(name)], dtype=float)


def _agree(one: Array, other: Array, first: Overlay, second: Overlay) -> bool:
    """The layer with fewer cells is looked up in the other."""
    if one.size > other.size:
        one, other, first, second = other, one, second, first
    rows, columns = (
        np.minimum(((np.arange(n) + 0.5) * m / n).astype(int), m - 1)
        for n, m in zip(one.shape, other.shape, strict=True)
    )
    there = other[rows][:, columns]
    both = np.isfinite(one) & np.isfinite(there)
    if both.sum() < 0.5 * max(np.isfinite(one).sum(), 1):
        return False
    if first.legend:
        a, b = (_words(values[both], overlay.legend) for values, overlay in ((one, first), (there, second)))
        return bool((a == b).mean() >= _MOST)
    span = float(np.ptp(one[both]))
    return bool((np.abs(one - there)[both] <= _CLOSE * span + 1e-9).mean() >= _MOST)


def _words(values: Array, legend: Mapping[int, str]) -> Array:
    codes, place = np.unique(values.astype(int), return_inverse=True)
    return np.array([legend.get(int(code), "") for code in codes], dtype=object)[place]
