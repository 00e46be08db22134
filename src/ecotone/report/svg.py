"""A figure as inline SVG: themed by CSS variables, with real text, ids of its own and a text alternative."""

from __future__ import annotations

import html
import io
import re

from matplotlib.figure import Figure

from ecotone.contract import Evidence, Overlay
from ecotone.report import style
from ecotone.report.alt import describe
from ecotone.report.figures import draw

_FAMILY = re.compile(r"'DejaVu Sans', sans-serif")
_GEOMETRY = re.compile(r' (d|x|y|x1|x2|y1|y2|cx|cy|transform|points)="[^"<>]*"')
_LONG = re.compile(r"\d+\.\d{3,}")
_COLOUR = re.compile("|".join(style.CSS_VARIABLES), re.IGNORECASE)
_ID = re.compile(r"(\bid=\"|\bhref=\"#|url\(#)")


def figure_svg(figure: Figure, alt: str, key: str, *, tight: bool = False) -> str:
    """The figure as an `svg` element.

    Args:
        figure: From `ecotone.report.figures.draw`.
        alt: What it shows, in words.
        key: Letters and digits, unique on the page; precedes every id inside.
        tight: Cut away empty margins, for maps, whose height follows their extent.
    """
    buffer = io.StringIO()
    box = "tight" if tight else None
    with style.house_style():
        figure.savefig(
            buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None}, bbox_inches=box
        )
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, count=1, flags=re.DOTALL)
    text = re.sub(r"<style type=.*?</style>", "", text, count=1, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    text = _outside_data(text, key)
    opening = text[: text.index(">") + 1]
    view = [float(v) for v in re.findall(r'viewBox="([^"]*)"', opening)[0].split()]
    width = round(view[2] * 96 / 72 * 1.12)
    label = html.escape(" ".join(alt.split()), quote=True)
    return (
        f'<svg xmlns:xlink="http://www.w3.org/1999/xlink" xmlns="http://www.w3.org/2000/svg" '
        f'viewBox="0 0 {view[2]:g} {view[3]:g}" '
        f'role="img" aria-label="{label}" style="width:100%;max-width:{width}px;height:auto">'
        f"<title>{label}</title>{text[len(opening) :].strip()}"
    )


def evidence_svg(evidence: Evidence, key: str) -> str:
    """`figure_svg` of one piece of evidence, described by its own words."""
    return figure_svg(draw(evidence), describe(evidence), key, tight=isinstance(evidence, Overlay))


def _outside_data(text: str, key: str) -> str:
    parts = re.split(r'("data:image/png;base64,[^"]*")', text)
    for i in range(0, len(parts), 2):
        part = _COLOUR.sub(lambda m: f"var({style.CSS_VARIABLES[m[0].lower()]})", parts[i])
        part = re.sub(r'\b(fill|stroke)="(var\([^"]+\))"', r'style="\1:\2"', part)
        part = _FAMILY.sub("var(--sans, sans-serif)", part)
        part = _GEOMETRY.sub(lambda m: _LONG.sub(lambda n: f"{float(n[0]):.2f}", m[0]).replace(" \n", " "), part)
        part = _ID.sub(lambda m: f"{m[1]}{key}-", part)
        parts[i] = re.sub(r"\n\s*", "\n", part)
    for i in range(1, len(parts), 2):
        parts[i] = re.sub(r"\s", "", parts[i])
    return "".join(parts)
