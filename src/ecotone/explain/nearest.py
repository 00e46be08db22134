"""Distance to the nearest of some points, exact and the same to the bit however queries are cut.

Near queries in few dimensions are answered by a KD-tree. A tree must look at nearly all points when a query is far from all of
them or has many coordinates; there a matrix product finds the few candidates that rounding leaves in doubt, and only
their distances are computed. Letters: N queries, K points, D coordinates.
"""

from __future__ import annotations

import numpy as np

Array = np.ndarray
_TREE = 20  # coordinates up to which a tree pays
_BLOCK = 200_000  # products held at once; they stay in cache


class Nearest:
    """Finds the distance to the nearest point.

    Args:
        points: (K, D), finite.
        reach: Distance up to which most queries find a point; beyond it the tree is not used.
    """

    def __init__(self, points: Array, reach: float) -> None:
        from scipy.spatial import KDTree

        self.points = np.unique(points, axis=0)
        self.reach = reach
        self._tree = KDTree(self.points) if self.points.shape[1] <= _TREE and reach > 0 else None
        squares = (self.points**2).sum(1)
        self._factor = np.concatenate([-2 * self.points.T, squares[None]])  # (D + 1, K)
        self._farthest = float(np.sqrt(squares.max()))

    def distance(self, queries: Array) -> Array:
        """(N, D) finite -> (N,)."""
        if self._tree is None:
            return self._by_products(queries)
        found = np.asarray(self._tree.query(queries, distance_upper_bound=self.reach)[0])
        far = np.isinf(found)
        if far.any():
            found[far] = self._by_products(queries[far])
        return found

    def _by_products(self, queries: Array) -> Array:
        out = np.empty(len(queries))
        step = max(1, _BLOCK // len(self.points))
        for start in range(0, len(queries), step):
            some = np.ascontiguousarray(queries[start : start + step])
            longer = np.concatenate([some, np.ones((len(some), 1))], axis=1)
            rough = longer @ self._factor  # squared distance, less the square of the query itself
            size = (np.sqrt((some**2).sum(1)) + self._farthest) ** 2
            doubt = 8 * (some.shape[1] + 4) * np.finfo(float).eps * size  # more than rounding can do
            close = np.flatnonzero(rough <= (rough.min(1) + doubt)[:, None])  # much faster flat than in two dimensions
            row, column = np.divmod(close, len(self.points))
            exact = np.concatenate([
                ((some[row[i : i + _BLOCK]] - self.points[column[i : i + _BLOCK]]) ** 2).sum(1)
                for i in range(0, len(row), _BLOCK)
            ])  # fmt: skip
            first = np.searchsorted(row, np.arange(len(some)))
            out[start : start + step] = np.sqrt(np.minimum.reduceat(exact, first))
        return out
