"""`ecotone data list|get|check|pack [NAME]`: public data sets that ecotone reads, and tables packed for training."""

from __future__ import annotations

import os

from ecotone.cli.common import show_help, split, wants_help
from ecotone.cli.options import parse, read
from ecotone.cli.screen import say, table
from ecotone.contract import Options
from ecotone.errors import InputError, UsageError, suggest

USAGE = "ecotone data list|get|check [NAME] [--folder DIR], or ecotone data pack SITES --out STORE"
ACTIONS = ["list", "get", "check", "pack"]


class DataOptions(Options):
    """Options of the verb.

    Attributes:
        folder: The data folder; the environment variable ECOTONE_DATA by default.
        debug: Show tracebacks.
    """

    folder: str | None = None
    debug: bool = False


def run(tokens: list[str]) -> int:
    """The verb; exit status 3 when `check` finds no part of the data set complete."""
    names, rest = split(tokens, ["ACTION", "NAME"], usage=USAGE, optional=2)
    if names[:1] == ["pack"]:
        from ecotone.cli import pack

        if wants_help(tokens):
            pack.help_text()
        elif len(names) < 2:
            raise UsageError("US105", "SITES", "is missing", f"usage: {pack.USAGE}")
        else:
            pack.run(names[1], rest)
        return 0
    if wants_help(tokens) or not names:
        show_help(
            USAGE,
            "Lists public data sets, says how to get one, checks what lies in the data folder; packs tables into a store "
            "(`ecotone data pack --help`).",
            ("options", DataOptions),
        )
        return 0
    from ecotone.data.benchmarks import catalog

    (own,) = parse(rest, DataOptions)
    folder = read(DataOptions, own).folder or os.environ.get("ECOTONE_DATA") or "data"
    action, *name = names
    if action == "list":
        say(*table(catalog.rows()))
        return 0
    if action not in ("get", "check"):
        raise UsageError("US101", action, "no such action", suggest(action, ACTIONS))
    if not name:
        raise UsageError("US105", "NAME", "is missing", "see `ecotone data list`")
    if action == "get":
        say(catalog.instructions(name[0], folder))
        return 0
    states = catalog.check(name[0], folder)
    whole = catalog.complete_parts(states)
    for part in dict.fromkeys(state.part for state in states):
        odd = [s for s in states if s.part == part and s.state != "there"]
        say(f"{'complete' if part in whole else 'incomplete':10s}  {part}, {sum(s.part == part for s in states)} files")
        say(*(f"            {s.state}: {s.path}" for s in odd))
    if whole:
        return 0
    raise InputError(
        "IO101", catalog.locate(name[0], folder), f"holds no complete {name[0]}", f"see `ecotone data get {name[0]}`"
    )
