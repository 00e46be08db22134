"""The inner sum with its own derivative against the plain form and against a loop."""

from __future__ import annotations

import math

import pytest
import torch

from ecotone.systems.phenology.hybrid.release import Released, released


def parts(members=2, seasons=5, days=30, seed=0):
    """Chill, need, slope, warmth (zero after the event) and event."""
    g = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.rand(*shape, generator=g, dtype=torch.float64)

    event = torch.tensor([0, 7, 15, 22, days - 1])[:seasons]
    until = torch.arange(days)[None] <= event[:, None]
    chill = (draw(members, seasons, days) - 0.1).cumsum(-1)
    warmth = draw(members, seasons, days) * 9 * until
    return [chill, draw(members, seasons) * 8 + 1, draw(members, 1) * 8 + 1, warmth], event


def both(form, values, event):
    """Total, last and the gradients of an uneven mixture of them."""
    values = [v.clone().requires_grad_() for v in values]
    total, last = form(*values, event)
    weights = torch.linspace(0.3, 1.7, total.numel(), dtype=torch.float64).view_as(total)
    grads = torch.autograd.grad((total.square() * weights - (3 * last).sin() * weights.flip(1)).sum(), values)
    return total.detach(), last.detach(), grads


def test_it_is_the_sum_of_a_plain_loop():
    (chill, need, slope, warmth), event = parts()
    total, last = released(chill, need, slope, warmth, event)
    for m in range(2):
        for n in range(5):
            terms = [
                float(warmth[m, n, t]) / (1 + math.exp(-float(slope[m, 0] * (chill[m, n, t] / need[m, n] - 1))))
                for t in range(30)
            ]
            assert float(total[m, n]) == pytest.approx(sum(terms), rel=1e-12)
            assert float(last[m, n]) == pytest.approx(terms[int(event[n])], rel=1e-12)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_values_and_gradients_are_those_of_the_plain_form(seed):
    values, event = parts(seed=seed)
    plain, own = both(released, values, event), both(Released.apply, values, event)
    torch.testing.assert_close(own[0], plain[0], rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(own[1], plain[1], rtol=1e-10, atol=1e-12)
    for mine, theirs in zip(own[2], plain[2], strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-11)


def test_the_derivative_is_that_of_finite_differences():
    values, event = parts(members=2, seasons=3, days=24)
    values = [v.requires_grad_() for v in values]
    assert torch.autograd.gradcheck(lambda *v: Released.apply(*v, event), values)


@pytest.mark.parametrize("which", [0, 1])
def test_one_answer_alone_has_its_gradient(which):
    values, event = parts(seed=4)
    grads = []
    for form in (released, Released.apply):
        own = [v.clone().requires_grad_() for v in values]
        grads.append(torch.autograd.grad(form(*own, event)[which].sum(), own))
    for plain, mine in zip(*grads, strict=True):
        torch.testing.assert_close(mine, plain, rtol=1e-9, atol=1e-11)


def test_a_gradient_may_be_asked_twice_and_leaves_its_inputs_alone():
    values, event = parts(seed=5)
    own = [v.clone().requires_grad_() for v in values]
    total, last = Released.apply(*own, event)
    upstream = torch.ones_like(total)
    first = torch.autograd.grad((total, last), own, (upstream, upstream), retain_graph=True)
    second = torch.autograd.grad((total, last), own, (upstream, upstream))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(own, values, strict=True)) and bool((upstream == 1).all())


def test_single_precision_stays_close():
    values, event = parts(seed=6)
    total, last = Released.apply(*[v.float() for v in values], event)
    plain = released(*values, event)
    torch.testing.assert_close(total.double(), plain[0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(last.double(), plain[1], rtol=1e-4, atol=1e-5)
