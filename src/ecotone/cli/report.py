"""`ecotone report RUN [--against OTHER]`: one self-contained HTML page of a run, or of what differs between two."""

from __future__ import annotations

from pathlib import Path

from ecotone.cli.common import open_run, read_options, show_help, split, wants_help
from ecotone.cli.options import RunOptions, read
from ecotone.cli.screen import say
from ecotone.contract import Options
from ecotone.errors import UsageError

USAGE = "ecotone report RUN [--against OTHER] [--out PAGE.html]"


class ReportOptions(Options):
    """Options of the verb.

    Attributes:
        against: Another run folder; the page then shows what differs between the two, in RUN/compare-OTHER.html.
        amount: With --against, the difference from which on a map cell counts as differing; for units other than a ratio
            a share of the range of values.
        json_: With --against, also write the differences as a list of row objects to this file.
    """

    against: str | None = None
    amount: float = 0.1
    json_: str | None = None


def run(tokens: list[str]) -> None:
    """The verb."""
    names, rest = split(tokens, ["RUN"], usage=USAGE)
    if wants_help(tokens) or not names:
        about = "Draws the evidence, scores and maps of a run into RUN/report.html, or two runs side by side."
        show_help(USAGE, about, ("options", ReportOptions), ("command", RunOptions))
        return
    options, (given,) = read_options(rest, ReportOptions)
    own = read(ReportOptions, given)
    folder = open_run(names[0])
    if own.against is not None:
        _compare(folder, own, options)
        return
    for name in ("amount", "json_"):
        if name in given:
            raise UsageError("US105", f"--{name.rstrip('_')}", "is for two runs", "add --against OTHER")
    from ecotone.report.page import write_report

    say(f"report: {write_report(folder, out=options.out)}", quiet=options.quiet)


def _compare(folder: Path, own: ReportOptions, options: RunOptions) -> None:
    from ecotone.files.atomic import write_json
    from ecotone.report.compare import compare
    from ecotone.report.compare_page import write_comparison
    from ecotone.report.compare_words import glance

    found = compare(folder, open_run(own.against or ""), amount=own.amount)
    page = write_comparison(found, options.out)
    if own.json_:
        write_json(own.json_, found.rows())
    say(*(f"{name:26s} {text}" for name, text in glance(found)), f"comparison: {page}", quiet=options.quiet)
