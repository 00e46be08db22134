"""How a stack of members is trained, wherever its sites lie: order, batches, learning rate, weights in the softmax.

Each member walks through its own rows in its own order, so one stack holds ensemble members, validation folds and
candidate backgrounds side by side. Letters: M members, K sites, U uniform cells, F features, S species, B batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from ecotone.species.background import effective_share
from ecotone.stats.keyed_order import keyed_order
from ecotone.systems.deepmaxent.config import Config
from ecotone.systems.deepmaxent.network import StackedNetwork
from ecotone.systems.deepmaxent.objective import Objective
from ecotone.train.order import permutation
from ecotone.train.task import Position, Task

Array = np.ndarray


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


class Passes(Protocol):
    """Endless shuffled passes over items, addressed by position."""

    def take(self, start: int, size: int) -> Array:
        """Items at positions start .. start + size - 1."""
        ...


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


class KeyedStream:
    """As `Stream`, in constant memory and safe in several threads; its order is another one."""

    def __init__(self, seed: int, n: int) -> None:
        self.seed, self.n = seed, n

    def take(self, start: int, size: int) -> Array:
        """Items at positions start .. start + size - 1."""
        parts, done = [], 0
        while done < size:
            epoch, slot = divmod(start + done, self.n)
            stop = min(slot + size - done, self.n)
            parts.append(keyed_order(self.seed, epoch, self.n, np.arange(slot, stop)))
            done += stop - slot
        return np.concatenate(parts)


@dataclass(frozen=True)
class Sizes:
    """How much there is to learn from.

    Attributes:
        sites: K.
        uniform: U.
        features: F.
        records: (S,) records of each species.
    """

    sites: int
    uniform: int
    features: int
    records: Array


class Recipe(Task):
    """What training from memory and from disk have in common; subclasses give `batch`."""

    def __init__(
        self,
        sizes: Sizes,
        members: Sequence[Member],
        config: Config,
        device: torch.device,
        passes: Callable[[int, int], Passes],
    ) -> None:
        cfg = self.config = config.resolved()
        self.members, self.device = members, device
        lengths = [sizes.sites if m.rows is None else len(m.rows) for m in members]
        self.batch_size = min(int(cfg.batch_size or 250), *lengths)
        self.equal = len(set(lengths)) == 1
        self.n = round(float(np.mean(lengths)))
        shares = [effective_share(m.uniform_share, sizes.sites, sizes.uniform) for m in members]
        self.mixes = any(share > 0 for share in shares)
        self.uniform_batch = min(cfg.background_batch, sizes.uniform) if self.mixes else 0
        self.streams = [passes(m.seed, n) for m, n in zip(members, lengths, strict=True)]
        self.uniform_streams = [passes(m.seed + (1 << 40), max(sizes.uniform, 1)) for m in members]
        self._share = np.asarray(shares)

        mask = None
        if any(m.hidden is not None for m in members):
            seen = [np.ones(sizes.features, bool) if m.hidden is None else ~m.hidden for m in members]
            mask = torch.tensor(np.stack(seen), dtype=torch.float32, device=device)
        self.network = StackedNetwork(
            sizes.features,
            len(sizes.records),
            width=int(cfg.width or 250),
            blocks=int(cfg.blocks if cfg.blocks is not None else 2),
            seeds=[m.seed for m in members],
            input_mask=mask,
        ).to(device)
        self._records = sizes.records
        self.module: nn.Module = Objective(self.network, cfg, self._species_weight(), math.log(self.batch_size)).to(
            device
        )

    def _species_weight(self) -> Tensor | None:
        if self.config.species_weight == 0:
            return None
        records = self._records
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

    def loss(self, module: nn.Module, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Summed over members, so that every member has its own unscaled gradient."""
        return {"loss": module(batch)}

    def describe(self, folder: Path) -> dict[str, Any]:
        """What another process needs to make the same task; larger parts are left in `folder`."""
        raise NotImplementedError

    # ---------------------------------------------------------------------------------- pieces of a batch
    def draw(self, at: Position) -> tuple[Array, Array]:
        """(M, B) places in the members' own rows, and (M, B') uniform cells, over all processes."""
        size, start = self.batch_size, at.step * self.batch_size
        if self.equal:  # whole passes, the last batch of a pass is shorter
            steps, k = self.steps_per_epoch(), at.step_in_epoch
            even = self.config.even_batches
            ends = [i * self.n // steps if even else min(i * size, self.n) for i in (k, k + 1)]
            start, size = at.epoch * self.n + ends[0], ends[1] - ends[0]
        own = np.stack([s.take(start, size) for s in self.streams])
        if not self.uniform_batch:
            return own, np.empty((len(own), 0), np.int64)
        first = at.step * self.uniform_batch
        return own, np.stack([s.take(first, self.uniform_batch) for s in self.uniform_streams])

    def log_weight(self, sites: int, own: Array, cells: Array) -> Array:
        """(M, b + b') log-weights in the softmax.

        Args:
            sites: Sites of the batch, over all processes.
            own: (M, b) log relative weights of sites.
            cells: (M, b') those of uniform cells.
        """
        with np.errstate(divide="ignore"):
            w = np.log((1.0 - self._share) / sites)[:, None] + own
            if self.uniform_batch:
                u = np.log(self._share / self.uniform_batch)[:, None] + cells
                w = np.concatenate([w, u], axis=1)
        return w
