"""Baselines on weekly temperatures: ridge regression and gradient boosting, as rolling answers (see `ladder`).

The ridge may also use the warm parts of the weeks, which make it count degree days, where held-out years gain from them.
It pools over sites: site effects and site-specific slopes on the main patterns of the weeks are penalised beside
the common slopes, by amounts chosen on held-out years; that is a mixed model, with few seasons a site leans on the others.
Boosting learns the departure from a site's shrunken mean day. For new sites both are fitted without site terms, with place
as a predictor where held-out sites gain from it.

Letters: N seasons, W columns of weeks, G sites, P columns.
"""

from __future__ import annotations

from itertools import product

import numpy as np

from ecotone.data.seasons import Seasons
from ecotone.systems.phenology.baselines.ladder import Ladder, levels_of, places

Array = np.ndarray
ALPHAS = tuple(np.geomspace(0.3, 3000, 9))
LARGE = 1500  # seasons above which fewer penalties are tried
PLACES = 12  # sites from which on place may be a predictor: a line through fewer says nothing of another country
PATTERNS = 3  # principal patterns of the weeks that get slopes per site


class WeeklyRidge(Ladder):
    """Ridge regression on weekly temperatures.

    Args:
        step: Days between cut-offs.
        weeks: Weeks before a cut-off that are used.
    """

    def __init__(self, *, step: int = 7, weeks: int = 26) -> None:
        super().__init__(RidgeStage, step=step, weeks=weeks)


class WeeklyBoosting(Ladder):
    """Histogram gradient boosting (scikit-learn) on weekly temperatures.

    Args:
        step: Days between cut-offs.
        weeks: Weeks before a cut-off that are used.
        seed: Of the groups of years held out.
    """

    def __init__(self, *, step: int = 7, weeks: int = 26, seed: int = 0) -> None:
        super().__init__(lambda new: BoostingStage(new, seed), step=step, weeks=weeks)


