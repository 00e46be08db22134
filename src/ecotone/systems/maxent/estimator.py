"""Maxent on arrays: a scikit-learn estimator, no files.

Maximum entropy modelling of species (Phillips, Anderson and Schapire 2006; regularisation and feature classes of Phillips and
Dudik 2008): one log-linear density per species over its background, solved to a certified optimum, all species at once.

Letters: N sites, P covariates, S species, U background cells, M members, F features.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ecotone.data.features import FeatureMap, Unseen
from ecotone.errors import EcotoneWarning, InputError
from ecotone.species.background import site_log_weight
from ecotone.species.estimator import SpeciesEstimator
from ecotone.systems.maxent.assemble import Sites, Variant, bootstrap_counts, solve_variants
from ecotone.systems.maxent.config import Config
from ecotone.systems.maxent.lookup import Lookup
from ecotone.systems.maxent.regularisation import EVERY, feature_classes
from ecotone.systems.maxent.solve import Solution
from ecotone.systems.maxent.tune import Tuning, choose

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray


class Maxent(SpeciesEstimator):
    """Many-species Maxent from presence-only records.

    Options are those of `ecotone.systems.maxent.config.Config`, where each is explained. Fitted attributes beside those of
    `SpeciesEstimator`: `beta_` (M, S, F) coefficients, `solution_` (what the solver certifies, M * S problems), `lookup_`,
    `tuning_` (candidates and choice, or None); `config_` holds the options in use, tuned ones included.

    Examples:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> X = rng.normal(size=(300, 2))
        >>> Y = rng.poisson(np.exp(X))
        >>> model = Maxent().fit(X, Y, background=rng.normal(size=(1000, 2)))
        >>> model.predict(X[:5]).shape, bool(model.solution_.converged.all())
        ((5, 2), True)
    """

    beta_: Array
    solution_: Solution
    lookup_: Lookup
    tuning_: Tuning | None

    def __init__(
        self,
        *,
        features: str | tuple[str, ...] = "auto",
        multiplier: float = 1.0,
        tune: bool = False,
        hinges: int = 49,
        thresholds: int = 50,
        knots: str = "even",
        clamp: bool = True,
        background: str = "auto",
        uniform_share: float = 0.3,
        smoothing: float = 0.0,
        members: int = 1,
        tolerance: float = 1e-5,
        max_iterations: int = 100,
        seed: int = 0,
    ) -> None:
        self.features = features
        self.multiplier = multiplier
        self.tune = tune
        self.hinges = hinges
        self.thresholds = thresholds
        self.knots = knots
        self.clamp = clamp
        self.background = background
        self.uniform_share = uniform_share
        self.smoothing = smoothing
        self.members = members
        self.tolerance = tolerance
        self.max_iterations = max_iterations
        self.seed = seed

    # -------------------------------------------------------------------------------------------- fit
    def fit(
        self,
        X: Any,
        y: Any,
        *,
        background: Any = None,
        site_weight: Any = None,
        background_weight: Any = None,
        coordinates: Any = None,
        geographic: bool = False,
        covariates: list[str] | None = None,
        levels: dict[str, tuple[int, ...]] | None = None,
        species: list[str] | None = None,
        background_cells: float | None = None,
        folder: Path | None = None,
        fingerprint: dict[str, str] | None = None,
        progress: bool = False,
    ) -> Self:
        """Learns from sites and their records.

        Args:
            X: (N, P) covariates of the sites, own units.
            y: Records per site: (N, S) counts, dense or scipy.sparse, whole or not; (N,) for one species; or a tuple of three
                (R,) arrays (site row, species index, count).
            background: (U, P) covariates of random valid cells, or None.
            site_weight: (N,) relative weight of a site as background (effort, thinning, area).
            background_weight: (U,) relative weight of background cells (area, effort).
            coordinates: (N, 2) positions of the sites, for the blocks of `tune`; without them the options given are kept.
            geographic: The coordinates are degrees of longitude and latitude.
            covariates: P names, used in messages and evidence.
            levels: Covariate name -> levels, for categorical covariates.
            species: S names.
            background_cells: How many valid cells a uniform background stands for; U by default.
            folder: Not used; nothing takes long enough for checkpoints.
            fingerprint: Not used.
            progress: Not used.

        Returns:
            The fitted estimator.

        Raises:
            InputError: DA402, DA403, DA404, DA405 for arrays that cannot be used; OC205 without any record.
            UsageError: US101, US104 for options.
        """
        del folder, fingerprint, progress
        config = Config.parse(self.get_params())
        given = self.read(X, y, background=background, covariates=covariates, species=species)
        X, counts, cells, names, records = given.sites, given.counts, given.cells, given.names, given.records
        asked = "uniform" if config.background == "auto" and len(cells) else config.background
        choice, _ = self.weigh_background(config, asked, given)
        if choice is None:  # pragma: no cover - only with cells and "auto", excluded above
            raise InputError("DA405", "background", "is not decided", "name one")

        share = choice.uniform_share
        known = cells if share == 1 else X if share == 0 else np.concatenate([X, cells])
        sites = Sites(
            X,
            counts,
            site_log_weight(site_weight, "site_weight", X.shape[0]),
            cells,
            site_log_weight(background_weight, "background_weight", len(cells)),
        )
        self.tuning_ = None
        if config.tune:
            where = {"coordinates": coordinates, "geographic": geographic, "names": names, "levels": levels}
            self.tuning_ = choose(sites, known, config, share, **where)
            config = self.tuning_.applied(config)
        self.features_ = FeatureMap.fit(
            known,
            names,
            levels=levels,
            kinds=_needed(config, records),
            hinges=config.hinges,
            thresholds=config.thresholds,
            placement=config.knots,
            clamp=config.clamp,
        )
        for name in self.features_.constant:
            _warn("DA401", name, "is constant over the background", "it is left out; check the file")
        if not self.features_.names:
            what = "no feature is left: every covariate is constant over the background, or the kinds asked for need another"
            raise InputError("DA404", "covariates", what, "pass covariates that vary, or other features")
        self.trial_ = None
        self.background_, self.config_ = choice, config
        variants = [Variant(share)]
        if config.members > 1:
            rng = np.random.default_rng(config.seed)
            variants = [Variant(share, counts=bootstrap_counts(counts, rng)) for _ in range(config.members)]
        self.adopt(solve_variants(sites, variants, self.features_, config))
        self._warn_open()
        self.calibrate(
            X,
            counts,
            cells,
            share,
            site_log_weight=sites.log_weight,
            cell_log_weight=sites.cell_log_weight,
            background_cells=background_cells,
        )
        return self

    def adopt(self, solution: Solution) -> None:
        """Takes over what a solver found, or what was stored of it, for the features and species at hand."""
        self.solution_ = solution
        self.beta_ = solution.beta.reshape(self.config_.members, len(self.species_), solution.beta.shape[1])
        self.lookup_ = Lookup.build(self.features_, solution.beta)

    def _warn_open(self) -> None:
        solution, shape = self.solution_, self.beta_.shape[:2]
        endless: Array = np.asarray(solution.unbounded.reshape(shape).any(0))
        open_: Array = np.asarray(~solution.converged.reshape(shape).all(0) & ~endless)
        many = len(self.species_)
        if endless.any():
            what = f"{int(endless.sum())} of {many} species have no finite optimum: unpenalised features separate their records"
            _warn("TR502", self._some(endless), what, "use a multiplier above 0 or fewer kinds of features")
        if open_.any():
            gap = float(np.nanmax(solution.gap.reshape(shape)[:, open_]))
            what = f"{int(open_.sum())} of {many} species are not at a certified optimum (gap up to {gap:.2g} nats)"
            _warn("TR502", self._some(open_), what, "raise max_iterations or the multiplier")

    def _some(self, which: Array) -> str:
        named = np.flatnonzero(which)
        return ", ".join(self.species_[j] for j in named[:5]) + (" ..." if len(named) > 5 else "")

    def refit(self, sites: Sites, variants: Sequence[Variant]) -> Callable[[Array], Array]:
        """Solves variants of this model on its features, all at once.

        Args:
            sites: Sites, records and background, as given to `fit`.
            variants: Folds, hidden covariates, other backgrounds, replicates.

        Returns:
            (N, P) covariates -> (V, N, S) log-intensity, up to a constant per variant and species.
        """
        check_is_fitted(self, "beta_")
        solution = solve_variants(sites, variants, self.features_, self.config_)
        lookup = Lookup.build(self.features_, solution.beta)
        shape = (len(variants), sites.counts.shape[1])

        def predict(covariates: Array) -> Array:
            return _by_member(lookup.evaluate(covariates, unseen="baseline"), shape)

        return predict

    # -------------------------------------------------------------------------------------------- use
    def log_intensity(self, X: Array, *, unseen: Unseen = "error", precision: str = "float32") -> Array:
        """(N, P) covariates -> (M, N, S) f, up to a constant per member and species; each row from itself alone."""
        shape = (self.beta_.shape[0], self.beta_.shape[1])
        return _by_member(self.lookup_.evaluate(X, unseen=unseen), shape)

    def coefficients(self) -> pd.DataFrame:
        """The coefficients that are not 0: species, member, feature, kind, coefficient (nats per unit of the feature)."""
        import pandas as pd

        check_is_fitted(self, "beta_")
        member, species, feature = np.nonzero(self.beta_)
        return pd.DataFrame(
            {
                "species": [self.species_[j] for j in species],
                "member": member,
                "feature": [self.features_.names[k] for k in feature],
                "kind": [self.features_.feature_kinds[k] for k in feature],
                "coefficient": self.beta_[member, species, feature],
            }
        )

    def convergence(self) -> pd.DataFrame:
        """What the solver certifies, one row per species and member.

        Columns: species, member, records, features (not 0), iterations, gap (nats above the optimum, at most), residual
        (violation of optimality relative to the penalty), verdict ("certified", "not certified", "no records", or
        "no finite optimum" where features without penalty separate the records).
        """
        import pandas as pd

        check_is_fitted(self, "beta_")
        m, s, _ = self.beta_.shape
        solution = self.solution_
        verdict = np.where(solution.converged, "certified", "not certified").astype(object)
        verdict[solution.unbounded] = "no finite optimum"
        records = np.tile(self.calibration_.records, m)
        return pd.DataFrame(
            {
                "species": self.species_ * m,
                "member": np.repeat(np.arange(m), s),
                "records": records,
                "features": (solution.beta != 0).sum(1),
                "iterations": solution.iterations,
                "gap": solution.gap,
                "residual": solution.residual,
                "verdict": np.where(records > 0, verdict, "no records"),
            }
        )


def _needed(config: Config, records: Array) -> tuple[str, ...]:
    """Kinds of features that some species uses."""
    if config.features != "auto":
        return tuple(kind for kind in config.features if kind != "categorical")
    used = {kind for n in records for kind in feature_classes(float(n))}
    return tuple(kind for kind in EVERY if kind in used)


def _by_member(values: Array, shape: tuple[int, int]) -> Array:
    """(N, M * S) -> (M, N, S)."""
    return values.reshape(len(values), *shape).transpose(1, 0, 2)


def _warn(code: str, where: str, what: str, fix: str) -> None:
    warnings.warn(EcotoneWarning(code, where, what, fix), stacklevel=3)
