"""Problems without a finite optimum: unpenalised features that separate the records from the rest of the background.

Where some direction d over unpenalised features has x_i.d <= x_r.d for every background row i and record r, less for some i, the
objective falls for ever along d. A feature of which all records hold the largest or the smallest value is such a direction: a
hinge beyond the last record, a category without any. Letters: S problems, G backgrounds, R rows, F features.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

Array = np.ndarray
MARGIN = 1e-9  # of the direction's range over the background: what rounding may hide


def records_at_an_end(
    x: Array, weight: Array, group: Array, added: sparse.csr_array, records: sparse.csr_array, penalty: Array
) -> Array:
    """(S,) whether all records hold the largest or smallest value of an unpenalised feature that varies.

    Args:
        x: (R, F).
        weight: (G, R), zero for rows that are not in a background.
        group: (S,) which of them.
        added: (S, R) CSR, weight added for a problem's own presences.
        records: (S, R) CSR.
        penalty: (S, F).
    """
    found = np.zeros(len(penalty), bool)
    free = penalty == 0
    ends: dict[int, tuple[Array, Array]] = {}
    for j in np.flatnonzero(free.any(1)).tolist():
        g = int(group[j])
        if g not in ends:
            inside = x[weight[g] > 0]
            ends[g] = inside.min(0, initial=np.inf), inside.max(0, initial=-np.inf)
        own, more = x[_rows(records, j)], x[_rows(added, j)]
        low, high = (e[free[j]] for e in ends[g])
        least, most = own.min(0)[free[j]], own.max(0)[free[j]]
        low = np.minimum(np.minimum(low, least), more.min(0, initial=np.inf)[free[j]])
        high = np.maximum(np.maximum(high, most), more.max(0, initial=-np.inf)[free[j]])
        found[j] = bool(((low < high) & ((least == high) | (most == low))).any())
    return found


def separates(x: Array, inside: Array, own: Array, direction: Array) -> bool:
    """Whether a direction, once its values at the records are made equal, separates them.

    Args:
        x: (R, K) unpenalised features.
        inside: (R,) rows with weight.
        own: Rows with records.
        direction: (K,), such as the coefficients that a solver has reached.
    """
    centred = x[own] - x[own[0]]
    d = direction - np.linalg.lstsq(centred, centred @ direction, rcond=1e-12)[0]
    score = x[inside] @ d
    span = float(np.ptp(score))
    at = x[own] @ d
    level = float(at.min())
    even = float(np.ptp(at)) <= MARGIN * span
    real = span > 1e-6 * max(float(np.abs(x[inside] @ direction).max()), 1e-300)
    return bool(real and even and float(score.max()) <= level + MARGIN * span)


def _rows(table: sparse.csr_array, j: int) -> Array:
    return table.indices[table.indptr[j] : table.indptr[j + 1]][table.data[table.indptr[j] : table.indptr[j + 1]] > 0]
