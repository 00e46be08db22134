"""The estimator keeps scikit-learn's manners and its own promises."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import parametrize_with_checks

from ecotone.errors import EcotoneError, EcotoneWarning, InputError, UsageError
from ecotone.systems.maxent.config import Config
from ecotone.systems.maxent.estimator import Maxent

SMALL = {"hinges": 5, "thresholds": 3}
ONE_SPECIES = "its y is one species present at every site, and nothing is given to compare it with (DA405)"


def small(**options):
    return Maxent(**SMALL | options)


def data(seed=0, n=80, p=3, s=4):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, p)) * [1, 10, 0.1] + [0, 300, 5]
    y = rng.poisson(0.5 * np.exp((x[:, :1] - 0.5) * np.linspace(-1, 1, s)))
    y[np.arange(n), np.arange(n) % s] += 1
    return x, y, rng.normal(size=(150, p)) * [2, 20, 0.2] + [0, 300, 5]


# ------------------------------------------------------------------------------------------- scikit-learn
def _expected_failures(estimator):
    return {
        "check_estimators_dtypes": ONE_SPECIES,
        "check_fit2d_1feature": ONE_SPECIES,
        "check_requires_y_none": "errors here carry a code and are no ValueError; the words are those asked for",
    }


@parametrize_with_checks([small()], expected_failed_checks=_expected_failures)
def test_scikit_learn_conventions(estimator, check):
    if check.func.__name__ == "check_array_api_input":
        return  # needs an environment variable set before scipy is imported
    check(estimator)


def test_options_are_those_of_the_configuration():
    assert set(Maxent().get_params()) == set(Config.model_fields)
    for name, field in Config.model_fields.items():
        assert Maxent().get_params()[name] == field.default, name
    model = Maxent(hinges=7, features=("linear", "hinge"))
    assert clone(model).get_params() == model.get_params()


def test_feature_kinds_can_be_letters_or_words():
    assert Config.parse(features="lqh").features == ("linear", "quadratic", "hinge")
    assert Config.parse(features="LQHP").features == ("linear", "quadratic", "product", "hinge")
    assert Config.parse(features="hinge,linear").features == ("linear", "hinge")
    assert Config.parse(features=["threshold"]).features == ("threshold",)
    assert Config.parse(features="auto").features == "auto"


# ------------------------------------------------------------------------------------------- answers
def test_forms_of_y_are_one():
    x, y, cells = data()
    sites, species = np.nonzero(y)
    forms = [y, sparse.csr_matrix(y), (sites, species, y[sites, species])]
    answers = [small().fit(x, form, background=cells).predict(x) for form in forms]
    for other in answers[1:]:
        np.testing.assert_array_equal(answers[0], other)


@pytest.mark.parametrize("background", ["target_group", "mixture", "uniform"])
def test_scales_over_the_background_in_use(background):
    x, y, cells = data()
    model = small(uniform_share=0.25, background=background).fit(x, y, background=cells)
    share = {"target_group": 0.0, "mixture": 0.25, "uniform": 1.0}[background]
    assert model.background_.uniform_share == share
    assert (model.convergence().verdict == "certified").all()
    everything = np.concatenate([x, cells])
    w = np.r_[np.full(80, (1 - share) / 80), np.full(150, share / 150)]
    np.testing.assert_allclose(w @ model.predict(everything, output="relative"), 1)
    used = {"target_group": 80, "mixture": 80 / 0.75, "uniform": 150}[background]
    np.testing.assert_allclose(used * (w @ model.predict(everything, output="expected_count")), y.sum(0))
    cloglog = model.predict(everything)
    assert 0 <= cloglog.min() < cloglog.max() <= 1
    np.testing.assert_allclose(np.exp(model.decision_function(x)), model.predict(x, output="relative"))


def test_automatic_background():
    x, y, cells = data()
    assert small().fit(x, y, background=cells).background_.kind == "uniform"
    assert small().fit(x, y).background_.kind == "target_group"
    one = small().fit(x[y[:, 0] > 0], np.ones((y[:, 0] > 0).sum()), background=cells)
    assert one.predict(x).shape == one.decision_function(x).shape == one.predict_spread(x).shape == (80,)


def test_a_row_is_answered_alike_whatever_comes_with_it():
    x, y, cells = data()
    model = small(members=2, features="lqpht").fit(x, y, background=cells)
    whole = model.predict(x)
    rows = np.random.default_rng(0).permutation(80)
    np.testing.assert_array_equal(model.predict(x[rows]), whole[rows])
    np.testing.assert_array_equal(np.concatenate([model.predict(x[[i]]) for i in range(5)]), whole[:5])


def test_moments_of_the_prediction_lie_within_the_penalties():
    """The defining property: under the fitted density every feature's mean is near its mean over the records."""
    x, y, _ = data()
    model = small(features="lq", tolerance=1e-10).fit(x, y)
    values = model.features_.transform(x).astype(float)
    density = model.predict(x, output="raw")
    density /= density.sum(0)
    empirical = y / y.sum(0)
    off = np.abs((density - empirical).T @ values)
    sd = np.stack([np.sqrt(np.cov(values.T, fweights=y[:, j]).diagonal()) for j in range(4)])
    n = y.sum(0)[:, None]
    table = np.interp(n, [0, 10, 17, 30, 100], [1.3, 0.8, 0.5, 0.25, 0.05])
    penalty = np.maximum(table / np.sqrt(n) * sd, 0.001 * np.ptp(values, axis=0))
    assert (off <= penalty * 1.001).all()
    held = np.isclose(off, penalty, rtol=1e-3)
    np.testing.assert_array_equal(held, model.beta_[0] != 0)


