"""Printing: lines that survive a reader who goes away, and tables that fit the screen. Imports nothing heavy."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any


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
