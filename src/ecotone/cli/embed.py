"""`ecotone embed RUN [inputs] --out FILE`: turns observations into vectors."""

from __future__ import annotations

from ecotone.abilities import Embeds
from ecotone.cli.common import need_out, open_run, read_options, show_help, split, wants_help
from ecotone.cli.options import read
from ecotone.cli.screen import say
from ecotone.errors import UsageError

USAGE = "ecotone embed RUN [inputs] --out FILE"


def run(tokens: list[str]) -> None:
    """The verb."""
    names, rest = split(tokens, ["RUN"], usage=USAGE)
    if wants_help(tokens) or not names:
        show_help(USAGE, "Vectors of observations, for systems that embed (see `ecotone list`).")
        return
    from ecotone.data.tables import write_table
    from ecotone.registry import load

    system = load(open_run(names[0]))
    if not isinstance(system, Embeds):
        raise UsageError("US103", system.name, "does not embed", "see `ecotone list` for what it can do")
    options, (query, ask) = read_options(rest, system.Query, system.Ask)
    out = need_out(options, "embeddings.parquet")
    write_table(system.embed(read(system.Query, query), **ask).to_frame(), out)
    say(f"embeddings: {out}", quiet=options.quiet)
