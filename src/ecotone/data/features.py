"""From covariates to model features: standardised, quantile, quadratic, product, hinge and one-hot.

Fitted on background sites only, so that a covariate means the same for every species, then fixed. One transform serves
training, prediction and every pixel of a map. Letters: N sites, P covariates, F features, K knots.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ecotone.errors import InputError, UsageError, suggest

Array = np.ndarray
Unseen = Literal["error", "baseline"]
KINDS = ("linear", "quantile", "quadratic", "product", "hinge")
_MAX_KNOTS = 4096


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
        )

    # -------------------------------------------------------------------------------------------- use
    @property
    def continuous(self) -> tuple[str, ...]:
        """Names of the continuous covariates, constant ones included."""
        return tuple(name for name in self.covariates if name not in self.levels)

    @property
    def names(self) -> tuple[str, ...]:
        """F feature names, such as ``bio1``, ``bio1^2``, ``biome=4``."""
        return tuple(name for name, _ in self._described())

    @property
    def owners(self) -> tuple[tuple[str, ...], ...]:
        """F tuples: the covariates each feature is made of."""
        return tuple(owner for _, owner in self._described())

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
        z = (x[:, [index[name] for name in self.continuous]] - self.mean) / self.scale
        keep = [j for j, name in enumerate(self.continuous) if name not in self.constant]
        zk = z[:, keep]
        parts: list[Array] = []
        for kind in self.kinds:
            if kind == "linear":
                parts.append(zk)
            elif kind == "quantile":
                parts.extend(self._rank(z[:, j], j)[:, None] for j in keep)
            elif kind == "quadratic":
                parts.append(zk**2)
            elif kind == "product":
                first, second = np.triu_indices(len(keep), 1)
                parts.append(zk[:, first] * zk[:, second])
            else:
                parts.extend(self._hinge(z[:, j], j) for j in keep)
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

    def _rank(self, z: Array, j: int) -> Array:
        # interpolation between knots; ties in the background (a covariate that is 0 in half the cells) make equal knots,
        # and a value there gets their mean rank
        knots = self.quantiles[j]
        steps = np.linspace(0.0, 1.0, len(knots))
        known = np.append(True, np.diff(knots) > 0)
        first = np.flatnonzero(known)
        last = np.append(first[1:], len(knots)) - 1
        apart = np.append(np.diff(knots[first]), 1.0)  # above the last knot the rank stays
        slope = np.append(steps[first[1:]] - steps[last[:-1]], 0.0) / apart
        at_knot = np.where(last > first, (first + last) / 2 / max(len(knots) - 1, 1), steps[first])
        below = np.maximum(np.searchsorted(knots[first], z, "right") - 1, 0)
        beyond = z - knots[first][below]
        rank = np.where(beyond == 0, at_knot[below], slope[below] * beyond + steps[last][below])
        np.copyto(rank, 0.0, where=beyond < 0)
        return np.sqrt(12.0) * (rank - 0.5)  # unit variance over the background

    def _hinge(self, z: Array, j: int) -> Array:
        low, high = self.low[j], self.high[j]
        knots = np.linspace(low, high, self.hinges + 1)
        forward = np.clip((z[:, None] - knots[:-1]) / (high - knots[:-1]), 0, 1)
        reverse = np.clip((knots[1:] - z[:, None]) / (knots[1:] - low), 0, 1)
        return np.concatenate([forward, reverse], axis=1)

    def _described(self) -> list[tuple[str, tuple[str, ...]]]:
        used = [name for name in self.continuous if name not in self.constant]
        out: list[tuple[str, tuple[str, ...]]] = []
        for kind in self.kinds:
            if kind == "linear":
                out += [(name, (name,)) for name in used]
            elif kind == "quantile":
                out += [(f"rank({name})", (name,)) for name in used]
            elif kind == "quadratic":
                out += [(f"{name}^2", (name,)) for name in used]
            elif kind == "product":
                out += [(f"{a}*{b}", (a, b)) for i, a in enumerate(used) for b in used[i + 1 :]]
            else:
                sides = ("hinge", "reverse hinge")
                out += [
                    (f"{side} {k + 1} {name}", (name,)) for name in used for side in sides for k in range(self.hinges)
                ]
        return out + [(f"{name}={level}", (name,)) for name, known in self.levels.items() for level in known]

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
        except (KeyError, TypeError, ValueError, AttributeError):
            raise InputError(
                "DA404", "preprocessing", "feature map is incomplete", "use a folder written by ecotone"
            ) from None
        sound = all(v.shape == (n,) and np.isfinite(v).all() for v in vectors.values()) and bool(
            (vectors["scale"] > 0).all()
        )
        bounded = quantiles.shape[1] <= _MAX_KNOTS and 0 < hinges <= _MAX_KNOTS and set(kinds) <= set(KINDS)
        if (
            not sound
            or not bounded
            or not np.isfinite(quantiles).all()
            or not set(levels) | set(constant) <= set(covariates)
        ):
            raise InputError(
                "DA404", "preprocessing", "feature map is not consistent", "use a folder written by ecotone"
            )
        return cls(covariates, levels, kinds, **vectors, quantiles=quantiles, hinges=hinges, constant=constant)


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
