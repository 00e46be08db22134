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
from ecotone.report.compare_words import cautions, glance, layers_shown, score_words, signed
from ecotone.report.evidence_pairs import CurvePair, TermsPair
from ecotone.report.map_pairs import LayerPair
from ecotone.report.metrics import BESIDE, ends, label, marks, scale_start
from ecotone.report.page import POLICY, environment, run_times, saved_model
from ecotone.report.pairing import about
from ecotone.report.score_changes import ScoreChange
from ecotone.report.style import number
from ecotone.report.svg import figure_svg

MAX_CURVES = 24
MAX_SCORED = 3
MAX_TERMS = 6
MAX_CHECKS = 15
UNFOLDED_MAPS = 4
UNFOLDED = 9
"""Curves that are seen without unfolding."""

MAX_ALONE = 12
MAX_SHOWN = 8


def write_comparison(found: Comparison, out: str | Path | None = None, *, max_figures: int = 90) -> Path:
    """Writes the page of a comparison.

    Args:
        found: From `ecotone.report.compare.compare`.
        out: Where to; by default compare-OTHER.html in the folder of the first run.
        max_figures: Figures drawn at most; what is left out is said on the page and stays in its tables.

    Returns:
        The page.

    Raises:
        InputError: IO104 when it cannot be written there.
        InterruptedRunError: ST102 when the disk is full.
    """
    path = Path(out) if out else default_path(found)
    context = page_context(found, Budget(figures=max_figures))
    write_text(path, environment().get_template("compare.html.j2").render(context))
    return path


def default_path(found: Comparison) -> Path:
    """compare-OTHER.html in the folder of the first run."""
    name = re.sub(r"[^\w.-]+", "-", found.names[1]).strip("-.") or "other"
    return found.sides[0].folder.path / f"compare-{name}.html"


def page_context(found: Comparison, budget: Budget) -> dict[str, Any]:
    """Everything the template shows."""
    names = found.names
    shown = layers_shown(found.maps or found.pictures)
    maps = [_layer(layer, names, budget) for layer in shown]
    curves = [_curve(c, names, budget) for c in _curves_shown(found)]
    several = len({t.run.target for t in found.terms if t.run.target}) > 1
    whole = [t for t in found.terms if not (several and t.run.target)] or found.terms[:1]
    by_target = [t for t in found.terms if all(t is not w for w in whole)]
    return {
        "policy": POLICY,
        "names": names,
        "runs": [_run(side) for side in found.sides],
        "glance": glance(found),
        "settings": found.settings,
        "inputs": found.inputs,
        "more_changes": len(found.settings.changed) > len(found.settings.shared[:MAX_SHOWN])
        or len(found.inputs.changed) > MAX_SHOWN
        or bool(found.versions.changed),
        "max_shown": MAX_SHOWN,
        "versions": found.versions,
        "scores": [_tile(s, found) for s in found.scores if not s.name.endswith(BESIDE)],
        "cautions": cautions(found),
        "scored": [_scored(s, found, budget) for s in _worth_drawing(found.scores)],
        "score_table": _score_table(found, budget),
        "maps": maps[:UNFOLDED_MAPS],
        "maps_folded": maps[UNFOLDED_MAPS:],
        "map_table": _map_table(found, budget),
        "maps_more": len(found.maps) + len(found.pictures) - len(shown),
        "curves": curves[:UNFOLDED],
        "curves_folded": curves[UNFOLDED:],
        "curve_table": _curve_table(found, budget),
        "terms": [_terms(t, names, budget) for t in whole],
        "terms_folded": [_terms(t, names, budget) for t in by_target[:MAX_TERMS]],
        "terms_more": max(len(by_target) - MAX_TERMS, 0),
        "term_table": _term_table(found, budget),
        "checks": _checks(found),
        "checks_more": max(sum(c.differs for c in found.checks) - MAX_CHECKS, 0),
        "checks_same": sum(not c.differs for c in found.checks),
        "check_table": _check_table(found, budget),
        "alone": [
            (names[k], side[:MAX_ALONE], max(len(side) - MAX_ALONE, 0)) for k, side in enumerate(found.unmatched)
        ],
        "uncompared": found.uncompared,
        "problems": [f"{names[k]}: {line}" for k, side in enumerate(found.sides) for line in side.problems],
        "left_out": budget.left_out,
    }


# ------------------------------------------------------------------------------------------------ the two runs
def _run(side: RunSide) -> dict[str, Any]:
    record = side.record
    return {
        "system": record["system"],
        "status": record["status"],
        "model": saved_model(side.folder),
        "species": len(side.species),
        **run_times(record),
    }


def _tile(s: ScoreChange, found: Comparison) -> dict[str, Any]:
    start = scale_start(s.run, s.other)
    sides = [_side(score, start) for score in (s.run, s.other)]
    return {"name": label(s.name), "sides": sides, "start": number(start or 0), "bars": start is not None,
            "words": score_words(s, found), "difference": signed(s.difference)}  # fmt: skip


def _side(score: Score, start: int | None) -> dict[str, Any]:
    low, _, high = ends(score)
    interval = f"{number(low)} to {number(high)}" if low < high else ""
    return {"value": number(score.value), "interval": interval, "bar": {} if start is None else marks(score, start)}


