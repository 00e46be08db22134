"""Drawings that lay two runs over each other: the first in the first colour, the second in the second, throughout."""

from __future__ import annotations

import textwrap
from dataclasses import replace

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, Colormap, ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from ecotone.contract import Curve, Overlay
from ecotone.report import style
from ecotone.report.evidence_pairs import CurvePair, TermsPair
from ecotone.report.figures import canvas, value_limits
from ecotone.report.map_pairs import LayerPair
from ecotone.report.overlays import aspect_of, panel, scale
from ecotone.report.style import INK, MUTED, SERIES, number, with_unit

Names = tuple[str, str]
COLOURS = SERIES[:2]
MAX_TERMS = 12
MAX_LINES = 30
_SIDE = 300
_SAME = "#dfe5e7"
_STYLES = ("solid", (0, (5, 1.5)))


# ------------------------------------------------------------------------------------------------ curves
def draw_curves(found: CurvePair, names: Names) -> Figure:
    """Both responses on one pair of axes; dotted where a run's records do not reach."""
    names = short_pair(names, 15)

    def drawing(figure: Figure) -> None:
        ax = figure.add_subplot()
        curves = found.drawn
        if found.run.categories is not None:
            _categories(ax, curves, names)
        else:
            for k, curve in enumerate(curves):
                _line(ax, curve, k, names[k])
            ax.margins(x=0.0)
            ax.xaxis.set_major_locator(MaxNLocator(5))
        ax.set_xlabel(with_unit(found.run.x_label, found.run.x_unit))
        labels = dict.fromkeys(with_unit(c.y_label, c.y_unit) for c in curves)
        ax.set_ylabel(" / ".join(labels))
        parts = [part for c in curves for part in (c.y, c.lower, c.upper)]
        value_limits(ax, parts, ratio=found.run.y_unit in ("", "1"))
        style.quiet_grid(ax)
        _legend(ax)

    return canvas(drawing, (3.5, 2.85))


def _line(ax: Axes, curve: Curve, k: int, name: str) -> None:
    x, y = np.asarray(curve.x, float), np.asarray(curve.y, float)
    inside = np.ones(len(x), bool)
    if curve.support is not None:
        seen = np.asarray(curve.support, float)
        seen = seen[np.isfinite(seen)]
        if seen.size:
            inside = (x >= seen.min()) & (x <= seen.max())
    if curve.lower is not None and curve.upper is not None:
        ax.fill_between(x, curve.lower, curve.upper, color=COLOURS[k], alpha=0.13, linewidth=0)
    ax.plot(x, y, color=COLOURS[k], linestyle=(0, (1, 1.6)), linewidth=1.4)
    ax.plot(x, np.where(inside, y, np.nan), color=COLOURS[k], linestyle=_STYLES[k], label=name)


def _categories(ax: Axes, curves: tuple[Curve, Curve], names: Names) -> None:
    words = list(dict.fromkeys(str(c) for curve in curves for c in curve.categories or ()))
    for k, curve in enumerate(curves):
        place = np.array([words.index(str(c)) for c in curve.categories or ()], float) + 0.2 * (2 * k - 1)
        ax.bar(place, curve.y, width=0.38, color=COLOURS[k], alpha=0.88, linewidth=0, label=names[k])
        if curve.lower is not None and curve.upper is not None:
            ax.vlines(place, curve.lower, curve.upper, color=INK, linewidth=1.0)
    labels = [textwrap.shorten(w, 16, placeholder="…") for w in words]
    tilted = len(labels) > 6 or sum(map(len, labels)) > 34
    ax.set_xticks(range(len(words)), labels, rotation=45 if tilted else 0, ha="right" if tilted else "center")


