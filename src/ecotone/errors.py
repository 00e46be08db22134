"""Every error and warning a user can meet: a stable code, one line, an exit status.

The line always reads ``where: what is wrong - what to do``. The class gives the exit status, the code is stable across
releases and documented in ``docs/reference/errors.md`` (generated from ``CODES``).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import ClassVar

CODES: dict[str, str] = {
    # usage: exit status 2
    "US101": "unknown option, key or name; the closest known one is suggested",
    "US102": "unknown system",
    "US103": "the system lacks the ability this verb needs",
    "US104": "a value is of the wrong type or out of range",
    "US105": "options contradict each other",
    "US106": "the output already exists and belongs to something else",
    # input: exit status 3
    "IO101": "file or folder not found",
    "IO102": "file is empty, truncated or damaged",
    "IO103": "file is of a kind that is not read here",
    "IO104": "folder or file cannot be written",
    "OC201": "the occurrence table lacks a needed column",
    "OC202": "no occurrence lies on the rasters",
    "OC203": "longitude and latitude look swapped",
    "OC204": "a column that should hold numbers does not",
    "OC205": "too few usable records",
    "OC206": "records were set aside by the cleaning rules (warning)",
    "OC207": "a species has too few records for a map of its own (warning)",
    "RA301": "a raster or point file has no coordinate reference system",
    "RA302": "a raster declares no nodata value (warning)",
    "RA303": "a covariate the model needs is missing",
    "RA304": "rasters do not overlap, or have no cell valid in all",
    "RA305": "a raster grid is rotated or otherwise unsupported",
    "RA306": "two rasters carry the same name, or one raster has several unnamed bands",
    "RA307": "a categorical raster holds values that are not whole numbers, or too many different ones",
    "RA308": "a raster looks like labels but is not declared categorical (warning)",
    "RA309": "a raster has another coordinate reference system than the map and is aligned on the fly (warning)",
    "DA401": "a covariate is constant and carries no information (warning: it is left out)",
    "DA402": "a category was not seen in training",
    "DA403": "covariates hold NaN or infinite values",
    "DA404": "shapes or lengths do not fit together",
    "DA405": "target-group background is undefined here",
    "DA406": "two runs have no species in common",
    "TR501": "the loss is not finite; training stopped at the last good checkpoint",
    "TR502": "a species is not at its certified optimum when the iterations end (warning)",
    "PH651": "a table of temperatures cannot be read as days or hours of one station",
    # phenology: tables of bloom days and temperatures, exit status 3
    "PH601": "the bloom or temperature table lacks a needed column",
    "PH602": "a bloom table holds several phenophases; one must be chosen",
    "PH603": "a bloom table holds several species at one site; one must be chosen",
    "PH604": "a year, date or day of the year is out of range or cannot be read",
    "PH605": "dates can be read day first or month first",
    "PH606": "two records of one site and year contradict each other",
    "PH607": "records or rows appear twice (warning: they count once)",
    "PH608": "temperatures look like Fahrenheit or Kelvin, or do not match the declared unit",
    "PH609": "minimum and maximum temperature look swapped",
    "PH610": "some days have a minimum above the maximum (warning: they count as missing)",
    "PH611": "codes such as -999 stand for missing temperatures (warning: they count as missing)",
    "PH612": "a site has no temperature station",
    "PH613": "a latitude or longitude is out of range, or missing where it is needed",
    "PH614": "days of a season are missing before bloom",
    "PH615": "bloom lies before the season starts or after it ends",
    "PH616": "no season is left",
    "PH617": "a site has very few seasons (warning: it is kept)",
    "PH618": "a bloom record states no day",
    "PH619": "a temperature table is neither daily, hourly nor monthly",
    "PH620": "temperatures beyond what is possible on earth (warning: they count as missing)",
    "PH621": "bloom records were left out (warning)",
    "PH655": "no season with a known day of bloom to learn from",
    "PH656": "no season can be scored",
    "PH657": "too few years to look for breaks",
    # images: exit status 3
    "IM701": "an image is truncated, damaged or empty",
    "IM702": "a file is no image of a kind that is read here",
    "IM703": "an image has more pixels than the limit",
    "IM704": "an image has another number of channels than the model reads, or channels that are not understood",
    "IM705": "class folders or labels cannot be used as they are",
    "IM706": "an image is smaller than a patch, or its size does not fit the model",
    "IM707": "a table of images lacks a column, or names files that are not there",
    "IM708": "a split leaves a class without images to learn from or to test on",
    "IM709": "weights belong to another architecture, or are stored in a way that is not read here",
    "IM710": "nothing was selected in an image, so there is no answer (warning: it abstains)",
    "IM711": "files in an image folder were passed over (warning)",
    # optional dependency: exit status 4
    "MD101": "an optional dependency is not installed",
    # integrity: exit status 5
    "IN101": "model file is damaged, of another format or not finite",
    "IN102": "model configuration is invalid or asks for more than the limits allow",
    "IN103": "data or settings changed since the run began; resuming is refused",
    "IN104": "inputs are not the ones the record was made from",
    "IN105": "a site store is damaged, truncated or incomplete",
    # interrupted, resumable: exit status 6
    "ST101": "interrupted; the same command goes on where it stopped",
    "ST102": "disk full; earlier files are intact",
    "ST103": "another process is working on this run folder",
    "ST104": "the system refused a write; earlier files are intact",
    "ST105": "an interrupted map cannot be gone on with, it starts anew (warning)",
    "ST106": "a worker or the cluster was lost; finished windows are kept, the same command goes on",
}


class EcotoneError(Exception):
    """Base of all expected errors.

    Args:
        code: A key of `CODES`.
        where: File, column, option or step that the message is about.
        what: What is wrong, in one clause.
        fix: What the user can do about it.
    """

    exit_status: ClassVar[int] = 1

    def __init__(self, code: str, where: object, what: str, fix: str) -> None:
        self.code, self.where, self.what, self.fix = code, str(where), what, fix
        super().__init__(code, self.where, what, fix)

    def __str__(self) -> str:
        return " ".join(f"{self.where}: {self.what} - {self.fix}".split())


class UsageError(EcotoneError):
    """The command or call itself is off."""

    exit_status = 2


class InputError(EcotoneError):
    """A file, table or array cannot be used as it is."""

    exit_status = 3


class MissingDependencyError(EcotoneError):
    """An optional package is needed for this."""

    exit_status = 4


class IntegrityError(EcotoneError):
    """A stored artefact is not what it claims to be."""

    exit_status = 5


class InterruptedRunError(EcotoneError):
    """Work stopped early and can go on."""

    exit_status = 6


class EcotoneWarning(UserWarning):
    """Something was noticed and handled; same one-line form as errors."""

    def __init__(self, code: str, where: object, what: str, fix: str) -> None:
        self.code, self.where, self.what, self.fix = code, str(where), what, fix
        super().__init__(code, self.where, what, fix)

    def __str__(self) -> str:
        return " ".join(f"{self.where}: {self.what} - {self.fix}".split())


def listed(names: Sequence[str], most: int = 5) -> str:
    """The first of some names, for messages."""
    return ", ".join(map(str, names[:most])) + (", ..." if len(names) > most else "")


def suggest(name: str, known: Iterable[str]) -> str:
    """Says which known name was probably meant, for the `fix` part of a message."""
    known = sorted(known)
    close = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"known: {', '.join(known)}" if known else "nothing is known here"
