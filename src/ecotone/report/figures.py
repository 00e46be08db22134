"""One drawing per kind of evidence.

Everything goes through matplotlib's object interface; no window, no global state. Text comes from data, so it is never
read as a formula or markup.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ecotone.contract import Check, Contributions, Curve, Evidence, Gallery, Overlay, Passages
from ecotone.report import style
from ecotone.report.overlays import MAX_NAME, MAX_WRITTEN, aspect_of, draw_overlay, panels, show_image
from ecotone.report.style import INK, MUTED, NODATA_HATCH, SERIES, number, with_unit

MAX_BARS = 25
MAX_RUG = 150
MAX_PATCHES = 24
OBSERVED = "observed"  # a reference of this name is dots: what was seen, not a line through it
_EQUALS = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.5, 1.5)), (0, (3, 1)), (0, (8, 2, 1, 2, 1, 2)))
_MARKS = ("o", "s", "^", "D", "v", "P")


def draw(evidence: Evidence, *, size: tuple[float, float] | None = None) -> Figure:
    """A figure of one piece of evidence.

    Args:
        evidence: Any of the kinds in `ecotone.contract`.
        size: Width and height in inches; by default what the kind needs.

    Returns:
        A matplotlib figure with an Agg canvas, ready for `savefig`.
    """
    for kind, drawing in _DRAWINGS.items():
        if isinstance(evidence, kind):
            layout = "compressed" if isinstance(evidence, Overlay) else "constrained"
            return canvas(partial(_drawn, drawing, evidence), size or _size(evidence), layout=layout)
    raise TypeError(f"no drawing for {type(evidence).__name__}")


def _drawn(drawing: Callable[[Figure, Any], None], evidence: Evidence, figure: Figure) -> None:
    drawing(figure, evidence)


def canvas(
    drawing: Callable[[Figure], None],
    size: tuple[float, float],
    *,
    layout: Literal["constrained", "compressed"] = "constrained",
) -> Figure:
    """A figure in the house style, with an Agg canvas, filled by a drawing.

    Args:
        drawing: Puts axes and marks on the figure.
        size: Width and height in inches.
        layout: matplotlib's layout engine; "compressed" for maps, whose shape is fixed.
    """
    with style.house_style():
        figure = Figure(figsize=size, layout=layout)
        FigureCanvasAgg(figure)
        drawing(figure)
    return figure


# ------------------------------------------------------------------------------------------------ curves
def _draw_curve(figure: Figure, curve: Curve) -> None:
    ax = figure.add_subplot()
    y = np.asarray(curve.y, float)
    lower = None if curve.lower is None else np.asarray(curve.lower, float)
    upper = None if curve.upper is None else np.asarray(curve.upper, float)
    if curve.categories is not None:
        _categorical(ax, curve, y, lower, upper)
    else:
        _continuous(ax, curve, y, lower, upper)
    ax.set_xlabel(with_unit(curve.x_label, curve.x_unit))
    ax.set_ylabel(with_unit(curve.y_label, curve.y_unit))
    value_limits(
        ax,
        [y, lower, upper, *curve.references.values()],
        ratio=curve.y_unit in ("", "1"),
        dates=curve.y_unit == style.DAY_OF_YEAR,
    )
    if curve.y_unit == style.DAY_OF_YEAR:
        style.date_axis(ax.yaxis, *ax.get_ylim())
    style.quiet_grid(ax)
    if curve.references:
        place = {"loc": "lower left", "bbox_to_anchor": (0.0, 1.0), "borderaxespad": 0.3}
        handles, labels = ax.get_legend_handles_labels()
        if curve.name and labels:  # equals are named in their order
            first = labels.index(_short(curve.name))
            order = [first, *(i for i in range(len(labels)) if i != first)]
            handles, labels = [handles[i] for i in order], [labels[i] for i in order]
        ax.legend(
            handles, labels, **place, handlelength=2.4 if curve.name else 1.6, labelspacing=0.25, labelcolor=MUTED
        )


def _continuous(ax: Axes, curve: Curve, y: np.ndarray, lower: np.ndarray | None, upper: np.ndarray | None) -> None:
    x = np.asarray(curve.x, float)
    inside = np.ones(len(x), bool)
    if curve.support is not None and np.size(curve.support):
        seen = np.sort(np.asarray(curve.support, float).ravel())
        seen = seen[np.isfinite(seen)]
    else:
        seen = np.array([])
    if seen.size:
        low, high = seen[0], seen[-1]
        inside = (x >= low) & (x <= high)
        ends = np.nanmin(x), np.nanmax(x)
        for a, b in ((ends[0], low), (high, ends[1])):
            if b > a:
                ax.axvspan(a, b, facecolor=style.NODATA, edgecolor=NODATA_HATCH, hatch="////", linewidth=0, zorder=0)
        if seen.size > MAX_RUG:
            seen = np.quantile(seen, np.linspace(0, 1, MAX_RUG))
        rug = np.stack([seen, seen, np.full_like(seen, np.nan)], axis=1).ravel()
        heights = np.tile([0.0, 0.035, np.nan], seen.size)
        ax.plot(rug, heights, transform=ax.get_xaxis_transform(), color=INK, linewidth=0.6, alpha=0.45)
    for i, (name, reference) in enumerate(curve.references.items(), start=1):
        colour = SERIES[i % len(SERIES)]
        dashes = _EQUALS[i % len(_EQUALS)] if curve.name else (0, (4, 2))
        if name == OBSERVED:
            ax.plot(x, np.asarray(reference, float), "o", color=colour, markersize=4.2, label=name, zorder=3)
            continue
        ax.plot(x, np.asarray(reference, float), color=colour, linewidth=1.6 if curve.name else 1.2, linestyle=dashes,
                label=_short(name))  # fmt: skip
    if lower is not None and upper is not None:
        ax.fill_between(x, lower, upper, color=SERIES[0], alpha=0.17, linewidth=0)
    ax.plot(x, y, color=SERIES[0], linestyle=(0, (1, 1.6)), linewidth=1.6)
    ax.plot(
        x,
        np.where(inside, y, np.nan),
        color=SERIES[0],
        label=_short(curve.name or curve.y_label) if curve.references else None,
    )
    if OBSERVED in curve.references:
        ax.margins(x=0.03)  # dots at the ends stay whole
    else:
        ax.margins(x=0.0)
    if curve.x_unit == style.DAY_OF_YEAR:
        style.date_axis(ax.xaxis, float(np.nanmin(x)), float(np.nanmax(x)))
    else:
        whole = bool(np.all(x == np.round(x)))
        ax.xaxis.set_major_locator(MaxNLocator(5, integer=True, steps=[1, 2, 5, 10]) if whole else MaxNLocator(5))


def _categorical(ax: Axes, curve: Curve, y: np.ndarray, lower: np.ndarray | None, upper: np.ndarray | None) -> None:
    place = np.arange(len(y))
    if curve.name and curve.references:
        _categories_of_equals(ax, curve, y)
        return
    ax.bar(place, y, width=0.66, color=SERIES[0], alpha=0.85, linewidth=0)
    if lower is not None and upper is not None:
        ax.vlines(place, lower, upper, color=INK, linewidth=1.2)
    for i, (name, reference) in enumerate(curve.references.items()):
        ax.plot(place, reference, "_", color=SERIES[(i + 1) % len(SERIES)], markersize=14, mew=1.6, label=name)
    _name_categories(ax, curve)


def _categories_of_equals(ax: Axes, curve: Curve, y: np.ndarray) -> None:
    """Points of several species side by side at each category."""
    lines = {curve.name: y, **curve.references}
    shift = np.linspace(-0.3, 0.3, len(lines))
    for i, (name, values) in enumerate(lines.items()):
        ax.plot(np.arange(len(y)) + shift[i], np.asarray(values, float), _MARKS[i % len(_MARKS)], label=_short(name),
                color=SERIES[i % len(SERIES)], markersize=5.5)  # fmt: skip
    for middle in np.arange(len(y) - 1) + 0.5:
        ax.axvline(middle, color=style.LINE, linewidth=0.7)
    _name_categories(ax, curve)


def _short(name: str) -> str:
    return textwrap.shorten(name, 34, placeholder="…")


def _name_categories(ax: Axes, curve: Curve) -> None:
    place = np.arange(len(curve.categories or ()))
    labels = [textwrap.shorten(str(c), 16, placeholder="…") for c in curve.categories or ()]
    tilted = len(labels) > 6 or sum(map(len, labels)) > 34
    ax.set_xticks(place, labels, rotation=45 if tilted else 0, ha="right" if tilted else "center")


def value_limits(ax: Axes, parts: list[Any], *, ratio: bool, dates: bool = False) -> None:
    """Limits of the value axis that suit all parts; a ratio that uses its range gets 0 to 1, dates have no zero."""
    values = np.concatenate([np.asarray(p, float).ravel() for p in parts if p is not None])
    values = values[np.isfinite(values)]
    if not values.size:
        return
    low, high = float(values.min()), float(values.max())
    if ratio and low >= 0 and high <= 1 and high > 0.25:
        ax.set_ylim(0, 1.02)
        ax.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"])
    elif low >= 0 and low < 0.5 * high and not dates:
        ax.set_ylim(0, high * 1.06)


# ------------------------------------------------------------------------------------------------ contributions
def _draw_contributions(figure: Figure, terms: Contributions) -> None:
    ax = figure.add_subplot()
    names, values = list(terms.names), np.asarray(terms.values, float)
    order = np.argsort(-np.abs(values), kind="stable")
    shown, rest = order[:MAX_BARS], order[MAX_BARS:]
    labels = [_two_lines(style.pretty_text(str(names[i]))) for i in shown]
    bars = values[shown]
    lower = None if terms.lower is None else np.asarray(terms.lower, float)[shown]
    upper = None if terms.upper is None else np.asarray(terms.upper, float)[shown]
    if rest.size:
        labels.append(f"{rest.size} more{'' if terms.additive else ' (mean)'}")
        bars = np.append(bars, values[rest].sum() if terms.additive else values[rest].mean())
        lower = None if lower is None else np.append(lower, np.nan)
        upper = None if upper is None else np.append(upper, np.nan)
    place = np.arange(len(bars))[::-1]
    if terms.additive:
        starts = np.concatenate([[0.0], np.cumsum(bars)[:-1]])
        colours = [style.POSITIVE if v >= 0 else style.NEGATIVE for v in bars]
        ax.barh(place, bars, left=starts, height=0.62, color=colours, linewidth=0)
        ends = starts + bars
        ax.vlines(ends[:-1], place[1:] + 0.31, place[:-1] - 0.31, color=MUTED, linewidth=0.7)
        ax.axvline(float(terms.total or 0.0), color=INK, linewidth=1.0, linestyle=(0, (3, 2)))
        ax.set_title(f"sum {number(float(terms.total or 0.0))}", loc="right", color=MUTED)
    else:
        ax.barh(place, bars, height=0.62, color=SERIES[0], alpha=0.88, linewidth=0)
        if lower is not None and upper is not None:
            ax.hlines(place, lower, upper, color=INK, linewidth=1.3)
    ax.axvline(0, color=MUTED, linewidth=0.8)
    ax.use_sticky_edges = False
    ax.margins(x=0.03)
    ax.set_yticks(place, labels)
    for label in ax.get_yticklabels():
        label.set(linespacing=0.95, fontsize=7.5 if "\n" in label.get_text() else 8.5)
    ax.tick_params(axis="y", length=0, labelcolor=INK)
    ax.spines["left"].set_visible(False)
    what = "contribution" if terms.additive else "importance"
    ax.set_xlabel(with_unit(what, terms.unit) if " " not in terms.unit else terms.unit)  # a phrase speaks for itself
    ax.xaxis.set_major_locator(MaxNLocator(5))
    style.quiet_grid(ax, "x")


# ------------------------------------------------------------------------------------------------ the small kinds
def _two_lines(name: str) -> str:
    """A long name over two lines, so that the second half of a pair is not lost."""
    lines = textwrap.wrap(name, 36, max_lines=2, placeholder="…")
    return "\n".join(lines)


def _draw_gallery(figure: Figure, gallery: Gallery) -> None:
    count = min(len(gallery.captions), MAX_PATCHES)
    if not count:
        _only_text(figure, "no images")
        return
    columns = min(count, 6)
    axes = figure.subplots(-(-count // columns), columns, squeeze=False)
    for ax in axes.ravel():
        ax.set_axis_off()
    for i in range(count):
        ax = axes.ravel()[i]
        show_image(ax, gallery.images[i])
        caption = textwrap.shorten(gallery.captions[i], 22, placeholder="…")
        if gallery.similarity is not None:
            caption += f"\n{number(float(gallery.similarity[i]), 2)}"
        ax.set_title(caption, fontsize=8, color=MUTED, loc="center")


def _draw_passages(figure: Figure, passages: Passages) -> None:
    ax = figure.add_subplot()
    weights = np.asarray(passages.weights, float)
    order = np.argsort(-np.abs(weights), kind="stable")[:12]
    lines = [textwrap.fill(textwrap.shorten(passages.sentences[i], 150, placeholder=" …"), 62) for i in order]
    place = np.arange(len(order))[::-1]
    ax.barh(place, weights[order], height=0.55, color=SERIES[0], alpha=0.88, linewidth=0)
    ax.set_yticks(place, lines)
    ax.tick_params(axis="y", length=0, labelcolor=INK)
    ax.spines["left"].set_visible(False)
    ax.set_xlabel("weight")
    style.quiet_grid(ax, "x")


def _draw_check(figure: Figure, check: Check) -> None:
    ax = figure.add_subplot()
    ax.set_axis_off()
    ax.set(xlim=(0, 1), ylim=(0, 1))
    colour = {"pass": style.PASS, "fail": style.FAIL, "note": style.NOTE}[check.verdict]
    badge = {"boxstyle": "round,pad=0.45", "facecolor": colour, "edgecolor": "none"}
    ax.text(
        0.0, 0.86, VERDICTS[check.verdict], color="white", weight="bold", va="top", bbox=badge, transform=ax.transAxes
    )
    ax.text(0.24, 0.88, textwrap.fill(check.claim, 58), va="top", color=INK, transform=ax.transAxes)
    ax.text(0.24, 0.12, measured_text(check), color=MUTED, transform=ax.transAxes)


VERDICTS = {"pass": "holds", "fail": "fails", "note": "note"}


def measured_text(check: Check) -> str:
    """``measured 0.93, bound 0.9``, with the unit."""
    unit = style.pretty_unit(check.unit)
    shown = f"measured {number(check.measured)}{' ' if unit else ''}{unit}"
    return shown if np.isnan(check.bound) else f"{shown}, bound {number(check.bound)}{' ' if unit else ''}{unit}"


def _only_text(figure: Figure, text: str) -> None:
    ax = figure.add_subplot()
    ax.set_axis_off()
    ax.text(0.5, 0.5, text, ha="center", va="center", color=MUTED, transform=ax.transAxes)


def _size(evidence: Evidence) -> tuple[float, float]:
    if isinstance(evidence, Contributions):
        return 5.2, 0.75 + 0.27 * min(len(evidence.names), MAX_BARS + 1)
    if isinstance(evidence, Overlay):
        return _overlay_size(evidence)
    if isinstance(evidence, Gallery):
        count = max(1, min(len(evidence.captions), MAX_PATCHES))
        return 1.15 * min(count, 6) + 0.1, 1.5 * -(-count // 6)
    if isinstance(evidence, Passages):
        return 7.0, 0.8 + 0.44 * min(len(evidence.sentences), 12)
    if isinstance(evidence, Curve) and evidence.name:
        return 3.5, 2.6 + 0.17 * (1 + len(evidence.references))
    return (4.6, 0.9) if isinstance(evidence, Check) else (3.5, 2.75)


def _overlay_size(overlay: Overlay) -> tuple[float, float]:
    rows, columns = panels(len(overlay.names))
    if overlay.x_names and overlay.y_names:
        return _matrix_size(overlay, rows, columns)
    ratio = float(np.clip(aspect_of(overlay), 0.35, 1.8))
    width = 6.4 if columns == 1 else 3.3 * columns
    cell = (width - 1.1) / columns
    if columns == 1 and ratio > 1.0:
        cell, width = 5.3 / ratio, 5.3 / ratio + 1.4
    return width, rows * (cell * ratio + 0.55) + 0.2


def _matrix_size(overlay: Overlay, rows: int, columns: int) -> tuple[float, float]:
    """Cells large enough for their names, and room for the names."""
    height, width = overlay.weights.shape[1:]
    cell = 0.36 if max(height, width) <= MAX_WRITTEN else 0.19
    names = 0.075 * min(MAX_NAME, max(map(len, (*overlay.x_names, *overlay.y_names)), default=0))
    return columns * (cell * width + names + 0.4) + 0.9, rows * (cell * height + names + 0.5)


_DRAWINGS: dict[type[Evidence], Callable[[Figure, Any], None]] = {
    Curve: _draw_curve,
    Overlay: draw_overlay,
    Contributions: _draw_contributions,
    Gallery: _draw_gallery,
    Passages: _draw_passages,
    Check: _draw_check,
}
