"""What `ecotone bench cherry` prints: errors by model, split and country, leads of the hybrid, coverage.

Figures are over all scored seasons of all seeds together. Intervals draw station-years and seeds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ecotone.data.seasons import Seasons
from ecotone.stats.bootstrap import Interval
from ecotone.systems.phenology.evaluation import difference, groups, metrics

Array = np.ndarray
HYBRIDS = ("hybrid", "hybrid_paper")


@dataclass(frozen=True)
class Outcome:
    """Scores of one model on one split and seed.

    Attributes:
        model: Its name.
        kind: Its kind.
        split: Name of the split.
        quality: Name of the set of seasons.
        seed: The seed.
        rows: (n,) scored seasons, positions in the set.
        values: Of `season_scores`, (n,) each.
        unit: (n,) station-year of each.
        seconds: To fit and predict.
        description: What was held out.
    """

    model: str
    kind: str
    split: str
    quality: str
    seed: int
    rows: Array
    values: Mapping[str, Array]
    unit: Array
    seconds: float
    description: str

    def with_seed(self, seed: int) -> Outcome:
        """The same under another seed."""
        return replace(self, seed=seed)


@dataclass(frozen=True)
class Pooled:
    """All seeds of a model on a split, end to end.

    Attributes:
        rows: (V,) seasons.
        seed: (V,) seeds.
        unit: (V,) station-years.
        values: Name -> (V,).
        seconds: Mean over seeds.
        kind: Of the model.
    """

    rows: Array
    seed: Array
    unit: Array
    values: dict[str, Array]
    seconds: float
    kind: str

    @property
    def mae(self) -> float:
        """Over all."""
        return float(np.nanmean(np.abs(self.values["error"])))


def pool(outcomes: Sequence[Outcome]) -> dict[tuple[str, str, str], Pooled]:
    """(quality, split, model) -> all its seeds."""
    keys = dict.fromkeys((o.quality, o.split, o.model) for o in outcomes)
    found = {}
    for key in keys:
        some = [o for o in outcomes if (o.quality, o.split, o.model) == key]
        found[key] = Pooled(
            np.concatenate([o.rows for o in some]),
            np.concatenate([np.full(len(o.rows), o.seed) for o in some]),
            np.concatenate([o.unit for o in some]),
            {name: np.concatenate([o.values[name] for o in some]) for name in some[0].values},
            float(np.mean([o.seconds for o in some])),
            some[0].kind,
        )
    return found


def lead(first: Pooled, second: Pooled) -> tuple[Interval, float]:
    """By how many days the first errs less than the second (positive is better), and by which share of its error."""
    i = difference(second.values["error"], first.values["error"], first.unit, seeds=first.seed)
    return i, 1 - first.mae / second.mae


def summary(outcomes: Sequence[Outcome], sets: Mapping[str, Seasons], splits: Sequence[str], data: str) -> list[str]:
    """All printed lines."""
    pooled = pool(outcomes)
    lines: list[str] = []
    for quality, seasons in sets.items():
        country = groups(seasons).get("country", np.full(len(seasons), "", dtype=object)).astype(str)
        names = sorted(set(country))
        shared = f"{len(seasons)} seasons at {len(np.unique(seasons.site))} sites"
        origin = "monthly temperatures, interpolated to days" if data == "monthly" else f"{quality} temperatures"
        lines += ["", f"{origin}: {shared}"]
        for split in splits:
            models = [m for q, s, m in pooled if (q, s) == (quality, split)]
            if not models:
                continue
            words = next(o.description for o in outcomes if o.quality == quality and o.split == split)
            lines.append(f"{split} (seed 0: {words})")
            lines += table(pooled, quality, split, models, country, names, seasons)
            lines += leads(pooled, quality, split, models)
    return lines[1:]


def table(
    pooled: Mapping[tuple[str, str, str], Pooled],
    quality: str,
    split: str,
    models: Sequence[str],
    country: Array,
    names: Sequence[str],
    seasons: Seasons,
) -> list[str]:
    """MAE in days by country and over all, then further scores over all."""
    more = ("rmse", "bias", "tau", "crps", "coverage90")
    head = "".join(f"{f'MAE {n}':>18s}" for n in names) + f"{'MAE all':>9s}"
    lines = [f"  {'model':26s}{head}" + "".join(f"{m:>11s}" for m in more) + f"{'missing':>9s}{'seconds':>9s}"]
    for model in models:
        p = pooled[quality, split, model]
        off = np.abs(p.values["error"])
        cells = ""
        for name in names:
            own = (country[p.rows] == name) & np.isfinite(off)
            cells += f"{off[own].mean():18.3f}" if own.any() else f"{'-':>18s}"
        some = seasons.take(p.rows)
        figures = metrics(p.values, some)
        each = [metrics(p.values, some, np.flatnonzero(p.seed == s)) for s in np.unique(p.seed)]
        figures["tau"] = float(np.mean([f["tau"] for f in each]))  # ranks of one fit; the rest is over all seeds
        cells += f"{figures['mae']:9.3f}" + "".join(f"{figures[m]:11.3f}" for m in more)
        lines.append(f"  {model:26s}{cells}{int(figures['unanswered']):9d}{p.seconds:9.2f}")
    return lines


def lead_rows(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """One row per lead: model, against, split, quality, lead (days), lead_low, lead_high, lead_share."""
    pooled, found = pool(outcomes), []
    for quality, split in dict.fromkeys((q, s) for q, s, _ in pooled):
        own = {m: p for (q, s, m), p in pooled.items() if (q, s) == (quality, split)}
        for hybrid, note, rival in rivals_of(own):
            i, share = lead(own[hybrid], own[rival])
            row = {"model": hybrid, "against": rival, "split": split, "quality": quality, "best": note.rstrip(", ")}
            found.append(row | {"lead": i.estimate, "lead_low": i.low, "lead_high": i.high, "lead_share": share})
    return found


def rivals_of(own: Mapping[str, Pooled]) -> list[tuple[str, str, str]]:
    """(hybrid, note, rival) in the order they are told."""
    physical, grouped = (
        sorted((m for m in own if own[m].kind == kind), key=lambda m: own[m].mae)
        for kind in ("biophysical", "biophysical by group")
    )
    learned = [m for m in own if own[m].kind == "learned"]
    found = []
    for hybrid in (m for m in HYBRIDS if m in own):
        rivals = [("best biophysical, ", m) for m in physical[:1]]
        rivals += [("best biophysical by group, ", m) for m in grouped[:1]]
        rivals += [("", m) for m in physical[1:] if m.startswith("utah_gdd")] + [("", m) for m in learned]
        if hybrid != HYBRIDS[0] and HYBRIDS[0] in own:
            rivals.append(("", HYBRIDS[0]))
        found += [(hybrid, note, rival) for note, rival in rivals]
    return found


def leads(pooled: Mapping[tuple[str, str, str], Pooled], quality: str, split: str, models: Sequence[str]) -> list[str]:
    """The hybrids against the best biophysical model and every learned baseline; the best of the rest without hybrids."""
    own = {m: pooled[quality, split, m] for m in models}
    lines = []
    for hybrid, note, rival in rivals_of(own):
        i, share = lead(own[hybrid], own[rival])
        lines.append(
            f"  lead of {hybrid} over {note}{rival}: {i.estimate:+.3f} d [{i.low:+.3f}, {i.high:+.3f}],"
            f" {100 * share:+.1f} % of its error"
        )
    return lines
