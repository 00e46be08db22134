"""Blocked validation of the background: it leaves the target group only for a gain beyond its standard error."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from ecotone.data.features import FeatureMap
from ecotone.data.simulated.archipelago import archipelago
from ecotone.errors import InputError
from ecotone.stats.ranking import auc
from ecotone.systems.deepmaxent import choose
from ecotone.systems.deepmaxent.choose import FOLDS, MIN_SITES, MIXTURE, REPEATS, choose_share, held_out_auc
from ecotone.systems.deepmaxent.config import Config
from ecotone.systems.deepmaxent.engine import Sites

TINY = Config.parse(width=16, blocks=1, dropout=0.0, epochs=20, min_steps=0).resolved()


def confounded(seed):
    """An archipelago with extreme effort bias: a uniform background would take effort for suitability."""
    world = archipelago(seed, species=8, size=(60, 70), bias=2.0, records=(20, 150))
    table, visited = world.table(), np.flatnonzero(world.counts.sum(1) > 0)
    rocks = tuple(int(v) for v in np.unique(table[:, -1]))
    features = FeatureMap.fit(table, world.names, levels={"rock": rocks})
    cells = features.transform(table[::3])
    counts = sparse.csr_array(world.counts[visited].astype(np.float32))
    sites = Sites(features.transform(table[visited]), counts, np.zeros(len(visited)), cells, np.zeros(len(cells)))
    return sites, world.centres[visited]


def one_mountain(seed):
    """Five lowland species and one of a single mountain. Held out, the mountain asks about heights that no other site has;
    uniform cells say that nothing lives up there.
    """
    rng = np.random.default_rng(seed)
    low, high = 200, 100
    xy = np.concatenate([rng.uniform(0, 10, (low, 2)), 5 + rng.uniform(-0.02, 0.02, (high, 2))])
    height = np.r_[rng.normal(0, 0.05, low), rng.uniform(0, 2, high)]
    x = np.column_stack([height, rng.normal(size=low + high)])
    rate = np.column_stack([np.repeat(0.6 * np.exp(-2.5 * height)[:, None], 5, axis=1), 1.5 * (height > 0.3)])
    y = rng.poisson(rate)
    kept = y.sum(1) > 0
    cells = np.column_stack([rng.uniform(0, 2, 800), rng.normal(size=800)]).astype(np.float32)
    counts = sparse.csr_array(y[kept].astype(np.float32))
    sites = Sites(x[kept].astype(np.float32), counts, np.zeros(kept.sum()), cells, np.zeros(800))
    return sites, xy[kept]


@pytest.mark.parametrize("seed", [0, 1])
def test_confounded_effort_stays_at_the_target_group(seed):
    sites, xy = confounded(seed)
    choice, trial = choose_share(sites, TINY, xy, base=0.02, geographic=True)
    assert choice.kind == "target_group"
    assert choice.uniform_share == 0.02
    assert trial.shares == (0.02, MIXTURE)
    assert trial.gain[1] <= trial.error[1]
    assert trial.splits == FOLDS * REPEATS


@pytest.mark.parametrize("seed", [0, 3])
def test_where_uniform_cells_help_it_leaves(seed):
    sites, xy = one_mountain(seed)
    choice, trial = choose_share(sites, TINY, xy)
    assert choice.kind == "mixture"
    assert choice.uniform_share == MIXTURE
    assert trial.gain[1] > trial.error[1] > 0
    assert f"{trial.gain[1]:+.4f}" in choice.reason


def test_it_is_deterministic():
    sites, xy = one_mountain(1)
    (one, first), (two, second) = (choose_share(sites, TINY, xy) for _ in range(2))
    assert one == two
    for name in ("score", "gain", "error"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


# ------------------------------------------------------------------------------------------- the rule itself
@pytest.mark.parametrize(
    ("gains", "expected"),
    [
        ([0.02, 0.03, 0.04], "mixture"),
        ([0.0, 0.0, 0.0], "target_group"),
        ([-0.02, -0.03, -0.04], "target_group"),
        ([0.09, -0.05, 0.02], "target_group"),  # mean .02, standard error .04
        ([0.0, 0.02, np.nan], "target_group"),  # equal to its standard error
        ([0.01, 0.02, np.nan], "mixture"),  # a species that was never scored does not count
        ([0.5, np.nan, np.nan], "target_group"),  # one species has no standard error
    ],
)
def test_the_gain_must_exceed_its_standard_error(monkeypatch, gains, expected):
    scores = np.stack([np.where(np.isnan(gains), np.nan, 0.7), 0.7 + np.array(gains)])
    monkeypatch.setattr(choose, "train_stack", lambda *a, **k: None)
    monkeypatch.setattr(choose, "held_out_auc", lambda *a: scores)
    sites, xy = one_mountain(0)
    choice, trial = choose_share(sites, TINY, xy)
    assert choice.kind == expected
    known = np.array(gains)[np.isfinite(gains)]
    if len(known) > 1:
        assert trial.species == len(known)
        np.testing.assert_allclose(trial.gain[1], known.mean())
        np.testing.assert_allclose(trial.error[1], known.std(ddof=1) / np.sqrt(len(known)))
    else:
        assert trial is None


@pytest.mark.parametrize("case", ["no coordinates", "few sites", "one place"])
def test_without_a_trial_the_target_group_is_kept(case):
    sites, xy = one_mountain(0)
    if case == "few sites":
        n = MIN_SITES - 1
        sites = Sites(
            sites.features[:n], sites.counts[:n], sites.log_weight[:n], sites.uniform, sites.uniform_log_weight
        )
        xy = xy[:n]
    coordinates = {"no coordinates": None, "one place": np.zeros_like(xy)}.get(case, xy)
    choice, trial = choose_share(sites, TINY, coordinates, base=0.05)
    assert (choice.kind, choice.uniform_share, trial) == ("target_group", 0.05, None)
    assert choice.reason


def test_coordinates_that_do_not_fit():
    sites, xy = one_mountain(0)
    with pytest.raises(InputError) as caught:
        choose_share(sites, TINY, xy[1:])
    assert caught.value.code == "DA404"
    with pytest.raises(InputError) as caught:
        choose_share(sites, TINY, np.full_like(xy, np.nan))
    assert caught.value.code == "DA403"


# ------------------------------------------------------------------------------------------- the score
class Fixed:
    """Stands for a trained stack: (C * D, K, S) log-intensities."""

    def __init__(self, f):
        import torch

        self.f = torch.tensor(f)

    def __call__(self, features):
        return self.f


def test_held_out_score_is_the_mean_over_splits_weighted_by_presences():
    rng = np.random.default_rng(0)
    k, species, candidates = 40, 3, 2
    y = rng.poisson(0.4, (k, species)).astype(np.float32)
    y[:, 2] = 0
    y[3, 2] = 1  # one presence: scored in the one split that holds it out
    fold = rng.integers(0, 3, k)
    splits = [fold != d for d in range(3)]
    f = rng.normal(size=(candidates * 3, k, species))
    empty = np.zeros((0, 1), np.float32)
    sites = Sites(np.zeros((k, 1), np.float32), sparse.csr_array(y), np.zeros(k), empty, np.zeros(0))
    found = held_out_auc(Fixed(f), sites, splits, candidates)
    for c in range(candidates):
        for j in range(species):
            values, weights = [], []
            for d in range(3):
                held = fold == d
                present = y[held, j] > 0
                if 0 < present.sum() < held.sum():
                    values.append(auc(f[c * 3 + d][held, j], present.astype(float)))
                    weights.append(present.sum())
            assert found[c, j] == pytest.approx(np.average(values, weights=weights))


def test_held_out_score_is_undefined_without_presences_or_absences():
    y = np.ones((8, 2), np.float32)
    y[:, 1] = 0
    empty = np.zeros((0, 1), np.float32)
    sites = Sites(np.zeros((8, 1), np.float32), sparse.csr_array(y), np.zeros(8), empty, np.zeros(0))
    splits = [np.arange(8) % 2 == d for d in range(2)]
    assert np.isnan(held_out_auc(Fixed(np.zeros((2, 8, 2))), sites, splits, 1)).all()
