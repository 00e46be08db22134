"""Tuning: one batch equals candidates solved alone, the rule is kept, and what was chosen is stored and shown."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest
from scipy import sparse

from ecotone.errors import InputError
from ecotone.stats.ranking import auc
from ecotone.stats.splits import spatial_blocks
from ecotone.systems.maxent import tune
from ecotone.systems.maxent.assemble import Sites, Variant
from ecotone.systems.maxent.config import Config
from ecotone.systems.maxent.estimator import Maxent
from ecotone.systems.maxent.tune import Tuning, tuning_from

SMALL = {"hinges": 4, "features": "lq"}


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(tune, "MULTIPLIERS", (1.0, 4.0))
    monkeypatch.setattr(tune, "CLASSES", ("auto", ("linear",)))
    monkeypatch.setattr(tune, "TOLERANCE", 1e-9)


def data(seed=0, n=120, s=5):
    rng = np.random.default_rng(seed)
    xy = rng.uniform(0, 10, (n, 2))
    x = np.column_stack([xy[:, 0] + rng.normal(size=n), rng.normal(size=n)])
    y = rng.poisson(np.exp(-0.1 * (x[:, :1] - np.arange(s) * 2) ** 2))
    y[np.arange(n), np.arange(n) % s] += 1
    return x, y, xy, np.column_stack([rng.uniform(0, 10, 200), rng.normal(size=200)])


@pytest.mark.parametrize("background", ["target_group", "uniform"])
def test_scores_are_those_of_models_fitted_alone(short, background):
    x, y, xy, cells = data()
    options = SMALL | {"background": background, "tolerance": 1e-9}
    model = Maxent(**options, tune=True).fit(x, y, background=cells, coordinates=xy)
    found = model.tuning_
    assert found.features == ("lq", "auto", "auto", "l", "l")
    assert found.multipliers == (1, 1, 4, 1, 4)
    folds = spatial_blocks(xy[:, 0], xy[:, 1], size="auto", folds=4, seed=0)
    for c in (0, 4):
        total, amount = np.zeros(5), np.zeros(5)
        for d in range(4):
            train, held = folds != d, folds == d
            own = options | {"features": found.features[c], "multiplier": found.multipliers[c]}
            everything = Maxent(**own).fit(x, y, background=cells)
            sites = Sites(x, sparse.csr_array(y.astype(np.float32)), np.zeros(120), cells, np.zeros(200))
            f = everything.refit(sites, [Variant(float(background == "uniform"), rows=np.flatnonzero(train))])
            present = y[held] > 0
            for j in range(5):
                scores, labels = f(x[held])[0][:, j], present[:, j].astype(float)
                if background == "uniform":
                    scores = np.r_[scores[labels == 1], f(cells)[0][:, j]]
                    labels = np.r_[np.ones(int(labels.sum())), np.zeros(200)]
                if 0 < labels.sum() < len(labels):
                    total[j] += auc(scores, labels) * present[:, j].sum()
                    amount[j] += present[:, j].sum()
        assert found.score[c] == pytest.approx((total / amount).mean(), abs=2e-3)


def test_the_rule_and_the_model_that_follows(short, monkeypatch):
    x, y, xy, cells = data()
    scores = np.array([[0.6, 0.7, 0.8], [0.7, 0.79, 0.91], [0.9, 0.5, 0.9], [0.5, 0.5, 0.5], [0.6, 0.7, 0.8]])
    monkeypatch.setattr(tune, "_scores", lambda *_: (np.stack([scores, scores], 1), np.ones((2, 3))))
    model = Maxent(**SMALL, tune=True).fit(x, y, background=cells, coordinates=xy)
    assert model.tuning_.chosen == 1
    assert model.config_.features == "auto"
    assert model.config_.multiplier == 1
    plain = Maxent(hinges=4, features="auto").fit(x, y, background=cells)
    np.testing.assert_array_equal(model.predict(x), plain.predict(x))
    scores[1] = [0.61, 0.69, 0.8]  # no more than its standard error
    model = Maxent(**SMALL, tune=True).fit(x, y, background=cells, coordinates=xy)
    assert model.tuning_.chosen == 0
    assert "no candidate gained more" in model.tuning_.reason
    np.testing.assert_array_equal(model.predict(x), Maxent(**SMALL).fit(x, y, background=cells).predict(x))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"coordinates": None}, "no coordinates"),
        ({"coordinates": np.zeros((120, 2))}, "no blocks"),
        ({"few": 30}, "30 sites are too few"),
        ({"rare": True}, "no species has the 5 sites"),
    ],
)
def test_what_cannot_be_validated_keeps_the_options(change, reason):
    x, y, xy, cells = data()
    if "few" in change:
        x, y, xy = x[:30], y[:30], xy[:30]
    if "rare" in change:
        y = np.eye(120, 5, dtype=int)
    model = Maxent(**SMALL, tune=True).fit(x, y, background=cells, coordinates=change.get("coordinates", xy))
    assert reason in model.tuning_.reason
    assert model.config_.features == ("linear", "quadratic")
    np.testing.assert_array_equal(model.predict(x), Maxent(**SMALL).fit(x, y, background=cells).predict(x))


def test_one_species_has_its_standard_error_over_folds(short, monkeypatch):
    x, y, xy, cells = data()
    y = y[:, :1]
    model = Maxent(**SMALL, tune=True).fit(x, y, background=cells, coordinates=xy)
    assert model.tuning_.species == 1
    assert np.isfinite(model.tuning_.score).all()
    values = np.full((5, 4, 1), 0.7)
    values[2, :, 0] = [0.8, 0.7, 0.9, 0.0]
    ranked = np.array([[2.0], [1.0], [1.0], [0.0]])  # nothing could be ranked on the last fold
    monkeypatch.setattr(tune, "_scores", lambda *_: (values, ranked))
    found = Maxent(**SMALL, tune=True).fit(x, y, background=cells, coordinates=xy).tuning_
    assert found.gain[2] == pytest.approx(0.1)
    assert found.error[2] == pytest.approx(np.sqrt((0 * 2 + 0.01 + 0.01) / 4 / 2))
    assert found.chosen == 2


def test_coordinates_that_do_not_fit():
    x, y, xy, cells = data()
    with pytest.raises(InputError, match="coordinates") as caught:
        Maxent(**SMALL, tune=True).fit(x, y, background=cells, coordinates=xy[1:])
    assert caught.value.code == "DA404"


def test_stored_and_read_again():
    import json

    found = Tuning(("auto", "lq"), (1.0, 2.0), (0.6, 0.7), (0.0, 0.1), (0.0, 0.01), 5, 4, 1, "it gained")
    assert tuning_from(json.loads(json.dumps(asdict(found)))) == found
    assert tuning_from(None) is None
    assert found.applied(Config()).features == ("linear", "quadratic")
    assert found.applied(Config()).multiplier == 2
    for damaged in ({"gain": [1.0]}, {"chosen": 2}, {"chosen": -1}):
        with pytest.raises(ValueError, match="differ in length"):
            tuning_from(asdict(found) | damaged)


def test_many_species_are_represented_by_some(monkeypatch):
    monkeypatch.setattr(tune, "MAX_SPECIES", 3)
    counts = np.zeros((50, 6))
    for j, n in enumerate([4, 30, 5, 10, 40, 20]):
        counts[:n, j] = 2
    assert tune._species(sparse.csr_array(counts)).tolist() == [2, 4, 5]
