"""Which seasons are held out together: whole years, the last years, whole stations, or stations and years.

The weather of a year is shared by neighbouring sites and the weather of a station by all sites that use it, so years and
stations go to one side as a whole. All functions take one value per season and give `Split`s. Letters: N seasons.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ecotone.errors import InputError, UsageError

Array = np.ndarray


@dataclass(frozen=True)
class Split:
    """Seasons to learn from and seasons to score.

    Attributes:
        train: (N,) bool.
        test: (N,) bool; a season may be on neither side.
        description: What was held out, in words.
        seeded: Whether another seed gives another split.
    """

    train: Array
    test: Array
    description: str
    seeded: bool = True


def random_years(year: Array, *, share: float = 0.25, seed: int = 0) -> Split:
    """Whole years at random, the same years at all sites.

    Args:
        year: (N,) bloom years.
        share: Of the distinct years, 0 to 1.
        seed: Of the draw.

    Raises:
        InputError: OC205 with fewer than two years.
        UsageError: US104 on a share outside 0 to 1.
    """
    held = _draw(np.unique(year), share, seed, "years")
    test = np.isin(year, held)
    return Split(~test, test, f"{len(held)} of {len(np.unique(year))} years held out at random, at all sites")


def forward(year: Array, *, share: float = 0.75) -> Split:
    """The first years to learn from, the later ones to score; one cut for all sites.

    Args:
        year: (N,) bloom years.
        share: Of the distinct years to learn from.

    Raises:
        InputError: OC205 with fewer than two years.
        UsageError: US104 on a share outside 0 to 1.
    """
    years = np.unique(year)
    _check(len(years), share, "years")
    last = years[min(max(round(share * len(years)), 1), len(years) - 1) - 1]
    test = np.asarray(year) > last
    return Split(~test, test, f"trained up to {last}, scored on later years", seeded=False)


def rolling(year: Array, *, shares: Sequence[float] = (0.5, 0.6, 0.7, 0.8, 0.9)) -> list[Split]:
    """Several cuts forward in time, each scored up to the next one; one test year is scored once, from just before it.

    Args:
        year: (N,) bloom years.
        shares: Of the distinct years to learn from, rising; the last block reaches to the end.

    Raises:
        InputError: OC205 with fewer than two years.
        UsageError: US104 on a share outside 0 to 1.
    """
    cuts = [forward(year, share=share) for share in shares]
    found = []
    for k, cut in enumerate(cuts):
        test = cut.test & cuts[k + 1].train if k + 1 < len(cuts) else cut.test
        if test.any():
            found.append(Split(cut.train, test, f"{len(cuts)} cuts in time, each scored up to the next", seeded=False))
    return found


def leave_stations(station: Array, site: Array, *, share: float = 0.25, seed: int = 0) -> Split:
    """Whole stations at random, with all sites that use them.

    Args:
        station: (N,) temperature station of each season.
        site: (N,) its site; a site with seasons at a station held out is not learned from at another one either.
        share: Of the stations; at least one is held out.
        seed: Of the draw.

    Raises:
        InputError: OC205 with fewer than two stations.
        UsageError: US104 on a share outside 0 to 1.
    """
    names = np.unique(np.asarray(station).astype(str))
    held = _draw(names, share, seed, "stations")
    return _without(np.asarray(station).astype(str), np.asarray(site), held, len(names))


def station_folds(station: Array, site: Array, *, folds: int | None = None, seed: int = 0) -> Iterator[Split]:
    """Splits that hold every station out once.

    Args:
        station: (N,) temperature station of each season.
        site: (N,) its site.
        folds: How many groups of stations; None leaves out one station after the other.
        seed: Of the grouping; without effect when stations go one by one.

    Yields:
        Splits whose test seasons together are all seasons.

    Raises:
        InputError: OC205 with fewer stations than folds, or fewer than two.
    """
    labels = np.asarray(station).astype(str)
    names = np.unique(labels)
    if len(names) < max(2, folds or 2):
        raise InputError("OC205", "stations", f"{len(names)} station(s) for {folds or 2} folds", "use fewer folds")
    if folds is None:
        groups = [names[i : i + 1] for i in range(len(names))]
    else:
        order = np.random.default_rng([seed, 3]).permutation(names)
        groups = [order[k::folds] for k in range(folds)]
    for held in groups:
        yield _without(labels, np.asarray(site), held, len(names), seeded=folds is not None)


def and_years(split: Split, year: Array, *, share: float = 0.25, seed: int = 0) -> Split:
    """A split of stations, with whole years at random held out as well: scored on new years at new stations.

    Args:
        split: From `leave_stations` or `station_folds`.
        year: (N,) bloom years.
        share: Of the distinct years.
        seed: Of the draw of years.

    Raises:
        InputError: OC205 with fewer than two years.
    """
    years = random_years(year, share=share, seed=seed)
    words = f"{split.description}; {years.description}"
    return Split(split.train & years.train, split.test & years.test, words)


def stations_and_years(station: Array, site: Array, year: Array, *, share: float = 0.25, seed: int = 0) -> Split:
    """Whole stations and whole years at random: learned from neither, scored where both are new.

    Args:
        station: (N,) temperature station of each season.
        site: (N,) its site.
        year: (N,) bloom years.
        share: Of the stations and of the years.
        seed: Of both draws.

    Raises:
        InputError: OC205 with fewer than two stations or years.
    """
    return and_years(leave_stations(station, site, share=share, seed=seed), year, share=share, seed=seed)


def validation_years(year: Array, *, share: float = 0.2, seed: int = 0) -> Array:
    """(N,) bool: whole years to watch while learning, so that it stops in time; none where there are fewer than three."""
    years = np.unique(year)
    if len(years) < 3:
        return np.zeros(len(np.asarray(year)), dtype=bool)
    return np.isin(year, _draw(years, share, seed, "years"))


def year_folds(year: Array, *, folds: int = 5, seed: int = 0) -> Array:
    """(N,) fold 0..folds-1 of each season, whole years at a time; fewer folds where there are fewer years."""
    years, place = np.unique(year, return_inverse=True)
    chance = np.random.default_rng([seed, 4]).permutation(len(years))
    return (chance % max(1, min(folds, len(years))))[place]


def _check(many: int, share: float, what: str) -> None:
    if not 0 < share < 1:
        raise UsageError("US104", "share", f"{share} of the {what}", "give a share between 0 and 1")
    if many < 2:
        raise InputError("OC205", what, f"only {many}, so none can be held out", "give more seasons")


def _draw(names: Array, share: float, seed: int, what: str) -> Array:
    _check(len(names), share, what)
    many = min(max(round(share * len(names)), 1), len(names) - 1)
    salt = 0 if what == "years" else 1  # years and stations of one seed are drawn independently
    return np.random.default_rng([seed, salt]).permutation(names)[:many]


def _without(station: Array, site: Array, held: Array, many: int, *, seeded: bool = True) -> Split:
    test = np.isin(station, held)
    train = ~np.isin(site, np.unique(site[test]))
    words = f"{len(held)} of {many} stations held out ({', '.join(held)})" if len(held) <= 3 else ""
    return Split(train, test, words or f"{len(held)} of {many} stations held out", seeded)


SPLITS: dict[str, Callable[..., Split]] = {
    "random_years": random_years,
    "forward": forward,
    "leave_stations": leave_stations,
    "stations_and_years": stations_and_years,
}
