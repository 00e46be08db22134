"""The NCEAS jobs as arrays: one (region, group) at a time.

Letters: K sites, P predictors, S species, U background cells, n survey sites.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import sparse

from ecotone.data.benchmarks.nceas import Survey, read_region, region_files, regions, sites
from ecotone.data.raster_grid import crs_wkt, is_geographic
from ecotone.errors import InputError
from ecotone.files.fingerprint import cache_key, hash_files
from ecotone.stats.ranking import auc

Array = np.ndarray


@dataclass(frozen=True)
class Job:
    """One training of one method.

    Attributes:
        region: Region code.
        group: Group name.
        species: S names.
        covariates: P names.
        levels: Categorical predictor -> levels seen in background or records.
        sites: (K, P).
        counts: (K, S) records.
        xy: (K, 2).
        geographic: Coordinates are degrees.
        background: (U, P) uniform cells.
        surveys: Presence-absence surveys for the test.
    """

    region: str
    group: str
    species: tuple[str, ...]
    covariates: tuple[str, ...]
    levels: dict[str, tuple[int, ...]]
    sites: Array
    counts: sparse.csr_array
    xy: Array
    geographic: bool
    background: Array
    surveys: tuple[Survey, ...]

    def auc(self, scores: dict[str, Array]) -> dict[str, float]:
        """Species -> AUC on its own survey; `scores` maps survey name -> (n, S)."""
        found: dict[str, float] = {}
        position = {name: j for j, name in enumerate(self.species)}
        for survey in self.surveys:
            columns = [position[name] for name in survey.species]
            values = np.atleast_1d(auc(scores[survey.name][:, columns], survey.pa.astype(float)))
            found |= dict(zip(survey.species, values.tolist(), strict=True))
        return found


def nceas_jobs(folder: str | Path, only: tuple[str, ...] = ()) -> list[Job]:
    """All jobs of the regions that lie in a folder.

    Raises:
        InputError: IO101 when there are none.
    """
    names = [r for r in regions(folder) if not only or r in only]
    if not names:
        raise InputError("IO101", folder, "holds no NCEAS region", "see `ecotone data get nceas`")
    jobs = []
    for name in names:
        region = read_region(folder, name)
        for group, records in region.groups.items():
            found = sites(region, group)
            index = {p: region.predictors.index(p) for p in region.categorical}
            every = np.concatenate([region.background, found.covariates])
            levels = {p: tuple(int(v) for v in np.unique(every[:, i])) for p, i in index.items()}
            jobs.append(
                Job(
                    name,
                    group,
                    records.species,
                    region.predictors,
                    levels,
                    found.covariates,
                    found.counts,
                    found.xy,
                    is_geographic(crs_wkt(region.crs)),
                    region.background,
                    records.surveys,
                )
            )
    return jobs


def nceas_hash(folder: str | Path) -> str:
    """12 digits that name the content of the regions used."""
    paths = [p for name in regions(folder) for p in region_files(folder, name)]
    return cache_key(files=[digest for _, digest in sorted((Path(k).name, v) for k, v in hash_files(paths).items())])[
        :12
    ]


def merged(jobs: list[Job]) -> Job:
    """The jobs of one region as one job of all their species; sites of different groups stay apart.

    Only for methods that compare with uniform cells: a target group of several groups would be another background.
    """
    first = jobs[0]
    return Job(
        first.region,
        "+".join(job.group for job in jobs),
        tuple(name for job in jobs for name in job.species),
        first.covariates,
        {p: tuple(sorted({v for job in jobs for v in job.levels[p]})) for p in first.levels},
        np.concatenate([job.sites for job in jobs]),
        sparse.csr_array(sparse.block_diag([job.counts for job in jobs])),
        np.concatenate([job.xy for job in jobs]),
        first.geographic,
        first.background,
        tuple(survey for job in jobs for survey in job.surveys),
    )
