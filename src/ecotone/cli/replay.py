"""`ecotone replay run.json [--out RUN]`: repeats a recorded run."""

from __future__ import annotations

from ecotone.cli.common import open_run, read_options, show_help, split, wants_help
from ecotone.cli.options import RunOptions
from ecotone.cli.screen import say

USAGE = "ecotone replay run.json [--out RUN]"


def run(tokens: list[str]) -> int:
    """The verb."""
    names, rest = split(tokens, ["run.json"], usage=USAGE)
    if wants_help(tokens) or not names:
        about = "Checks that the recorded inputs are unchanged, then runs the recorded command again."
        show_help(USAGE, about, ("command", RunOptions))
        return 0
    import shlex
    from importlib import import_module

    from ecotone.files.record import replay_command
    from ecotone.files.run import RunFolder

    options, _ = read_options(rest)
    folder = open_run(names[0])
    RunFolder(folder).verify_inputs()
    verb, *arguments = replay_command(folder / "run.json")
    if options.out:
        if "--out" in arguments:
            arguments[arguments.index("--out") + 1] = options.out
        else:
            arguments += ["--out", options.out]
    arguments += ["--quiet"] * (options.quiet and "--quiet" not in arguments)
    say(f"replaying: {shlex.join(['ecotone', verb, *arguments])}", quiet=options.quiet)
    import_module(f"ecotone.cli.{verb}").run(arguments)
    return 0
