"""Maps and image overlays: layers of weights with axes, colour bar and marks; what has no data is hatched."""

from __future__ import annotations

import math
import textwrap
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, Colormap, ListedColormap, Normalize, TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ecotone.contract import Overlay
from ecotone.report import style
from ecotone.report.style import INK, MUTED, pretty_unit, with_unit

MAX_LAYERS = 12
MAX_SIDE = 520
MAX_POINTS = 4000
MAX_NAME = 26  # letters of a row's or column's name
MAX_WRITTEN = 12  # rows of a matrix whose values are written into its cells
ON_DARK, ON_LIGHT = "#fdfdfd", "#0d1317"  # on colours of data, which stay the same in every theme


def panels(count: int) -> tuple[int, int]:
    """Rows and columns for a number of layers."""
    count = min(count, MAX_LAYERS)
    columns = 1 if count == 1 else 2 if count in (2, 4) else 3
    return -(-count // columns), columns


def is_geographic(extent: tuple[float, float, float, float] | None) -> bool:
    """Whether an extent can be longitude and latitude in degrees."""
    return extent is not None and max(map(abs, extent[:2])) <= 360 and max(map(abs, extent[2:])) <= 90


def aspect_of(overlay: Overlay) -> float:
    """Height over width as drawn; degrees of longitude shrink with the cosine of the latitude."""
    height, width = overlay.weights.shape[1:]
    extent = _extent(overlay)
    if overlay.x_names and overlay.y_names:
        return height / max(width, 1)
    if not overlay.is_map:
        return 0.85
    if extent is None:
        return height / max(width, 1)
    west, east, south, north = extent
    return abs(north - south) / abs(east - west) * _stretch(extent)


def draw_overlay(figure: Figure, overlay: Overlay) -> None:
    """Draws each layer in its own panel with one colour scale."""
    count = min(len(overlay.names), MAX_LAYERS)
    rows, columns = panels(len(overlay.names))
    axes = figure.subplots(rows, columns, squeeze=False)
    layers = [np.asarray(overlay.weights[k], float) for k in range(count)]
    cmap, norm = scale(layers, overlay)
    shown = None
    for k, ax in enumerate(axes.ravel()):
        if k >= count:
            ax.set_axis_off()
            continue
        shown = panel(ax, overlay, layers[k], cmap, norm)
        if len(overlay.names) > 1:
            ax.set_title(textwrap.shorten(overlay.names[k], 30, placeholder="…"), color=INK)
        if columns > 1:
            ax.label_outer()
            if not overlay.x_names:
                ax.xaxis.set_major_locator(MaxNLocator(3, prune="both"))
    if overlay.legend:
        there = {int(v) for layer in layers for v in np.unique(layer[np.isfinite(layer)])}
        keys = [key for key in sorted(overlay.legend) if key in there][:20]
        patches = [Patch(facecolor=cmap(norm(key)), label=str(overlay.legend[key])) for key in keys]
        figure.legend(handles=patches, loc="outside right center", labelcolor=INK, handlelength=1.1)
    elif shown is not None:
        bar = figure.colorbar(shown, ax=list(axes.ravel()), shrink=0.72, aspect=26, pad=0.02)
        if bar.solids is not None:
            bar.solids.set_rasterized(True)
        bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
        unit = pretty_unit(overlay.unit)
        name = overlay.names[0] if len(overlay.names) == 1 else ""
        bar.set_label(f"{name} ({unit})" if name and unit else name or unit, color=MUTED)
        bar.locator = MaxNLocator(6)
        bar.update_ticks()


def panel(
    ax: Axes, overlay: Overlay, layer: np.ndarray, cmap: Colormap, norm: Normalize, *, side: int = MAX_SIDE
) -> Any:
    """Draws one (H, W) layer with its axes, background and marks, thinned to `side` pixels; returns the image."""
    height, width = layer.shape
    extent = _extent(overlay) or (-0.5, width - 0.5, height - 0.5, -0.5)
    step = max(1, math.ceil(max(layer.shape) / side))
    ground = Rectangle(
        (0, 0), 1, 1, transform=ax.transAxes, facecolor=style.NODATA, edgecolor=style.NODATA_HATCH, zorder=-1
    )
    ground.set(hatch="/////", linewidth=0)
    ax.add_patch(ground)
    over_image = overlay.image is not None
    if overlay.image is not None:
        show_image(ax, overlay.image, extent=extent)
    thin = np.ma.masked_invalid(layer[::step, ::step])
    alpha: Any = 1.0
    if over_image and not overlay.legend:
        span = norm(thin.filled(np.nan))
        alpha = np.clip(np.nan_to_num(np.asarray(span, float)), 0, 1) * 0.75
    elif over_image:
        alpha = 0.6
    shown = ax.imshow(thin, extent=extent, cmap=cmap, norm=norm, alpha=alpha, interpolation="nearest", origin="upper")
    if overlay.points is not None and len(overlay.points):
        _marks(ax, np.asarray(overlay.points, float))
    ax.set_xlim(extent[0], extent[1])
    ax.set_ylim(extent[2], extent[3])
    for spine in ax.spines.values():
        spine.set(visible=True, color=style.LINE)
    if not overlay.is_map:
        _named_axes(ax, overlay, extent)
        return shown
    if _extent(overlay) is None:
        ax.set(xticks=[], yticks=[], aspect="equal")
        return shown
    ax.set_aspect(_stretch(extent))
    _map_axes(ax, extent)
    return shown


def _named_axes(ax: Axes, overlay: Overlay, extent: tuple[float, float, float, float]) -> None:
    """Covariates with units along the axes, or names at the middles of columns and rows."""
    height, width = overlay.weights.shape[1:]
    matrix = bool(overlay.x_names and overlay.y_names)
    ax.set_aspect("equal" if matrix else "auto")
    ax.set_xlabel(with_unit(overlay.x_label, overlay.x_unit))
    ax.set_ylabel(with_unit(overlay.y_label, overlay.y_unit))
    size = 8.5 if max(height, width) <= 20 else 7.5
    across = extent[0] + (np.arange(width) + 0.5) * (extent[1] - extent[0]) / width
    down = extent[3] - (np.arange(height) + 0.5) * (extent[3] - extent[2]) / height
    if overlay.x_names:
        labels = [textwrap.shorten(n, MAX_NAME, placeholder="…") for n in overlay.x_names]
        tilted = matrix or sum(map(len, labels)) > 34
        ax.set_xticks(across, labels, rotation=90 if matrix else 45 if tilted else 0,
                      ha="right" if tilted and not matrix else "center", fontsize=size)  # fmt: skip
    else:
        ax.xaxis.set_major_locator(MaxNLocator(5))
    if overlay.y_names:
        labels = [textwrap.shorten(n, MAX_NAME, placeholder="…") for n in overlay.y_names]
        ax.set_yticks(down, labels, fontsize=size)
    else:
        ax.yaxis.set_major_locator(MaxNLocator(5))
    if matrix:
        ax.tick_params(length=0)
        if max(height, width) <= MAX_WRITTEN and len(overlay.names) == 1:
            _write_values(ax, np.asarray(overlay.weights[0], float), across, down)


def _write_values(ax: Axes, values: np.ndarray, across: np.ndarray, down: np.ndarray) -> None:
    colours = np.asarray(ax.images[-1].to_rgba(values))
    for row, column in np.argwhere(np.isfinite(values)):
        dark = float(colours[row, column, :3] @ [0.299, 0.587, 0.114]) < 0.55
        text = f"{values[row, column]:.2f}".replace("-", "\u2212")
        place = float(across[column]), float(down[row])
        ax.text(*place, text, ha="center", va="center", fontsize=7.5, color=ON_DARK if dark else ON_LIGHT)


def _map_axes(ax: Axes, extent: tuple[float, float, float, float]) -> None:
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.yaxis.set_major_locator(MaxNLocator(5))
    if is_geographic(extent):
        ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: _degrees(v, "E", "W")))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda v, _: _degrees(v, "N", "S")))
        ax.set(xlabel="longitude", ylabel="latitude")
        return
    kilometres = FuncFormatter(lambda v, _: f"{v / 1000:,.6g}")
    ax.xaxis.set_major_formatter(kilometres)
    ax.yaxis.set_major_formatter(kilometres)
    ax.set(xlabel="easting (km)", ylabel="northing (km)")


