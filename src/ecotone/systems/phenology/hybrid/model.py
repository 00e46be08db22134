"""Dormancy and growth of the hybrid, for many members at once: from daily shares to the progress of bloom.

    chill      C_t = sum of the learned response up to day t                          chill days
    release    r_t = sigmoid(a (C_t / chill requirement - 1))                         0..1
    forcing    G_t = sum of r_t * softplus((T - base) / w) * w, averaged over hours   degC d
    progress   z_t = k (G_t / forcing requirement - 1),  P(bloomed by t) = sigmoid(z_t)

What differs from the paper (arXiv 2501.16848): the response is one curve of hourly temperature with maximum 1; requirements are
those of a site around what is usual at its place in its group, around all, with normal priors instead of free scalars; slopes
are relative to the requirement; the kink of forcing is smooth. `paper.py` has the published form.
Letters: M members, N seasons, S days, K knots, G sites, P groups.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn.functional import softplus

from ecotone.systems.phenology.hybrid import network
from ecotone.systems.phenology.hybrid.config import HybridConfig
from ecotone.systems.phenology.hybrid.features import KNOTS, TERMS, Features, Places
from ecotone.systems.phenology.hybrid.release import Released, released

Parameters = dict[str, Tensor]
TEN_DAYS, HUNDRED = 10.0, 100.0  # units that bring parameters near 1: ten chill days, 100 degC d
BASE, BEND, RELEASE, BLOOM = 3.0, 0.0, 2.1, 3.0  # prior means: degC, log degC, log slopes
SPREAD = {  # standard deviations of the priors, in the units of the parameters
    "chill_group": 0.5,
    "chill_site": 0.15,
    "heat_group": 0.25,
    "heat_site": 0.15,
    "base_group": 1.0,
    "base_site": 1.5,
    "bloom_group": 1.0,
    "drift_site": 0.05,
    "chill_place": 0.3,
    "heat_place": 0.4,
}
SCATTER = 0.15  # of the log of the forcing gathered by bloom around what is usual at a place, for the start of training


MIXED = ("negating", "utah", "random")
STARTS = (*MIXED, "falling")


def start_of(start: str, member: int) -> str:
    """What a member starts from."""
    return MIXED[member % len(MIXED)] if start == "mixed" else start


class Course(NamedTuple):
    """A season day by day: chill (chill days), release (0..1), forcing (degC d), progress z, each (M, N, S)."""

    chill: Tensor
    release: Tensor
    forcing: Tensor
    progress: Tensor


class Core(Protocol):
    """What trains and answers: ours below, the published form in `paper.py`."""

    places: Places

    def scalars(self, known: tuple[str, ...]) -> tuple[str, ...]:
        """Parameters that are learned anew where the chill response is taken over from a model of the `known` groups."""
        ...

    def initial(self, members: int, generator: torch.Generator, f: Features) -> Parameters:
        """Parameters before training."""
        ...

    def event(self, p: Parameters, f: Features, plain: bool = False) -> tuple[Tensor, Tensor]:
        """(M, N) progress at the end of the day of the event, and of the day before."""
        ...

    def course(self, p: Parameters, f: Features, ease: float = 1.0) -> Course:
        """Everything on every day."""
        ...

    def residuals(self, p: Parameters) -> list[Tensor]:
        """(M, R) each: deviations from the priors in standard deviations; half their squared sum is the penalty."""
        ...


def pick(values: Tensor, index: Tensor) -> Tensor:
    """(M, V) values at (N,) positions; 0 for position V, which stands for unknown."""
    return torch.cat([values, values.new_zeros(len(values), 1)], 1)[:, index]


def _run(rows: Tensor) -> bool:
    """Whether positions follow each other without gaps."""
    return int(rows[-1] - rows[0]) == len(rows) - 1 and bool((rows[1:] > rows[:-1]).all())


def _medians(values: Tensor, group: Tensor, groups: int, around: Tensor | float = 0.0) -> Tensor:
    """(M, P) medians of (M, N) values in each group, less `around`; 0 for groups without any."""
    found = values.new_zeros(len(values), groups)
    for k in torch.unique(group).tolist():
        found[:, k : k + 1] = values[:, group == k].median(1, keepdim=True).values - around
    return found


def _at_places(values: Tensor, f: Features, rows: Tensor, sites: int) -> Tensor:
    """(M, 4) ridge coefficients on the terms of places; sites count by how well the mean of their seasons is known.

    Args:
        values: (M, R) log forcing gathered by bloom, around the median of the group.
        f: N seasons.
        rows: (R,) seasons of the values.
        sites: G, how many sites are known.
    """
    site = f.site[rows]
    count = torch.bincount(site, minlength=sites).to(values)
    mean = values.new_zeros(len(values), sites).index_add(1, site, values) / count.clamp(min=1)
    place = values.new_zeros(sites, len(TERMS)).index_copy(0, site, f.place[rows])
    weight = (count > 0) / (SPREAD["heat_site"] ** 2 + SCATTER**2 / count.clamp(min=1))
    precision = (place.T * weight) @ place + torch.eye(len(TERMS)).to(values) / SPREAD["heat_place"] ** 2
    return torch.linalg.solve(precision, (place.T * weight) @ mean.T).T


class Hybrid:
    """The model above with its settings; parameters are handed in."""

    def __init__(self, config: HybridConfig, places: Places) -> None:
        self.config, self.places = config, places
        self.knots = torch.as_tensor(KNOTS, dtype=torch.float32)
        self.group_of = torch.as_tensor(places.group_of, dtype=torch.long)

    def scalars(self, known: tuple[str, ...]) -> tuple[str, ...]:
        """See `Core`: the requirements of sites; those of groups where one is new, or sites have none of their own."""
        groups, level = ("heat_group", "chill_group"), self.config.scalars
        if level != "site":
            return groups if level == "group" else ("heat", "chill")
        own = ("heat_site", "chill_site", "drift_site")
        return own if set(self.places.groups) <= set(known) else own + groups

    # -------------------------------------------------------------------------------------------- parameters
    def initial(self, members: int, generator: torch.Generator, f: Features) -> Parameters:
        """Random network; requirements from what the seasons gathered before they bloomed."""
        g, q = len(self.places.sites), len(self.places.groups)
        p = network.initial(members, self.config.width, generator)
        for name in STARTS:
            rows = [k for k in range(members) if start_of(self.config.start, k) == name]
            if rows and name != "random":
                if name == "negating" and self.config.response == "free":
                    p["negation"][rows] = 1.0
                own = network.resembling(
                    {n: p[n][rows] for n in (*network.NAMES, "negation")}, self.config.response, name
                )
                for n in network.NAMES:
                    p[n][rows] = own[n]
        for name, value in (("base", BASE - 1), ("bend", BEND), ("release", RELEASE), ("bloom", BLOOM), ("heat", 0.0)):
            p[name] = torch.full((members, 1), value)
        for level, size in (("group", q), ("site", g)):
            p |= {f"{name}_{level}": torch.zeros(members, size) for name in ("chill", "heat", "base")}
        p |= {"bloom_group": torch.zeros(members, q), "drift_site": torch.zeros(members, g)}
        p |= {f"{name}_place": torch.zeros(members, len(TERMS)) for name in ("chill", "heat")}
        seen = torch.nonzero(f.usable & ~f.after & ~f.before)[:, 0]
        with torch.no_grad():
            # shares summed up to bloom times the response: chill at bloom, before any requirement
            at_bloom = f.summed[seen, f.event[seen]]
            chill = (network.response(p, self.config.response) @ at_bloom.T).median(1, keepdim=True).values / TEN_DAYS
            p["chill"] = (0.3 * chill).clamp(min=0.1)
            total, _ = released(
                self._chill(p, f),
                self.chill_requirement(p, f),
                torch.exp(p["release"]),
                self._forcing(p, f, True),
                f.event,
            )
            gathered = total[:, seen].clamp(min=1.0).log() - torch.log(torch.tensor(HUNDRED))
            p["heat"] = gathered.median(1, keepdim=True).values
            if self.config.place:
                rest = gathered - pick(_medians(gathered, f.group[seen], q), f.group[seen])
                p["heat_place"] = _at_places(rest, f, seen, g)
                gathered = gathered - p["heat_place"] @ f.place[seen].T
            p["heat_group"] = _medians(gathered, f.group[seen], q, p["heat"])
        return p

    def residuals(self, p: Parameters) -> list[Tensor]:
        """Priors of network, slopes and base; of groups around all and sites around groups; curvature of the response."""
        cfg, found = self.config, []
        found += [p[name] * cfg.weight_decay**0.5 for name in ("net_in", "net_out")]
        found.append((p["negation"] - p["negation"].round()) * 1e3)  # a choice, no parameter: it has no spread
        found += [(p["base"] - BASE) / 3, p["bend"] - BEND, p["release"] - RELEASE, p["bloom"] - BLOOM]
        for name, spread in SPREAD.items():
            if name.endswith("_site"):
                found.append(p[name] * (cfg.shrinkage**0.5 / spread))
            else:
                found.append(p[name] / spread)
        if cfg.smoothness > 0:
            r = network.response(p, cfg.response)
            x = self.knots
            slope = (r[:, 1:] - r[:, :-1]) / (x[1:] - x[:-1])
            found.append((slope[:, 1:] - slope[:, :-1]) * cfg.smoothness**0.5)
        return found

    # -------------------------------------------------------------------------------------------- requirements
    def chill_requirement(self, p: Parameters, f: Features) -> Tensor:
        """(M, N) in chill days."""
        total = p["chill"].expand(-1, len(f))
        if self.config.scalars != "global":
            total = total + pick(p["chill_group"], f.group)
        if self.config.place:
            total = total + p["chill_place"] @ f.place.T
        if self.config.scalars == "site":
            total = total + pick(p["chill_site"], f.site)
        return softplus(total * 4) / 4 * TEN_DAYS  # positive; the same where it is well above zero

    def forcing_requirement(self, p: Parameters, f: Features) -> Tensor:
        """(M, N) in degC d."""
        total = p["heat"].expand(-1, len(f))
        if self.config.scalars != "global":
            total = total + pick(p["heat_group"], f.group)
        if self.config.place:
            total = total + p["heat_place"] @ f.place.T
        if self.config.scalars == "site":
            total = total + pick(p["heat_site"], f.site)
        if self.config.drift:
            total = total + pick(p["drift_site"], f.site) * f.year
        return torch.exp(total) * HUNDRED

    def base(self, p: Parameters, group: Tensor, site: Tensor) -> Tensor:
        """(M, U) base temperatures, degC, of pairs of group and site."""
        total = p["base"].expand(-1, len(group))
        if self.config.base != "global":
            total = total + pick(p["base_group"], group)
        if self.config.base == "site":
            total = total + pick(p["base_site"], site)
        return total

    def forcing_response(self, p: Parameters, base: Tensor) -> Tensor:
        """(M, U, K) warmth of an hour at the knots, degC, for (M, U) base temperatures."""
        w = torch.exp(p["bend"])[..., None]
        return softplus((self.knots - base[..., None]) / w) * w

    # -------------------------------------------------------------------------------------------- days
    def _forcing(self, p: Parameters, f: Features, upto: bool = False) -> Tensor:
        """(M, N, S) forcing of each day, degC d, as if released; zero after the event where asked for."""
        shares = f.until_event if upto else f.share
        pairs = f.site * (len(self.places.groups) + 1) + f.group  # sites that are not known may be of several groups
        kind = {"site": pairs, "group": f.group, "global": torch.zeros_like(f.site)}[self.config.base]
        parts, rows = [], []
        for label in torch.unique(kind):
            row = torch.nonzero(kind == label)[:, 0]
            curve = self.forcing_response(p, self.base(p, f.group[row[:1]], f.site[row[:1]]))[:, 0]  # (M, K)
            share = shares if len(row) == len(f) else shares[row[0] : row[-1] + 1] if _run(row) else shares[row]
            parts.append((curve @ share.reshape(-1, share.shape[-1]).T).view(len(curve), len(row), -1))
            rows.append(row)
        if len(parts) == 1:
            return parts[0]
        order = torch.cat(rows)
        joined = torch.cat(parts, 1)
        return joined if _run(order) else joined[:, torch.argsort(order)]

    def _parts(self, p: Parameters, f: Features, ease: float = 1.0) -> tuple[Tensor, Tensor]:
        """Release and released forcing of each day, (M, N, S)."""
        chill = self._chill(p, f)
        slope = torch.exp(p["release"])[..., None]
        release = torch.sigmoid(slope * (chill / (ease * self.chill_requirement(p, f)[..., None]) - 1))
        return release, self._forcing(p, f) * release

    def _chill(self, p: Parameters, f: Features) -> Tensor:
        r = network.response(p, self.config.response)
        return (r @ f.summed.reshape(-1, f.summed.shape[-1]).T).view(len(r), len(f), -1)

    def _progress(self, p: Parameters, f: Features, gathered: Tensor) -> Tensor:
        slope = torch.exp(p["bloom"] + pick(p["bloom_group"], f.group))
        need = self.forcing_requirement(p, f)
        if gathered.ndim == 3:
            slope, need = slope[..., None], need[..., None]
        return slope * (gathered / need - 1)

    def event(self, p: Parameters, f: Features, plain: bool = False) -> tuple[Tensor, Tensor]:
        """(M, N) progress at the event and the day before; `plain` for derivatives of other kinds than training's."""
        inner = released if plain else Released.apply
        parts = self._chill(p, f), self.chill_requirement(p, f), torch.exp(p["release"])
        total, last = inner(*parts, self._forcing(p, f, upto=True), f.event)  # type: ignore[operator]
        return self._progress(p, f, total), self._progress(p, f, total - last)

    def course(self, p: Parameters, f: Features, ease: float = 1.0) -> Course:
        """Everything on every day; `ease` scales the chill requirement."""
        release, forcing = self._parts(p, f, ease)
        gathered = forcing.cumsum(-1)
        return Course(self._chill(p, f), release, gathered, self._progress(p, f, gathered))
