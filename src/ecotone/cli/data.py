"""`ecotone data list|get|check [NAME]`: public data sets that ecotone reads."""

from __future__ import annotations

import os

from ecotone.cli.common import say, show_help, split, table, wants_help
from ecotone.cli.options import parse
from ecotone.contract import Options
from ecotone.errors import UsageError, suggest

USAGE = "ecotone data list|get|check [NAME] [--folder DIR]"


class DataOptions(Options):
    """Options of the verb.

    Attributes:
        folder: The data folder; the environment variable ECOTONE_DATA by default.
        debug: Show tracebacks.
    """

    folder: str | None = None
    debug: bool = False


def run(tokens: list[str]) -> int:
    """The verb."""
    names, rest = split(tokens, ["ACTION", "NAME"], usage=USAGE, optional=2)
    if wants_help(tokens) or not names:
        show_help(
            USAGE,
            "Lists public data sets, says how to get one, checks what lies in the data folder.",
            ("options", DataOptions),
        )
        return 0
    from ecotone.data.benchmarks import catalog

    (own,) = parse(rest, DataOptions)
    folder = DataOptions.parse(own).folder or os.environ.get("ECOTONE_DATA") or "data"
    action, *name = names
    if action == "list":
        say(*table(catalog.rows()))
        return 0
    if action not in ("get", "check"):
        raise UsageError("US101", action, "no such action", suggest(action, ["list", "get", "check"]))
    if not name:
        raise UsageError("US105", "NAME", "is missing", "see `ecotone data list`")
    if action == "get":
        say(catalog.instructions(name[0], folder))
        return 0
    states = catalog.check(name[0], folder)
    say(*(str(state) for state in states))
    return 0