# ------------------------------------------------------------------------------------------------ importances
def draw_terms(found: TermsPair, names: Names) -> Figure:
    """The terms of both runs, in one panel where they share a unit, else in two."""
    count = min(len(found.names), MAX_TERMS)
    names = short_pair(names)

    def drawing(figure: Figure) -> None:
        panels = figure.subplots(1, 1 if found.same_unit else 2, squeeze=False, sharey=True)[0]
        place = np.arange(count, dtype=float)[::-1]
        for k, terms in enumerate((found.run, found.other)):
            ax = panels[0 if found.same_unit else k]
            shift = 0.19 * (1 - 2 * k) if found.same_unit else 0.0
            height = 0.36 if found.same_unit else 0.62
            values = found.values[k, :count]
            ax.barh(place + shift, values, height=height, color=COLOURS[k], linewidth=0, label=names[k])
            if terms.lower is not None and terms.upper is not None:
                at = [terms.names.index(n) if n in terms.names else -1 for n in found.names[:count]]
                low, high = (np.append(np.asarray(v, float), np.nan)[at] for v in (terms.lower, terms.upper))
                ax.hlines(place + shift, low, high, color=INK, linewidth=1.0)
            ax.set_xlabel(terms.unit if " " in terms.unit else with_unit("importance", terms.unit))
        for ax in panels:
            ax.axvline(0, color=MUTED, linewidth=0.8)
            ax.use_sticky_edges = False
            ax.margins(x=0.03)
            ax.xaxis.set_major_locator(MaxNLocator(4))
            ax.tick_params(axis="y", length=0, labelcolor=INK)
            ax.spines["left"].set_visible(False)
            style.quiet_grid(ax, "x")
            _legend(ax)
        panels[0].set_yticks(place, [textwrap.shorten(n, 30, placeholder="…") for n in found.names[:count]])

    return canvas(drawing, (5.2 if found.same_unit else 6.4, 1.05 + 0.31 * max(count, 1)))


# ------------------------------------------------------------------------------------------------ scores
def draw_scored(metric: str, what: str, keys: tuple[str, ...], values: tuple[np.ndarray, np.ndarray],
                names: Names) -> Figure:  # fmt: skip
    """A metric one by one: a line per species while these can be read, else a point per species.

    Args:
        metric: Its readable name.
        what: What the keys are, such as "species".
        keys: (n,) names.
        values: ((n,), (n,)) scores of both runs.
        names: Names of the runs.
    """
    few = len(keys) <= MAX_LINES
    names = short_pair(names, 16)
    a, b = values

    def lines(figure: Figure) -> None:
        ax = figure.add_subplot()
        order = np.argsort(a - b, kind="stable")
        place = np.arange(len(keys))
        ax.hlines(place, a[order], b[order], color=MUTED, linewidth=1.6, alpha=0.6)
        for k, marker in enumerate(("o", "D")):
            size = 34 if k == 0 else 26
            ax.scatter(values[k][order], place, s=size, marker=marker, color=COLOURS[k], label=names[k], zorder=3)
        ax.set_yticks(place, [textwrap.shorten(keys[i], 34, placeholder="…") for i in order])
        ax.set_ylim(-0.7, len(keys) - 0.3)
        ax.set_xlabel(metric)
        ax.tick_params(axis="y", length=0, labelcolor=INK)
        ax.spines["left"].set_visible(False)
        style.quiet_grid(ax, "x")
        _legend(ax)

    def points(figure: Figure) -> None:
        ax = figure.add_subplot()
        ends = [min(a.min(), b.min()), max(a.max(), b.max())]
        ax.plot(ends, ends, color=MUTED, linewidth=0.9, linestyle=(0, (3, 2)))
        ax.scatter(b, a, s=18, color=INK, alpha=0.55, linewidth=0)
        ax.set_xlabel(f"{metric}, {names[1]}")
        ax.set_ylabel(f"{metric}, {names[0]}")
        higher = int((a > b).sum())
        ax.set_title(f"{names[0]} higher for {higher} of {len(keys)} {what}", color=MUTED)
        ax.set_aspect("equal", adjustable="datalim")
        style.quiet_grid(ax)

    return canvas(lines, (4.0, 0.95 + 0.25 * len(keys))) if few else canvas(points, (4.4, 4.2))