def _worth_drawing(scores: Sequence[ScoreChange]) -> list[ScoreChange]:
    return [s for s in scores if len(s.keys) > 1 and not s.name.endswith(BESIDE)][:MAX_SCORED]


def _scored(s: ScoreChange, found: Comparison, budget: Budget) -> Block:
    higher = int((s.values[0] > s.values[1]).sum())
    text = f"{label(s.name)} of {len(s.keys)} {found.scored} in both runs; {found.names[0]} is higher for {higher} of them."

    def drawing(key: str) -> str:
        return figure_svg(contrast.draw_scored(label(s.name), found.scored, s.keys, s.values, found.names), text, key)

    frame = pd.DataFrame(
        {found.scored: s.keys, **_two(found.names, *s.values), "difference": s.values[0] - s.values[1]}
    )
    return _block(f"{label(s.name)}, one by one", budget.svg(drawing), frame, budget, note=text)


# ------------------------------------------------------------------------------------------------ figures
def _layer(layer: LayerPair, names: tuple[str, str], budget: Budget) -> Block:
    def drawing(key: str) -> str:
        return figure_svg(contrast.draw_layers(layer, names), contrast.layers_text(layer, names), key, tight=True)

    several = layer.name.casefold() != layer.title.casefold() and (
        len(layer.sides[0].names) > 1 or layer.title in ("map",)
    )
    title = f"{layer.title}: {layer.name}" if several else layer.title
    note = f"Side by side only: {layer.apart}." if layer.apart else f"{_sentence(contrast.likeness(layer))}."
    if not layer.apart and layer.alone:
        note += f" {layer.alone:,} cells have a value in one run only."
    if any(side.reduced for side in layer.sides) and not layer.apart:
        note += f" Read at a reduced size of {layer.cells:,} cells."
    return _block(title, budget.svg(drawing), _map_frame([layer]), budget, note=note, broad=True)


def _curves_shown(found: Comparison) -> list[CurvePair]:
    return [c for c in found.curves if c.alike][:MAX_CURVES]


def _curve(found: CurvePair, names: tuple[str, str], budget: Budget) -> Block:
    def drawing(key: str) -> str:
        return figure_svg(contrast.draw_curves(found, names), contrast.curves_text(found, names), key)

    parts: list[pd.DataFrame] = [
        c.to_frame().assign(run=name) for c, name in zip((found.run, found.other), names, strict=True)
    ]
    columns = ["run", "x", "y", *(c for c in ("lower", "upper") if all(c in part for part in parts))]
    title = f"{found.run.target}: {found.variable}" if found.run.target else found.variable
    gap = "no common range" if math.isnan(found.distance) else f"{number(found.distance)} apart on average"
    return _block(
        title,
        budget.svg(drawing),
        pd.concat([part.loc[:, columns] for part in parts]),
        budget,
        note=f"{_sentence(gap)}.",
        band="; ".join(f"{name}: {c.band}" for c, name in zip(found.drawn, names, strict=True) if c.band),
    )


def _terms(found: TermsPair, names: tuple[str, str], budget: Budget) -> Block:
    def drawing(key: str) -> str:
        return figure_svg(contrast.draw_terms(found, names), contrast.terms_text(found, names), key)

    title = f"{found.run.target}: {about(found.run)}" if found.run.target else found.run.title
    frame = pd.DataFrame({"name": found.names, **_two(names, *found.values)})
    rank = "" if math.isnan(found.rank) else f"Rank correlation {number(found.rank, 2)}."
    return _block(title, budget.svg(drawing), frame, budget, note=rank or "Too few terms in common to rank.")


def _block(title: str, figure: Markup, frame: pd.DataFrame, budget: Budget, *, note: str, band: str = "",
           broad: bool = False) -> Block:  # fmt: skip
    name = re.sub(r"[^\w-]+", "-", title).strip("-")[:60] or "comparison"
    table = build_table(frame, budget, name=f"{name}.csv")
    return Block(kind="comparison", title=title, note=note, target="", exact=True, topic="", figure=figure, table=table,
                 band=band, broad=broad)  # fmt: skip


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


def _term_table(found: Comparison, budget: Budget) -> Any:
    rows = [
        {"what": about(t.run), "target": t.run.target, f"first in {found.names[0]}": t.first[0],
         f"first in {found.names[1]}": t.first[1], "rank correlation": t.rank}
        for t in found.terms
    ]  # fmt: skip
    return build_table(pd.DataFrame(rows), budget, name="importance-differences.csv", rows=80) if rows else None


def _check_table(found: Comparison, budget: Budget) -> Any:
    rows = [
        {"check": about(c.run), "target": c.run.target, f"verdict, {found.names[0]}": c.run.verdict,
         f"verdict, {found.names[1]}": c.other.verdict, **_two(found.names, c.run.measured, c.other.measured),
         "unit": c.run.unit}
        for c in found.checks
    ]  # fmt: skip
    return build_table(pd.DataFrame(rows), budget, name="checks.csv", rows=80) if rows else None


def _two(names: tuple[str, str], run: Any, other: Any) -> dict[str, Any]:
    return {f"in {names[0]}": run, f"in {names[1]}": other}


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
