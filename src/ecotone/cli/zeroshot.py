"""`ecotone zeroshot RUN IMAGES --classes a b`: scores classes given as words."""

from __future__ import annotations

from ecotone.abilities import ZeroShot
from ecotone.cli.common import need_out, open_run, read_options, show_help, split, wants_help
from ecotone.cli.options import read
from ecotone.cli.screen import say
from ecotone.contract import Options
from ecotone.errors import UsageError

USAGE = 'ecotone zeroshot RUN [inputs] --classes "a,b" --out FILE'


class ZeroShotOptions(Options):
    """Options of the verb.

    Attributes:
        classes: Class names, separated by commas.
    """

    classes: str


def run(tokens: list[str]) -> None:
    """The verb."""
    names, rest = split(tokens, ["RUN"], usage=USAGE)
    if wants_help(tokens) or not names:
        show_help(USAGE, "Scores of classes in words, for systems that read text (see `ecotone list`).")
        return
    from ecotone.data.tables import write_table
    from ecotone.registry import load

    system = load(open_run(names[0]))
    if not isinstance(system, ZeroShot):
        raise UsageError("US103", system.name, "does not read class names", "see `ecotone list` for what it can do")
    options, (own, query, ask) = read_options(rest, ZeroShotOptions, system.Query, system.Ask)
    out = need_out(options, "classes.csv")
    classes = [name.strip() for name in read(ZeroShotOptions, own).classes.split(",") if name.strip()]
    write_table(system.classes(read(system.Query, query), classes, **ask).to_frame(), out)
    say(f"class scores: {out}", quiet=options.quiet)
