"""Making a pixel's answer independent of the pixels computed with it.

Matrix products choose their order of summation by the number of rows, so a network applied to 289 rows and to 262144
rows may differ in the last bit. Calls of one fixed shape always take the same path; a system that predicts through
`in_fixed_chunks` gives bit-equal maps for every window size.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from ecotone.errors import InputError

CHUNK = 4096


def in_fixed_chunks(
    function: Callable[[np.ndarray], Any], rows: np.ndarray, chunk: int = CHUNK, threads: int = 1
) -> Any:
    """Applies a row-wise function to chunks of exactly `chunk` rows.

    The last chunk is filled up with copies of its last row, whose answers are dropped.

    Args:
        function: (chunk, P) -> an array (chunk, ...) or a tuple of such arrays, each row from its own row only.
        rows: (N, P).
        chunk: Rows per call; a power of two, so that vectorised code leaves no remainder.
        threads: Chunks worked on at a time; `function` must not use more threads itself.

    Returns:
        (N, ...) or a tuple, as `function` gives.

    Raises:
        InputError: DA404 when `function` returns another number of rows.
    """
    n = len(rows)

    def one(start: int) -> Any:
        part = rows[start : start + chunk]
        if len(part) < chunk:
            last = part[-1:] if len(part) else np.zeros((1, *rows.shape[1:]), dtype=rows.dtype)
            part = np.concatenate([part, np.repeat(last, chunk - len(part), axis=0)])
        answer = function(part)
        several = isinstance(answer, tuple)
        arrays = tuple(np.asarray(a) for a in answer) if several else (np.asarray(answer),)
        for array in arrays:
            if array.ndim == 0 or len(array) != chunk:
                what = f"the function gave {array.shape} for {chunk} rows"
                raise InputError("DA404", "in_fixed_chunks", what, "return one row per row")
        kept = min(chunk, n - start)
        return tuple(a[:kept] for a in arrays) if several else arrays[0][:kept]

    starts = range(0, max(n, 1), chunk)
    if threads > 1 and len(starts) > threads:
        with ThreadPoolExecutor(threads, thread_name_prefix="chunks") as pool:
            parts = list(pool.map(one, starts))
    else:
        parts = [one(start) for start in starts]
    if isinstance(parts[0], tuple):
        return tuple(np.concatenate(column) for column in zip(*parts, strict=True))
    return np.concatenate(parts)
