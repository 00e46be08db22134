"""`ecotone evaluate RUN [inputs]`: scores with intervals, by cross-validation or against a survey."""

from __future__ import annotations

from ecotone.cli.common import open_run, read_options, show_help, split, wants_help
from ecotone.cli.fit import score_lines
from ecotone.cli.options import RunOptions, read
from ecotone.cli.screen import say

USAGE = "ecotone evaluate RUN [inputs] [--out FILE]"


def run(tokens: list[str]) -> None:
    """The verb."""
    names, rest = split(tokens, ["RUN"], usage=USAGE)
    if not names:
        show_help(USAGE, "Scores a run: by blocked cross-validation on its own data, or against data of yours.")
        return
    from ecotone.data.tables import write_table
    from ecotone.files.run import RunFolder
    from ecotone.registry import load

    folder = open_run(names[0])
    system = load(folder)
    if wants_help(rest):
        show_help(USAGE, f"Scores of {system.name}.", ("inputs", system.Query), ("command", RunOptions))
        return
    options, (query,) = read_options(rest, system.Query)
    system.progress = not options.quiet
    scores = system.evaluate(read(system.Query, query) if query else None)
    if options.out:
        import pandas as pd

        write_table(pd.DataFrame(list(scores.rows)), options.out)
    RunFolder(folder).write_scores(scores)
    say(*score_lines(scores), quiet=options.quiet)
    if options.out:
        say(f"per row: {options.out}", quiet=options.quiet)
