"""A small stand-in with the interface of the hybrid, for tests of the system around it: fixed triangle, fitted requirements."""

from __future__ import annotations

import importlib
import sys
import types
from contextlib import suppress
from typing import Any

import numpy as np
import pandas as pd

from ecotone.contract import Check
from ecotone.systems.phenology.distribution import BloomDays
from ecotone.systems.phenology.recovery import FittedResponse

NAME = "ecotone.systems.phenology.hybrid.estimator"


class HybridPhenology:
    """Triangular chill, then degree days; members differ in their peak."""

    def __init__(self, config: Any = None, **options: Any) -> None:
        from ecotone.systems.phenology.hybrid.config import HybridConfig

        self.config = config if config is not None else HybridConfig(**options)

    def _peaks(self) -> np.ndarray:
        rng = np.random.default_rng(self.config.seed)
        return 5 + rng.normal(0, 0.7, self.config.members)

    def _units(self, seasons: Any) -> tuple[np.ndarray, np.ndarray]:
        hours = np.concatenate([seasons.hourly(slice(k, k + 64)) for k in range(0, max(len(seasons), 1), 64)]).astype(
            float
        )
        chill = np.stack([np.clip(1 - np.abs(hours - p) / 7, 0, None).mean(-1).cumsum(1) for p in self._peaks()])
        return chill, np.clip(hours - 2, 0, None).mean(-1)

    def _grow(self, chill: np.ndarray, warm: np.ndarray, need: np.ndarray) -> np.ndarray:
        return (warm / (1 + np.exp(-(chill - need[..., None]) / 1.5))).cumsum(-1)

    def fit(self, seasons: Any, progress: Any = None) -> HybridPhenology:
        seasons = seasons.take(seasons.observed)
        chill, warm = self._units(seasons)
        at = seasons.event.astype(int)
        rows = np.arange(len(at))
        names = seasons.site_id.astype(str)
        self.sites = sorted(set(names))
        self.need = np.stack([[0.55 * np.median(c[rows, at][names == s]) for s in self.sites] for c in chill])
        place = np.array([self.sites.index(n) for n in names])
        grown = self._grow(chill, warm, self.need[:, place])
        reached = grown[:, rows, at]
        self.forcing = np.stack([[np.median(r[names == s]) for s in self.sites] for r in reached])
        off = reached - self.forcing[:, place]
        self.scale = np.array([max(float(np.std(off)), 3.0)])
        found = self.predict(seasons)
        ends = found.quantiles((0.05, 0.95))
        self.frame = pd.DataFrame(
            {
                "site_id": names,
                "year": seasons.year,
                "observed": seasons.event,
                "day": found.day + 0.3,
                "q05": ends[:, 0],
                "q95": ends[:, 1],
            }
        )
        return self

    def _site(self, seasons: Any) -> tuple[np.ndarray, np.ndarray]:
        known = {s: k for k, s in enumerate(self.sites)}
        need = np.stack(
            [self.need[:, known[n]] if n in known else self.need.mean(1) for n in seasons.site_id.astype(str)], 1
        )
        forcing = np.stack(
            [self.forcing[:, known[n]] if n in known else self.forcing.mean(1) for n in seasons.site_id.astype(str)], 1
        )
        return need, forcing

    def predict(self, seasons: Any) -> BloomDays:
        chill, warm = self._units(seasons)
        need, forcing = self._site(seasons)
        z = (self._grow(chill, warm, need) - forcing[..., None]) / self.scale[0]
        return BloomDays.from_cdf((1 / (1 + np.exp(-np.clip(1.7 * z, -50, 50)))).mean(0))

    def members_response(self, temperature: np.ndarray) -> np.ndarray:
        return np.stack([np.clip(1 - np.abs(temperature - p) / 7, 0, None) for p in self._peaks()])

    def response(self, temperature: np.ndarray, level: float = 0.9) -> FittedResponse:
        all_of = self.members_response(temperature)
        low, high = np.quantile(all_of, [(1 - level) / 2, (1 + level) / 2], axis=0)
        return FittedResponse(temperature, all_of.mean(0), low - 0.05, high + 0.05, True)

    def forcing_response(self, temperature: np.ndarray) -> np.ndarray:
        return np.repeat(np.clip(temperature - 2, 0, None)[None, None], self.config.members, axis=0)

    def accumulation(self, seasons: Any) -> Any:
        chill, warm = self._units(seasons)
        need, forcing = self._site(seasons)
        grown = self._grow(chill, warm, need)
        return types.SimpleNamespace(
            chill=chill.mean(0),
            released=(1 / (1 + np.exp(-(chill - need[..., None]) / 1.5))).mean(0),
            forcing=grown.mean(0),
            bloomed=self.predict(seasons).cdf,
            chill_requirement=need.mean(0),
            forcing_requirement=forcing.mean(0),
        )

    def parameters(self) -> pd.DataFrame:
        return pd.DataFrame(
            {
                "site_id": self.sites,
                "group": "",
                "chill_requirement": self.need.mean(0),
                "forcing_requirement": self.forcing.mean(0),
                "base": 2.0,
            }
        )

    def identifiability(self) -> list[Check]:
        return [Check(title="Chill is identified", claim="nothing is tested by a stand-in", measured=1.0)]

    def held_out_days(self) -> pd.DataFrame:
        return self.frame

    def tensors(self) -> dict[str, np.ndarray]:
        numbers = self.frame.drop(columns="site_id").to_numpy(dtype=float)
        return {"need": self.need, "forcing": self.forcing, "scale": self.scale, "held": numbers}

    def notes(self) -> dict[str, Any]:
        return {"sites": self.sites, "held": list(self.frame["site_id"])}

    @classmethod
    def shapes(cls, config: Any, notes: dict[str, Any]) -> dict[str, tuple[int, ...]]:
        shape = (config.members, len(notes["sites"]))
        return {"need": shape, "forcing": shape, "scale": (1,), "held": (len(notes["held"]), 5)}

    @classmethod
    def restore(cls, config: Any, tensors: dict[str, np.ndarray], notes: dict[str, Any]) -> HybridPhenology:
        made = cls(config)
        made.need, made.forcing, made.scale, made.sites = (
            tensors["need"],
            tensors["forcing"],
            tensors["scale"],
            list(notes["sites"]),
        )
        made.frame = pd.DataFrame(tensors["held"], columns=["year", "observed", "day", "q05", "q95"])
        made.frame["year"] = made.frame["year"].astype(int)
        made.frame.insert(0, "site_id", notes["held"])
        return made


def install() -> None:
    """Puts the stand-in where the hybrid belongs, unless a hybrid that can be stored is there."""
    with suppress(ImportError):
        if hasattr(importlib.import_module(NAME).HybridPhenology, "restore"):
            return
    module = types.ModuleType(NAME)
    module.HybridPhenology = HybridPhenology  # type: ignore[attr-defined]
    sys.modules[NAME] = module
