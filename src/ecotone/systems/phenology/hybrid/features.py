"""What the hybrid computes with: per day, how its hours spread over temperature, summed up over the season.

A response to the temperature of an hour that is a curve through K knots is, averaged over a day, the product of the curve with
the day's shares at the knots (each hour is shared between its two neighbouring knots). Sums of these shares over days are
taken once, so that chill up to any day is one matrix product with the response, whatever the number of networks.
Letters: N seasons, S days, H = 24 hours, K knots, G sites, P groups.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ecotone.data.seasons import Seasons, Status
from ecotone.systems.phenology.by_group import group_labels

Array = np.ndarray
Where = tuple[float, float, float]
TERMS = ("latitude", "latitude, squared", "longitude", "altitude")
UNITS = (10.0, 10.0, 1000.0)  # ten degrees, ten degrees, a kilometre
KNOTS = np.concatenate([np.arange(-18.0, -6.0, 2.0), np.arange(-6.0, 26.0, 1.0), np.arange(26.0, 39.0, 2.0)])
MEAN, SPREAD = 6.65, 9.09  # degC, the fixed constants of the published network
_ROWS = 64  # seasons at a time


def day_shares(hours: Array) -> Array:
    """(..., 24) degC -> (..., K) float32 shares of the day at the knots; they add up to 1. NaN days have NaN shares.

    Hours beyond the outer knots count as these.
    """
    flat = np.asarray(hours, dtype=np.float64).reshape(-1, hours.shape[-1])
    bad = np.asarray(np.isnan(flat).any(axis=1))
    x = np.clip(np.where(bad[:, None], 0.0, flat), KNOTS[0], KNOTS[-1])
    k = np.clip(np.searchsorted(KNOTS, x, side="right") - 1, 0, len(KNOTS) - 2)
    part = (x - KNOTS[k]) / (KNOTS[k + 1] - KNOTS[k])
    place = np.arange(len(flat))[:, None] * len(KNOTS) + k
    size = len(flat) * len(KNOTS)
    share = (
        np.bincount(place.ravel(), (1 - part).ravel(), size) + np.bincount(place.ravel() + 1, part.ravel(), size)[:size]
    )
    share = (share / hours.shape[-1]).reshape(-1, len(KNOTS)).astype(np.float32)
    share[bad] = np.nan
    return share.reshape(*hours.shape[:-1], len(KNOTS))


@dataclass(frozen=True)
class Places:
    """Sites and groups that a model knows.

    Attributes:
        sites: G names.
        groups: P names.
        group_of: (G,) group of each site.
        where: G times degrees north, degrees east, metres; NaN where not told.
        centre: P times the mean of the group's sites: degrees from the equator, degrees east, metres; NaN where none says so.
        low: P times the same three, how far the first site is from there, at most 0.
        high: P times how far the last one is, at least 0.
    """

    sites: tuple[str, ...]
    groups: tuple[str, ...]
    group_of: tuple[int, ...]
    where: tuple[Where, ...]
    centre: tuple[Where, ...]
    low: tuple[Where, ...]
    high: tuple[Where, ...]

    @classmethod
    def of(cls, seasons: Seasons, like: Places | None = None) -> Places:
        """Those that have seasons; groups that are known to others keep the centre and the edges they have there."""
        used = np.unique(seasons.site)
        names = [str(v) for v in seasons.sites["site_id"].to_numpy()[used]]
        label, where = group_labels(seasons)[used], _where(seasons)[used]
        groups = sorted(set(label))
        centre = _rows([_middle(_poleward(where[label == group])) for group in groups])
        if like is not None:
            centre = tuple(
                like.centre[like.groups.index(group)] if group in like.groups else own
                for group, own in zip(groups, centre, strict=True)
            )
        group_of = tuple(groups.index(g) for g in label)
        found = cls(tuple(names), tuple(groups), group_of, _rows(where), centre, centre, centre)
        return found.within(np.ones(len(names), dtype=bool), like)

    def within(self, seen: Array, like: Places | None = None) -> Places:
        """The same with edges where the sites end that were learned from.

        Args:
            seen: (G,) whether a site was.
            like: Others, whose groups keep the edges they have there.
        """
        away = _away(np.array(self.where), np.array(self.centre)[list(self.group_of)])
        low, high = [], []
        for k, group in enumerate(self.groups):
            own = np.nan_to_num(away[(np.array(self.group_of) == k) & seen])
            low.append(own.min(0, initial=0.0))
            high.append(own.max(0, initial=0.0))
            if like is not None and group in like.groups:
                at = like.groups.index(group)
                low[-1], high[-1] = np.array(like.low[at]), np.array(like.high[at])
        return replace(self, low=_rows(low), high=_rows(high))

    def find(self, seasons: Seasons) -> tuple[Array, Array]:
        """(N,) site and (N,) group of seasons; G for a site and P for a group that is not known.

        A site that states no group counts to the only one there is. A known site is of the group it was learned in, whatever
        word the seasons have for it; of another known group, it is another site of that name.
        """
        site = {name: k for k, name in reversed([*enumerate(self.sites)])}
        pair = {(name, k): at for at, (name, k) in enumerate(zip(self.sites, self.group_of, strict=True))}
        group = {name: k for k, name in enumerate(self.groups)}
        names = [str(name) for name in seasons.sites["site_id"]]
        if len(self.groups) == 1:
            group[""] = 0
        groups = np.array([group.get(g, len(self.groups)) for g in group_labels(seasons)], dtype=np.int64)
        sites = [
            pair.get(both, site.get(both[0], len(self.sites))) for both in zip(names, groups.tolist(), strict=True)
        ]
        own = np.array([*self.group_of, len(self.groups)])[sites]
        groups = np.where(groups == len(self.groups), own, groups)
        sites = np.where(groups == own, sites, len(self.sites))
        return sites[seasons.site], groups[seasons.site]

    def terms(self, seasons: Seasons, group: Array) -> tuple[Array, Array]:
        """(N, 4) float32 `TERMS` of each season's site, from the centre of its group, and (N,) how far beyond the known sites.

        Zero where the place or the group is not known. Beyond the edges of the known sites the terms are those at the edge.
        A known site stands where it stood when it was learned, whatever the seasons state.

        Args:
            seasons: N seasons.
            group: (N,) position among the known groups, P for none.
        """
        nowhere = (np.nan, np.nan, np.nan)
        centre, low, high = (np.array([*rows, nowhere])[group] for rows in (self.centre, self.low, self.high))
        away = np.nan_to_num(_away(self.stand(seasons), centre))
        held, away = np.clip(away, np.nan_to_num(low), np.nan_to_num(high)) / UNITS, away / UNITS
        terms = np.column_stack([held[:, 0], held[:, 0] ** 2, held[:, 1:]])
        return terms.astype(np.float32), np.linalg.norm(away - held, axis=1).astype(np.float32)

    def stand(self, seasons: Seasons) -> Array:
        """(N, 3) where each season's site stands: a known one where it was learned, others where the seasons say."""
        site = self.find(seasons)[0][:, None]
        known = np.array([*self.where, (np.nan, np.nan, np.nan)])
        return np.where(site < len(self.where), known[site[:, 0]], _where(seasons)[seasons.site])


