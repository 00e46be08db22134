"""What every species estimator does once it can give log-intensities: scales, thresholds, scores.

Letters: M members, N sites, P covariates, S species, U background cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, validate_data

from ecotone.data.features import FeatureMap, Unseen
from ecotone.errors import InputError, UsageError, suggest
from ecotone.species.background import BackgroundChoice, decide, smoothing_share, undefined_target_group
from ecotone.species.outputs import UNITS, Calibration
from ecotone.species.outputs import background_cells as cells_of_background
from ecotone.stats.ranking import max_tss_threshold, tenth_percentile_threshold

Array = np.ndarray
_ANSWERS = 100_000_000  # numbers of all species that are held at once where some are wanted


class Given(NamedTuple):
    """What `fit` was given, checked.

    Attributes:
        sites: (N, P) covariates of the sites.
        counts: (N, S) their records.
        cells: (U, P) covariates of uniform cells, U may be 0.
        names: P covariate names.
        records: (S,) records per species.
        occupied: Sites with a record.
    """

    sites: Array
    counts: sparse.csr_array
    cells: Array
    names: list[str]
    records: Array
    occupied: int


class SpeciesEstimator(BaseEstimator):
    """Base of `DeepMaxent` and `Maxent`: a subclass fits, and gives `log_intensity`.

    Fitted attributes: `features_` (FeatureMap), `calibration_`, `background_` (BackgroundChoice), `trial_` (validation of
    background shares, or None), `species_` (names), `config_`, `n_features_in_`.
    """

    features_: FeatureMap
    calibration_: Calibration
    background_: BackgroundChoice
    species_: list[str]
    trial_: Any
    config_: Any
    n_features_in_: int
    one_species_: bool

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.target_tags.multi_output = True
        tags.non_deterministic = False
        return tags

    # -------------------------------------------------------------------------------------------- fit
    def read(
        self, X: Any, y: Any, *, background: Any, covariates: list[str] | None, species: list[str] | None
    ) -> Given:
        """Checks what `fit` was given, and names the species.

        Raises:
            InputError: DA403, DA404 for arrays that cannot be used; OC205 without any record.
        """
        X = validate_data(self, X, dtype=np.float64, ensure_min_samples=2)
        counts = as_counts(y, X.shape[0], None if species is None else len(species))
        self.one_species_ = not sparse.issparse(y) and not isinstance(y, tuple) and np.ndim(y) == 1
        names = list(covariates) if covariates is not None else [f"x{i}" for i in range(X.shape[1])]
        if len(names) != X.shape[1]:
            raise InputError(
                "DA404", "covariates", f"{len(names)} names for {X.shape[1]} columns", "pass one name per column"
            )
        cells = np.empty((0, X.shape[1])) if background is None else np.asarray(background, dtype=np.float64)
        if cells.ndim != 2 or cells.shape[1] != X.shape[1]:
            raise InputError(
                "DA404", "background", f"shape {cells.shape}, expected (U, {X.shape[1]})", "pass the columns of X"
            )
        records = np.asarray(counts.sum(axis=0)).ravel()
        if not records.sum() > 0:
            raise InputError("OC205", "y", "holds no record", "pass at least one presence")
        occupied = int((np.asarray(counts.sum(axis=1)).ravel() > 0).sum())
        self.species_ = list(species) if species is not None else [f"species {j}" for j in range(counts.shape[1])]
        return Given(X, counts, cells, names, records, occupied)

    @staticmethod
    def weigh_background(config: Any, asked: str, given: Given) -> tuple[BackgroundChoice | None, float]:
        """Which background is meant (None: to be validated), and the share of uniform cells that smoothing gives.

        Args:
            config: Holds `smoothing` and `uniform_share`.
            asked: The background asked for, see `ecotone.species.background.decide`.
            given: What `read` gave.
        """
        some = int((given.records > 0).sum())
        undefined = undefined_target_group(given.occupied, len(given.sites), some)
        has_cells = len(given.cells) > 0
        base = smoothing_share(config.smoothing or 0.0, given.occupied) if has_cells else 0.0
        return decide(asked, config.uniform_share, base, undefined=undefined, has_uniform=has_cells), base

    def log_intensity(self, X: Array, *, unseen: Unseen = "error", precision: str = "float32") -> Array:
        """(N, P) covariates -> (M, N, S) f, up to a constant per member and species; each row from itself alone."""
        raise NotImplementedError

    # -------------------------------------------------------------------------------------------- calibration
    def calibrate(
        self,
        X: Array,
        counts: sparse.csr_array,
        cells: Array,
        share: float,
        *,
        site_log_weight: Array,
        cell_log_weight: Array,
        background_cells: float | None,
    ) -> None:
        """Fixes the free constants on the background in use and sets the two thresholds.

        Args:
            X: (N, P) sites.
            counts: (N, S) their records.
            cells: (U, P) uniform cells.
            share: Share of the background weight on them.
            site_log_weight: (N,).
            cell_log_weight: (U,).
            background_cells: How many cells a uniform background stands for; U by default.
        """
        parts, weights = [], []
        if share < 1:
            w = np.exp(site_log_weight)
            parts.append(X)
            weights.append((1 - share) * w / w.sum())
        if share > 0:
            w = np.exp(cell_log_weight)
            parts.append(cells)
            weights.append(share * w / w.sum())
        records = np.asarray(counts.sum(axis=0)).ravel()
        amount = cells_of_background(len(X), len(cells), share, background_cells)
        weight = np.concatenate(weights)
        f = self.log_intensity(np.concatenate(parts), unseen="baseline")
        self.calibration_ = Calibration.fit(f, weight, records, cells=amount)
        background = self.calibration_.combine(self.calibration_.log_relative(f))
        at_sites = background[: len(X)] if share < 1 else self._log_relative_mean(X)
        present = counts.toarray() > 0
        low = np.asarray(tenth_percentile_threshold(at_sites, present))
        high = np.asarray(self._max_tss(at_sites, present, background, weight))
        self.calibration_ = replace(self.calibration_, tenth_percentile=low, max_tss=high)

    @staticmethod
    def _max_tss(at_sites: Array, present: Array, background: Array, weight: Array) -> Array:
        """(S,) thresholds separating each species' presences from the whole background, as with presence-only data."""
        thresholds = np.full(present.shape[1], np.nan)
        for j in range(present.shape[1]):
            own = at_sites[present[:, j], j]
            scores = np.concatenate([own, background[:, j]])
            labels = np.concatenate([np.ones(len(own)), np.zeros(len(background))])
            weights = np.concatenate([np.ones(len(own)), weight])
            thresholds[j] = max_tss_threshold(scores, labels, weights)[0]
        return thresholds

    # -------------------------------------------------------------------------------------------- use
    def _log_relative_mean(self, X: Array) -> Array:
        return self.calibration_.combine(self.calibration_.log_relative(self.log_intensity(X)))

    def log_relative(self, X: Any, *, unseen: Unseen = "error", precision: str = "float32") -> Array:
        """(M, N, S) log intensity of each member relative to the background mean.

        Args:
            X: (N, P) covariates.
            unseen: What an unseen category does, see `FeatureMap.transform`.
            precision: Arithmetic of hidden layers, "float32" or "bfloat16".
        """
        check_is_fitted(self, "calibration_")
        X = validate_data(self, X, dtype=np.float64, reset=False)
        return self.calibration_.log_relative(self.log_intensity(X, unseen=unseen, precision=precision))

    def log_relative_of(self, X: Array, species: Sequence[int], *, unseen: Unseen = "error") -> Array:
        """(M, N, s) as `log_relative`, of some species: what is held at once does not grow with N times all S.

        Args:
            X: (N, P) covariates.
            species: s columns.
            unseen: What an unseen category does, see `FeatureMap.transform`.
        """
        members, every = self.calibration_.log_mean.shape
        step = max(_ANSWERS // (members * every), 1)
        parts = [self.log_relative(X[k : k + step], unseen=unseen)[:, :, list(species)] for k in range(0, len(X), step)]
        return np.concatenate(parts, axis=1)

    def decision_function(self, X: Any) -> Array:
        """(N, S) log relative intensity of the ensemble, or (N,) when `y` had one dimension; 0 is the background's mean."""
        log_relative = self.log_relative(X)
        return self._shape(self.calibration_.combine(log_relative))

    def predict(self, X: Any, *, output: str = "cloglog") -> Array:
        """Suitability.

        Args:
            X: (N, P) covariates.
            output: "raw", "relative", "cloglog", "logistic", "cumulative" or "expected_count".

        Returns:
            (N, S), or (N,) when `y` had one dimension.
        """
        _check_output(output)
        log_relative = self.log_relative(X)
        return self._shape(self.calibration_.scale(self.calibration_.combine(log_relative), output))

    def predict_spread(self, X: Any, *, output: str = "cloglog") -> Array:
        """(N, S) standard deviation of the answer over members; zeros for one member."""
        _check_output(output)
        log_relative = self.log_relative(X)
        return self._shape(self.calibration_.scale(log_relative, output).std(0))

    def score(self, X: Any, y: Any) -> float:
        """Mean over species of the AUC of sites with a record against those without."""
        from ecotone.stats.ranking import auc

        check_is_fitted(self, "calibration_")
        counts = as_counts(y, len(X), len(self.species_)).toarray() > 0
        scores = self.calibration_.combine(self.log_relative(X))
        values = auc(scores, counts)
        return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")

    def _shape(self, values: Array) -> Array:
        return values[:, 0] if self.one_species_ else values


def as_counts(y: Any, n_sites: int, n_species: int | None) -> sparse.csr_array:
    """Counts in any accepted form -> (N, S) CSR float32.

    Raises:
        InputError: DA404 for shapes or indices that do not fit, DA403 for negative or not finite counts.
    """
    if isinstance(y, tuple):
        if len(y) != 3 or len({len(part) for part in y}) != 1:
            raise InputError(
                "DA404", "y", "triples need three arrays of one length", "pass (site row, species index, count)"
            )
        rows, columns, values = (np.asarray(part) for part in y)
        width = n_species or (int(columns.max()) + 1 if len(columns) else 1)
        inside = (rows >= 0).all() and (rows < n_sites).all() and (columns >= 0).all() and (columns < width).all()
        if not inside:
            raise InputError("DA404", "y", "an index lies outside the sites or species", "count from 0")
        counts = sparse.csr_array((values.astype(np.float32), (rows, columns)), shape=(n_sites, width))
    elif sparse.issparse(y):
        counts = sparse.csr_array(y, dtype=np.float32)
    else:
        if y is None:
            raise InputError(
                "DA404", "y", "this estimator requires y to be passed, but the target y is None", "pass the records"
            )
        try:
            dense = np.asarray(y, dtype=np.float32)
        except (TypeError, ValueError):
            raise InputError("DA404", "y", "Unknown label type: records must be numbers", "pass counts") from None
        if dense.ndim not in (1, 2):
            raise InputError("DA404", "y", f"has {dense.ndim} dimensions", "pass (N,) or (N, S) counts")
        counts = sparse.csr_array(dense.reshape(len(dense), -1))
    if counts.shape[0] != n_sites or (n_species is not None and counts.shape[1] != n_species):
        raise InputError(
            "DA404", "y", f"shape {counts.shape} for {n_sites} sites and {n_species} species", "pass one row per site"
        )
    if not np.isfinite(counts.data).all() or (counts.data < 0).any():
        raise InputError("DA403", "y", "counts are negative, NaN or infinite", "pass numbers of records")
    counts.eliminate_zeros()
    counts.sum_duplicates()
    return counts


def _check_output(output: str) -> None:
    if output not in UNITS:
        raise UsageError("US101", output, "no such output scale", suggest(output, UNITS))
