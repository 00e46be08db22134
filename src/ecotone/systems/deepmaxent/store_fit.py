"""Fitting the estimator to a site store: training reads every site, what is estimated around it reads a sample.

Letters: N sites of the store, n of the sample, P covariates, F features, S species, U background cells, M members.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from ecotone.data.features import FeatureMap
from ecotone.data.site_store import SiteSample, SiteStore
from ecotone.errors import EcotoneWarning, UsageError
from ecotone.files.fingerprint import cache_key
from ecotone.species.background import BackgroundChoice, decide, smoothing_share, undefined_target_group
from ecotone.species.outputs import Calibration
from ecotone.species.outputs import background_cells as cells_of_background
from ecotone.stats.ranking import max_tss_threshold, tenth_percentile_threshold
from ecotone.systems.deepmaxent.choose import ShareTrial, choose_share
from ecotone.systems.deepmaxent.config import Config
from ecotone.systems.deepmaxent.engine import DENSE_LIMIT, Member, Sites
from ecotone.systems.deepmaxent.network import StackedNetwork
from ecotone.systems.deepmaxent.streaming import refuse_full, train_store

if TYPE_CHECKING:
    from ecotone.systems.deepmaxent.estimator import DeepMaxent

Array = np.ndarray
SAMPLE = 20_000
"""Sites, and background cells, that features, calibration and thresholds are estimated from: their error is then below
1 % of a standard deviation."""

PRESENCES = 500  # per species, for the two thresholds
_BLOCK = 1 << 23  # bytes of one array of the calibration
_ROWS = 4096


def fit_store(
    estimator: DeepMaxent,
    store: SiteStore | str | Path,
    *,
    sample: int = SAMPLE,
    geographic: bool = False,
    background_cells: float | None = None,
    folder: Path | None = None,
    fingerprint: dict[str, str] | None = None,
    progress: bool = False,
) -> None:
    """Fits in place; see `DeepMaxent.fit_store`."""
    config = Config.parse(estimator.get_params()).resolved()
    refuse_full(config)
    if sample < 2:
        raise UsageError("US104", "sample", f"must be at least 2, got {sample}", "give 2 or more sites")
    if not isinstance(store, SiteStore):
        store = SiteStore(store)
    store.verify()
    part = store.sample(sample, config.seed)
    cells, cell_weight = store.background(sample, config.seed)
    features = _features(store, part, cells, config)
    sites = Sites(
        features.transform(part.covariates),
        part.counts,
        np.zeros(len(part.rows)) if part.log_weight is None else part.log_weight,
        features.transform(cells, unseen="baseline"),
        cell_weight,
    )
    choice, trial = _background(store, part, sites, config, geographic=geographic, progress=progress)
    members = [
        Member(seed=config.seed * 1000 + k, uniform_share=choice.uniform_share) for k in range(config.members or 1)
    ]
    if folder is not None:
        options = {key: str(value) for key, value in config.model_dump().items()}
        own = {"background used": str(choice), "features fitted": cache_key(features=features.to_dict())}
        fingerprint = options | own | (fingerprint or {})
    network = train_store(store, features, members, config, folder=folder, fingerprint=fingerprint, progress=progress)
    estimator.features_, estimator.network_, estimator.background_, estimator.trial_ = features, network, choice, trial
    estimator.config_, estimator.species_, estimator.one_species_ = config, list(store.species), False
    estimator.n_features_in_ = len(store.covariates)
    share = choice.uniform_share
    estimator.calibration_ = calibrate(store, features, network, sites, part.rows, share, background_cells)


def _features(store: SiteStore, part: SiteSample, cells: Array, config: Config) -> FeatureMap:
    features = FeatureMap.fit(
        cells if len(cells) else part.covariates,
        store.covariates,
        levels=store.levels,
        kinds=config.features or ("linear",),
        hinges=config.hinges,
    )
    for name in features.constant:
        problem = EcotoneWarning("DA401", name, "is constant over the background", "it is left out; check the file")
        warnings.warn(problem, stacklevel=4)
    return features


def _background(
    store: SiteStore, part: SiteSample, sites: Sites, config: Config, *, geographic: bool, progress: bool
) -> tuple[BackgroundChoice, ShareTrial | None]:
    """What the species are compared with; validated on the sample where that is small enough."""
    undefined = undefined_target_group(store.n_occupied, store.n_sites, int((store.records > 0).sum()))
    has_cells = store.n_background > 0
    base = smoothing_share(config.smoothing or 0.0, store.n_occupied) if has_cells else 0.0
    wanted = config.background or "auto"
    choice = decide(wanted, config.uniform_share, base, undefined=undefined, has_uniform=has_cells)
    if choice is not None:
        return choice, None
    if len(part.rows) * len(store.species) > DENSE_LIMIT:
        reason = "the sample of sites times species is too large to validate a mixture on"
        return BackgroundChoice("target_group", base, reason), None
    return choose_share(sites, config, part.xy, base, geographic=geographic, progress=progress)


# ------------------------------------------------------------------------------------------- calibration
def calibrate(
    store: SiteStore,
    features: FeatureMap,
    network: StackedNetwork,
    sites: Sites,
    rows: Array,
    share: float,
    background_cells: float | None = None,
) -> Calibration:
    """The constants that `DeepMaxent.fit` finds on all sites, from a sample: block of species after block.

    Thresholds rest on up to `PRESENCES` records of each species, drawn from the whole store.

    Args:
        store: For the records, and how many sites and cells there are.
        features: What the network sees.
        network: Trained.
        sites: The sample.
        rows: Which sites of the store it holds, ascending.
        share: Share of the background weight on uniform cells.
        background_cells: Valid cells a uniform background stands for.
    """
    parts, weights = [], []
    if share < 1:
        w = np.exp(sites.log_weight)
        parts.append(sites.features)
        weights.append((1 - share) * w / w.sum())
    if share > 0:
        w = np.exp(sites.uniform_log_weight)
        parts.append(sites.uniform)
        weights.append(share * w / w.sum())
    weight = np.concatenate(weights)
    cells = cells_of_background(store.n_sites, store.n_background, share, background_cells)
    hidden = _hidden(network, np.concatenate(parts))  # (M, n, H)
    where, of = presences(store)
    at = _at_records(store, features, network, where, of)  # (M, E)
    place = np.minimum(np.searchsorted(rows, where), len(rows) - 1)
    inside = (rows[place] == where) & (share < 1)
    by_species = np.argsort(of, kind="stable")
    ends = np.searchsorted(of[by_species], np.arange(len(store.species) + 1))
    species, members = len(store.species), network.members
    step = max(_BLOCK // (8 * members * len(weight)), 1)
    found = []
    for start in range(0, species, step):
        block = slice(start, min(start + step, species))
        f = _output(network, hidden, block)
        own = Calibration.fit(f, weight, store.records[block], cells=cells)
        scores = own.combine(own.log_relative(f))  # (n, s)
        low, high = (np.full(scores.shape[1], np.nan) for _ in range(2))
        for j in range(scores.shape[1]):
            mine = by_species[ends[start + j] : ends[start + j + 1]]
            if not len(mine):
                continue
            raw = at[:, mine]
            # a site that is also background must tie with itself, which another matrix product would not keep
            known = inside[mine]
            raw[:, known] = f[:, place[mine[known]], j]
            present = (raw - own.log_mean[:, j, None]).mean(0) - own.log_mean_ensemble[j]
            ones = np.ones(len(present))
            low[j] = tenth_percentile_threshold(present, ones)
            pooled = np.concatenate([present, scores[:, j]])
            truth = np.concatenate([ones, np.zeros(len(scores))])
            high[j] = max_tss_threshold(pooled, truth, np.concatenate([ones, weight]))[0]
        found.append(replace(own, tenth_percentile=low, max_tss=high))
    return Calibration.joined(found)


def presences(store: SiteStore, most: int = PRESENCES, seed: int = 0) -> tuple[Array, Array]:
    """Records of each species drawn from the whole store in two passes over them.

    Args:
        store: Where they lie.
        most: Records per species, on average where a species has more; all where it has not.
        seed: Of the draw.

    Returns:
        (E,) sites, ascending, and (E,) species.
    """
    held = np.zeros(len(store.species), np.int64)
    for _, species in _records(store):
        held += np.bincount(species, minlength=len(held))
    chance = np.minimum(1.0, most / np.maximum(held, 1))
    sites, kinds = [], []
    for k, (rows, species) in enumerate(_records(store)):
        kept = np.random.Generator(np.random.Philox([seed, k])).random(len(rows)) < chance[species]
        sites.append(rows[kept])
        kinds.append(species[kept])
    return np.concatenate(sites), np.concatenate(kinds)


def _records(store: SiteStore) -> Iterator[tuple[Array, Array]]:
    """(site, species) of all records, part by part."""
    for start in range(0, store.n_sites, 1 << 16):
        rows = np.arange(start, min(start + (1 << 16), store.n_sites))
        indptr, species, _ = store.entries(rows)
        yield np.repeat(rows, np.diff(indptr)), species


@torch.no_grad()
def _at_records(store: SiteStore, features: FeatureMap, network: StackedNetwork, sites: Array, species: Array) -> Array:
    """(M, E) logits of records: E sites, ascending, and their species."""
    weight, bias = network.weights[-1], network.biases[-1]
    f = np.empty((network.members, len(sites)), np.float32)
    for start in range(0, len(sites), _ROWS):
        part = slice(start, start + _ROWS)
        rows, back = np.unique(sites[part], return_inverse=True)
        hidden = _hidden(network, features.transform(store.covariate_rows(rows), unseen="baseline"))
        kinds = torch.from_numpy(species[part].astype(np.int64))
        own = hidden[:, torch.from_numpy(back)]
        f[:, part] = ((own * weight[:, kinds]).sum(-1) + bias[:, kinds]).numpy()
    return f


@torch.no_grad()
def _hidden(network: StackedNetwork, features: Array) -> torch.Tensor:
    """(n, F) -> (M, n, H): the last layer before the output; the features themselves without hidden layers."""
    parts = []
    for start in range(0, len(features), _ROWS):
        h = torch.from_numpy(features[start : start + _ROWS]).expand(network.members, -1, -1)
        if network.input_mask is not None:
            h = h * network.input_mask.unsqueeze(1)
        for index, (weight, bias) in enumerate(zip(network.weights[:-1], network.biases[:-1], strict=True)):
            r = torch.relu(torch.baddbmm(bias.unsqueeze(1), h, weight.transpose(1, 2)))
            h = r if index == 0 else h + r
        parts.append(h)
    return torch.cat(parts, dim=1)


def outputs_of(network: StackedNetwork, features: Array, species: Sequence[int]) -> Array:
    """(N, F) -> (M, N, s) logits of some species.

    Args:
        network: Trained, on the CPU.
        features: What it sees of the sites.
        species: s columns.
    """
    return _output(network, _hidden(network, features), list(species))


@torch.no_grad()
def _output(network: StackedNetwork, hidden: torch.Tensor, species: slice | list[int]) -> Array:
    """(M, n, s) logits of some species."""
    weight, bias = network.weights[-1][:, species], network.biases[-1][:, species]
    return torch.baddbmm(bias.unsqueeze(1), hidden, weight.transpose(1, 2)).numpy()
