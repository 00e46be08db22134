"""`ecotone demo [SYSTEM] [--out RUN] [--tiny]`: a whole run on a simulated world with known truth."""

from __future__ import annotations

from pathlib import Path

from ecotone.cli.common import command_line, say, show_help, split, wants_help
from ecotone.cli.options import parse
from ecotone.contract import Options
from ecotone.registry import list_systems, system_class

USAGE = "ecotone demo [SYSTEM] [--out RUN] [--tiny]"


class DemoOptions(Options):
    """Options of the verb.

    Attributes:
        out: The run folder.
        tiny: A smaller world, for tests.
        seed: Which world.
        debug: Show tracebacks.
        quiet: No output besides warnings.
    """

    out: str | None = None
    tiny: bool = False
    seed: int = 0
    debug: bool = False
    quiet: bool = False


def run(tokens: list[str]) -> None:
    """The verb."""
    names, rest = split(tokens, ["SYSTEM"], usage=USAGE, optional=1)
    if wants_help(tokens):
        show_help(USAGE, f"Systems with a demo: {', '.join(list_systems())}.", ("options", DemoOptions))
        return
    name = names[0] if names else "deepmaxent"
    system_class(name)
    (own,) = parse(rest, DemoOptions)
    options = DemoOptions.parse(own)
    from ecotone.bench.demos import DEMOS

    out = Path(options.out or f"demo/{name}")
    lines = DEMOS[name](
        out, tiny=options.tiny, seed=options.seed, command=command_line("demo", tokens), quiet=options.quiet
    )
    say(*lines, quiet=options.quiet)
