"""`ecotone demo [SYSTEM] [--out RUN] [--tiny]`: a whole run on a simulated world with known truth."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ecotone.cli.common import command_line, say, show_help, split, wants_help
from ecotone.cli.options import parse
from ecotone.contract import Options
from ecotone.errors import UsageError
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
    if name not in DEMOS:
        raise UsageError("US103", name, "has no demo", f"demos: {', '.join(DEMOS)}")
    say(
        *DEMOS[name](name, Path(options.out or f"demo/{name}"), options, command_line("demo", tokens)),
        quiet=options.quiet,
    )


def species_maps(name: str, out: Path, options: DemoOptions, command: list[str]) -> list[str]:
    """Simulated islands: records with effort bias in, maps, a projection to a warmer climate and a report out."""
    from ecotone.cli.fit import fit_run
    from ecotone.cli.map import MapOptions, write_maps
    from ecotone.data.simulated.archipelago import archipelago
    from ecotone.registry import create
    from ecotone.report.page import write_report

    small: dict[str, Any] = {"size": (48, 60), "species": 4, "surveys": 200} if options.tiny else {}
    world = archipelago(options.seed, **small)
    place = out.with_name(f"{out.name}-world")
    world.write(place)
    system: Any = create(name, **(TINY if options.tiny else FULL)[name])
    inputs = system.Inputs(
        occurrences=place / "occurrences.csv", covariates=[str(place / "covariates")], categorical=["rock"]
    )
    fit_run(system, inputs, out, command, quiet=options.quiet, report=False)
    ask = system.Ask(richness=True, top=True, thresholds=True, extrapolation=True).model_dump()
    write_maps(system, out, out / "map.tif", MapOptions(), ask, options.quiet)
    future = MapOptions(covariates=[str(place / "future")])
    write_maps(system, out, out / "future.tif", future, system.Ask().model_dump(), options.quiet)
    scores = system.evaluate(system.Query(points=place / "surveys.csv"))
    write_report(out)
    auc = scores.metrics["auc"]
    return [
        f"against the simulated survey: AUC {auc.value:.3f} [{auc.low:.3f}, {auc.high:.3f}] over {auc.n} species",
        f"open {out / 'report.html'} in a browser, {out / 'map.tif'} in QGIS",
    ]


FULL: dict[str, dict[str, Any]] = {"deepmaxent": {}, "maxent": {"background": "target_group"}}
TINY: dict[str, dict[str, Any]] = {
    "deepmaxent": {"members": 2, "epochs": 5, "min_steps": 20, "width": 32},
    "maxent": {"background": "target_group", "hinges": 5},
}
DEMOS: dict[str, Callable[[str, Path, DemoOptions, list[str]], list[str]]] = dict.fromkeys(FULL, species_maps)
