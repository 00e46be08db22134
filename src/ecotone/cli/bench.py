"""`ecotone bench NAME [options] [--json FILE]`: runs a benchmark and prints its figures."""

from __future__ import annotations

from pathlib import Path

from ecotone.cli.common import show_help, split, wants_help
from ecotone.cli.options import parse, read
from ecotone.cli.screen import say
from ecotone.contract import Options
from ecotone.errors import UsageError, suggest

USAGE = "ecotone bench NAME [--json FILE]"


class JsonOptions(Options):
    """Options of the verb.

    Attributes:
        json_: Also write the rows here, as a list of objects.
        csv: Also write the rows here as a table with commit and hardware.
        debug: Show tracebacks.
        quiet: No progress.
    """

    json_: str | None = None
    csv: str | None = None
    debug: bool = False
    quiet: bool = False


def run(tokens: list[str]) -> None:
    """The verb."""
    names, rest = split(tokens, ["NAME"], usage=USAGE)
    from ecotone.bench.registry import BENCHES, bench

    if wants_help(tokens) and not names:
        show_help(
            USAGE,
            "Benchmarks: " + "; ".join(f"{k} ({v.summary})" for k, v in BENCHES.items()) + ".",
            ("options", JsonOptions),
        )
        return
    if names[0] not in BENCHES:
        raise UsageError("US101", names[0], "no such benchmark", suggest(names[0], BENCHES))
    found = bench(names[0])
    if wants_help(rest):
        show_help(
            f"ecotone bench {names[0]}",
            BENCHES[names[0]].summary,
            ("benchmark", found.Options),
            ("output", JsonOptions),
        )
        return
    own, given = parse(rest, JsonOptions, found.Options)
    options = read(JsonOptions, own)
    result = found.run(read(found.Options, given), progress=not options.quiet)
    say(*result.lines)
    if options.json_:
        from ecotone.files.atomic import write_json

        write_json(Path(options.json_), result.rows)
        say(f"rows: {options.json_}", quiet=options.quiet)
    if options.csv:
        from ecotone.bench.record import write_rows

        write_rows(result.rows, Path(options.csv))
        say(f"rows: {options.csv}", quiet=options.quiet)
