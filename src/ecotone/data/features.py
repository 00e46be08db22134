"""From covariates to model features: standardised, quantile, quadratic, product, hinge, threshold and one-hot.

Fitted on background sites only, so that a covariate means the same for every species, then fixed. One transform serves
training, prediction and every pixel of a map. Letters: N sites, P covariates, F features, K knots.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np

from ecotone.errors import InputError, UsageError, suggest

Array = np.ndarray
Unseen = Literal["error", "baseline"]
Knots = Literal["even", "quantile"]
KINDS = ("linear", "quantile", "quadratic", "product", "hinge", "threshold")
_MAX_KNOTS = 4096
_WHOLE = 1 << 16  # whole numbers whose ranks are tabulated
_MANY = 1024  # values from which a table pays
_FINE = 8  # quantiles kept per knot


@dataclass(frozen=True)
class FeatureMap:
    """A fixed transform (N, P) -> (N, F).

    Attributes:
        covariates: P names.
        levels: Covariate name -> its levels, for categorical ones; each level is one 0/1 feature.
        kinds: Which features are made of continuous covariates, a subset of `KINDS`.
        mean: (C,) background mean of the continuous covariates, in their own unit.
        scale: (C,) background standard deviation.
        low: (C,) background minimum of the standardised covariates.
        high: (C,) background maximum.
        quantiles: (C, K) background quantiles of the standardised covariates (K = 0 without quantile features).
        hinges: Knots per side and covariate for hinge features.
        constant: Continuous covariates without variation; they make no feature.
        thresholds: Steps per covariate for threshold features.
        inner: (C, K) places of hinge and threshold knots, standardised: K evenly spaced quantiles of the background, ends
            included. (C, 0) spaces the knots evenly over the range.
        clamp: Covariates are moved to the nearest end of the background's range before anything else.
    """

    covariates: tuple[str, ...]
    levels: Mapping[str, tuple[int, ...]]
    kinds: tuple[str, ...]
    mean: Array
    scale: Array
    low: Array
    high: Array
    quantiles: Array
    hinges: int
    constant: tuple[str, ...] = ()
    thresholds: int = 10
    inner: Array = field(default_factory=lambda: np.zeros((0, 0)))
    clamp: bool = False

    # -------------------------------------------------------------------------------------------- fitting
    @classmethod
    def fit(
        cls,
        background: Array,
        covariates: Sequence[str],
        *,
        levels: Mapping[str, Sequence[int]] | None = None,
        kinds: Sequence[str] = ("linear",),
        hinges: int = 10,
        knots: int = 256,
        weights: Array | None = None,
        thresholds: int = 10,
        placement: Knots = "even",
        clamp: bool = False,
    ) -> FeatureMap:
        """Fits the transform.

        Args:
            background: (N, P) covariates of background sites, finite.
            covariates: P names, all different.
            levels: Name -> levels of the categorical covariates.
            kinds: Feature kinds for the continuous ones.
            hinges: Hinge knots per side.
            knots: Quantiles kept per covariate.
            weights: (N,) site weights for mean and standard deviation, or None.
            thresholds: Steps per covariate.
            placement: Hinge and threshold knots "even" over the range, or at "quantile"s of the background.
            clamp: Move covariates to the nearest end of the background's range.

        Raises:
            UsageError: US101 for an unknown kind.
            InputError: DA403 for values that are not finite, DA404 for shapes or names that do not fit.
        """
        for kind in kinds:
            if kind not in KINDS:
                raise UsageError("US101", kind, "no such feature kind", suggest(kind, KINDS))
        levels = {name: tuple(int(v) for v in values) for name, values in (levels or {}).items()}
        for name in levels:
            if name not in covariates:
                raise UsageError("US101", name, "declared categorical but not a covariate", suggest(name, covariates))
        if twice := sorted({name for name in covariates if list(covariates).count(name) > 1}):
            raise InputError("DA404", twice[0], "names several covariates", "give each column a name of its own")
        background = _check(background, len(covariates))
        continuous = [i for i, name in enumerate(covariates) if name not in levels]
        values = background[:, continuous]
        mean = np.average(values, axis=0, weights=weights) if continuous else np.zeros(0)
        scale = np.sqrt(np.average((values - mean) ** 2, axis=0, weights=weights)) if continuous else np.zeros(0)
        flat = scale <= 1e-10 * (1.0 + np.abs(mean))
        constant = tuple(covariates[i] for i, is_flat in zip(continuous, flat, strict=True) if is_flat)
        scale = np.where(flat, 1.0, scale)
        z = (values - mean) / scale
        n_knots = min(knots, len(z)) if "quantile" in kinds else 0
        if n_knots == len(z):
            quantiles = np.sort(z, axis=0).T  # the same as below, without rounding, so that ties stay ties
        elif n_knots:
            quantiles = np.quantile(z, np.linspace(0, 1, n_knots), axis=0).T
        else:
            quantiles = np.zeros((len(continuous), 0))
        inner = np.zeros((len(continuous), 0))
        if placement == "quantile" and len(z):
            inner = np.quantile(z, np.linspace(0, 1, _FINE * max(hinges, thresholds) + 1), axis=0).T
        return cls(
            tuple(covariates),
            levels,
            tuple(k for k in KINDS if k in kinds),
            mean,
            scale,
            z.min(0) if len(z) else mean,
            z.max(0) if len(z) else mean,
            quantiles,
            hinges,
            constant,
            thresholds,
            inner,
            clamp,
        )

    # -------------------------------------------------------------------------------------------- use
    @property
    def continuous(self) -> tuple[str, ...]:
        """Names of the continuous covariates, constant ones included."""
        return tuple(name for name in self.covariates if name not in self.levels)

    @property
    def names(self) -> tuple[str, ...]:
        """F feature names, such as ``bio1``, ``bio1^2``, ``biome=4``."""
        return tuple(name for name, _, _ in self._described())

    @property
    def owners(self) -> tuple[tuple[str, ...], ...]:
        """F tuples: the covariates each feature is made of."""
        return tuple(owner for _, owner, _ in self._described())

    @property
    def feature_kinds(self) -> tuple[str, ...]:
        """F kinds: one of `KINDS`, or "categorical"."""
        return tuple(kind for _, _, kind in self._described())

    @property
    def used(self) -> tuple[int, ...]:
        """Positions of the continuous covariates that make features, among the continuous ones."""
        return tuple(j for j, name in enumerate(self.continuous) if name not in self.constant)

    def standardised(self, covariates: Array) -> Array:
        """(N, P) covariates -> (N, C) continuous ones in background standard deviations, clamped if the map clamps.

        Raises:
            InputError: DA403 for values that are not finite, DA404 for a wrong width.
        """
        x = _check(covariates, len(self.covariates))
        index = {name: i for i, name in enumerate(self.covariates)}
        z = (x[:, [index[name] for name in self.continuous]] - self.mean) / self.scale
        return np.clip(z, self.low, self.high) if self.clamp else z

    def hinge_knots(self, j: int) -> Array:
        """(hinges + 1,) knots of continuous covariate j, standardised; both ends of the range included."""
        return self._knots(j, self.hinges + 1)

    def threshold_knots(self, j: int) -> Array:
        """(thresholds,) steps of continuous covariate j, standardised, strictly inside the range."""
        return self._knots(j, self.thresholds + 2)[1:-1]

    def _knots(self, j: int, count: int) -> Array:
        if not self.inner.shape[1]:
            return np.linspace(self.low[j], self.high[j], count)
        places = np.linspace(0, 1, self.inner.shape[1])
        return np.interp(np.linspace(0, 1, count), places, self.inner[j])

    def transform(self, covariates: Array, *, unseen: Unseen = "error") -> Array:
        """(N, P) covariates -> (N, F) float32 features.

        Args:
            covariates: In the order of `self.covariates`, own units.
            unseen: For a categorical value never seen in training: "error", or "baseline" (all its one-hot features 0).

        Raises:
            InputError: DA402 for an unseen category, DA403 for values that are not finite, DA404 for a wrong width.
        """
        x = _check(covariates, len(self.covariates))
        index = {name: i for i, name in enumerate(self.covariates)}
        z = self.standardised(x)
        keep = list(self.used)
        zk = z[:, keep]
        parts: list[Array] = []
        for kind in self.kinds:
            if kind == "linear":
                parts.append(zk)
            elif kind == "quantile":
                columns = np.ascontiguousarray(z.T)
                values = np.ascontiguousarray(x.T)
                at = [index[name] for name in self.continuous]
                parts.extend(self._rank_of(values[at[j]], columns[j], j)[:, None] for j in keep)
            elif kind == "quadratic":
                parts.append(zk**2)
            elif kind == "product":
                first, second = np.triu_indices(len(keep), 1)
                parts.append(zk[:, first] * zk[:, second])
            elif kind == "hinge":
                parts.extend(self.hinge_values(z[:, j], j) for j in keep)
            else:
                parts.extend(z[:, j, None] > self.threshold_knots(j) for j in keep)
        for name, known in self.levels.items():
            value = x[:, index[name]]
            onehot = value[:, None] == np.asarray(known)
            if unseen == "error" and not (seen := onehot.any(1)).all():
                new = sorted({float(v) for v in value[~seen]})[:5]
                shown = ", ".join(f"{v:g}" for v in new)
                raise InputError(
                    "DA402", name, f"category {shown} was not seen in training", "mask these sites or train with them"
                )
            parts.append(onehot)
        return (
            np.concatenate(parts, axis=1, dtype=np.float32, casting="same_kind")
            if parts
            else np.zeros((len(x), 0), np.float32)
        )

    @cached_property
    def _ranks(self) -> tuple[tuple[Array, Array, Array, Array], ...]:
        """Per continuous covariate its K distinct knots, the rank at each, the rank just above it, and the slope above it.

        Ties in the background (a covariate that is 0 in half the cells) make equal knots; a value there gets their mean rank.
        """
        found = []
        for knots in self.quantiles:
            steps = np.linspace(0.0, 1.0, len(knots))
            first = np.flatnonzero(np.append(True, np.diff(knots) > 0))
            last = np.append(first[1:], len(knots)) - 1
            apart = np.append(np.diff(knots[first]), 1.0)  # above the last knot the rank stays
            slope = np.append(steps[first[1:]] - steps[last[:-1]], 0.0) / apart
            at_knot = np.where(last > first, (first + last) / 2 / max(len(knots) - 1, 1), steps[first])
            found.append((knots[first], at_knot, steps[last], slope))
        return tuple(found)

    @cached_property
    def _whole_ranks(self) -> tuple[tuple[int, Array] | None, ...]:
        """Per continuous covariate the ranks of whole numbers: first number and its table, to one beyond either end.

        Beyond the background's range a rank stays what it is at the end. None where the range is too wide.
        """
        found: list[tuple[int, Array] | None] = []
        for j, (low, high) in enumerate(zip(self.low, self.high, strict=True)):
            ends = self.mean[j] + np.array([low, high]) * self.scale[j]
            if not (np.abs(ends) < 2**31).all() or ends[1] - ends[0] > _WHOLE:
                found.append(None)
                continue
            first, last = int(np.floor(ends[0])) - 1, int(np.ceil(ends[1])) + 1
            z = (np.arange(first, last + 1, dtype=np.float64) - self.mean[j]) / self.scale[j]
            found.append((first, self._rank(np.clip(z, low, high) if self.clamp else z, j)))
        return tuple(found)

    def _rank_of(self, value: Array, z: Array, j: int) -> Array:
        """`_rank`, looked up where all values are whole numbers, as in most climate rasters: the same bits, faster."""
        whole = self._whole_ranks[j] if len(value) >= _MANY else None
        if whole is None:
            return self._rank(z, j)
        first, table = whole
        with np.errstate(invalid="ignore"):
            place = value.astype(np.int64)
        if not np.array_equal(place, value):
            return self._rank(z, j)
        place -= first
        np.maximum(place, 0, out=place)
        np.minimum(place, len(table) - 1, out=place)
        return table.take(place)

    def _rank(self, z: Array, j: int) -> Array:
        """(N,) standardised covariate j -> (N,) its rank among the background, with unit variance there."""
        knots, at_knot, above, slope = self._ranks[j]
        below = np.searchsorted(knots, z, "right")
        below -= 1
        np.maximum(below, 0, out=below)
        beyond = z - knots[below]
        rank = slope[below]
        rank *= beyond
        rank += above[below]
        np.copyto(rank, at_knot[below], where=beyond == 0)
        np.copyto(rank, 0.0, where=beyond < 0)
        rank -= 0.5
        rank *= np.sqrt(12.0)
        return rank

    def hinge_values(self, z: Array, j: int) -> Array:
        """(N,) standardised covariate j -> (N, 2 hinges) forward and reverse hinges, 0..1."""
        low, high = self.low[j], self.high[j]
        knots = self.hinge_knots(j)
        rise, fall = high - knots[:-1], knots[1:] - low
        if self.inner.shape[1]:  # tied quantiles: a hinge without width is 0
            rise, fall = np.where(rise > 0, rise, np.inf), np.where(fall > 0, fall, np.inf)
        forward = np.clip((z[:, None] - knots[:-1]) / rise, 0, 1)
        reverse = np.clip((knots[1:] - z[:, None]) / fall, 0, 1)
        return np.concatenate([forward, reverse], axis=1)

    def _described(self) -> list[tuple[str, tuple[str, ...], str]]:
        used = [self.continuous[j] for j in self.used]
        out: list[tuple[str, tuple[str, ...], str]] = []
        for kind in self.kinds:
            if kind == "linear":
                out += [(name, (name,), kind) for name in used]
            elif kind == "quantile":
                out += [(f"rank({name})", (name,), kind) for name in used]
            elif kind == "quadratic":
                out += [(f"{name}^2", (name,), kind) for name in used]
            elif kind == "product":
                out += [(f"{a}*{b}", (a, b), kind) for i, a in enumerate(used) for b in used[i + 1 :]]
            elif kind == "hinge":
                sides = ("hinge", "reverse hinge")
                out += [
                    (f"{side} {k + 1} {name}", (name,), kind)
                    for name in used
                    for side in sides
                    for k in range(self.hinges)
                ]
            else:
                out += [(f"threshold {k + 1} {name}", (name,), kind) for name in used for k in range(self.thresholds)]
        levels = self.levels.items()
        return out + [(f"{name}={level}", (name,), "categorical") for name, known in levels for level in known]

    # -------------------------------------------------------------------------------------------- storing
    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; floats round-trip exactly."""
        return {
            "covariates": list(self.covariates),
            "levels": {name: list(known) for name, known in self.levels.items()},
            "kinds": list(self.kinds),
            "mean": self.mean.tolist(),
            "scale": self.scale.tolist(),
            "low": self.low.tolist(),
            "high": self.high.tolist(),
            "quantiles": self.quantiles.tolist(),
            "hinges": self.hinges,
            "constant": list(self.constant),
            **({"thresholds": self.thresholds} if "threshold" in self.kinds else {}),
            **({"inner": self.inner.tolist()} if self.inner.shape[1] else {}),
            **({"clamp": True} if self.clamp else {}),
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> FeatureMap:
        """Reads what `to_dict` gave, checking sizes.

        Raises:
            InputError: DA404 when the parts do not fit together.
        """
        try:
            levels = {str(k): tuple(int(v) for v in known) for k, known in stored["levels"].items()}
            covariates = tuple(str(name) for name in stored["covariates"])
            n = len(covariates) - len(levels)
            vectors = {key: np.asarray(stored[key], dtype=np.float64) for key in ("mean", "scale", "low", "high")}
            quantiles = np.asarray(stored["quantiles"], dtype=np.float64).reshape(n, -1)
            hinges = int(stored["hinges"])
            constant = tuple(str(name) for name in stored["constant"])
            kinds = tuple(str(k) for k in stored["kinds"])
            thresholds = int(stored.get("thresholds", 10))
            inner = np.asarray(stored.get("inner", np.zeros((n, 0))), dtype=np.float64).reshape(n, -1)
            clamp = stored.get("clamp", False) is True
        except (KeyError, TypeError, ValueError, AttributeError):
            raise InputError(
                "DA404", "preprocessing", "feature map is incomplete", "use a folder written by ecotone"
            ) from None
        sound = all(v.shape == (n,) and np.isfinite(v).all() for v in vectors.values()) and bool(
            (vectors["scale"] > 0).all()
        )
        bounded = quantiles.shape[1] <= _MAX_KNOTS and 0 < hinges <= _MAX_KNOTS and set(kinds) <= set(KINDS)
        bounded = bounded and inner.shape[1] <= _FINE * _MAX_KNOTS + 1 and 0 < thresholds <= _MAX_KNOTS
        if (
            not sound
            or not bounded
            or not (np.isfinite(quantiles).all() and np.isfinite(inner).all())
            or not set(levels) | set(constant) <= set(covariates)
        ):
            raise InputError(
                "DA404", "preprocessing", "feature map is not consistent", "use a folder written by ecotone"
            )
        more = {"constant": constant, "thresholds": thresholds, "inner": inner, "clamp": clamp}
        return cls(covariates, levels, kinds, **vectors, quantiles=quantiles, hinges=hinges, **more)


def _check(values: Array, width: int) -> Array:
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] != width:
        raise InputError(
            "DA404", "covariates", f"shape {values.shape}, expected (N, {width})", "pass one column per covariate"
        )
    finite = np.isfinite(values)
    if not finite.all():
        rows, columns = np.nonzero(~finite)
        what = f"{len(rows)} values are NaN or infinite, first at row {rows[0]}, column {columns[0]}"
        raise InputError("DA403", "covariates", what, "mask or fill these sites first")
    return values
