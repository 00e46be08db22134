"""`ecotone evaluate RUN [inputs]`: scores with intervals, by cross-validation or against a survey."""

from __future__ import annotations

from ecotone.cli.common import open_run, read_options, say, show_help, split, wants_help
from ecotone.cli.fit import score_lines

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
        show_help(USAGE, f"Scores of {system.name}.", ("inputs", system.Query))
        return
    options, (query,) = read_options(rest, system.Query)
    scores = system.evaluate(system.Query.parse(query) if query else None)
    RunFolder(folder).write_scores(scores)
    say(*score_lines(scores.metrics), f"({scores.split})", quiet=options.quiet)
    if options.out:
        import pandas as pd

        write_table(pd.DataFrame(list(scores.rows)), options.out)
        say(f"per row: {options.out}", quiet=options.quiet)
