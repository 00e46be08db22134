import random

import numpy as np
import torch

from ecotone.train.noise import generators_kept, reseed, step_seed


def draws():
    return random.random(), float(np.random.random()), float(torch.rand(()))  # noqa: NPY002


def test_seeds_of_steps_are_apart():
    seeds = {step_seed(s, t, r, p) for s in range(4) for t in range(500) for r in range(3) for p in ("step", "batch")}
    assert len(seeds) == 4 * 500 * 3 * 2
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert step_seed(1, 2, 3) == 1756183078030487446


def test_reseeding_sets_every_generator():
    reseed(17)
    first = draws()
    draws()
    reseed(17)
    assert draws() == first
    reseed(18)
    assert all(a != b for a, b in zip(draws(), first, strict=True))


def test_the_caller_gets_its_generators_back():
    reseed(5)
    expected = draws()
    reseed(5)
    with generators_kept():
        reseed(99)
        draws()
    assert draws() == expected
