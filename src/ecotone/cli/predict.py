"""`ecotone predict RUN --points FILE --out FILE`: answers for points or tables."""

from __future__ import annotations

from ecotone.cli.common import need_out, open_run, read_options, show_help, split, wants_help
from ecotone.cli.options import RunOptions, read
from ecotone.cli.screen import say

USAGE = "ecotone predict RUN [inputs] --out FILE"


def run(tokens: list[str]) -> None:
    """The verb."""
    names, rest = split(tokens, ["RUN"], usage=USAGE)
    if not names:
        show_help(USAGE, "Answers for points; the options depend on the system of the run.")
        return
    from ecotone.data.tables import write_table
    from ecotone.registry import load

    system = load(open_run(names[0]))
    if wants_help(rest):
        groups = [("inputs", system.Query), ("answer", system.Ask), ("command", RunOptions)]
        show_help(USAGE, f"Answers of {system.name}.", *groups)
        return
    options, (query, ask) = read_options(rest, system.Query, system.Ask)
    out = need_out(options, "answers.csv")
    prediction = system.predict(read(system.Query, query), **read(system.Ask, ask).model_dump())
    frame = prediction.to_frame()
    write_table(frame, out)
    say(f"{len(frame)} rows: {out}", quiet=options.quiet)
