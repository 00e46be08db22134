"""Training in one batch, and which member learns from which years."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from ecotone.data.simulated.trees import trees
from ecotone.systems.phenology.hybrid.config import HybridConfig
from ecotone.systems.phenology.hybrid.features import Places, features
from ecotone.systems.phenology.hybrid.members import lay_out, stack
from ecotone.systems.phenology.hybrid.model import Hybrid
from ecotone.systems.phenology.hybrid.train import EVERY, train
from ecotone.systems.phenology.hybrid.uncertainty import take

SEASONS = trees(5, sites=2, years=4).seasons
PLACES = Places.of(SEASONS)
F = features(SEASONS, PLACES)
CORE = Hybrid(HybridConfig.parse({"width": 4, "start": "random"}), PLACES)
START = CORE.initial(2, torch.Generator().manual_seed(0), F)
ALL = torch.ones(2, len(SEASONS))
NONE = torch.zeros(2, len(SEASONS))


def run(start: Any = START, f: Any = F, weight: Any = ALL, held_out: Any = NONE, **options: Any) -> Any:
    return train(CORE, start, f, weight, held_out, **{"steps": 12, "learning_rate": 0.05, "outliers": 1e-3, **options})


def close(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    for k in a:
        np.testing.assert_allclose(a[k].numpy(), b[k].numpy(), rtol=2e-3, atol=2e-4, err_msg=k)


def test_fixed_parameters_stay_and_the_start_is_not_touched() -> None:
    before = {k: v.clone() for k, v in START.items()}
    found = run(fixed=("net_in", "base", "negation")).parameters
    assert all(bool((START[k] == v).all()) for k, v in before.items())
    for k in START:
        moved = bool((found[k] != START[k]).any())
        assert moved == (k not in ("net_in", "base", "negation")), k


def test_loss_goes_down() -> None:
    history = run(steps=60).history
    assert history[-1][1] < history[0][1] - 0.1 and [h[0] for h in history] == [0, EVERY, 2 * EVERY, 60]


def test_a_season_of_no_weight_is_not_there() -> None:
    weight = ALL.clone()
    weight[:, [1, 6]] = 0
    rows = torch.tensor([0, 2, 3, 4, 5, 7])
    close(run(weight=weight).parameters, run(f=take(F, rows), weight=ALL[:, rows], held_out=NONE[:, rows]).parameters)


def test_fits_of_a_batch_equal_each_alone() -> None:
    weight = ALL.clone()
    weight[1, :3] = 0
    both = run(weight=weight, together=torch.tensor([0, 1]))
    for k in range(2):
        alone = run({n: v[k : k + 1] for n, v in START.items()}, weight=weight[k : k + 1], held_out=NONE[:1])
        close({n: v[k : k + 1] for n, v in both.parameters.items()}, alone.parameters)
        assert both.steps[k] == alone.steps[0]


def test_members_of_a_fit_stop_where_held_out_years_are_best() -> None:
    weight, judged = ALL.clone(), NONE.clone()
    weight[1, [0, 4]], judged[1, [0, 4]] = 0, 1
    found = run(weight=weight, held_out=judged, steps=60, learning_rate=1.0)
    looks = {step: loss for step, _, loss in found.history}
    best = min(looks, key=lambda step: looks[step])
    assert found.steps == (best, best)
    if best == 0:
        assert all(bool((found.parameters[k] == START[k]).all()) for k in START)
    assert run(steps=25).steps == (25, 25)  # nothing held out: the last pass


@pytest.mark.parametrize(("share", "folds"), [(0.25, 4), (0.5, 2), (0.0, 0)])
def test_folds_cover_each_year_once(share: float, folds: int) -> None:
    year = np.tile(np.arange(1990, 2000), 3)
    rows = np.arange(30) % 7 != 0
    fit = lay_out(year, rows, 3, 2, share)
    assert len(fit.folds) == folds and fit.members == 2 + folds
    weight, judged = fit.weights()
    assert (weight[:2] == rows).all() and not judged[:2].any()
    if folds:
        assert (fit.folds.sum(0) == rows).all()
        for k, fold in enumerate(fit.folds):
            assert not set(year[fold]) & set(year[rows & ~fold])  # whole years
            assert (weight[2 + k] == (rows & ~fold)).all() and (judged[2 + k] == fold).all()
    stacked = stack([fit, fit])
    assert stacked[0].shape == (2 * fit.members, 30)
    assert (lay_out(year, rows, 3, 2, share).folds == fit.folds).all()
    assert not len(lay_out(np.full(30, 2000), rows, 3, 2, share).folds)  # one year cannot be held out
