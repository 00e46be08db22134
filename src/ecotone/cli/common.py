"""What several verbs share: positional arguments, help, warnings kept for the record."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ecotone.cli.options import Model, RunOptions, option_help, parse, read
from ecotone.cli.screen import say
from ecotone.contract import Options
from ecotone.errors import EcotoneWarning, InputError, UsageError


def split(tokens: Sequence[str], names: Sequence[str], *, usage: str, optional: int = 0) -> tuple[list[str], list[str]]:
    """Takes the positional arguments from the front.

    Args:
        tokens: What stands after the verb.
        names: Names of the positional arguments.
        usage: Shown when one is missing.
        optional: How many of the last ones may be left out.

    Returns:
        The positional arguments given, and the other tokens.
    """
    count = 0
    while count < len(tokens) and count < len(names) and not tokens[count].startswith("-"):
        count += 1
    if count < len(names) - optional and not wants_help(tokens):
        raise UsageError("US105", names[count], "is missing", f"usage: {usage}")
    return list(tokens[:count]), list(tokens[count:])


def wants_help(tokens: Sequence[str]) -> bool:
    """Whether help was asked for."""
    return "--help" in tokens or "-h" in tokens


def show_help(usage: str, summary: str, *groups: tuple[str, Model]) -> None:
    """Prints the help of a verb."""
    say(option_help(usage, summary, groups))


def read_options(tokens: Sequence[str], *models: Model) -> tuple[RunOptions, tuple[dict[str, Any], ...]]:
    """The command's own options, and one dict of given values per model."""
    own, *values = parse(tokens, RunOptions, *models)
    return read(RunOptions, own), tuple(values)


def need_out(options: Options, example: str) -> Path:
    """The --out option, which a verb cannot do without."""
    out = getattr(options, "out", None)
    if not out:
        raise UsageError("US105", "--out", "is missing", f"say where the result goes, for example --out {example}")
    return Path(out)


def command_line(verb: str, tokens: Sequence[str]) -> list[str]:
    """The command as it is recorded."""
    return ["ecotone", verb, *tokens]


@contextmanager
def collected_warnings() -> Iterator[list[EcotoneWarning]]:
    """Keeps what is warned about, besides showing it once."""
    kept: list[EcotoneWarning] = []
    shown = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *args: Any, **more: Any) -> None:
        if isinstance(message, EcotoneWarning):
            if str(message) in {str(k) for k in kept}:
                return
            kept.append(message)
        shown(message, category, *args, **more)

    with warnings.catch_warnings():
        warnings.simplefilter("always", EcotoneWarning)
        warnings.showwarning = show  # type: ignore[assignment]
        yield kept


def open_run(path: str) -> Path:
    """A run folder, or a friendly error."""
    folder = Path(path)
    if folder.name == "run.json":
        folder = folder.parent
    if not folder.is_dir():
        raise InputError("IO101", folder, "no such run folder", "pass the folder that `ecotone fit` wrote with --out")
    return folder
