"""Which sites are held out together.

Nearby sites resemble each other, so a random split lets a model look up the answer next door. ecotone's default is
therefore a split into square spatial blocks; `random_folds` is there to report beside it. Fold ids depend on where the
sites are and on the seed, not on the order of the rows.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from ecotone.errors import InputError, UsageError

Array = np.ndarray


def spatial_blocks(
    x: Array,
    y: Array,
    *,
    size: float | Literal["auto"] | None = None,
    shape: tuple[int, int] | None = None,
    folds: int = 5,
    seed: int = 0,
    balance: Array | None = None,
    geographic: bool = False,
) -> Array:
    """Fold of each site, whole square blocks at a time.

    Blocks are dealt to folds from the heaviest to the lightest, each to the fold that holds least so far; equally heavy
    blocks come in random order. Every fold gets at least one block that holds sites.

    Args:
        x: (N,) eastings or longitudes.
        y: (N,) northings or latitudes.
        size: Edge of a block in the units of `x` and `y` (in degrees of latitude, about 111 km, when `geographic`);
            "auto" or None picks about eight blocks per fold and goes finer until at least three per fold hold sites.
        shape: (rows, columns) of blocks over the extent, instead of `size`; these blocks need not be square.
        folds: How many folds.
        seed: Moves the origin of the blocks (with `size`) and breaks ties in dealing.
        balance: (N,) non-negative weights to even out between folds, such as records per site; None counts sites.
        geographic: `x`, `y` are degrees: longitudes shrink by the cosine of the middle latitude, and sites on
            both sides of the antimeridian are neighbours.

    Returns:
        (N,) integers from 0 to folds - 1.

    Raises:
        InputError: OC205 when fewer blocks than folds hold sites; DA403, DA404 or OC203 on unusable coordinates.
        UsageError: US104 or US105 on impossible settings.
    """
    _check_folds(folds)
    blocks = block_ids(x, y, size=size, shape=shape, folds=folds, seed=seed, geographic=geographic)
    n_blocks = int(blocks.max()) + 1
    if n_blocks < folds:
        raise InputError(
            "OC205",
            "spatial_blocks",
            f"sites fall into {n_blocks} block(s), too few for {folds} folds",
            "use smaller blocks, fewer folds or random_folds",
        )
    if balance is None:
        weight = np.ones(blocks.size)
    else:
        weight = np.asarray(balance, dtype=np.float64)
        if weight.shape != blocks.shape:
            raise InputError("DA404", "balance", f"{weight.shape} for {blocks.size} sites", "pass one weight per site")
        if not (np.isfinite(weight).all() and (weight >= 0).all()):
            raise InputError("DA403", "balance", "some weights are negative or not finite", "pass non-negative weights")
    settled = np.lexsort((weight, blocks))  # sums then do not depend on the order of rows
    heavy = np.bincount(blocks[settled], weights=weight[settled], minlength=n_blocks)
    many = np.bincount(blocks, minlength=n_blocks)
    chance = np.random.default_rng([seed, 1]).random(n_blocks)
    fold_of = np.empty(n_blocks, dtype=np.int64)
    load = [(0.0, 0, k) for k in range(folds)]
    for block in np.lexsort((chance, -many, -heavy)):
        weight_so_far, sites_so_far, fold = min(load)
        fold_of[block] = fold
        load[fold] = (weight_so_far + float(heavy[block]), sites_so_far + int(many[block]), fold)
    return fold_of[blocks]


def block_ids(
    x: Array,
    y: Array,
    *,
    size: float | Literal["auto"] | None = None,
    shape: tuple[int, int] | None = None,
    folds: int = 5,
    seed: int = 0,
    geographic: bool = False,
) -> Array:
    """Block of each site, numbered 0, 1, ... from south-west to north-east over blocks that hold sites.

    Args:
        x: (N,) eastings or longitudes.
        y: (N,) northings or latitudes.
        size: As in `spatial_blocks`.
        shape: As in `spatial_blocks`; the extent is divided exactly, without a random origin.
        folds: For how many folds the automatic size should do.
        seed: Moves the origin of the blocks.
        geographic: As in `spatial_blocks`.

    Returns:
        (N,) integers. They also serve as clusters of a block bootstrap.

    Raises:
        InputError: DA403, DA404 or OC203 on unusable coordinates.
        UsageError: US104 or US105 on impossible settings.
    """
    east, north = _plane(x, y, geographic)
    if shape is not None and size is not None:
        raise UsageError("US105", "size", "given together with shape", "give one of them")
    origin = np.array([east.min(), north.min()])
    extent = np.array([np.ptp(east), np.ptp(north)])
    if shape is not None:
        if len(shape) != 2 or min(shape) < 1:
            raise UsageError("US104", "shape", f"{shape} is not (rows, columns)", "use two positive integers")
        column, row = (
            np.minimum((v - o) / (w or 1.0) * n, n - 1).astype(np.int64)
            for v, o, w, n in zip((east, north), origin, extent, shape[::-1], strict=True)
        )
        return _dense(row, column)
    shift = np.random.default_rng([seed, 0]).random(2)
    if size is None or size == "auto":
        return _automatic(east, north, shift, folds=folds)
    if isinstance(size, str) or not np.isfinite(size) or size <= 0:
        raise UsageError("US104", "size", f"{size!r} is not a block size", 'use a positive number or "auto"')
    if extent.max() / size > 1e9:
        raise UsageError("US104", "size", f"{size} makes more than 1e9 blocks a side", "use larger blocks")
    return _cut(east, north, origin, shift, size)


def random_folds(n: int, *, folds: int = 5, seed: int = 0) -> Array:
    """Fold of each of `n` sites, drawn at random in equal parts.

    Args:
        n: How many sites.
        folds: How many folds.
        seed: Of the draw.

    Returns:
        (n,) integers from 0 to folds - 1; sizes differ by one at most.

    Raises:
        InputError: OC205 when there are fewer sites than folds.
    """
    _check_folds(folds)
    if n < folds:
        raise InputError("OC205", "random_folds", f"{n} site(s) for {folds} folds", "use fewer folds")
    return np.random.default_rng([seed, 2]).permutation(np.arange(n) % folds)


def _check_folds(folds: int) -> None:
    if folds < 2:
        raise UsageError("US104", "folds", f"{folds} leaves nothing to train or to test on", "use at least 2")


def _plane(x: Array, y: Array, geographic: bool) -> tuple[Array, Array]:
    """Coordinates on a plane whose two axes have the same scale."""
    east, north = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if east.ndim != 1 or east.shape != north.shape or not east.size:
        raise InputError("DA404", "x, y", f"shapes {east.shape} and {north.shape}", "pass two equally long vectors")
    if not (np.isfinite(east).all() and np.isfinite(north).all()):
        raise InputError("DA403", "x, y", "some coordinates are not finite", "leave those sites out")
    if not geographic:
        return east, north
    if np.abs(north).max() > 90:
        raise InputError("OC203", "y", "latitudes beyond 90 degrees", "swap x and y, or set geographic=False")
    around = np.unique(np.mod(east, 360.0))
    gaps = np.diff(around, append=around[0] + 360.0)
    first = around[(int(np.argmax(gaps)) + 1) % around.size]
    return np.mod(east - first, 360.0) * np.cos(np.deg2rad((north.min() + north.max()) / 2)), north


def _automatic(east: Array, north: Array, shift: Array, *, folds: int) -> Array:
    origin = np.array([east.min(), north.min()])
    extent = np.array([np.ptp(east), np.ptp(north)])
    longest = extent.max()
    if longest == 0:
        return np.zeros(east.size, dtype=np.int64)
    size = max(np.sqrt(extent.prod() / (8.0 * folds)), longest / (8.0 * folds))
    wanted = min(3 * folds, np.unique(np.stack((east, north)), axis=1).shape[1])
    blocks = _cut(east, north, origin, shift, size)
    for _ in range(60):
        if blocks.max() + 1 >= wanted:
            break
        size *= 0.8
        blocks = _cut(east, north, origin, shift, size)
    return blocks


def _cut(east: Array, north: Array, origin: Array, shift: Array, size: float) -> Array:
    column, row = (
        np.floor((v - o) / size + s).astype(np.int64) for v, o, s in zip((east, north), origin, shift, strict=True)
    )
    return _dense(row, column)


def _dense(row: Array, column: Array) -> Array:
    rank = np.unique(column, return_inverse=True)[1].reshape(-1)
    line = np.unique(row, return_inverse=True)[1].reshape(-1)
    return np.unique(line * (int(rank.max()) + 1) + rank, return_inverse=True)[1].reshape(-1)
