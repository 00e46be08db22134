"""Evidence prepared for a page: its figure, its table, its place, within a budget of figures and bytes."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from ecotone.contract import Check, Contributions, Curve, Evidence, Gallery, Overlay, Passages
from ecotone.files.evidence import csv_text
from ecotone.report.figures import VERDICTS, measured_text
from ecotone.report.overlays import MAX_WRITTEN
from ecotone.report.style import number, pretty_text, pretty_unit
from ecotone.report.svg import evidence_svg

if TYPE_CHECKING:
    import pandas as pd

MAX_ROWS = 24
MAX_NESTED = 12

TOPICS: dict[str, str] = {
    "maps": "Maps",
    "coming": "Coming bloom",
    "seen": "Predicted and observed",
    "warmer": "Warmer years",
    "responses": "Response curves",
    "importance": "What matters",
    "interactions": "Acting together",
    "species": "Species side by side",
    "examples": "Examples",
    "extrapolation": "Extrapolation",
    "effort": "Sampling effort",
    "thresholds": "Thresholds",
    "checks": "Checks",
}
"""Sections of evidence in the order in which they are read."""

WIDE_TOPICS = frozenset({"maps", "interactions", "importance", "species", "examples", "extrapolation", "effort"})

TOGETHER = frozenset({"coming", "seen", "warmer", "responses", "thresholds"})
"""Sections that hold what belongs to single targets too, so that it is found without looking through all targets."""

SIDE_BY_SIDE = {"coming": 6, "seen": 6, "warmer": 6}
"""Sections in which targets stand side by side, up to so many."""

SEEN = {"maps": 4}
"""Pieces of a section that are seen without unfolding; all of them where none are named."""

_BY_KIND: dict[type[Evidence], str] = {
    Overlay: "maps", Curve: "responses", Contributions: "importance", Gallery: "examples", Passages: "examples",
    Check: "checks",
}  # fmt: skip
_BY_TITLE = {
    "coming": re.compile(r"\b(coming|next) bloom\b", re.IGNORECASE),
    "seen": re.compile(r": predicted and observed"),
    "warmer": re.compile(r": bloom in a warmer climate"),
    "extrapolation": re.compile(
        r"extrapolat|novel|\bmess\b|applicab|(training|sampled) (range|conditions)|clamp", re.IGNORECASE
    ),
    "effort": re.compile(r"effort|sampling bias|observer|\bbackground\b", re.IGNORECASE),
    "interactions": re.compile(r"\btogether\b|interact", re.IGNORECASE),
    "species": re.compile(r"\bniche\b|overlap", re.IGNORECASE),
    "thresholds": re.compile(r": thresholds$"),
}


@dataclass
class Budget:
    """What may still be put on the page; shared by all of it."""

    figures: int = 90
    figure_bytes: int = 4_200_000
    csv_bytes: int = 800_000
    left_out: int = 0
    made: int = 0

    def figure(self, evidence: Evidence) -> Markup:
        """The figure of one piece of evidence."""
        return self.svg(lambda key: evidence_svg(evidence, key))

    def svg(self, drawing: Callable[[str], str]) -> Markup:
        """What a drawing gives, or nothing when the page is full.

        Args:
            drawing: Makes the SVG with `ecotone.report.svg`, from the key that goes before its ids.
        """
        if self.figures <= 0 or self.figure_bytes <= 0:
            self.left_out += 1
            return Markup("")
        self.made += 1
        self.figures -= 1
        svg = drawing(f"g{self.made}")
        self.figure_bytes -= len(svg)
        return Markup(svg)  # noqa: S704 - matplotlib and html.escape have escaped all text in it

    def data_uri(self, text: str) -> str:
        """A CSV as an address that holds it, or "" when the page is full."""
        if len(text) > self.csv_bytes:
            return ""
        self.csv_bytes -= len(text)
        return "data:text/csv;base64," + base64.b64encode(text.encode("utf-8")).decode("ascii")


@dataclass(frozen=True)
class Table:
    """A table as it is shown: strings, and where all rows are."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[bool, ...]
    total: int
    download: str = ""
    name: str = "table.csv"
    file: str = ""


@dataclass(frozen=True)
class Block:
    """One piece of evidence, ready to be shown."""

    kind: str
    title: str
    note: str
    target: str
    exact: bool
    topic: str
    figure: Markup
    table: Table
    band: str = ""
    children: tuple[tuple[str, Block], ...] = ()
    broad: bool = False
    check: dict[str, Any] = field(default_factory=dict)
    passages: tuple[dict[str, Any], ...] = ()


def topic_of(evidence: Evidence) -> str:
    """The section a piece of evidence belongs to."""
    for topic, pattern in _BY_TITLE.items():
        if pattern.search(evidence.title):
            return topic
    return next((topic for kind, topic in _BY_KIND.items() if isinstance(evidence, kind)), "checks")


