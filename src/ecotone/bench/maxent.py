"""`ecotone bench maxent`: every species of a region by elapid, one after the other, and by our solver, all at once.

Uniform background, the same 10,000 points for both. Three ways, in one process, one after the other:

* ``elapid``: its MaxentModel, one fit per species (scikit-learn solver);
* ``ecotone, equal``: our solver on elapid's own feature matrix with the penalties that elapid's solver uses, which is the same
  problem but for the two differences named in `equal_problem`;
* ``ecotone``: our estimator with the same kinds of features and the published penalties.

Times include feature making, fitting and, for ours, the certificates; scoring the survey is outside.
"""

from __future__ import annotations

import time
import warnings
from typing import Any

import numpy as np
from pydantic import Field, field_validator
from scipy import sparse
from scipy.stats import spearmanr

from ecotone.bench.jobs import Job, merged, nceas_hash, nceas_jobs
from ecotone.bench.nceas import data_folder
from ecotone.bench.registry import BenchResult
from ecotone.contract import Options as Base
from ecotone.errors import MissingDependencyError
from ecotone.files.progress import progress as show_progress
from ecotone.systems.maxent.estimator import Maxent
from ecotone.systems.maxent.solve import Problems, Solution, solve

Array = np.ndarray
SETS: dict[str, tuple[str, ...]] = {
    "linear+quadratic+hinge": ("linear", "quadratic", "hinge"),
    "linear+hinge+product": ("linear", "hinge", "product"),  # elapid's defaults
}
HINGES = 10  # elapid's count of knots: nine hinges per side
MULTIPLIER = 1.0
METHODS = ("elapid", "ecotone, equal", "ecotone")


