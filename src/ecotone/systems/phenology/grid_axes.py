"""Which combinations are searched: the published grids, and ours, whose ends come from the seasons at hand."""

from __future__ import annotations

import numpy as np

from ecotone.data.seasons import Seasons, Status
from ecotone.errors import InputError, UsageError, suggest
from ecotone.systems.phenology.grid_search import Axes, check_structure, given
from ecotone.systems.phenology.grid_units import Chill, DailyUnits, Forcing

Array = np.ndarray
SAMPLE = 64  # seasons that set the ends of our axes
# base temperatures of our grids, degC; for sigmoids it is the temperature of half the rate
DEGREES = np.arange(-4, 12.25, 0.5)
BASES = {
    "gdh": np.arange(0, 9.0),
    "gdh_richardson": np.arange(0, 9.0),
    "sigmoid_sarvas": np.arange(4, 29.0),
    "sigmoid_chuine": np.arange(4, 29.0),
    "anti_chill_days": np.arange(0, 12.25, 0.5),
}


def published(chill: Chill | None) -> Axes:
    """The grids of van Bree et al. (2025, arXiv 2501.16848): 204,800 combinations for Utah, 512,000 for hours and days."""
    if chill == "utah":
        return Axes.of(np.arange(0, 16, 0.5), np.arange(0, 2000, 25.0), np.arange(0, 600, 7.5))
    if chill == "chill_hours":
        return Axes.of(np.arange(80) * 0.2, np.arange(0, 2000, 25.0), np.arange(0, 600, 7.5))
    if chill == "chill_days":
        return Axes.of(np.arange(80) * 0.2, np.arange(0, 400, 5.0), np.arange(0, 400, 5.0))
    raise UsageError(
        "US104",
        "grid",
        f"no grid is published for {chill!r}",
        'use "utah", "chill_hours" or "chill_days", or the grid "own"',
    )


def own(
    structure: str,
    chill: Chill | None,
    forcing: Forcing,
    seasons: Seasons,
    base: Array | None = None,
    sizes: tuple[int, int] = (40, 120),
) -> Axes:
    """A grid whose ends are set by the seasons: from nothing to what the trees had on the day of bloom.

    Base temperatures -4 to 12 degC by half a degree (others for degree hours and sigmoids, `BASES`). Start days from day 0 by
    4 days up to the earliest blooms (5 % quantile); chill from 0 to the most had at bloom; requirements from 0 (alternating:
    from half the typical sum below 0) to the largest forcing sum at bloom, per base.

    Args:
        structure: A key of `structures.STRUCTURES`.
        chill: See `DailyUnits`.
        forcing: See `DailyUnits`.
        seasons: Training seasons with an observed bloom.
        base: (B,) other base temperatures, degC.
        sizes: Number of chill values and of requirements.

    Returns:
        Axes with B = 33 for degree days.
    """
    check_structure(structure)
    if base is None:
        base = BASES.get(forcing, DEGREES) if isinstance(forcing, str) else DEGREES
        base = base[base >= 0] if chill == "chill_days" else base  # chill days know no threshold below zero
    base = np.atleast_1d(np.asarray(base, dtype=float))
    seen = np.flatnonzero(seasons.status == Status.OBSERVED)
    if len(seen) == 0:
        raise InputError("DA404", "Seasons", "no bloom day is known exactly, only bounds", "give the grid yourself")
    part = seasons.take(seen[:: max(1, len(seen) // SAMPLE)][:SAMPLE])
    units = DailyUnits(part, None if structure == "thermal time" else chill, forcing)
    bloom = np.clip(part.event, 0, part.length - 1).astype(int)
    rows = np.arange(len(part))
    sums = np.stack([np.cumsum(np.nan_to_num(units.forcing_at(float(b))), axis=1)[rows, bloom] for b in base])
    top = np.maximum(sums.max(axis=1), 1e-3)  # (B,)
    shares = np.linspace(0, 1, sizes[1])
    if structure == "thermal time":
        last = max(1, int(np.quantile(seasons.event[seen], 0.05)))
        return Axes.of(base, np.arange(0, last, 4), top[:, None] * shares)
    if structure == "alternating":
        scale = float(np.median(top))
        pairs = [(b * scale, -c) for b in (0.25, 0.5, 1, 2, 4, 8) for c in (0.005, 0.01, 0.02, 0.03, 0.05, 0.08)]
        pairs.append((0.0, 0.0))  # no chill at all: thermal time from the start day
        low = -0.5 * scale
        return Axes.of(base, np.array(pairs), low + (top[:, None] - low) * shares)
    had = max(
        float(np.cumsum(np.nan_to_num(given(units.chill_at(float(b)))), axis=1)[rows, bloom].max())
        for b in (base[0], base[-1])
    )
    had *= 1.5 if structure == "parallel" else 1.0  # trees bloom before their competence is whole
    return Axes.of(base, np.linspace(0, max(had, 1e-3), sizes[0]), top[:, None] * shares)


def axes(
    grid: str | Axes,
    structure: str,
    chill: Chill | None,
    forcing: Forcing,
    seasons: Seasons,
) -> Axes:
    """The grid by name: "own", "paper", or one given."""
    check_structure(structure)
    if isinstance(grid, Axes):
        return grid
    if grid == "paper":
        if structure != "sequential":
            raise UsageError("US104", "grid", f"none is published for {structure}", 'use "own"')
        return published(chill)
    if grid != "own":
        raise UsageError("US101", "grid", f"{grid!r} is unknown", suggest(grid, ("own", "paper")))
    return own(structure, chill, forcing, seasons)
