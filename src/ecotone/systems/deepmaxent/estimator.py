"""DeepMaxent on arrays: a scikit-learn estimator, no files.

Letters: N sites, P covariates, S species, U background sites, M members.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from ecotone.data.features import FeatureMap, Unseen
from ecotone.errors import EcotoneWarning
from ecotone.files.fingerprint import cache_key
from ecotone.mapping.pixelwise import in_fixed_chunks
from ecotone.species.background import (
    BackgroundChoice,
    site_log_weight,
)
from ecotone.species.estimator import SpeciesEstimator
from ecotone.systems.deepmaxent.choose import ShareTrial, choose_share
from ecotone.systems.deepmaxent.config import Config
from ecotone.systems.deepmaxent.engine import Member, Sites, train_stack
from ecotone.systems.deepmaxent.network import StackedNetwork

Array = np.ndarray
PIECE = {"float32": 512, "bfloat16": 4096}  # rows whose hidden layers stay in the cache of a processor


class DeepMaxent(SpeciesEstimator):
    """Many-species distribution model from presence-only records.

    Options are those of `ecotone.systems.deepmaxent.config.Config`, where each is explained; None means "as the preset
    says". Fitted attributes: `features_` (FeatureMap), `network_`, `calibration_`, `background_` (BackgroundChoice),
    `trial_` (validation of background shares, or None), `species_` (names), `n_features_in_`.

    Examples:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> X = rng.normal(size=(300, 2))
        >>> Y = rng.poisson(np.exp(X))
        >>> model = DeepMaxent(epochs=20, members=1).fit(X, Y)
        >>> model.predict(X[:5]).shape
        (5, 2)
    """

    features_: FeatureMap
    n_features_in_: int

    def __init__(
        self,
        *,
        preset: str = "ecotone",
        loss: str = "maxent",
        background: str | None = None,
        uniform_share: float = 0.3,
        smoothing: float | None = None,
        normaliser: str = "batch",
        features: tuple[str, ...] | None = None,
        hinges: int = 10,
        width: int | None = None,
        blocks: int | None = None,
        dropout: float | None = None,
        learning_rate: float | None = None,
        schedule: str | None = None,
        weight_decay: float | None = None,
        epochs: int | None = None,
        batch_size: int | None = None,
        even_batches: bool | None = None,
        min_steps: int | None = None,
        background_batch: int = 125,
        species_weight: float = 0.0,
        members: int | None = None,
        seed: int = 0,
        device: str = "auto",
        devices: int = 1,
    ) -> None:
        self.preset = preset
        self.loss = loss
        self.background = background
        self.uniform_share = uniform_share
        self.smoothing = smoothing
        self.normaliser = normaliser
        self.features = features
        self.hinges = hinges
        self.width = width
        self.blocks = blocks
        self.dropout = dropout
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.weight_decay = weight_decay
        self.epochs = epochs
        self.batch_size = batch_size
        self.even_batches = even_batches
        self.min_steps = min_steps
        self.background_batch = background_batch
        self.species_weight = species_weight
        self.members = members
        self.seed = seed
        self.device = device
        self.devices = devices

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
            y: Records per site: (N, S) counts, dense or scipy.sparse; (N,) for one species; or a tuple of three (R,) arrays
                (site row, species index, count).
            background: (U, P) covariates of random valid cells, or None.
            site_weight: (N,) relative weight of a site as background (effort, thinning, area).
            background_weight: (U,) relative weight of background cells (area).
            coordinates: (N, 2) positions of the sites, for blocked validation; without them background=auto keeps the
                target group.
            geographic: The coordinates are degrees of longitude and latitude.
            covariates: P names, used in messages and evidence.
            levels: Covariate name -> levels, for categorical covariates.
            species: S names.
            background_cells: How many valid cells a uniform background stands for; U by default.
            folder: Keep checkpoints here; calling again with the same data and options resumes.
            fingerprint: What else the run rests on, such as hashes of input files; resuming with other data, options or
                fingerprint is refused.
            progress: Show a progress bar.

        Returns:
            The fitted estimator.

        Raises:
            InputError: DA402, DA403, DA404, DA405 for arrays that cannot be used; OC205 without any record.
            UsageError: US101, US104 for options.
        """
        config = Config.parse(self.get_params()).resolved()
        given = self.read(X, y, background=background, covariates=covariates, species=species)
        X, counts, cells, names = given.sites, given.counts, given.cells, given.names
        choice, base = self.weigh_background(config, config.background or "auto", given)

        self.features_ = FeatureMap.fit(
            cells if len(cells) else X, names, levels=levels, kinds=config.features or ("linear",), hinges=config.hinges
        )
        for name in self.features_.constant:
            problem = EcotoneWarning("DA401", name, "is constant over the background", "it is left out; check the file")
            _warn(problem)
        sites = Sites(
            self.features_.transform(X),
            counts,
            site_log_weight(site_weight, "site_weight", X.shape[0]),
            self.features_.transform(cells, unseen="baseline"),
            site_log_weight(background_weight, "background_weight", len(cells)),
        )
        self.trial_: ShareTrial | None = None
        if choice is None:
            choice, self.trial_ = choose_share(
                sites, config, coordinates, base, geographic=geographic, progress=progress
            )
        self.background_: BackgroundChoice = choice
        self.config_ = config
        members = [
            Member(seed=config.seed * 1000 + k, uniform_share=choice.uniform_share) for k in range(config.members or 1)
        ]
        if folder is not None:
            records_at = (counts.indptr, counts.indices, counts.data)
            weights = (sites.log_weight, sites.uniform_log_weight)
            arrays = cache_key(X=X, y=records_at, background=cells, weights=weights, features=self.features_.to_dict())
            options = {key: str(value) for key, value in config.model_dump().items()}
            fingerprint = options | {"arrays": arrays, "background used": str(choice)} | (fingerprint or {})
        self.network_: StackedNetwork = train_stack(
            sites, members, config, folder=folder, fingerprint=fingerprint, progress=progress
        )
        self.calibrate(
            X,
            counts,
            cells,
            choice.uniform_share,
            site_log_weight=sites.log_weight,
            cell_log_weight=sites.uniform_log_weight,
            background_cells=background_cells,
        )
        return self

    def fit_store(
        self,
        store: Any,
        *,
        sample: int = 20_000,
        geographic: bool = False,
        background_cells: float | None = None,
        folder: Path | None = None,
        fingerprint: dict[str, str] | None = None,
        progress: bool = False,
    ) -> Self:
        """Learns from a site store, in memory that does not depend on its number of sites.

        Training reads every site. Features, calibration and thresholds are estimated from a seeded sample; where it covers
        the whole store, they are those of `fit`. Levels, species, weights, coordinates and background are the store's.

        Args:
            store: `ecotone.SiteStore` or its folder.
            sample: Sites, and background cells, of the sample.
            geographic: The store's coordinates are degrees of longitude and latitude.
            background_cells: How many valid cells a uniform background stands for; those of the store by default.
            folder: Keep checkpoints here; calling again with the same store and options resumes.
            fingerprint: What else the run rests on, as in `fit`.
            progress: Show a progress bar.

        Returns:
            The fitted estimator.

        Raises:
            IntegrityError: IN105 for a damaged store, IN103 for one that changes meanwhile or since the run began.
            InputError: As `fit`.
            UsageError: US105 for normaliser=full, US101, US104 for options.
        """
        from ecotone.systems.deepmaxent.store_fit import fit_store

        fit_store(
            self,
            store,
            sample=sample,
            geographic=geographic,
            background_cells=background_cells,
            folder=folder,
            fingerprint=fingerprint,
            progress=progress,
        )
        return self

    # -------------------------------------------------------------------------------------------- use
    def log_intensity(self, X: Array, *, unseen: Unseen = "error", precision: str = "float32") -> Array:
        """(N, P) covariates -> (M, N, S) f; calls of one shape, so that a row's answer is its own.

        Args:
            X: Covariates.
            unseen: What an unseen category does, see `FeatureMap.transform`.
            precision: "float32", or "bfloat16" between hidden layers: faster on processors that have it, less exact.
        """
        network, features, piece = self.network_.predictor(precision), self.features_, PIECE[precision]

        def run(rows: Array) -> Array:
            f = torch.from_numpy(features.transform(rows, unseen=unseen))
            parts = [network(f[i : i + piece]) for i in range(0, len(f), piece)]
            return torch.cat(parts, dim=1).transpose(0, 1).numpy()  # (rows, M, S)

        X = np.asarray(X, dtype=np.float64)
        with single_thread() as threads:
            return in_fixed_chunks(run, X, threads=threads).transpose(1, 0, 2)

    def log_relative_of(self, X: Array, species: Sequence[int], *, unseen: Unseen = "error") -> Array:
        """(M, N, s) log relative intensity of some species; the others' outputs are not computed.

        Args:
            X: (N, P) covariates.
            species: s columns.
            unseen: What an unseen category does, see `FeatureMap.transform`.
        """
        from ecotone.systems.deepmaxent.store_fit import outputs_of

        f = outputs_of(self.network_, self.features_.transform(X, unseen=unseen), species)
        return f.astype(np.float64) - self.calibration_.log_mean[:, None, list(species)]


@contextmanager
def single_thread() -> Iterator[int]:
    """Lets torch use one thread, and gives how many it may use otherwise.

    Chunks side by side are faster than threads within one, and the answer does not depend on their number.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield threads
    finally:
        torch.set_num_threads(threads)


def _warn(problem: EcotoneWarning) -> None:
    import warnings

    warnings.warn(problem, stacklevel=3)
