"""With 0 blocks DeepMaxent is multi-response Maxent, a convex problem: it must reach what an independent solver finds."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import spearmanr

from ecotone.systems.deepmaxent.estimator import DeepMaxent

KINDS = ("linear", "quadratic", "hinge")


@pytest.fixture(scope="module")
def world():
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.normal(15, 6, 400), rng.gamma(3, 200, 400), rng.uniform(0, 1, 400)])
    z = (x - x.mean(0)) / x.std(0)
    peaks = [z @ rng.normal(0, 0.8, 3) - 0.4 * (z[:, 0] - rng.normal()) ** 2 for _ in range(4)]
    intensity = np.exp(np.stack(peaks, axis=1))
    y = rng.poisson(1.2 * intensity / intensity.mean(0))
    y[y.sum(1) == 0, 0] = 1
    return x, y


def solved(phi, y, weight_decay):
    """(K, S) f of the penalised multinomial likelihood by L-BFGS in float64, its value, and the objective."""
    sites, species = y.shape
    n = y.sum(0)

    def objective(flat):
        w = flat.reshape(-1, species)
        f = phi @ w
        top = f.max(0)
        e = np.exp(f - top)
        z = e.sum(0)
        value = -(y * (f - top - np.log(z))).sum() / (sites * species) + weight_decay / 2 * (w**2).sum()
        gradient = phi.T @ (n * e / z - y) / (sites * species) + weight_decay * w
        return value, gradient.ravel()

    options = {"maxiter": 5000, "ftol": 1e-14, "gtol": 1e-9}
    found = minimize(objective, np.zeros(phi.shape[1] * species), jac=True, method="L-BFGS-B", options=options)
    return phi @ found.x.reshape(-1, species), found.fun, objective


def linear(**options):
    given = {"preset": "paper", "blocks": 0, "schedule": "cosine", "learning_rate": 0.05, "batch_size": 1000}
    return DeepMaxent(**given | {"epochs": 700} | options)


@pytest.mark.parametrize(("kinds", "decay", "gap"), [(("linear",), 1e-4, 1e-6), (KINDS, 1e-3, 1e-3)])
def test_reaches_the_optimum_of_an_independent_solver(world, kinds, decay, gap):
    x, y = world
    model = linear(features=kinds, hinges=5, weight_decay=decay).fit(x, y)
    phi = model.features_.transform(x).astype(float)
    f, value, objective = solved(phi, y, decay)
    own = model.decision_function(x)
    for j in range(4):
        assert np.corrcoef(own[:, j], f[:, j])[0, 1] > 0.999
    reached = objective(model.network_.weights[0][0].detach().double().numpy().T.ravel())[0]
    assert -1e-6 <= reached - value < gap


def test_small_batches_reach_it_with_the_full_or_remembered_normaliser(world):
    """The normaliser of a batch of 20 sites is plainly biased."""
    x, y = world
    apart = {}
    for kind in ("batch", "memory", "full"):
        model = linear(weight_decay=1e-4, batch_size=20, epochs=120, learning_rate=0.02, normaliser=kind).fit(x, y)
        f, _, _ = solved(model.features_.transform(x).astype(float), y, 1e-4)
        own = model.decision_function(x)
        apart[kind] = np.abs((own - own.mean(0)) - (f - f.mean(0))).max()
    assert apart["full"] < 0.1 < apart["memory"] < 0.5 * apart["batch"]


def test_ranks_sites_as_elapid_does(world):
    """Maxent of another hand, on the same features and the same background; its penalty is L1, ours L2."""
    elapid = pytest.importorskip("elapid")
    x, y = world
    kinds = ("linear", "quadratic")
    own = linear(features=kinds, weight_decay=1e-4).fit(x, y).decision_function(x)
    for j in range(4):
        presences = x[np.repeat(np.arange(len(x)), y[:, j])]
        rows = np.concatenate([presences, x])
        labels = np.r_[np.ones(len(presences)), np.zeros(len(x))]
        peer = elapid.MaxentModel(feature_types=list(kinds), beta_multiplier=0.5, use_sklearn=True, n_cpus=1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            peer.fit(rows, labels)
            theirs = np.asarray(peer.predict(x)).ravel()
        assert spearmanr(own[:, j], theirs)[0] > 0.95