def test_members_are_bootstrap_replicates():
    x, y, cells = data()
    model = small(members=5, seed=1).fit(x, y, background=cells)
    assert model.log_relative(x).shape == (5, 80, 4)
    assert (model.predict_spread(x) > 0).any()
    np.testing.assert_array_equal(model.predict(x), small(members=5, seed=1).fit(x, y, background=cells).predict(x))
    assert (model.predict(x) != small(members=5, seed=2).fit(x, y, background=cells).predict(x)).any()
    assert (small().fit(x, y, background=cells).predict_spread(x) == 0).all()
    table = model.convergence()
    assert len(table) == 20
    assert (table.verdict == "certified").all()


def test_scale_of_covariates_does_not_matter():
    x, y, cells = data()
    scale, shift = np.array([1000, 0.01, 3]), np.array([5, -7, 100])
    one = small(tolerance=1e-9).fit(x, y, background=cells).decision_function(x)
    other = small(tolerance=1e-9).fit(x * scale + shift, y, background=cells * scale + shift)
    np.testing.assert_allclose(other.decision_function(x * scale + shift), one, atol=1e-3)


def test_species_alone_and_fractional_counts():
    x, y, cells = data()
    many = small(tolerance=1e-9, features="lq").fit(x, y, background=cells).decision_function(x)
    alone = small(tolerance=1e-9, features="lq").fit(x, y[:, 2], background=cells).decision_function(x)
    np.testing.assert_allclose(alone, many[:, 2], atol=1e-4)
    half = small(features="lq", multiplier=0.5).fit(x, y * 0.5, background=cells)
    assert (half.convergence().records == 0.5 * y.sum(0)).all()


def test_site_weights_are_repeated_background_sites():
    x, y, _ = data()
    weight = np.r_[np.full(20, 2.0), np.ones(60)]
    options = {"features": "lq", "tolerance": 1e-9}
    weighted = small(**options).fit(x, y, site_weight=weight).decision_function(x)
    twice = small(**options).fit(np.r_[x, x[:20]], np.r_[y, np.zeros((20, 4))])
    np.testing.assert_allclose(
        weighted, twice.decision_function(x), atol=0.02
    )  # the feature map is fitted on other rows


def test_clamping_holds_the_ends():
    x, y, cells = data()
    model = small(features="lqp").fit(x, y, background=cells)
    far, edge = x[:3].copy(), x[:3].copy()
    far[:, 0], edge[:, 0] = 1e6, cells[:, 0].max()
    np.testing.assert_allclose(model.predict(far), model.predict(edge))
    free = small(features="lqp", clamp=False).fit(x, y, background=cells)
    assert (free.decision_function(far) != free.decision_function(edge)).any()


def test_refit_of_variants_and_tables():
    from ecotone.systems.maxent.assemble import Sites, Variant

    x, y, cells = data()
    names = ["heat", "rain", "ph"]
    model = small(features="lq").fit(x, y, background=cells, covariates=names)
    sites = Sites(x, sparse.csr_array(y.astype(np.float32)), np.zeros(80), cells, np.zeros(150))
    answer = model.refit(sites, [Variant(1.0), Variant(1.0, hidden="heat")])(x)
    assert answer.shape == (2, 80, 4)
    np.testing.assert_allclose(answer[0], model.log_intensity(x)[0])
    table = model.coefficients()
    assert set(table.columns) == {"species", "member", "feature", "kind", "coefficient"}
    assert len(table) == (model.beta_ != 0).sum()
    assert set(table.kind) <= {"linear", "quadratic"}