class RidgeStage:
    """Ridge regression of one cut-off; its penalties are the best for groups held out, computed in closed form."""

    def __init__(self, new: bool = False) -> None:
        self.new = new

    def fit(self, x: Array, y: Array, seasons: Seasons, groups: Array) -> Array:
        """As `Stage.fit`."""
        self._mean = _nanmean(x)
        self._scale = np.maximum(np.nan_to_num(np.nanstd(x, axis=0)), 1e-3)
        self._place_mean = _nanmean(places(seasons))
        self._place_scale = np.maximum(np.nan_to_num(np.nanstd(places(seasons), axis=0)), 1e-3)
        z = self._standard(x)
        self._patterns = np.linalg.svd(z[:, : z.shape[1] // 3], full_matrices=False)[2][:PATTERNS]
        self._middle = float(y.mean())
        place = np.unique(groups, return_inverse=True)[1]
        best = np.inf
        held = np.zeros(len(y))
        many = len(y) > LARGE
        enough = len(np.unique(seasons.site)) >= PLACES
        sites, slopes, where = (3.0, 10.0), (0.0, 0.3, 1.0), (0.0,)
        if self.new:
            sites, slopes, where = (0.0,), (0.0,), (0.0, 1.0) if enough else (0.0,)
        if many and not self.new:
            sites, slopes = (10.0,), (0.0, 1.0)
        for weights in product((1.0,) if many else (0.0, 1.0), sites, slopes, where):
            design = self._design(z, seasons, weights)
            u, s, vt = np.linalg.svd(design, full_matrices=False)
            for alpha in ALPHAS[::2] if many else ALPHAS:
                off = leave_out(u, s, alpha, y - self._middle, place)
                loss = float(np.mean(off**2))
                if loss < best:
                    best, held, self._weights = loss, off, weights
                    self._coefficients = vt.T @ (s / (s**2 + alpha) * (u.T @ (y - self._middle)))
        return y - held

    def day(self, x: Array, seasons: Seasons) -> Array:
        """As `Stage.day`."""
        return self._middle + self._design(self._standard(x), seasons, self._weights) @ self._coefficients

    def _standard(self, x: Array) -> Array:
        return np.nan_to_num((x - self._mean) / self._scale)

    def _design(self, z: Array, seasons: Seasons, weights: tuple[float, float, float, float]) -> Array:
        """(N, P) weeks, a nearly free constant, and, each with its weight, warm parts, site effects, slopes and place."""
        warm, sites, slopes, where = weights
        weeks = z[:, : z.shape[1] // 3]
        parts = [weeks, np.full((len(z), 1), 100.0)]
        if warm:
            parts.append(warm * z[:, weeks.shape[1] :])
        if sites:
            own = np.zeros((len(z), len(seasons.sites)))
            own[np.arange(len(z)), seasons.site] = 1.0
            parts.append(sites * own)
            if slopes:
                main = weeks @ self._patterns.T / np.sqrt(weeks.shape[1])
                parts += [slopes * own * main[:, k : k + 1] for k in range(main.shape[1])]
        if where:
            parts.append(where * np.nan_to_num((places(seasons) - self._place_mean) / self._place_scale))
        return np.concatenate(parts, axis=1)


def leave_out(u: Array, s: Array, alpha: float, y: Array, group: Array) -> Array:
    """(N,) exact residuals of ridge regression with a season's whole group left out, from one decomposition.

    With the hat matrix H, the residuals of a group g left out are (I - H_gg)^-1 (y - Hy)_g.

    Args:
        u: (N, K) left singular vectors of the design.
        s: (K,) singular values.
        alpha: Penalty.
        y: (N,) response.
        group: (N,) group numbers 0, 1, ...
    """
    shrunk = u * (s**2 / (s**2 + alpha))
    residual = y - shrunk @ (u.T @ y)
    out = np.empty_like(residual)
    order = np.argsort(group, kind="stable")
    for rows in np.split(order, np.cumsum(np.bincount(group))[:-1]):
        if len(rows):
            block = np.eye(len(rows)) - shrunk[rows] @ u[rows].T
            out[rows] = np.linalg.solve(block, residual[rows])
    return out


class BoostingStage:
    """Gradient boosting of one cut-off: departures from the site's mean day, or the day itself for new sites."""

    def __init__(self, new: bool = False, seed: int = 0) -> None:
        self.new, self.seed = new, seed

    def fit(self, x: Array, y: Array, seasons: Seasons, groups: Array) -> Array:
        """As `Stage.fit`."""
        names, place = np.unique(groups, return_inverse=True)
        chance = np.random.default_rng([self.seed, 6]).permutation(len(names)) % max(2, min(4, len(names)))
        fold = chance[place]
        held = np.full(len(y), np.nan)
        for k in np.unique(fold):
            some, other = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
            if len(some):
                self._one(x[some], y[some], seasons.take(some))
                held[other] = self.day(x[other], seasons.take(other))
        self._one(x, y, seasons)
        return np.where(np.isnan(held), y, held)

    def _one(self, x: Array, y: Array, seasons: Seasons) -> None:
        from sklearn.ensemble import HistGradientBoostingRegressor

        self._level = levels_of(seasons, y)
        self._places = len(np.unique(seasons.site)) >= PLACES
        self._model = HistGradientBoostingRegressor(
            learning_rate=0.06, max_iter=120, max_leaf_nodes=6, min_samples_leaf=8, l2_regularization=1.0
        )
        base = 0.0 if self.new else self._level[seasons.site]
        columns = self._columns(x, seasons)
        columns[:, np.isnan(columns).all(axis=0)] = 0.0  # such as altitudes that nobody gave: they cannot be binned
        self._model.fit(columns, y - base)

    def day(self, x: Array, seasons: Seasons) -> Array:
        """As `Stage.day`."""
        base = 0.0 if self.new else self._level[seasons.site]
        return base + self._model.predict(self._columns(x, seasons))

    def _columns(self, x: Array, seasons: Seasons) -> Array:
        beside = self._level[seasons.site][:, None]
        if self.new:
            beside = places(seasons) if self._places else np.empty((len(x), 0))
        x = x[:, : x.shape[1] // 3]  # trees bend by themselves: mean temperatures do
        months = x[:, : x.shape[1] // 4 * 4].reshape(len(x), -1, 4).mean(axis=2)  # trees sum weeks poorly by themselves
        return np.concatenate([x, months, beside], axis=1)


def _nanmean(x: Array) -> Array:
    """Column means; 0 for a column without values."""
    count = np.isfinite(x).sum(axis=0)
    return np.nansum(x, axis=0) / np.maximum(count, 1)
