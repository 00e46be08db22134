"""Training of a stack of members from arrays: what a step sees, as a pure function of its position.

Letters: M members, K sites, U uniform cells, F features, S species, B batch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from ecotone.errors import UsageError
from ecotone.systems.deepmaxent.config import Config
from ecotone.systems.deepmaxent.launch import train
from ecotone.systems.deepmaxent.network import StackedNetwork
from ecotone.systems.deepmaxent.objective import Share
from ecotone.systems.deepmaxent.recipe import Member, Recipe, Sizes, Stream
from ecotone.train.task import Plan, Position

__all__ = ["DENSE_LIMIT", "Member", "Sites", "StackTask", "Stream", "choose_device", "train_stack"]

Array = np.ndarray
DENSE_LIMIT = 64_000_000  # entries of the (K, S) label matrix kept dense


@dataclass(frozen=True)
class Sites:
    """Training material, ready for the network.

    Attributes:
        features: (K, F) float32 of sites with counts.
        counts: (K, S) records, CSR float32.
        log_weight: (K,) log of relative weights, mean weight 1.
        uniform: (U, F) float32 of uniform cells; U may be 0.
        uniform_log_weight: (U,).
    """

    features: Array
    counts: sparse.csr_array
    log_weight: Array
    uniform: Array
    uniform_log_weight: Array


class StackTask(Recipe):
    """A stack of members over sites in memory, as the training loop sees it."""

    def __init__(self, sites: Sites, members: Sequence[Member], config: Config, device: torch.device) -> None:
        k, features = sites.features.shape
        sizes = Sizes(k, len(sites.uniform), features, np.asarray(sites.counts.sum(axis=0)).ravel())
        super().__init__(sizes, members, config, device, Stream)
        self.sites = sites
        self.rows = [np.arange(k) if m.rows is None else np.asarray(m.rows) for m in members]
        parts = [sites.features, sites.uniform] if self.mixes else [sites.features]
        self._features = torch.tensor(np.concatenate(parts), device=device)
        self._weighted = self.mixes or bool(np.any(sites.log_weight != 0))
        entries = sites.counts.shape[0] * sites.counts.shape[1]
        mean_records = np.stack([np.asarray(sites.counts[r].mean(axis=0)).ravel() for r in self.rows])
        self._mean_records = torch.tensor(mean_records, dtype=torch.float32, device=device)  # (M, S) per site
        self._dense = (
            torch.tensor(sites.counts.toarray(), dtype=torch.float32, device=device) if entries <= DENSE_LIMIT else None
        )

    def batch(self, at: Position) -> dict[str, Any]:
        """The batch of a step, or this process's share of it."""
        places, cells = self.draw(at)
        whole, share = places.shape[1], Share(at, places.shape[1], cells.shape[1])
        if at.world > 1:
            places, cells = places[:, share.sites], cells[:, share.cells]
        own = np.stack([r[p] for r, p in zip(self.rows, places, strict=True)])  # (M, B)
        drawn = np.concatenate([own, cells + len(self.sites.features)], axis=1) if self.uniform_batch else own
        members, width = drawn.shape
        index = torch.from_numpy(drawn.reshape(-1)).to(self.device)
        x = self._features.index_select(0, index).view(members, width, self._features.shape[1])
        batch = {"features": x, "counts": self._counts(own, width), "log_weight": None}
        if self._weighted:
            w = self.log_weight(whole, self.sites.log_weight[own], self.sites.uniform_log_weight[cells])
            batch["log_weight"] = torch.tensor(w, dtype=torch.float32, device=self.device)
        if at.world > 1:
            batch["share"] = share
        if self.config.normaliser == "full":
            batch |= self._everything()
        elif self.config.normaliser == "memory":
            batch["records"] = whole * self._mean_records
        return batch

    # ---------------------------------------------------------------------------------- pieces of a batch
    def _counts(self, own: Array, width: int) -> Tensor:
        members, size = own.shape
        species = self.sites.counts.shape[1]
        if self._dense is not None:
            index = torch.from_numpy(own.reshape(-1)).to(self.device)
            y = self._dense.index_select(0, index).view(members, size, species)
        else:
            dense = self.sites.counts[own.reshape(-1)].toarray()
            y = torch.from_numpy(dense).to(self.device, torch.float32).view(members, size, species)
        if width == size:
            return y
        padded = y.new_zeros(members, width, species)
        padded[:, :size] = y
        return padded

    def _everything(self) -> dict[str, Tensor]:
        if not hasattr(self, "_all"):
            members = len(self.members)
            w = np.full((members, len(self._features)), -np.inf)
            with np.errstate(divide="ignore"):
                for m, rows in enumerate(self.rows):
                    w[m, rows] = math.log((1.0 - self._share[m]) / len(rows)) + self.sites.log_weight[rows]
                    if self.mixes:
                        u = len(self.sites.uniform)
                        w[m, -u:] = np.log(self._share[m] / u) + self.sites.uniform_log_weight
            features = self._features.expand(members, *self._features.shape)
            self._all = {
                "all_features": features,
                "all_log_weight": torch.tensor(w, dtype=torch.float32, device=self.device),
            }
        return self._all

    def describe(self, folder: Path) -> dict[str, Any]:
        """Leaves the sites in a folder for other processes; `restore` reads them."""
        sites = self.sites
        arrays = {"features": sites.features, "log_weight": sites.log_weight, "uniform": sites.uniform}
        arrays |= {"uniform_log_weight": sites.uniform_log_weight, "shape": np.array(sites.counts.shape)}
        arrays |= {name: getattr(sites.counts, name) for name in ("data", "indices", "indptr")}
        for name, array in arrays.items():
            np.save(folder / f"{name}.npy", array)
        return {}


