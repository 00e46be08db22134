"""Where the cross-validated scores can be expected to hold: the area of applicability.

Meyer and Pebesma (2021, Methods Ecol. Evol. 12:1620). The dissimilarity index of a place is its distance to the nearest training
site in the space of covariates, standardised and weighted by importance, over the mean distance between training sites.
The threshold is the largest index that training sites themselves have towards the sites of *other* folds, outliers (above
the third quartile plus 1.5 interquartile ranges) left out. Letters: N places, K training sites, P covariates.

Rules the paper leaves open. Categorical: two different levels lie at a distance whose mean square over pairs of training
sites is that of a standardised continuous covariate; a level never seen lies that far from every other. Constant
covariates and those without importance are left out. Of more than `limit` training sites a seeded random subset is kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ecotone.contract import Check, Overlay
from ecotone.errors import InputError, UsageError
from ecotone.explain.nearest import Nearest

Array = np.ndarray
LIMIT = 5_000
"""Training sites kept by default."""

MAX_POINTS = 50_000
_ROWS = 200_000  # encoded at once
_REACH = 1.5  # thresholds within which a tree is the faster way
_FIX = "use a folder written by ecotone"


@dataclass(frozen=True)
class AreaOfApplicability:
    """What the training sites looked like, and how different a place may be.

    Attributes:
        names: P covariates.
        levels: Name -> sampled levels of categorical covariates.
        points: (K, P) training sites.
        weight: (P,) importance, 0 for what is left out.
        centre: (P,) means of the training sites, 0 for categorical covariates.
        scale: (P,) standard deviations; for a categorical covariate the root of the chance that two sites differ.
        mean_distance: Mean weighted distance between training sites.
        threshold: On the dissimilarity index.
        thinned_from: Training sites before the cap.
    """

    names: tuple[str, ...]
    levels: Mapping[str, tuple[int, ...]]
    points: Array
    weight: Array
    centre: Array
    scale: Array
    mean_distance: float
    threshold: float
    thinned_from: int

    @classmethod
    def fit(
        cls,
        sites: Array,
        folds: Array,
        names: Sequence[str],
        *,
        importance: Array | None = None,
        categorical: Sequence[str] = (),
        limit: int = LIMIT,
        seed: int = 0,
    ) -> AreaOfApplicability:
        """Learns the index and its threshold.

        Args:
            sites: (N, P) training sites.
            folds: (N,) fold of each site in the cross-validation whose scores are meant, best spatial blocks.
            names: P names.
            importance: (P,) importances; negative ones count as 0. None weighs all alike.
            categorical: Names whose values are levels.
            limit: Training sites kept at most.
            seed: For their draw.

        Raises:
            InputError: DA404 for shapes that do not fit, DA403 for values that are not finite, OC205 with fewer than two folds
                or when nothing varies.
            UsageError: US104 for a limit outside 2 to `MAX_POINTS`.
        """
        sites, folds = np.asarray(sites, dtype=np.float64), np.asarray(folds)
        weight = np.ones(len(names)) if importance is None else np.maximum(np.asarray(importance, dtype=np.float64), 0)
        if sites.ndim != 2 or folds.shape != sites.shape[:1] or not sites.shape[1] == len(names) == weight.size:
            what = f"sites {sites.shape}, folds {folds.shape}, importance {weight.shape} for {len(names)} names"
            raise InputError("DA404", "applicability", what, "pass one row per site and one column per covariate")
        if not (np.isfinite(sites).all() and np.isfinite(weight).all()):
            raise InputError(
                "DA403", "applicability", "covariates or importances are not finite", "leave those sites out"
            )
        if not 2 <= limit <= MAX_POINTS:
            raise UsageError("US104", "limit", f"{limit} training sites", f"keep 2 to {MAX_POINTS}")
        whole = len(sites)
        if whole > limit:
            kept = np.sort(np.random.default_rng(seed).choice(whole, size=limit, replace=False))
            sites, folds = sites[kept], folds[kept]
        if len(np.unique(folds)) < 2:
            raise InputError("OC205", "applicability", "all training sites are in one fold", "use at least two folds")
        levels: dict[str, tuple[int, ...]] = {}
        centre, scale = sites.mean(0), sites.std(0)
        for p, name in enumerate(names):
            if name in categorical:
                known, times = np.unique(sites[:, p], return_counts=True)
                levels[name] = tuple(int(v) for v in known)
                centre[p], scale[p] = 0.0, np.sqrt(1 - ((times / times.sum()) ** 2).sum())
        varies = scale > 1e-12 * np.maximum(np.abs(centre), 1e-300)
        weight = np.where(varies, weight if (weight * varies).max(initial=0) > 0 else 1.0, 0.0)
        if not weight.any():
            raise InputError("OC205", "applicability", "no covariate varies among the training sites", "check the data")
        made = cls(tuple(names), levels, sites, weight / weight.max(), centre, scale, 1.0, np.inf, whole)
        coded = made._encode(sites)
        mean = _mean_distance(coded)
        own = _across_folds(coded, folds) / mean
        low, high = np.quantile(own, [0.25, 0.75])
        threshold = float(own[own <= high + 1.5 * (high - low)].max())
        return cls(tuple(names), levels, sites, made.weight, centre, scale, mean, threshold, whole)

    def dissimilarity(self, places: Array) -> Array:
        """(N, P) -> (N,) dissimilarity index, 0 at a training site; nan where a covariate that counts is missing.

        Each place is answered on its own, so a map does not depend on how it is cut into windows.
        """
        places = np.asarray(places, dtype=np.float64)
        if places.ndim != 2 or places.shape[1] != len(self.names):
            what = f"covariates {places.shape} for {len(self.names)} names"
            raise InputError("DA404", "applicability", what, "pass one column per covariate")
        out = np.full(len(places), np.nan)
        for start in range(0, len(places), _ROWS):
            some = places[start : start + _ROWS]
            known = np.isfinite(some[:, self.weight > 0]).all(1)
            if known.any():
                out[start : start + _ROWS][known] = (
                    self._nearest.distance(self._encode(some[known])) / self.mean_distance
                )
        return out

    def inside(self, places: Array) -> Array:
        """(N, P) -> (N,) True inside the area of applicability; False where a covariate is missing."""
        return self.dissimilarity(places) <= self.threshold

    @cached_property
    def _nearest(self) -> Nearest:
        return Nearest(self._encode(self.points), _REACH * self.threshold * self.mean_distance)

    def _encode(self, places: Array) -> Array:
        """(N, P) -> (N, D) coordinates in which the weighted distance is Euclidean."""
        columns = []
        for p, name in enumerate(self.names):
            if self.weight[p] == 0:
                continue
            factor = self.weight[p] / self.scale[p]
            if name not in self.levels:
                columns.append(((places[:, p] - self.centre[p]) * factor)[:, None])
                continue
            same = places[:, [p]] == np.array(self.levels[name], dtype=np.float64)
            # two different levels are then factor * sqrt(2) apart; the last column holds every level never seen
            columns.append(np.column_stack([same, ~same.any(1)]) * factor)
        return np.concatenate(columns, axis=1)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, and `points` as a (K, P) array, to be stored with the model's tensors."""
        stored: dict[str, Any] = {"names": list(self.names), "levels": {k: list(v) for k, v in self.levels.items()}}
        stored |= {k: getattr(self, k).tolist() for k in ("weight", "centre", "scale")}
        stored |= {k: getattr(self, k) for k in ("mean_distance", "threshold", "thinned_from")}
        return stored | {"points": self.points}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> AreaOfApplicability:
        """Reads what `to_dict` gave.

        Raises:
            InputError: DA404 when it is not consistent or larger than the limits.
        """
        try:
            made = cls(
                names=tuple(str(n) for n in stored["names"]),
                levels={str(k): tuple(int(v) for v in known) for k, known in stored["levels"].items()},
                points=np.array(stored["points"], dtype=np.float64),
                weight=np.array(stored["weight"], dtype=np.float64),
                centre=np.array(stored["centre"], dtype=np.float64),
                scale=np.array(stored["scale"], dtype=np.float64),
                mean_distance=float(stored["mean_distance"]),
                threshold=float(stored["threshold"]),
                thinned_from=int(stored["thinned_from"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            raise InputError("DA404", "preprocessing", "the area of applicability is incomplete", _FIX) from None
        made._check()
        return made

    def _check(self) -> None:
        size = len(self.names)
        shapes = all(v.shape == (size,) for v in (self.weight, self.centre, self.scale))
        shapes = (
            shapes and self.points.ndim == 2 and self.points.shape[1] == size and 2 <= len(self.points) <= MAX_POINTS
        )
        good = shapes and set(self.levels) <= set(self.names)
        for values in (
            self.points,
            self.weight,
            self.centre,
            self.scale,
            np.array([self.mean_distance, self.threshold]),
        ):
            good = good and bool(np.isfinite(values).all())
        if good:
            used = self.weight > 0
            good = used.any() and (self.weight >= 0).all() and (self.scale[used] > 0).all()
        if not good or not (self.mean_distance > 0 and self.threshold >= 0):
            raise InputError("DA404", "preprocessing", "the area of applicability is not consistent", _FIX)


def _mean_distance(coded: Array) -> float:
    """Mean distance between different training sites."""
    from scipy.spatial.distance import cdist

    total = sum(float(cdist(coded[i : i + 500], coded).sum()) for i in range(0, len(coded), 500))
    mean = total / (len(coded) * (len(coded) - 1))
    if not mean > 0:
        raise InputError("OC205", "applicability", "all training sites are alike", "check the data")
    return mean


def _across_folds(coded: Array, folds: Array) -> Array:
    """(K,) distance of each training site to the nearest one of another fold."""
    out = np.empty(len(coded))
    for fold in np.unique(folds):
        own = folds == fold
        out[own] = Nearest(coded[~own], np.inf).distance(coded[own])
    return out


def applicability_evidence(
    area: AreaOfApplicability, index: Array, extent: tuple[float, float, float, float] | None, *, bound: float = 5.0
) -> list[Check | Overlay]:
    """Share of the map outside, and a map of how far each cell is from the threshold.

    Args:
        area: Fitted.
        index: (H, W) dissimilarity index of the map cells, nan where there are no data.
        extent: (west, east, south, north).
        bound: Percent of the cells that may lie outside.
    """
    known = np.isfinite(index)
    outside = 100 * float((index[known] > area.threshold).mean()) if known.any() else float("nan")
    order = np.argsort(-area.weight, kind="stable")[:5]
    weights = ", ".join(f"{area.names[p]} {area.weight[p]:.2f}" for p in order if area.weight[p] > 0)
    sites = f"{len(area.points):,}" + (
        f", drawn from {area.thinned_from:,}" if area.thinned_from > len(area.points) else ""
    )
    margin = np.clip(100 * (index / max(area.threshold, 1e-12) - 1), -100, 100)
    return [
        Check(
            title="Area of applicability",
            claim="Share of map cells outside the area of applicability",
            measured=outside,
            bound=bound,
            unit="%",
            verdict="pass" if outside <= bound else "note",
            details=(
                ("threshold of the dissimilarity index", f"{area.threshold:.3g}"),
                ("training sites", sites),
                ("weights", weights),
            ),
            note="Outside, a place is more unlike the training sites than held-out blocks were: the scores say nothing of it.",
        ),
        Overlay(
            title="Applicability: distance to the threshold",
            weights=margin[None],
            names=("dissimilarity",),
            unit="% above the threshold",
            extent=extent,
            note="Blue: like the training sites, the scores apply. Red: outside the area of applicability. Ends at 100 %.",
        ),
    ]
