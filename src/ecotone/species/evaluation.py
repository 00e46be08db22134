"""How good the maps are: blocked cross-validation on the records, and scores against independent surveys.

Letters: K sites with records, U background cells, S species, D folds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ecotone.contract import Score, Scores
from ecotone.data.occurrences import read_occurrences, to_numbers
from ecotone.data.raster_grid import crs_wkt, is_geographic
from ecotone.data.rasters import RasterStack
from ecotone.data.tables import read_table
from ecotone.errors import InputError, UsageError, suggest
from ecotone.stats.splits import block_ids, random_folds, spatial_blocks

if TYPE_CHECKING:
    from ecotone.species.options import Query
    from ecotone.species.prepare import Prepared
    from ecotone.species.system import SpeciesSystem

Array = np.ndarray
FOLDS = 4
MIN_RECORDS = 8  # of a species, to be scored on held-out blocks


@dataclass(frozen=True)
class Points:
    """Points to answer for: N positions and their CRS, their covariates (N, P), and which are complete."""

    x: Array
    y: Array
    crs: str
    values: Array
    valid: Array


def covariates_of(system: SpeciesSystem, covariates: list[Any], raster_crs: str | None) -> RasterStack:
    """The rasters of a query, or those of `fit`, in the model's order; bands are matched by name."""
    if covariates:
        stack = RasterStack.open(covariates, assume_crs=raster_crs)
    else:
        stored = system.stored_inputs
        if system.data is not None and system.data.stack is not None:
            stack = system.data.stack
        elif stored.get("sites") is None and stored:
            exclude = stored.get("exclude") or None
            try:
                stack = RasterStack.open(stored["covariates"], exclude=exclude, assume_crs=stored.get("raster_crs"))
            except InputError as error:
                if error.code != "IO101":
                    raise
                fix = "work in the folder the fit was started in, or pass --covariates"
                raise InputError("IO101", error.where, "the rasters of fit are not found", fix) from None
        else:
            raise InputError("RA303", "covariates", "the model was not fitted from rasters", "pass --covariates")
    labels = [spec.name for spec in system.map_covariates() if spec.categorical]
    return stack.select(list(system.covariates), categorical=labels)


def read_query(system: SpeciesSystem, query: Query) -> Points:
    """The points of a query with their covariates."""
    if query.points is None:
        raise UsageError("US105", "points", "no table of points was given", "pass one: --points FILE")
    records = read_occurrences(query.points, x=query.x, y=query.y, species=query.species or "=points", crs=query.crs)
    stack = covariates_of(system, query.covariates, query.raster_crs)
    found = stack.sample(records.x, records.y, records.crs)
    if not found.valid.any():
        raise InputError(
            "OC202", _named(query), "no point lies on a valid cell of the rasters", "check coordinates and --crs"
        )
    return Points(records.x, records.y, records.crs, found.values, found.valid)


def _named(query: Query) -> str:
    return "table" if hasattr(query.points, "columns") else str(query.points)


