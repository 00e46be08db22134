"""The model card: what this model is, what it was made from, what it should not be used for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ecotone.species.system import SpeciesSystem


def write(system: SpeciesSystem) -> str:
    """The card of a fitted system, Markdown."""
    method, *recipe = system.card_lines()
    chosen = system.estimator.background_
    records = system.estimator.calibration_.records
    features = system.estimator.features_
    categorical = ", ".join(features.levels) or "none"
    lines = [
        f"# Species map model: {len(system.species)} species",
        "",
        method,
        "",
        f"- Records: {int(records.sum())} in all, {int(records.min())} to {int(records.max())} per species",
        f"- Covariates: {', '.join(system.covariates)} (categorical: {categorical})",
        f"- Background: {chosen.kind.replace('_', ' ')}, {100 * chosen.uniform_share:.0f} % uniform; {chosen.reason}",
        *(f"- {line}" for line in recipe),
        f"- Species: {', '.join(system.species[:50])}{' ...' if len(system.species) > 50 else ''}",
        "",
        "## How to read it",
        "",
        "Suitability is relative: presence-only records cannot tell how common a species is. `expected_count` is scaled to the",
        "number of records and can be compared between species that were looked for with the same effort.",
        "",
        "## Not for",
        "",
        "Conditions outside those sampled (see the extrapolation layer), abundance, or proof of absence. Check whether showing",
        "the places of threatened species could harm them before publishing a map.",
    ]
    if features.constant:
        lines.insert(8, f"- Left out, constant over the background: {', '.join(features.constant)}")
    if np.any(records < 5):
        lines.insert(8, "- Some species have fewer than 5 records: their own maps rest on very little")
    return "\n".join(lines) + "\n"