def _where(seasons: Seasons) -> Array:
    """(G, 3) degrees north, degrees east, metres; NaN where not told."""
    names = ("latitude", "longitude", "altitude")
    table = seasons.sites.reindex(columns=names).apply(lambda column: pd.to_numeric(column, errors="coerce"))
    return table.to_numpy(dtype=float)


def _poleward(where: Array) -> Array:
    """The same with degrees from the equator."""
    return np.column_stack([np.abs(where[:, 0]), where[:, 1:]])


def _away(where: Array, centre: Array) -> Array:
    """(N, 3) degrees towards the pole, degrees east the shorter way round, metres from (N, 3) centres."""
    away = _poleward(where) - centre
    away[:, 1] = (away[:, 1] + 180) % 360 - 180
    return away


def _rows(where: Iterable[Array]) -> tuple[Where, ...]:
    return tuple((float(a), float(b), float(c)) for a, b, c in where)


def _middle(where: Array) -> Array:
    """(3,) mean of some sites, of longitudes on the circle; NaN where none says."""
    east = np.radians(where[np.isfinite(where[:, 1]), 1])
    about = np.degrees(np.arctan2(np.sin(east).sum(), np.cos(east).sum()))
    away = _away(where, np.array([0.0, about, 0.0]))
    told = np.isfinite(away)
    mean = np.where(told, away, 0.0).sum(0) / np.maximum(told.sum(0), 1) + (0.0, about, 0.0)
    return np.where(told.any(0), mean, np.nan)


