"""Chooses multiplier and feature kinds by blocked validation on presence-only records.

The records are split into spatial blocks. All candidates are solved without each fold, in one batch, and on the fold each
species' presences are ranked against the background that the model uses: the other held-out sites where sites are background,
else uniform cells. The options given are left only for a candidate whose gain exceeds its standard error over species (over
folds for a single one); of these the one with the largest gain less its standard error is taken. No presence-absence survey
is looked at.

Letters: C candidates, D splits, N sites, U cells, S species.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import sparse

from ecotone.data.features import FeatureMap
from ecotone.errors import InputError
from ecotone.stats.ranking import auc
from ecotone.stats.splits import spatial_blocks
from ecotone.systems.maxent.assemble import Sites, Variant, solve_variants
from ecotone.systems.maxent.config import Config
from ecotone.systems.maxent.lookup import Lookup
from ecotone.systems.maxent.regularisation import EVERY

Array = np.ndarray
MULTIPLIERS = (0.5, 1.0, 2.0, 4.0)
CLASSES: tuple[str | tuple[str, ...], ...] = ("auto", ("linear", "quadratic"), ("linear", "quadratic", "hinge"))
FOLDS = 4
MIN_SITES = 40  # below this the held-out blocks rank too few sites to say anything
MIN_RECORDS = 5
MAX_SPECIES = 100  # spread over the numbers of records; more say nothing new
MAX_CELLS = 2000  # ranked against
TOLERANCE = 1e-3  # nats; rankings do not change beyond it


@dataclass(frozen=True)
class Tuning:
    """What was chosen and why.

    Attributes:
        features: (C,) feature kinds of the candidates, "auto" or letters, the options given first.
        multipliers: (C,).
        score: (C,) mean over species of the blocked AUC.
        gain: (C,) score minus that of the options given.
        error: (C,) standard error of the gain over species, over folds for one species.
        species: Species that could be scored.
        splits: D.
        chosen: Which candidate is used.
        reason: Why, in words.
    """

    features: tuple[str, ...]
    multipliers: tuple[float, ...]
    score: tuple[float, ...]
    gain: tuple[float, ...]
    error: tuple[float, ...]
    species: int
    splits: int
    chosen: int
    reason: str

    def applied(self, config: Config) -> Config:
        """The options with the choice in place."""
        if not self.features:
            return config
        return Config.parse(
            config.model_dump() | {"features": self.features[self.chosen], "multiplier": self.multipliers[self.chosen]}
        )


def tuning_from(stored: Mapping[str, Any] | None) -> Tuning | None:
    """What was stored of a choice; ValueError where the parts do not fit."""
    if stored is None:
        return None
    names = tuple(str(word) for word in stored["features"])
    numbers = {k: tuple(float(v) for v in stored[k]) for k in ("multipliers", "score", "gain", "error")}
    chosen = int(stored["chosen"])
    if any(len(part) != len(names) for part in numbers.values()) or not 0 <= chosen < max(len(names), 1):
        raise ValueError("the parts of the tuning differ in length")
    whole = {"species": int(stored["species"]), "splits": int(stored["splits"]), "reason": str(stored["reason"])}
    return Tuning(names, **numbers, chosen=chosen, **whole)


def choose(
    sites: Sites,
    known: Array,
    config: Config,
    share: float,
    *,
    coordinates: Array | None,
    geographic: bool,
    names: list[str],
    levels: dict[str, tuple[int, ...]] | None,
) -> Tuning:
    """Chooses for one job.

    Args:
        sites: As for the fit.
        known: Covariates that features are fitted on.
        config: The options given.
        share: Share of the background weight on uniform cells.
        coordinates: (N, 2) positions of the sites, or None.
        geographic: They are degrees of longitude and latitude.
        names: Of the covariates.
        levels: Of the categorical ones.
    """
    if coordinates is None:
        return _kept("no coordinates were given, so nothing could be validated")
    xy = np.asarray(coordinates, dtype=np.float64)
    n = len(sites.covariates)
    if xy.shape != (n, 2):
        raise InputError("DA404", "coordinates", f"shape {xy.shape}, expected ({n}, 2)", "pass one position per site")
    if n < MIN_SITES:
        return _kept(f"{n} sites are too few to validate candidates")
    try:
        folds = spatial_blocks(xy[:, 0], xy[:, 1], size="auto", folds=FOLDS, seed=0, geographic=geographic)
    except InputError as error:  # all sites in a few places
        if error.code != "OC205":
            raise
        return _kept(f"no blocks to validate candidates on: {error.what}")
    some = _species(sites.counts)
    if not len(some):
        return _kept(f"no species has the {MIN_RECORDS} sites that blocked validation needs")
    sites = replace(sites, counts=sparse.csr_array(sites.counts[:, some]))
    given = (config.features, config.multiplier)
    rest = [(kinds, m) for kinds in CLASSES for m in MULTIPLIERS]
    candidates = [given, *(c for c in rest if c != given)]
    splits = [folds != d for d in range(FOLDS)]
    values, records = _scores(sites, known, config, share, candidates, splits, names, levels)
    scored = np.flatnonzero(records.any(0))
    scores = (values * records).sum(1)[:, scored] / records.sum(0)[scored]  # (C, S)
    if len(scored) == 1:  # each fold counts by its presences
        j = int(scored[0])
        kept = records[:, j] > 0
        unit, weight = values[:, kept, j], records[kept, j] / records[:, j].sum()
    else:
        unit, weight = scores, np.full(len(scored), 1 / max(len(scored), 1))
    if unit.shape[1] < 2:
        return _kept("too little could be scored on held-out blocks")
    difference = unit - unit[0]
    gain = difference @ weight
    error = np.sqrt((difference - gain[:, None]) ** 2 @ weight / (unit.shape[1] - 1))
    best = int(np.argmax(gain - error))
    words = tuple(_letters(kinds) for kinds, _ in candidates)
    if gain[best] > error[best]:
        reason = f"{words[best]} x {candidates[best][1]:g} gained {gain[best]:+.4f} AUC on held-out blocks"
        reason += f" (standard error {error[best]:.4f})"
    else:
        best, reason = 0, "no candidate gained more than its standard error on held-out blocks"
    mean, gained, spread = (tuple(float(v) for v in part) for part in (scores.mean(1), gain, error))
    multipliers = tuple(float(m) for _, m in candidates)
    return Tuning(words, multipliers, mean, gained, spread, len(scored), len(splits), best, reason)


def _kept(reason: str) -> Tuning:
    return Tuning((), (), (), (), (), 0, 0, 0, reason)


def _letters(kinds: str | tuple[str, ...]) -> str:
    """As `Config.features` reads them again."""
    return kinds if isinstance(kinds, str) else "".join(kind[0] for kind in kinds)


def _species(counts: sparse.csr_array) -> Array:
    """Species with enough sites, at most `MAX_SPECIES` of them from rare to common."""
    occupied = np.bincount(counts.indices[counts.data > 0], minlength=counts.shape[1])
    enough = np.flatnonzero(occupied >= MIN_RECORDS)
    enough = enough[np.argsort(occupied[enough], kind="stable")]
    if len(enough) > MAX_SPECIES:
        enough = enough[np.linspace(0, len(enough) - 1, MAX_SPECIES).round().astype(int)]
    return np.sort(enough)


def _scores(
    sites: Sites,
    known: Array,
    config: Config,
    share: float,
    candidates: list[tuple[Any, float]],
    splits: list[Array],
    names: list[str],
    levels: dict[str, tuple[int, ...]] | None,
) -> tuple[Array, Array]:
    """(C, D, S) AUC on held-out blocks, and (D, S) presences ranked there; both 0 where nothing could be ranked."""
    wanted = {k for kinds, _ in candidates for k in (EVERY if kinds == "auto" else kinds)}
    features = FeatureMap.fit(
        known, names, levels=levels, kinds=sorted(wanted - {"categorical"}), hinges=config.hinges,
        thresholds=config.thresholds, placement=config.knots, clamp=config.clamp,
    )  # fmt: skip
    variants = [
        Variant(share, rows=np.flatnonzero(train), multiplier=m, kinds=kinds)
        for kinds, m in candidates
        for train in splits
    ]
    quick = config.model_copy(update={"tolerance": max(config.tolerance, TOLERANCE)})
    solution = solve_variants(sites, variants, features, quick)
    present = sites.counts.toarray() > 0
    s = present.shape[1]
    others = np.zeros((0, sites.covariates.shape[1]))
    if share == 1:
        weight = np.exp(sites.cell_log_weight)
        u = len(weight)
        rng = np.random.default_rng(0)
        drawn = rng.choice(u, min(MAX_CELLS, int((weight > 0).sum())), replace=False, p=weight / weight.sum())
        others = sites.cells[np.sort(drawn)]
    x = np.concatenate([sites.covariates, others])
    values, ranked = np.zeros((len(candidates), len(splits), s)), np.zeros((len(splits), s))
    for d, train in enumerate(splits):
        held = ~train
        labels = present[held].astype(float)
        if share == 1:
            labels = np.concatenate([np.where(labels > 0, 1.0, np.nan), np.zeros((len(others), s))])
        records = (labels == 1).sum(0)
        usable = (records > 0) & ((labels == 0).any(0))
        ranked[d] = np.where(usable, records, 0)
        at = np.concatenate([held, np.ones(len(others), bool)])
        for c in range(len(candidates)):
            rows = slice((c * len(splits) + d) * s, (c * len(splits) + d + 1) * s)
            f = Lookup.build(features, solution.beta[rows]).evaluate(x[at], unseen="baseline")
            if usable.any():
                values[c, d, usable] = auc(f[:, usable], labels[:, usable])
    return values, ranked
