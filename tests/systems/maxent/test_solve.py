"""The batched solver against slow plain minimisers, its certificate against the true optimum, and its invariances."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import minimize

from ecotone.systems.maxent.quadratic import l1_quadratic
from ecotone.systems.maxent.solve import Problems, solve


def problem(seed=0, rows=200, features=8, species=4, penalty=0.02, collinear=False):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, features))
    if collinear:  # hinges of one covariate, and one column twice
        knots = np.linspace(-2, 2, features - 2)
        x = np.clip(x[:, :1] - knots, 0, None)
        x = np.column_stack([x, x[:, 0], rng.normal(size=rows)])
    counts = np.zeros((species, rows))
    for j in range(species):
        intensity = np.exp(x @ rng.normal(0, 0.5, x.shape[1]))
        counts[j] = rng.multinomial(10 + 20 * j, intensity / intensity.sum())
    records = sparse.csr_array(counts)
    scale = x.std(0) * rng.uniform(0.5, 2, (species, x.shape[1]))
    return Problems(
        x,
        rng.uniform(0.5, 2, (1, rows)),
        np.zeros(species, int),
        sparse.csr_array((species, rows)),
        records,
        penalty * scale,
    )


def plain_objective(p, j, beta):
    w = p.weight[p.group[j]] + p.added[[j]].toarray()[0]
    n = p.records[[j]].toarray()[0]
    cost = np.where(beta != 0, np.abs(beta) * p.penalty[j], 0).sum()
    z = p.features.astype(float) @ beta
    return np.log((w / w.sum() * np.exp(z)).sum()) - n @ z / n.sum() + cost


def oracle(p, j):
    """The optimum by splitting beta into positive and negative parts, bounded quasi-Newton, float64."""
    x = p.features.astype(float)
    w = p.weight[p.group[j]] + p.added[[j]].toarray()[0]
    w = w / w.sum()
    n = p.records[[j]].toarray()[0]
    mean = n @ x / n.sum()
    f = x.shape[1]

    def both(parts):
        beta = parts[:f] - parts[f:]
        z = x @ beta
        e = w * np.exp(z - z.max())
        slope = e @ x / e.sum() - mean
        value = np.log(e.sum()) + z.max() - mean @ beta + p.penalty[j] @ (parts[:f] + parts[f:])
        return value, np.r_[slope + p.penalty[j], -slope + p.penalty[j]]

    options = {"maxiter": 20000, "maxfun": 200000, "ftol": 1e-15, "gtol": 1e-10}
    return minimize(both, np.zeros(2 * f), jac=True, method="L-BFGS-B", bounds=[(0, None)] * 2 * f, options=options)


@pytest.mark.parametrize("collinear", [False, True])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_optimum_of_a_slow_minimiser(seed, collinear):
    p = problem(seed, collinear=collinear)
    found = solve(p, tolerance=1e-9)
    assert found.converged.all()
    for j in range(4):
        best = oracle(p, j)
        assert found.objective[j] == pytest.approx(plain_objective(p, j, found.beta[j]), abs=1e-12)
        assert found.objective[j] <= best.fun + 1e-9
        assert best.fun - 1e-7 <= found.objective[j]
        if not collinear:
            f = p.features.shape[1]
            np.testing.assert_allclose(found.beta[j], best.x[:f] - best.x[f:], atol=1e-3)


@pytest.mark.parametrize("iterations", [0, 1, 2, 3, 4])
def test_the_gap_bounds_the_distance_to_the_optimum(iterations):
    """Early answers are bad, and the certificate says so; it is honest at every iteration."""
    for seed in range(5):
        p = problem(seed, penalty=0.01, collinear=seed % 2 == 1)
        early = solve(p, tolerance=1e-12, max_iterations=max(iterations, 1)) if iterations else None
        best = solve(p, tolerance=1e-10)
        if early is None:
            continue
        assert (early.gap >= early.objective - best.objective - 1e-10).all()
        assert (early.gap >= -1e-12).all()
        if iterations == 1:
            assert early.gap.max() > 1e-4
            assert not early.converged.all()


def test_gap_by_its_definition():
    """Primal minus dual value of the mixed distribution, written out."""
    p = problem(3)
    found = solve(p, tolerance=1e-12, max_iterations=2)
    x = p.features
    for j in range(4):
        beta = found.beta[j]
        w = p.weight[0] / p.weight[0].sum()
        n = p.records[[j]].toarray()[0]
        records = n / n.sum()
        q = w * np.exp(x @ beta)
        q /= q.sum()
        off = np.abs((q - records) @ x)
        t = max(0.0, (1 - p.penalty[j] / off).max())
        mixed = (1 - t) * q + t * records
        assert (np.abs((mixed - records) @ x) <= p.penalty[j] * (1 + 1e-9)).all()
        dual = -(mixed * np.log(mixed / w)).sum()
        assert found.gap[j] == pytest.approx(plain_objective(p, j, beta) - dual, abs=1e-10)


def test_a_large_penalty_leaves_everything_at_zero():
    p = problem()
    found = solve(replace(p, penalty=np.full_like(p.penalty, 100.0)))
    assert (found.beta == 0).all()
    assert found.converged.all()
    np.testing.assert_array_equal(found.iterations, 0)
    np.testing.assert_allclose(found.objective, 0, atol=1e-12)


def test_forbidden_features_stay_zero():
    p = problem()
    penalty = p.penalty.copy()
    penalty[1, ::2] = np.inf
    found = solve(replace(p, penalty=penalty))
    assert (found.beta[1, ::2] == 0).all()
    assert (found.beta[1, 1::2] != 0).any()
    assert found.converged.all()
    without = solve(replace(p, features=p.features[:, 1::2], penalty=p.penalty[:, 1::2]), tolerance=1e-9)
    assert found.objective[1] == pytest.approx(without.objective[1], abs=1e-5)


# ------------------------------------------------------------------------------------------- no penalty
def test_without_penalty_the_moments_agree_and_are_certified():
    p = problem(1, features=4)
    p = replace(p, penalty=np.zeros_like(p.penalty))
    found = solve(p)
    assert found.converged.all()
    for j in range(4):
        assert 0 <= found.objective[j] - oracle(p, j).fun + 1e-9 <= found.gap[j] + 2e-9


def test_separable_records_end_with_a_verdict():
    """All records at the largest value of a feature: the optimum is at infinity."""
    import ecotone.systems.maxent.solve as module

    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, 2))
    counts = np.zeros((2, 100))
    counts[0, x[:, 0].argmax()] = 5
    counts[1, :50] = 1
    p = Problems(
        x,
        np.ones((1, 100)),
        np.zeros(2, int),
        sparse.csr_array((2, 100)),
        sparse.csr_array(counts),
        np.zeros((2, 2)),
    )
    found = solve(p, tolerance=1e-15, max_iterations=30)
    assert not found.converged[0]
    assert found.iterations[0] == module.FALLING
    assert found.unbounded.tolist() == [True, False]
    assert np.isfinite(found.beta).all()
    # the infimum, all weight on the one site, is approached: within a tolerance it is certified like any other
    assert found.objective[0] == pytest.approx(-np.log(100), abs=1e-3)
    near = solve(p)
    assert near.converged.all()
    assert near.unbounded.tolist() == [True, False]
    assert near.objective[0] + np.log(100) <= near.gap[0] + 1e-12


def test_records_at_a_corner_that_no_single_feature_shows():
    """One record on the rim of a disc: a slanted direction separates it; one in the middle has a finite optimum."""
    angle = np.linspace(0, 2 * np.pi, 80, endpoint=False) + 0.01
    x = np.column_stack([np.cos(angle), np.sin(angle)]) * np.r_[np.ones(79), 0.1][:, None]
    x = np.concatenate([x, x * 0.5])
    counts = np.zeros((3, 160))
    counts[0, 10], counts[1, 79], counts[2, [10, 50]] = 3, 3, 1
    p = Problems(x, np.ones((1, 160)), np.zeros(3, int), sparse.csr_array((3, 160)), sparse.csr_array(counts),
                 np.zeros((3, 2)))  # fmt: skip
    found = solve(p, tolerance=1e-12, max_iterations=40)
    assert found.unbounded.tolist() == [True, False, False]
    assert found.converged[1:].all()
    # with a penalty on one feature only the other can fall for ever, and a rim in its direction is needed
    found = solve(replace(p, penalty=np.tile([0.01, 0.0], (3, 1))), tolerance=1e-12, max_iterations=40)
    assert not found.unbounded.any()


def test_a_stalled_problem_ends_and_small_penalties_converge():
    """The sample of the Hessian once doubled until it overflowed, and the last digits never came."""
    p = problem(11, rows=300, features=60, species=2, penalty=2e-4, collinear=True)
    found = solve(p, tolerance=1e-7, max_iterations=300)
    assert found.converged.all()
    stalled = solve(p, tolerance=1e-30, max_iterations=2000)
    assert not stalled.converged.any()
    assert stalled.iterations.max() < 300


# ------------------------------------------------------------------------------------------- invariances
def test_in_company_and_alone():
    p = problem(4, species=9)
    together = solve(p, tolerance=1e-10)
    for j in (0, 5, 8):
        alone = solve(replace(p, group=p.group[[j]], added=p.added[[j]], records=p.records[[j]], penalty=p.penalty[[j]]),
                      tolerance=1e-10)  # fmt: skip
        np.testing.assert_allclose(alone.beta[0], together.beta[j], atol=1e-4)
        assert alone.objective[0] == pytest.approx(together.objective[j], abs=1e-9)


def test_order_of_rows_shift_and_scale_of_features():
    p = problem(5)
    base = solve(p, tolerance=1e-10)
    order = np.random.default_rng(0).permutation(200)
    shuffled = replace(p, features=p.features[order], weight=p.weight[:, order], records=p.records[:, order],
                       added=p.added[:, order])  # fmt: skip
    scale = np.array([1e3, 1e-2, 1, 5, 1, 1, 2, 0.1])
    scaled = replace(p, features=p.features * scale + 3 * scale, penalty=p.penalty * scale)
    np.testing.assert_allclose(solve(shuffled, tolerance=1e-10).beta, base.beta, atol=1e-4)
    np.testing.assert_allclose(solve(scaled, tolerance=1e-10).beta * scale, base.beta, atol=1e-4)


def test_repeated_records_are_weights():
    p = problem(6)
    twice = replace(p, records=p.records * 2.5)
    np.testing.assert_allclose(solve(twice, tolerance=1e-10).beta, solve(p, tolerance=1e-10).beta, atol=1e-6)


def test_blocks_and_samples_do_not_change_the_answer(monkeypatch):
    import ecotone.systems.maxent.solve as module

    p = problem(7, rows=600, species=7)
    whole = solve(p, tolerance=1e-10)
    monkeypatch.setattr(module, "BLOCK_NUMBERS", 1300)
    monkeypatch.setattr(module, "FIRST_SAMPLE", 32)
    monkeypatch.setattr(module, "PIECE", 77)
    parts = solve(p, tolerance=1e-10)
    assert parts.converged.all()
    np.testing.assert_allclose(parts.beta, whole.beta, atol=1e-4)


# ------------------------------------------------------------------------------------------- inner problem
def test_quadratic_steps_reach_the_optimum_of_plain_coordinate_descent():
    rng = np.random.default_rng(0)
    for trial in range(6):
        a = 6
        root = rng.normal(size=(a, 9))
        root[1] = root[0] + (0 if trial == 0 else 0.05 * rng.normal(size=9))  # the same column, or nearly
        hessian = root @ root.T
        gradient, start = rng.normal(size=a), rng.normal(size=a) * (rng.random(a) < 0.5)
        penalty = np.zeros(a) if trial == 1 else rng.uniform(0.1, 1, a)
        found = l1_quadratic(hessian, gradient, start, penalty, tolerance=1e-12)
        b = start.copy()
        for _ in range(5000):
            for k in range(a):
                free = b[k] - (gradient + hessian @ (b - start))[k] / hessian[k, k]
                b[k] = np.sign(free) * max(abs(free) - penalty[k] / hessian[k, k], 0)

        def value(x, h=hessian, g=gradient, at=start, cost=penalty):
            return g @ (x - at) + (x - at) @ h @ (x - at) / 2 + cost @ np.abs(x)

        assert value(found) <= value(b) + 1e-6
        if trial > 1:
            np.testing.assert_allclose(found, b, atol=0.01)


@pytest.mark.filterwarnings("error")
def test_quadratic_steps_of_hardly_curved_variables_are_finite():
    hessian = np.diag([1.0, 1e-300, 1e-200])
    found = l1_quadratic(hessian, np.array([0.5, -3.0, 3.0]), np.array([0.2, -1.0, 2.0]), np.full(3, 0.1))
    assert np.isfinite(found).all()


@pytest.mark.filterwarnings("error")
def test_a_sample_that_misses_a_rare_feature():
    """A category of two rows among thousands, one of them with a record."""
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.normal(size=6000), np.zeros(6000)])
    x[:2, 1] = 1
    counts = np.zeros((1, 6000))
    counts[0, [0, *range(100, 140)]] = 1
    p = Problems(x, np.ones((1, 6000)), np.zeros(1, int), sparse.csr_array((1, 6000)), sparse.csr_array(counts),
                 np.full((1, 2), 1e-3))  # fmt: skip
    found = solve(p, tolerance=1e-9)
    assert found.converged.all()
    assert found.iterations[0] < 40


def test_quadratic_steps_never_end_above_the_start():
    """Also when a Hessian is wrong or empty, as that of a small sample can be."""
    rng = np.random.default_rng(1)
    for trial in range(40):
        a = 8
        root = rng.normal(size=(a, 3))
        hessian = root @ root.T * (trial % 4 > 0)
        gradient, start = rng.normal(size=a), rng.normal(size=a) * (rng.random(a) < 0.5)
        penalty = rng.uniform(0, 1, a) * (trial % 3 > 0)
        found = l1_quadratic(hessian, gradient, start, penalty)
        move = found - start
        change = gradient @ move + move @ hessian @ move / 2 + penalty @ (np.abs(found) - np.abs(start))
        assert np.isfinite(found).all()
        assert change <= 1e-9