def _marks(ax: Axes, points: np.ndarray) -> None:
    points = points[np.isfinite(points).all(axis=1)]
    if len(points) > MAX_POINTS:
        points = points[np.linspace(0, len(points) - 1, MAX_POINTS).astype(int)]
    size = 20.0 if len(points) < 400 else 7.0
    heavy = len(points) > 300
    for colour, line in (("#ffffff", 1.7), ("#101820", 0.7)):
        ax.scatter(points[:, 0], points[:, 1], s=size, facecolors="none", edgecolors=colour, linewidths=line,
                   rasterized=heavy)  # fmt: skip


def scale(layers: list[np.ndarray], overlay: Overlay) -> tuple[Colormap, Normalize]:
    """One colour scale for some layers: classes, diverging around zero, or sequential."""
    if overlay.legend:
        keys = sorted(overlay.legend)
        colours = style.class_colours(len(keys))
        edges = [keys[0] - 0.5, *[(a + b) / 2 for a, b in pairwise(keys)], keys[-1] + 0.5]
        return ListedColormap(colours), BoundaryNorm(edges, len(keys))
    values = np.concatenate([layer[np.isfinite(layer)] for layer in layers] or [np.array([0.0])])
    if not values.size:
        return colormaps[style.SEQUENTIAL], Normalize(0, 1)
    low, high = (float(v) for v in np.quantile(values, [0.005, 0.995]))
    if values.min() < 0 < values.max():
        reach = max(abs(low), abs(high), 1e-12)
        # red warns: what is unlike the sample is red on every map
        colours = colormaps[style.DIVERGING]
        return colours.reversed() if overlay.names == ("similarity",) else colours, TwoSlopeNorm(0.0, -reach, reach)
    if overlay.unit in ("", "1") and values.min() >= 0 and values.max() <= 1 and high > 0.25:
        return colormaps[style.SEQUENTIAL], Normalize(0, 1)
    return colormaps[style.SEQUENTIAL], Normalize(
        0.0 if 0 <= low < 0.5 * high else low, high if high > low else low + 1
    )


