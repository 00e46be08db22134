"""What the hybrid computes with: per day, how its hours spread over temperature, summed up over the season.

A response to the temperature of an hour that is a curve through K knots is, averaged over a day, the product of the curve with
the day's shares at the knots (each hour is shared between its two neighbouring knots). Sums of these shares over days are
taken once, so that chill up to any day is one matrix product with the response, whatever the number of networks.
Letters: N seasons, S days, H = 24 hours, K knots, G sites, P groups.
"""

from __future__ import annotations

from dataclasses import dataclass

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
        centre: P times the mean of the group's sites: degrees from the equator, degrees east, metres; 0 where none says so.
        reach: P times the same three, how far the farthest site is from there.
    """

    sites: tuple[str, ...]
    groups: tuple[str, ...]
    group_of: tuple[int, ...]
    where: tuple[Where, ...]
    centre: tuple[Where, ...]
    reach: tuple[Where, ...]

    @classmethod
    def of(cls, seasons: Seasons, like: Places | None = None) -> Places:
        """Those that have seasons; groups that are known to others keep the centre and reach they have there."""
        used = np.unique(seasons.site)
        names = [str(v) for v in seasons.sites["site_id"].to_numpy()[used]]
        label, where = group_labels(seasons)[used], _where(seasons)[used]
        groups = sorted(set(label))
        centre, reach = [], []
        for group in groups:
            if like is not None and group in like.groups:
                k = like.groups.index(group)
                one, far = like.centre[k], like.reach[k]
            else:
                one, far = _middle(_poleward(where[label == group]))
            centre.append(one)
            reach.append(far)
        group_of = tuple(groups.index(g) for g in label)
        return cls(tuple(names), tuple(groups), group_of, _rows(where), tuple(centre), tuple(reach))

    def find(self, seasons: Seasons) -> tuple[Array, Array]:
        """(N,) site and (N,) group of seasons; G for a site and P for a group that is not known.

        A site that states no group counts to the only one there is.
        """
        site = {name: k for k, name in enumerate(self.sites)}
        group = {name: k for k, name in enumerate(self.groups)}
        sites = np.array([site.get(str(s), len(self.sites)) for s in seasons.sites["site_id"]], dtype=np.int64)
        if len(self.groups) == 1:
            group[""] = 0
        groups = np.array([group.get(g, len(self.groups)) for g in group_labels(seasons)], dtype=np.int64)
        return sites[seasons.site], groups[seasons.site]

    def terms(self, seasons: Seasons, group: Array) -> tuple[Array, Array]:
        """(N, 4) float32 `TERMS` of each season's site, from the centre of its group, and (N,) how far beyond the known sites.

        Zero where the place or the group is not known. Beyond the reach of the known sites the terms are those at its end.
        A known site stands where it stood when it was learned, whatever the seasons state.

        Args:
            seasons: N seasons.
            group: (N,) position among the known groups, P for none.
        """
        nowhere = (0.0, 0.0, 0.0)
        centre, reach = (np.array([*rows, nowhere])[group] for rows in (self.centre, self.reach))
        known = np.array([*self.where, (np.nan, np.nan, np.nan)])
        site = self.find(seasons)[0][:, None]
        where = np.where(site < len(self.where), known[site[:, 0]], _where(seasons)[seasons.site])
        away = np.nan_to_num(_poleward(where) - centre)
        away[group == len(self.groups)] = 0.0
        held, away = np.clip(away, -reach, reach) / UNITS, away / UNITS
        terms = np.column_stack([held[:, 0], held[:, 0] ** 2, held[:, 1:]])
        return terms.astype(np.float32), np.linalg.norm(away - held, axis=1).astype(np.float32)


def _where(seasons: Seasons) -> Array:
    """(G, 3) degrees north, degrees east, metres; NaN where not told."""
    names = ("latitude", "longitude", "altitude")
    table = seasons.sites.reindex(columns=names).apply(lambda column: pd.to_numeric(column, errors="coerce"))
    return table.to_numpy(dtype=float)


def _poleward(where: Array) -> Array:
    """The same with degrees from the equator."""
    return np.column_stack([np.abs(where[:, 0]), where[:, 1:]])


def _rows(where: Array) -> tuple[Where, ...]:
    return tuple((a, b, c) for a, b, c in where.tolist())


def _middle(where: Array) -> tuple[Where, Where]:
    """Mean of some sites and the distance of the farthest, 0 where none says."""
    told = np.isfinite(where)
    mean = np.where(told, where, 0.0).sum(0) / np.maximum(told.sum(0), 1)
    far = np.where(told, np.abs(where - mean), 0.0).max(0)
    one, other = _rows(np.stack([mean, far]))
    return one, other


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
        where=torch.from_numpy(_where(seasons)[seasons.site]),
        place=torch.from_numpy(terms),
        beyond=torch.from_numpy(beyond),
        year=torch.from_numpy(((np.asarray(seasons.year) - 1990) / 20).astype(np.float32)),
        event=torch.from_numpy(event),
        until_event=shares * (torch.arange(length)[None] <= torch.from_numpy(event)[:, None])[..., None],
        after=torch.from_numpy(known & (status == Status.AFTER)),
        before=torch.from_numpy(known & (status == Status.BEFORE)),
        usable=torch.from_numpy(known),
    )
