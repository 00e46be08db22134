"""What the loop remembers of the losses between looks: whether all were finite, and their means."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ecotone.train.device import Processes


class FiniteWatch:
    """Knows the first step whose loss was not finite.

    On the CPU each loss is looked at, which costs nothing. Elsewhere the step is noted on the device, without waiting
    for it, and read by `first`.
    """

    def __init__(self, device: torch.device) -> None:
        self.last: float | None = None
        self._on_cpu = device.type == "cpu"
        self._first: int | None = None
        self._noted = torch.full((), -1, dtype=torch.int64, device=device)

    def see(self, loss: Tensor, step: int) -> bool:
        """Looks at a loss; False when it is already known to be bad."""
        value = loss.detach()
        if self._on_cpu:
            self.last = value.item()
            fine = math.isfinite(self.last)
            if not fine and self._first is None:
                self._first = step
            return fine
        keep = torch.isfinite(value) | (self._noted >= 0)
        self._noted = torch.where(keep, self._noted, step)
        return True

    def first(self) -> int | None:
        """The first bad step, or None; waits for the device."""
        if self._on_cpu:
            return self._first
        step = int(self._noted.item())
        return step if step >= 0 else None


class Window:
    """Means of the loss terms since the last row of metrics.csv, in float64 on the device."""

    def __init__(self, device: torch.device) -> None:
        self._dtype = torch.float32 if device.type == "mps" else torch.float64
        self._device = device
        self._sums: dict[str, Tensor] = {}
        self._count = 0

    def add(self, terms: Mapping[str, Tensor]) -> None:
        """Adds the terms of a step."""
        if terms.keys() != self._sums.keys():
            if self._count:
                raise ValueError(f"loss terms changed from {list(self._sums)} to {list(terms)}")
            self._sums = {name: torch.zeros((), dtype=self._dtype, device=self._device) for name in terms}
        for name, value in terms.items():
            self._sums[name].add_(value.detach() if value.ndim == 0 else value.detach().mean())
        self._count += 1

    def rows(self, processes: Processes) -> Tensor:
        """(world, terms) sums of all processes, in main memory."""
        sums = list(self._sums.values())
        return processes.gather(torch.stack(sums).to("cpu", torch.float64) if sums else torch.zeros(0).double())

    def means(self, processes: Processes) -> dict[str, float]:
        """Mean of each term over steps and processes; starts a new window."""
        means = self.rows(processes).mean(0) / max(self._count, 1)
        answer = dict(zip(self._sums, means.tolist(), strict=True))
        self._sums, self._count = {}, 0
        return answer

    def state(self, rows: Tensor) -> dict[str, Any]:
        """What a checkpoint holds; `rows` come from `rows`."""
        return {"names": list(self._sums), "count": self._count, "sums": rows}

    def load(self, state: Mapping[str, Any], processes: Processes) -> None:
        """Takes back a state; with another number of processes, each gets the mean."""
        rows: Tensor = state["sums"]
        row = rows[processes.rank] if len(rows) == processes.world else rows.mean(0)
        values = row.to(self._device, self._dtype)
        self._sums = {name: values[i].clone() for i, name in enumerate(state["names"])}
        self._count = int(state["count"])
