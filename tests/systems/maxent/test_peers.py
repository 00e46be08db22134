"""The same problems by elapid (scikit-learn's liblinear), by glmnet where R has it, and by DeepMaxent without hidden blocks."""

from __future__ import annotations

import functools
import shutil
import subprocess
import warnings

import numpy as np
import pytest
from scipy import sparse
from scipy.stats import spearmanr

from ecotone.systems.maxent.estimator import Maxent
from ecotone.systems.maxent.regularisation import penalties
from ecotone.systems.maxent.solve import Problems, solve


def world(seed=0, n=60, u=500):
    rng = np.random.default_rng(seed)
    cells = rng.normal(size=(u, 2)) * [5, 300] + [20, 900]
    z = (cells - [20, 900]) / [5, 300]
    intensity = np.exp(1.5 * z[:, 0] - z[:, 0] ** 2 - 0.5 * z[:, 1])
    own = rng.choice(u, n, p=intensity / intensity.sum())
    return cells, cells[own] + rng.normal(0, 0.01, (n, 2))


def value(x, weight, mean, penalty, beta):
    z = x @ beta
    return np.log((weight / weight.sum() * np.exp(z)).sum()) - mean @ beta + penalty @ np.abs(beta)


def test_never_worse_than_elapid_on_its_features_and_penalties():
    models = pytest.importorskip("elapid.models")
    cells, own = world()
    rows = np.r_[own, cells]
    y = np.r_[np.ones(60), np.zeros(500)]
    kinds = ["linear", "quadratic", "hinge"]
    model = models.MaxentModel(
        feature_types=kinds, n_hinge_features=6, beta_multiplier=1.0, use_sklearn=True, transform="raw"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(rows, y)
    x = np.asarray(model.transformer.transform(rows), dtype=float)
    records = sparse.csr_array(y[None])
    weight = np.r_[np.full(60, 0.01), np.ones(500)]
    penalty = np.full((1, x.shape[1]), 1 / (models.estimate_C_from_betas(1.0) * 60))
    found = solve(Problems(x, weight[None], np.zeros(1, int), sparse.csr_array((1, 560)), records, penalty))
    assert found.converged.all()
    mean = x[:60].mean(0)
    theirs = value(x, weight, mean, penalty[0], model.beta_scores_)
    assert found.objective[0] == pytest.approx(value(x, weight, mean, penalty[0], found.beta[0]), abs=1e-12)
    assert found.objective[0] <= theirs + found.gap[0]
    assert theirs - found.objective[0] < 0.1
    ranks = spearmanr(model.predict(cells), x[60:] @ found.beta[0])[0]
    assert ranks > 0.97  # its solver also penalises the intercept, which its features then stand in for


@functools.cache
def has_glmnet():
    if shutil.which("Rscript") is None:
        return False
    answer = subprocess.run(
        ["Rscript", "-e", "cat(requireNamespace('glmnet', quietly=TRUE))"], capture_output=True, text=True, check=False
    )
    return answer.stdout.strip() == "TRUE"


SCRIPT = """
suppressMessages(library(glmnet))
x <- as.matrix(read.csv("x.csv", header=FALSE)); p <- scan("p.csv", quiet=TRUE); reg <- scan("reg.csv", quiet=TRUE)
glmnet.control(pmin=1e-12, fdev=0)
w <- ifelse(p == 1, 1, 100)
path <- 10^seq(4, 0, length.out=200) * mean(reg) * sum(p) / sum(w)
m <- glmnet(x, as.factor(p), family="binomial", standardize=FALSE, penalty.factor=reg, lambda=path, weights=w,
            maxit=1e6, thresh=1e-10)
write(as.numeric(m$beta[, length(m$lambda)]), "beta.csv", ncolumns=1)
"""


def test_same_optimum_as_glmnet_with_the_weights_of_maxnet(tmp_path):
    if not has_glmnet():
        pytest.skip("needs Rscript with the package glmnet")
    cells, own = world(n=40, u=200)
    model = Maxent(features="lqh", hinges=4, tolerance=1e-9).fit(own, np.ones(40), background=cells)
    features = model.features_
    x = features.transform(np.r_[own, own, cells]).astype(float)
    p = np.r_[np.ones(40), np.zeros(240)]
    records = sparse.csr_array(p[None])
    spread = np.ptp(features.transform(cells), axis=0)
    reg = penalties(records, x, features.feature_kinds, np.ones((1, x.shape[1]), bool), spread=spread)[0]
    np.savetxt(tmp_path / "x.csv", x, delimiter=",")
    np.savetxt(tmp_path / "p.csv", p, fmt="%d")
    np.savetxt(tmp_path / "reg.csv", reg)
    subprocess.run(["Rscript", "-e", SCRIPT], cwd=tmp_path, check=True, capture_output=True)
    theirs = np.loadtxt(tmp_path / "beta.csv")
    beta = model.beta_[0, 0]
    weight, mean = np.ones(240), x[:40].mean(0)
    gap = value(x[40:], weight, mean, reg, theirs) - value(x[40:], weight, mean, reg, beta)
    assert -1e-8 <= gap < 1e-4
    assert spearmanr(x[40:] @ theirs, x[40:] @ beta)[0] > 0.9999


def test_deepmaxent_without_blocks_or_penalty_has_the_same_optimum():
    """Its loss is then the unpenalised Maxent objective; full-batch training comes to the certified optimum."""
    from ecotone.systems.deepmaxent.estimator import DeepMaxent

    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, 2))
    y = rng.poisson(np.exp(x @ [[0.5, -0.6], [0.3, 0.4]]))
    exact = Maxent(features="l", multiplier=0, clamp=False, tolerance=1e-9).fit(x, y)
    assert exact.solution_.converged.all()
    recipe = {"preset": "paper", "blocks": 0, "weight_decay": 0.0, "schedule": "cosine", "learning_rate": 0.05}
    deep = DeepMaxent(**recipe, batch_size=1000, epochs=300, min_steps=300, background="target_group").fit(x, y)
    np.testing.assert_allclose(deep.decision_function(x), exact.decision_function(x), atol=2e-3)
    f = deep.decision_function(x)
    reached = np.log(np.exp(f).mean(0)) - (y * f).sum(0) / y.sum(0)
    assert (exact.solution_.objective <= reached + 1e-6).all()
