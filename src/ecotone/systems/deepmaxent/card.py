"""The model card: what this model is, what it was made from, what it should not be used for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ecotone.systems.deepmaxent.system import DeepMaxentSystem


def write(system: DeepMaxentSystem) -> str:
    """The card of a fitted system, Markdown."""
    cfg = system.config.resolved()
    chosen = system.estimator.background_
    records = system.estimator.calibration_.records
    features = system.estimator.features_
    categorical = ", ".join(features.levels) or "none"
    lines = [
        f"# Species map model: {len(system.species)} species",
        "",
        "DeepMaxent (arXiv 2412.19217, doi 10.1111/2041-210x.70262): maximum entropy on features learnt from all species.",
        "",
        f"- Records: {int(records.sum())} in all, {int(records.min())} to {int(records.max())} per species",
        f"- Covariates: {', '.join(system.covariates)} (categorical: {categorical})",
        f"- Background: {chosen.kind.replace('_', ' ')}, {100 * chosen.uniform_share:.0f} % uniform; {chosen.reason}",
        f"- Preset {cfg.preset}: {cfg.members} members, {cfg.blocks} blocks of width {cfg.width}, loss {cfg.loss}",
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
        lines.insert(8, "- Some species have fewer than 5 records: their maps rest on the other species' features")
    return "\n".join(lines) + "\n"
