"""The learned chill response of an hour: a small network of its temperature, in three shapes, for many members at once.

A response is only known up to its scale (a larger one with a larger requirement is the same model), so it is divided by its
maximum over the knots: one day at the best temperature is one chill day. Letters: M members, K temperatures, D width.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import softplus

from ecotone.systems.phenology.hybrid.features import KNOTS

Shape = Literal["free", "unimodal", "monotone"]
Parameters = dict[str, Tensor]
CENTRE, SCALE = 6.0, 8.0  # degC, bring the temperatures of winter to -2..2
LEAST = 0.02  # a response that is negative almost everywhere is not blown up
NAMES = ("net_in", "net_bias", "net_out", "net_level")


def initial(members: int, width: int, generator: torch.Generator) -> Parameters:
    """Random weights: `net_in`, `net_bias`, `net_out` (M, D), `net_level` (M, 1)."""

    def draw(scale: float) -> Tensor:
        return torch.randn(members, width, generator=generator) * scale

    return {
        "net_in": draw(1.0),
        "net_bias": draw(1.0),
        "net_out": draw(0.6 / width**0.5),
        "net_level": torch.ones(members, 1),
        "negation": torch.zeros(members, 1),
    }


def raw(p: Parameters, temperature: Tensor, shape: Shape) -> Tensor:
    """(M, K) response, not yet divided by its maximum.

    free: a sigmoid of one hidden layer, from 0 (from -1 for members in which warm hours may undo chill) to 1. monotone: the
    same with weights of one sign, falling with temperature. unimodal: a bell over a rising curve, one peak where that curve
    passes zero, each flank of any shape.
    """
    x = (temperature - CENTRE) / SCALE
    if shape == "free":
        hidden = torch.tanh(p["net_in"][..., None] * x + p["net_bias"][..., None])
        chill = torch.sigmoid((p["net_out"][..., None] * hidden).sum(-2) + p["net_level"])
        return chill * (1 + p["negation"]) - p["negation"]
    slope = softplus(p["net_in"])[..., None]
    hidden = torch.tanh(slope * x + p["net_bias"][..., None])
    rising = (softplus(p["net_out"] - 1.0)[..., None] * hidden).sum(-2)
    if shape == "monotone":
        return torch.sigmoid(p["net_level"] - rising)
    middle = rising + 0.3 * x + 0.3 * (p["net_level"] - 1.0)
    return torch.exp(-(middle**2))


def response(p: Parameters, shape: Shape, knots: Tensor | None = None) -> Tensor:
    """(M, K) response at the knots, its maximum 1."""
    found = raw(p, torch.as_tensor(KNOTS, dtype=torch.float32) if knots is None else knots, shape)
    return found / found.amax(-1, keepdim=True).clamp(min=LEAST)


def resembling(p: Parameters, shape: Shape, start: str, steps: int = 400) -> Parameters:
    """Weights trained to resemble a starting curve, each member from its own random ones.

    Args:
        p: Random weights.
        shape: Of the response.
        start: utah, the positive part of the smoothed Utah model; negating, all of it, for members whose `negation` is 1;
            falling, full chill below 0 degC and none above 15.
        steps: Passes.
    """
    from ecotone.systems.phenology.chill import smooth_utah

    x = torch.as_tensor(KNOTS, dtype=torch.float32)
    if start == "falling":
        target = torch.sigmoid((8 - x) / 3)
    else:
        constant = np.repeat(KNOTS[:, None], 24, axis=1)
        goal = np.clip(np.asarray(smooth_utah(constant)), -1 if start == "negating" else 0, None)
        target = torch.as_tensor(goal / goal.max(), dtype=torch.float32)
    weights = {k: p[k].clone().requires_grad_() for k in NAMES}
    optimiser = torch.optim.Adam(weights.values(), lr=0.05)
    for _ in range(steps):
        optimiser.zero_grad()
        loss = ((response({**p, **weights}, shape, x) - target) ** 2).sum()
        loss.backward()
        optimiser.step()
    return {**p, **{k: v.detach() for k, v in weights.items()}}