def restore(folder: Path, members: Sequence[Member], config: Config, device: torch.device) -> StackTask:
    """The task whose sites `StackTask.describe` left in a folder."""
    names = ("features", "log_weight", "uniform", "uniform_log_weight", "shape", "data", "indices", "indptr")
    part = {name: np.load(folder / f"{name}.npy") for name in names}
    counts = sparse.csr_array((part["data"], part["indices"], part["indptr"]), shape=tuple(part["shape"].tolist()))
    sites = Sites(part["features"], counts, part["log_weight"], part["uniform"], part["uniform_log_weight"])
    return StackTask(sites, members, config, device)


def choose_device(name: str) -> torch.device:
    """The torch device behind the `device` option.

    Raises:
        UsageError: US104 for "cuda" where torch finds none.
    """
    there = torch.cuda.is_available()
    if name == "cuda" and not there:
        raise UsageError("US104", "device", "there is no CUDA device that torch can use", "use device=auto or cpu")
    if name == "auto":
        name = "cuda" if there else "cpu"
    return torch.device(name)


def train_stack(
    sites: Sites,
    members: Sequence[Member],
    config: Config,
    *,
    folder: Path | None = None,
    fingerprint: dict[str, str] | None = None,
    progress: bool = False,
    label: str = "training",
) -> StackedNetwork:
    """Trains all members at once.

    Args:
        sites: Training material.
        members: What each member sees.
        config: Options; None values are resolved from the preset.
        folder: Where to keep checkpoints, for a run that can be resumed.
        fingerprint: What the data and options are, so that resuming with others is refused.
        progress: Whether to show a progress bar.
        label: Its name.

    Returns:
        The trained networks, on the CPU.
    """
    device = choose_device(config.device)
    task = StackTask(sites, members, config, device)
    plan = Plan(
        epochs=task.epochs,
        seed=config.seed,
        accelerator="cuda" if device.type == "cuda" else "cpu",
        devices=config.devices,
        strategy="ddp" if config.devices > 1 else "auto",
        fingerprint=fingerprint or {},
        progress=progress,
        label=label,
    )
    train(task, plan, folder)
    return task.network.to("cpu").eval()
