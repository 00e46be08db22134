"""The normalised Poisson loss against plain loops and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ecotone.losses.normalised_poisson import normalised_poisson, partition, with_running_partition

INF = math.inf


def slow(f, y, w=None, a=None, log_z=None):
    """The formula of the paper with weights, one site, species and member at a time, in float64."""
    f, y = np.asarray(f, float), np.asarray(y, float)
    if f.ndim == 2:
        f, y = f[None], y[None]
        w, log_z = (None if v is None else np.asarray(v)[None] for v in (w, log_z))
    members, sites, species = f.shape
    total = 0.0
    for m in range(members):
        for j in range(species):
            if log_z is not None:
                z = log_z[m][j]
            else:
                mass = sum((1.0 if w is None else w[m][k]) * math.exp(f[m, k, j]) for k in range(sites))
                z = math.log(mass) if mass > 0 else -INF
            for i in range(sites):
                if y[m, i, j]:
                    total -= (1.0 if a is None else a[j]) * y[m, i, j] * (f[m, i, j] - z)
    return total / (sites * species)


def draw(seed=0, members=3, sites=11, species=4):
    rng = np.random.default_rng(seed)
    f = rng.normal(size=(members, sites, species)) * 2
    y = rng.poisson(0.7, size=f.shape).astype(float)
    y[..., -1] = 0  # a species without records
    return torch.tensor(f, requires_grad=True), torch.tensor(y), rng


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("by_species", [False, True])
def test_equals_a_slow_rewrite(weighted, by_species):
    f, y, rng = draw()
    w = rng.uniform(0.1, 3, size=f.shape[:2]) if weighted else None
    a = rng.uniform(0.1, 3, size=f.shape[-1]) if by_species else None
    log_w, weight = (None if v is None else torch.tensor(v) for v in (None if w is None else np.log(w), a))
    value = normalised_poisson(f, y, log_w, weight).item()
    assert value == pytest.approx(slow(f.detach(), y, w, a), rel=1e-12)


def test_one_member_needs_no_leading_dimension():
    f, y, _ = draw(members=1)
    assert normalised_poisson(f[0], y[0]).item() == pytest.approx(normalised_poisson(f, y).item(), rel=1e-14)


def test_is_the_multinomial_log_likelihood():
    """L = -sum y log q / (K N)."""
    f, y, _ = draw(members=1)
    q = torch.softmax(f[0], dim=0)
    assert normalised_poisson(f[0], y[0]).item() == pytest.approx(-(y[0] * q.log()).sum().item() / y[0].numel())


def test_gradient_is_expected_minus_observed():
    """dL/df = (n_j q_ij - y_ij) / (B N), and it sums to 0 over sites."""
    f, y, _ = draw()
    normalised_poisson(f, y).backward()
    n = y.sum(-2, keepdim=True)
    torch.testing.assert_close(f.grad, (n * torch.softmax(f.detach(), -2) - y) / (y.shape[-1] * y.shape[-2]))
    assert f.grad.sum(-2).abs().max() < 1e-15


def test_cross_entropy_per_species():
    """(1/(BN)) sum_j n_j CE(y_j / n_j, q_j)."""
    f, y, _ = draw(members=1)
    n = y[0].sum(0)
    parts = [
        n[j] * torch.nn.functional.cross_entropy(f[0, :, j][None], (y[0, :, j] / n[j])[None])
        for j in range(y.shape[-1])
        if n[j] > 0
    ]
    assert normalised_poisson(f[0], y[0]).item() == pytest.approx(sum(parts).item() / y[0].numel())


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(-50, 50), min_size=4, max_size=4), st.integers(0, 5))
def test_a_constant_per_species_changes_nothing(shift, seed):
    f, y, _ = draw(seed)
    moved = normalised_poisson(f.detach() + torch.tensor(shift), y).item()
    assert moved == pytest.approx(normalised_poisson(f, y).item(), rel=1e-10, abs=1e-12)


def test_members_are_summed_and_do_not_touch_each_other():
    f, y, _ = draw()
    assert normalised_poisson(f, y).item() == pytest.approx(
        sum(normalised_poisson(f[m], y[m]).item() for m in range(3))
    )
    normalised_poisson(f, y).backward()
    alone = f[1].detach().clone().requires_grad_()
    normalised_poisson(alone, y[1]).backward()
    torch.testing.assert_close(f.grad[1], alone.grad)


def test_absent_species_and_excluded_sites_give_neither_value_nor_nan():
    f, y, rng = draw()
    log_w = torch.tensor(rng.normal(size=f.shape[:2]))
    log_w[:, :4] = -INF  # no background, though some hold records
    value = normalised_poisson(f, y, log_w)
    assert value.item() == pytest.approx(slow(f.detach(), y, np.exp(log_w.numpy())), rel=1e-12)
    value.backward()
    assert torch.isfinite(f.grad).all()
    assert (f.grad[..., -1] == 0).all()
    for m in range(3):  # an excluded site without records of a species is pushed nowhere
        for i in range(4):
            assert (f.grad[m, i][y[m, i] == 0] == 0).all()


def test_no_records_at_all_is_zero_even_without_background():
    f, y, _ = draw()
    value = normalised_poisson(f, torch.zeros_like(y), torch.full(f.shape[:2], -INF, dtype=f.dtype))
    assert value.item() == 0.0


def test_counts_are_aggregated_rows():
    """One site with y = 3 and weight 3 is the same as three rows with y = 1."""
    rng = np.random.default_rng(3)
    f, times = torch.tensor(rng.normal(size=(6, 2))), torch.tensor([1, 3, 2, 1, 1, 4])
    y = torch.tensor(rng.integers(0, 2, size=(6, 2)).astype(float))
    rows = torch.repeat_interleave(torch.arange(6), times)
    repeated = normalised_poisson(f[rows], y[rows]) * len(rows)
    together = normalised_poisson(f, y * times[:, None], times.double().log()) * 6
    assert repeated.item() == pytest.approx(together.item(), rel=1e-12)


@pytest.mark.parametrize("case", ["target_group", "uniform", "mixture", "bias", "constant"])
def test_every_background_is_a_log_weight(case):
    """K sites with records, U uniform cells without; the slow side names the background sum outright."""
    rng = np.random.default_rng(4)
    sites, cells, share = 7, 9, 0.3
    f = rng.normal(size=(sites + cells, 3))
    y = np.concatenate([rng.poisson(1.0, size=(sites, 3)), np.zeros((cells, 3))]).astype(float)
    target, uniform = np.r_[np.ones(sites), np.zeros(cells)], np.r_[np.zeros(sites), np.ones(cells)]
    w = {
        "target_group": target,
        "uniform": uniform,
        "mixture": (1 - share) * target / sites + share * uniform / cells,
        "bias": target * np.r_[rng.uniform(0.1, 5, sites), np.ones(cells)],
        "constant": 17.0 * target,
    }[case]
    with np.errstate(divide="ignore"):
        value = normalised_poisson(torch.tensor(f), torch.tensor(y), torch.tensor(np.log(w))).item()
    e = np.exp(f)
    z = {
        "target_group": np.log(e[:sites].sum(0)),
        "uniform": np.log(e[sites:].sum(0)),
        "mixture": np.log((1 - share) * e[:sites].mean(0) + share * e[sites:].mean(0)),
        "bias": np.log((w[:, None] * e).sum(0)),
        "constant": np.log(17 * e[:sites].sum(0)),
    }[case]
    assert value == pytest.approx(-(y * (f - z)).sum() / y.size, rel=1e-12)


def test_given_partition_is_used_as_it_is():
    f, y, rng = draw()
    log_z = rng.normal(size=(3, 4))
    value = normalised_poisson(f, y, None, None, torch.tensor(log_z)).item()
    assert value == pytest.approx(slow(f.detach(), y, log_z=log_z), rel=1e-12)


def test_partition_is_the_weighted_sum():
    f, _, rng = draw()
    w = rng.uniform(size=f.shape[:2])
    expected = np.log((w[..., None] * np.exp(f.detach().numpy())).sum(1))
    np.testing.assert_allclose(partition(f, torch.tensor(np.log(w))).detach(), expected, rtol=1e-12)


# ------------------------------------------------------------------------------------------- remembered normaliser
def _whole(seed=8, sites=400, species=3):
    rng = np.random.default_rng(seed)
    x = torch.tensor(rng.normal(size=(sites, 2)))
    y = torch.tensor(rng.poisson(0.2, size=(sites, species)).astype(float))
    theta = torch.tensor(rng.normal(size=(2, species)), requires_grad=True)
    return x, y, theta


def _gradient(loss, theta):
    (gradient,) = torch.autograd.grad(loss, theta)
    return gradient


def test_running_partition_gives_the_exact_gradient_when_it_is_the_true_one():
    """With Z_running = Z and the whole of the sites as batch nothing is approximate."""
    x, y, theta = _whole()
    f = x @ theta
    exact = _gradient(normalised_poisson(f, y), theta)
    loss, updated = with_running_partition(x @ theta, y, partition(f).detach())
    torch.testing.assert_close(_gradient(loss, theta), exact)
    torch.testing.assert_close(updated, partition(f).detach())
    assert loss.item() == pytest.approx(normalised_poisson(f, y).item())


def _biased_sites(sites):
    """Records that follow one covariate, so that records and normaliser of a batch vary together."""
    x, _, theta = _whole(sites=sites)
    rng = np.random.default_rng(2)
    rate = 0.2 * np.exp(x.numpy() @ np.array([[1.0, 0, -1], [0.5, 1, 0]]))
    return x, torch.tensor(rng.poisson(rate).astype(float)), theta, rng


@pytest.mark.parametrize("size", [5, 40])
def test_mean_over_a_pass_with_the_true_running_partition_is_the_exact_gradient(size):
    x, y, theta, _ = _biased_sites(400)
    f = x @ theta
    exact, true = _gradient(normalised_poisson(f, y), theta), partition(f).detach()
    options = {"records": y.mean(0) * size, "log_scale": math.log(400 / size), "momentum": 1 - 1e-9}
    total = torch.zeros_like(theta)
    for rows in torch.arange(400).view(-1, size):
        loss, _ = with_running_partition(x[rows] @ theta, y[rows], true, **options)
        total += _gradient(loss, theta) * size / 400
    torch.testing.assert_close(total, exact, rtol=1e-6, atol=1e-9)


def test_running_partition_starts_at_the_first_batch_and_then_averages():
    f, y, _ = draw()
    _, first = with_running_partition(f, y, torch.full((3, 4), -INF, dtype=f.dtype), log_scale=0.5)
    torch.testing.assert_close(first, partition(f.detach()) + 0.5)
    _, second = with_running_partition(f + 1.0, y, first, log_scale=0.5, momentum=0.8)
    slow_average = np.log(0.8 * np.exp(first.numpy()) + 0.2 * np.exp(partition(f.detach()).numpy() + 1.5))
    np.testing.assert_allclose(second, slow_average, rtol=1e-12)
    assert not second.requires_grad


def test_memory_removes_most_of_the_bias_of_small_batches():
    """Mean gradient over many batches at fixed weights, against the exact one."""
    x, y, theta, rng = _biased_sites(400)
    size, passes = 5, 25
    exact = _gradient(normalised_poisson(x @ theta, y), theta)
    running = partition(x @ theta).detach()
    options = {"records": y.mean(0) * size, "log_scale": math.log(400 / size), "momentum": 0.98}
    own = kept = torch.zeros_like(theta)
    for _ in range(passes):
        for rows in torch.from_numpy(rng.permutation(400)).view(-1, size):
            own = own + _gradient(normalised_poisson(x[rows] @ theta, y[rows]), theta)
            loss, running = with_running_partition(x[rows] @ theta, y[rows], running, **options)
            kept = kept + _gradient(loss, theta)
    steps = passes * 400 // size
    bias_own, bias_kept = (float((g / steps - exact).norm() / exact.norm()) for g in (own, kept))
    assert bias_own > 0.1
    assert bias_kept < 0.4 * bias_own


def test_batch_normaliser_bias_falls_with_the_batch():
    x, y, theta = _whole(sites=800)
    exact = _gradient(normalised_poisson(x @ theta, y), theta)
    rng = np.random.default_rng(0)
    bias = []
    for size in (5, 40, 400):
        total, passes = torch.zeros_like(theta), 6
        for _ in range(passes):
            for rows in torch.from_numpy(rng.permutation(800)).view(-1, size):
                total += _gradient(normalised_poisson(x[rows] @ theta, y[rows]), theta) * size / 800 / passes
        bias.append(float((total - exact).norm()))
    assert bias[0] > 2 * bias[1] > 4 * bias[2]
