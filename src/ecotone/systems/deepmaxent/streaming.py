"""Training from a site store: memory that does not depend on the number of sites.

A step reads its own rows, turns them into features and lists its records by place; the next steps' rows are read in the
background. Letters: M members, F features, S species, B sites of a batch, U uniform cells of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ecotone.data.features import FeatureMap
from ecotone.data.site_store import SiteStore
from ecotone.errors import InputError, UsageError
from ecotone.losses.sparse_counts import SparseCounts
from ecotone.systems.deepmaxent.config import Config
from ecotone.systems.deepmaxent.engine import choose_device
from ecotone.systems.deepmaxent.launch import train
from ecotone.systems.deepmaxent.network import StackedNetwork
from ecotone.systems.deepmaxent.objective import Share
from ecotone.systems.deepmaxent.recipe import KeyedStream, Member, Recipe, Sizes
from ecotone.train.task import Plan, Position

Array = np.ndarray


class StreamTask(Recipe):
    """A stack of members over a store, as the training loop sees it.

    Args:
        store: Where the sites lie.
        features: What the network sees of a site.
        members: Networks; each trains on all sites, in an order of its own.
        config: Options.
        device: Where the network lies; batches are made in main memory.

    Raises:
        UsageError: US105 for the normaliser over all sites, and for members with rows of their own.
    """

    def __init__(
        self, store: SiteStore, features: FeatureMap, members: Sequence[Member], config: Config, device: torch.device
    ) -> None:
        refuse_full(config)
        if any(m.rows is not None for m in members):
            raise UsageError("US105", "members", "have rows of their own", "train folds from arrays: SiteStore.sample")
        sizes = Sizes(store.n_sites, store.n_background, len(features.names), store.records)
        super().__init__(sizes, members, config, device, KeyedStream)
        self.store, self.features = store, features
        self._weighted = self.mixes or store.weighted
        self._mean_records = torch.tensor(store.records / store.n_sites, dtype=torch.float32)

    def batch(self, at: Position) -> dict[str, Any]:
        """The batch of a step, or this process's share of it; safe to call in background threads."""
        own, cells = self.draw(at)
        whole, share = own.shape[1], Share(at, own.shape[1], cells.shape[1])
        if at.world > 1:
            own, cells = own[:, share.sites], cells[:, share.cells]
        members, size, width = own.shape[0], own.shape[1], own.shape[1] + cells.shape[1]
        rows, back = np.unique(own, return_inverse=True)
        x = self._transform(self.store.covariate_rows(rows), rows, back.reshape(own.shape))
        at_cells = np.zeros(cells.shape)
        if self.uniform_batch:
            drawn, there = np.unique(cells, return_inverse=True)
            values, weights = self.store.background_rows(drawn)
            at_cells = weights[there.reshape(cells.shape)]
            u = self.features.transform(values, unseen="baseline")[there.reshape(cells.shape)]
            x = np.concatenate([x, u], axis=1)
        log_weight = None
        if self._weighted:
            at_sites = self.store.log_weight_rows(rows)[back.reshape(own.shape)]
            log_weight = torch.tensor(self.log_weight(whole, at_sites, at_cells), dtype=torch.float32)
        species = len(self.store.records)
        place, values = self._places(rows, back.reshape(-1), size, width, species)
        batch: dict[str, Any] = {
            "features": torch.from_numpy(x),
            "counts": SparseCounts(torch.from_numpy(place), torch.from_numpy(values), (members, width, species)),
            "log_weight": log_weight,
        }
        if at.world > 1:
            batch["share"] = share
        if self.config.normaliser == "memory":
            batch["records"] = (whole * self._mean_records).expand(members, species)
        return batch

    def _transform(self, values: Array, rows: Array, index: Array) -> Array:
        """(M, B, F) features; a category that is new here means that the store was not packed with it declared."""
        try:
            return self.features.transform(values)[index]
        except InputError as error:
            where = f"{self.store.folder}: among sites {rows.min()}..{rows.max()}"
            raise InputError(error.code, where, error.what, error.fix) from error

    def _places(self, rows: Array, back: Array, size: int, width: int, species: int) -> tuple[Array, Array]:
        """(R,) places of the records in the flattened (M, B + U, S), and (R,) float32 records.

        Args:
            rows: (n,) sites read.
            back: (M * B,) which of them stands at each place of the batch.
            size: B.
            width: B + U.
            species: S.
        """
        indptr, kinds, counts = self.store.entries(rows)
        length = np.diff(indptr)[back]
        at = np.repeat(np.arange(len(back)), length)  # which site of the batch each record is of
        start = np.cumsum(length) - length
        entry = np.arange(len(at)) - start[at] + indptr[:-1][back][at]
        line = at // size * width + at % size if size else at
        return line * species + kinds[entry], np.ascontiguousarray(counts[entry], dtype=np.float32)

    def describe(self, folder: Path) -> dict[str, Any]:
        """What another process needs to make the same task; `restore` reads it."""
        return {"store": str(self.store.folder.resolve()), "id": self.store.id, "features": self.features.to_dict()}


def restore(spec: dict[str, Any], members: Sequence[Member], config: Config, device: torch.device) -> StreamTask:
    """The task that `StreamTask.describe` described."""
    store = SiteStore(spec["store"])
    if store.id != spec["id"]:
        raise InputError("DA404", store.folder, "is another store by now", "leave the store alone while it is used")
    return StreamTask(store, FeatureMap.from_dict(spec["features"]), members, config, device)


def refuse_full(config: Config) -> None:
    """Refuses the normaliser that would read every site at every step.

    Raises:
        UsageError: US105.
    """
    if config.loss == "maxent" and config.normaliser == "full":
        what = "would read every site of the store at every step"
        raise UsageError(
            "US105", "normaliser=full", what, "use memory, which remembers the sum over all sites, or batch"
        )


def train_store(
    store: SiteStore,
    features: FeatureMap,
    members: Sequence[Member],
    config: Config,
    *,
    folder: Path | None = None,
    fingerprint: dict[str, str] | None = None,
    progress: bool = False,
    label: str = "training",
) -> StackedNetwork:
    """Trains all members at once from a store, as `ecotone.systems.deepmaxent.engine.train_stack` does from arrays.

    Args:
        store: Where the sites lie.
        features: What the network sees of a site.
        members: Networks, each on all sites.
        config: Options; None values are resolved from the preset.
        folder: Where to keep checkpoints, for a run that can be resumed.
        fingerprint: What the data and options are; the store's `id` is added.
        progress: Whether to show a progress bar.
        label: Its name.

    Returns:
        The trained networks, on the CPU.

    Raises:
        IntegrityError: IN103 when the store changes meanwhile or the run began with another one, IN105 when a part of it
            cannot be right.
    """
    device = choose_device(config.device)
    task = StreamTask(store, features, members, config, device)
    plan = Plan(
        epochs=task.epochs,
        seed=config.seed,
        accelerator="cuda" if device.type == "cuda" else "cpu",
        devices=config.devices,
        strategy="ddp" if config.devices > 1 else "auto",
        workers=1,
        fingerprint={**(fingerprint or {}), "store": store.id},
        progress=progress,
        label=label,
    )
    train(task, plan, folder)
    return task.network.to("cpu").eval()