@dataclass(frozen=True)
class Features:
    """Seasons ready for the model.

    Attributes:
        share: (N, S, K) shares of each day at the knots.
        summed: (N, S, K) their sums up to and with each day.
        hours: (N, S, 24) degC, where the network reads whole days; else None.
        site: (N,) position among the known sites, G for an unknown one.
        group: (N,) position among the known groups, P for an unknown one.
        where: (N, 3) degrees north, degrees east, metres of the site; NaN where not told.
        place: (N, 4) where the site is within its group (`Places.terms`).
        beyond: (N,) how far it is beyond the known sites of its group, in the units of these terms.
        year: (N,) years since 1990, in units of 20 years.
        event: (N,) day of the event, 0 where nothing is known.
        until_event: (N, S, K) shares, zero on days after the event.
        after: (N,) right-censored.
        before: (N,) left-censored.
        usable: (N,) whether a season says something.
    """

    share: Tensor
    summed: Tensor
    hours: Tensor | None
    site: Tensor
    group: Tensor
    where: Tensor
    place: Tensor
    beyond: Tensor
    year: Tensor
    event: Tensor
    until_event: Tensor
    after: Tensor
    before: Tensor
    usable: Tensor

    def __len__(self) -> int:
        return len(self.site)

    @property
    def days(self) -> int:
        """S."""
        return self.share.shape[1]


def complete(seasons: Seasons) -> Array:
    """(N,) whether every day has a minimum and a maximum."""
    values = seasons.daily[..., :2] if seasons.hours is None else seasons.hours
    return np.asarray(np.isfinite(values).reshape(len(seasons), -1).all(axis=1))


def features(seasons: Seasons, places: Places, *, whole_days: bool = False, days: int | None = None) -> Features:
    """Makes them; every day must have temperatures (`complete`).

    Args:
        seasons: N seasons.
        places: What the model knows.
        whole_days: Also keep the hours, for the network of whole days.
        days: Only so many days from the first, for training: days after the last bloom teach nothing.
    """
    site, group = places.find(seasons)
    terms, beyond = places.terms(seasons, group)
    length = seasons.length if days is None else min(days, seasons.length)
    share = np.empty((len(seasons), length, len(KNOTS)), dtype=np.float32)
    hours = np.empty((len(seasons), length, 24), dtype=np.float32) if whole_days else None
    for start in range(0, len(seasons), _ROWS):
        rows = slice(start, start + _ROWS)
        drawn = seasons.hourly(np.arange(len(seasons))[rows])[:, :length]
        share[rows] = day_shares(drawn)
        if hours is not None:
            hours[rows] = drawn
    status = np.asarray(seasons.status)
    known = (status != Status.UNKNOWN) & np.isfinite(seasons.event)
    event = np.clip(np.where(known, np.rint(np.nan_to_num(seasons.event)), 0), 0, length - 1).astype(np.int64)
    shares = torch.from_numpy(share)
    return Features(
        share=shares,
        summed=shares.cumsum(1),
        hours=None if hours is None else torch.from_numpy(hours),
        site=torch.from_numpy(site),
        group=torch.from_numpy(group),
        where=torch.from_numpy(places.stand(seasons)),
        place=torch.from_numpy(terms),
        beyond=torch.from_numpy(beyond),
        year=torch.from_numpy(((np.asarray(seasons.year) - 1990) / 20).astype(np.float32)),
        event=torch.from_numpy(event),
        until_event=shares * (torch.arange(length)[None] <= torch.from_numpy(event)[:, None])[..., None],
        after=torch.from_numpy(known & (status == Status.AFTER)),
        before=torch.from_numpy(known & (status == Status.BEFORE)),
        usable=torch.from_numpy(known),
    )
