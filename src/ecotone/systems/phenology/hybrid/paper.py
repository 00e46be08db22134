"""The published form: a network of the 24 hours of a day, degree days above a base, and five free scalars per site.

    c_t = sigmoid(MLP((x_t - 6.65) / 9.09)),  C_t = sum c / S,  r_t = sigmoid(a_c (C_t - th_c))
    g_t = mean_h relu(x_th - Tb),             G_t = sum g r / S,  z_t = a_g (G_t - th_g),  a = 1 / (s^2 + 0.01)

Source: van Bree, Marcos, Athanasiadis (2025, arXiv 2501.16848) and its recipe as run. Three faults are not repeated: the day
before the first is no longer the last of the season, the logarithm is stable, and weight decay spares the scalars.
Letters: M members, N seasons, S days, G sites.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor

from ecotone.systems.phenology.hybrid.config import HybridConfig
from ecotone.systems.phenology.hybrid.features import MEAN, SPREAD, Features, Places
from ecotone.systems.phenology.hybrid.model import Course, Parameters

SEASON = 274.0  # days the published sums are divided by
SCALARS = {"th_c": 0.0, "th_g": 0.0, "base": 0.0, "s_c": 1.0, "s_g": 1.0}  # their values before training
WEIGHTS = ("w1", "b1", "w2", "b2", "w3", "b3")
DECAY = 1e-4


class Published:
    """The model of the paper for many members at once."""

    def __init__(self, config: HybridConfig, places: Places) -> None:
        self.config, self.places = config, places

    def scalars(self, known: tuple[str, ...]) -> tuple[str, ...]:
        """All of them, also the slopes, which belong to sites here."""
        return tuple(SCALARS)

    def kind(self, f: Features) -> Tensor:
        """(N,) which scalars a season uses; the last ones stand for what is not known."""
        by = self.config.scalars
        return f.site if by == "site" else f.group if by == "group" else torch.zeros_like(f.site)

    def initial(self, members: int, generator: torch.Generator, f: Features) -> Parameters:
        """Weights drawn as torch's linear layers draw them, scalars at their published start."""
        places = self.places
        size = {"site": len(places.sites), "group": len(places.groups), "global": 1}[self.config.scalars]
        p: Parameters = {}
        sizes = (24, self.config.width, self.config.width, 1)
        for k, (a, b) in enumerate(pairwise(sizes), start=1):
            bound = 1 / math.sqrt(a)
            p[f"w{k}"] = (torch.rand(members, a, b, generator=generator) * 2 - 1) * bound
            p[f"b{k}"] = (torch.rand(members, 1, b, generator=generator) * 2 - 1) * bound
        return p | {name: torch.full((members, size), value) for name, value in SCALARS.items()}

    def residuals(self, p: Parameters) -> list[Tensor]:
        """None: the published recipe has no priors, only weight decay."""
        return []

    def scalar(self, p: Parameters, name: str, f: Features) -> Tensor:
        """(M, N); the mean over sites where a site is not known."""
        values = p[name]
        return torch.cat([values, values.mean(1, keepdim=True)], 1)[:, self.kind(f)]

    def units(self, p: Parameters, hours: Tensor) -> Tensor:
        """(M, ...) chill of days with (..., 24) hours."""
        x = ((hours - MEAN) / SPREAD).reshape(-1, 24)
        for k in (1, 2, 3):
            x = torch.matmul(x, p[f"w{k}"]) + p[f"b{k}"]
            x = torch.relu(x) if k < 3 else torch.sigmoid(x)
        return x.view(len(x), *hours.shape[:-1])

    def _sums(self, p: Parameters, f: Features) -> tuple[Tensor, Tensor, Tensor]:
        if f.hours is None:
            raise ValueError("the network of whole days needs hours")
        chill = self.units(p, f.hours).cumsum(-1) / SEASON
        slope = 1 / (self.scalar(p, "s_c", f) ** 2 + 0.01)
        release = torch.sigmoid(slope[..., None] * (chill - self.scalar(p, "th_c", f)[..., None]))
        base = self.scalar(p, "base", f)
        warmth = torch.stack([torch.relu(f.hours - b[:, None, None]).mean(-1) for b in base])
        return chill, release, warmth * release / SEASON

    def _progress(self, p: Parameters, f: Features, gathered: Tensor) -> Tensor:
        slope = 1 / (self.scalar(p, "s_g", f) ** 2 + 0.01)
        need = self.scalar(p, "th_g", f)
        if gathered.ndim == 3:
            slope, need = slope[..., None], need[..., None]
        return slope * (gathered - need)

    def event(self, p: Parameters, f: Features, plain: bool = False) -> tuple[Tensor, Tensor]:
        """(M, N) progress at the event and the day before."""
        _, _, forcing = self._sums(p, f)
        upto = torch.arange(f.days)[None] <= f.event[:, None]
        total = (forcing * upto).sum(-1)
        last = forcing.gather(2, f.event.view(1, -1, 1).expand(len(forcing), -1, 1))[..., 0]
        return self._progress(p, f, total), self._progress(p, f, total - last)

    def course(self, p: Parameters, f: Features, ease: float = 1.0) -> Course:
        """Everything on every day, in chill days (1 at most per day) and degC d."""
        chill, release, forcing = self._sums(p, f)
        gathered = forcing.cumsum(-1)
        return Course(chill * SEASON, release, gathered * SEASON, self._progress(p, f, gathered))

    def chill_requirement(self, p: Parameters, f: Features) -> Tensor:
        """(M, N) in chill days of the network."""
        return self.scalar(p, "th_c", f) * SEASON

    def forcing_requirement(self, p: Parameters, f: Features) -> Tensor:
        """(M, N) in degC d."""
        return self.scalar(p, "th_g", f) * SEASON
