"""What a figure shows, in words: the text alternative for those who do not see it."""

from __future__ import annotations

import numpy as np

from ecotone.contract import Check, Contributions, Curve, Evidence, Gallery, Overlay, Passages
from ecotone.report.style import number, pretty_unit, with_unit


def describe(evidence: Evidence) -> str:
    """One or two sentences; the numbers behind them are in the table beside the figure."""
    about = f" for {evidence.target}" if evidence.target else ""
    if isinstance(evidence, Curve):
        return f"{evidence.title}{about}. {_curve(evidence)}"
    if isinstance(evidence, Overlay):
        return f"{evidence.title}{about}. {_overlay(evidence)}"
    if isinstance(evidence, Contributions):
        return f"{evidence.title}{about}. {_contributions(evidence)}"
    if isinstance(evidence, Gallery):
        captions = ", ".join(evidence.captions[:6])
        return f"{evidence.title}{about}. {len(evidence.captions)} pictures: {captions}."
    if isinstance(evidence, Passages):
        return f"{evidence.title}{about}. {len(evidence.sentences)} sentences with their weights."
    if isinstance(evidence, Check):
        return f"{evidence.title}{about}. {evidence.claim}: {evidence.verdict}, measured {number(evidence.measured)}."
    return f"{evidence.title}{about}."


def _curve(curve: Curve) -> str:
    y = np.asarray(curve.y, float)
    if not np.isfinite(y).any():
        return "No finite values."
    best, worst = int(np.nanargmax(y)), int(np.nanargmin(y))
    unit = pretty_unit(curve.x_unit)
    names = curve.categories

    def at(i: int) -> str:
        return names[i] if names is not None else f"{number(float(curve.x[i]))}{' ' if unit else ''}{unit}"

    shape = f"{with_unit(curve.y_label, curve.y_unit)} against {with_unit(curve.x_label, curve.x_unit)}"
    parts = [
        f"{shape}: highest {number(float(y[best]))} at {at(best)}, lowest {number(float(y[worst]))} at {at(worst)}."
    ]
    if curve.lower is not None:
        parts.append(f"With a band{f': {curve.band}' if curve.band else ''}.")
    if curve.references:
        parts.append(f"Compared with {', '.join(curve.references)}.")
    return " ".join(parts)


def _overlay(overlay: Overlay) -> str:
    values = overlay.weights[np.isfinite(overlay.weights)]
    kind = "Map" if overlay.extent is not None and overlay.is_map else "Picture"
    axes = _axes(overlay)
    if overlay.legend:
        return f"{kind} of the classes {', '.join(list(overlay.legend.values())[:12])}."
    if not values.size:
        return f"{kind} without valid values."
    unit = pretty_unit(overlay.unit)
    layers = ", ".join(overlay.names[:8])
    marks = f" {len(overlay.points)} points are marked." if overlay.points is not None else ""
    spread = f"{number(float(values.min()))} to {number(float(values.max()))}{' ' if unit else ''}{unit}"
    return f"{kind} of {layers}{axes}: {spread}, mean {number(float(values.mean()))}.{marks}"


def _axes(overlay: Overlay) -> str:
    if overlay.x_label or overlay.y_label:
        x, y = with_unit(overlay.x_label, overlay.x_unit), with_unit(overlay.y_label, overlay.y_unit)
        return f" over {x} (across) and {y} (up)"
    if overlay.x_names and overlay.y_names:
        return f" with {len(overlay.y_names)} named rows and {len(overlay.x_names)} named columns"
    return ""


def _contributions(terms: Contributions) -> str:
    values = np.asarray(terms.values, float)
    order = np.argsort(-np.abs(np.nan_to_num(values)), kind="stable")[:4]
    named = ", ".join(f"{terms.names[i]} {number(float(values[i]))}" for i in order)
    total = f" The terms add up to {number(float(terms.total))}." if terms.additive and terms.total is not None else ""
    return f"{len(terms.names)} terms, largest: {named}.{total}"
