"""The recovery benchmark with its plain fit: triangles are found where the truth is one, cold winters are called out."""

from __future__ import annotations

import numpy as np
import pytest

from ecotone.bench.recovery import FITS, Options, named_fit, run
from ecotone.bench.recovery_plain import _residuals, fit_triangle
from ecotone.bench.registry import BENCHES, bench
from ecotone.data.seasons import Seasons
from ecotone.data.simulated.trees import trees
from ecotone.errors import InputError, UsageError
from ecotone.systems.phenology.recovery import FittedResponse, score_response


def test_a_triangle_is_found_where_the_truth_is_one() -> None:
    for seed in (1, 10):
        world = trees(seed, shape="triangular")
        found = score_response(fit_triangle(world.seasons, seed), world)
        assert found["identified"] and found["correlation"] > 0.95 and abs(found["peak_error"]) <= 2
        assert found["coverage_near"] > 0.5


def test_cold_winters_are_called_unidentified() -> None:
    world = trees(0, winters="cold")
    assert not fit_triangle(world.seasons).identified


def test_residuals_equal_a_plain_loop() -> None:
    rng = np.random.default_rng(0)
    warmth = rng.uniform(0, 12, (2, 6, 40)).cumsum(axis=2)
    event, site, start = rng.integers(25, 40, 6), np.array([0, 0, 2, 2, 2, 0]), rng.integers(0, 25, (3, 6))
    found = _residuals(start, warmth, event, site)
    row = 0
    for c in range(3):
        for b in range(2):
            need, rate = np.zeros(6), np.zeros(6)
            for i in range(6):
                total = warmth[b, i, event[i]]
                need[i] = total - (warmth[b, i, start[c, i] - 1] if start[c, i] > 0 else 0)
                rate[i] = max((total - warmth[b, i, event[i] - 7]) / 7, 0.5)
            mean = {s: need[site == s].mean() for s in (0, 2)}
            np.testing.assert_allclose(found[row], [(need[i] - mean[site[i]]) / rate[i] for i in range(6)])
            row += 1


def test_rows_and_lines_of_a_run() -> None:
    def fit(seasons: Seasons, seed: int) -> FittedResponse:
        grid = np.arange(-30.0, 41.0)
        cold = seasons.daily[..., 2].mean() < 8
        return FittedResponse(grid, grid * 0 + 0.5, grid * 0, grid * 0 + 1, identified=not cold)

    result = run(Options(worlds=3, cold=2, sites=2, years=4, seed=7), progress=False, fit=fit)
    assert [(r["winters"], r["seed"]) for r in result.rows] == [
        ("mild", 7),
        ("mild", 8),
        ("mild", 9),
        ("cold", 7),
        ("cold", 8),
    ]
    text = "\n".join(result.lines)
    assert "coverage of 90 % bands 1.000" in text and "outside 0.80 to 0.95" in text
    assert "identified 100.0% (3 of 3)" in text and "identified 0.0% (0 of 2)" in text


def test_names_and_registry() -> None:
    assert "recovery" in BENCHES and bench("recovery").Options is Options
    assert named_fit(next(iter(FITS))) is not None
    with pytest.raises(UsageError, match="is not known") as caught:
        named_fit("triangel")
    assert caught.value.code == "US101" and "triangle" in str(caught.value)
    world = trees(0, sites=1, years=3)
    with pytest.raises(InputError, match="at least ten") as short:
        fit_triangle(world.seasons)
    assert short.value.code == "OC205"
