"""The model card: what this model is, what it was made from, what it should not be used for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ecotone.systems.phenology.system import PhenologySystem


def write(system: PhenologySystem) -> str:
    """The card of a fitted system, Markdown."""
    trained, config = system.trained, system.config
    years = trained.year
    quality = ", ".join(sorted({str(q) for q in trained.quality if str(q)})) or "not said"
    groups = [g for g in dict.fromkeys(trained.sites["group"].fillna("").astype(str)[np.unique(trained.site)]) if g]
    censored = int((~trained.observed).sum())
    lines = [
        f"# Bloom date model: {len(system.sites)} sites",
        "",
        "Hybrid chill and forcing model (van Bree, Marcos and Athanasiadis 2025, arXiv 2501.16848): a chill response learned by",
        "small networks inside a model of dormancy and growth.",
        "",
        f"- Seasons: {len(trained)} from {int(years.min())} to {int(years.max())}, {censored} of them censored",
        f"- Temperatures: {trained.source}; quality: {quality}",
        f"- Networks: {config.members}; preset: {config.preset}; seed: {config.seed}",
        f"- Groups: {', '.join(groups[:20]) or 'one'}",
        f"- Sites: {', '.join(system.sites[:50])}{' ...' if len(system.sites) > 50 else ''}",
        "- Holds the temperatures and bloom days of its seasons: pass it on only if you may pass these on",
        "",
        "## How to read it",
        "",
        "An answer is a distribution over days: `q05` to `q95` hold nine of ten. For a season that is not over, weather to",
        "come is that of past years of the site. `extrapolates` marks seasons beyond the weather of training: there the",
        "answer rests on the form of the model alone.",
        "",
        "## Not for",
        "",
        "Other species or varieties than those learned from; frost risk without the uncertainty; warmer climates, where chill",
        "was never short in training, unless the checks of the run say that the chill response is identified.",
    ]
    return "\n".join(lines) + "\n"
