"""`ecotone bench recovery`: is the chill response of simulated trees found, and is it said when it cannot be?

Independent worlds with mild winters, in which chill decides on the bloom: at the temperatures that hold at least one per cent
of winter hours, bands of 90 % should hold the true response about nine times in ten. Beside them worlds with cold winters,
in which every response gives the same bloom days: a fit should say that it has not identified one.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np
from pydantic import Field

from ecotone.bench.registry import BenchResult
from ecotone.contract import Options as Base
from ecotone.data.seasons import Seasons
from ecotone.data.simulated.trees import trees
from ecotone.errors import UsageError, suggest
from ecotone.files.progress import progress as show_progress
from ecotone.stats.bootstrap import bootstrap
from ecotone.systems.phenology.recovery import NEAR, Fit, FittedResponse, recovery

Array = np.ndarray
WANTED = 0.80, 0.95  # coverage of 90 % bands
# name -> module and function (Seasons, seed) -> FittedResponse; the first one is run unless another is named
FITS: dict[str, str] = {
    "hybrid": "ecotone.bench.recovery:fit_hybrid",
    "triangle": "ecotone.bench.recovery_plain:fit_triangle",
}


class Options(Base):
    """Options of the benchmark.

    Attributes:
        worlds: Worlds with mild winters.
        cold: Worlds with cold winters.
        seed: Seed of the first world of either kind; the others follow.
        sites: Sites per world.
        years: Seasons per site.
        noise: Standard deviation of recorded days around the true ones, days.
        fit: Which fit; empty for the standard one.
    """

    worlds: int = Field(default=200, ge=0)
    cold: int = Field(default=50, ge=0)
    seed: int = Field(default=0, ge=0)
    sites: int = Field(default=10, ge=1)
    years: int = Field(default=20, ge=2)
    noise: float = Field(default=1.0, ge=0)
    fit: str = ""


def run(options: Options, *, progress: bool = True, fit: Fit | None = None) -> BenchResult:
    """Fits all worlds; `fit` takes the place of the named one."""
    name = options.fit or next(iter(FITS))
    chosen = fit or named_fit(name)
    rows: list[dict[str, Any]] = []
    with show_progress(options.worlds + options.cold, "recovery", enabled=progress) as bar:
        for winters, count in (("mild", options.worlds), ("cold", options.cold)):
            worlds = (
                trees(seed, sites=options.sites, years=options.years, noise=options.noise, winters=winters)
                for seed in range(options.seed, options.seed + count)
            )
            for row in recovery(chosen, worlds):
                rows.append({"fit": name if fit is None else "given", **row})
                bar.advance()
    return BenchResult(rows, summary(rows))


def fit_hybrid(seasons: Seasons, seed: int) -> FittedResponse:
    """The hybrid with three networks from different starts and without held-out years: 300 passes."""
    from ecotone.systems.phenology.hybrid.estimator import HybridPhenology

    model = HybridPhenology(members=3, held_out=0.0, steps=300, seed=seed).fit(seasons)
    return model.response(np.arange(-30.0, 41.0))


def named_fit(name: str) -> Fit:
    """A fit of `FITS`.

    Raises:
        UsageError: US101 for an unknown name.
    """
    if name not in FITS:
        raise UsageError("US101", "--fit", f"{name!r} is not known", suggest(name, FITS))
    module, function = FITS[name].split(":")
    return getattr(import_module(module), function)


def summary(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Coverage and what goes with it, by kind of winter, with intervals over worlds."""
    lines: list[str] = []
    for winters in ("mild", "cold"):
        mine = [r for r in rows if r["winters"] == winters]
        if not mine:
            continue
        n = f"{len(mine)} world" + ("s" if len(mine) > 1 else "")
        signal, limited = (_column(mine, k) for k in ("signal", "limited"))
        lines.append(
            f"{winters} winters: {n} of {mine[0]['seasons']} seasons; chill limits in {limited.mean():.0%} of the seasons, "
            f"signal {np.median(signal):.2f} days"
        )
        lines.append(
            f"  coverage of 90 % bands {_interval(mine, 'coverage')}{_verdict(mine) if winters == 'mild' else ''}"
        )
        lines.append(
            f"    with {NEAR:g} to spare {_interval(mine, 'coverage_near')}; truth below the band "
            f"{_column(mine, 'below').mean():.3f}, above {_column(mine, 'above').mean():.3f}"
        )
        lines.append(
            f"  width of the band {_interval(mine, 'width')}, correlation with the truth {_interval(mine, 'correlation')}, "
            f"root mean square error {_interval(mine, 'rmse')}"
        )
        said = _column(mine, "identified")
        lines.append(f"  reported as identified {said.mean():.1%} ({int(said.sum())} of {len(mine)})")
        seconds = _column(mine, "seconds")
        lines.append(f"  seconds per world {seconds.mean():.2f}, all {seconds.sum():.0f}")
        if winters == "mild":
            lines += [f"    {line}" for line in _by_shape(mine)]
    return lines


def _by_shape(rows: Sequence[dict[str, Any]]) -> list[str]:
    shapes = sorted({r["shape"] for r in rows})
    lines = [f"{'true shape':12s}{'worlds':>7s}{'coverage':>10s}{'width':>8s}{'correlation':>13s}"]
    for shape in shapes:
        mine = [r for r in rows if r["shape"] == shape]
        mean = {k: bootstrap(_column(mine, k)).estimate for k in ("coverage", "width", "correlation")}
        lines.append(
            f"{shape:12s}{len(mine):7d}{mean['coverage']:10.3f}{mean['width']:8.3f}{mean['correlation']:13.3f}"
        )
    return lines


def _verdict(rows: Sequence[dict[str, Any]]) -> str:
    mean = float(_column(rows, "coverage").mean())
    low, high = WANTED
    return f": {'within' if low <= mean <= high else 'outside'} {low:.2f} to {high:.2f}"


def _interval(rows: Sequence[dict[str, Any]], name: str) -> str:
    found = bootstrap(_column(rows, name))
    return f"{found.estimate:.3f} [{found.low:.3f}, {found.high:.3f}]"


def _column(rows: Sequence[dict[str, Any]], name: str) -> Array:
    return np.array([r[name] for r in rows], dtype=float)
