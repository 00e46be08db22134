"""`ecotone doctor FILE...`: checks input files and says the exact fix."""

from __future__ import annotations

from ecotone.cli.common import say, show_help, wants_help
from ecotone.cli.options import parse
from ecotone.contract import Options
from ecotone.errors import UsageError

USAGE = "ecotone doctor FILE... [--raster-crs CRS]"


class DoctorOptions(Options):
    """Options of the verb.

    Attributes:
        raster_crs: Coordinate reference system for rasters that declare none.
        debug: Show tracebacks.
    """

    raster_crs: str | None = None
    debug: bool = False


def run(tokens: list[str]) -> int:
    """The verb; exit status 3 when a problem would stop a run."""
    if wants_help(tokens) or not tokens:
        show_help(USAGE, "CRS, grid, bands, units, overlap and columns of inputs, and how to mend each problem.")
        return 0
    from ecotone.data.doctor import examine, worst

    cut = next((i for i, t in enumerate(tokens) if t.startswith("--")), len(tokens))
    (own,) = parse(tokens[cut:], DoctorOptions)
    if not cut:
        raise UsageError("US105", "FILE", "is missing", f"usage: {USAGE}")
    findings = examine(tokens[:cut], assume_crs=DoctorOptions.parse(own).raster_crs)
    for finding in findings:
        say(str(finding))
    return 3 if worst(findings) == "problem" else 0
