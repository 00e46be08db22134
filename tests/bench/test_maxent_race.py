"""The race's own parts on a simulated job: merged groups, the three ways, the summary."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

from ecotone.bench.jobs import Job, merged
from ecotone.bench.maxent import SETS, equal_problem, first_species, race, summary
from ecotone.data.benchmarks.nceas import Survey


def job(seed, group):
    rng = np.random.default_rng(seed)
    cells, sites, env = (np.column_stack([rng.normal(size=(n, 2)), rng.integers(1, 4, n)]) for n in (300, 60, 100))
    counts = (rng.random((60, 2)) < 1 / (1 + np.exp(2 - 2 * sites[:, :2]))).astype(np.float32)
    counts[:2] = 1
    names = (f"{group}1", f"{group}2")
    pa = (rng.random((100, 2)) < 1 / (1 + np.exp(-2 * env[:, :2]))).astype(int)
    fields = dict.fromkeys(Survey.__dataclass_fields__) | {"name": group, "species": names, "pa": pa, "env": env}
    return Job("AA", group, names, ("a", "b", "soil"), {"soil": (1, 2, 3)}, sites, sparse.csr_array(counts),
               rng.normal(size=(60, 2)), False, cells, (Survey(**fields),))  # fmt: skip


def test_groups_become_one_job():
    one, other = job(0, "x"), replace(job(1, "y"), background=job(0, "x").background)
    both = merged([one, other])
    assert both.species == ("x1", "x2", "y1", "y2")
    np.testing.assert_array_equal(both.counts.toarray()[60:, :2], 0)
    np.testing.assert_array_equal(both.counts.toarray()[60:, 2:], other.counts.toarray())
    few = first_species(both, 3)
    assert few.species == ("x1", "x2", "y1")
    assert [s.species for s in few.surveys] == [("x1", "x2"), ("y1",)]


def test_rows_of_the_race():
    pytest.importorskip("elapid")
    rows = race(first_species(job(0, "x"), 1), "linear+quadratic+hinge")
    assert [r["method"] for r in rows] == ["elapid", "ecotone, equal", "ecotone"]
    assert all(r["certified"] == 1 for r in rows[1:])
    assert all(r["rank_correlation"] > 0.8 and abs(r["auc_difference"]) < 0.1 for r in rows[1:])
    assert "times faster" in summary(rows)[-1]
    transformer, problems = equal_problem(job(0, "x"), SETS["linear+hinge+product"])
    assert problems.features.shape == (360, 2 + 2 * 18 + 1 + 3)
    assert transformer.feature_names_.count("categorical") == 3
