"""A small stack of networks and its material, shared by the tests of the engine."""

from __future__ import annotations

import numpy as np
import torch
from scipy import sparse

from ecotone.systems.deepmaxent.config import Config
from ecotone.systems.deepmaxent.engine import Member, Sites, StackTask
from ecotone.train.task import Position

CPU = torch.device("cpu")
K, U, F, S = 53, 40, 4, 3
PAIR = (Member(1), Member(2))


def material(seed=0, *, k=K, u=U, weighted=False):
    rng = np.random.default_rng(seed)
    log_weight = np.log(rng.uniform(0.2, 2, k)) if weighted else np.zeros(k)
    return Sites(
        rng.normal(size=(k, F)).astype(np.float32),
        sparse.csr_array(rng.poisson(0.6, (k, S)).astype(np.float32)),
        log_weight,
        rng.normal(size=(u, F)).astype(np.float32),
        np.zeros(u),
    )


def task(sites=None, members=PAIR, **options):
    given = {
        "width": 6,
        "blocks": 1,
        "dropout": 0.0,
        "batch_size": 10,
        "epochs": 3,
        "min_steps": 0,
        "background_batch": 7,
    }
    return StackTask(sites or material(), list(members), Config.parse(given | options), CPU)


def steps_of(t, epochs=1):
    per = t.steps_per_epoch()
    return [t.batch(Position(s // per, s % per, s)) for s in range(epochs * per)]
