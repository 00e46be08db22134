"""The NCEAS benchmark of species distribution models (Elith et al. 2020, Biodiversity Informatics 15(2)).

Six regions with presence-only records for training and independent presence-absence surveys for testing, read from the
.rds files of the R package disdat. There are no rasters: the distinct coordinates of the records serve as sites. The
eight survey groups of NSW are merged into four groups for training, while each species is tested on the survey it was
looked for in. Letters: M records, K sites, n survey sites, P predictors, S species.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import warnings
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from ecotone.errors import InputError, UsageError, suggest

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray
_MAX_UNPACKED = 1 << 30
_RARE = 5
_SOURCE = "see `ecotone data get nceas`"


@dataclass(frozen=True)
class _Plan:
    """What a region's files hold: reference system, categorical predictors, and group -> its survey suffixes."""

    crs: str
    categorical: tuple[str, ...]
    groups: Mapping[str, tuple[str, ...]]


_NSW = {"bats": ("ba",), "birds": ("db", "nb"), "plants": ("ot", "ou", "rt", "ru"), "reptiles": ("sr",)}
REGIONS: dict[str, _Plan] = {
    "AWT": _Plan("EPSG:28355", (), {"bird": ("bird",), "plant": ("plant",)}),
    "CAN": _Plan("EPSG:4008", ("ontveg",), {"bird": ("",)}),
    "NSW": _Plan("EPSG:4326", ("vegsys",), _NSW),
    "NZ": _Plan("EPSG:27200", ("age", "toxicats"), {"plant": ("",)}),
    "SA": _Plan("EPSG:4326", (), {"plant": ("",)}),
    "SWI": _Plan("EPSG:21781", ("calc",), {"tree": ("",)}),
}


@dataclass(frozen=True)
class Survey:
    """A presence-absence survey.

    Attributes:
        name: Its suffix in the file names, or the group where there is none.
        species: S names.
        env: (n, P) predictors.
        xy: (n, 2) coordinates.
        pa: (n, S) 1 where the species was found, 0 where it was not.
    """

    name: str
    species: tuple[str, ...]
    env: Array
    xy: Array
    pa: Array


@dataclass(frozen=True)
class Group:
    """Species modelled together.

    Attributes:
        name: Its name.
        species: S names, sorted.
        code: (M,) position of each presence-only record's species in `species`.
        xy: (M, 2) coordinates of the records.
        covariates: (M, P) predictors at the records.
        surveys: The surveys its species are tested on; each species occurs in one.
    """

    name: str
    species: tuple[str, ...]
    code: Array
    xy: Array
    covariates: Array
    surveys: tuple[Survey, ...]


@dataclass(frozen=True)
class Region:
    """One region.

    Attributes:
        name: Its code.
        crs: Reference system of the coordinates. That of SWI is shifted by its authors, so no map can be laid under it.
        predictors: P names.
        categorical: Those of them that hold labels.
        background: (10000, P) predictors at random cells.
        xy_bg: (10000, 2) their coordinates.
        groups: Group name -> `Group`.
    """

    name: str
    crs: str
    predictors: tuple[str, ...]
    categorical: tuple[str, ...]
    background: Array
    xy_bg: Array
    groups: Mapping[str, Group]


@dataclass(frozen=True)
class Sites:
    """Distinct coordinates with their records.

    Attributes:
        covariates: (K, P) predictors.
        counts: (K, S) number of records of each species.
        xy: (K, 2) coordinates, sorted by x, then y.
    """

    covariates: Array
    counts: sparse.csr_array
    xy: Array


def regions(folder: str | Path) -> list[str]:
    """The regions whose training records lie in a folder."""
    return [name for name in REGIONS if (Path(folder) / f"{name}train_po.rds").is_file()]


