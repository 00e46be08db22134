"""Which member learns from which seasons: answering members from all years, judged members with a fold of years held out.

Several fits (seeds, splits of the data) are laid out behind each other so that all train as one batch.
Letters: N seasons, M members of all fits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

Array = np.ndarray


@dataclass(frozen=True)
class Fit:
    """One fit in the batch.

    Attributes:
        seed: Its randomness.
        rows: (N,) seasons it may learn from.
        answering: Members that answer.
        folds: (F, N) seasons held out of each judged member; no rows for no held-out years.
    """

    seed: int
    rows: Array
    answering: int
    folds: Array

    @property
    def members(self) -> int:
        """All of them."""
        return self.answering + len(self.folds)

    def weights(self) -> tuple[Array, Array]:
        """(members, N) weight in training, and 1 where a member is judged."""
        weight = np.repeat(self.rows[None].astype(np.float32), self.members, 0)
        judged = np.zeros_like(weight)
        for k, fold in enumerate(self.folds, start=self.answering):
            weight[k, fold] = 0
            judged[k, fold & self.rows] = 1
        return weight, judged


def lay_out(year: Array, rows: Array, seed: int, answering: int, held_out: float) -> Fit:
    """Folds of whole years, at random, each holding the share `held_out` of them; none for fewer than two folds."""
    years = np.unique(year[rows])
    count = min(round(1 / held_out), len(years)) if held_out > 0 else 0
    if count < 2:
        return Fit(seed, rows, answering, np.zeros((0, len(year)), dtype=bool))
    order = np.random.default_rng([seed, 7]).permutation(len(years))
    fold_of = dict(zip(years[order].tolist(), (np.arange(len(years)) % count).tolist(), strict=True))
    fold = np.array([fold_of.get(int(y), -1) for y in year])
    return Fit(seed, rows, answering, np.stack([(fold == k) & rows for k in range(count)]))


def stack(fits: Sequence[Fit]) -> tuple[Tensor, Tensor]:
    """(M, N) weights and judged seasons of all fits."""
    parts = [fit.weights() for fit in fits]
    return torch.from_numpy(np.concatenate([w for w, _ in parts])), torch.from_numpy(
        np.concatenate([j for _, j in parts])
    )