# ------------------------------------------------------------------------------------------------ cross-validation
def cross_validate(system: SpeciesSystem, ready: Prepared) -> Scores:
    """Refits on folds and scores held-out records; spatial blocks are the answer, a random split stands beside it.

    A held-out presence is ranked against uniform cells of the held-out blocks ("auc") and, with several species, against
    the other held-out sites of the target group ("auc_target_group"), which does not reward knowing where people go.

    Raises:
        InputError: OC205 when there is too little to hold some back.
    """
    from ecotone.species.system import Variant

    share = system.estimator.background_.uniform_share
    splits = _splits(ready)
    variants, held = [], []
    for name, folds in splits.items():
        for d in range(FOLDS):
            rows = np.flatnonzero(folds[: len(ready.xy)] != d)
            if len(rows) >= 2 and len(rows) < len(ready.xy):
                variants.append(Variant(seed=77_000 + d, uniform_share=share, rows=rows))
                held.append((name, folds == d))
    if not variants:
        raise InputError("OC205", "records", f"{len(ready.xy)} sites are too few for cross-validation", "add records")
    predict = system.refit(ready, variants, label="cross-validation")
    f = predict(np.concatenate([ready.sites, ready.background]))  # (V, K + U, S)
    tables = {name: _held_out(f, held, name, ready) for name in splits}
    enough = np.asarray(ready.counts.sum(0)).ravel() >= MIN_RECORDS
    metrics: dict[str, Score] = {}
    rows_out: list[dict[str, Any]] = [
        {"species": s, "records": int(n)} for s, n in zip(ready.species, ready.counts.sum(0), strict=True)
    ]
    for name, table in tables.items():
        for metric, (values, spread) in table.items():
            if metric == "auc_target_group" and len(ready.species) < 2:
                continue
            kept = np.where(enough | (len(ready.species) == 1), values, np.nan)
            if np.isfinite(kept).any():
                metrics[metric + name] = _interval(kept, spread)
            for j, row in enumerate(rows_out):
                row[metric + name] = float(values[j])
    order = ("auc", "auc_target_group", "boyce", "auc_random", "auc_target_group_random", "boyce_random")
    if not metrics:
        what = f"no species has the {MIN_RECORDS} records that cross-validation needs"
        raise InputError("OC205", "records", what, "add records")
    split = f"{FOLDS} random folds of single sites (the sites have no coordinates, so no spatial blocks)"
    if "" in splits:
        split = f"{FOLDS} folds of spatial blocks, beside them {FOLDS} random folds of single sites"
    split += f"; mean over species with {MIN_RECORDS} records or more" if len(ready.species) > 1 else ""
    return Scores({k: metrics[k] for k in order if k in metrics}, split, rows_out)


def _splits(ready: Prepared) -> dict[str, Array]:
    """Suffix of the metrics -> (K + U,) folds of sites and background cells; cells without a place are spread at random."""
    n, u = len(ready.sites), len(ready.background)
    random = random_folds(n + u, folds=FOLDS)
    if not ready.placed:
        return {"_random": random}
    if np.isfinite(ready.background_xy).all():
        blocks = _block_folds(np.concatenate([ready.xy, ready.background_xy]), ready.geographic, n)
    else:
        blocks = np.concatenate([_block_folds(ready.xy, ready.geographic, n), random[n:]])
    return {"": blocks, "_random": random}


def _block_folds(xy: Array, geographic: bool, n_sites: int) -> Array:
    """Folds of blocks balanced by records, so that background cells share the blocks of the records near them."""
    weight = np.zeros(len(xy))
    weight[:n_sites] = 1.0
    return spatial_blocks(xy[:, 0], xy[:, 1], size="auto", folds=FOLDS, seed=0, balance=weight, geographic=geographic)


def _held_out(f: Array, held: list[tuple[str, Array]], name: str, ready: Prepared) -> dict[str, tuple[Array, Array]]:
    """Metric -> (S,) mean over folds weighted by held-out records, and (S,) standard error over folds, nan for one."""
    from ecotone.stats.ranking import auc, boyce

    present = ready.counts.toarray() > 0
    k, n_species = present.shape
    folds = [(d, mask) for d, (split, mask) in enumerate(held) if split == name]
    metrics = ("auc", "auc_target_group", "boyce")
    values = {m: np.full((len(folds), n_species), np.nan) for m in metrics}
    weight = np.zeros((len(folds), n_species))
    for i, (d, mask) in enumerate(folds):
        own, cells = mask[:k], f[d, k:][mask[k:]]
        weight[i] = present[own].sum(0)
        at = f[d, :k][own]
        values["auc_target_group"][i] = auc(at, present[own].astype(float)) if own.any() else np.nan
        for j in np.flatnonzero(weight[i]):
            scores = at[present[own, j], j]
            if len(cells):
                labels = np.concatenate([np.ones(len(scores)), np.zeros(len(cells))])
                values["auc"][i, j] = auc(np.concatenate([scores, cells[:, j]]), labels)
                values["boyce"][i, j] = boyce(scores, np.concatenate([scores, cells[:, j]]))
    found = {}
    for m in metrics:
        known = np.isfinite(values[m])
        w = np.where(known, weight, 0.0)
        total = w.sum(0)
        v = np.where(known, values[m], 0.0)
        mean = np.divide((w * v).sum(0), total, out=np.full(n_species, np.nan), where=total > 0)
        var = np.divide((w * (v - mean) ** 2).sum(0), total, out=np.full(n_species, np.nan), where=total > 0)
        others = known.sum(0) - 1
        found[m] = (mean, np.sqrt(np.divide(var, others, out=np.full(n_species, np.nan), where=others > 0)))
    return found


