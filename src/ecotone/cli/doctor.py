"""`ecotone doctor FILE...`: checks input files and says the exact fix."""

from __future__ import annotations

from ecotone.cli.common import show_help, wants_help
from ecotone.cli.options import parse, read
from ecotone.cli.screen import say
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
        about = "CRS, grid, bands, units, overlap and columns of inputs, and how to mend each problem."
        show_help(USAGE, about, ("options", DoctorOptions))
        return 0
    from ecotone.data.doctor import examine, worst

    cut = next((i for i, t in enumerate(tokens) if t.startswith("--")), len(tokens))
    options = read(DoctorOptions, parse(tokens[cut:], DoctorOptions)[0])
    if not cut:
        raise UsageError("US105", "FILE", "is missing", f"usage: {USAGE}")
    findings = examine(tokens[:cut], assume_crs=options.raster_crs)
    shown = ""
    for finding in findings:
        if finding.file != shown:
            shown = finding.file
            say(shown)
        code = f"[{finding.code}]" if finding.code else ""
        say(f"  {finding.severity + code:15s} {finding.message}")
        if finding.fix and finding.fix != "nothing needed":
            say(f"  {'':15s} -> {finding.fix}")
    count = {kind: sum(f.severity == kind for f in findings) for kind in ("error", "warning")}
    say(", ".join(f"{n} {kind}{'s' * (n != 1)}" for kind, n in count.items()))
    return 3 if worst(findings) == "error" else 0
