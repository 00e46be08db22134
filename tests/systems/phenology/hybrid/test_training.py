"""Training of all members at once: what stays, what is left out, when it stops, and that a batch is many single fits."""

from __future__ import annotations

import math
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from tests.systems.phenology.hybrid.worlds import double, made
from torch import Tensor

from ecotone.losses.bloom_day import log_likelihood, with_outliers
from ecotone.systems.phenology.hybrid.config import HybridConfig
from ecotone.systems.phenology.hybrid.features import Places, features
from ecotone.systems.phenology.hybrid.model import Hybrid
from ecotone.systems.phenology.hybrid.train import EVERY, WARM_UP, losses, train

MEMBERS = 4


class Slide:
    """A model of one number per member: progress is that number in every season; remembers what it was asked."""

    def __init__(self, places=None):
        self.seen = []

    def event(self, p, f, plain=False):
        self.seen.append(p["level"].detach()[:, 0].clone())
        z = p["level"].expand(-1, len(f)) + 0 * p["still"]
        return z, z - 1

    def residuals(self, p):
        return []


def censored(f, after):
    """As if seasons were right-censored where said, left-censored elsewhere."""
    after = torch.tensor(after)
    return replace(f, after=after, before=~after)


def rows_of(f, rows):
    return replace(f, **{v.name: getattr(f, v.name)[rows] for v in fields(f) if isinstance(getattr(f, v.name), Tensor)})


@pytest.fixture(scope="module")
def world():
    """Model, start and features of 3 sites x 4 years, in double precision so that sums in another order agree."""
    seasons = made(9)
    places = Places.of(seasons)
    core = Hybrid(HybridConfig(start="random", width=4), places)
    f = features(seasons, places, days=215)
    p = core.initial(MEMBERS, torch.Generator().manual_seed(3), f)
    return core, {k: v.double() for k, v in p.items()}, double(f)


@pytest.fixture(scope="module")
def short(world):
    """The first two seasons, for models that do not look at the weather."""
    return rows_of(world[2], torch.arange(2))


def weights(f, members=MEMBERS, seed=0):
    """Uneven weights, zero where a season says nothing, and a third of the seasons held out by all members but the last."""
    g = torch.Generator().manual_seed(seed)
    usable = f.usable.double().expand(members, -1)
    held = (torch.rand(members, len(f), generator=g) < 0.35).double() * usable
    held[-1] = 0
    return usable * (1 - held) * (0.5 + torch.rand(members, len(f), generator=g, dtype=torch.float64)), held


RECIPE = {"steps": 25, "learning_rate": 0.03, "outliers": 1e-3}


def test_losses_are_those_of_the_likelihood(world):
    core, p, f = world
    z, before = core.event(p, f, plain=True)
    value = log_likelihood(z, before, f.after, f.before)
    torch.testing.assert_close(losses(core, p, f, 0.0), -value)
    torch.testing.assert_close(losses(core, p, f, 0.01), -with_outliers(value, 0.01, f.days, f.after | f.before))
    assert losses(core, p, f, 0.0).shape == (MEMBERS, len(f))


def test_the_loss_falls_and_history_says_so(world):
    core, p, f = world
    weight, held = weights(f)
    passes = []
    found = train(core, p, f, weight, torch.zeros_like(held), watch=passes.append, **RECIPE)
    assert passes == list(range(1, 26)) and found.steps == (25,) * MEMBERS
    assert [step for step, _, _ in found.history] == [0, 20, 25]
    assert all(math.isnan(judged) for _, _, judged in found.history)
    for (_, loss, _), q in zip((found.history[0], found.history[-1]), (p, found.parameters), strict=True):
        plain = (losses(core, q, f, 1e-3) * weight).sum(1) / weight.sum(1)
        assert loss == pytest.approx(float(plain.mean()), rel=1e-6)
    assert found.history[-1][1] < 0.9 * found.history[0][1]
    assert not any(v.requires_grad for v in found.parameters.values())


def test_what_was_handed_in_stays_as_it_was(world):
    core, p, f = world
    before = {k: v.clone() for k, v in p.items()}
    weight, held = weights(f)
    train(core, p, f, weight, held, **{**RECIPE, "steps": 3})
    assert all(torch.equal(p[k], before[k]) and not p[k].requires_grad for k in p)


def test_fixed_parameters_stay(world):
    core, p, f = world
    weight, _ = weights(f)
    fixed = ("net_in", "net_out", "base", "chill_site", "negation")
    found = train(core, p, f, weight, torch.zeros_like(weight), fixed=fixed, **{**RECIPE, "steps": 5}).parameters
    for name in p:
        assert torch.equal(found[name], p[name]) == (name in fixed), name


def test_seasons_of_weight_zero_are_as_good_as_left_out(world):
    core, p, f = world
    weight, _ = weights(f)
    weight[:, [2, 6]] = 0
    rest = torch.tensor([k for k in range(len(f)) if k not in (2, 6)])
    nothing = torch.zeros_like(weight)
    own = train(core, p, f, weight, nothing, **RECIPE)
    less = train(core, p, rows_of(f, rest), weight[:, rest], nothing[:, rest], **RECIPE)
    for name in p:
        torch.testing.assert_close(own.parameters[name], less.parameters[name], rtol=1e-5, atol=1e-6, msg=name)
    assert own.history[-1][1] == pytest.approx(less.history[-1][1], rel=1e-6)