# ------------------------------------------------------------------------------------------------ maps
def draw_layers(found: LayerPair, names: Names) -> Figure:
    """A layer of both runs on one colour scale, and their difference on a scale around zero where grids agree."""
    sides = [_overlay(found, k) for k in (0, 1)]
    names, shorter = short_pair(names, 26), short_pair(names, 14)
    count = 2 if found.apart else 3
    ratio = float(np.clip(max(aspect_of(side) for side in sides), 0.35, 1.6))
    cell = {2: 3.6, 3: 2.75}[count]
    width = count * cell + 1.5

    def drawing(figure: Figure) -> None:
        axes = figure.subplots(1, count, squeeze=False)[0]
        layers = [np.asarray(side.weights[0], float) for side in sides]
        same_scale = sides[0].unit == sides[1].unit and bool(sides[0].legend) == bool(sides[1].legend)
        shared = scale(layers, replace(sides[0], legend=found.legend))
        for k, ax in enumerate(axes[:2]):
            cmap, norm = shared if same_scale else scale([layers[k]], sides[k])
            image = panel(ax, sides[k], layers[k], cmap, norm, side=_SIDE)
            ax.set_title(names[k], color=COLOURS[k], fontweight="bold")
            if found.classes:
                continue
            if same_scale and k == 1:
                _bar(figure, image, list(axes[:2]), sides[0].unit)
            elif not same_scale:
                _bar(figure, image, [ax], sides[k].unit)
        if not found.apart:
            layer = found.difference
            cmap, norm = _gap_scale(layer, found.classes)
            image = panel(axes[2], sides[0], layer, cmap, norm, side=_SIDE)
            title = "where they differ" if found.classes else f"{shorter[0]} \N{MINUS SIGN} {shorter[1]}"
            axes[2].set_title(title, color=INK)
            if not found.classes:
                _bar(figure, image, [axes[2]], sides[0].unit, ends="both")
        if found.classes:
            _class_legend(figure, found, layers, shared, shorter)
        for ax in axes:
            ax.xaxis.set_major_locator(MaxNLocator(3, prune="both"))
            if not found.apart:
                ax.label_outer()

    return canvas(drawing, (width, cell * ratio + (1.0 if found.classes else 0.75)), layout="compressed")


def _overlay(found: LayerPair, k: int) -> Overlay:
    layer = (found.run, found.other)[k]
    side = found.sides[k]
    return Overlay(
        title=found.title, weights=layer[None], names=(found.name,), unit=side.unit, extent=side.extent,
        legend=side.legend or {},
    )  # fmt: skip


def _gap_scale(layer: np.ndarray, classes: bool) -> tuple[Colormap, Normalize]:
    if classes:
        return ListedColormap([COLOURS[1], _SAME, COLOURS[0]]), BoundaryNorm([-1.5, -0.5, 0.5, 1.5], 3)
    values = np.abs(layer[np.isfinite(layer)])
    reach = float(np.quantile(values, 0.99)) if values.size else 0.0
    reach = reach or float(values.max(initial=0.0)) or 1.0
    return colormaps[style.DIVERGING], Normalize(-reach, reach)


def _bar(figure: Figure, image: object, axes: list[Axes], unit: str, *, ends: str = "neither") -> None:
    bar = figure.colorbar(image, ax=axes, location="bottom", shrink=0.7, aspect=32, pad=0.02, extend=ends)  # pyright: ignore[reportArgumentType]
    if bar.solids is not None:
        bar.solids.set_rasterized(True)
    bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
    bar.set_label(style.pretty_unit(unit), color=MUTED)
    bar.locator = MaxNLocator(5)
    bar.update_ticks()


