"""The three normalisers of a step: over the batch, over everything, and remembered."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from stack_material import K, S, U, material, steps_of, task

from ecotone.losses.normalised_poisson import normalised_poisson
from ecotone.systems.deepmaxent.engine import Member
from ecotone.train.task import Position


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.4])
def test_full_normaliser_is_the_exact_one(weighted, share):
    """Batch gradients, weighted by their size, add up to that of the loss over all sites at once."""
    t = task(material(weighted=weighted), [Member(1, uniform_share=share)], normaliser="full", even_batches=False)
    t.network.double()
    total = [torch.zeros_like(p) for p in t.network.parameters()]
    for batch in steps_of(t):
        batch = {k: v.double() for k, v in batch.items() if v is not None} | {"log_weight": None}
        loss = t.loss(t.module, batch)["loss"] * batch["features"].shape[1]
        for kept, g in zip(total, torch.autograd.grad(loss, list(t.network.parameters())), strict=True):
            kept += g
    w = np.exp(t.sites.log_weight) * (1 - share) / K
    everything, records = t.sites.features, t.sites.counts.toarray()
    if share:
        w = np.r_[w, np.full(U, share / U)]
        everything = np.concatenate([everything, t.sites.uniform])
        records = np.concatenate([records, np.zeros((U, S))])
    f = t.network(torch.tensor(everything).double())[0]
    exact = normalised_poisson(f, torch.tensor(records).double(), torch.tensor(np.log(w))) * len(records)
    for kept, g in zip(total, torch.autograd.grad(exact, list(t.network.parameters())), strict=True):
        torch.testing.assert_close(kept, g, rtol=1e-4, atol=1e-6)


def test_full_and_batch_normaliser_agree_on_one_batch_of_everything():
    steps = {}
    for normaliser in ("batch", "full"):
        t = task(normaliser=normaliser, batch_size=1000)
        t.loss(t.module, t.batch(Position(0, 0, 0)))["loss"].backward()
        steps[normaliser] = [p.grad for p in t.network.weights]
    for one, other in zip(*steps.values(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("share", [0.0, 0.4])
def test_memory_remembers_the_partition_of_the_whole(share):
    """With the weights held still, the running normaliser settles at the true one, short last batches and all."""
    t = task(members=[Member(1, uniform_share=share), Member(2)], normaliser="memory", even_batches=False)
    seen = []
    for batch in steps_of(t, epochs=40):
        t.loss(t.module, batch)
        seen.append(t.network.running_log_partition.clone())
    with torch.no_grad():
        at_sites = t.network(torch.from_numpy(t.sites.features)).exp().mean(1)
        at_cells = t.network(torch.from_numpy(t.sites.uniform)).exp().mean(1)
    mixed = torch.stack([(1 - share) * at_sites[0] + share * at_cells[0], at_sites[1]]).log()
    expected = mixed if share else mixed + math.log(10)
    torch.testing.assert_close(torch.stack(seen[60:]).exp().mean(0).log(), expected, rtol=0.02, atol=0.02)


def test_memory_multiplies_the_expected_records():
    """Those of the member's own rows, for as many sites as the batch has."""
    dense = material().counts.toarray()
    rows = np.arange(23)
    members = [Member(1, rows=rows), Member(2, rows=rows + 30)]
    t = task(members=members, normaliser="memory", even_batches=False)
    for k, size in enumerate((10, 10, 3)):
        expected = size * np.stack([dense[:23].mean(0), dense[30:53].mean(0)])
        np.testing.assert_allclose(t.batch(Position(0, k, k))["records"], expected, rtol=1e-6)
