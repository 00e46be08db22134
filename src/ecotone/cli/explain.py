"""`ecotone explain RUN [IMAGE] [--target NAME]`: what the answers rest on."""

from __future__ import annotations

from pathlib import Path

from ecotone.cli.common import open_run, read_options, show_help, split, wants_help
from ecotone.cli.options import RunOptions, read
from ecotone.cli.screen import say
from ecotone.contract import Evidence, Options
from ecotone.errors import EcotoneError, UsageError

USAGE = "ecotone explain RUN [IMAGE] [--target NAME] [--out FOLDER]"


class ExplainOptions(Options):
    """Options of the verb.

    Attributes:
        target: A species, class or date to explain; all by default. In the run, evidence of others is kept.
    """

    target: str | None = None


def _there(place: Path) -> list[Evidence]:
    """Evidence of other targets stays when one target is explained; what cannot be read is replaced."""
    from ecotone.files.evidence import load_evidence

    try:
        return load_evidence(place) if place.is_dir() else []
    except EcotoneError:
        return []


def run(tokens: list[str]) -> None:
    """The verb."""
    names, rest = split(tokens, ["RUN", "IMAGE"], usage=USAGE, optional=1)
    if not names:
        show_help(
            USAGE, "Writes evidence as tables (CSV, JSON) into the run, or into --out.", ("options", ExplainOptions)
        )
        return
    from ecotone.files.evidence import save_evidence
    from ecotone.files.run import RunFolder
    from ecotone.registry import load

    folder = open_run(names[0])
    system = load(folder)
    if wants_help(rest):
        groups = [("options", ExplainOptions), ("answer", system.Ask), ("command", RunOptions)]
        show_help(USAGE, f"Evidence of {system.name}.", *groups)
        return
    options, (own, ask) = read_options(rest, ExplainOptions, system.Ask)
    system.progress = not options.quiet
    target, data = read(ExplainOptions, own).target, None
    if len(names) > 1:
        if "images" not in system.Query.model_fields:
            raise UsageError("US103", system.name, "does not explain images", "leave the image out")
        data = system.Query(images=names[1])
        if Path(names[1]).is_file():
            target = target or Path(names[1]).name
    items = system.explain(data, target=target, **read(system.Ask, ask).model_dump())
    place = Path(options.out) if options.out else RunFolder(folder).evidence_path
    kept = [] if options.out or target is None else [e for e in _there(place) if e.target != target]
    save_evidence(place, [*kept, *(item for item in items if not kept or item.target == target)])
    say(*(f"{item.kind:14s} {item.title}" for item in items), f"written to {place}", quiet=options.quiet)
