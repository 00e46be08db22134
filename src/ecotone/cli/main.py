"""The `ecotone` command: names the verbs, turns errors into one line and an exit status.

Exit statuses: 0 fine, 1 a bug, 2 usage, 3 input, 4 missing optional dependency, 5 integrity, 6 interrupted and resumable.
"""

from __future__ import annotations

import io
import os
import signal
import sys
import traceback
import warnings
from contextlib import redirect_stdout, suppress
from importlib import import_module
from typing import Annotated

import typer

from ecotone import __version__
from ecotone.cli.screen import say
from ecotone.errors import EcotoneError, EcotoneWarning, InterruptedRunError, UsageError, suggest

# threads that wait for each other must not burn the cores that other programs need; read when torch is first imported
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

_REST = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}

app = typer.Typer(
    name="ecotone",
    help="Any observation in, a map, date or label out, and evidence for every answer.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

VERBS: dict[str, str] = {
    "list": "What each system eats, gives and can do: `ecotone list [systems|errors]`.",
    "doctor": "Checks input files and says the exact fix: `ecotone doctor FILE...`.",
    "fit": "Learns from data: `ecotone fit SYSTEM [inputs] --out RUN`.",
    "evaluate": "Scores a run, with intervals: `ecotone evaluate RUN [inputs]`.",
    "predict": "Answers for points or tables: `ecotone predict RUN [inputs] --out FILE`.",
    "map": "Makes maps: `ecotone map RUN [--covariates RASTERS] --out MAP.tif`.",
    "explain": "Says what the answers rest on: `ecotone explain RUN [--target NAME]`.",
    "embed": "Turns observations into vectors: `ecotone embed RUN [inputs] --out FILE`.",
    "zeroshot": "Scores classes given as words: `ecotone zeroshot RUN IMAGES --classes a,b`.",
    "report": "Writes the HTML page of a run, or of what differs between two: `ecotone report RUN [--against OTHER]`.",
    "replay": "Repeats a recorded run: `ecotone replay run.json [--out RUN]`.",
    "bench": "Runs a benchmark: `ecotone bench NAME [--json FILE]`.",
    "data": "Public data sets, and packing of large tables: `ecotone data list|get|check|pack [NAME]`.",
    "demo": "A whole run on a simulated world: `ecotone demo [SYSTEM] [--out RUN] [--tiny]`.",
}


def _verb(name: str, text: str) -> None:
    @app.command(name, help=text, short_help=text.partition(": ")[0], context_settings=_REST)
    def run(context: typer.Context) -> int | None:
        module = import_module(f"ecotone.cli.{name if name != 'list' else 'list_'}")
        try:
            return module.run(list(context.args))
        except KeyboardInterrupt:  # before typer makes an exit status of its own of it
            raise InterruptedRunError(
                "ST101", f"ecotone {name}", "interrupted", "run the same command again to go on"
            ) from None


for _name, _text in VERBS.items():
    _verb(_name, _text)


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", help="Show the version.", is_eager=True)] = False,
) -> None:
    """Any observation in, a map, date or label out, and evidence for every answer."""


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in arguments
    with warnings.catch_warnings():
        _short_warnings(debug)
        try:
            return _run(arguments)
        except EcotoneError as error:
            return _failed(f"error[{error.code}]: {error}", error.exit_status, debug)
        except MemoryError:
            text = "error[ST104]: ecotone: out of memory - use smaller windows, batches or fewer cells"
            return _failed(text, 6, debug)
        except Exception as error:
            text = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            return _failed(f"bug: {text} - run again with --debug and report what it shows", 1, debug)


def _failed(line: str, status: int, debug: bool) -> int:
    """Tells what went wrong in one line, with the traceback before it for those who asked."""
    if debug:
        traceback.print_exc()
    with suppress(OSError):
        print(line, file=sys.stderr)
    return status


def _run(arguments: list[str]) -> int:
    first, *rest = arguments or ["--help"]
    if first == "--version":
        say(f"ecotone {__version__}")
        return 0
    if first == "help":
        first, rest = (rest[0], ["--help"]) if rest else ("--help", [])
    if first.startswith("-"):
        if first not in ("-h", "--help"):
            raise UsageError("US101", first, "unknown option", suggest(first, ["--help", "--version"]))
        with redirect_stdout(io.StringIO()) as text:
            app(["--help"], prog_name="ecotone", standalone_mode=False)
        say(text.getvalue().rstrip())
        return 0
    if first not in VERBS:
        raise UsageError("US101", first, "no such verb", suggest(first, VERBS))
    result = app([first, *rest], prog_name="ecotone", standalone_mode=False)
    return int(result or 0)


def _short_warnings(debug: bool) -> None:
    def show(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
        if isinstance(message, EcotoneWarning):
            with suppress(OSError):
                print(f"warning[{message.code}]: {message}", file=sys.stderr)
        elif debug:
            print(f"{category.__name__}: {message}", file=sys.stderr)

    warnings.simplefilter("always", EcotoneWarning)
    warnings.showwarning = show  # type: ignore[assignment]


def console() -> None:
    """Entry point of the installed command; asked to end, it clears up as after Ctrl-C."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
