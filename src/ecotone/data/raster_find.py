"""Which raster files and covariates are meant: files, folders and patterns in, ordered and uniquely named bands out."""

from __future__ import annotations

import fnmatch
import glob
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ecotone.data.raster_open import ENDINGS, locate
from ecotone.data.raster_source import Source
from ecotone.errors import InputError, UsageError, suggest


def natural_key(text: str) -> tuple[tuple[int, str, int], ...]:
    """Sorts bio2 before bio10."""
    parts = re.split(r"(\d+)", text.lower())
    return tuple((0, "", int(p)) if p.isdigit() else (1, p, 0) for p in parts if p)


def find_rasters(paths: str | Path | Iterable[str | Path], *, allow_vrt: bool = False) -> list[Path]:
    """Files meant by files, folders (every raster in them, not below) and glob patterns.

    Listed files keep their order; what a folder or pattern finds is sorted naturally. A ``.grd``/``.gri`` pair counts
    once.

    Raises:
        InputError: IO101 when a path, folder or pattern yields no raster.
    """
    endings = ENDINGS | {".vrt"} if allow_vrt else ENDINGS
    found: dict[Path, None] = {}
    for given in [paths] if isinstance(paths, str | Path) else paths:
        path = Path(given)
        if path.is_dir():
            some = [
                p for p in path.iterdir() if p.suffix.lower() in endings and not p.name.startswith(".") and p.is_file()
            ]
            if not some:
                raise InputError(
                    "IO101", path, "no raster in this folder", "give a folder with .tif, .grd, .asc, ... files"
                )
        elif glob.has_magic(str(given)) and not path.exists():
            some = [Path(p) for p in glob.glob(str(given)) if Path(p).suffix.lower() in {*endings, ".gri"}]  # noqa: PTH207
            if not some:
                raise InputError("IO101", given, "no raster fits this pattern", "check folder and pattern")
        else:
            some = [path if "://" not in str(given) else given]
        for one in sorted(some, key=lambda p: natural_key(Path(p).name)):
            found[locate(one)] = None
    if not found:
        raise InputError("IO101", "rasters", "none given", "give raster files, a folder or a pattern")
    return list(found)


def rename(sources: Sequence[Source], names: Sequence[str] | Mapping[str, str] | None) -> list[Source]:
    """Gives covariates other names: a sequence for all of them in order, or old name -> new name."""
    if names is None:
        return list(sources)
    if isinstance(names, Mapping):
        known = [s.name for s in sources]
        for old in names:
            if old not in known:
                raise UsageError("US101", old, "no such covariate to rename", suggest(old, known))
        return [replace(s, name=names.get(s.name, s.name)) for s in sources]
    if len(names) != len(sources):
        what = f"{len(names)} names for {len(sources)} covariates"
        raise UsageError("US104", "names", what, f"name each of {', '.join(s.name for s in sources)}"[:300])
    return [replace(s, name=name) for s, name in zip(sources, names, strict=True)]


def pick(sources: Sequence[Source], only: Iterable[str] | None, exclude: Iterable[str] | None) -> list[Source]:
    """Keeps the covariates fitting a name or pattern of `only`, in their own order, minus those of `exclude`."""
    known = [s.name for s in sources]

    def fitting(patterns: Iterable[str]) -> set[str]:
        names: set[str] = set()
        for pattern in [patterns] if isinstance(patterns, str) else patterns:
            fit = {n for n in known if n == pattern} or set(fnmatch.filter(known, pattern))
            if not fit:
                raise UsageError("US101", pattern, "fits no covariate", suggest(pattern, known))
            names |= fit
        return names

    keep = set(known) if only is None else fitting(only)
    keep -= set() if exclude is None else fitting(exclude)
    return [s for s in sources if s.name in keep]


def check_unique(sources: Sequence[Source]) -> None:
    """Refuses two covariates of one name.

    Raises:
        InputError: RA306.
    """
    for name, times in Counter(s.name for s in sources).items():
        if times > 1:
            files = ", ".join(f"{s.path.name} band {s.band}" for s in sources if s.name == name)
            raise InputError(
                "RA306", name, f"{times} covariates carry this name ({files})", "leave one out or pass other names"
            )


def match(names: Sequence[str], known: Sequence[str]) -> list[str]:
    """The known name meant by each wanted one: the same, else the only one equal but for upper and lower case.

    Raises:
        InputError: RA303 listing every missing name, with the closest known one.
    """
    folded: dict[str, list[str]] = {}
    for name in known:
        folded.setdefault(name.casefold(), []).append(name)
    found, missing = [], []
    for name in names:
        near = folded.get(name.casefold(), [])
        if name in known:
            found.append(name)
        elif len(near) == 1:
            found.append(near[0])
        else:
            missing.append(name)
    if missing:
        shown = ", ".join(missing[:20]) + (f" and {len(missing) - 20} more" if len(missing) > 20 else "")
        hints = "; ".join(f"{name}: {suggest(name, known)}" for name in missing[:3])
        raise InputError("RA303", "rasters", f"missing {shown}", f"add these rasters or name them so ({hints})")
    return found
