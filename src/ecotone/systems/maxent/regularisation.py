"""How much a coefficient costs: the published penalties of Maxent, by kind of feature and number of records.

l_kj = multiplier * max(table(kind, n_j) / sqrt(n_j) * sd of feature k over the records of j, floors), in nats per unit of the
feature (Phillips and Dudik 2008; the floors are those of maxnet 0.1.4). Letters: S species, R rows, F features.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import sparse

Array = np.ndarray
Table = tuple[tuple[float, ...], tuple[float, ...]]

TABLES: dict[str, Table] = {
    "linear": ((0, 10, 30, 100), (1, 1, 0.2, 0.05)),
    "quadratic": ((0, 10, 17, 30, 100), (1.3, 0.8, 0.5, 0.25, 0.05)),
    "product": ((0, 10, 17, 30, 100), (2.6, 1.6, 0.9, 0.55, 0.05)),
    "hinge": ((0,), (0.5,)),
    "threshold": ((0, 100), (2, 1)),
    "categorical": ((0, 10, 17), (0.65, 0.5, 0.25)),
}
SMOOTH = ("product", "quadratic", "linear")  # share one table: that of the first kind among them that a species uses
RANGE_FLOOR = 0.001
CLASSES = ((10, ("linear",)), (15, ("linear", "quadratic")), (80, ("linear", "quadratic", "hinge")))
EVERY = ("linear", "quadratic", "hinge", "product")


def feature_classes(records: float) -> tuple[str, ...]:
    """The published choice of feature kinds for a number of records; categorical features are always allowed."""
    for below, kinds in CLASSES:
        if records < below:
            return (*kinds, "categorical")
    return (*EVERY, "categorical")


def moments(records: sparse.csr_array, features: Array) -> tuple[Array, Array, Array]:
    """Number, mean and sample standard deviation of the features over each species' records.

    Args:
        records: (S, R) weights of records.
        features: (R, F).

    Returns:
        (S,), (S, F), (S, F); the deviation is 0 for a single record.
    """
    n = np.asarray(records.sum(1), dtype=np.float64).ravel()
    rows = np.unique(records.indices)
    x = np.asarray(features[rows], dtype=np.float64)
    share = sparse.csr_array(records[:, rows], dtype=np.float64).multiply(1.0 / np.maximum(n, 1e-300)[:, None]).tocsr()
    mean = np.asarray(share @ x)
    centre = x.mean(0)
    square = np.asarray(share @ (x - centre) ** 2) - (mean - centre) ** 2
    deviation = np.sqrt(np.maximum(square, 0.0) * np.where(n > 1, n / np.maximum(n - 1, 1e-300), 0.0)[:, None])
    return n, mean, np.where(square > 1e-12 * centre**2, deviation, 0.0)


def penalties(
    records: sparse.csr_array,
    features: Array,
    kinds: Sequence[str],
    allowed: Array,
    *,
    spread: Array,
    multiplier: float | Array = 1.0,
) -> Array:
    """The published penalties.

    Args:
        records: (S, R) weights of records; every species has some.
        features: (R, F).
        kinds: F kinds, keys of `TABLES`.
        allowed: (S, F) which features a species may use.
        spread: (F,) or (S, F) range of the features over the background.
        multiplier: Multiplies all of them, or (S,) those of each species; beta or regularization multiplier elsewhere.

    Returns:
        (S, F); infinite where a feature is not allowed or does not vary over the background.
    """
    kind = np.asarray(kinds)
    n, _, deviation = moments(records, features)
    root = 1.0 / np.sqrt(np.maximum(n, 1e-300))[:, None]
    own = {k: _interpolated(k, n) for k in TABLES}
    smooth = np.zeros(len(n))
    for k in reversed(SMOOTH):
        smooth = np.where((allowed & (kind == k)).any(1), own[k], smooth)
    base = np.zeros(allowed.shape)
    for k in TABLES:
        base[:, kind == k] = (smooth if k in SMOOTH else own[k])[:, None]
    found = base * root * deviation
    # a hinge that hardly varies over the records, a threshold that does not vary at all: little is known about them
    hinge = kind == "hinge"
    found[:, hinge] = np.maximum(found[:, hinge], 0.5 * root * np.maximum(deviation[:, hinge], root))
    found[:, kind == "threshold"] = np.where(deviation[:, kind == "threshold"] == 0, 1.0, found[:, kind == "threshold"])
    found = np.reshape(multiplier, (-1, 1)) * np.maximum(found, RANGE_FLOOR * spread)
    return np.where(allowed & (spread > 0), found, np.inf)


def _interpolated(kind: str, n: Array) -> Array:
    at, values = TABLES[kind]
    return np.interp(n, at, values)
