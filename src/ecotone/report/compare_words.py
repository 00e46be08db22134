"""What a comparison says in words, and what it says first."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ecotone.report import contrast
from ecotone.report.compare import Comparison
from ecotone.report.evidence_pairs import CheckPair
from ecotone.report.figures import VERDICTS
from ecotone.report.map_pairs import LayerPair
from ecotone.report.metrics import BESIDE, label
from ecotone.report.pairing import about
from ecotone.report.score_changes import ENOUGH, ScoreChange
from ecotone.report.style import number

MAX_LAYERS_PER_MAP = 2
MAX_LAYERS = 8


def glance(found: Comparison) -> list[tuple[str, str]]:
    """What differs, a line for each kind of thing: (kind, what there is to say)."""
    lines = [("Settings", _listed([c.name for c in found.settings.shared], "the same in both"))]
    if alone := len(found.settings.changed) - len(found.settings.shared):
        lines[0] = ("Settings", f"{lines[0][1]}; {alone} in one run only")
    lines.append(("Inputs", _listed([c.name for c in found.inputs.changed], "the same content")))
    if found.versions.changed:
        lines.append(("Versions", _listed([c.name for c in found.versions.changed], "")))
    for s in [s for s in found.scores if not s.name.endswith(BESIDE)][:4]:
        lines.append((label(s.name), score_words(s, found)))
    lines += [(_map_name(layer), _map_words(layer)) for layer in first_layers(found.maps or found.pictures)[:3]]
    apart = [c for c in found.curves if math.isfinite(c.distance)]
    if apart:
        first = apart[0]
        of = f" of {first.run.target}" if first.run.target else ""
        words = f"{len(apart)} compared; furthest apart: {first.variable}{of}, {number(first.distance)} on average"
        lines.append(("Responses", words))
    named = [t for t in found.terms if "importance" in t.run.title.casefold()]
    for terms in (named or found.terms)[:1]:
        a, b = terms.first
        same = f"{a} comes first in both" if a == b else f"{a} comes first in {found.names[0]}, {b} in {found.names[1]}"
        rank = "" if math.isnan(terms.rank) else f"; rank correlation {number(terms.rank, 2)}"
        lines.append(("Importance", same + rank))
    if found.checks:
        other = [_verdicts(c, found.names) for c in found.checks if c.verdict_differs]
        lines.append(("Checks", _listed(list(dict.fromkeys(other)), f"the same verdict in all {len(found.checks)}")))
    return lines


def score_words(s: ScoreChange, found: Comparison) -> str:
    """A difference in words, with its interval and what may be said of it."""
    gap = f"{signed(s.difference)}"
    if s.paired is None:
        return f"{gap} (nothing to pair, so no interval)"
    over = f"over {s.paired.n} {found.scored}"
    if not math.isfinite(s.paired.low):
        return f"{gap} {over}: too few to tell"
    interval = f"{gap} [{signed(s.paired.low)}, {signed(s.paired.high)}] {over}"
    said = {
        "higher": f"higher in {found.names[0]}",
        "lower": f"lower in {found.names[0]}",
        "open": "not told apart",
        "few": f"too few to tell (below {ENOUGH})",
    }
    return f"{interval}: {said[s.verdict]}"


def _verdicts(check: CheckPair, names: tuple[str, str]) -> str:
    words = [VERDICTS[c.verdict] for c in (check.run, check.other)]
    target = f" of {check.run.target}" if check.run.target else ""
    return f"{about(check.run)}{target}: {words[0]} in {names[0]}, {words[1]} in {names[1]}"


def _map_name(layer: LayerPair) -> str:
    return "Map" if layer.title.casefold() == "map" else f"Map: {layer.title}"


def _map_words(layer: LayerPair) -> str:
    name = f"{layer.name}: " if len(layer.sides[0].names) > 1 else ""
    return f"{name}{layer.apart or contrast.likeness(layer)}"


def _listed(names: Sequence[str], none: str) -> str:
    shown = ", ".join(names[:6])
    more = f" and {len(names) - 6} more" if len(names) > 6 else ""
    return f"{shown}{more}" if names else none


def signed(value: float) -> str:
    """A difference with its sign."""
    text = f"{value:+.3f}" if abs(value) < 10 else f"{'+' if value > 0 else ''}{number(value)}"
    return "n/a" if math.isnan(value) else text.replace("-", "\N{MINUS SIGN}")


def cautions(found: Comparison) -> list[str]:
    """What keeps the scores from being like for like."""
    if not found.scores:
        return []
    splits = [side.scores.split if side.scores else "" for side in found.sides]
    lines = []
    if splits[0] != splits[1]:
        lines.append(
            f"The scores were not made in the same way: {splits[0] or 'unknown'}, against {splits[1] or 'unknown'}."
        )
    if found.inputs.changed:
        lines.append("The inputs differ, so the scores may rest on other records or other folds.")
    elif any(c.name == "seed" for c in found.settings.changed):
        lines.append("The seeds differ, so the folds may too.")
    return lines


def first_layers(layers: Sequence[LayerPair]) -> list[LayerPair]:
    """Of each map the layer that differs most; maps of numbers before maps of classes."""
    return [layer for place, layer in _by_difference(layers) if place == 0]


def layers_shown(layers: Sequence[LayerPair]) -> list[LayerPair]:
    """The layers that differ most, first one of each map, as many as a page holds."""
    return [layer for place, layer in _by_difference(layers) if place < MAX_LAYERS_PER_MAP][:MAX_LAYERS]


def _by_difference(layers: Sequence[LayerPair]) -> list[tuple[int, LayerPair]]:
    """Each layer with its place among those of its map, all first places first; the same in both only if all are."""
    by_map: dict[int, list[LayerPair]] = {}
    for layer in [one for one in layers if not one.same] or layers[:1]:
        by_map.setdefault(id(layer.sides[0]), []).append(layer)
    placed = [
        entry
        for same in by_map.values()
        for entry in enumerate(sorted(same, key=lambda found: -found.share if math.isfinite(found.share) else 0.0))
    ]
    return sorted(placed, key=lambda entry: (entry[0], entry[1].classes))
