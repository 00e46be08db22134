"""Sampling effort: how densely places were visited, and which conditions were visited too rarely.

Effort is a kernel density of visited sites. The share of each site's kernel that would fall outside the valid cells is
given back to the valid ones (Diggle 1985, J. R. Stat. Soc. C 34:138), so that the surface adds up to the number of sites and does
not sink along coasts. Letters: N visited sites, U background sites, P covariates, (H, W) cells of a map.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ecotone.contract import Check, Contributions, Curve, Overlay
from ecotone.errors import InputError, UsageError

Array = np.ndarray
Extent = tuple[float, float, float, float]
_REACH = 2.0  # bandwidths within which a site tells something
_FLOOR = 1e-2  # of the mean effort; drawn no darker
_EXPECTED = 1.0  # visits by chance; levels with fewer are not drawn, since nothing can be said of them
ONE_SPECIES = (
    "These are the records of one species: they show where it lives as much as where people looked, and only records "
    "of other species could tell the two apart."
)


@dataclass(frozen=True)
class EffortSurface:
    """Estimated effort on the cells of a map.

    Attributes:
        density: (H, W) expected visited sites per cell, nan outside the valid cells; adds up to `sites`.
        distance: (H, W) distance to the nearest visited cell, in bandwidths; nan outside the valid cells.
        area: (H, W) relative area of the cells, 0 outside the valid ones.
        bandwidth: Standard deviation of the kernel, in units of the extent (degrees of latitude for a geographic one).
        sites: Visited sites on valid cells; others are left out.
        extent: (west, east, south, north).
    """

    density: Array
    distance: Array
    area: Array
    bandwidth: float
    sites: int
    extent: Extent

    @property
    def share_without(self) -> float:
        """Share of the valid area with no visited site within two bandwidths."""
        return float(self.area[self.distance > _REACH].sum() / self.area.sum())


def effort_surface(
    xy: Array, valid: Array, extent: Extent, *, bandwidth: float | None = None, geographic: bool = False
) -> EffortSurface:
    """Kernel density of visited sites, corrected at the edges of the valid cells.

    Args:
        xy: (N, 2) visited sites, each once.
        valid: (H, W) True where covariates are valid, north up.
        extent: (west, east, south, north) of `valid`.
        bandwidth: Standard deviation of the Gaussian kernel in units of the extent; by default the robust normal reference
            rule in two dimensions, min(standard deviation, interquartile range / 1.349) x N ** (-1/6), averaged over the two
            axes, and at least one cell.
        geographic: Degrees; distances along x are then shortened by the cosine of the middle latitude, and cells weigh as much
            as their area.

    Raises:
        InputError: OC202 when no site lies on a valid cell, DA404 for shapes that do not fit.
        UsageError: US104 for a bandwidth that is not positive.
    """
    from scipy.ndimage import distance_transform_edt, gaussian_filter

    xy, valid = np.asarray(xy, dtype=np.float64), np.asarray(valid, dtype=bool)
    west, east, south, north = extent
    if xy.ndim != 2 or xy.shape[1:] != (2,) or valid.ndim != 2 or not (east > west and north > south):
        what = f"sites {xy.shape}, cells {valid.shape}, extent {extent}"
        raise InputError("DA404", "effort", what, "pass (N, 2) sites, (H, W) cells and (west, east, south, north)")
    height, width = valid.shape
    shrink = max(math.cos(math.radians((south + north) / 2)), 0.2) if geographic else 1.0
    size = np.array([(north - south) / height, (east - west) / width * shrink])  # of a cell, down and across
    row = np.floor((north - xy[:, 1]) / (north - south) * height)
    column = np.floor((xy[:, 0] - west) / (east - west) * width)
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    row, column, xy = row[inside].astype(int), column[inside].astype(int), xy[inside]
    there = valid[row, column]
    row, column, xy = row[there], column[there], xy[there]
    if not len(xy):
        raise InputError("OC202", "effort", "no visited site lies on a valid cell", "check coordinates and the map")
    if bandwidth is None:
        bandwidth = max(_reference_bandwidth(xy * [shrink, 1.0]), float(size.max()))
    elif not bandwidth > 0:
        raise UsageError("US104", "bandwidth", f"{bandwidth} is not positive", "give a distance in map units")
    sigma = bandwidth / size

    def smooth(values: Array) -> Array:
        return gaussian_filter(values, sigma, mode="constant", truncate=4.0)

    counts = np.zeros(valid.shape)
    np.add.at(counts, (row, column), 1.0)
    kept = smooth(valid.astype(float))  # share of a kernel around each cell that falls on valid cells
    spread = np.divide(counts, kept, out=np.zeros_like(counts), where=counts > 0)
    density = np.where(valid, np.maximum(smooth(spread), 0.0), np.nan)
    distance = np.asarray(distance_transform_edt(counts == 0, sampling=size)) / bandwidth
    area = valid.astype(float)
    if geographic:
        latitude = north - (np.arange(height) + 0.5) * (north - south) / height
        area *= np.maximum(np.cos(np.radians(latitude)), 0.0)[:, None]
    return EffortSurface(density, np.where(valid, distance, np.nan), area, float(bandwidth), len(xy), extent)


def _reference_bandwidth(xy: Array) -> float:
    quarter = np.subtract(*np.quantile(xy, [0.75, 0.25], axis=0)) / 1.349
    deviation = xy.std(0)
    spread = np.where(quarter > 0, np.minimum(quarter, deviation), deviation)
    return float(spread.mean() * len(xy) ** (-1 / 6))


def effort_evidence(
    surface: EffortSurface, *, bound: float = 50.0, unit: str = "map units", single: bool = False
) -> list[Overlay | Check]:
    """The surface as a picture, and the share of the area without effort as a check.

    Args:
        surface: From `effort_surface`.
        bound: Percent of the area without effort beyond which the check asks for judgement.
        unit: Of the bandwidth.
        single: All sites are records of one species, which mix where it lives with where people looked.
    """
    mean = float(np.nanmean(surface.density))
    relative = np.log10(np.maximum(surface.density / mean, _FLOOR))
    share = 100 * surface.share_without
    return [
        Overlay(
            title="Sampling effort, smoothed",
            weights=relative[None],
            names=("effort",),
            unit="log10 of times the mean",
            extent=surface.extent,
            note="Density of visited sites of all species. Red: visited more than on average (1: ten times), blue: less "
            "(\N{MINUS SIGN}1: a tenth). "
            + (ONE_SPECIES if single else "A map that follows this picture follows the observers."),
        ),
        Check(
            title="Area without sampling effort",
            claim="Share of the area with no visited site nearby",
            measured=share,
            bound=float("nan") if single else bound,
            unit="%",
            verdict="pass" if share <= bound and not single else "note",
            details=(
                ("nearby is within", f"{_REACH * surface.bandwidth:.3g} {unit} (2 bandwidths)"),
                ("visited sites", f"{surface.sites:,}"),
            ),
            note="Where nobody looked, the absence of records says nothing." + (f" {ONE_SPECIES}" if single else ""),
        ),
    ]


# ------------------------------------------------------------------------------------------------ along covariates
@dataclass(frozen=True)
class ConditionEffort:
    """Visited against available conditions, along one covariate.

    Attributes:
        name: The covariate.
        middle: (B,) middle of each bin (median of what is available there), or the level.
        ratio: (B,) share of visited sites over share of the available area; 1 is visited as often as it occurs.
        lower: (B,) lower edge of a 95 % interval (Jeffreys, sites taken as independent).
        upper: (B,) upper edge.
        visited: (B,) number of visited sites.
        available: (B,) share of the available area.
        moved: Share of visited sites that would have to lie elsewhere for visits to mirror what is available.
        chance: What `moved` would be on average if as many sites were chosen at random.
        levels: Whether bins are levels of a categorical covariate.
    """

    name: str
    middle: Array
    ratio: Array
    lower: Array
    upper: Array
    visited: Array
    available: Array
    moved: float
    chance: float
    levels: bool


def effort_along(
    visited: Array,
    available: Array,
    names: Sequence[str],
    *,
    categorical: Sequence[str] = (),
    weight: Array | None = None,
    bins: int = 10,
) -> list[ConditionEffort]:
    """Compares the conditions of visited sites with what the area offers.

    Bins of a continuous covariate hold equal shares of the available area; equal values share a bin.

    Args:
        visited: (N, P) covariates at visited sites, each once.
        available: (U, P) covariates at a uniform sample of cells.
        names: P names.
        categorical: Names whose values are levels.
        weight: (U,) weights of the sample, such as cell areas.
        bins: Bins along a continuous covariate.

    Raises:
        InputError: DA404 for shapes that do not fit, OC205 when either side is empty, DA403 for bad weights.
        UsageError: US104 for fewer than two bins.
    """
    from scipy.stats import beta

    visited, available = np.asarray(visited, dtype=np.float64), np.asarray(available, dtype=np.float64)
    if visited.ndim != 2 or available.ndim != 2 or not visited.shape[1] == available.shape[1] == len(names):
        what = f"visited {visited.shape}, available {available.shape} for {len(names)} names"
        raise InputError("DA404", "effort", what, "pass one column per covariate")
    if not len(visited) or not len(available):
        raise InputError("OC205", "effort", "no visited or no available site", "pass some of both")
    if bins < 2:
        raise UsageError("US104", "bins", f"{bins} bins compare nothing", "use at least 2")
    w = np.ones(len(available)) if weight is None else np.asarray(weight, dtype=np.float64)
    if w.shape != (len(available),) or not (np.isfinite(w).all() and (w >= 0).all() and w.sum() > 0):
        raise InputError("DA403", "weight", f"{w.shape}, or some are unusable", "pass one non-negative weight per site")
    n, found = len(visited), []
    for p, name in enumerate(names):
        levels = name in categorical
        if levels:
            edges = np.unique(np.concatenate([visited[:, p], available[:, p]]))
            bin_of = (np.searchsorted(edges, v[:, p]) for v in (visited, available))
        else:
            edges = np.unique(_weighted_quantiles(available[:, p], w, np.arange(1, bins) / bins))
            bin_of = (np.searchsorted(edges, v[:, p], "left") for v in (visited, available))
        own, offered = bin_of
        count = len(edges) if levels else len(edges) + 1
        k = np.bincount(own, minlength=count)
        share = np.bincount(offered, weights=w, minlength=count) / w.sum()
        some = share > 0  # what the area does not offer has no ratio
        middle = (
            edges
            if levels
            else np.array([np.median(available[offered == b, p]) if some[b] else 0 for b in range(count)])
        )
        lower = np.where(k > 0, beta.ppf(0.025, k + 0.5, n - k + 0.5), 0.0)
        upper = np.where(k < n, beta.ppf(0.975, k + 0.5, n - k + 0.5), 1.0)
        found.append(
            ConditionEffort(
                name=name,
                middle=np.asarray(middle, float)[some],
                ratio=k[some] / n / share[some],
                lower=lower[some] / share[some],
                upper=upper[some] / share[some],
                visited=k[some],
                available=share[some],
                moved=float(0.5 * np.abs(k / n - share).sum()),
                chance=float(0.5 * np.sqrt(2 * share * (1 - share) / (math.pi * n)).sum()),
                levels=levels,
            )
        )
    return found


def _weighted_quantiles(values: Array, weight: Array, shares: Array) -> Array:
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weight[order]) / weight.sum()
    return values[order][np.minimum(np.searchsorted(reached, shares - 1e-12), len(values) - 1)]


def condition_evidence(
    found: Sequence[ConditionEffort],
    *,
    units: Mapping[str, str] | None = None,
    curves: int = 3,
    single: bool = False,
) -> list[Contributions | Curve]:
    """Which covariates were visited unevenly, and curves of the most uneven ones.

    Args:
        found: From `effort_along`.
        units: Covariate -> unit.
        curves: How many covariates get a curve.
        single: All sites are records of one species.
    """
    units = units or {}
    order = sorted(found, key=lambda c: -c.moved)
    chance = max((c.chance for c in found), default=0.0)
    evidence: list[Contributions | Curve] = [
        Contributions(
            title="Sampling effort by covariate: how uneven",
            names=tuple(c.name for c in found),
            values=np.array([100 * c.moved for c in found]),
            unit="% of visited sites that lie elsewhere than chance would put them",
            note=f"0: conditions were visited as often as they occur. Random sites alone give up to {100 * chance:.1f} %."
            + (f" {ONE_SPECIES}" if single else ""),
        )
    ]
    for c in (_drawn(c) for c in order[:curves]):
        evidence.append(
            Curve(
                title=f"Sampling effort along {c.name}",
                x=np.arange(len(c.middle), dtype=float) if c.levels else c.middle,
                y=c.ratio,
                lower=c.lower,
                upper=c.upper,
                band="95 % interval, visited sites taken as independent",
                x_label=c.name,
                x_unit=units.get(c.name, ""),
                y_label="visited / available",
                references={"as often as it occurs": np.ones(len(c.middle))},
                categories=tuple(f"{v:g}" for v in c.middle) if c.levels else None,
                note="Below 1: these conditions were visited less often than they occur. "
                + (
                    "Levels in which chance would put less than one visit are in no picture."
                    if c.levels
                    else "Bins hold equal shares of the area."
                ),
            )
        )
    return evidence


def _drawn(effort: ConditionEffort) -> ConditionEffort:
    """Without levels so rare that their interval would hide all others; all of them where none is common."""
    common = effort.available * effort.visited.sum() >= _EXPECTED
    if not effort.levels or not common.any():
        return effort
    parts = {
        name: getattr(effort, name)[common] for name in ("middle", "ratio", "lower", "upper", "visited", "available")
    }
    return replace(effort, **parts)
