"""Which column of an occurrence table is what: Darwin Core names first, then every usual spelling."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence

from ecotone.errors import InputError, suggest

ALIASES: dict[str, tuple[str, ...]] = {
    "species": (
        *("species", "speciesname", "scientificname", "acceptedscientificname", "acceptedname", "canonicalname"),
        *(
            "verbatimscientificname",
            "binomial",
            "latinname",
            "taxon",
            "taxonname",
            "spid",
            "speciesid",
            "spname",
            "spp",
        ),
        *("sp", "especie", "especies", "espece", "nomscientifique", "nombrecientifico", "nomecientifico", "name"),
    ),
    "uncertainty": (
        *("coordinateuncertaintyinmeters", "coordinateuncertaintyinmetres", "coordinateuncertainty"),
        *("coordinateuncertaintym", "coorduncertaintym", "coorduncertainty", "uncertaintym", "uncertaintyinmeters"),
        *("uncertainty", "positionalaccuracy", "accuracy"),
    ),
    "date": ("eventdate", "observedon", "observationdate", "datecollected", "date", "year"),
    "count": ("individualcount", "abundance", "count"),
    "status": ("occurrencestatus", "presence", "present", "presenceabsence", "occurrence", "occ", "pa"),
}

COORDINATE_PAIRS: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (
        ("decimallongitude", "longitude", "lon", "long", "lng", "longdd", "londd", "longwgs84", "lonwgs84", "longitud"),
        ("decimallatitude", "latitude", "lat", "latdd", "latwgs84", "latitud"),
    ),
    (("easting", "eastings", "east", "utmeasting", "utme"), ("northing", "northings", "north", "utmnorthing", "utmn")),
    (
        ("x", "xcoord", "xcoordinate", "coordx", "pointx", "utmx", "xutm", "xwgs84"),
        ("y", "ycoord", "ycoordinate", "coordy", "pointy", "utmy", "yutm", "ywgs84"),
    ),
)
_X_ALIASES = tuple(name for pair in COORDINATE_PAIRS for name in pair[0])
_Y_ALIASES = tuple(name for pair in COORDINATE_PAIRS for name in pair[1])
ROLES = ("species", "x", "y", "uncertainty", "date", "count", "status")
_WORDS = {"species": "species", "x": "longitude (x)", "y": "latitude (y)", "count": "count"}


def plain(name: object) -> str:
    """A column name without case, accents, spaces, punctuation or a namespace such as ``dwc:``."""
    text = unicodedata.normalize("NFKD", str(name)).rsplit(":", 1)[-1].rsplit("/", 1)[-1]
    return re.sub(r"[^a-z0-9]", "", text.lower())


def find_columns(names: Sequence[str], given: Mapping[str, str | None], where: object) -> dict[str, str]:
    """Role -> column name, for the roles that have one.

    Args:
        names: Column names of the table.
        given: Role -> name set by the user, or None to search.
        where: What to name in messages.

    Returns:
        `species`, `x` and `y` where found, and whichever of the optional roles are there.

    Raises:
        InputError: OC201 when a name set by the user is not there; all such names in one message.
    """
    by_plain: dict[str, str] = {}
    for name in names:
        by_plain.setdefault(plain(name), name)
    found: dict[str, str] = {}
    lacking = []
    for role, name in given.items():
        if name is None:
            continue
        match = name if name in names else by_plain.get(plain(name))
        if match is None:
            lacking.append(f"--{role} {name!r}")
        else:
            found[role] = match
    if lacking:
        meant = [suggest(name or "", names) for role, name in given.items() if name is not None and role not in found]
        close = [text for text in meant if text.startswith("did you mean")]
        fix = f"{', '.join(close)} its columns are {_listed(names)}" if close else f"its columns are {_listed(names)}"
        raise InputError("OC201", where, f"no column for {', '.join(lacking)}", fix)
    taken = set(found.values())
    free = {key: name for key, name in by_plain.items() if name not in taken}
    if "x" not in found and "y" not in found:
        for x_names, y_names in COORDINATE_PAIRS:
            x, y = _first(x_names, free), _first(y_names, free)
            if x and y:
                found |= {"x": x, "y": y}
                break
    for role, aliases in (("x", _X_ALIASES), ("y", _Y_ALIASES), *ALIASES.items()):
        if role not in found and (name := _first(aliases, free)):
            found[role] = name
    return {role: found[role] for role in ROLES if role in found}


def lacking_columns(
    names: Sequence[str], roles: Sequence[str], where: object, *, taken: Collection[str] = ()
) -> InputError:
    """The OC201 error for roles no column was found for, with the closest name of each and the options to set.

    Args:
        names: Column names of the table.
        roles: What is lacking.
        where: What to name in messages.
        taken: Columns already used for something else.
    """
    hints = []
    for role in roles:
        close = _closest([name for name in names if name not in taken], role)
        hints.append(f"--{role} {close!r}?" if close else f"--{role} COLUMN")
    what = f"no column for {', '.join(_WORDS.get(role, role) for role in roles)}; its columns are {_listed(names)}"
    if any(re.fullmatch(r"[+-]?\d+([.,]\d+)?", name.strip()) for name in names):
        what += "; its first row looks like data, not like a header"
    if len(names) == 1:
        what += "; only one column was found: separate them by comma, semicolon, tab or |"
    return InputError("OC201", where, what, "name it with " + " ".join(hints))


def _first(aliases: Sequence[str], by_plain: Mapping[str, str]) -> str | None:
    return next((by_plain[alias] for alias in aliases if alias in by_plain), None)


def _closest(names: Sequence[str], role: str) -> str | None:
    aliases = {"x": _X_ALIASES, "y": _Y_ALIASES}.get(role) or ALIASES[role]
    best, best_score = None, 0.6
    for name in names:
        for alias in aliases:
            if len(alias) < 3:
                continue
            score = difflib.SequenceMatcher(None, plain(name), alias).ratio()
            if score > (best_score if len(plain(name)) > 3 else max(best_score, 0.7)):
                best, best_score = name, score
    return best


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:30])
    return f"{shown}, ... ({len(names)} in all)" if len(names) > 30 else shown or "none"
