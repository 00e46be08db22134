"""`ecotone bench nceas`: AUC on the NCEAS presence-absence surveys (Elith et al. 2020), beside peers.

Every method learns from presence-only records and is scored per species on the survey of its own group. A region's figure
is the mean over its species, the overall figure the mean over regions; the mean over all species is printed beside it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from pydantic import Field, field_validator

from ecotone.bench.jobs import Job, nceas_hash, nceas_jobs
from ecotone.bench.peers import PEERS
from ecotone.bench.registry import BenchResult
from ecotone.contract import Options as Base
from ecotone.data.features import FeatureMap
from ecotone.errors import InputError, UsageError, suggest
from ecotone.files.progress import progress as show_progress
from ecotone.stats.bootstrap import paired_bootstrap
from ecotone.systems.deepmaxent.estimator import DeepMaxent
from ecotone.systems.maxent.estimator import Maxent

Array = np.ndarray
OWN: dict[str, dict[str, Any]] = {
    "deepmaxent-paper": {"preset": "paper"},
    "deepmaxent": {"preset": "ecotone"},
    "ce": {"preset": "paper", "loss": "ce"},
    "poisson": {"preset": "paper", "loss": "poisson"},
    "bce": {"preset": "paper", "loss": "bce"},
}
METHODS = (
    "deepmaxent-paper",
    "deepmaxent",
    "deepmaxent-ensemble",
    "maxent",  # elapid's
    "maxent-ecotone",  # ours, the published recipe
    "maxent-ecotone-tuned",  # multiplier and feature kinds chosen on the records
    "ce",
    "poisson",
    "bce",
    "rf",
    "gbt",
)
BY_BACKGROUND = {*PEERS, "maxent-ecotone", "maxent-ecotone-tuned"}  # run once with each background
REFERENCE = {"AWT": 0.711, "CAN": 0.731, "NSW": 0.747, "SA": 0.805}  # measured for the paper's recipe, 3 seeds


class Options(Base):
    """Options of the benchmark.

    Attributes:
        seeds: Seeds of the networks; trained as one stack.
        peer_seeds: Seeds of the random forest and gradient boosting, which are slow; Maxent has none.
        methods: Which methods; all by default (elapid's Maxent only when installed).
        regions: Which regions; all in the folder by default.
        folder: The folder with the .rds files; ECOTONE_DATA/nceas by default.
        members: Members per ensemble ("deepmaxent-ensemble" averages all seeds when 0).
    """

    seeds: int = Field(default=10, ge=1, le=1000)
    peer_seeds: int = Field(default=1, ge=1, le=1000)
    methods: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    folder: str | None = None
    members: int = Field(default=0, ge=0)

    @field_validator("methods", "regions", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        parts = [value] if isinstance(value, str) else value
        return tuple(word for part in parts for word in str(part).split(",") if word)


def data_folder(given: str | None) -> str:
    """The NCEAS folder.

    Raises:
        InputError: IO101 when none is named.
    """
    if given:
        return given
    base = os.environ.get("ECOTONE_DATA")
    if not base:
        raise InputError(
            "IO101",
            "ECOTONE_DATA",
            "is not set",
            "name the data folder, or pass --folder; see `ecotone data get nceas`",
        )
    return os.path.join(base, "nceas")  # noqa: PTH118


def run(options: Options, *, progress: bool = True) -> BenchResult:
    """Runs the methods and summarises them."""
    methods = _methods(options)
    folder = data_folder(options.folder)
    jobs = nceas_jobs(folder, options.regions)
    rows: list[dict[str, Any]] = []
    with show_progress(len(jobs) * len(methods), "nceas", enabled=progress) as bar:
        for job in jobs:
            for method in methods:
                if method != "deepmaxent-ensemble":
                    rows += run_method(job, method, options, with_ensemble="deepmaxent-ensemble" in methods)
                bar.advance()
    data = nceas_hash(folder)
    for row in rows:
        row["data"] = data
    return BenchResult(rows, summary(rows))


def _methods(options: Options) -> list[str]:
    for name in options.methods:
        if name not in METHODS:
            raise UsageError("US101", name, "no such method", suggest(name, METHODS))
    chosen = list(options.methods or METHODS)
    if not options.methods:
        from importlib.util import find_spec

        if find_spec("elapid") is None:
            chosen.remove("maxent")
    if "deepmaxent-ensemble" in chosen and "deepmaxent" not in chosen:
        chosen.insert(0, "deepmaxent")
    return chosen


def run_method(job: Job, method: str, options: Options, *, with_ensemble: bool = False) -> list[dict[str, Any]]:
    """Rows of one method on one job, one per species and seed."""
    if method in OWN:
        return list(_run_own(job, method, options, with_ensemble and method == "deepmaxent"))
    rows: list[dict[str, Any]] = []
    seeds = 1 if method.startswith("maxent") else options.peer_seeds
    for background in ("target_group", "uniform"):
        for seed in range(seeds):
            start = time.perf_counter()
            scores = peer_scores(job, method, background, seed)
            rows += _rows(job, method, background, seed, job.auc(scores), time.perf_counter() - start)
    return rows


def fit_own(job: Job, **config: Any) -> DeepMaxent:
    """DeepMaxent on a job, with everything that the job offers."""
    return DeepMaxent(**config).fit(
        job.sites,
        job.counts,
        background=job.background,
        coordinates=job.xy,
        geographic=job.geographic,
        covariates=list(job.covariates),
        levels=job.levels,
        species=list(job.species),
    )


def _run_own(job: Job, method: str, options: Options, with_ensemble: bool) -> Iterator[dict[str, Any]]:
    start = time.perf_counter()
    model = fit_own(job, members=options.seeds, **OWN[method])
    member = {s.name: model.log_relative(s.env, unseen="baseline") for s in job.surveys}
    seconds = (time.perf_counter() - start) / options.seeds
    chosen = model.background_
    label = chosen.kind if chosen.kind != "mixture" else f"mixture {chosen.uniform_share:g}"
    for seed in range(options.seeds):
        yield from _rows(job, method, label, seed, job.auc({k: v[seed] for k, v in member.items()}), seconds)
    if with_ensemble:
        size = options.members or options.seeds
        for k in range(max(1, options.seeds // size)):
            mean = {name: v[k * size : (k + 1) * size].mean(0) for name, v in member.items()}
            yield from _rows(job, "deepmaxent-ensemble", label, k, job.auc(mean), seconds * size)


def maxent_scores(job: Job, background: str, *, tune: bool = False) -> dict[str, Array]:
    """Survey name -> (n, S) scores of our Maxent with its defaults, the published recipe, or tuned."""
    model = Maxent(background=background, tune=tune).fit(
        job.sites,
        job.counts,
        background=job.background,
        coordinates=job.xy,
        geographic=job.geographic,
        covariates=list(job.covariates),
        levels=job.levels,
        species=list(job.species),
    )
    return {s.name: model.log_relative(s.env, unseen="baseline")[0] for s in job.surveys}


def peer_scores(job: Job, method: str, background: str, seed: int) -> dict[str, Array]:
    """Survey name -> (n, S) scores of a single-species peer, or of our Maxent."""
    if method.startswith("maxent-ecotone"):
        return maxent_scores(job, background, tune=method == "maxent-ecotone-tuned")
    features = FeatureMap.fit(job.background, job.covariates, levels=job.levels)
    at_sites, uniform = features.transform(job.sites), features.transform(job.background, unseen="baseline")
    present = job.counts.toarray() > 0
    scores = {s.name: np.full((len(s.env), len(job.species)), np.nan) for s in job.surveys}
    position = {name: j for j, name in enumerate(job.species)}
    for survey in job.surveys:
        query = features.transform(survey.env, unseen="baseline")
        for name in survey.species:
            own = at_sites[present[:, position[name]]]
            other = at_sites if background == "target_group" else uniform
            scores[survey.name][:, position[name]] = PEERS[method](own, other, query, seed)
    return scores


def _rows(
    job: Job, method: str, background: str, seed: int, aucs: dict[str, float], seconds: float
) -> list[dict[str, Any]]:
    base = {"method": method, "background": background, "region": job.region, "group": job.group, "seed": seed}
    return [{**base, "species": s, "auc": value, "seconds": round(seconds / len(aucs), 4)} for s, value in aucs.items()]


# ------------------------------------------------------------------------------------------------ summary
def _variant(row: dict[str, Any]) -> str:
    return f"{row['method']} ({row['background']})" if row["method"] in BY_BACKGROUND else row["method"]


def species_means(rows: list[dict[str, Any]]) -> dict[str, dict[tuple[str, str, str], float]]:
    """Variant -> (region, group, species) -> mean AUC over seeds."""
    collected: dict[str, dict[tuple[str, str, str], list[float]]] = {}
    for row in rows:
        key = (row["region"], row["group"], row["species"])
        collected.setdefault(_variant(row), {}).setdefault(key, []).append(row["auc"])
    return {v: {k: float(np.nanmean(a)) for k, a in table.items()} for v, table in collected.items()}


def region_means(table: dict[tuple[str, str, str], float]) -> dict[str, float]:
    """Region -> mean over its species."""
    names = sorted({key[0] for key in table})
    return {r: float(np.nanmean([v for k, v in table.items() if k[0] == r])) for r in names}


def summary(rows: list[dict[str, Any]]) -> list[str]:
    """The printed table: regions, mean of regions, mean of species, seconds; then paired differences to the paper."""
    means = species_means(rows)
    names = sorted({row["region"] for row in rows})
    head = (
        f"{'method (background)':32s}"
        + "".join(f"{n:>8s}" for n in names)
        + f"{'regions':>9s}{'species':>9s}{'seconds':>9s}"
    )
    lines = ["AUC on presence-absence surveys; seconds are per seed over all jobs", head]
    for variant, table in means.items():
        by_region = region_means(table)
        own = [r for r in rows if _variant(r) == variant]
        seconds = sum(r["seconds"] for r in own) / len({r["seed"] for r in own})
        cells = "".join(f"{by_region.get(n, float('nan')):8.4f}" for n in names)
        overall = float(np.mean(list(by_region.values())))
        lines.append(f"{variant:32s}{cells}{overall:9.4f}{np.nanmean(list(table.values())):9.4f}{seconds:9.1f}")
    paper = means.get("deepmaxent-paper")
    if paper is not None:
        measured = region_means(paper)
        if set(measured) == set(REFERENCE):
            off = float(np.mean(list(measured.values()))) - float(np.mean(list(REFERENCE.values())))
            lines.append(f"deepmaxent-paper against the reference mean .7483: {off:+.4f} (tolerance .004)")
        for variant, table in means.items():
            if variant != "deepmaxent-paper":
                keys = [k for k in paper if k in table]
                difference = paired_bootstrap(
                    np.array([table[k] for k in keys]),
                    np.array([paper[k] for k in keys]),
                    strata=np.array([k[0] for k in keys]),
                )
                lines.append(
                    f"{variant} - deepmaxent-paper: {difference.estimate:+.4f} [{difference.low:+.4f}, {difference.high:+.4f}]"
                    " (paired bootstrap over species, mean of regions)"
                )
    lines += [
        f"background chosen for {r} {g}: {b}"
        for r, g, b in sorted({(x["region"], x["group"], x["background"]) for x in rows if x["method"] == "deepmaxent"})
    ]
    return lines
