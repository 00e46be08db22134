"""Small worlds for the tests of the hybrid: seasons of two groups with every kind of record, and uneven parameters."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import torch
from torch import Tensor

from ecotone.data.seasons import Seasons, Status
from ecotone.data.simulated.trees import trees
from ecotone.systems.phenology.hybrid.features import Features, Places, features

Parameters = dict[str, Tensor]


def made(seed: int = 7, sites: int = 3, years: int = 4) -> Seasons:
    """Seasons with measured hours at places far apart; one is right-censored, one left-censored, one unknown."""
    seasons = trees(seed, sites=sites, years=years).seasons
    hours = seasons.hourly()
    status, event = seasons.status.copy(), seasons.event.copy()
    status[1], event[1] = Status.AFTER, 170
    status[years], event[years] = Status.BEFORE, 200
    status[-1], event[-1] = Status.UNKNOWN, np.nan
    where = {
        "latitude": [34.0, 38.0, 43.5][:sites],
        "longitude": [131.0, 138.0, 142.0][:sites],
        "altitude": [20.0, 900.0, 300.0][:sites],
    }
    table = seasons.sites.assign(group=["early", "late", "early"][:sites], **where)
    return replace(seasons, status=status, event=event, sites=table, hours=hours)


def double(f: Features) -> Features:
    """The same in double precision."""
    return replace(
        f,
        **{
            name: value.double()
            for name, value in ((v.name, getattr(f, v.name)) for v in fields(f))
            if isinstance(value, Tensor) and value.is_floating_point()
        },
    )


def ready(
    seasons: Seasons, places: Places | None = None, *, whole_days: bool = False, days: int | None = None
) -> Features:
    """Features in double precision."""
    return double(features(seasons, places or Places.of(seasons), whole_days=whole_days, days=days))


def uneven(p: Parameters, seed: int = 0, scale: float = 0.2) -> Parameters:
    """Parameters moved at random, in double precision; the choice of negation stays."""
    g = torch.Generator().manual_seed(seed)
    moved = {k: v.double() + scale * torch.randn(v.shape, generator=g, dtype=torch.float64) for k, v in p.items()}
    return moved | ({"negation": p["negation"].double()} if "negation" in p else {})
