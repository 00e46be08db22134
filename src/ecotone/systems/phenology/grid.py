"""Biophysical models of bloom, fitted by exact grid search: per site, pooled over sites, or with a requirement per site.

Letters: N seasons, S days, G sites, F folds, B bases, C outer values, K requirements.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Self

import numpy as np

from ecotone.data.seasons import Seasons, Status
from ecotone.errors import InputError, UsageError
from ecotone.systems.phenology.distribution import BloomDays
from ecotone.systems.phenology.grid_axes import axes as axes_for
from ecotone.systems.phenology.grid_search import Axes, add_losses, choose, costs, first_missing, progress
from ecotone.systems.phenology.grid_surface import Cell, Surface, surface
from ecotone.systems.phenology.grid_units import Chill, DailyUnits, Forcing, chill_once, temperatures
from ecotone.systems.phenology.structures import first_day

Array = np.ndarray
MISSING = "a day before bloom has no temperature"
ROWS = 256  # seasons whose hours are held at a time
ALTERNATING = {"start": 92, "chill_start": 31}
SPREAD = 20  # residuals a site needs to have a spread of its own


class GridPhenology:
    """Hard chill and forcing thresholds; every combination of the grid is evaluated on every season.

    Ties go to the cell nearest to the middle of all cells with the smallest loss (`grid_search.choose`).

    Attributes (after `fit`):
        axes_: The grid.
        surfaces_: `Surface` per site id; the pooled one under None.
        at_bound_: Names of parameters at an end of their axis, per site id and None.
        residuals_: Observed minus predicted days of seasons in years left out of the fit, per site id, all under None.

    Args:
        structure: "thermal time", "sequential", "parallel", "alternating" or "phenoflex".
        chill: A chill model (`grid_units.DailyUnits`); passed over by thermal time.
        forcing: A forcing model.
        pooled: False: all parameters per site. True: one set for all. "requirement": base temperature and chill shared,
            the forcing requirement per site.
        grid: "own", "paper" or `Axes`.
        criterion: "mse" or "mae", summed over seasons.
        folds: Groups of years; each is left out once for honest residuals.
        least: Seasons a site needs for parameters of its own; 5, or 3 for a requirement only. Other sites, and sites that
            were not trained on, have the pooled ones.
        settings: Fixed parameters: `least` (parallel, 0), `slope` (PhenoFlex, 0.5), `start` and `chill_start` (alternating:
            days 92 and 31, 1 January and 1 November of seasons that begin on 1 October).
    """

    def __init__(
        self,
        structure: str = "sequential",
        chill: Chill | None = "utah",
        forcing: Forcing = "gdd",
        *,
        pooled: bool | str = False,
        grid: str | Axes = "own",
        criterion: str = "mse",
        folds: int = 10,
        least: int | None = None,
        settings: dict[str, float] | None = None,
    ) -> None:
        if pooled not in (True, False, "requirement"):
            raise UsageError("US104", "pooled", f"{pooled!r}", 'give False, True or "requirement"')
        self.structure, self.forcing, self.pooled, self.grid = structure, forcing, pooled, grid
        self.chill = None if structure == "thermal time" else chill
        self.criterion, self.folds = criterion, folds
        self.settings = {**(ALTERNATING if structure == "alternating" else {}), **(settings or {})}
        self.least = least if least is not None else 3 if pooled == "requirement" else 5

    def fit(self, seasons: Seasons) -> Self:
        """Evaluates the grid on all seasons whose bloom is known or censored and whose temperatures reach that far.

        Raises:
            InputError: DA404 when no season can be used.
        """
        seasons, end = self._usable(seasons)
        self.axes_ = axes_for(self.grid, self.structure, self.chill, self.forcing, seasons)
        years = np.unique(seasons.year)
        folds = min(self.folds, len(years))
        fold = np.searchsorted(years, seasons.year) % folds
        cost = costs(seasons, end, self.criterion)
        everything = np.zeros((folds, *self.axes_.shape))
        own = self.pooled is not True
        per_site: dict[str, list[Cell]] = {}  # F cells with a fold left out, then that of all
        places: dict[str, tuple[Array, tuple[int, int, int]]] = {}
        best = np.zeros((folds + 1, *self.axes_.shape[:2]))  # (F + 1, B, C) with the best requirement per site
        picks: dict[str, Array] = {}
        chill = chill_once(seasons, self.chill)
        for site, rows in _by_site(seasons):
            loss = np.zeros_like(everything) if own else everything
            for part in _chunks(rows):
                units = self._units(seasons, part, chill)
                add_losses(loss, fold[part], cost[part], self.structure, units.chill_at, units.forcing_at, self.axes_,
                           self.settings)  # fmt: skip
            if not own:
                continue
            everything += loss
            if len(rows) < self.least:
                continue
            if self.pooled == "requirement":
                picks[site] = self._best_requirement(loss, best)
            else:
                total, cells = self._leave_out(loss)
                per_site[site], places[site] = [self._cell(p) for p in cells], (total, cells[-1])
        total, cells = self._leave_out(everything)
        shared = [self._cell(p) for p in cells]
        if self.pooled == "requirement" and picks:
            chosen = [choose(table) for table in best]
            for site, pick in picks.items():
                per_site[site] = [self._cell((*bc, int(pick[f, *bc]))) for f, bc in enumerate(chosen)]
            shared = [self._shared_requirement(everything, f, bc) for f, bc in enumerate(chosen)]
        self._cells: dict[str | None, list[Cell]] = {None: shared, **per_site}
        self._describe(seasons, chill, fold, total, cells[-1], best[-1], places)
        return self

    def predict(self, seasons: Seasons) -> BloomDays:
        """One day per season, spread by the residuals of left-out years (of the site where it has 20 of them)."""
        self._fitted()
        day, reason = np.full(len(seasons), np.nan), np.full(len(seasons), "", dtype=object)
        cdf = np.full((len(seasons), seasons.length), np.nan)
        chill = chill_once(seasons, self.chill)
        for site, rows in _by_site(seasons):
            cell = self._cells.get(site, self._cells[None])[-1]
            for part in _chunks(rows):
                day[part], reason[part] = self._days(self._units(seasons, part, chill), cell)
            spread = self.residuals_.get(site, self.residuals_[None]) if self.pooled is not True else None
            if spread is None or np.isfinite(spread).sum() < SPREAD:
                spread = self.residuals_[None]
            answer = BloomDays.from_day(day[rows], spread, seasons.length, reason[rows])
            cdf[rows], reason[rows] = answer.cdf, answer.reason
        return BloomDays(cdf, day, reason)

    def parameters(self, site: str | None = None) -> dict[str, float]:
        """Parameters by name that a site's seasons are predicted with; the pooled ones for None and unknown sites."""
        self._fitted()
        return self._cells.get(site, self._cells[None])[-1].named(self.structure)

    def profile(self, parameter: str, site: str | None = None) -> tuple[Array, Array]:
        """Grid values of a parameter and the smallest mean loss at each, over all other parameters (`Surface.profile`)."""
        self._fitted()
        if site not in self.surfaces_:
            raise UsageError("US101", "site", f"{site!r} has no surface of its own", "leave it out for the pooled one")
        return self.surfaces_[site].profile(parameter)

    def _usable(self, seasons: Seasons) -> tuple[Seasons, Array]:
        end = first_missing(temperatures(seasons))
        known = (seasons.status != Status.UNKNOWN) & np.isfinite(seasons.event) & (end > seasons.event)
        if not known.any():
            raise InputError("DA404", "Seasons", "none has a bloom day and temperatures up to it", "give such seasons")
        return seasons.take(known), end[known]

    def _leave_out(self, loss: Array) -> tuple[Array, list[tuple[int, int, int]]]:
        """Summed loss (B, C, K) and the cell without each fold, then with all."""
        total = loss.sum(axis=0)
        parts = [total - one if len(loss) > 1 else total for one in loss]
        return total, [choose(table) for table in [*parts, total]]  # type: ignore[misc]

    def _best_requirement(self, loss: Array, best: Array) -> Array:
        """Adds a site's smallest losses over its requirements to `best`; (F + 1, B, C) which requirement that was."""
        total = loss.sum(axis=0)
        pick = np.empty(best.shape, dtype=np.int16)
        index = np.arange(loss.shape[-1])
        for f in range(len(best)):
            table = total if f == len(loss) or len(loss) == 1 else total - loss[f]
            low = table.min(axis=-1)
            best[f] += low
            ties = table <= (low + 1e-9 * np.maximum(1.0, low))[..., None]
            middle = (ties @ index) / ties.sum(axis=-1)
            pick[f] = np.where(ties, np.abs(index - middle[..., None]), np.inf).argmin(axis=-1)
        return pick

    def _shared_requirement(self, loss: Array, f: int, bc: tuple[int, ...]) -> Cell:
        row = loss[(slice(None), *bc)]  # (F, K)
        left = row.sum(axis=0) - (row[f] if f < len(row) and len(row) > 1 else 0)
        return self._cell((*bc, *choose(left)))

    def _cell(self, place: tuple[int, ...]) -> Cell:
        b, c, k = place
        grid = self.axes_
        return Cell(float(grid.base[b]), tuple(float(x) for x in grid.outer[c]), float(grid.requirement[b, k]))

    def _units(self, seasons: Seasons, part: Array, chill: Array | None) -> DailyUnits:
        return DailyUnits(seasons.take(part), self.chill, self.forcing, None if chill is None else chill[part])

    def _days(self, units: DailyUnits, cell: Cell, less: float = 1.0) -> tuple[Array, Array]:
        """Days of bloom (n,) and reasons; `less` scales the chill requirement."""
        chill, forcing = units.chill_at(cell.base), units.forcing_at(cell.base)
        outer = np.tile(np.array(cell.outer) * less, (len(forcing), 1))
        day = first_day(progress(self.structure, chill, forcing, outer, self.settings), cell.requirement)
        gap = np.isnan(forcing).any(axis=1) | (np.isnan(chill).any(axis=1) if chill is not None else False)
        return day, np.where(np.isnan(day) & gap, MISSING, "").astype(object)

    def _describe(
        self,
        seasons: Seasons,
        chill: Array | None,
        fold: Array,
        total: Array,
        place: tuple[int, int, int],
        best: Array,
        places: dict[str, tuple[Array, tuple[int, int, int]]],
    ) -> None:
        """Residuals of left-out years and the surfaces."""
        left, limited = np.full(len(seasons), np.nan), np.zeros(len(seasons), dtype=bool)
        chilled = self.structure in ("sequential", "parallel", "phenoflex")
        for site, rows in _by_site(seasons):
            cells = self._cells.get(site, self._cells[None])
            for part in _chunks(rows):
                units = self._units(seasons, part, chill)
                for f in np.unique(fold[part]):
                    here = fold[part] == f
                    if site in self._cells and (fold[rows] != f).sum() < 2:
                        continue  # nothing is left that the site's own parameters could come from
                    left[part[here]] = self._days(units, cells[f])[0][here]
                if chilled:
                    limited[part] = self._days(units, cells[-1], 0.9)[0] < self._days(units, cells[-1])[0]
        seen = seasons.observed
        error = np.where(seen, seasons.event - left, np.nan)
        self.residuals_: dict[str | None, Array] = {None: error}
        self.surfaces_: dict[str | None, Surface] = {}
        station = seasons.sites["station"] if "station" in seasons.sites else seasons.sites["site_id"]
        place_year = np.array([f"{station.iloc[s]}|{y}" for s, y in zip(seasons.site, seasons.year, strict=True)])

        def add(key: str | None, rows: Array, table: Array, cell: tuple[int, int, int], named: Cell | None) -> None:
            count = int(limited[rows].sum()) if chilled else None
            effective = len(np.unique(place_year[rows]))
            self.surfaces_[key] = surface(self.structure, self.axes_, table, cell, len(rows), effective, count, named)

        every = np.arange(len(seasons))
        if self.pooled == "requirement" and len(self._cells) > 1:
            b, c = choose(best)
            enough = np.concatenate([rows for site, rows in _by_site(seasons) if site in self._cells])
            add(None, enough, best[..., None], (b, c, 0), self._cells[None][-1])
        else:
            add(None, every, total, place, None)
        for site, rows in _by_site(seasons):
            if site in self._cells:
                self.residuals_[site] = error[rows]
            if site in places:
                add(site, rows, *places[site], None)
        self.at_bound_ = {key: found.at_bound for key, found in self.surfaces_.items()}
        if self.pooled == "requirement":
            for key, cells in self._cells.items():
                ends = self.axes_.requirement[self.axes_.base == cells[-1].base][0][[0, -1]]
                if cells[-1].requirement in ends:
                    self.at_bound_[key] = (*self.at_bound_.get(key, ()), "requirement")

    def _fitted(self) -> None:
        if not hasattr(self, "_cells"):
            raise UsageError("US105", "GridPhenology", "is not fitted yet", "call fit first")


def _by_site(seasons: Seasons) -> Iterator[tuple[str, Array]]:
    """Site id and rows of every site that has seasons."""
    names = seasons.sites["site_id"].to_numpy(dtype=object)
    for g in np.unique(seasons.site):
        yield str(names[g]), np.flatnonzero(seasons.site == g)


def _chunks(rows: Array) -> Iterator[Array]:
    for begin in range(0, len(rows), ROWS):
        yield rows[begin : begin + ROWS]
