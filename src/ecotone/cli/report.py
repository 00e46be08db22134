"""`ecotone report RUN`: one self-contained HTML page."""

from __future__ import annotations

from ecotone.cli.common import open_run, read_options, show_help, split, wants_help
from ecotone.cli.options import RunOptions
from ecotone.cli.screen import say

USAGE = "ecotone report RUN"


def run(tokens: list[str]) -> None:
    """The verb."""
    names, rest = split(tokens, ["RUN"], usage=USAGE)
    if wants_help(tokens) or not names:
        show_help(USAGE, "Draws the evidence, scores and maps of a run into RUN/report.html.", ("command", RunOptions))
        return
    from ecotone.report.page import write_report

    options, _ = read_options(rest)
    say(f"report: {write_report(open_run(names[0]))}", quiet=options.quiet)
