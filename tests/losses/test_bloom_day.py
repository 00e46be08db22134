"""The log-likelihood of a bloom day against the plain difference of logistic functions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from ecotone.losses.bloom_day import LEAST, log_likelihood, with_outliers

NO = torch.zeros(1, dtype=torch.bool)
YES = ~NO


def plain(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


def test_equals_the_plain_difference() -> None:
    rng = np.random.default_rng(0)
    before = rng.uniform(-6, 6, 200)
    z = before + rng.uniform(0.01, 4, 200)
    found = log_likelihood(torch.tensor(z), torch.tensor(before), NO, NO).numpy()
    np.testing.assert_allclose(found, np.log(plain(z) - plain(before)), rtol=1e-10)
    single = log_likelihood(torch.tensor(z), torch.tensor(before), NO, NO)
    narrow = log_likelihood(torch.tensor(z).float(), torch.tensor(before).float(), NO, NO)
    assert narrow.dtype == torch.float32
    np.testing.assert_allclose(narrow.numpy(), single.numpy(), rtol=2e-4)


def test_closed_forms() -> None:
    a = torch.tensor([1.5], dtype=torch.float64)
    # around zero the difference is tanh(a / 2)
    assert float(log_likelihood(a, -a, NO, NO)) == pytest.approx(math.log(math.tanh(0.75)))
    assert float(log_likelihood(a, -a, YES, NO)) == pytest.approx(math.log(1 - 1 / (1 + math.exp(-1.5))))
    assert float(log_likelihood(a, -a, NO, YES)) == pytest.approx(-math.log1p(math.exp(-1.5)))


def test_all_days_before_and_after_add_up_to_one() -> None:
    z = torch.linspace(-7, 5, 40, dtype=torch.float64)
    days = log_likelihood(z[1:], z[:-1], NO, NO).exp().sum()
    later = log_likelihood(z[-1:], z[-2:-1], YES, NO).exp()
    earlier = log_likelihood(z[:1], z[:1], NO, YES).exp()
    assert float(days + later + earlier) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("far", [-80.0, 80.0])
@pytest.mark.parametrize("censored", ["", "after", "before"])
def test_far_off_days_keep_value_and_gradient(far: float, censored: str) -> None:
    z, before = torch.tensor([far], requires_grad=True), torch.tensor([far - 0.5], requires_grad=True)
    value = log_likelihood(z, before, YES if censored == "after" else NO, YES if censored == "before" else NO)
    value.sum().backward()
    assert bool(torch.isfinite(value)) and z.grad is not None and bool(torch.isfinite(z.grad))
    wrong = {"": True, "after": far > 0, "before": far < 0}[censored]
    if wrong:  # drawn back towards the event
        steep = z.grad + (before.grad if before.grad is not None else 0)
        assert abs(float(steep)) == pytest.approx(1, abs=1e-3) and float(steep) * far < 0
        assert float(value.detach()) < -70


def test_a_day_without_warmth_has_a_tiny_chance() -> None:
    z = torch.tensor([0.0], dtype=torch.float64)
    assert float(log_likelihood(z, z, NO, NO)) == pytest.approx(2 * math.log(0.5) + math.log(LEAST), abs=1e-5)


def test_stray_records_bound_the_loss() -> None:
    value = torch.tensor([-500.0, -1.0, -500.0], dtype=torch.float64)
    censored = torch.tensor([False, False, True])
    found = with_outliers(value, 0.01, 274, censored).numpy()
    expected = np.log(0.99 * np.exp(value.numpy()) + 0.01 * np.array([1 / 274, 1 / 274, 0.5]))
    np.testing.assert_allclose(found, expected, rtol=1e-6)  # the shares are float32
    assert with_outliers(value, 0.0, 274, censored) is value
