"""From log-intensity to scales people can read, and the constants that make species comparable.

The loss leaves a free constant per member and species. It is fixed here on the background: with weights w summing to 1,
``relative = exp(f) / sum_i w_i exp(f_i)`` has background mean 1. Everything else follows. Letters: M members, N sites,
S species, K background cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit, logsumexp, xlogy

from ecotone.errors import InputError
from ecotone.species import cumulative

Array = np.ndarray
UNITS = {
    "raw": "share of the background",
    "relative": "times the background mean",
    "cloglog": "1",
    "logistic": "1",
    "cumulative": "percent",
    "expected_count": "records per cell",
}
LARGE = ("cells", "cumulative")  # stored apart
TOGETHER = 256  # species calibrated at once
_LARGEST = 75.0  # far outside the background; its exponential fits into a float32 map, times many records


def background_cells(sites: int, cells: int, share: float, valid_cells: float | None = None) -> float:
    """How many cells a background stands for, so that a record is spread over cells of one size.

    A target group's sites are a cell each. Uniform cells that take a share of the weight add what that share is worth beside
    the sites, not their number, or a little smoothing would thin all counts; a uniform background stands for all valid cells.

    Args:
        sites: With weight 1 - share together.
        cells: Uniform cells drawn.
        share: Share of the weight on them.
        valid_cells: Valid cells of the area; those drawn by default.
    """
    if share >= 1:
        return float(valid_cells or cells)
    return float(min(sites / (1 - share), sites + cells))


@dataclass(frozen=True)
class Calibration:
    """Constants per species.

    Attributes:
        log_mean: (M, S) log of the background mean of exp(f), per member.
        log_mean_ensemble: (S,) the same for the members' mean log relative intensity.
        entropy: (S,) entropy of the raw distribution over the background (nats), for cloglog.
        records: (S,) records in training.
        cells: K, number of background cells the records are spread over.
        tenth_percentile: (S,) threshold on log relative intensity below which 10 % of training presences lie.
        max_tss: (S,) threshold with the largest sensitivity + specificity - 1 against the background.
        cumulative: (S, L) levels of the cumulative scale, see `ecotone.species.cumulative`; None in older model folders.
    """

    log_mean: Array
    log_mean_ensemble: Array
    entropy: Array
    records: Array
    cells: float
    tenth_percentile: Array
    max_tss: Array
    cumulative: Array | None = None

    @classmethod
    def fit(cls, f: Array, weight: Array, records: Array, *, cells: float) -> Calibration:
        """Calibrates on the background; the two thresholds are left at minus infinity.

        Args:
            f: (M, K', S) log-intensity at background sites.
            weight: (K',) their weights, any positive total.
            records: (S,) training records.
            cells: Number of cells the background stands for.
        """
        weight = np.asarray(weight, dtype=np.float64)
        w = weight / weight.sum()
        m, _, s = f.shape
        log_mean, log_mean_ensemble, entropy = np.empty((m, s)), np.empty(s), np.empty(s)
        levels = np.empty((s, len(cumulative.PERCENT)))
        for start in range(0, s, TOGETHER):
            at = slice(start, start + TOGETHER)
            part = np.asarray(f[:, :, at], dtype=np.float64)
            log_mean[:, at] = logsumexp(part, axis=1, b=w[None, :, None])
            mixed = (part - log_mean[:, None, at]).mean(0)  # (K', S')
            log_mean_ensemble[at] = logsumexp(mixed, axis=0, b=w[:, None])
            relative = mixed - log_mean_ensemble[at]
            p = w[:, None] * np.exp(relative)
            # a weighted site stands for w * cells cells, among which its share p is spread evenly
            entropy[at] = -(xlogy(p, p) - xlogy(p, np.maximum(w, 1e-300)[:, None] * cells)).sum(0)
            levels[at] = cumulative.levels(relative, p)
        nothing = np.full(s, -np.inf)
        counts = np.asarray(records, float)
        return cls(log_mean, log_mean_ensemble, entropy, counts, float(cells), nothing, nothing, levels)

    @classmethod
    def joined(cls, parts: Sequence[Calibration]) -> Calibration:
        """One calibration from those of consecutive species over the same background."""
        found: dict[str, Any] = {
            name: np.concatenate([getattr(part, name) for part in parts], axis=0 if name == "cumulative" else -1)
            for name in cls.__dataclass_fields__
            if name != "cells"
        }
        return cls(**found, cells=parts[0].cells)

    def log_relative(self, f: Array) -> Array:
        """(M, N, S) f -> (M, N, S) log relative intensity of each member."""
        return np.asarray(f, dtype=np.float64) - self.log_mean[:, None, :]

    def combine(self, log_relative: Array) -> Array:
        """(M, N, S) -> (N, S): the members' mean, scaled to background mean 1 again."""
        return log_relative.mean(0) - self.log_mean_ensemble

    def scale(self, log_relative: Array, output: str, species: Sequence[int] | None = None) -> Array:
        """(..., N, S) log relative intensity -> the asked scale.

        Args:
            log_relative: Of all species, or of those given.
            output: A key of `UNITS`.
            species: Which species the last dimension holds; all by default.

        Raises:
            InputError: DA404 for "cumulative" of a model folder that was written before that scale existed.
        """
        which = slice(None) if species is None else np.asarray(species)
        if output == "cumulative":
            if self.cumulative is None:
                what = "the model folder was written before this scale existed"
                raise InputError("DA404", "cumulative", what, "fit again, or ask for another --output")
            return cumulative.percent(self.cumulative[which], np.asarray(log_relative, dtype=np.float64))
        log_relative = np.minimum(log_relative, _LARGEST)
        log_raw = log_relative - np.log(self.cells)
        if output == "relative":
            return np.exp(log_relative)
        if output == "raw":
            return np.exp(log_raw)
        if output == "cloglog":
            return -np.expm1(-np.exp(self.entropy[which] + log_raw))
        if output == "logistic":
            return expit(self.entropy[which] + log_raw)
        return self.records[which] * np.exp(log_raw)

    def richness(self, log_relative: Array) -> Array:
        """(N, S) -> (N,) expected number of species recorded in a background cell."""
        return -np.expm1(-self.scale(log_relative, "expected_count")).sum(-1)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; of the cumulative levels, which are many, only how many per species."""
        more = {"cells": self.cells} | ({} if self.cumulative is None else {"cumulative": self.cumulative.shape[1]})
        return {name: getattr(self, name).tolist() for name in self.__dataclass_fields__ if name not in LARGE} | more

    @classmethod
    def from_dict(cls, stored: dict[str, Any], members: int, species: int, levels: Array | None = None) -> Calibration:
        """Reads what `to_dict` gave and the cumulative levels, checking shapes.

        Raises:
            InputError: DA404 when the parts do not fit.
        """
        try:
            parts = {k: np.asarray(stored[k], dtype=np.float64) for k in cls.__dataclass_fields__ if k not in LARGE}
            cells = float(stored["cells"])
        except (KeyError, TypeError, ValueError):
            raise InputError(
                "DA404", "preprocessing", "calibration is incomplete", "use a folder written by ecotone"
            ) from None
        shapes = {k: (members, species) if k == "log_mean" else (species,) for k in parts}
        sound = levels is None or (
            levels.shape == (species, len(cumulative.PERCENT)) and bool((np.diff(levels, axis=1) >= 0).all())
        )
        if any(parts[k].shape != shapes[k] for k in parts) or not cells > 0 or not sound:
            raise InputError(
                "DA404", "preprocessing", "calibration is not consistent", "use a folder written by ecotone"
            )
        return cls(**parts, cells=cells, cumulative=levels)
