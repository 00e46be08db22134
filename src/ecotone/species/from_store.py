"""Training data of a job whose sites lie in a store: what is in memory is a sample of it.

Letters: K sites, S species, P covariates, U background cells.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ecotone.data.raster_grid import crs_wkt, is_geographic
from ecotone.data.site_inputs import open_or_pack
from ecotone.data.site_store import SiteStore
from ecotone.errors import InputError
from ecotone.species.options import Inputs
from ecotone.species.prepare import Prepared

SAMPLE = 20_000  # sites, and background cells, at most
_ANSWERS = 100_000_000  # numbers that one refit of all variants may give


def open_sites(inputs: Inputs, folder: Path | None) -> SiteStore:
    """The store, packed into a folder on first use where tables are given.

    Raises:
        InputError: IO104 for tables without a folder to pack them to.
    """
    from ecotone.data.site_inputs import is_store

    if inputs.sites is None:
        raise InputError("DA404", "sites", "no store was given", "pass --sites")
    if folder is None and not is_store(inputs.sites):
        fix = "pack them first: `ecotone data pack SITES --out STORE`"
        raise InputError("IO104", inputs.sites, "tables need a run folder to be packed to", fix)
    return open_or_pack(
        inputs.sites,
        inputs.sites if folder is None else folder,
        labels=inputs.labels,
        background=inputs.cells,
        categorical=inputs.categorical,
        exclude=inputs.exclude,
        x=inputs.x,
        y=inputs.y,
        species_column=inputs.species or "species",
    )


def of_store(inputs: Inputs, store: SiteStore) -> Inputs:
    """The inputs as they would name the store itself, which has what else was said about its tables."""
    packed = {"labels": None, "cells": None, "categorical": [], "exclude": [], "x": None, "y": None, "species": None}
    return inputs.model_copy(update={"sites": store.folder, **packed})


def sample_size(species: int, covariates: int) -> int:
    """Sites that scores and evidence are made from: fewer where there are thousands of species."""
    return int(np.clip(_ANSWERS // (species * (covariates + 2)), 200, SAMPLE))


def sampled(store: SiteStore, inputs: Inputs, *, seed: int = 0) -> Prepared:
    """A seeded sample of the store as training data for scores and evidence.

    Sites without a record stay: they are the target group's visited sites.
    """
    size = sample_size(len(store.species), len(store.covariates))
    part = store.sample(size, seed)
    cells, weight = store.background(size, seed)
    n = len(part.rows)
    xy = np.full((n, 2), np.nan) if part.xy is None else part.xy
    return Prepared(
        inputs,
        store.covariates,
        None,
        dict(store.levels),
        store.species,
        part.counts,
        part.rows,
        xy,
        part.covariates.astype(np.float64),
        np.asarray(cells, dtype=np.float64).reshape(-1, len(store.covariates)),
        np.full((len(cells), 2), np.nan),
        np.exp(weight),
        None if part.log_weight is None else np.exp(part.log_weight),
        store.n_background,
        inputs.crs is None or is_geographic(crs_wkt(inputs.crs)),
        None,
    )
