"""Log-intensity from covariates without making features: fast for maps of many species.

Hinges, thresholds and categories of one covariate add up to one function of that covariate, kept as a table: values at knots
for the continuous part, one value per step or level for the rest. A site touches two knots, one step and one level per
covariate, whatever the number of features; a sparse product adds them up row by row, so that a row's answer does not
depend on the rows beside it. Linear, quadratic and product features are few and multiplied as they are.

Letters: N sites, C columns (members times species), P covariates, T table rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from ecotone.data.features import FeatureMap, Unseen
from ecotone.errors import InputError
from ecotone.mapping.pixelwise import in_fixed_chunks

Array = np.ndarray
PIECE = 65_536


@dataclass(frozen=True)
class Lookup:
    """Tables of a fitted model.

    Attributes:
        features: The feature map.
        table: (T, C) contributions.
        knots: Per used covariate (its position, knots, first table row), for hinges.
        steps: The same for thresholds; one table row per interval.
        levels: Per categorical covariate (its column, levels, first table row).
        powers: (K, C) coefficients of linear, quadratic and product features.
        terms: (K, 2) standardised covariates multiplied in each of these; the second is -1 for linear ones.
    """

    features: FeatureMap
    table: Array
    knots: tuple[tuple[int, Array, int], ...]
    steps: tuple[tuple[int, Array, int], ...]
    levels: tuple[tuple[int, Array, int], ...]
    powers: Array
    terms: Array

    @classmethod
    def build(cls, features: FeatureMap, beta: Array) -> Lookup:
        """Tables for coefficients (C, F)."""
        kinds = np.asarray(features.feature_kinds)
        owners = features.owners
        position = {name: j for j, name in enumerate(features.continuous)}
        columns = beta.shape[0]
        blocks: list[Array] = []
        size = 0
        knots, steps, levels = [], [], []
        for j in features.used:
            name = features.continuous[j]
            mine = np.array([owner == (name,) for owner in owners])
            hinge = beta[:, mine & (kinds == "hinge")]
            if hinge.any():
                at = features.hinge_knots(j)
                blocks.append(features.hinge_values(at, j) @ hinge.T)
                knots.append((j, at, size))
                size += len(at)
            step = beta[:, mine & (kinds == "threshold")]
            if step.any():
                blocks.append(np.concatenate([np.zeros((1, columns)), np.cumsum(step.T, axis=0)]))
                steps.append((j, features.threshold_knots(j), size))
                size += step.shape[1] + 1
        for name, known in features.levels.items():
            mine = np.array([owner == (name,) for owner in owners]) & (kinds == "categorical")
            blocks.append(beta[:, mine].T)
            levels.append((features.covariates.index(name), np.asarray(known), size))
            size += len(known)
        smooth = [k for k in range(len(kinds)) if kinds[k] in ("linear", "quadratic", "product") and beta[:, k].any()]
        terms = np.full((len(smooth), 2), -1)
        for row, k in enumerate(smooth):
            pair = [position[name] for name in owners[k]]
            terms[row] = pair if len(pair) == 2 else (pair[0], pair[0] if kinds[k] == "quadratic" else -1)
        table = np.concatenate(blocks) if blocks else np.zeros((0, columns))
        return cls(
            features, table, tuple(knots), tuple(steps), tuple(levels), np.ascontiguousarray(beta[:, smooth].T), terms
        )

    def evaluate(self, covariates: Array, *, unseen: Unseen = "error") -> Array:
        """(N, P) covariates -> (N, C) log-intensity up to a constant per column.

        Raises:
            InputError: DA402 for an unseen category, DA403 for values that are not finite, DA404 for a wrong width.
        """
        z = self.features.standardised(covariates)
        covariates = np.asarray(covariates, dtype=np.float64)
        out = np.empty((len(z), self.table.shape[1]))
        for start in range(0, len(z), PIECE):
            part = slice(start, start + PIECE)
            out[part] = in_fixed_chunks(self._smooth, z[part])
            out[part] += self._tables(z[part], covariates[part], unseen)
        return out

    def _smooth(self, z: Array) -> Array:
        first, second = self.terms.T
        values = z[:, first] * np.where(second >= 0, z[:, second], 1.0)
        return values @ self.powers

    def _tables(self, z: Array, covariates: Array, unseen: Unseen) -> Array:
        n = len(z)
        places: list[Array] = []
        shares: list[Array] = []
        for j, at, first in self.knots:
            low = np.clip(np.searchsorted(at, z[:, j], "right") - 1, 0, len(at) - 2)
            width = at[low + 1] - at[low]
            share = np.clip((z[:, j] - at[low]) / np.where(width > 0, width, 1.0), 0.0, 1.0)
            places += [first + low, first + low + 1]
            shares += [1.0 - share, share]
        for j, at, first in self.steps:
            places.append(first + np.searchsorted(at, z[:, j], "left"))
            shares.append(np.ones(n))
        for column, known, first in self.levels:
            value = covariates[:, column]
            order = np.argsort(known)
            found = order[np.clip(np.searchsorted(known[order], value), 0, len(known) - 1)]
            seen = known[found] == value
            if unseen == "error" and not seen.all():
                shown = ", ".join(f"{v:g}" for v in sorted({float(v) for v in value[~seen]})[:5])
                name = self.features.covariates[column]
                fix = "mask these sites or train with them"
                raise InputError("DA402", name, f"category {shown} was not seen in training", fix)
            places.append(first + found)
            shares.append(seen.astype(float))
        if not places:
            return np.zeros((n, self.table.shape[1]))
        width = len(places)
        index = np.stack(places, axis=1).ravel()
        weight = np.stack(shares, axis=1).ravel()
        start = np.arange(n + 1) * width
        return sparse.csr_array((weight, index, start), shape=(n, len(self.table))) @ self.table