def _class_legend(
    figure: Figure, found: LayerPair, layers: list[np.ndarray], shared: tuple[Colormap, Normalize], names: Names
) -> None:
    legend = found.legend
    there = {int(v) for layer in layers for v in np.unique(layer[np.isfinite(layer)])}
    keys = [key for key in sorted(legend) if key in there][:12]
    patches = [
        Patch(facecolor=shared[0](shared[1](k)), label=textwrap.shorten(legend[k], 28, placeholder="…")) for k in keys
    ]
    if found.binary and not found.apart:
        high = textwrap.shorten(legend[max(legend)], 28, placeholder="…")
        patches += [Patch(facecolor=COLOURS[k], label=f"{high} in {names[k]} only") for k in (0, 1)]
    elif not found.apart:
        patches.append(Patch(facecolor=COLOURS[0], label="another class"))
    figure.legend(handles=patches, loc="outside lower center", ncols=4, labelcolor=INK, handlelength=1.1)


# ------------------------------------------------------------------------------------------------ words
def curves_text(found: CurvePair, names: Names) -> str:
    """What the figure of two curves shows."""
    parts = []
    for curve, name in ((found.run, names[0]), (found.other, names[1])):
        y = np.asarray(curve.y, float)
        if np.isfinite(y).any():
            best = int(np.nanargmax(y))
            at = curve.categories[best] if curve.categories is not None else number(float(curve.x[best]))
            parts.append(f"{name} is highest at {at} with {number(float(y[best]))}")
    about = f"Response to {found.run.x_label}{f' of {found.run.target}' if found.run.target else ''} in both runs"
    gap = "" if np.isnan(found.distance) else f" Mean distance {number(found.distance)}."
    return f"{about}: {'; '.join(parts) or 'no finite values'}.{gap}"


def terms_text(found: TermsPair, names: Names) -> str:
    """What the figure of two importances shows."""
    first = [f"{name}: {top or 'nothing'}" for name, top in zip(names, found.first, strict=True)]
    return f"{found.run.title} in both runs. Largest in {first[0]}; in {first[1]}."


def layers_text(found: LayerPair, names: Names) -> str:
    """What the figure of two maps shows."""
    what = f"Maps of {found.name} by {names[0]} and {names[1]}"
    return (
        f"{what}, side by side; {found.apart}." if found.apart else f"{what}, and their difference. {likeness(found)}."
    )


def likeness(found: LayerPair) -> str:
    """How alike two layers are, in words."""
    if not found.cells:
        return "no cell has a value in both"
    if found.same:
        return "the same in every cell"
    if found.classes:
        return f"{percent(found.share)} of cells are of another class"
    unit = f" {found.sides[0].unit}".rstrip()
    rank = "" if np.isnan(found.rank) else f"rank correlation {number(found.rank)}; "
    return f"{rank}{percent(found.share)} of cells differ by more than {number(found.amount)}{unit}"


def percent(share: float) -> str:
    """``0.123 -> "12 %"``."""
    if np.isnan(share):
        return "n/a"
    value = 100 * share
    return f"{number(value, 2) if value < 99 else f'{value:.3g}'}\N{NO-BREAK SPACE}%"


def _legend(ax: Axes) -> None:
    place = {"loc": "lower left", "bbox_to_anchor": (0.0, 1.0), "borderaxespad": 0.3}
    ax.legend(**place, ncols=2, handlelength=1.6, columnspacing=1.4, labelcolor=INK)


def short_pair(names: Names, width: int = 20) -> Names:
    """Both names cut to a width, still told apart: by their beginnings, else by their ends, else by a number."""
    heads = [name if len(name) <= width else f"{name[: width - 1]}…" for name in names]
    tails = [name if len(name) <= width else f"…{name[1 - width :]}" for name in names]
    for a, b in (heads, tails):
        if a != b:
            return a, b
    return f"1 {heads[0]}", f"2 {heads[1]}"