def read_region(folder: str | Path, region: str, *, drop_rare: bool = False) -> Region:
    """Reads one region.

    Args:
        folder: Where the .rds files lie.
        region: "AWT", "CAN", "NSW", "NZ", "SA" or "SWI".
        drop_rare: Leave out species with fewer than 5 records: one species of NSW with 2, as Valavi et al. (2022) do.

    Returns:
        The region; its arrays are read-only and shared between calls while the files do not change.

    Raises:
        UsageError: US101 for an unknown region.
        InputError: IO101 a file is missing, IO102 a file is damaged or does not hold what it should.
    """
    if region not in REGIONS:
        raise UsageError("US101", region, "no such NCEAS region", suggest(region, REGIONS))
    paths = region_files(folder, region)
    for path in paths:
        if not path.is_file():
            raise InputError("IO101", path, "not found", _SOURCE)
    stamps = tuple((path.stat().st_mtime_ns, path.stat().st_size) for path in paths)
    return _read(Path(folder).resolve(), region, drop_rare, stamps)


def region_files(folder: str | Path, region: str) -> list[Path]:
    """The files a region consists of, there or not."""
    names = [f"{region}train_po", f"{region}train_bg"]
    for suffix in (suffix for group in REGIONS[region].groups.values() for suffix in group):
        end = f"_{suffix}" if suffix else ""
        names += [f"{region}test_pa{end}", f"{region}test_env{end}"]
    return [Path(folder) / f"{name}.rds" for name in names]


def sites(region: Region, group: str) -> Sites:
    """The distinct coordinates of a group's records, with counts.

    Raises:
        UsageError: US101 for an unknown group.
        InputError: DA404 when records at one place disagree about its predictors.
    """
    if group not in region.groups:
        raise UsageError("US101", group, f"region {region.name} has no such group", suggest(group, region.groups))
    records = region.groups[group]
    xy, first, site = np.unique(records.xy, axis=0, return_index=True, return_inverse=True)
    site = site.reshape(-1)
    covariates = records.covariates[first]
    if not np.array_equal(covariates[site], records.covariates):
        raise InputError("DA404", f"{region.name} {group}", "records at one place differ in predictors", _SOURCE)
    shape = (len(xy), len(records.species))
    counts = sparse.coo_array((np.ones(len(site)), (site, records.code)), shape=shape).tocsr()
    return Sites(covariates, counts, xy)


@lru_cache(maxsize=12)
def _read(folder: Path, region: str, drop_rare: bool, stamps: tuple[tuple[int, int], ...]) -> Region:
    del stamps  # part of the cache key: a changed file is read again
    plan = REGIONS[region]
    po_path, bg_path = folder / f"{region}train_po.rds", folder / f"{region}train_bg.rds"
    po, background = read_rds(po_path), read_rds(bg_path)
    fixed = ("siteid", "spid", "x", "y", "occ", "group")
    predictors = tuple(str(name) for name in background.columns if name not in fixed)
    _need(po, ("spid", "x", "y", "group", *predictors), po_path)
    _need(background, ("x", "y"), bg_path)
    label = po["spid"].astype(str).to_numpy(dtype=object)
    names, counts = np.unique(label, return_counts=True)
    rare = {name for name, count in zip(names, counts, strict=True) if drop_rare and count < _RARE}
    covariates, xy = _numbers(po, predictors, po_path), _numbers(po, ("x", "y"), po_path)
    groups = {}
    for group, suffixes in plan.groups.items():
        surveys = tuple(_survey(folder, region, s, group=group, predictors=predictors, rare=rare) for s in suffixes)
        species = tuple(sorted(name for survey in surveys for name in survey.species))
        position = {name: i for i, name in enumerate(species)}
        code = np.array([position.get(name, -1) for name in label], dtype=np.int64)
        mine = code >= 0
        groups[group] = Group(group, species, _fixed(code[mine]), _fixed(xy[mine]), _fixed(covariates[mine]), surveys)
    tested = {name for group in groups.values() for name in group.species} | rare
    if lost := sorted(set(names) - tested):
        raise InputError("IO102", po_path, f"records of species in no survey ({', '.join(lost[:5])})", _SOURCE)
    return Region(
        region,
        plan.crs,
        predictors,
        plan.categorical,
        _fixed(_numbers(background, predictors, bg_path)),
        _fixed(_numbers(background, ("x", "y"), bg_path)),
        groups,
    )


