"""Training of all members at once: one batch of all seasons, each member with its own weights on them.

A member that holds out years learns from the others and is judged on them; the members that answer learn from all years and
stop at the pass at which, on the mean of the judged ones, the held-out years were predicted best.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ecotone.losses.bloom_day import log_likelihood, with_outliers
from ecotone.systems.phenology.hybrid.features import Features
from ecotone.systems.phenology.hybrid.model import Core, Parameters

EVERY = 20  # passes between two looks at the held-out years
WARM_UP = 20


@dataclass(frozen=True)
class Trained:
    """What training found.

    Attributes:
        parameters: Of all members, at the pass they were stopped at.
        steps: (M,) that pass.
        history: (pass, training loss, held-out loss) of the mean member.
    """

    parameters: Parameters
    steps: tuple[int, ...]
    history: tuple[tuple[int, float, float], ...]


def losses(core: Core, p: Parameters, f: Features, outliers: float) -> Tensor:
    """(M, N) negative log-likelihood of each season."""
    z, z_before = core.event(p, f)
    value = log_likelihood(z, z_before, f.after, f.before)
    return -with_outliers(value, outliers, f.days, f.after | f.before)


def train(
    core: Core,
    start: Parameters,
    f: Features,
    weight: Tensor,
    held_out: Tensor,
    *,
    steps: int,
    learning_rate: float,
    outliers: float,
    together: Tensor | None = None,
    fixed: tuple[str, ...] = (),
    decay: tuple[float, tuple[str, ...]] = (0.0, ()),
    schedule: str = "cosine",
    watch: Callable[[int], None] | None = None,
) -> Trained:
    """Minimises the penalised negative log-likelihood by Adam.

    Args:
        core: The model.
        start: Parameters before.
        f: N seasons.
        weight: (M, N) weight of each season in each member, 0 to leave it out.
        held_out: (M, N) 1 where a member is judged; rows of zeros for members that are not.
        steps: Passes.
        together: (M,) which fit a member belongs to; the members of a fit stop together. All by default.
        learning_rate: At its highest.
        outliers: Share of stray records.
        fixed: Parameters that stay.
        decay: Weight decay of Adam and the parameters it works on (published recipe).
        schedule: "cosine", or "steps" (times 0.9 every tenth of the passes, published recipe).
        watch: Called with every pass.
    """
    p = {k: v.clone().requires_grad_(k not in fixed) for k, v in start.items()}
    free = {k: v for k, v in p.items() if k not in fixed}
    groups = [
        {"params": [v for k, v in free.items() if k in decay[1]], "weight_decay": decay[0]},
        {"params": [v for k, v in free.items() if k not in decay[1]]},
    ]
    optimiser = torch.optim.Adam([g for g in groups if g["params"]], lr=learning_rate)
    size = weight.sum(1).clamp(min=1)
    stop = _Stop(together if together is not None else torch.zeros(len(weight), dtype=torch.long), held_out)
    history: list[tuple[int, float, float]] = []
    for step in range(steps):
        warm = min(1.0, (step + 1) / WARM_UP)
        cooling = 0.5 * (1 + math.cos(math.pi * step / steps)) if schedule == "cosine" else 0.9 ** (10 * step // steps)
        for group in optimiser.param_groups:
            group["lr"] = learning_rate * max(warm * cooling, 0.01)
        each = losses(core, p, f, outliers)
        fit = (each * weight).sum(1)
        penalty = sum(((r**2).sum(1) for r in core.residuals(p)), torch.zeros(()))
        if step % EVERY == 0:
            history.append((step, float((fit / size).detach().mean()), stop.look(step, each.detach(), p)))
        optimiser.zero_grad(set_to_none=True)
        ((fit + 0.5 * penalty) / size).sum().backward()
        optimiser.step()
        if watch is not None:
            watch(step + 1)
    with torch.no_grad():
        each = losses(core, p, f, outliers)
        history.append((steps, float(((each * weight).sum(1) / size).mean()), stop.look(steps, each, p)))
    return Trained(stop.kept, tuple(stop.step.tolist()), tuple(history))


class _Stop:
    """Keeps, for each fit, the parameters of the pass at which its held-out years were predicted best."""

    def __init__(self, together: Tensor, held_out: Tensor) -> None:
        self.together, self.held_out = together, held_out
        self.size = held_out.sum(1)
        self.best = torch.full((int(together.max()) + 1,), math.inf)
        self.step = torch.zeros(len(together), dtype=torch.long)
        self.kept: Parameters = {}

    def look(self, step: int, each: Tensor, p: Parameters) -> float:
        """Compares with the best so far; returns the mean held-out loss. Fits without held-out years keep the last pass."""
        judged = self.size > 0
        loss = (each * self.held_out).sum(1) / self.size.clamp(min=1)
        if not self.kept:
            self.kept = {k: v.detach().clone() for k, v in p.items()}
        for k in range(len(self.best)):
            own = self.together == k
            mean = loss[own & judged].mean() if bool((own & judged).any()) else torch.tensor(-float(step))
            if mean < self.best[k]:
                self.best[k] = mean
                self.step[own] = step
                for name, value in p.items():
                    self.kept[name][own] = value.detach()[own]
        return float(loss[judged].mean()) if bool(judged.any()) else math.nan
