"""The network together with the loss it is trained with: what one step computes from one batch.

Letters: M members, B sites of the batch (of this process, when several share it), S species, F features.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ecotone.losses.binary import binary
from ecotone.losses.cross_entropy import cross_entropy
from ecotone.losses.normalised_poisson import normalised_poisson, partition, with_running_partition
from ecotone.losses.poisson import poisson
from ecotone.losses.shared_batch import Shared
from ecotone.losses.sparse_counts import SparseCounts
from ecotone.systems.deepmaxent.config import Config
from ecotone.systems.deepmaxent.network import StackedNetwork, dropout_masks
from ecotone.systems.deepmaxent.sparse_step import sparse_loss
from ecotone.train.noise import reseed, step_seed
from ecotone.train.task import Position


class Share:
    """Which part of a step's batch is this process's, and what all processes must agree on.

    Args:
        at: The step and the process.
        sites: Sites of the batch, over all processes.
        cells: Uniform cells of the batch, which come after the sites.

    Attributes:
        sites: This process's places among the sites.
        cells: Its places among the cells.
        columns: Its places in the whole batch.
        shared: How the loss is shared.
        noise: Seed of the step, the same in all processes.
    """

    def __init__(self, at: Position, sites: int, cells: int) -> None:
        self.sites, self.cells = np.arange(sites)[at.rank :: at.world], np.arange(cells)[at.rank :: at.world]
        self.columns = np.concatenate([self.sites, sites + self.cells])
        self.shared = Shared(at.world, sites + cells)
        self.noise = step_seed(at.seed, at.step)


class Objective(nn.Module):
    """The network and its loss; `forward` maps a batch to the scalar loss."""

    def __init__(
        self, network: StackedNetwork, config: Config, species_weight: Tensor | None, log_scale: float
    ) -> None:
        super().__init__()
        self.network, self.config, self.log_scale = network, config, log_scale
        self.register_buffer("species_weight", species_weight)

    def forward(self, batch: dict[str, Any]) -> Tensor:
        """Loss of a batch.

        Args:
            batch: features (M, B, F), counts (M, B, S) dense or `SparseCounts`, log_weight (M, B) or None, `share`
                when several processes share it, and what the normaliser needs.
        """
        net, cfg = self.network, self.config
        x, y, log_weight = batch["features"], batch["counts"], batch["log_weight"]
        weight: Any = self.species_weight
        share: Share | None = batch.get("share")
        shared = None if share is None else share.shared
        sites = x.shape[1] if shared is None else shared.sites
        masks = self._masks(sites, x.device, share)
        if cfg.loss == "maxent" and cfg.normaliser == "batch":
            if isinstance(y, SparseCounts):
                return sparse_loss(net, x, y, log_weight, weight, masks, shared)
            if shared is None:
                return net.fused_loss(x, y, log_weight, weight, masks)
            return normalised_poisson(net(x, masks), y, log_weight, weight, shared=shared)
        f = net(x, masks)
        if cfg.loss == "maxent" and cfg.normaliser == "full":
            everywhere = batch["all_features"]
            full = partition(net(everywhere, self._masks(everywhere.shape[1], x.device)), batch["all_log_weight"])
            return normalised_poisson(f, y, None, weight, full, shared=shared)
        if cfg.loss == "maxent":
            # log-weights are shares, which sum to the same in a batch of any size; without them Z counts sites
            log_scale = self.log_scale - math.log(sites) if log_weight is None else 0.0
            running, records = net.running_log_partition, batch["records"]
            loss, updated = with_running_partition(
                f, y, running, log_weight, weight, records=records, log_scale=log_scale, shared=shared
            )
            net.running_log_partition.copy_(updated)
            return loss
        dense = y.dense() if isinstance(y, SparseCounts) else y
        if cfg.loss == "poisson":
            relative = None if log_weight is None else torch.exp(log_weight + math.log(sites))
            loss = poisson(f, dense, relative)
        else:
            loss = cross_entropy(f, dense) if cfg.loss == "ce" else binary(f, dense)
        return loss if shared is None else shared.mean(loss, x.shape[1])

    def _masks(self, sites: int, device: torch.device, share: Share | None = None) -> list[Tensor] | None:
        """Dropout of `sites` sites; processes draw that of the whole batch alike, and each keeps its part."""
        net, rate = self.network, self.config.dropout
        if not rate or not net.blocks:
            return None
        if share is not None:
            reseed(share.noise, device)
        masks = dropout_masks(net.members, sites, net.width, net.blocks + 1, rate, per_site=True, device=device)
        if share is None:
            return masks
        kept = torch.from_numpy(share.columns).to(device)
        return [mask.index_select(1, kept) for mask in masks]
