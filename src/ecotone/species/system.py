"""A species distribution model from files to maps: data, answers, evidence. How it learns is its system's own.

What needs torch is imported where it is used, so that a command line with a typing error is answered at once.
Letters: M members, N sites, P covariates, S species, V variants.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from ecotone.abilities import CovariateSpec, MapProduct
from ecotone.contract import Evidence, Prediction, Scores, System
from ecotone.data.rasters import RasterStack
from ecotone.errors import EcotoneWarning, InputError, UsageError, suggest
from ecotone.explain.applicability import AreaOfApplicability
from ecotone.explain.extrapolation import SampledConditions
from ecotone.files.fingerprint import cache_key
from ecotone.species.options import Ask, Inputs, Query

if TYPE_CHECKING:
    import pandas as pd

    from ecotone.data.site_store import SiteStore
    from ecotone.species.estimator import SpeciesEstimator
    from ecotone.species.prepare import Prepared

Array = np.ndarray
STORE = "sites"  # where a run packs tables of sites
ANSWERS = 20_000_000  # numbers of all members and species that are held at a time
LEAST_ROWS = 1024
IN_MEMORY = 50_000_000  # numbers of a store that are read whole


@dataclass(frozen=True)
class Variant:
    """How a refit departs from the fit.

    Attributes:
        seed: Its own randomness, where the method has any.
        uniform_share: Share of the background weight on uniform cells.
        rows: Sites with records that it sees; all by default.
        hidden: A covariate it must do without.
    """

    seed: int
    uniform_share: float
    rows: Array | None = None
    hidden: str | None = None


class SpeciesSystem(System):
    """Base of the species distribution models.

    A subclass says how it learns (`new_estimator`, `refit`) and what it stores (`tensors`, `restore`, `shapes`). `sampled` and
    `applicability` tell where its answers can be trusted.
    """

    Inputs: ClassVar[Any] = Inputs
    Query: ClassVar[Any] = Query
    Ask: ClassVar[Any] = Ask
    limits: ClassVar[dict[str, float]] = {}
    member_name: ClassVar[str] = "ensemble member"

    estimator: Any  # a SpeciesEstimator of the method
    sampled: SampledConditions
    applicability: AreaOfApplicability | None = None
    data: Prepared | None = None
    stored_inputs: dict[str, Any]
    _told: frozenset[tuple[str, int]] = frozenset()

    # -------------------------------------------------------------------------------------------- what a method adds
    def new_estimator(self, options: dict[str, Any]) -> Any:
        """An unfitted `SpeciesEstimator` with these options."""
        raise NotImplementedError

    def check(self) -> None:
        """Refuses options that cannot work here before anything is read."""

    def refit(self, ready: Prepared, variants: Sequence[Variant], *, label: str) -> Callable[[Array], Array]:
        """Learns variants of the fitted model, all at once.

        Returns:
            (N, P) covariates -> (V, N, S) log-intensity, up to a constant per variant and species.
        """
        raise NotImplementedError

    @property
    def members(self) -> int:
        """M, how many models answer together."""
        raise NotImplementedError

    def own_evidence(self, ready: Prepared, shown: Sequence[int]) -> list[Evidence]:
        """Evidence that only this method has; `shown` are the species with pictures of their own."""
        return []

    def card_lines(self) -> list[str]:
        """What the model card says of the method, Markdown: a sentence, then list items."""
        raise NotImplementedError

    def tensors(self) -> dict[str, Array]:
        """What is learnt, for model.safetensors."""
        raise NotImplementedError

    def notes(self) -> dict[str, Any]:
        """What else must be stored of the method, plain JSON types."""
        return {}

    @classmethod
    def shapes(cls, config: dict[str, Any], preprocessing: dict[str, Any]) -> dict[str, tuple[int, ...]]:
        """Tensor name -> shape that the weights file must have."""
        raise NotImplementedError

    def restore(self, estimator: SpeciesEstimator, tensors: dict[str, Array], notes: dict[str, Any]) -> None:
        """Puts what was stored into an estimator that already has its features, species and options."""
        raise NotImplementedError

    # -------------------------------------------------------------------------------------------- fit
    def input_files(self, inputs: Any) -> list[Path]:
        """The files `fit` will read."""
        from ecotone.species.prepare import input_files

        return input_files(inputs)

    def fit(self, data: Any, *, validation: Any = None, run: Any = None) -> Self:
        """Learns from records and rasters.

        Args:
            data: `Inputs`, a mapping of its fields, or `Prepared`.
            validation: Not used; what is validated is validated on blocks of the records.
            run: Run folder; long training then keeps checkpoints there and resumes.

        Raises:
            InputError: For data that cannot be used; DA405 when target group is asked for but undefined.
            UsageError: US104 for options that cannot work here.
        """
        self.check()
        if not hasattr(data, "counts"):
            data = data if isinstance(data, Inputs) else Inputs.parse(data)
            if data.check().sites is not None:
                return self._fit_store(data, run)
        ready = self._prepare(data)
        options = self.config.model_dump()
        if ready.inputs.bias is not None and options["background"] in (None, "auto"):
            options["background"] = "uniform"
        estimator = self.new_estimator(options)
        estimator.fit(
            ready.sites,
            ready.counts,
            background=ready.background,
            site_weight=ready.site_weight,
            background_weight=ready.background_weight,
            coordinates=ready.xy,
            geographic=ready.geographic,
            covariates=list(ready.covariates),
            levels=ready.levels,
            species=list(ready.species),
            background_cells=float(ready.valid_cells),
            folder=None if run is None else run.path,
            fingerprint={
                "data": cache_key(sites=ready.sites, counts=ready.counts.toarray(), background=ready.background),
                **{key: str(value) for key, value in self.config.model_dump().items()},
            },
            progress=self.progress,
        )
        self._take(estimator, ready)
        return self

    def _fit_store(self, inputs: Inputs, run: Any) -> Self:
        from ecotone.species.from_store import of_store, open_sites, sampled

        with open_sites(inputs, None if run is None else run.path / STORE) as store:
            inputs = of_store(inputs, store)
            ready = sampled(store, inputs, seed=self.config.seed)
            estimator = self.new_estimator(self.config.model_dump())
            self.learn_store(estimator, store, None if run is None else run.path)
        self._take(estimator, ready)
        return self

    def learn_store(self, estimator: Any, store: SiteStore, folder: Path | None) -> None:
        """Fits the estimator to a store: here in memory, where it is small enough.

        Raises:
            UsageError: US105 for a store of more than `IN_MEMORY` numbers.
        """
        size = store.n_sites * len(store.covariates)
        if size > IN_MEMORY:
            what = f"{self.name} solves in memory, and {store.n_sites:,} sites are too many for that"
            raise UsageError("US105", "sites", what, "use deepmaxent, which streams them, or a sample of the sites")
        part = store.sample(store.n_sites)
        cells, weight = store.background()
        estimator.fit(
            part.covariates.astype(np.float64),
            part.counts,
            background=cells.astype(np.float64),
            site_weight=None if part.log_weight is None else np.exp(part.log_weight),
            background_weight=np.exp(weight) if len(cells) else None,
            covariates=list(store.covariates),
            levels=dict(store.levels),
            species=list(store.species),
            folder=folder,
            progress=self.progress,
        )

    def _prepare(self, data: Any) -> Prepared:
        from ecotone.species.prepare import Prepared, prepare

        if isinstance(data, Prepared):
            return data
        inputs = data if isinstance(data, Inputs) else Inputs.parse(data)
        if inputs.sites is not None:
            from ecotone.species.from_store import open_sites, sampled

            with open_sites(inputs.check(), None) as store:
                return sampled(store, inputs, seed=self.config.seed)
        return prepare(inputs, seed=self.config.seed)

    def _take(self, estimator: SpeciesEstimator, ready: Prepared) -> None:
        from ecotone.species.trust import area_of_applicability

        self.estimator, self.data = estimator, ready
        share = estimator.background_.uniform_share
        seen = [ready.sites] if share < 1 else []
        seen += [ready.background] if share > 0 else []
        self.sampled = SampledConditions.fit(np.concatenate(seen), ready.covariates, tuple(ready.levels))
        self.applicability = area_of_applicability(estimator, ready, self.config.seed)
        self.stored_inputs = _plain_inputs(ready.inputs)

    @property
    def species(self) -> list[str]:
        """S species names."""
        return self.estimator.species_

    @property
    def covariates(self) -> tuple[str, ...]:
        """P covariate names."""
        return self.estimator.features_.covariates

    def training_data(self) -> Prepared:
        """The data of `fit`, read again when the system was loaded from a folder."""
        if self.data is None:
            if not self.stored_inputs:
                raise InputError("IO101", "inputs", "the model was fitted from data in memory", "pass the inputs again")
            self.data = self._prepare(self.stored_inputs)
        return self.data

    def training_covariates(self) -> RasterStack:
        """The rasters of `fit`, in the model's order.

        Raises:
            InputError: RA303 when the model was fitted from data in memory.
        """
        from ecotone.species import evaluation

        return evaluation.covariates_of(self, [], None)

    # -------------------------------------------------------------------------------------------- predict
    def predict(self, data: Any, **ask: Any) -> Prediction:
        """Suitability at points or for a table of covariates.

        Args:
            data: `Query` or a mapping of its fields (`points`, `covariates`), or an (N, P) array in the model's order.
            **ask: Fields of `Ask`.

        Returns:
            Array named after the output scale, (N, S'), nan where a covariate is missing; x and y of the points; and what
            `ask` adds.
        """
        from ecotone.species import evaluation
        from ecotone.species.outputs import UNITS

        asked = Ask.parse(ask)
        species = self.species_index(asked.species)
        arrays: dict[str, Array] = {}
        if isinstance(data, np.ndarray):
            values, valid = np.asarray(data, dtype=np.float64), np.isfinite(data).all(1)
        else:
            points = evaluation.read_query(self, data if isinstance(data, Query) else Query.parse(data))
            arrays |= {"x": points.x, "y": points.y}
            values, valid = points.values, points.valid
        units = {}
        products = self.map_products(**ask)
        answers = self.window(values[valid], **ask) if valid.any() else [np.empty((0, len(p.bands))) for p in products]
        for product, answer in zip(products, answers, strict=True):
            name = product.suffix or asked.output
            whole = np.full((len(values), answer.shape[1]), np.nan)
            whole[valid] = answer
            if name in ("top", "extrapolation-by"):
                codes = np.nan_to_num(whole[:, 0], nan=-1.0).astype(int).tolist()
                arrays[name] = np.array([product.legend.get(code, "") for code in codes], dtype=object)
            else:
                unit = UNITS[asked.output] if name == asked.output else product.unit
                parts = {name: whole} if product.bands[0] in self.species else {name: whole[:, 0]}
                if parts[name].ndim == 1 and len(product.bands) > 1:
                    parts = {f"{name}:{band}": whole[:, k] for k, band in enumerate(product.bands)}
                arrays |= parts
                units |= dict.fromkeys(parts, unit)
        return Prediction(arrays, units, tuple(self.species[j] for j in species))

    def species_index(self, wanted: Sequence[str]) -> list[int]:
        """Columns of the named species, of all when none is named.

        Raises:
            UsageError: US101 for a name the model does not know.
        """
        for name in wanted:
            if name not in self.species:
                raise UsageError("US101", name, "the model has no such species", suggest(name, self.species))
        return [self.species.index(name) for name in wanted] or list(range(len(self.species)))

    # -------------------------------------------------------------------------------------------- maps
    def map_covariates(self) -> tuple[CovariateSpec, ...]:
        """The rasters a map needs."""
        features = self.estimator.features_
        return tuple(CovariateSpec(name, features.levels.get(name)) for name in features.covariates)

    def map_products(self, **ask: Any) -> tuple[MapProduct, ...]:
        """Suitability, and whatever else was asked for."""
        from ecotone.species import maps

        return maps.products(self, Ask.parse(ask))

    def window(self, covariates: Array, **ask: Any) -> tuple[Array, ...]:
        """(N, P) covariates of valid pixels -> one (N, bands) array per product; categories never seen give the baseline."""
        from ecotone.species import maps

        self._tell_unseen(covariates)
        asked = Ask.parse(ask)
        step = max(LEAST_ROWS, ANSWERS // (self.members * len(self.species)))
        if len(covariates) <= step:
            return maps.window(self, covariates, asked)
        # thousands of species: a few rows at a time, so that memory does not grow with the window
        parts = [maps.window(self, covariates[i : i + step], asked) for i in range(0, len(covariates), step)]
        return tuple(np.concatenate(product) for product in zip(*parts, strict=True))

    def change_products(self, **ask: Any) -> tuple[MapProduct, ...]:
        """What a map of another climate adds when turnover is asked for."""
        from ecotone.species import maps

        return maps.change_products(self, Ask.parse(ask))

    def window_change(self, covariates: Array, baseline: Array, **ask: Any) -> tuple[Array, ...]:
        """(N, P) covariates now and before -> one (N, bands) array per product of `change_products`."""
        from ecotone.species import maps

        return maps.window_change(self, covariates, baseline, Ask.parse(ask))

    def _tell_unseen(self, covariates: Array) -> None:
        """Warns of labels that training did not know, once each."""
        features = self.estimator.features_
        for name, levels in features.levels.items():
            column = covariates[:, features.covariates.index(name)]
            odd = {(name, int(v)) for v in np.unique(column[~np.isin(column, levels)])} - self._told
            if odd:
                self._told |= odd
                shown = ", ".join(str(v) for _, v in sorted(odd)[:8])
                what = f"category {shown} was not seen in training, such cells get the answer of no category"
                fix = f"check that {name} means the same as in fit, or fit with rasters that hold it"
                warnings.warn(EcotoneWarning("DA402", name, what, fix), stacklevel=3)

    # -------------------------------------------------------------------------------------------- evidence
    def explain(self, data: Any = None, *, target: Any = None, **ask: Any) -> list[Evidence]:
        """Response curves, importance, extrapolation, effort.

        Args:
            data: As for `fit`; the training data by default.
            target: A species, or None for all (curves then for the most recorded ones).
            **ask: Fields of `Ask`; `output` sets the scale of the curves.
        """
        from ecotone.species import evidence

        ready = self.training_data() if data is None else self._prepare(data)
        if target is not None:
            self.species_index([target])
        return evidence.explain(self, ready, target=target, ask=Ask.parse(ask))

    def tables(self) -> dict[str, pd.DataFrame]:
        """Thresholds of all species, overlap of all pairs, breadths."""
        from ecotone.explain.depth import case_tables
        from ecotone.species import evidence

        ready = self.training_data()
        return case_tables(evidence.case_of(self, ready, evidence.picture_of(ready)), seed=self.config.seed)

    def evaluate(self, data: Any = None) -> Scores:
        """Scores the model.

        Args:
            data: None for block-wise cross-validation on the training records (with a random split beside it); a `Query`
                whose points hold presences and absences for an independent test.
        """
        from ecotone.species import evaluation

        if data is None:
            return evaluation.cross_validate(self, self.training_data())
        return evaluation.on_surveys(self, data if isinstance(data, Query) else Query.parse(data))

    # -------------------------------------------------------------------------------------------- storing
    def save(self, folder: Path) -> None:
        """Writes model.safetensors, config.json, preprocessing.json and card.md."""
        from ecotone.species import storage

        storage.write(self, folder)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Reads what `save` wrote.

        Raises:
            InputError: IO101 for missing files.
            IntegrityError: IN101, IN102 for anything that is not a model of this system within the limits.
        """
        from ecotone.species import storage

        return storage.read(cls, folder)


def _plain_inputs(inputs: Inputs) -> dict[str, Any]:
    """The inputs as JSON, empty when they were given in memory."""
    values = inputs.model_dump()
    if values["sites"] is None and not isinstance(values["occurrences"], str | Path):
        return {}
    if not all(isinstance(c, str | Path) for c in values["covariates"]):
        return {}
    plain = {k: str(v) if isinstance(v, Path) else v for k, v in values.items()}
    plain["covariates"] = [str(c) for c in values["covariates"]]
    return plain