def test_categories_constants_and_species_without_records():
    x, y, cells = data()
    rng = np.random.default_rng(0)
    x = np.column_stack([x, np.full(80, 3.0), rng.integers(1, 4, 80)])
    cells = np.column_stack([cells, np.full(150, 3.0), rng.integers(1, 4, 150)])
    y = np.column_stack([y, np.zeros(80)])
    names = ["a", "b", "c", "flat", "rock"]
    with pytest.warns(EcotoneWarning, match="flat: is constant"):
        model = small().fit(x, y, background=cells, covariates=names, levels={"rock": (1, 2, 3)})
    assert model.convergence().verdict.tolist() == ["certified"] * 4 + ["no records"]
    np.testing.assert_allclose(model.decision_function(x)[:, 4], 0, atol=1e-12)
    x[0, 4] = 9
    with pytest.raises(InputError, match="rock: category 9") as refused:
        model.predict(x)
    assert refused.value.code == "DA402"
    assert np.isfinite(model.log_relative(x, unseen="baseline")).all()


def test_what_is_not_certified_is_said():
    x, y, cells = data()
    with pytest.warns(EcotoneWarning, match=r"lynx.*certified optimum.*raise max_iterations") as caught:
        model = small(max_iterations=1, tolerance=1e-9).fit(x, y, background=cells, species=["lynx", "b", "c", "d"])
    assert [w.message.code for w in caught] == ["TR502"]
    assert (model.convergence().verdict == "not certified").any()


def test_no_finite_optimum_is_said():
    x, y, cells = data()
    with pytest.warns(EcotoneWarning, match=r"lynx.*no finite optimum.*multiplier above 0") as caught:
        model = small(multiplier=0, features="lqh").fit(x, y, background=cells, species=["lynx", "b", "c", "d"])
    assert {w.message.code for w in caught} == {"TR502"}
    assert set(model.convergence().verdict) == {"no finite optimum"}
    assert model.solution_.iterations.max() <= 20
    assert np.isfinite(model.predict(x)).all()


# ------------------------------------------------------------------------------------------- errors
X, Y, CELLS = data()


def silently(model, x, y, cells):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(x, y, background=cells)


WRONG = {
    "negative counts": (lambda: small().fit(X, -Y), "DA403"),
    "no records": (lambda: small().fit(X, 0 * Y), "OC205"),
    "one row less": (lambda: small().fit(X, Y[1:]), "DA404"),
    "covariate names": (lambda: small().fit(X, Y, covariates=["a"]), "DA404"),
    "background columns": (lambda: small().fit(X, Y, background=CELLS[:, :2]), "DA404"),
    "nan background": (lambda: small().fit(X, Y, background=np.where(CELLS > 300, np.nan, CELLS)), "DA403"),
    "site weights": (lambda: small().fit(X, Y, site_weight=np.ones(3)), "DA404"),
    "uniform without cells": (lambda: small(background="uniform").fit(X, Y), "DA404"),
    "target group of one": (lambda: small(background="target_group").fit(X, np.ones(80)), "DA405"),
    "multiplier": (lambda: small(multiplier=-1).fit(X, Y), "US104"),
    "feature kind": (lambda: small(features=("cubic",)).fit(X, Y), "US104"),
    "no feature kind": (lambda: small(features=()).fit(X, Y), "US104"),
    "nothing varies": (lambda: silently(small(), np.ones((80, 3)), Y, np.ones((150, 3))), "DA404"),
    "only categories and none": (lambda: small(features="c").fit(X, Y, background=CELLS), "DA404"),
    "levels": (lambda: small().fit(X, Y, levels={"soil": (1,)}), "US101"),
    "output": (lambda: small().fit(X, Y).predict(X, output="clog"), "US101"),
}


@pytest.mark.parametrize("case", WRONG)
def test_errors_are_one_line_with_a_code(case):
    call, code = WRONG[case]
    with pytest.raises(EcotoneError) as caught:
        call()
    assert caught.value.code == code
    assert isinstance(caught.value, UsageError if code.startswith("US") else InputError)


@pytest.mark.parametrize("method", ["predict", "decision_function", "predict_spread", "log_relative"])
def test_asking_before_fitting(method):
    with pytest.raises(NotFittedError):
        getattr(small(), method)(X)
