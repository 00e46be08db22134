"""Chooses the share of uniform background by blocked validation on presence-only records.

The records are split into spatial blocks. On held-out blocks each species' presences are ranked against the other
held-out sites *of the target group*: ranking them against uniform points would reward learning where people go. Target
group alone is left only when the gain exceeds its standard error. No presence-absence survey is looked at.

Letters: C candidate shares, D splits (repeats x folds), S species.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ecotone.errors import InputError
from ecotone.species.background import BackgroundChoice
from ecotone.stats.ranking import auc
from ecotone.stats.splits import spatial_blocks
from ecotone.systems.deepmaxent.config import Config
from ecotone.systems.deepmaxent.engine import Member, Sites, train_stack

Array = np.ndarray

MIXTURE = 0.3  # the candidate beside the target group
FOLDS = 4
REPEATS = 2
EPOCHS = 15
MIN_SITES = 100  # below this the held-out blocks rank too few sites to say anything


@dataclass(frozen=True)
class ShareTrial:
    """What the validation found.

    Attributes:
        shares: (C,) candidate shares on uniform cells, the target group's own first.
        score: (C,) mean over species of the blocked AUC against held-out sites of the target group.
        gain: (C,) score minus that of target group alone.
        error: (C,) standard error of the gain over species.
        species: Species that could be scored.
        splits: D.
    """

    shares: tuple[float, ...]
    score: Array
    gain: Array
    error: Array
    species: int
    splits: int


def trial_from(stored: Mapping[str, Any] | None) -> ShareTrial | None:
    """The validation of the background, which evidence shows."""
    if stored is None:
        return None
    shares, *scores = (np.asarray(stored[key], dtype=np.float64) for key in ("shares", "score", "gain", "error"))
    if shares.ndim != 1 or any(part.shape != shares.shape for part in scores):
        raise ValueError("the parts of the trial differ in length")
    score, gain, error = scores
    return ShareTrial(tuple(shares.tolist()), score, gain, error, int(stored["species"]), int(stored["splits"]))


def choose_share(
    sites: Sites,
    config: Config,
    coordinates: Array | None,
    base: float = 0.0,
    *,
    geographic: bool = False,
    progress: bool = False,
) -> tuple[BackgroundChoice, ShareTrial | None]:
    """Chooses the share for one job.

    Args:
        sites: Training material with uniform cells.
        config: Resolved options; the trials train shorter and with one seed per split.
        coordinates: (K, 2) positions of the sites, or None.
        base: Share of uniform cells under plain target group (its smoothing).
        geographic: They are degrees of longitude and latitude.
        progress: Whether to show a progress bar.

    Returns:
        The choice, and the trial it rests on (None when none was possible).
    """
    if coordinates is None:
        return BackgroundChoice("target_group", base, "no coordinates were given, so nothing could be validated"), None
    xy = np.asarray(coordinates, dtype=np.float64)
    k = len(sites.features)
    if xy.shape != (k, 2):
        raise InputError("DA404", "coordinates", f"shape {xy.shape}, expected ({k}, 2)", "pass one position per site")
    if k < MIN_SITES:
        return BackgroundChoice("target_group", base, f"{k} sites are too few to validate a mixture"), None

    try:
        folds = [
            spatial_blocks(xy[:, 0], xy[:, 1], size="auto", folds=FOLDS, seed=repeat, geographic=geographic)
            for repeat in range(REPEATS)
        ]
    except InputError as error:  # all sites in a few places
        if error.code != "OC205":
            raise
        return BackgroundChoice("target_group", base, f"no blocks to validate a mixture on: {error.what}"), None
    splits = [fold != held for fold in folds for held in range(FOLDS)]
    shares = (base, MIXTURE)
    members = [
        Member(seed=1_000_003 + d, rows=np.flatnonzero(train), uniform_share=share)
        for share in shares
        for d, train in enumerate(splits)
    ]
    trial_config = config.model_copy(update={"epochs": min(int(config.epochs or EPOCHS), EPOCHS), "devices": 1})
    network = train_stack(sites, members, trial_config, progress=progress, label="choosing the background")
    scores = held_out_auc(network, sites, splits, len(shares))  # (C, S)
    scored = np.isfinite(scores).all(0)
    if scored.sum() < 2:
        return BackgroundChoice("target_group", base, "too few species could be scored on held-out blocks"), None
    scores = scores[:, scored]
    difference = scores - scores[0]
    gain = difference.mean(1)
    error = difference.std(1, ddof=1) / np.sqrt(scored.sum())
    trial = ShareTrial(shares, scores.mean(1), gain, error, int(scored.sum()), len(splits))
    best = int(np.argmax(gain - error))
    if best == 0 or gain[best] <= error[best]:
        reason = (
            f"no share of uniform cells gained more than its standard error on held-out blocks ({len(splits)} splits)"
        )
        return BackgroundChoice("target_group", base, reason), trial
    reason = (
        f"on held-out blocks it gained {gain[best]:+.4f} AUC over target group alone (standard error {error[best]:.4f})"
    )
    return BackgroundChoice("mixture", shares[best], reason), trial


def held_out_auc(network: object, sites: Sites, splits: list[Array], candidates: int) -> Array:
    """(C, S) mean over splits of the AUC of held-out presences against the other held-out sites, weighted by presences.

    Args:
        network: Trained stack, candidates major, splits minor.
        sites: The sites it was trained from.
        splits: D boolean (K,) arrays, True where trained.
        candidates: C.
    """
    import torch

    with torch.inference_mode():
        f = network(torch.from_numpy(sites.features)).numpy()  # type: ignore[operator]  # (C * D, K, S)
    present = sites.counts.toarray() > 0
    total = np.zeros((candidates, present.shape[1]))
    weight = np.zeros(present.shape[1])
    for d, train in enumerate(splits):
        held = ~train
        records = present[held].sum(0)
        usable = (records > 0) & (records < held.sum())
        weight += np.where(usable, records, 0)
        if not usable.any():
            continue
        for c in range(candidates):
            value = auc(f[c * len(splits) + d][held][:, usable], present[held][:, usable])
            total[c, usable] += value * records[usable]
    with np.errstate(invalid="ignore"):
        return total / np.where(weight > 0, weight, np.nan)
