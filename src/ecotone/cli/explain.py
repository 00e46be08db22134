"""`ecotone explain RUN [--target NAME]`: what the answers rest on."""

from __future__ import annotations

from ecotone.cli.common import open_run, read_options, say, show_help, split, wants_help
from ecotone.contract import Options

USAGE = "ecotone explain RUN [--target NAME] [--out FOLDER]"


class ExplainOptions(Options):
    """Options of the verb.

    Attributes:
        target: A species, class or date to explain; all by default.
    """

    target: str | None = None


def run(tokens: list[str]) -> None:
    """The verb."""
    names, rest = split(tokens, ["RUN"], usage=USAGE)
    if not names:
        show_help(
            USAGE, "Writes evidence as tables (CSV, JSON) into the run, or into --out.", ("options", ExplainOptions)
        )
        return
    from pathlib import Path

    from ecotone.files.evidence import save_evidence
    from ecotone.files.run import RunFolder
    from ecotone.registry import load

    folder = open_run(names[0])
    system = load(folder)
    if wants_help(rest):
        show_help(USAGE, f"Evidence of {system.name}.", ("options", ExplainOptions), ("answer", system.Ask))
        return
    options, (own, ask) = read_options(rest, ExplainOptions, system.Ask)
    items = system.explain(target=ExplainOptions.parse(own).target, **ask)
    place = Path(options.out) if options.out else RunFolder(folder).evidence_path
    save_evidence(place, items)
    say(*(f"{item.kind:14s} {item.title}" for item in items), f"written to {place}", quiet=options.quiet)