def _interval(values: Array, spread: Array) -> Score:
    """Bootstrap over species; for one species two standard errors over folds."""
    if len(values) == 1:
        v, e = float(values[0]), float(spread[0])
        return Score(v, v - 2 * e, min(v + 2 * e, 1.0) if np.isfinite(e) else e, 1)
    from ecotone.stats.bootstrap import bootstrap

    return bootstrap(values).to_score()


# ------------------------------------------------------------------------------------------------ surveys
def on_surveys(system: SpeciesSystem, query: Query) -> Scores:
    """Scores against a table of presences and absences, long or wide."""
    from ecotone.stats.evaluation import score_survey

    info = read_table(query.points) if not hasattr(query.points, "columns") else None
    frame = query.points if info is None else info.frame
    if query.presence is not None:
        sites, labels = _long(system, query, frame)
        query = query.model_copy(update={"points": sites, "x": "longitude", "y": "latitude", "species": None})
    else:
        sites, labels = _wide(system, query, frame)
        query = query.model_copy(update={"points": sites, "species": None})
    points = read_query(system, query)
    surveyed: Array = np.asarray(np.isfinite(labels).any(0))
    species = tuple(s for s, there in zip(system.species, surveyed.tolist(), strict=True) if there)
    scores = system.estimator.calibration_.combine(
        system.estimator.log_relative(points.values[points.valid], unseen="baseline")
    )
    x, y = points.x[points.valid], points.y[points.valid]
    blocks = block_ids(x, y, geographic=is_geographic(crs_wkt(points.crs))) if len(x) > 20 else None
    result = score_survey(scores[:, surveyed], labels[points.valid][:, surveyed], species, blocks=blocks)
    split = f"independent survey, {int(points.valid.sum())} sites; intervals from resampled spatial blocks"
    return Scores(result.summary(), split, result.rows())


def _long(system: SpeciesSystem, query: Query, frame: Any) -> tuple[Any, Array]:
    if query.presence not in frame.columns:
        raise InputError(
            "OC201", _named(query), f"has no column {query.presence!r}", suggest(str(query.presence), frame.columns)
        )
    records = read_occurrences(frame, x=query.x, y=query.y, species=query.species, crs=query.crs)
    value = np.asarray(to_numbers(frame[query.presence])[0], dtype=float)
    position, row = np.unique(np.column_stack([records.x, records.y]), axis=0, return_inverse=True)
    labels = np.full((len(position), len(system.species)), np.nan)
    for j, name in enumerate(system.species):
        if name in records.names:
            own = (records.species == records.names.index(name)) & np.isfinite(value)
            np.fmax.at(labels[:, j], row[own], value[own] > 0)  # seen on one visit is seen
    if not np.isfinite(labels).any():
        raise InputError(
            "OC205", _named(query), "holds none of the model's species", f"known: {', '.join(system.species[:8])}"
        )
    import pandas as pd

    return pd.DataFrame({"longitude": position[:, 0], "latitude": position[:, 1]}), labels


def _wide(system: SpeciesSystem, query: Query, frame: Any) -> tuple[Any, Array]:
    there = [name in frame.columns for name in system.species]
    if not any(there):
        what = "has no 0/1 column named after a species of the model"
        raise InputError("OC201", _named(query), what, "for a long table, name its 0/1 column: --presence COLUMN")
    labels = np.full((len(frame), len(system.species)), np.nan)
    for j, name in enumerate(system.species):
        if there[j]:
            value = np.asarray(to_numbers(frame[name])[0], dtype=float)
            labels[:, j] = np.where(np.isfinite(value), value > 0, np.nan)
    return frame.drop(columns=[n for n, t in zip(system.species, there, strict=True) if t]), labels
