"""Packing arrays and memory maps into a site store, part by part. Letters: N sites, P covariates, S species, U cells."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from ecotone.data.site_store import CHUNK, SiteStore
from ecotone.data.site_store_write import SiteStoreWriter
from ecotone.errors import InputError


def from_arrays(
    folder: str | Path,
    covariates: Any,
    counts: Any,
    *,
    names: Sequence[str] | None = None,
    species: Sequence[str] | None = None,
    categorical: Sequence[str] = (),
    weight: Any = None,
    xy: Any = None,
    background: Any = None,
    background_weight: Any = None,
) -> SiteStore:
    """Packs arrays, which may be memory maps: they are read part by part.

    Args:
        folder: The store to make.
        covariates: (N, P) array or memory map, own units.
        counts: (N, S) records, dense, memory-mapped or scipy.sparse.
        names: P covariate names; x0, x1, ... by default.
        species: S names; "species 0", ... by default.
        categorical: Covariates whose values are labels.
        weight: (N,) relative weight of sites as background, or None.
        xy: (N, 2) coordinates, or None.
        background: (U, P) covariates of uniform random cells, or None.
        background_weight: (U,) their relative weight, or None.

    Raises:
        EcotoneError: As `SiteStoreWriter`.
    """
    shape = np.shape(covariates)
    if sparse.issparse(counts):
        counts = sparse.csr_array(counts)
    if len(shape) != 2 or len(np.shape(counts)) != 2 or shape[0] != np.shape(counts)[0]:
        what = f"covariates {shape}, records {np.shape(counts)}"
        raise InputError("DA404", "arrays", what, "pass (N, P) and (N, S)")
    for where, array, n in (("weight", weight, shape[0]), ("xy", xy, shape[0])):
        if array is not None and len(array) != n:
            raise InputError("DA404", where, f"{len(array)} rows for {n} sites", "pass one per site")
    names = [f"x{i}" for i in range(shape[1])] if names is None else names
    kinds = np.shape(counts)[1] if species is None else species
    options = {"categorical": categorical, "weighted": weight is not None, "located": xy is not None}
    writer = SiteStoreWriter(folder, names, kinds, **options)
    try:
        for start in range(0, shape[0], CHUNK):
            part = slice(start, min(start + CHUNK, shape[0]))
            more = {k: None if v is None else v[part] for k, v in (("weight", weight), ("xy", xy))}
            writer.append(covariates[part], counts[part], **more)
        for start in range(0, 0 if background is None else len(background), CHUNK):
            part = slice(start, start + CHUNK)
            writer.append_background(background[part], None if background_weight is None else background_weight[part])
        return writer.close()
    except BaseException:
        writer.abort()
        raise