def build_block(evidence: Evidence, budget: Budget, *, file: str = "", depth: int = 0, within: str = "") -> Block:
    """Draws and tabulates one piece of evidence, with what is nested in it.

    Args:
        evidence: The evidence.
        budget: What the page may still take.
        file: Its CSV relative to the page, named where the table itself does not fit.
        depth: How deep it is nested.
        within: The target that the surroundings name already, so that titles need not.
    """
    name = re.sub(r"[^\w-]+", "-", f"{evidence.title}-{evidence.target}".strip("-"))[:60].strip("-") or "evidence"
    return Block(
        kind=evidence.kind,
        title=short_title(evidence.title, within),
        note=pretty_text(evidence.note),
        target=evidence.target,
        exact=evidence.exact,
        topic=topic_of(evidence),
        figure=Markup("") if isinstance(evidence, Check | Passages) else budget.figure(evidence),
        table=build_table(evidence.to_frame(), budget, name=f"{name}.csv", file=file),
        band=getattr(evidence, "band", ""),
        broad=isinstance(evidence, Overlay) and (len(evidence.names) > 1 or _large_matrix(evidence)),
        children=tuple(_children(evidence, budget, depth)),
        check=check_facts(evidence) if isinstance(evidence, Check) else {},
        passages=_passages(evidence) if isinstance(evidence, Passages) else (),
    )


def _large_matrix(overlay: Overlay) -> bool:
    return bool(overlay.x_names and overlay.y_names) and max(overlay.weights.shape) > MAX_WRITTEN


def short_title(title: str, target: str) -> str:
    """The title without a target in front."""
    rest = title.removeprefix(f"{target}: ") if target else title
    return rest[:1].upper() + rest[1:] if rest != title else title


def build_table(frame: pd.DataFrame, budget: Budget, *, name: str, file: str = "", rows: int = MAX_ROWS) -> Table:
    """A table of at most `rows` rows, spread evenly over the whole, and all of them as CSV."""
    total = len(frame)
    index = np.unique(np.linspace(0, total - 1, min(total, rows)).round().astype(int)) if total else []
    shown = frame.iloc[index]
    numeric = tuple(frame.iloc[:, i].dtype.kind in "iuf" for i in range(frame.shape[1]))
    return Table(
        columns=tuple(str(c) for c in frame.columns),
        rows=tuple(tuple(_cell(v) for v in row) for row in shown.itertuples(index=False)),
        numeric=numeric,
        total=total,
        download=budget.data_uri(csv_text(frame)),
        name=name,
        file=file,
    )


def rows_table(rows: Sequence[Any], budget: Budget, *, name: str, limit: int = 200) -> Table | None:
    """A table from row objects of a record; None when they are not rows."""
    import pandas as pd

    kept = [{str(k): v for k, v in row.items()} for row in rows if isinstance(row, dict)]
    flat = [{k: v if isinstance(v, int | float | str) or v is None else str(v) for k, v in row.items()} for row in kept]
    return build_table(pd.DataFrame(flat), budget, name=name, rows=limit) if flat else None


def _children(evidence: Evidence, budget: Budget, depth: int) -> Iterable[tuple[str, Block]]:
    if not isinstance(evidence, Contributions) or depth >= 3:
        return
    nested: list[tuple[str, Evidence]] = [*evidence.children.items(), *evidence.gallery.items()]
    for name, child in nested[:MAX_NESTED]:
        yield name, build_block(child, budget, depth=depth + 1)


def check_facts(check: Check) -> dict[str, Any]:
    """Claim, verdict and measurement in words; a check that judges nothing counts as information."""
    plain = check.verdict == "note" and np.isnan(check.bound)  # tells a number, judges nothing
    unit = pretty_unit(check.unit)
    return {
        "claim": check.claim,
        "verdict": "info" if plain else check.verdict,
        "word": "info" if plain else VERDICTS[check.verdict],
        "measured": f"{number(check.measured)} {unit}".rstrip() if plain else measured_text(check),
        "details": tuple((pretty_text(label), pretty_text(value)) for label, value in check.details),
    }


def _passages(passages: Passages) -> tuple[dict[str, Any], ...]:
    weights = np.asarray(passages.weights, float)
    most = float(np.nanmax(np.abs(weights))) if np.isfinite(weights).any() else 1.0
    order = np.argsort(-np.abs(np.nan_to_num(weights)), kind="stable")[:20]
    sources = passages.sources or ("",) * len(passages.sentences)
    return tuple(
        {
            "sentence": passages.sentences[i],
            "source": sources[i] if i < len(sources) else "",
            "weight": number(float(weights[i])),
            "share": round(100 * abs(float(np.nan_to_num(weights[i]))) / (most or 1.0), 1),
        }
        for i in order
    )


def _cell(value: Any) -> str:
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, int | np.integer):
        return f"{int(value)}".replace("-", "\u2212")
    if isinstance(value, float | np.floating):
        return "" if np.isnan(value) else number(float(value), 4)
    return "" if value is None else str(value)
