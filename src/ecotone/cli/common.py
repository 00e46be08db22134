"""What several verbs share: positional arguments, help, warnings kept for the record, printing."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ecotone.cli.options import Model, RunOptions, option_help, parse, read
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


def say(*lines: str, quiet: bool = False) -> None:
    """Prints lines unless told to be quiet.

    A reader that went away (``| head``) is no reason to give up work: what would follow is not printed.

    Raises:
        EcotoneError: ST102, ST104 when standard output is a file that cannot be written.
    """
    if quiet:
        return
    try:
        for line in lines:
            print(line)
        sys.stdout.flush()
    except BrokenPipeError:
        silence()
    except OSError as error:
        from ecotone.files.atomic import write_problem

        silence()
        raise write_problem(Path("standard output"), error) from error


def silence() -> None:
    """Sends all further standard output nowhere, so that nothing fails when the interpreter flushes it at the end."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def table(rows: Sequence[Mapping[str, Any]], *, shown: Callable[[Any], str] = str) -> list[str]:
    """Rows as aligned text; where the screen is too narrow for that, one paragraph per row."""
    if not rows:
        return []
    names = list(rows[0])
    cells = [[shown(row.get(name, "")) for name in names] for row in rows]
    widths = [max(len(name), *(len(line[i]) for line in cells)) for i, name in enumerate(names)]
    if sys.stdout.isatty() and sum(widths) + 2 * len(widths) > shutil.get_terminal_size().columns:
        return _paragraphs(names, cells)
    lines = ["  ".join(name.ljust(w) for name, w in zip(names, widths, strict=True)).rstrip()]
    return lines + ["  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in cells]


def _paragraphs(names: Sequence[str], cells: Sequence[Sequence[str]]) -> list[str]:
    width = max(map(len, names[1:]), default=0)
    lines = []
    for first, *rest in cells:
        lines.append(first)
        for name, cell in zip(names[1:], rest, strict=True):
            indent = " " * (width + 4)
            room = max(shutil.get_terminal_size().columns, 40)
            lines += textwrap.wrap(cell, room, initial_indent=f"  {name.ljust(width)}  ", subsequent_indent=indent)
    return lines


def open_run(path: str) -> Path:
    """A run folder, or a friendly error."""
    folder = Path(path)
    if folder.name == "run.json":
        folder = folder.parent
    if not folder.is_dir():
        raise InputError("IO101", folder, "no such run folder", "pass the folder that `ecotone fit` wrote with --out")
    return folder
