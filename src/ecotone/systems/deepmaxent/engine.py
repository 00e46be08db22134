"""Training of a stack of members: what a step sees, as a pure function of its position.

Each member walks through its own rows in its own order, so one stack holds ensemble members, validation folds and
candidate backgrounds side by side. Letters: M members, K sites, U uniform cells, F features, S species, B batch.
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
from torch import Tensor, nn

from ecotone.errors import UsageError
from ecotone.losses.binary import binary
from ecotone.losses.cross_entropy import cross_entropy
from ecotone.losses.normalised_poisson import normalised_poisson, partition, with_running_partition
from ecotone.losses.poisson import poisson
from ecotone.species.background import effective_share
from ecotone.systems.deepmaxent.config import Config
from ecotone.systems.deepmaxent.network import StackedNetwork, dropout_masks
from ecotone.train.loop import fit
from ecotone.train.order import permutation
from ecotone.train.task import Plan, Position, Task

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


@dataclass(frozen=True)
class Member:
    """One network of the stack.

    Attributes:
        seed: Its initial weights and its order of sites.
        rows: Sites it trains on, or None for all.
        uniform_share: Share of background weight on uniform cells.
        hidden: (F,) True for features it may not see, or None.
    """

    seed: int
    rows: Array | None = None
    uniform_share: float = 0.0
    hidden: Array | None = None


class Stream:
    """Endless shuffled passes over `n` items, addressed by position: a pure function of (seed, position)."""

    def __init__(self, seed: int, n: int) -> None:
        self.seed, self.n = seed, n
        self._passes: dict[int, Array] = {}

    def take(self, start: int, size: int) -> Array:
        """Items at positions start .. start + size - 1."""
        parts, done = [], 0
        while done < size:
            epoch, slot = divmod(start + done, self.n)
            if epoch not in self._passes:
                self._passes = {k: v for k, v in self._passes.items() if k >= epoch - 1}
                self._passes[epoch] = permutation(self.seed, epoch, self.n)
            part = self._passes[epoch][slot : slot + size - done]
            parts.append(part)
            done += len(part)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


class Objective(nn.Module):
    """The network and the loss it is trained with; `forward` maps a batch to the scalar loss."""

    def __init__(
        self, network: StackedNetwork, config: Config, species_weight: Tensor | None, log_scale: float
    ) -> None:
        super().__init__()
        self.network, self.config, self.log_scale = network, config, log_scale
        self.register_buffer("species_weight", species_weight)

    def forward(self, batch: dict[str, Any]) -> Tensor:
        """Loss of a batch: features (M, B, F), counts (M, B, S), log_weight (M, B) or None, and what its normaliser needs."""
        net, cfg = self.network, self.config
        x, y, log_weight = batch["features"], batch["counts"], batch["log_weight"]
        weight: Any = self.species_weight
        masks = self._masks(x)
        if cfg.loss == "maxent" and cfg.normaliser == "batch":
            return net.fused_loss(x, y, log_weight, weight, masks)
        f = net(x, masks)
        if cfg.loss == "maxent" and cfg.normaliser == "full":
            everywhere = batch["all_features"]
            full = partition(net(everywhere, self._masks(everywhere)), batch["all_log_weight"])
            return normalised_poisson(f, y, None, weight, full)
        if cfg.loss == "maxent":
            # log-weights are shares, which sum to the same in a batch of any size; without them Z counts sites
            log_scale = self.log_scale - math.log(x.shape[1]) if log_weight is None else 0.0
            loss, updated = with_running_partition(
                f, y, net.running_log_partition, log_weight, weight, records=batch["records"], log_scale=log_scale
            )
            net.running_log_partition.copy_(updated)
            return loss
        if cfg.loss == "poisson":
            relative = None if log_weight is None else torch.exp(log_weight + math.log(x.shape[1]))
            return poisson(f, y, relative)
        return cross_entropy(f, y) if cfg.loss == "ce" else binary(f, y)

    def _masks(self, x: Tensor) -> list[Tensor] | None:
        net, rate = self.network, self.config.dropout
        if not rate or not net.blocks:
            return None
        return dropout_masks(net.members, x.shape[1], net.width, net.blocks + 1, rate, per_site=True, device=x.device)


class StackTask(Task):
    """A stack of members as the training loop sees it."""

    def __init__(self, sites: Sites, members: Sequence[Member], config: Config, device: torch.device) -> None:
        cfg = self.config = config.resolved()
        self.sites, self.members, self.device = sites, members, device
        k, features = sites.features.shape
        self.rows = [np.arange(k) if m.rows is None else np.asarray(m.rows) for m in members]
        lengths = [len(r) for r in self.rows]
        self.batch_size = min(int(cfg.batch_size or 250), *lengths)
        self.equal = len(set(lengths)) == 1
        self.n = round(float(np.mean(lengths)))
        shares = [effective_share(m.uniform_share, k, len(sites.uniform)) for m in members]
        self.mixes = any(share > 0 for share in shares)
        self.uniform_batch = min(cfg.background_batch, len(sites.uniform)) if self.mixes else 0
        self.streams = [Stream(m.seed, n) for m, n in zip(members, lengths, strict=True)]
        self.uniform_streams = [Stream(m.seed + (1 << 40), max(len(sites.uniform), 1)) for m in members]

        mask = None
        if any(m.hidden is not None for m in members):
            seen = [np.ones(features, bool) if m.hidden is None else ~m.hidden for m in members]
            mask = torch.tensor(np.stack(seen), dtype=torch.float32, device=device)
        self.network = StackedNetwork(
            features,
            sites.counts.shape[1],
            width=int(cfg.width or 250),
            blocks=int(cfg.blocks if cfg.blocks is not None else 2),
            seeds=[m.seed for m in members],
            input_mask=mask,
        ).to(device)
        self.module: nn.Module = Objective(self.network, cfg, self._species_weight(), math.log(self.batch_size)).to(
            device
        )

        parts = [sites.features, sites.uniform] if self.mixes else [sites.features]
        self._features = torch.tensor(np.concatenate(parts), device=device)
        self._weighted = self.mixes or bool(np.any(sites.log_weight != 0))
        self._share = np.asarray(shares)
        entries = sites.counts.shape[0] * sites.counts.shape[1]
        mean_records = np.stack([np.asarray(sites.counts[r].mean(axis=0)).ravel() for r in self.rows])
        self._mean_records = torch.tensor(mean_records, dtype=torch.float32, device=device)  # (M, S) per site
        self._dense = (
            torch.tensor(sites.counts.toarray(), dtype=torch.float32, device=device) if entries <= DENSE_LIMIT else None
        )

    def _species_weight(self) -> Tensor | None:
        if self.config.species_weight == 0:
            return None
        records = np.asarray(self.sites.counts.sum(axis=0)).ravel()
        weight = np.where(records > 0, np.maximum(records, 1e-9) ** -self.config.species_weight, 0.0)
        weight *= records.sum() / max((weight * records).sum(), 1e-9)  # same overall size of the loss
        return torch.tensor(weight, dtype=torch.float32, device=self.device)

    # ---------------------------------------------------------------------------------- what the loop asks for
    def optimizer(self) -> torch.optim.Optimizer:
        """Adam with L2 penalty.

        The fused kernel rounds otherwise than the textbook sequence of operations. The paper's preset keeps to the latter
        on the CPU, so that its weights are those of a plain loop to the last bit (about 2 ms a step for ten networks).
        """
        cfg = self.config
        fused = cfg.preset != "paper" or self.device.type != "cpu"
        return torch.optim.Adam(
            list(self.network.parameters()),
            lr=float(cfg.learning_rate or 0),
            weight_decay=float(cfg.weight_decay or 0),
            fused=fused,
            foreach=not fused,
        )

    def steps_per_epoch(self) -> int:
        """Steps in one pass over the sites."""
        return max(1, math.ceil(self.n / self.batch_size))

    @property
    def epochs(self) -> int:
        """Passes over the sites, enough for the least number of steps."""
        return max(int(self.config.epochs or 1), -(-int(self.config.min_steps or 0) // self.steps_per_epoch()))

    def learning_rate(self, step: int) -> float | None:
        """Constant, or half a cosine down to 0."""
        if self.config.schedule != "cosine":
            return None
        total = self.steps_per_epoch() * self.epochs
        return float(self.config.learning_rate or 0) * 0.5 * (1.0 + math.cos(math.pi * step / total))

    def batch(self, at: Position) -> dict[str, Any]:
        """The batch of a step."""
        size, start = self.batch_size, at.step * self.batch_size
        if self.equal:  # whole passes, the last batch of a pass is shorter
            steps, k = self.steps_per_epoch(), at.step_in_epoch
            even = self.config.even_batches
            ends = [i * self.n // steps if even else min(i * size, self.n) for i in (k, k + 1)]
            start, size = at.epoch * self.n + ends[0], ends[1] - ends[0]
        own = np.stack([r[s.take(start, size)] for r, s in zip(self.rows, self.streams, strict=True)])  # (M, B)
        drawn = own
        if self.uniform_batch:
            first = at.step * self.uniform_batch
            cells = np.stack([s.take(first, self.uniform_batch) for s in self.uniform_streams])
            drawn = np.concatenate([own, cells + len(self.sites.features)], axis=1)
        members, width = drawn.shape
        index = torch.from_numpy(drawn.reshape(-1)).to(self.device)
        x = self._features.index_select(0, index).view(members, width, -1)
        batch = {"features": x, "counts": self._counts(own, width), "log_weight": self._log_weight(own, drawn)}
        if self.config.normaliser == "full":
            batch |= self._everything()
        elif self.config.normaliser == "memory":
            batch["records"] = own.shape[1] * self._mean_records
        return batch

    def loss(self, module: nn.Module, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Summed over members, so that every member has its own unscaled gradient."""
        return {"loss": module(batch)}

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

    def _log_weight(self, own: Array, drawn: Array) -> Tensor | None:
        if not self._weighted:
            return None
        size = own.shape[1]
        with np.errstate(divide="ignore"):
            w = np.log((1.0 - self._share) / size)[:, None] + self.sites.log_weight[own]
            if self.uniform_batch:
                cells = drawn[:, size:] - len(self.sites.features)
                u = np.log(self._share / self.uniform_batch)[:, None] + self.sites.uniform_log_weight[cells]
                w = np.concatenate([w, u], axis=1)
        return torch.tensor(w, dtype=torch.float32, device=self.device)

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
        fingerprint=fingerprint or {},
        progress=progress,
        label=label,
    )
    fit(task, plan, folder=folder)
    return task.network.to("cpu").eval()
