"""`ecotone list [systems|errors]`: what there is."""

from __future__ import annotations

from ecotone.cli.common import show_help, split, wants_help
from ecotone.cli.options import parse, read
from ecotone.cli.screen import say, table
from ecotone.contract import Options
from ecotone.errors import CODES, UsageError, suggest

USAGE = "ecotone list [systems|errors]"


class ListOptions(Options):
    """Options of the verb.

    Attributes:
        debug: Show tracebacks.
    """

    debug: bool = False


def run(tokens: list[str]) -> None:
    """The verb."""
    names, rest = split(tokens, ["WHAT"], usage=USAGE, optional=1)
    if wants_help(tokens):
        show_help(USAGE, "What each system eats, gives and can do; or what each error code means.")
        return
    read(ListOptions, parse(rest, ListOptions)[0])
    what = names[0] if names else "systems"
    if what == "errors":
        say(*table([{"code": code, "meaning": text} for code, text in CODES.items()]))
        return
    if what != "systems":
        raise UsageError("US101", what, "nothing of this name to list", suggest(what, ["systems", "errors"]))
    from ecotone.abilities import ABILITIES
    from ecotone.registry import SYSTEMS, system_class

    rows = []
    for name, entry in SYSTEMS.items():
        can = "planned"
        if entry.target:
            cls = system_class(name)
            can = ", ".join(
                ["fit", "predict", "explain", "evaluate", *(v for v, p in ABILITIES.items() if _has(cls, p))]
            )
        rows.append({"system": name, "eats": entry.eats, "gives": entry.gives, "can": can, "paper": entry.paper})
    say(*table(rows))


def _has(cls: type, protocol: type) -> bool:
    wanted = [n for n in vars(protocol) if not n.startswith("_")]
    return all(hasattr(cls, n) for n in wanted)
