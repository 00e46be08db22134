"""The page of a comparison: one self-contained HTML file to look at, the largest differences first."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from ecotone.contract import Score
from ecotone.files.atomic import write_text
from ecotone.report import contrast
from ecotone.report.blocks import Block, Budget, build_table, check_facts
from ecotone.report.compare import Comparison, RunSide
from ecotone.report.map_pairs import LayerPair
from ecotone.report.metrics import BESIDE, label
from ecotone.report.page import POLICY, environment, run_times, saved_model
from ecotone.report.pairing import about
from ecotone.report.score_changes import ENOUGH, ScoreChange
from ecotone.report.style import number
from ecotone.report.svg import figure_svg

MAX_CURVES = 24
MAX_LAYERS_PER_MAP = 3
MAX_LAYERS = 14
MAX_SCORED = 3
MAX_TERMS = 6
MAX_CHECKS = 30
MAX_ALONE = 12


def write_comparison(found: Comparison, out: str | Path | None = None) -> Path:
    """Writes the page of a comparison.

    Args:
        found: From `ecotone.report.compare.compare`.
        out: Where to; by default compare-OTHER.html in the folder of the first run.

    Returns:
        The page.

    Raises:
        InputError: IO104 when it cannot be written there.
        InterruptedRunError: ST102 when the disk is full.
    """
    path = Path(out) if out else default_path(found)
    write_text(path, environment().get_template("compare.html.j2").render(page_context(found, Budget())))
    return path


def default_path(found: Comparison) -> Path:
    """compare-OTHER.html in the folder of the first run."""
    name = re.sub(r"[^\w.-]+", "-", found.names[1]).strip("-.") or "other"
    return found.sides[0].folder.path / f"compare-{name}.html"


def page_context(found: Comparison, budget: Budget) -> dict[str, Any]:
    """Everything the template shows."""
    names = found.names
    shown = _layers_shown(found.maps or found.pictures)
    return {
        "policy": POLICY,
        "names": names,
        "runs": [_run(side) for side in found.sides],
        "glance": glance(found),
        "settings": found.settings,
        "inputs": found.inputs,
        "versions": found.versions,
        "scores": [_tile(s, found, 1) for s in found.scores if not s.name.endswith(BESIDE)],
        "cautions": _cautions(found),
        "scored": [_scored(s, found, budget) for s in _worth_drawing(found.scores)],
        "score_table": _score_table(found, budget),
        "maps": [_layer(layer, names, budget) for layer in shown],
        "map_table": _map_table(found, budget),
        "maps_more": len(found.maps) + len(found.pictures) - len(shown),
        "curves": [_curve(c, names, budget) for c in _curves_shown(found)],
        "curve_table": _curve_table(found, budget),
        "terms": [_terms(t, names, budget) for t in found.terms[:MAX_TERMS]],
        "terms_more": max(len(found.terms) - MAX_TERMS, 0),
        "checks": _checks(found),
        "checks_same": sum(not c.differs for c in found.checks),
        "check_table": _check_table(found, budget),
        "alone": [(names[k], side[:MAX_ALONE], max(len(side) - MAX_ALONE, 0)) for k, side in enumerate(found.unmatched)],
        "uncompared": found.uncompared,
        "problems": [f"{names[k]}: {line}" for k, side in enumerate(found.sides) for line in side.problems],
        "left_out": budget.left_out,
    }


# ------------------------------------------------------------------------------------------------ in words
def glance(found: Comparison) -> list[tuple[str, str]]:
    """What differs, a line for each kind of thing: (kind, what there is to say)."""
    lines = [("Settings", _listed([c.name for c in found.settings.shared], "the same in both"))]
    if alone := len(found.settings.changed) - len(found.settings.shared):
        lines[0] = ("Settings", f"{lines[0][1]}; {alone} exist in one only")
    lines.append(("Inputs", _listed([c.name for c in found.inputs.changed], "the same content")))
    if found.versions.changed:
        lines.append(("Versions", _listed([c.name for c in found.versions.changed], "")))
    for s in [s for s in found.scores if not s.name.endswith(BESIDE)][:4]:
        lines.append((label(s.name), score_words(s, found)))
    lines += [(f"Map: {layer.title}", _map_words(layer)) for layer in _first_layers(found.maps or found.pictures)[:3]]
    apart = [c for c in found.curves if math.isfinite(c.distance)]
    if apart:
        first = apart[0]
        of = f" of {first.run.target}" if first.run.target else ""
        words = f"{len(apart)} compared; furthest apart: {first.variable}{of}, {number(first.distance)} on average"
        lines.append(("Responses", words))
    for terms in found.terms[:1]:
        a, b = terms.first
        same = f"{a} comes first in both" if a == b else f"{a} comes first in {found.names[0]}, {b} in {found.names[1]}"
        rank = "" if math.isnan(terms.rank) else f"; rank correlation {number(terms.rank)}"
        lines.append(("Importance", same + rank))
    if found.checks:
        other = [about(c.run) for c in found.checks if c.verdict_differs]
        lines.append(("Checks", _listed(list(dict.fromkeys(other)), f"the same verdict in all {len(found.checks)}")))
    return lines


def score_words(s: ScoreChange, found: Comparison) -> str:
    """A difference in words, with its interval and what may be said of it."""
    gap = f"{_signed(s.difference)}"
    if s.paired is None:
        return f"{gap} (nothing to pair, so no interval)"
    over = f"over {s.paired.n} {found.scored}"
    if not math.isfinite(s.paired.low):
        return f"{gap} {over}"
    interval = f"{gap} [{_signed(s.paired.low)}, {_signed(s.paired.high)}] {over}"
    said = {
        "higher": f"higher in {found.names[0]}",
        "lower": f"lower in {found.names[0]}",
        "open": "not told apart",
        "few": f"too few to tell (below {ENOUGH})",
    }
    return f"{interval}: {said[s.verdict]}"


def _map_words(layer: LayerPair) -> str:
    name = f"{layer.name}: " if len(layer.sides[0].names) > 1 else ""
    return f"{name}{layer.apart or contrast.likeness(layer)}"


def _listed(names: Sequence[str], none: str) -> str:
    shown = ", ".join(names[:6])
    more = f" and {len(names) - 6} more" if len(names) > 6 else ""
    return f"{shown}{more}" if names else none


def _signed(value: float) -> str:
    return number(value) if value <= 0 or math.isnan(value) else f"+{number(value)}"


def _cautions(found: Comparison) -> list[str]:
    """What keeps the scores from being like for like."""
    if not found.scores:
        return []
    splits = [side.scores.split if side.scores else "" for side in found.sides]
    lines = []
    if splits[0] != splits[1]:
        lines.append(f"The scores were not made in the same way: {splits[0] or 'unknown'}, against {splits[1] or 'unknown'}.")
    if found.inputs.changed:
        lines.append("The inputs differ, so the scores may rest on other records or other folds.")
    elif any(c.name == "seed" for c in found.settings.changed):
        lines.append("The seeds differ, so the folds may too.")
    return lines


# ------------------------------------------------------------------------------------------------ the two runs
def _run(side: RunSide) -> dict[str, Any]:
    record = side.record
    return {
        "system": record["system"],
        "status": record["status"],
        "preset": (record.get("config") or {}).get("preset") or "",
        "model": saved_model(side.folder),
        "species": len(side.species),
        "command": " ".join(record["command"][:3]),
        **run_times(record),
    }


def _tile(s: ScoreChange, found: Comparison, digits: int) -> dict[str, Any]:
    sides = [_bar(score) for score in (s.run, s.other)]
    ratio = all(side["bar"] for side in sides)
    return {"name": label(s.name), "sides": sides, "ratio": ratio, "words": score_words(s, found), "verdict": s.verdict,
            "difference": _signed(s.difference)}  # fmt: skip


def _bar(score: Score) -> dict[str, Any]:
    known = math.isfinite(score.low) and math.isfinite(score.high)
    low, high = (score.low, score.high) if known else (score.value, score.value)
    inside = 0 <= low <= high <= 1 and 0 <= score.value <= 1
    bar = {k: round(100 * v, 1) for k, v in (("low", low), ("high", high), ("value", score.value))} if inside else None
    return {"value": number(score.value), "interval": f"{number(low)} to {number(high)}" if known else "", "bar": bar}


def _worth_drawing(scores: Sequence[ScoreChange]) -> list[ScoreChange]:
    return [s for s in scores if len(s.keys) > 1 and not s.name.endswith(BESIDE)][:MAX_SCORED]


def _scored(s: ScoreChange, found: Comparison, budget: Budget) -> Block:
    higher = int((s.values[0] > s.values[1]).sum())
    text = f"{label(s.name)} of {len(s.keys)} {found.scored} in both runs; {found.names[0]} is higher for {higher} of them."

    def drawing(key: str) -> str:
        return figure_svg(contrast.draw_scored(label(s.name), found.scored, s.keys, s.values, found.names), text, key)

    frame = pd.DataFrame({found.scored: s.keys, **_two(found.names, *s.values), "difference": s.values[0] - s.values[1]})
    return _block(f"{label(s.name)}, one by one", budget.svg(drawing), frame, budget, note=text)


# ------------------------------------------------------------------------------------------------ figures
def _first_layers(layers: Sequence[LayerPair]) -> list[LayerPair]:
    """Of each map the layer that differs most."""
    return list({(layer.title, layer.target): layer for layer in reversed(_layers_shown(layers))}.values())[::-1]


def _layers_shown(layers: Sequence[LayerPair]) -> list[LayerPair]:
    """Of each map the layers that differ most, as many as a page holds."""
    by_map: dict[int, list[LayerPair]] = {}
    for layer in layers:
        by_map.setdefault(id(layer.sides[0]), []).append(layer)
    chosen = [
        layer
        for same in by_map.values()
        for layer in sorted(same, key=lambda found: -found.share if math.isfinite(found.share) else 0.0)[:MAX_LAYERS_PER_MAP]
    ]
    return chosen[:MAX_LAYERS]


def _layer(layer: LayerPair, names: tuple[str, str], budget: Budget) -> Block:
    def drawing(key: str) -> str:
        return figure_svg(contrast.draw_layers(layer, names), contrast.layers_text(layer, names), key, tight=True)

    several = layer.name.casefold() != layer.title.casefold() and (len(layer.sides[0].names) > 1 or layer.title in ("map",))
    title = f"{layer.title}: {layer.name}" if several else layer.title
    note = f"Side by side only: {layer.apart}." if layer.apart else f"{_sentence(contrast.likeness(layer))}."
    if not layer.apart and layer.alone:
        note += f" {layer.alone:,} cells have a value in one run only."
    return _block(title, budget.svg(drawing), _map_frame([layer]), budget, note=note, broad=True)


def _curves_shown(found: Comparison) -> list[Any]:
    return [c for c in found.curves if c.alike][:MAX_CURVES]


def _curve(found: Any, names: tuple[str, str], budget: Budget) -> Block:
    def drawing(key: str) -> str:
        return figure_svg(contrast.draw_curves(found, names), contrast.curves_text(found, names), key)

    parts = [c.to_frame().assign(run=name) for c, name in zip((found.run, found.other), names, strict=True)]
    columns = ["run", "x", "y", *(c for c in ("lower", "upper") if all(c in part for part in parts))]
    title = f"{found.run.target}: {found.variable}" if found.run.target else found.variable
    gap = "no common range" if math.isnan(found.distance) else f"{number(found.distance)} apart on average"
    return _block(title, budget.svg(drawing), pd.concat([part[columns] for part in parts]), budget, note=f"{_sentence(gap)}.")


def _terms(found: Any, names: tuple[str, str], budget: Budget) -> Block:
    def drawing(key: str) -> str:
        return figure_svg(contrast.draw_terms(found, names), contrast.terms_text(found, names), key)

    title = f"{found.run.target}: {about(found.run)}" if found.run.target else found.run.title
    frame = pd.DataFrame({"name": found.names, **_two(names, *found.values)})
    rank = "" if math.isnan(found.rank) else f"Rank correlation {number(found.rank)}."
    return _block(title, budget.svg(drawing), frame, budget, note=rank or "Too few terms in common to rank.")


def _block(title: str, figure: Markup, frame: pd.DataFrame, budget: Budget, *, note: str, broad: bool = False) -> Block:
    name = re.sub(r"[^\w-]+", "-", title).strip("-")[:60] or "comparison"
    table = build_table(frame, budget, name=f"{name}.csv")
    return Block(kind="comparison", title=title, note=note, target="", exact=True, topic="", figure=figure, table=table,
                 broad=broad)  # fmt: skip


# ------------------------------------------------------------------------------------------------ checks
def _checks(found: Comparison) -> list[dict[str, Any]]:
    """Checks that differ, another verdict first."""
    rows = []
    for pair in [c for c in found.checks if c.differs][:MAX_CHECKS]:
        sides = [check_facts(c) for c in (pair.run, pair.other)]
        one = sides[0]["claim"] == sides[1]["claim"]
        rows.append({"title": about(pair.run), "target": pair.run.target, "differs": pair.verdict_differs,
                     "claim": sides[0]["claim"] if one else "", "sides": sides, "one": one})  # fmt: skip
    return rows


# ------------------------------------------------------------------------------------------------ tables
def _score_table(found: Comparison, budget: Budget) -> Any:
    if not found.scores:
        return None
    rows = []
    for s in found.scores:
        low, high, n = (s.paired.low, s.paired.high, s.paired.n) if s.paired else (math.nan, math.nan, 0)
        gap = {"difference": s.difference, "low": low, "high": high, "pairs": n}
        rows.append({"metric": label(s.name), **_two(found.names, s.run.value, s.other.value), **gap})
    return build_table(pd.DataFrame(rows), budget, name="score-differences.csv", rows=60)


def _map_table(found: Comparison, budget: Budget) -> Any:
    layers = [*found.maps, *found.pictures]
    return build_table(_map_frame(layers), budget, name="map-differences.csv", rows=80) if layers else None


def _map_frame(layers: Sequence[LayerPair]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "map": layer.title, "layer": layer.name, "rank correlation": layer.rank, "share differing": layer.share,
                "by more than": layer.amount, "mean difference": layer.mean, "cells": layer.cells,
                "cells in one only": layer.alone, "not compared because": layer.apart,
            }
            for layer in layers
        ]
    )  # fmt: skip


def _curve_table(found: Comparison, budget: Budget) -> Any:
    rows = [
        {"target": c.run.target, "variable": c.variable, "mean distance": c.distance,
         "remark": "" if c.alike else "units differ, so not overlaid"}
        for c in found.curves
    ]  # fmt: skip
    return build_table(pd.DataFrame(rows), budget, name="curve-differences.csv", rows=80) if rows else None


def _check_table(found: Comparison, budget: Budget) -> Any:
    rows = [
        {"check": about(c.run), "target": c.run.target, f"verdict, {found.names[0]}": c.run.verdict,
         f"verdict, {found.names[1]}": c.other.verdict, **_two(found.names, c.run.measured, c.other.measured),
         "unit": c.run.unit}
        for c in found.checks
    ]  # fmt: skip
    return build_table(pd.DataFrame(rows), budget, name="checks.csv", rows=80) if rows else None


def _two(names: tuple[str, str], run: Any, other: Any) -> dict[str, Any]:
    return {names[0]: run, names[1]: other}


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
