"""What the data determine of the learned biology, and what they leave open.

The band is that of the curvature and of the differences between members, made wider by a factor for what a normal
approximation leaves out and by an error of form (a smooth network against responses with corners).

A chill response is known only as far as chill ever decided a bloom day: where winters always bring enough of it, any response
fits equally well. This is measured rather than guessed: the band of the response and of the requirements (curvature of the
likelihood with priors), the share of seasons in which less chill would have meant an earlier bloom, how much of the prior's
width is left, how many parameters the data set, which of them go together.
Letters: M members, N seasons, K knots, G sites.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ecotone.contract import Check
from ecotone.data.seasons import Seasons
from ecotone.systems.phenology.hybrid import network
from ecotone.systems.phenology.hybrid.features import KNOTS, Features
from ecotone.systems.phenology.hybrid.model import TEN_DAYS, Hybrid, Parameters
from ecotone.systems.phenology.hybrid.neighbours import alike
from ecotone.systems.phenology.hybrid.uncertainty import Posterior, posterior, take

if TYPE_CHECKING:
    import pandas as pd

    from ecotone.systems.phenology.hybrid.estimator import HybridPhenology

Array = np.ndarray
WIDER, FORM = 1.2, 0.02  # bands of simulated trees of other seeds than any benchmark's hold the truth with these
WIDEST = 0.2  # mean standard deviation of the response (maximum 1) up to which its shape counts as known
NARROWER = 0.8  # share of the width of the priors alone: a stiff shape is narrow without any data
LEAST_LIMITED = 0.1  # share of seasons in which chill must have mattered
EASE, SHIFT = 0.9, 1.0  # a tenth less chill needed, and the whole days of earlier bloom that count as mattering
TAKEN = " It was taken over from another fit; this is what that fit knew of it."
NEAR_KM = 50.0
SAME_PLACE = 1e-6  # degrees or metres; a mean of equal places may differ by rounding
MAIN = ("chill", "heat", "base", "release", "bloom")


@dataclass(frozen=True)
class Learned:
    """The account of one fit.

    Attributes:
        response_sd: (K,) standard deviation of the response at the knots, maximum of the response 1.
        width: Mean of it over the usual winter temperatures.
        prior_width: The same if there were priors alone.
        limited: Share of seasons in which a tenth less chill would have brought bloom forward by a day.
        effective: Parameters that the data set (trace of data curvature times covariance).
        total: All parameters.
        seasons: Seasons learned from.
        station_years: Different pairs of station and year among them.
        correlated: (one, other, correlation) of the most correlated pair of main parameters.
        parameters: Table, one row per site.
    """

    response_sd: Array
    width: float
    prior_width: float
    limited: float
    effective: float
    total: int
    seasons: int
    station_years: int
    correlated: tuple[str, str, float]
    parameters: pd.DataFrame

    @property
    def identified(self) -> bool:
        """Whether the shape of the response is known."""
        known = self.width <= min(WIDEST, NARROWER * self.prior_width)
        return bool(known and self.limited >= LEAST_LIMITED)

    def checks(self, model: HybridPhenology) -> list[Check]:
        """The account as evidence."""
        low, high = model.usual_
        need = self.parameters["chill_requirement"].to_numpy(dtype=float)
        sd = self.parameters["chill_requirement_sd"].to_numpy(dtype=float)
        site = self.parameters["site_id"].astype(str).to_numpy()
        a, b, r = self.correlated
        chill = sd / np.clip(need, 1, None)
        return [
            Check(
                title="Is the chill response identified?",
                claim="mean standard deviation of the response (maximum 1) at usual winter temperatures, at most",
                measured=self.width,
                bound=WIDEST,
                verdict="pass" if self.identified else "fail",
                details=(
                    ("usual winter temperatures", f"{low:.0f} to {high:.0f} degC"),
                    ("with priors alone it would be", f"{self.prior_width:.2f}"),
                    (
                        "members",
                        f"{len(model.steps_)}, stopped after {min(model.steps_)} to {max(model.steps_)} passes",
                    ),
                ),
                note="Where it fails, the learned curve is one of many that fit as well: read its band, not its line."
                + (TAKEN if model.taken_over_ else ""),
            ),
            Check(
                title="Winters in which chill mattered",
                claim="share of seasons in which a tenth less chill would have brought bloom forward by a day, at least",
                measured=self.limited,
                bound=LEAST_LIMITED,
                verdict="pass" if self.limited >= LEAST_LIMITED else "fail",
                note="Where winters always bring enough chill, bloom dates cannot tell what chill is."
                + (TAKEN if model.taken_over_ else ""),
            ),
            Check(
                title="Effective seasons and parameters",
                claim="parameters set by the data rather than by priors",
                measured=self.effective,
                bound=float(self.station_years),
                unit="parameters",
                verdict="note",
                details=(
                    ("parameters in all", str(self.total)),
                    ("seasons", str(self.seasons)),
                    ("different station-years", str(self.station_years)),
                ),
            ),
            Check(
                title="Correlated parameters",
                claim=f"correlation of {a} and {b}, the closest pair of main parameters",
                measured=r,
                bound=0.95,
                verdict="pass" if abs(r) <= 0.95 else "fail",
                note="A correlation near 1 or -1 means that only a combination of the two is known.",
            ),
            Check(
                title="Profile width of the chill requirement",
                claim="standard deviation of a site's chill requirement as a share of it, largest over sites, at most",
                measured=float(chill.max()),
                bound=0.5,
                verdict="pass" if float(chill.max()) <= 0.5 else "fail",
                details=tuple(
                    (str(name), f"{n:.0f} +- {s:.0f} chill days")
                    for name, n, s in zip(site[:12], need[:12], sd[:12], strict=True)
                ),
            ),
            Check(
                title="Parameters at their bounds",
                claim="sites whose chill requirement has shrunk to nothing (under 5 chill days)",
                measured=float((need < 5).sum()),
                bound=0.0,
                unit="sites",
                verdict="pass" if not (need < 5).any() else "fail",
            ),
            *_by_place(model),
        ]


def _by_place(model: HybridPhenology) -> list[Check]:
    """How requirements change with place, where sites of a group are apart."""
    places, p = model.places_, model.parameters_
    reach = np.maximum(places.high, np.abs(places.low))
    if not isinstance(model.core, Hybrid) or not model.config.place or reach.max(initial=0.0) < SAME_PLACE:
        return []
    heat = p["heat_place"].mean(0).numpy().astype(float)
    chill = (p["chill_place"] * TEN_DAYS / model.top(p)).mean(0).numpy().astype(float)
    ways = {"degree farther from the equator": (0, 0.1), "degree farther east": (2, 0.1), "100 m higher": (3, 0.1)}
    change = {way: (np.expm1(heat[k] * share) * 100, chill[k] * share) for way, (k, share) in ways.items()}
    (first, (percent, days)), *others = change.items()
    return [
        Check(
            title="Requirements by place",
            claim=f"change of the forcing requirement per {first}, at the middle of a group",
            measured=float(percent),
            bound=0.0,
            unit="%",
            verdict="note",
            details=(
                ("chill requirement with it", f"{_signed(days)} chill days"),
                *((f"per {way}", f"forcing {_signed(a)} %, chill {_signed(b)} chill days") for way, (a, b) in others),
                (
                    "farthest site from the middle of its group",
                    f"{reach[:, 0].max():.1f} degrees, {reach[:, 2].max():.0f} m",
                ),
                ("sites of a group differ beyond this by", f"{model.apart_.site * 100:.0f} % (standard deviation)"),
                (
                    f"of which sites {NEAR_KM:.0f} km apart have in common",
                    f"{alike(NEAR_KM, model.apart_.weight) * 100:.0f} %",
                ),
            ),
            note="A site that was never seen is answered with what is usual at its place and with what its neighbours have in "
            "common. Few sites say little of either and leave it near zero." + (TAKEN if model.taken_over_ else ""),
        )
    ]


def _signed(value: float) -> str:
    return f"{round(value, 1) + 0.0:+.1f}"  # never -0.0


def learn_about(model: HybridPhenology, f: Features, seasons: Seasons, rows: Array) -> Learned:
    """Measures a fit on the seasons it learned from.

    Args:
        model: Fitted.
        f: Features of all seasons of the fit.
        seasons: The same seasons.
        rows: (N,) which of them it learned from.
    """
    used = take(f, torch.from_numpy(np.flatnonzero(rows)))
    weight = torch.ones(len(used))
    usual = (model.usual_[0] <= KNOTS) & (model.usual_[1] >= KNOTS)
    core, p = model.core, model.parameters_
    station = (
        seasons.sites["station"].astype(str) if "station" in seasons.sites else seasons.sites["site_id"].astype(str)
    )
    pairs = {(s, int(y)) for s, y in zip(station.to_numpy()[seasons.site[rows]], seasons.year[rows], strict=True)}
    counts = {"seasons": int(rows.sum()), "station_years": len(pairs)}
    members = model.members_response(KNOTS)
    if not isinstance(core, Hybrid):  # thousands of weights without priors: only members can be compared
        sd = members.std(0, ddof=1) if len(members) > 1 else np.full(len(KNOTS), np.inf)
        width = float(sd[usual].mean())
        table = _requirements(model, used, seasons, [])
        total = sum(v[0].numel() for v in p.values())
        width = width if np.isfinite(width) else 1.0
        none = ("chill", "heat", float("nan"))
        sd = np.where(np.isfinite(sd), sd, 1.0)
        return Learned(sd, width, 1.0, 0.0, float(total), total, **counts, correlated=none, parameters=table)

    def curve(q: Parameters) -> Tensor:
        r = network.response(q, model.config.response)
        return r / r[:, torch.from_numpy(usual)].amax(-1, keepdim=True)

    found = [posterior(core, p, k, used, weight, model.config.outliers) for k in range(len(model.steps_))]
    within = np.mean([q.spread(curve).numpy() ** 2 for q in found], axis=0)
    between = members.var(0, ddof=1) if len(members) > 1 else 0.0
    sd = np.sqrt(WIDER**2 * (within + between) + FORM**2)
    first = found[0]
    ridge = 1e-3 * torch.eye(len(first.mean), dtype=torch.float64)
    alone = Posterior(first.names, first.shapes, first.mean, torch.linalg.inv(first.prior + ridge), first.prior)
    prior = alone.spread(curve).numpy()
    effective = len(first.mean) - float((first.prior * first.covariance.T).sum())
    return Learned(
        response_sd=sd,
        width=float(sd[usual].mean()),
        prior_width=float(np.sqrt(WIDER**2 * prior**2 + FORM**2)[usual].mean()),
        limited=_limited(core, p, used),
        effective=effective,
        total=len(first.mean),
        **counts,
        correlated=_correlated(first),
        parameters=_requirements(model, used, seasons, found),
    )


def _limited(core: Hybrid, p: Parameters, f: Features) -> float:
    """Share of seasons, mean over members."""
    with torch.no_grad():
        days = [(core.course(p, f, ease=ease).progress < 0).sum(-1).float() for ease in (1.0, EASE)]
        return float((days[0] - days[1] >= SHIFT).float().mean())


def _correlated(q: Posterior) -> tuple[str, str, float]:
    at = [q.part(name).start for name in MAIN]
    some = q.covariance[at][:, at].numpy()
    sd = np.sqrt(np.maximum(np.diag(some), 1e-12))
    r = some / sd[:, None] / sd[None]
    np.fill_diagonal(r, 0)
    i, j = np.unravel_index(np.abs(r).argmax(), r.shape)
    names = {
        "heat": "forcing requirement",
        "chill": "chill requirement",
        "bloom": "bloom slope",
        "release": "release slope",
    }
    return names.get(MAIN[i], MAIN[i]), names.get(MAIN[j], MAIN[j]), float(r[i, j])


def _requirements(model: HybridPhenology, f: Features, seasons: Seasons, found: list[Posterior]) -> pd.DataFrame:
    """One row per site with seasons, requirements of its latest year; standard deviations within and between members."""
    import pandas as pd

    site = f.site.numpy()
    latest = [np.flatnonzero(site == k)[f.year.numpy()[site == k].argmax()] for k in np.unique(site)]
    one = take(f, torch.from_numpy(np.array(latest)))
    core: Any = model.core
    names = [model.places_.sites[k] for k in np.unique(site)]
    table: dict[str, Any] = {"site_id": names, "group": [model.places_.groups[g] for g in one.group.tolist()]}

    def base(q: Parameters) -> Tensor:
        return core.base(q, one.group, one.site) if isinstance(core, Hybrid) else core.scalar(q, "base", one)

    parts = {
        "chill_requirement": lambda q: core.chill_requirement(q, one) / model.top(q),
        "forcing_requirement": lambda q: core.forcing_requirement(q, one),
        "base": base,
    }
    for name, of in parts.items():
        with torch.no_grad():
            values = of(model.parameters_).numpy()
        within = np.mean([q.spread(of).numpy() ** 2 for q in found], axis=0) if found else 0.0
        between = values.var(0, ddof=1) if len(values) > 1 else 0.0
        table[name], table[f"{name}_sd"] = values.mean(0), np.sqrt(within + between) + np.zeros(len(names))
    years = [int((site == k).sum()) for k in np.unique(site)]
    return pd.DataFrame(table).assign(seasons=years)