class Options(Base):
    """Options of the benchmark.

    Attributes:
        regions: Which regions; all in the folder by default. A region's groups are one job.
        sets: Which feature sets, by number: 1 linear + quadratic + hinge, 2 linear + hinge + product.
        species: Only the first so many species of each region; 0 for all.
        elapid: Also run elapid, which takes seconds per species.
        folder: The folder with the .rds files; ECOTONE_DATA/nceas by default.
    """

    regions: tuple[str, ...] = ()
    sets: tuple[int, ...] = (1, 2)
    species: int = Field(default=0, ge=0)
    elapid: bool = True
    folder: str | None = None

    @field_validator("regions", "sets", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        parts = [value] if isinstance(value, str | int) else value
        return tuple(word for part in parts for word in str(part).split(",") if word)


def run(options: Options, *, progress: bool = True) -> BenchResult:
    """Runs the race and summarises it."""
    folder = data_folder(options.folder)
    jobs = nceas_jobs(folder, options.regions)
    regions = sorted({job.region for job in jobs})
    chosen = [list(SETS)[k - 1] for k in options.sets if 0 < k <= len(SETS)]
    rows: list[dict[str, Any]] = []
    with show_progress(len(regions) * len(chosen), "maxent", enabled=progress) as bar:
        for region in regions:
            job = merged([job for job in jobs if job.region == region])
            if options.species:
                job = first_species(job, options.species)
            for name in chosen:
                rows += race(job, name, with_elapid=options.elapid)
                bar.advance()
    data = nceas_hash(folder)
    for row in rows:
        row.update(data=data, seed=0, threads=threads())
    return BenchResult(rows, summary(rows))


def first_species(job: Job, count: int) -> Job:
    """The job with its first species only."""
    from dataclasses import replace

    kept = job.species[:count]
    surveys = []
    for survey in job.surveys:
        columns = [k for k, name in enumerate(survey.species) if name in kept]
        if columns:
            names = tuple(survey.species[k] for k in columns)
            surveys.append(replace(survey, species=names, pa=survey.pa[:, columns]))
    return replace(job, species=kept, counts=sparse.csr_array(job.counts[:, : len(kept)]), surveys=tuple(surveys))


def threads() -> int:
    """Threads of the linear algebra library in use."""
    from threadpoolctl import threadpool_info

    return max((int(pool["num_threads"]) for pool in threadpool_info()), default=1)


def race(job: Job, name: str, *, with_elapid: bool = True) -> list[dict[str, Any]]:
    """Rows of all methods on one job: seconds, mean AUC, share of species certified."""
    kinds = SETS[name]
    ways: dict[str, Any] = {"elapid": elapid_way, "ecotone, equal": equal_way, "ecotone": own_way}
    rows, scores = [], {}
    for method in METHODS:
        if method == "elapid" and not with_elapid:
            continue
        start = time.perf_counter()
        predict, more = ways[method](job, kinds)
        seconds = time.perf_counter() - start
        scores[method] = predict()
        aucs = job.auc(scores[method])
        rows.append(
            {
                "method": method,
                "features": name,
                "region": job.region,
                "species": len(job.species),
                "seconds": round(seconds, 3),
                "auc": round(float(np.nanmean(list(aucs.values()))), 4),
                **more,
            }
        )
    if with_elapid:
        for row in rows[1:]:
            row["times_faster"] = round(rows[0]["seconds"] / row["seconds"], 1)
            row["auc_difference"] = round(row["auc"] - rows[0]["auc"], 4)
            row["rank_correlation"] = round(agreement(job, scores["elapid"], scores[row["method"]]), 4)
    return rows


def agreement(job: Job, one: dict[str, Array], other: dict[str, Array]) -> float:
    """Mean over species of the rank correlation of two predictions on the species' survey."""
    position = {name: j for j, name in enumerate(job.species)}
    found = []
    for survey in job.surveys:
        for name in survey.species:
            a, b = one[survey.name][:, position[name]], other[survey.name][:, position[name]]
            if np.ptp(a) > 0 and np.ptp(b) > 0:
                found.append(float(np.asarray(spearmanr(a, b)[0])))
    return float(np.mean(found))


# ------------------------------------------------------------------------------------------------ the three ways
def _known(job: Job, covariates: Array) -> Array:
    """Survey rows with a category that was never seen get the commonest one, which elapid needs."""
    out = np.array(covariates, dtype=float)
    for name, levels in job.levels.items():
        i = job.covariates.index(name)
        values, times = np.unique(job.background[:, i], return_counts=True)
        out[~np.isin(out[:, i], levels), i] = values[times.argmax()]
    return out


def _categorical(job: Job) -> Any:
    return [job.covariates.index(name) for name in job.levels] or None


def elapid_way(job: Job, kinds: tuple[str, ...]) -> Any:
    """One elapid model per species."""
    try:
        from elapid import MaxentModel
    except ImportError:
        raise MissingDependencyError("MD101", "elapid", "is not installed", "pip install 'ecotone[bench]'") from None
    counts = job.counts.toarray() > 0
    models = []
    for j in range(len(job.species)):
        own = job.sites[counts[:, j]]
        x = _every_level(job, np.concatenate([own, job.background]))
        model = MaxentModel(
            feature_types=list(kinds),
            n_hinge_features=HINGES,
            beta_multiplier=MULTIPLIER,
            use_sklearn=True,
            n_cpus=1,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(x, np.r_[np.ones(len(own)), np.zeros(len(job.background))], categorical=_categorical(job))
        models.append(model)

    def predict() -> dict[str, Array]:
        return {
            s.name: np.column_stack([np.asarray(m.predict(_known(job, s.env))).ravel() for m in models])
            for s in job.surveys
        }

    return predict, {}


def _every_level(job: Job, x: Array) -> Array:
    """Background rows cannot be added to, so levels that this species' rows lack are put on its last background rows."""
    out = np.array(x, dtype=float)
    for name, levels in job.levels.items():
        i = job.covariates.index(name)
        for k, level in enumerate(v for v in levels if not (out[:, i] == v).any()):
            out[-1 - k, i] = level
    return out


def equal_problem(job: Job, kinds: tuple[str, ...]) -> tuple[Any, Problems]:
    """Elapid's feature matrix and penalties as one batch of our problems.

    Elapid's solver minimises |b| + C sum_i s_i log-loss_i with s = 100 for background points and 1 for presences. In the limit
    of large s this is Maxent with penalty 1 / (C n) per feature, where a presence weighs 1/100 of a background point. Two
    differences stay: s is finite, and the solver penalises the intercept, which moves the moments by the factor
    n / (n + 1 / C).
    """
    from elapid.features import MaxentFeatureTransformer
    from elapid.models import estimate_C_from_betas

    counts = sparse.csr_array(job.counts.T > 0, dtype=float)
    transformer = MaxentFeatureTransformer(feature_types=list(kinds), clamp=True, n_hinge_features=HINGES)
    rows = np.concatenate([job.sites, job.background])
    x = np.asarray(transformer.fit_transform(rows, categorical=_categorical(job)), dtype=np.float64)
    u, n = len(job.background), np.asarray(counts.sum(1)).ravel()
    records = sparse.csr_array(sparse.hstack([counts, sparse.csr_array((len(n), u))]))
    weight = np.r_[np.zeros(len(job.sites)), np.full(u, 1 / u)][None]
    penalty = np.repeat(1.0 / (float(estimate_C_from_betas(MULTIPLIER)) * n[:, None]), x.shape[1], axis=1)
    return transformer, Problems(x, weight, np.zeros(len(n), int), records * (0.01 / u), records, penalty)


def equal_way(job: Job, kinds: tuple[str, ...]) -> Any:
    """Our solver on elapid's features and penalties."""
    transformer, problems = equal_problem(job, kinds)
    solution = solve(problems)

    def predict() -> dict[str, Array]:
        return {s.name: np.asarray(transformer.transform(_known(job, s.env))) @ solution.beta.T for s in job.surveys}

    return predict, certificate(solution)


def own_way(job: Job, kinds: tuple[str, ...]) -> Any:
    """Our estimator with the same kinds of features and the published penalties."""
    model = Maxent(
        features=(*kinds, "categorical"), hinges=HINGES - 1, multiplier=MULTIPLIER, background="uniform"
    ).fit(
        job.sites,
        job.counts,
        background=job.background,
        covariates=list(job.covariates),
        levels=job.levels,
        species=list(job.species),
    )

    def predict() -> dict[str, Array]:
        return {s.name: model.calibration_.combine(model.log_relative(s.env, unseen="baseline")) for s in job.surveys}

    return predict, certificate(model.solution_)


def certificate(solution: Solution) -> dict[str, Any]:
    """Columns of a row about convergence."""
    return {
        "certified": round(float(solution.converged.mean()), 4),
        "largest_gap": float(solution.gap.max()),
        "iterations": round(float(solution.iterations.mean()), 1),
    }


# ------------------------------------------------------------------------------------------------ summary
def summary(rows: list[dict[str, Any]]) -> list[str]:
    """One line per row, then totals."""
    lines = [
        f"{'features':24s}{'region':7s}{'species':>8s}  {'method':16s}{'seconds':>9s}{'faster':>8s}{'AUC':>8s}{'diff':>9s}"
        f"{'ranks':>8s}{'certified':>10s}"
    ]
    for r in rows:
        lines.append(
            f"{r['features']:24s}{r['region']:7s}{r['species']:8d}  {r['method']:16s}{r['seconds']:9.2f}"
            f"{_cell(r, 'times_faster', '8.1f')}{r['auc']:8.4f}{_cell(r, 'auc_difference', '+9.4f')}"
            f"{_cell(r, 'rank_correlation', '8.4f')}{_cell(r, 'certified', '10.3f')}"
        )
    for name in SETS:
        own = {m: [r for r in rows if r["method"] == m and r["features"] == name] for m in METHODS}
        if own["elapid"]:
            for method in METHODS[1:]:
                faster = sum(r["seconds"] for r in own["elapid"]) / sum(r["seconds"] for r in own[method])
                gain = np.mean([r["auc_difference"] for r in own[method]])
                least = min(r["certified"] for r in own[method])
                lines.append(
                    f"{name}, {method}: {faster:.0f} times faster in total, mean AUC of regions {gain:+.4f},"
                    f" {least:.1%} or more of the species certified"
                )
    return lines


def _cell(row: dict[str, Any], key: str, form: str) -> str:
    width = int(form.strip("+").split(".")[0])
    return format(row[key], form) if key in row else " " * width
