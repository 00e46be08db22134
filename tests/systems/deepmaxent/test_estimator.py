"""The estimator keeps scikit-learn's manners and its own promises."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import parametrize_with_checks

from ecotone.errors import EcotoneError, EcotoneWarning, InputError, UsageError
from ecotone.species.estimator import as_counts
from ecotone.stats.ranking import auc
from ecotone.systems.deepmaxent.config import PRESETS, Config
from ecotone.systems.deepmaxent.estimator import DeepMaxent

TINY = {"epochs": 2, "width": 8, "blocks": 1, "members": 1, "min_steps": 0}
ONE_SPECIES = "its y is one species present at every site, and nothing is given to compare it with (DA405)"


def tiny(**options):
    return DeepMaxent(**TINY | options)


def data(seed=0, n=80, p=3, s=4):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, p)) * [1, 10, 0.1] + [0, 300, 5]
    y = rng.poisson(0.5, (n, s))
    y[np.arange(n), np.arange(n) % s] += 1
    return x, y, rng.normal(size=(50, p)) * [2, 20, 0.2] + [0, 300, 5]


# ------------------------------------------------------------------------------------------- scikit-learn
def _expected_failures(estimator):
    return {
        "check_estimators_dtypes": ONE_SPECIES,
        "check_fit2d_1feature": ONE_SPECIES,
        "check_requires_y_none": "errors here carry a code and are no ValueError; the words are those asked for",
    }


@parametrize_with_checks([tiny()], expected_failed_checks=_expected_failures)
def test_scikit_learn_conventions(estimator, check):
    if check.func.__name__ == "check_array_api_input":
        return  # needs an environment variable set before scipy is imported; torch is used inside anyway
    check(estimator)


def test_options_are_those_of_the_configuration():
    assert set(DeepMaxent().get_params()) == set(Config.model_fields)
    for name, field in Config.model_fields.items():
        assert DeepMaxent().get_params()[name] == field.default, name
    model = DeepMaxent(width=7, features=("linear", "hinge"))
    again = clone(model)
    assert again is not model
    assert again.get_params() == model.get_params()
    assert again.set_params(width=9).width == 9


def test_presets_fill_what_is_not_given():
    paper = Config.parse(preset="paper").resolved()
    assert (paper.width, paper.blocks, paper.learning_rate, paper.weight_decay) == (250, 2, 2e-4, 3e-4)
    assert (paper.epochs, paper.batch_size, paper.even_batches, paper.schedule) == (100, 250, False, "constant")
    assert (paper.background, paper.smoothing, paper.dropout, paper.features) == ("target_group", 0, 0, ("linear",))
    assert Config.parse(preset="paper", width=3).resolved().width == 3
    for preset, values in PRESETS.items():
        assert all(getattr(Config.parse(preset=preset).resolved(), k) == v for k, v in values.items())
        assert not [k for k, v in Config.parse(preset=preset).resolved().model_dump().items() if v is None]
        Config.parse(**values)  # a preset obeys the limits of its options


# ------------------------------------------------------------------------------------------- forms of y
def test_dense_sparse_and_triples_are_one():
    x, y, cells = data()
    sites, species = np.nonzero(y)
    triples = (sites, species, y[sites, species])
    order = np.random.default_rng(0).permutation(len(sites))
    repeated = (*(np.repeat(a[order], 2) for a in triples[:2]), np.repeat(triples[2][order] / 2, 2))
    forms = [y, y.astype(float).tolist(), sparse.csr_matrix(y), sparse.coo_array(y), triples, repeated]
    answers = [tiny().fit(x, form, background=cells).predict(x) for form in forms]
    assert answers[0].shape == (80, 4)
    for other in answers[1:]:
        np.testing.assert_array_equal(answers[0], other)


def test_one_species_in_one_dimension_needs_a_background():
    x, y, cells = data()
    present = x[y[:, 0] > 0]
    model = tiny().fit(present, np.ones(len(present)), background=cells)
    assert model.background_.kind == "uniform"
    assert "one species" in model.background_.reason
    assert model.predict(x).shape == model.decision_function(x).shape == model.predict_spread(x).shape == (80,)
    with_column = tiny().fit(present, np.ones((len(present), 1)), background=cells)
    np.testing.assert_array_equal(with_column.predict(x)[:, 0], model.predict(x))
    with pytest.raises(InputError) as caught:
        tiny().fit(present, np.ones(len(present)))
    assert caught.value.code == "DA405"
    # visited sites without a record are a target group
    assert tiny().fit(x, y[:, 0]).background_.kind == "target_group"


@pytest.mark.parametrize("kind", ["dense", "sparse", "triples"])
def test_counts_keep_their_numbers(kind):
    _, y, _ = data()
    sites, species = np.nonzero(y)
    form = {"dense": y, "sparse": sparse.coo_matrix(y), "triples": (sites, species, y[sites, species])}[kind]
    counts = as_counts(form, 80, 4)
    assert counts.dtype == np.float32
    np.testing.assert_array_equal(counts.toarray(), y)


# ------------------------------------------------------------------------------------------- answers
@pytest.mark.parametrize("background", ["target_group", "mixture", "uniform"])
def test_scales_over_the_background_in_use(background):
    x, y, cells = data()
    options = {"smoothing": 0.0, "uniform_share": 0.25, "members": 3, "background": background}
    model = tiny(**options).fit(x, y, background=cells)
    share = {"target_group": 0.0, "mixture": 0.25, "uniform": 1.0}[background]
    assert model.background_.uniform_share == share
    everything = np.concatenate([x, cells])
    w = np.r_[np.full(80, (1 - share) / 80), np.full(50, share / 50)]
    np.testing.assert_allclose(w @ model.predict(everything, output="relative"), 1)
    used = {"target_group": 80, "mixture": 80 / 0.75, "uniform": 50}[background]
    np.testing.assert_allclose(used * (w @ model.predict(everything, output="expected_count")), y.sum(0))
    np.testing.assert_allclose(used * (w @ model.predict(everything, output="raw")), 1)
    cloglog = model.predict(everything)
    assert cloglog.min() >= 0
    assert cloglog.max() <= 1
    np.testing.assert_allclose(np.exp(model.decision_function(x)), model.predict(x, output="relative"))


def test_a_row_is_answered_alike_whatever_comes_with_it():
    x, y, cells = data()
    model = tiny(members=2, width=7).fit(x, y, background=cells)
    whole = model.predict(x)
    rows = np.random.default_rng(0).permutation(80)
    np.testing.assert_array_equal(model.predict(x[rows]), whole[rows])
    np.testing.assert_array_equal(np.concatenate([model.predict(x[[i]]) for i in range(5)]), whole[:5])


def test_seeds_decide():
    x, y, cells = data()
    one, same, other = (tiny(seed=s).fit(x, y, background=cells).predict(x) for s in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_thresholds_spread_and_score():
    x, y, cells = data()
    model = tiny(members=3, features=("linear", "quantile")).fit(x, y, background=cells)
    f = model.decision_function(x)
    for j in range(4):
        own = f[y[:, j] > 0, j]
        caught = (own >= model.calibration_.tenth_percentile[j]).mean()
        assert 0.9 <= caught < 0.9 + 1 / len(own) + 1e-9
    members = model.calibration_.scale(model.log_relative(x), "cloglog")
    np.testing.assert_allclose(model.predict_spread(x), members.std(0))
    assert (tiny().fit(x, y).predict_spread(x) == 0).all()
    expected = np.mean([auc(f[:, j], (y[:, j] > 0).astype(float)) for j in range(4)])
    assert model.score(x, y) == pytest.approx(expected)


def test_site_weights_shift_the_background():
    """Doubling the weight of a site is listing it twice, once without records."""
    x, y, cells = data()
    options = {
        "preset": "paper",
        "batch_size": 1000,
        "epochs": 100,
        "learning_rate": 0.01,
        "blocks": 0,
        "weight_decay": 0.0,
    }
    weight = np.r_[np.full(20, 2.0), np.ones(60)]
    weighted = tiny(**options).fit(x, y, background=cells, site_weight=weight)
    twice = tiny(**options).fit(np.r_[x, x[:20]], np.r_[y, np.zeros((20, 4))], background=cells)
    one, other = weighted.decision_function(x), twice.decision_function(x)
    np.testing.assert_allclose(one, other, atol=1e-3)
    assert np.abs(one).max() > 0.5


# ------------------------------------------------------------------------------------------- categories, constants
def test_categories_and_constants():
    x, y, cells = data()
    rng = np.random.default_rng(0)
    x = np.column_stack([x, np.full(80, 3.0), rng.integers(1, 4, 80)])
    cells = np.column_stack([cells, np.full(50, 3.0), rng.integers(1, 4, 50)])
    names = ["a", "b", "c", "flat", "rock"]
    with pytest.warns(EcotoneWarning, match="flat: is constant") as caught:
        model = tiny().fit(x, y, background=cells, covariates=names, levels={"rock": (1, 2, 3)})
    assert [w.message.code for w in caught] == ["DA401"]
    x[0, 4] = 9
    with pytest.raises(InputError, match="rock: category 9") as refused:
        model.predict(x)
    assert refused.value.code == "DA402"
    assert np.isfinite(model.log_relative(x, unseen="baseline")).all()


# ------------------------------------------------------------------------------------------- errors
X, Y, CELLS = data()
WRONG = {
    "negative counts": (lambda: tiny().fit(X, -Y), "DA403"),
    "nan counts": (lambda: tiny().fit(X, np.where(Y > 1, np.nan, Y)), "DA403"),
    "no records": (lambda: tiny().fit(X, 0 * Y), "OC205"),
    "one row less": (lambda: tiny().fit(X, Y[1:]), "DA404"),
    "three dimensions": (lambda: tiny().fit(X, Y[:, :, None]), "DA404"),
    "no y": (lambda: tiny().fit(X, None), "DA404"),
    "text as y": (lambda: tiny().fit(X, np.full((80, 1), "many")), "DA404"),
    "species index": (lambda: tiny().fit(X, ([0, 1], [0, 9], [1, 1]), species=["a", "b"]), "DA404"),
    "site index": (lambda: tiny().fit(X, ([0, 80], [0, 1], [1, 1])), "DA404"),
    "two arrays": (lambda: tiny().fit(X, ([0, 1], [0, 1])), "DA404"),
    "species names": (lambda: tiny().fit(X, Y, species=["a"]), "DA404"),
    "covariate names": (lambda: tiny().fit(X, Y, covariates=["a"]), "DA404"),
    "same names": (lambda: tiny().fit(X, Y, covariates=["a", "b", "a"]), "DA404"),
    "background columns": (lambda: tiny().fit(X, Y, background=CELLS[:, :2]), "DA404"),
    "nan background": (lambda: tiny().fit(X, Y, background=np.where(CELLS > 300, np.nan, CELLS)), "DA403"),
    "site weights": (lambda: tiny().fit(X, Y, site_weight=np.ones(3)), "DA404"),
    "negative weights": (lambda: tiny().fit(X, Y, background=CELLS, background_weight=-np.ones(50)), "DA403"),
    "uniform without cells": (lambda: tiny(background="uniform").fit(X, Y), "DA404"),
    "target group of one": (lambda: tiny(background="target_group").fit(X, np.ones(80)), "DA405"),
    "coordinates": (lambda: tiny().fit(X, Y, background=CELLS, coordinates=np.zeros((3, 2))), "DA404"),
    "width": (lambda: tiny(width=0).fit(X, Y), "US104"),
    "dropout": (lambda: tiny(dropout=1.0).fit(X, Y), "US104"),
    "loss": (lambda: tiny(loss="hinge").fit(X, Y), "US104"),
    "feature kind": (lambda: tiny(features=("cubic",)).fit(X, Y), "US104"),
    "levels": (lambda: tiny().fit(X, Y, levels={"soil": (1,)}), "US101"),
    "output": (lambda: tiny().fit(X, Y).predict(X, output="clog"), "US101"),
    "spread output": (lambda: tiny().fit(X, Y).predict_spread(X, output="clog"), "US101"),
}


@pytest.mark.parametrize("case", WRONG)
def test_errors_are_one_line_with_a_code(case):
    call, code = WRONG[case]
    with pytest.raises(EcotoneError) as caught:
        call()
    assert caught.value.code == code
    assert isinstance(caught.value, UsageError if code.startswith("US") else InputError)
    assert "\n" not in str(caught.value)
    assert " - " in str(caught.value)


@pytest.mark.parametrize("method", ["predict", "decision_function", "predict_spread", "log_relative"])
def test_asking_before_fitting(method):
    with pytest.raises(NotFittedError):
        getattr(tiny(), method)(X)
