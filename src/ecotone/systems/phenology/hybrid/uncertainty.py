"""How far the data determine what was learned: a normal approximation around the trained parameters of each member.

The curvature of the penalised loss is taken in its Gauss-Newton form: the exact curvature of the log-likelihood in the progress
at and before the event, carried to the parameters by their derivatives there, plus that of the priors. Its inverse is a
covariance that is never negative; bands of anything computed from the parameters follow by their derivatives (linearised
Laplace approximation). Letters: M members, N seasons, D parameters, K temperatures.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import fields as fields_of
from typing import Any

import torch
from torch import Tensor

from ecotone.losses.bloom_day import log_likelihood
from ecotone.systems.phenology.hybrid.features import Features
from ecotone.systems.phenology.hybrid.model import Core, Parameters

CHUNK = 16  # derivatives at a time
MOST_NUMBERS = 100_000_000  # seasons x days x derivatives held at a time


@dataclass(frozen=True)
class Posterior:
    """Normal approximation of one member.

    Attributes:
        names: Parameter names in the order of the vector.
        shapes: Their shapes, without the member axis.
        mean: (D,) trained values.
        covariance: (D, D).
        prior: (D, D) precision of the priors alone.
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    mean: Tensor
    covariance: Tensor
    prior: Tensor

    def part(self, name: str) -> slice:
        """Where a parameter lies in the vector."""
        at = self.names.index(name)
        start = sum(math.prod(s) for s in self.shapes[:at])
        return slice(start, start + math.prod(self.shapes[at]))

    def spread(self, of: Callable[[Parameters], Tensor]) -> Tensor:
        """Standard deviations of what a function computes from parameters of one member, (1, V) -> (V,)."""
        j = derivatives(lambda v: of(unpack(v, self.names, self.shapes))[0], self.mean)
        return ((j @ self.covariance) * j).sum(-1).clamp(min=0).sqrt().to(torch.float32)


def derivatives(of: Callable[[Tensor], Tensor], at: Tensor) -> Tensor:
    """(..., D) float64 derivatives of a function of a (D,) vector, some directions at a time."""

    def along(direction: Tensor) -> Tensor:
        return torch.func.jvp(of, (at,), (direction,))[1]

    parts = [torch.func.vmap(along)(some) for some in torch.eye(len(at), dtype=at.dtype).split(CHUNK)]
    return torch.cat(parts).movedim(0, -1).to(torch.float64)


def unpack(vector: Tensor, names: tuple[str, ...], shapes: tuple[tuple[int, ...], ...]) -> Parameters:
    """(D,) vector -> parameters of one member, with an axis of one member."""
    p, start = {}, 0
    for name, shape in zip(names, shapes, strict=True):
        size = math.prod(shape)
        p[name] = vector[start : start + size].reshape(1, *shape)
        start += size
    return p


def posterior(core: Core, p: Parameters, member: int, f: Features, weight: Tensor, outliers: float) -> Posterior:
    """The approximation of one member.

    Args:
        core: The model.
        p: Parameters of all members.
        member: Which one.
        f: N seasons.
        weight: (N,) weight of each in training.
        outliers: Share of stray records; a record that is likely one of them counts for less.
    """
    names = tuple(p)
    shapes = tuple(tuple(p[n].shape[1:]) for n in names)
    mean = torch.cat([p[n][member].reshape(-1) for n in names])
    size = len(mean)
    precision = torch.zeros(size, size, dtype=torch.float64)
    step = max(1, MOST_NUMBERS // (CHUNK * f.days))
    used = torch.nonzero(weight > 0)[:, 0]
    for rows in used.split(step):
        part = take(f, rows)

        def both(v: Tensor, part: Features = part) -> Tensor:
            z, z_before = core.event(unpack(v, names, shapes), part, plain=True)
            return torch.stack([z[0], z_before[0]])

        z = both(mean)
        j = derivatives(both, mean)  # (2, n, D)
        curve = curvature(z, part, outliers) * weight[rows].to(torch.float64)  # (2, 2, n)
        for a in range(2):
            for b in range(2):
                precision += j[a].T @ (curve[a, b][:, None] * j[b])

    def deviations(v: Tensor) -> Tensor:
        return torch.cat([r[0] for r in core.residuals(unpack(v, names, shapes))])

    j = derivatives(deviations, mean)
    prior = j.T @ j
    ridge = 1e-6 * torch.eye(size, dtype=torch.float64)  # directions that neither data nor priors know
    return Posterior(names, shapes, mean, torch.linalg.inv(precision + prior + ridge), prior)


def curvature(z: Tensor, f: Features, outliers: float) -> Tensor:
    """(2, 2, n) second derivatives of the negative log-likelihood in progress (at the event, the day before).

    Closed form: with s the logistic density and F the distribution, -log(F(u) - F(v)) has the derivatives below; it is
    convex, so the matrix is never negative. Censored seasons have one entry.
    """
    u, v = z.to(torch.float64)
    v = torch.minimum(v, u - 1e-6)
    up, vp = torch.sigmoid(u), torch.sigmoid(v)
    gap = u - v
    tail = torch.exp(-gap)
    # -log p = -log sigmoid(u) - log sigmoid(-v) - log(1 - exp(-(u - v)))
    inner = tail / (1 - tail) ** 2
    uu, vv, uv = up * (1 - up) + inner, vp * (1 - vp) + inner, -inner
    single = up * (1 - up)
    censored = f.after | f.before
    zero = torch.zeros_like(uu)
    uu, vv, uv = torch.where(censored, single, uu), torch.where(censored, zero, vv), torch.where(censored, zero, uv)
    sure = torch.ones_like(uu)
    if outliers > 0:
        value = log_likelihood(u, v, f.after, f.before) + math.log1p(-outliers)
        stray = torch.where(censored, math.log(outliers * 0.5), math.log(outliers / f.days))
        sure = torch.sigmoid(value - stray)
    return torch.stack([torch.stack([uu, uv]), torch.stack([uv, vv])]) * sure


def take(f: Features, rows: Tensor) -> Features:
    """Some seasons."""
    parts: dict[str, Any] = {field.name: getattr(f, field.name) for field in fields_of(f)}
    some: dict[str, Any] = {k: None if v is None else v[rows] for k, v in parts.items()}
    return Features(**some)
