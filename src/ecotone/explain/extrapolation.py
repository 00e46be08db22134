"""Where a model is asked about conditions nobody sampled, and by which covariate.

Multivariate environmental similarity surface of Elith, Kearney and Phillips (2010, Methods in Ecology and Evolution 1:330):
per covariate, how central the value is among the sampled sites, 100 at their median and negative outside their range,
measured in percent of that range; a site's similarity is the smallest over covariates. Letters: N sites, P covariates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ecotone.errors import InputError

Array = np.ndarray
_KNOTS = 201


@dataclass(frozen=True)
class SampledConditions:
    """What was sampled, as quantiles.

    Attributes:
        names: P covariates.
        levels: Name -> sampled levels of categorical covariates.
        quantiles: (P, K) sampled quantiles from minimum to maximum; unused for categorical covariates.
    """

    names: tuple[str, ...]
    levels: Mapping[str, tuple[int, ...]]
    quantiles: Array

    @classmethod
    def fit(cls, sites: Array, names: Sequence[str], categorical: Sequence[str] = ()) -> SampledConditions:
        """Summarises (N, P) sampled sites."""
        levels = {n: tuple(int(v) for v in np.unique(sites[:, p])) for p, n in enumerate(names) if n in categorical}
        knots = np.quantile(sites, np.linspace(0, 1, _KNOTS), axis=0).T
        return cls(tuple(names), levels, knots)

    def similarity(self, sites: Array) -> tuple[Array, Array]:
        """Similarity of sites to what was sampled.

        Args:
            sites: (N, P).

        Returns:
            (N,) percent, negative where some covariate lies outside its sampled range, and (N,) the index of the covariate
            that decides.
        """
        parts: Array = np.empty((len(sites), len(self.names)))
        for p, name in enumerate(self.names):
            value = sites[:, p]
            if name in self.levels:
                parts[:, p] = np.where(np.isin(value, self.levels[name]), 100.0, -100.0)
                continue
            knots = self.quantiles[p]
            low, high = knots[0], knots[-1]
            spread = high - low if high > low else max(abs(low), 1.0)  # a constant covariate has no range of its own
            rank = (np.searchsorted(knots, value, "left") + np.searchsorted(knots, value, "right")) / (2 * len(knots))
            inside = 200.0 * np.minimum(rank, 1 - rank)
            below, above = 100.0 * (value - low) / spread, 100.0 * (high - value) / spread
            parts[:, p] = np.where(value < low, below, np.where(value > high, above, inside))
        decisive = parts.argmin(1)
        return parts[np.arange(len(parts)), decisive], decisive

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        levels = {k: list(v) for k, v in self.levels.items()}
        return {"names": list(self.names), "levels": levels, "quantiles": self.quantiles.tolist()}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> SampledConditions:
        """Reads what `to_dict` gave.

        Raises:
            InputError: DA404 when it is not consistent.
        """
        try:
            names = tuple(str(n) for n in stored["names"])
            levels = {str(k): tuple(int(v) for v in known) for k, known in stored["levels"].items()}
            quantiles = np.asarray(stored["quantiles"], dtype=np.float64)
        except (KeyError, TypeError, ValueError, AttributeError):
            quantiles, names, levels = np.empty(0), (), {}
        if (
            quantiles.ndim != 2
            or len(quantiles) != len(names)
            or quantiles.size == 0
            or not np.isfinite(quantiles).all()
        ):
            raise InputError(
                "DA404", "preprocessing", "sampled conditions are not consistent", "use a folder written by ecotone"
            )
        return cls(names, levels, quantiles)
