"""The hybrid phenology model as an estimator: seasons in, distributions over the day of bloom out, its biology to look at.

Letters: M members, N seasons, S days, K temperatures, G sites, P groups.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from ecotone.contract import Check
from ecotone.data.seasons import Seasons, Status
from ecotone.errors import InputError
from ecotone.systems.phenology.distribution import BloomDays, quantile
from ecotone.systems.phenology.hybrid import judging, network, storing
from ecotone.systems.phenology.hybrid.config import HybridConfig
from ecotone.systems.phenology.hybrid.features import KNOTS, Features, Places, features
from ecotone.systems.phenology.hybrid.identify import Learned, learn_about
from ecotone.systems.phenology.hybrid.members import Fit, lay_out, stack
from ecotone.systems.phenology.hybrid.model import Core, Hybrid, Parameters
from ecotone.systems.phenology.hybrid.paper import DECAY, WEIGHTS, Published
from ecotone.systems.phenology.hybrid.spread import NODES, Sites, sites_apart
from ecotone.systems.phenology.hybrid.train import Trained, train
from ecotone.systems.phenology.hybrid.uncertainty import take
from ecotone.systems.phenology.recovery import FittedResponse, winter_hours

Array = np.ndarray
ROWS = 128  # seasons answered at a time
LEAST = 5  # seasons a fit needs
LATER = 15  # days after the last bloom that held-out years may still be late by
BEYOND = 0  # years beyond those of training up to which a drift goes on


class Accumulation(NamedTuple):
    """A season day by day, mean over members.

    Attributes:
        chill: (N, S) chill days so far.
        released: (N, S) share of forcing that counts, 0..1.
        forcing: (N, S) degC d gathered.
        bloomed: (N, S) probability of bloom by the end of the day.
        chill_requirement: (N,) chill days.
        forcing_requirement: (N,) degC d.
    """

    chill: Array
    released: Array
    forcing: Array
    bloomed: Array
    chill_requirement: Array
    forcing_requirement: Array


@dataclass(frozen=True)
class _Work:
    """What a fit leaves for questions about it; not stored with the model."""

    features: Features
    seasons: Seasons
    rows: Array


class HybridPhenology:
    """Chill response learned by a network inside a model of chill, release and forcing.

    Args:
        config: Settings; or give them as keywords.

    Attributes:
        places_: Known sites and groups.
        parameters_: Parameters of the answering members.
        scale_: Factor on the progress that makes held-out years as likely as can be.
        steps_: Pass at which each answering member was stopped.
        history_: (pass, training loss, held-out loss).
        taken_over_: Whether the chill response is that of another fit.
    """

    places_: Places
    parameters_: Parameters
    scale_: float
    steps_: tuple[int, ...]
    history_: tuple[tuple[int, float, float], ...]
    usual_: tuple[float, float]
    years_: tuple[int, int]
    seen_: tuple[bool, ...]
    apart_: Sites
    taken_over_: bool = False
    _work: _Work | None = None
    _held: dict[str, Array] | None = None
    _learned: Learned | None = None
    _stored_days: Any = None

    def __init__(self, config: HybridConfig | None = None, **options: Any) -> None:
        self.config = config if config is not None else HybridConfig.parse(options)

    # -------------------------------------------------------------------------------------------- learning
    def fit(self, seasons: Seasons, progress: Callable[[int, int], None] | None = None) -> Self:
        """Learns from seasons with a known or censored bloom.

        Args:
            seasons: N seasons; those without temperatures on every day up to their event are passed over.
            progress: Called with (pass, passes).

        Raises:
            InputError: PH616 when fewer than five seasons can be used.
        """
        (found,) = self.fit_splits(seasons, [np.ones(len(seasons), dtype=bool)], self.config, progress=progress)
        self.__dict__.update(found.__dict__)
        return self

    @classmethod
    def fit_splits(
        cls,
        seasons: Seasons,
        rows: Sequence[Array],
        config: HybridConfig,
        seeds: Sequence[int] | None = None,
        progress: Callable[[int, int], None] | None = None,
        start_from: HybridPhenology | None = None,
    ) -> list[Self]:
        """Fits one model per split of the seasons, all in one batch.

        Args:
            seasons: N seasons.
            rows: (N,) masks, one per fit: what it may learn from.
            config: Settings of all.
            seeds: One per fit; `config.seed` and following by default.
            progress: Called with (pass, passes).
            start_from: A model whose chill response, slopes and base are taken over and kept.
        """
        like = None if start_from is None else start_from.places_
        places = Places.of(seasons, like)
        site, group = places.find(seasons)
        order = np.lexsort((seasons.year, site, group))  # seasons of a group side by side, as the model likes them
        seasons, rows = seasons.take(order), [np.asarray(mask)[order] for mask in rows]
        usable = usable_rows(seasons)
        known = [np.asarray(mask) & usable for mask in rows]
        if min(int(k.sum()) for k in known) < LEAST:
            what = f"{min(int(k.sum()) for k in known)} seasons with bloom and temperatures up to it"
            raise InputError("PH616", "fit", what, f"give at least {LEAST}")
        if not all((k & seasons.observed).any() for k in known):
            raise InputError(
                "PH616", "fit", "seasons with censored bloom only", "give seasons with a known day of bloom"
            )
        last = int(np.nanmax(np.where(usable, seasons.event, np.nan))) + LATER
        f = without_gaps(features(seasons, places, whole_days=config.network == "day", days=last))
        seeds = list(seeds) if seeds is not None else [config.seed + k for k in range(len(rows))]
        year = np.asarray(seasons.year)
        fits = [
            lay_out(year, own, seed, config.members, config.held_out) for own, seed in zip(known, seeds, strict=True)
        ]
        core = new_core(config, places)
        start = _start(core, config, f, fits, start_from)
        weight, judged = stack(fits)
        together = torch.cat([torch.full((fit.members,), k) for k, fit in enumerate(fits)])
        result = train(
            core,
            start,
            f,
            weight,
            judged,
            steps=config.steps,
            learning_rate=config.learning_rate,
            outliers=config.outliers,
            together=together,
            fixed=("negation",)
            if start_from is None
            else tuple(k for k in start if k not in core.scalars(start_from.places_.groups)),
            decay=(DECAY, WEIGHTS) if config.network == "day" else (0.0, ()),
            schedule="steps" if config.preset == "paper" else "cosine",
            watch=None if progress is None else lambda step: progress(step, config.steps),
        )
        models, first = [], 0
        for fit in fits:
            own = slice(first, first + fit.members)
            models.append(cls(config)._adopt(seasons, f, places, fit, result, own, like))
            first += fit.members
        return models

    def _adopt(
        self, seasons: Seasons, f: Features, places: Places, fit: Fit, result: Trained, own: slice, like: Places | None
    ) -> Self:
        seen = np.isin(np.arange(len(places.sites)), f.site.numpy()[fit.rows])
        self.places_, self.seen_ = places.within(seen, like), tuple(seen.tolist())
        self.history_ = result.history
        self._learned = self._stored_days = None  # of an earlier fit
        self.taken_over_ = False
        members = {k: v[own] for k, v in result.parameters.items()}
        kept = judging.as_good(
            core := self.core, {k: v[: fit.answering] for k, v in members.items()}, f, fit, self.config.outliers
        )
        self.parameters_ = {k: v[: fit.answering][kept].contiguous() for k, v in members.items()}
        self.steps_ = tuple(np.array(result.steps[own][: fit.answering])[kept].tolist())
        self._work = _Work(f, seasons, fit.rows)
        learned = seasons.take(fit.rows)
        self.years_ = int(learned.year.min()), int(learned.year.max())
        winter = winter_hours(learned)
        usual = winter.temperature[winter.usual()]
        self.usual_ = (float(usual.min()), float(usual.max())) if len(usual) else (0.0, 10.0)
        self._held = judging.held_out(core, {k: v[fit.answering :] for k, v in members.items()}, f, fit)
        self.scale_ = judging.scale(self._held, f)
        bloomed = torch.from_numpy(fit.rows) & f.usable & ~f.after & ~f.before
        self.apart_ = sites_apart(core, self.parameters_, places, f, torch.nonzero(bloomed)[:, 0])
        return self

    @property
    def core(self) -> Any:
        """The model behind, ours or the published form."""
        return new_core(self.config, self.places_)

    # -------------------------------------------------------------------------------------------- answering
    def predict(self, seasons: Seasons) -> BloomDays:
        """Distributions over the day of bloom; a site that is not known gets a wider one.

        Seasons without temperatures before the predicted day are NaN with the reason.
        """
        cdf = np.full((len(seasons), seasons.length), np.nan)
        reason = np.full(len(seasons), "", dtype=object)
        missing = first_missing(seasons)
        core = self.core
        for start in range(0, len(seasons), ROWS):
            rows = np.arange(start, min(start + ROWS, len(seasons)))
            f = self._features(seasons.take(rows))
            with torch.no_grad():
                z = core.course(self.parameters_, f).progress
                cdf[rows] = self._mixture(z, f).mean(0).numpy()
        found = quantile(cdf, 0.5)
        for i in np.flatnonzero(missing < seasons.length):
            if not found[i] < missing[i]:
                day = str(seasons.dates(np.full(len(seasons), float(missing[i])))[i])
                reason[i] = f"no temperature on {day}, before bloom could be predicted"
                cdf[i] = np.nan
        return BloomDays.from_cdf(cdf, reason)

    def _features(self, seasons: Seasons) -> Features:
        f = without_gaps(features(seasons, self.places_, whole_days=self.config.network == "day"))
        late, early = (max(self.years_) + BEYOND - 1990) / 20, (min(self.years_) - BEYOND - 1990) / 20
        return replace(f, year=f.year.clamp(early, late))

    def _mixture(self, z: Tensor, f: Features) -> Tensor:
        """(M, N, S) probabilities: sites that are not known average over how sites differ."""
        cdf = torch.sigmoid(self.scale_ * z)
        new = torch.from_numpy(np.flatnonzero(self._new(f)))
        if len(new) and isinstance(self.core, Hybrid):
            some = take(f, new)
            slope = torch.exp(self.parameters_["bloom"] + _group(self.parameters_["bloom_group"], some.group))[
                ..., None
            ]
            grown = z[:, new] / slope + 1  # forcing in units of the requirement
            mean, sd = (torch.from_numpy(v).to(z)[:, None] for v in self.apart_.between(self.places_, some))
            total = torch.zeros_like(grown)
            for node, weight in NODES:
                total += weight * torch.sigmoid(self.scale_ * slope * (grown * torch.exp(-mean - sd * node) - 1))
            cdf[:, new] = total
        return cdf

    def _new(self, f: Features) -> Array:
        """(N,) whether nothing was learned from the site."""
        return ~np.append(np.array(self.seen_, dtype=bool), False)[f.site.numpy()]

    def accumulation(self, seasons: Seasons) -> Accumulation:
        """What happens on each day of each season, mean over members."""
        f = self._features(seasons)
        core, p = self.core, self.parameters_
        with torch.no_grad():
            course = core.course(p, f)
            need = core.chill_requirement(p, f), core.forcing_requirement(p, f)
            if isinstance(core, Hybrid) and (new := self._new(f)).any():
                usual, _ = self.apart_.between(self.places_, f)
                need = need[0], need[1] * torch.from_numpy(np.exp(np.where(new, usual, 0.0))).to(need[1])
            top = self.top(p)
            chill, needed = course.chill / top[..., None], need[0] / top
            parts = (chill, course.release, course.forcing, self._mixture(course.progress, f), needed, need[1])
        return Accumulation(*(v.mean(0).numpy().astype(float) for v in parts))

    # -------------------------------------------------------------------------------------------- biology
    def top(self, p: Parameters) -> Tensor:
        """(M, 1) largest response at a usual winter temperature; chill is counted in days at that temperature."""
        usual = torch.from_numpy((self.usual_[0] <= KNOTS) & (self.usual_[1] >= KNOTS))
        return self._at_knots(p)[:, usual].amax(1, keepdim=True)

    def _at_knots(self, p: Parameters) -> Tensor:
        if isinstance(self.core, Published):
            return self.core.units(p, torch.as_tensor(np.repeat(KNOTS[:, None], 24, 1), dtype=torch.float32))
        return network.response(p, self.config.response)

    def members_response(self, temperature: Array) -> Array:
        """(M, K) chill response of each member at temperatures (degC), maximum 1 over the usual winter temperatures.

        The published network is asked for days of one constant temperature.
        """
        x = np.asarray(temperature, dtype=float)
        with torch.no_grad():
            values = (self._at_knots(self.parameters_) / self.top(self.parameters_)).numpy()
        return np.stack([np.interp(x, KNOTS, v) for v in values])

    def response(self, temperature: Array, level: float = 0.9) -> FittedResponse:
        """The chill response with its band: of each member by its curvature, and between members."""
        x = np.asarray(temperature, dtype=float)
        mean = self.members_response(x).mean(0)
        learned = self.learned()
        sd = np.interp(x, KNOTS, learned.response_sd)
        from scipy.stats import norm

        z = float(norm.ppf(0.5 + level / 2))
        # warm hours may undo chill: the curve may be negative, and its band as well
        lower = np.clip(mean - z * sd, min(0.0, float(mean.min())), None)
        upper = np.clip(mean + z * sd, None, max(1.0, float(mean.max())))
        return FittedResponse(x, mean, lower, upper, learned.identified)

    def forcing_response(self, temperature: Array) -> Array:
        """(M, P, K) warmth per day at a constant temperature (degC), for each group."""
        x = np.asarray(temperature, dtype=float)
        p, q = self.parameters_, len(self.places_.groups)
        with torch.no_grad():
            if isinstance(self.core, Published):
                base = p["base"].mean(1)[:, None].expand(-1, q).numpy()
                return np.maximum(x - base[..., None], 0)
            unknown = torch.full((q,), len(self.places_.sites))
            curve = self.core.forcing_response(p, self.core.base(p, torch.arange(q), unknown)).numpy()
        return np.stack([[np.interp(x, KNOTS, c) for c in member] for member in curve])

    def parameters(self) -> Any:
        """One row per site: chill_requirement (chill days), forcing_requirement (degC d), base (degC), each with its sd."""
        return self.learned().parameters

    def identifiability(self) -> list[Check]:
        """What the data determine and what they do not, as checks."""
        return self.learned().checks(self)

    def learned(self) -> Learned:
        """Standard deviations and limits of what was learned, computed when first asked for."""
        if self._learned is None:
            if self._work is None:
                raise InputError("DA404", "hybrid", "a stored model without its report", "fit it again")
            work = self._work
            self._learned = learn_about(self, work.features, work.seasons, work.rows)
        return self._learned

    def held_out_days(self) -> Any:
        """Held-out years as the judged members answer: site_id, year, fold, observed, day, q05, q95 (day indices)."""
        import pandas as pd

        if self._stored_days is not None:
            return self._stored_days.copy()
        if self._held is None or self._work is None:
            return pd.DataFrame(columns=["site_id", "year", "fold", "observed", "day", "q05", "q95"])
        held, seasons = self._held, self._work.seasons
        rows = held["row"]
        z = held["z"] * self.scale_
        cdf = 1 / (1 + np.exp(-np.clip(z, -60, 60)))
        low, mid, high = (quantile(cdf, q) for q in (0.05, 0.5, 0.95))
        return pd.DataFrame(
            {
                "row": rows,
                "site_id": seasons.site_id[rows],
                "year": seasons.year[rows],
                "fold": held["fold"],
                "observed": np.where(seasons.status[rows] == Status.OBSERVED, seasons.event[rows], np.nan),
                "day": mid,
                "q05": low,
                "q95": high,
            }
        )

    # -------------------------------------------------------------------------------------------- storing
    def tensors(self) -> dict[str, Array]:
        """What is learnt, finite arrays by name."""
        return storing.tensors(self)

    def notes(self) -> dict[str, Any]:
        """What else must be stored, plain JSON types."""
        return storing.notes(self)

    @classmethod
    def shapes(cls, config: HybridConfig, notes: dict[str, Any]) -> dict[str, tuple[int, ...]]:
        """Tensor name -> shape that the weights must have."""
        return storing.shapes(config, notes)

    @classmethod
    def restore(cls, config: HybridConfig, tensors: dict[str, Array], notes: dict[str, Any]) -> HybridPhenology:
        """The model again.

        Raises:
            ValueError, KeyError, TypeError: When parts do not fit together.
        """
        return storing.restore(cls(config), tensors, notes)

    def transfer(
        self,
        seasons: Seasons,
        config: HybridConfig | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> HybridPhenology:
        """A model of other sites with this one's chill response, slopes and bases kept: only requirements are learned.

        Those of sites are drawn to the kept one of their group; groups that are new here are drawn to the mean of all.

        Args:
            seasons: Of the other sites.
            config: How it learns; network, response and width are those of this model. This model's settings by default.
            progress: Called with (pass, passes).
        """
        kept = {name: getattr(self.config, name) for name in ("network", "response", "width")}
        config = (config or self.config).model_copy(update=kept)
        mask = [np.ones(len(seasons), dtype=bool)]
        (found,) = type(self).fit_splits(seasons, mask, config, [config.seed], progress, start_from=self)
        found.usual_, found.scale_, found.taken_over_ = self.usual_, self.scale_, True
        about = self.learned()  # what is known of the response is what that fit knew
        own = found.learned()
        shared = ("response_sd", "width", "prior_width", "limited")
        found._learned = replace(own, **{name: getattr(about, name) for name in shared})
        return found


# ------------------------------------------------------------------------------------------------ parts
def new_core(config: HybridConfig, places: Places) -> Hybrid | Published:
    """Ours, or the published form."""
    return Published(config, places) if config.network == "day" else Hybrid(config, places)


def first_missing(seasons: Seasons) -> Array:
    """(N,) first day without temperature, S where there is none."""
    values = seasons.daily[..., :2] if seasons.hours is None else seasons.hours
    bad = ~np.asarray(np.isfinite(values).all(axis=2))
    return np.where(bad.any(1), bad.argmax(1), seasons.length)


def without_gaps(f: Features) -> Features:
    """Days without temperature add neither chill nor forcing: what they would have added must not matter to the caller."""
    share = f.share.nan_to_num(0.0)
    hours = None if f.hours is None else f.hours.nan_to_num(-40.0)
    return replace(f, share=share, summed=share.cumsum(1), hours=hours, until_event=f.until_event.nan_to_num(0.0))


def usable_rows(seasons: Seasons) -> Array:
    """(N,) seasons that can teach: something is known of bloom, and every day up to it has temperatures."""
    known = (seasons.status != Status.UNKNOWN) & np.isfinite(seasons.event)
    return known & (first_missing(seasons) > np.nan_to_num(seasons.event))


def _group(values: Tensor, group: Tensor) -> Tensor:
    return torch.cat([values, values.new_zeros(len(values), 1)], 1)[:, group]


def _taken(core: Core, old: HybridPhenology) -> Parameters:
    """What a model of other sites takes over: all but sites; groups by their names, new ones at the mean of all."""
    groups, found = core.places.groups, {}
    known = [k for k, name in enumerate(groups) if name in old.places_.groups]
    there = [old.places_.groups.index(groups[k]) for k in known]
    for name, values in old.parameters_.items():
        if name.endswith("_group"):
            found[name] = values.new_zeros(len(values), len(groups))
            found[name][:, known] = values[:, there]
        elif not name.endswith("_site") and (isinstance(core, Hybrid) or name not in core.scalars(())):
            found[name] = values
    return found


def _start(
    core: Core, config: HybridConfig, f: Features, fits: Sequence[Fit], old: HybridPhenology | None
) -> Parameters:
    """Parameters before training; each fit starts from what its own seasons say."""
    parts = []
    for fit in fits:
        generator = torch.Generator().manual_seed(fit.seed)
        parts.append(core.initial(fit.members, generator, take(f, torch.from_numpy(np.flatnonzero(fit.rows)))))
    start = {k: torch.cat([p[k] for p in parts]) for k in parts[0]}
    if old is not None:
        row = torch.arange(sum(fit.members for fit in fits)) % len(next(iter(old.parameters_.values())))
        start |= {k: v[row] for k, v in _taken(core, old).items()}
    return start