def test_fits_in_one_batch_are_the_fits_alone(world):
    core, p, f = world
    weight, held = weights(f, seed=5)
    together = torch.tensor([0, 0, 1, 1])
    batch = train(core, p, f, weight, held, together=together, **RECIPE)
    for k in range(2):
        rows = torch.nonzero(together == k)[:, 0]
        alone = train(core, {n: v[rows] for n, v in p.items()}, f, weight[rows], held[rows], **RECIPE)
        assert alone.steps == tuple(batch.steps[int(r)] for r in rows)
        for name in p:
            torch.testing.assert_close(batch.parameters[name][rows], alone.parameters[name], rtol=1e-5, atol=1e-6)


def test_it_stops_at_the_best_pass_of_the_held_out_years(short):
    """The level falls all the way; the held-out years like it best at zero, on the way."""
    f = censored(rows_of(short, torch.tensor([0, 0, 1])), [True, True, False])
    weight = torch.tensor([[1.0, 0, 0]] * 3)  # right-censored: the lower the level, the better
    held = torch.tensor([[0.0, 1, 1], [0, 0, 0], [0, 1, 1]])  # one of each kind: best at zero
    start = {"level": torch.tensor([[1.0], [3.0], [2.6]]), "still": torch.zeros(3, 1)}
    core = Slide()
    found = train(
        core, start, f, weight, held, steps=150, learning_rate=0.05, outliers=0.0, together=torch.tensor([0, 0, 1])
    )
    seen = torch.stack(core.seen)  # (passes + 1, members)
    looks = [*range(0, 150, EVERY), 150]
    for judged, members in ((0, (0, 1)), (2, (2,))):
        best = min(looks, key=lambda k: abs(float(seen[k, judged])))
        assert 0 < best < 150
        for m in members:  # the member that is not judged stops with the others of its fit
            assert found.steps[m] == best
            assert float(found.parameters["level"][m, 0]) == float(seen[best, m])
    assert found.steps[0] != found.steps[2]
    level = seen[looks][:, [0, 2]].double().numpy()
    judged = (np.logaddexp(0, level) + np.logaddexp(0, -level)).mean(1) / 2
    assert [h for _, _, h in found.history] == pytest.approx(judged, rel=1e-5)


def test_without_held_out_years_the_last_pass_counts(short):
    start = {"level": torch.tensor([[1.0]]), "still": torch.zeros(1, 1)}
    core = Slide()
    one = torch.ones(1, 2)
    found = train(core, start, censored(short, [True, False]), one, 0 * one, steps=47, learning_rate=0.1, outliers=0.0)
    assert found.steps == (47,) and float(found.parameters["level"]) == float(core.seen[-1])


@pytest.mark.parametrize("schedule", ["cosine", "steps"])
def test_learning_rates_follow_the_schedule(short, schedule):
    """Far from any bloom the gradient is 1, and a pass of Adam moves by the learning rate."""
    start = {"level": torch.tensor([[60.0]], dtype=torch.float64), "still": torch.zeros(1, 1, dtype=torch.float64)}
    core, one = Slide(), torch.ones(1, 2, dtype=torch.float64)
    train(
        core, start, censored(short, [True, True]), one, 0 * one, steps=80, learning_rate=0.2, outliers=0.0,
        fixed=("still",), schedule=schedule,
    )  # fmt: skip
    level = np.array([float(v[0]) for v in core.seen])
    k = np.arange(80)
    cooling = 0.5 * (1 + np.cos(np.pi * k / 80)) if schedule == "cosine" else 0.9 ** (k // 8)
    expected = 0.2 * np.maximum(np.minimum(1, (k + 1) / WARM_UP) * cooling, 0.01)
    assert np.allclose(-np.diff(level), expected, rtol=1e-4)


def test_weight_decay_works_on_the_named_parameters_only(short):
    """`still` has no gradient of its own: with decay it moves towards zero, and the level does as without."""
    start = {"level": torch.tensor([[2.0]]), "still": torch.tensor([[3.0]])}
    one, found = torch.ones(1, 2), []
    for decay in ((0.0, ()), (0.1, ("still",))):
        found.append(
            train(
                Slide(), start, censored(short, [True, True]), one, 0 * one,
                steps=10, learning_rate=0.1, outliers=0.0, decay=decay, schedule="steps",
            ).parameters
        )  # fmt: skip
    assert float(found[0]["still"]) == 3.0 and float(found[1]["still"]) < 2.9
    assert torch.equal(found[0]["level"], found[1]["level"])


def test_priors_count_against_the_sum_of_all_seasons(short):
    """Half the squared deviations beside the sum over seasons: the level settles where both balance."""

    class Drawn(Slide):
        def residuals(self, p):
            return [(p["level"] - 1.0) / 0.5]

    start = {"level": torch.tensor([[1.5]]), "still": torch.zeros(1, 1)}
    weight = torch.tensor([[2.0, 3.0]])
    found = train(
        Drawn(), start, censored(short, [True, True]), weight, 0 * weight, steps=300, learning_rate=0.05, outliers=0.0
    )
    level = float(found.parameters["level"])
    assert 5 / (1 + math.exp(-level)) + (level - 1) / 0.25 == pytest.approx(0, abs=0.01)