def show_image(ax: Axes, image: np.ndarray, extent: tuple[float, float, float, float] | None = None) -> None:
    """Shows an (H, W) or (H, W, 3) picture of 0..1 or uint8, thinned to what a page can show."""
    image = np.asarray(image)
    step = max(1, math.ceil(max(image.shape[:2]) / MAX_SIDE))
    thin = image[::step, ::step]
    if thin.dtype == np.uint8:
        thin = thin.astype(np.float32) / 255
    elif thin.size and np.isfinite(thin).any() and (np.nanmin(thin) < 0 or np.nanmax(thin) > 1):
        low, high = np.nanquantile(thin, [0.01, 0.99])
        thin = (thin - low) / max(high - low, 1e-12)
    thin = np.clip(np.nan_to_num(np.asarray(thin, float)), 0, 1)
    ax.imshow(thin, cmap="gray", vmin=0, vmax=1, extent=extent, interpolation="nearest", origin="upper")


def _extent(overlay: Overlay) -> tuple[float, float, float, float] | None:
    """The extent where it has an area; a map without one is drawn in pixels."""
    extent = overlay.extent
    if extent is None or not all(map(math.isfinite, extent)) or extent[0] == extent[1] or extent[2] == extent[3]:
        return None
    return extent


def _stretch(extent: tuple[float, float, float, float]) -> float:
    if not is_geographic(extent):
        return 1.0
    return 1.0 / max(math.cos(math.radians((extent[2] + extent[3]) / 2)), 0.2)


def _degrees(value: float, positive: str, negative: str) -> str:
    text = f"{abs(value):.4g}°"
    return text if value == 0 else f"{text}{positive if value > 0 else negative}"
