"""House style of figures: colours, sizes, units.

Figures are drawn once, in the light colours below. Inside a page each of these colours is replaced by a CSS variable,
so that one drawing serves light, dark and print.
"""

from __future__ import annotations

import math
import re
from datetime import date, timedelta
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.axis import Axis

INK, MUTED, LINE, PANEL, NODATA, NODATA_HATCH = "#1c2a33", "#5a6a75", "#d3dade", "#fefefe", "#e9edef", "#cdd5d9"
SERIES = ("#0a6c86", "#c8641b", "#7a4fa3", "#2f855b", "#b23a5e", "#77630e")
"""Series colours, told apart with the common colour-vision deficiencies and in grey."""

POSITIVE, NEGATIVE = SERIES[0], SERIES[1]
PASS, FAIL, NOTE = "#1f7a4d", "#b3261e", "#8a5a00"
CSS_VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    LINE: "--line",
    PANEL: "--panel",
    NODATA: "--nodata",
    NODATA_HATCH: "--nodata-hatch",
    PASS: "--pass",
    FAIL: "--fail",
    NOTE: "--note",
    **{colour: f"--s{i}" for i, colour in enumerate(SERIES, start=1)},
}

SEQUENTIAL, DIVERGING = "viridis", "RdBu_r"
CLASSES = ("#4477aa", "#ddcc77", "#228833", "#ee6677", "#66ccee", "#aa3377", "#bbbbbb", "#332288", "#999933", "#882255")


def class_colours(n: int) -> list[str]:
    """One colour per class: no and yes for two, the palette up to ten, hues in three shades beyond."""
    if n == 2:
        return ["#c9d3d6", "#1f6f8b"]
    if n <= len(CLASSES):
        return list(CLASSES[:n])
    from matplotlib.colors import hsv_to_rgb, to_hex

    shades = ((0.75, 0.85), (0.45, 0.95), (0.85, 0.55))
    rgb = (hsv_to_rgb((i * 0.618034 % 1.0, *shades[i % 3])) for i in range(n))
    return [to_hex(tuple(colour.tolist())) for colour in rgb]


_RC: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.titleweight": "regular",
    "axes.titlelocation": "left",
    "axes.labelsize": 9.0,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": LINE,
    "axes.facecolor": "none",
    "axes.linewidth": 0.9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "figure.facecolor": PANEL,
    "figure.dpi": 100.0,
    "savefig.facecolor": PANEL,
    "text.color": INK,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "xtick.major.size": 3.0,
    "ytick.major.size": 3.0,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.9,
    "lines.solid_capstyle": "round",
    "hatch.linewidth": 0.7,
    "svg.fonttype": "none",
    "svg.hashsalt": "ecotone",
    "text.usetex": False,
    "text.parse_math": False,
}

DAY_OF_YEAR = "day of the year"
"""A unit: axes in it are labelled with dates; 1 is 1 January, 0 and less lie in the year before."""

_UNITS = {"degC": "°C", "degc": "°C", "1": "", "deg": "°", "micrometres": "µm", "percent": "%"}
_IN_TEXT = re.compile(r"\bdegC\b")


def house_style() -> Any:
    """Context in which a figure is made; the user's own matplotlib settings are left alone."""
    return rc_context(_RC)


def with_unit(label: str, unit: str) -> str:
    """``("bio1", "degC") -> "bio1 (°C)"``; a ratio has no unit to show, and dates show what they are."""
    shown = "" if unit == DAY_OF_YEAR and label else pretty_unit(unit)
    return f"{label} ({shown})" if label and shown else label or shown


def pretty_unit(unit: str) -> str:
    """The unit as people write it."""
    return _UNITS.get(unit, unit)


def pretty_text(text: str) -> str:
    """Units and tolerances within a sentence as people write them."""
    return _IN_TEXT.sub("°C", text).replace("+- ", "± ")


def date_of(day: float, *, month: bool = True) -> str:
    """A day of a year without a leap day as ``11 Apr``."""
    when = date(2001, 1, 1) + timedelta(days=round(day) - 1)
    return f"{when.day} {when:%b}" if month else str(when.day)


def number(value: float, digits: int = 3) -> str:
    """A short number for labels: three significant digits, no needless zeros, a real minus sign."""
    if math.isnan(value):
        return "n/a"
    if value in (float("inf"), float("-inf")):
        return "∞" if value > 0 else "\u2212∞"
    whole = abs(value) >= 1000 or value == int(value)
    text = f"{value:,.0f}" if whole and abs(value) < 1e7 else f"{value:.{digits}g}"
    return text.replace("-", "\u2212")


def date_axis(axis: Axis, low: float, high: float) -> None:
    """Ticks at the beginnings of months, or between them where the range is short, written as dates."""
    days = (1, 11, 21) if high - low <= 75 else (1, 16) if high - low <= 120 else (1,)
    start = date(2001, 1, 1)
    found = []
    for offset in range(-13, 25):
        year, month = divmod(offset, 12)
        found += [(date(2001 + year, month + 1, d) - start).days + 1 for d in days]
    ticks = [t for t in found if low <= t <= high]
    if len(ticks) < 3:
        step = max(1, round((high - low) / 4))
        ticks = list(range(math.ceil(low), math.floor(high) + 1, step))
    axis.set_ticks(ticks, [date_of(t) for t in ticks])


def quiet_grid(ax: Axes, axis: str = "y") -> None:
    """Thin grid lines along one axis."""
    ax.grid(visible=True, axis="x" if axis == "x" else "y", color=LINE, linewidth=0.6, alpha=0.7)