def _survey(
    folder: Path, region: str, suffix: str, *, group: str, predictors: tuple[str, ...], rare: set[str]
) -> Survey:
    end = f"_{suffix}" if suffix else ""
    pa_path, env_path = folder / f"{region}test_pa{end}.rds", folder / f"{region}test_env{end}.rds"
    pa, env = read_rds(pa_path), read_rds(env_path)
    _need(pa, ("siteid", "x", "y"), pa_path)
    _need(env, ("siteid", *predictors), env_path)
    ids, env_ids = (table["siteid"].astype(str).to_numpy(dtype=object) for table in (pa, env))
    if not np.array_equal(ids, env_ids):
        if len(set(ids)) < len(ids) or len(ids) != len(env_ids) or set(ids) != set(env_ids):
            raise InputError("IO102", env_path, f"its sites are not those of {pa_path.name}", _SOURCE)
        env = env.set_index(env_ids).loc[ids]
    species = tuple(str(c) for c in pa.columns if c not in ("group", "siteid", "x", "y") and str(c) not in rare)
    found = _numbers(pa, species, pa_path)
    if not np.isin(found, (0, 1)).all():
        raise InputError("IO102", pa_path, "holds values other than 0 and 1", _SOURCE)
    covariates, xy = _numbers(env, predictors, env_path), _numbers(pa, ("x", "y"), pa_path)
    return Survey(suffix or group, species, _fixed(covariates), _fixed(xy), _fixed(found.astype(np.int8)))


def read_rds(path: Path) -> pd.DataFrame:
    """An R data frame from an .rds file.

    Raises:
        InputError: IO101 not found, IO102 damaged, unreasonably large when unpacked, or not a data frame.
    """
    import pandas as pd
    import rdata

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            parsed = rdata.parser.parse_data(_unpacked(path), extension=".rds")
            table = rdata.conversion.convert(parsed)
    except FileNotFoundError:
        raise InputError("IO101", path, "not found", _SOURCE) from None
    except InputError:
        raise
    except Exception as error:
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise InputError("IO102", path, f"is not an R data file, or damaged ({reason})", _SOURCE) from None
    if not isinstance(table, pd.DataFrame):
        raise InputError("IO102", path, "holds no data frame", _SOURCE)
    return table


def _unpacked(path: Path) -> bytes:
    """The content, unpacked by whichever of R's three compressions was used, up to a limit."""
    with path.open("rb") as handle:
        magic = handle.read(6)
    if not magic:
        raise InputError("IO102", path, "is empty", _SOURCE)
    opener = gzip.open if magic[:2] == b"\x1f\x8b" else bz2.open if magic[:3] == b"BZh" else None
    opener = lzma.open if magic == b"\xfd7zXZ\0" else opener
    try:
        with opener(path, "rb") if opener else path.open("rb") as handle:
            content = handle.read(_MAX_UNPACKED + 1)
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise InputError("IO102", path, f"is damaged ({error})", _SOURCE) from None
    if len(content) > _MAX_UNPACKED:
        raise InputError("IO102", path, f"unpacks to more than {_MAX_UNPACKED >> 20} MiB", _SOURCE)
    return content


def _need(table: pd.DataFrame, names: tuple[str, ...], path: Path) -> None:
    if lacking := [name for name in names if name not in table.columns]:
        raise InputError("IO102", path, f"lacks the columns {', '.join(lacking)}", _SOURCE)


def _numbers(table: pd.DataFrame, names: tuple[str, ...], path: Path) -> Array:
    """(N, len(names)) float64, all finite."""
    try:
        columns = [table[name].to_numpy(dtype=np.float64, na_value=np.nan) for name in names]
    except (TypeError, ValueError):
        raise InputError("IO102", path, f"holds text where numbers belong ({', '.join(names[:5])})", _SOURCE) from None
    values = np.column_stack(columns) if columns else np.empty((len(table), 0))
    if not np.isfinite(values).all():
        raise InputError("IO102", path, "holds missing values", _SOURCE)
    return values


def _fixed(array: Array) -> Array:
    array.flags.writeable = False
    return array
