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


def bloom_dates(name: str, out: Path, options: DemoOptions, command: list[str]) -> list[str]:
    """Simulated trees: bloom days and temperatures in, a chill response beside the true one, dates and a report out."""
    import numpy as np

    from ecotone.cli.fit import fit_run
    from ecotone.contract import Curve
    from ecotone.data.simulated.trees import trees
    from ecotone.data.tables import write_table
    from ecotone.files.evidence import load_evidence, save_evidence
    from ecotone.files.run import RunFolder
    from ecotone.registry import create
    from ecotone.report.page import write_report
    from ecotone.systems.phenology.recovery import normalised, score_response, winter_hours

    world = trees(options.seed, sites=3, years=10) if options.tiny else trees(options.seed)
    place = out.with_name(f"{out.name}-world")
    world.write(place)
    system: Any = create(name, **(TINY_TREES if options.tiny else FULL_TREES))
    inputs = system.Inputs(bloom=place / "bloom.csv", temperature=[place / "temperature.csv"])
    fit_run(system, inputs, out, command, quiet=options.quiet, report=False)

    hours = winter_hours(world.seasons)
    usual = hours.temperature[hours.usual()]
    fitted = system.estimator.response(np.arange(-20, 36, 0.5))
    found = score_response(fitted, world)
    learned, low, high = fitted.at(usual)
    title = "Chill response beside the truth"
    truth = Curve(
        title=title, exact=True, x=usual, y=learned, lower=low, upper=high, band="90% band", x_label="temperature of an hour",
        x_unit="degC", y_label="chill, share of the most", y_unit="1", name="learned",
        references={"truth": normalised(world.response, usual)},
        note="The simulated trees follow the dashed curve; shown where at least one in a hundred winter hours lies.",
    )  # fmt: skip
    evidence = RunFolder(out).evidence_path
    save_evidence(evidence, [truth, *(item for item in load_evidence(evidence) if item.title != title)])
    coming = system.forecast(by=("04-15",)).to_frame()
    write_table(coming, out / "forecast.csv")
    write_report(out)
    held = system.held_out()
    error = np.abs(held.error) if held is not None else np.array([np.nan])
    best = np.abs(world.seasons.event - world.true_day)[world.seasons.observed & np.isfinite(world.true_day)]
    first = coming.iloc[0]
    return [
        f"true chill response within the 90 % band at {found['coverage']:.0%} of {found['temperatures']} winter temperatures "
        f"(correlation {found['correlation']:.2f})",
        f"years held out: mean error {np.nanmean(error):.2f} days; a model that knew the trees would err by {best.mean():.2f}",
        f"next season, {first['site_id']}, weather known until {first['known_until'] or 'its start'}: bloom {first['date']} "
        f"({first['date_q05']} to {first['date_q95']})",
        f"open {out / 'report.html'} in a browser; dates of the next season: {out / 'forecast.csv'}",
    ]


def image_parts(name: str, out: Path, options: DemoOptions, command: list[str]) -> list[str]:
    """Simulated creatures: images in class folders in; classes, parts, their evidence and a report out."""
    from ecotone.cli.fit import fit_run
    from ecotone.contract import Check
    from ecotone.data.simulated.creature_files import write_creatures
    from ecotone.data.simulated.creatures import CreatureWorld
    from ecotone.files.evidence import load_evidence
    from ecotone.files.run import RunFolder
    from ecotone.registry import create

    small = {"classes": 2, "size": 32} if options.tiny else {"classes": 2, "size": 64, "pairs": 1, "distractors": 0}
    world = CreatureWorld(seed=options.seed, **small)
    images = write_creatures(world.draw(48 if options.tiny else 320), out.with_name(f"{out.name}-world"))
    config = TINY_IMAGES if options.tiny else FULL_IMAGES[name]
    system: Any = create(name, seed=options.seed, **config)
    fit_run(system, system.Inputs(images=images), out, command, quiet=options.quiet)
    accuracy = system.evaluate().metrics["accuracy"]
    lines = [
        f"test images: accuracy {accuracy.value:.0%} [{accuracy.low:.0%}, {accuracy.high:.0%}] over {accuracy.n}",
        "shown within a minute of training: longer training finds better parts",
        f"open {out / 'report.html'} in a browser",
    ]
    if name == "ifam":
        kept = load_evidence(RunFolder(out).evidence_path)
        checks = [e for e in kept if isinstance(e, Check) and e.title.endswith("outside the mask was used")]
        passed = sum(c.verdict == "pass" for c in checks)
        lines.insert(1, f"nothing outside the mask was used: certified for {passed} of {len(checks)} explained images")
    return lines


SHORT: dict[str, Any] = {"image_size": 64, "pretrain_epochs": 10, "epochs": 8, "parts": 6, "batch_size": 32}
FULL_IMAGES: dict[str, dict[str, Any]] = {
    "pdiscoformer": SHORT | {"encoder": "vit_mini_conv", "epochs": 60},
    "ifam": SHORT | {"epochs": 6},
}
TINY_IMAGES: dict[str, Any] = {"encoder": "vit_test", "pretrain_epochs": 1, "epochs": 2, "parts": 3, "batch_size": 16}
FULL_TREES: dict[str, Any] = {}  # the recipe as it is: some 20 seconds
TINY_TREES: dict[str, Any] = {"members": 2, "steps": 40}
FULL: dict[str, dict[str, Any]] = {"deepmaxent": {}, "maxent": {"background": "target_group"}}
TINY: dict[str, dict[str, Any]] = {
    "deepmaxent": {"members": 2, "epochs": 5, "min_steps": 20, "width": 32},
    "maxent": {"background": "target_group", "hinges": 5},
}
DEMOS: dict[str, Callable[[str, Path, DemoOptions, list[str]], list[str]]] = dict.fromkeys(FULL, species_maps) | {
    "phenology": bloom_dates,
    "pdiscoformer": image_parts,
    "ifam": image_parts,
}
