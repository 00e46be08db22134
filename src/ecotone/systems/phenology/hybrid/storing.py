"""A fitted hybrid as finite tensors and plain JSON, and back.

What answers is stored exactly; of what was learned about the fit only the account is kept, not the seasons it came from.
Letters: M members, K knots, G sites, P groups, H held-out seasons.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ecotone.systems.phenology.hybrid.config import HybridConfig
from ecotone.systems.phenology.hybrid.features import KNOTS, TERMS, Places, Where
from ecotone.systems.phenology.hybrid.neighbours import PATTERNS
from ecotone.systems.phenology.hybrid.spread import Sites

if TYPE_CHECKING:
    from ecotone.systems.phenology.hybrid.estimator import HybridPhenology

Array = np.ndarray
Shapes = dict[str, tuple[int, ...]]
TABLE = (
    "chill_requirement",
    "chill_requirement_sd",
    "forcing_requirement",
    "forcing_requirement_sd",
    "base",
    "base_sd",
    "seasons",
)
HELD = ("row", "site", "year", "fold", "observed", "day", "q05", "q95")
NOTHING = -1e9  # stands for NaN
ACCOUNT = ("width", "prior_width", "limited", "effective", "total", "seasons", "station_years")


def tensors(model: HybridPhenology) -> dict[str, Array]:
    """Parameters, the spread of the response, requirements with their spread, held-out answers (NaN as `NOTHING`)."""
    learned, held = model.learned(), model.held_out_days()
    found = {k: v.detach().numpy() for k, v in model.parameters_.items()}
    found["about.response_sd"] = np.asarray(learned.response_sd, dtype=np.float64)
    found["about.table"] = _filled(learned.parameters[list(TABLE)].to_numpy(dtype=float))
    found["about.offset"] = _filled(np.column_stack([model.apart_.offset, model.apart_.noise, model.apart_.moved]))
    found["about.pattern"] = model.apart_.weight
    places = model.places_
    found["about.where"] = _filled(np.array(places.where, dtype=float))
    found["about.amid"] = _filled(np.hstack([places.centre, places.low, places.high]))
    found["about.held"] = np.zeros((0, len(HELD)))
    if len(held):
        place = {name: k for k, name in enumerate(model.places_.sites)}
        held = held.assign(site=[place[str(s)] for s in held["site_id"]])
        found["about.held"] = _filled(held[list(HELD)].to_numpy(dtype=float))
    return found


def notes(model: HybridPhenology) -> dict[str, Any]:
    """Names, numbers and the account of the fit."""
    learned, places = model.learned(), model.places_
    one, other, r = learned.correlated
    return {
        "sites": list(places.sites),
        "groups": list(places.groups),
        "group_of": list(places.group_of),
        "seen": [bool(s) for s in model.seen_],
        "scale": float(model.scale_),
        "steps": [int(s) for s in model.steps_],
        "history": [
            [int(a), float(b), float(c)] for a, b, c in model.history_ if math.isfinite(b) and math.isfinite(c)
        ],
        "usual": list(map(float, model.usual_)),
        "years": list(map(int, model.years_)),
        "spread": [float(model.apart_.site), float(model.apart_.group)],
        "held": len(model.held_out_days()),
        "taken_over": bool(model.taken_over_),
        "account": {name: float(getattr(learned, name)) for name in ACCOUNT},
        "correlated": [one, other, float(r) if math.isfinite(r) else None],
        "learned_sites": [str(s) for s in learned.parameters["site_id"]],
        "learned_groups": [str(s) for s in learned.parameters["group"]],
    }


def shapes(config: HybridConfig, notes: dict[str, Any]) -> Shapes:
    """Tensor name -> shape that belongs to a configuration and notes."""
    m, g, p, w = len(notes["steps"]), len(notes["sites"]), len(notes["groups"]), config.width
    if config.network == "day":
        from ecotone.systems.phenology.hybrid.paper import SCALARS

        size = {"site": g, "group": p, "global": 1}[config.scalars]
        found: Shapes = {
            "w1": (m, 24, w),
            "b1": (m, 1, w),
            "w2": (m, w, w),
            "b2": (m, 1, w),
            "w3": (m, w, 1),
            "b3": (m, 1, 1),
        }
        found |= dict.fromkeys(SCALARS, (m, size))
    else:
        found = dict.fromkeys(("net_in", "net_bias", "net_out"), (m, w))
        found |= dict.fromkeys(("net_level", "negation", "base", "bend", "release", "bloom", "heat", "chill"), (m, 1))
        found |= dict.fromkeys(("chill_group", "heat_group", "base_group", "bloom_group"), (m, p))
        found |= dict.fromkeys(("chill_place", "heat_place"), (m, len(TERMS)))
        found |= dict.fromkeys(("chill_site", "heat_site", "base_site", "drift_site"), (m, g))
    about: Shapes = {"about.response_sd": (len(KNOTS),), "about.table": (len(notes["learned_sites"]), len(TABLE))}
    about |= {"about.offset": (g, 5), "about.where": (g, 3), "about.amid": (p, 9), "about.pattern": (len(PATTERNS),)}
    return found | about | {"about.held": (int(notes["held"]), len(HELD))}


def restore(model: HybridPhenology, tensors: dict[str, Array], notes: dict[str, Any]) -> HybridPhenology:
    """Fills an unfitted model.

    Raises:
        ValueError, KeyError, TypeError: When parts do not fit together.
    """
    import pandas as pd
    import torch

    from ecotone.systems.phenology.hybrid.identify import Learned

    sites, groups = tuple(map(str, notes["sites"])), tuple(map(str, notes["groups"]))
    group_of = tuple(int(k) for k in notes["group_of"])
    seen = tuple(bool(s) for s in notes["seen"])
    if len(group_of) != len(sites) or len(seen) != len(sites) or not all(0 <= k < len(groups) for k in group_of):
        raise ValueError("sites and groups do not fit together")
    where = _rows(_empty(tensors["about.where"]))
    centre, low, high = np.split(_empty(tensors["about.amid"]), 3, axis=1)
    if not ((low <= 0) & (high >= 0)).all():
        raise ValueError("groups and their edges do not fit together")
    model.places_ = Places(sites, groups, group_of, where, _rows(centre), _rows(low), _rows(high))
    model.seen_ = seen
    model.parameters_ = {k: torch.from_numpy(v.copy()) for k, v in tensors.items() if not k.startswith("about.")}
    model.scale_, model.steps_ = float(notes["scale"]), tuple(int(s) for s in notes["steps"])
    model.history_ = tuple((int(a), float(b), float(c)) for a, b, c in notes["history"])
    low, high = map(float, notes["usual"])
    first, last = map(int, notes["years"])
    one, two = map(float, notes["spread"])
    if min(one, two, *tensors["about.pattern"]) < 0:
        raise ValueError("spreads and weights cannot be negative")
    model.taken_over_ = bool(notes["taken_over"])
    model.usual_, model.years_ = (low, high), (first, last)
    offset, noise, *moved = _empty(tensors["about.offset"]).T
    model.apart_ = Sites(offset, noise, one, two, tensors["about.pattern"], np.column_stack(moved))
    numbers = {k: _empty(tensors["about.table"][:, i]) for i, k in enumerate(TABLE)}
    table = pd.DataFrame({"site_id": notes["learned_sites"], "group": notes["learned_groups"]} | numbers)
    table["seasons"] = table["seasons"].astype(int)
    account = {name: float(notes["account"][name]) for name in ACCOUNT}
    whole = {name: int(account.pop(name)) for name in ("total", "seasons", "station_years")}
    a, b, r = notes["correlated"]
    correlated = str(a), str(b), math.nan if r is None else float(r)
    model._learned = Learned(tensors["about.response_sd"], **account, **whole, correlated=correlated, parameters=table)  # type: ignore[arg-type]
    held = pd.DataFrame({k: _empty(tensors["about.held"][:, i]) for i, k in enumerate(HELD)})
    held = held.astype({"row": int, "site": int, "year": int, "fold": int})
    held["site_id"] = np.array(sites, dtype=object)[held["site"].to_numpy()]
    model._stored_days = held[["row", "site_id", "year", "fold", "observed", "day", "q05", "q95"]]
    return model


def _rows(rows: Any) -> tuple[Where, ...]:
    return tuple((float(a), float(b), float(c)) for a, b, c in rows)


def _filled(values: Array) -> Array:
    return np.where(np.isfinite(values), values, NOTHING)


def _empty(values: Array) -> Array:
    return np.where(values == NOTHING, np.nan, values)
