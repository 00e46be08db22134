"""Log-likelihood of a bloom day against plain differences of logistics, and what far-off and censored seasons do."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from ecotone.losses.bloom_day import LEAST, log_likelihood, with_outliers


def logistic(z):
    return 1 / (1 + np.exp(-np.asarray(z, dtype=np.float64)))


def flags(like, value=False):
    return torch.full(like.shape, value)


def draw(seed=0, shape=(3, 40)):
    """Progress of shape at the end of a day and of the day before, at least 0.01 apart."""
    rng = np.random.default_rng(seed)
    before = rng.normal(size=shape) * 4
    return torch.tensor(before + rng.uniform(0.01, 3, shape)), torch.tensor(before)


def course(days=60, seed=1):
    """(S,) rising progress from well below zero, and that of the days before."""
    z = np.cumsum(np.random.default_rng(seed).uniform(0.01, 0.4, days + 1)) - 5
    return torch.tensor(z[1:]), torch.tensor(z[:-1])


def test_a_bloom_day_is_a_difference_of_logistics():
    z, before = draw()
    found = log_likelihood(z, before, flags(z), flags(z))
    assert np.allclose(found, np.log(logistic(z) - logistic(before)), rtol=1e-9, atol=1e-12)
    assert found.shape == z.shape and bool((found <= 0).all())


def test_censored_seasons_have_their_own_terms():
    z, before = draw(2)
    assert np.allclose(log_likelihood(z, before, flags(z, True), flags(z)), np.log(1 - logistic(z)), rtol=1e-9)
    assert np.allclose(log_likelihood(z, before, flags(z), flags(z, True)), np.log(logistic(z)), rtol=1e-9)
    # one of each kind beside each other, each by its own term
    after, left = flags(z), flags(z)
    after[:, ::3], left[:, 1::3] = True, True
    mixed = log_likelihood(z, before, after, left).numpy()
    plain = np.log(logistic(z) - logistic(before))
    plain[:, ::3] = np.log(1 - logistic(z[:, ::3]))
    plain[:, 1::3] = np.log(logistic(z[:, 1::3]))
    assert np.allclose(mixed, plain, rtol=1e-9)


def test_probabilities_of_all_that_can_happen_sum_to_one():
    z, before = course()
    days = log_likelihood(z, before, flags(z), flags(z)).exp().sum()
    never = log_likelihood(z[-1:], before[-1:], flags(z[-1:], True), flags(z[-1:])).exp()
    earlier = log_likelihood(before[:1], before[:1], flags(z[:1]), flags(z[:1], True)).exp()
    assert float(days + never + earlier) == pytest.approx(1, abs=1e-9)
    shifted = torch.cat([before[:1] - 60, before[1:]])  # nothing has happened before the first day
    days = log_likelihood(z, shifted, flags(z), flags(z)).exp().sum()
    assert float(days + never) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("far", [80.0, -80.0])
@pytest.mark.parametrize("kind", ["on day", "after", "before"])
def test_far_off_days_keep_a_finite_gradient(dtype, far, kind):
    z = torch.tensor([far, far], dtype=dtype, requires_grad=True)
    before = torch.tensor([far - 0.5, far - 1e-9], dtype=dtype, requires_grad=True)
    found = log_likelihood(z, before, flags(z, kind == "after"), flags(z, kind == "before"))
    found.sum().backward()
    assert found.dtype == dtype and bool(torch.isfinite(found).all())
    assert bool(torch.isfinite(z.grad).all())
    if before.grad is not None:  # it has none where only the end of the day counts
        assert bool(torch.isfinite(before.grad).all())
    if kind == "on day" and far > 0:  # much too early: less progress the day before is worth one for one
        assert float(before.grad[0]) == pytest.approx(-1 / math.expm1(0.5) - 1, rel=1e-4)
    if kind == "on day" and far < 0:
        assert float(z.grad[0]) == pytest.approx(1 + 1 / math.expm1(0.5), rel=1e-4)


def test_gradients_are_those_of_finite_differences():
    z, before = draw(3, (2, 6))
    after, left = flags(z), flags(z)
    after[0, 0], left[1, 1] = True, True
    z, before = z.requires_grad_(), before.requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: log_likelihood(a, b, after, left), (z, before))


def test_a_day_without_progress_has_a_tiny_chance():
    z = torch.tensor([0.7], dtype=torch.float64)
    found = log_likelihood(z, z, flags(z), flags(z))
    assert float(found.exp()) == pytest.approx(logistic(0.7) * logistic(-0.7) * LEAST, rel=1e-5)


def test_single_precision_stays_close_to_double():
    z, before = draw(4)
    single = log_likelihood(z.float(), before.float(), flags(z), flags(z))
    assert single.dtype == torch.float32
    assert np.allclose(single, np.log(logistic(z) - logistic(before)), rtol=1e-4, atol=1e-4)


def test_stray_records_are_mixed_in():
    z, before = draw(5)
    censored = flags(z)
    censored[:, ::4] = True
    value = log_likelihood(z, before, censored, flags(z))
    mixed = with_outliers(value, 0.02, 200, censored)
    stray = np.where(censored.numpy(), 0.02 * 0.5, 0.02 / 200)
    assert np.allclose(mixed, np.log(0.98 * np.exp(value.numpy()) + stray), rtol=1e-6, atol=1e-6)
    assert with_outliers(value, 0.0, 200, censored) is value


def test_with_stray_records_the_days_still_sum_to_one():
    z, before = course(days=50)
    before = torch.cat([before[:1] - 60, before[1:]])
    days = with_outliers(log_likelihood(z, before, flags(z), flags(z)), 0.1, 50, flags(z)).exp().sum()
    never = log_likelihood(z[-1:], z[-1:], flags(z[-1:], True), flags(z[-1:])).exp()
    assert float(days + 0.9 * never) == pytest.approx(1, abs=1e-6)


def test_one_misprint_pulls_little():
    """Half a season off, the gradient of a record that may be stray all but vanishes; without it, it is full."""
    z = torch.tensor([40.0], requires_grad=True)
    before = z - 0.5
    plain = log_likelihood(z, before, flags(z), flags(z))
    full = torch.autograd.grad(plain.sum(), z, retain_graph=True)[0]
    mixed = torch.autograd.grad(with_outliers(plain, 1e-3, 274, flags(z)).sum(), z)[0]
    assert abs(float(full)) == pytest.approx(1, abs=1e-3) and abs(float(mixed)) < 1e-6
    assert with_outliers(plain, 1e-3, 274, flags(z)).dtype == torch.float32
