"""Features of frozen encoders on disk: computed once, named by what they were computed from, mapped into memory.

A file's name is the hash of the encoder, the images and the moves applied, so a cache cannot be stale. It is written under
another name and renamed when complete; what is damaged is computed again.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ecotone.files.atomic import atomic_path, make_folder
from ecotone.files.fingerprint import cache_key
from ecotone.files.progress import progress as show_progress


def cached_features(
    compute: Callable[[slice], Tensor],
    count: int,
    key: str,
    folder: str | Path | None,
    *,
    batch: int = 64,
    dtype: str = "float16",
    progress: bool = False,
) -> np.ndarray:
    """(N, ...) features, from the cache where they are in it.

    Args:
        compute: Rows -> (b, ...) features, without gradients.
        count: N.
        key: What the features depend on (`ecotone.nn.encoders.encoder_key` with the hash of the images).
        folder: Where caches lie; None keeps them in memory only.
        batch: Rows computed at a time.
        dtype: How they are kept; float16 halves the space.
        progress: Show how far it is.

    Returns:
        A read-only memory map with a folder, an array without.
    """
    path = None if folder is None else make_folder(Path(folder)) / f"{cache_key(key=key, count=count, dtype=dtype)}.npy"
    if path is not None and (stored := _read(path, count, dtype)) is not None:
        return stored
    if path is None:
        return _fill(compute, count, batch, dtype, progress, lambda shape: np.empty(shape, dtype))
    with atomic_path(path) as partial:
        made = _fill(
            compute, count, batch, dtype, progress,
            lambda shape: np.lib.format.open_memmap(partial, mode="w+", dtype=np.dtype(dtype), shape=shape),
        )  # fmt: skip
        if isinstance(made, np.memmap):
            made.flush()
        del made
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _fill(
    compute: Callable[[slice], Tensor],
    count: int,
    batch: int,
    dtype: str,
    progress: bool,
    make: Callable[[tuple[int, ...]], np.ndarray],
) -> np.ndarray:
    out: np.ndarray | None = None
    with torch.inference_mode(), show_progress(count, "features", enabled=progress) as bar:
        for start in range(0, count, batch):
            rows = slice(start, min(start + batch, count))
            found = compute(rows).to(torch.float32).numpy()
            if out is None:
                out = make((count, *found.shape[1:]))
            out[rows] = found.astype(dtype)
            bar.advance(rows.stop - rows.start)
    return make((0,)) if out is None else out


def _read(path: Path, count: int, dtype: str) -> np.ndarray | None:
    """The stored array; None where there is none, or it is damaged."""
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    whole = found.ndim >= 1 and found.shape[0] == count and found.dtype == np.dtype(dtype)
    return found if whole else None
