"""What a step sees: order of sites, batch sizes, backgrounds and normalisers, each against a slow account of it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from stack_material import K, U, material, steps_of, task

from ecotone.losses.poisson import poisson
from ecotone.species.background import effective_share
from ecotone.systems.deepmaxent import engine
from ecotone.systems.deepmaxent.config import Config
from ecotone.systems.deepmaxent.engine import Member, Stream, train_stack
from ecotone.train.task import Position


def rows_of(t, batch, member):
    """Which sites a batch holds, found by their features."""
    places = {tuple(row): i for i, row in enumerate(t.sites.features.tolist())}
    return [places.get(tuple(row), -1) for row in batch["features"][member].tolist()]


# ------------------------------------------------------------------------------------------- streams
@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**40), st.integers(1, 30), st.lists(st.tuples(st.integers(0, 200), st.integers(1, 70)), max_size=6)
)
def test_a_stream_depends_on_seed_and_position_only(seed, n, asked):
    long = Stream(seed, n).take(0, 300)
    stream = Stream(seed, n)
    for start, size in asked:  # in any order, forwards and back
        np.testing.assert_array_equal(stream.take(start, size), long[start : start + size])
    for k in range(300 // n):
        assert sorted(long[k * n : (k + 1) * n]) == list(range(n))


def test_streams_differ_by_seed_and_pass():
    one, other = Stream(1, 50).take(0, 100), Stream(2, 50).take(0, 100)
    assert (one[:50] != other[:50]).any()
    assert (one[:50] != one[50:]).any()


# ------------------------------------------------------------------------------------------- batches
def test_short_last_batch_as_published():
    t = task(even_batches=False)
    assert [b["features"].shape[1] for b in steps_of(t)] == [10, 10, 10, 10, 10, 3]
    assert all(b["log_weight"] is None for b in steps_of(t))


def test_even_batches_differ_by_one_site():
    t = task(even_batches=True)
    sizes = [b["features"].shape[1] for b in steps_of(t)]
    assert sum(sizes) == K
    assert max(sizes) - min(sizes) <= 1
    assert len(sizes) == 6


@pytest.mark.parametrize("even", [False, True])
def test_every_pass_visits_every_site_once_for_every_member(even):
    t = task(even_batches=even)
    batches = steps_of(t, epochs=2)
    for member in range(2):
        seen = [i for b in batches for i in rows_of(t, b, member)]
        assert sorted(seen[:K]) == sorted(seen[K:]) == list(range(K))
        assert seen[:K] != seen[K:]


def test_a_batch_is_a_pure_function_of_its_position():
    """Asked for in any order, by another task, as after a resume."""
    members = [Member(1, uniform_share=0.3), Member(2)]
    one, other = (task(members=members) for _ in range(2))
    there = {step: one.batch(Position(step // 6, step % 6, step)) for step in range(18)}
    for step in (17, 3, 11, 0):
        again = other.batch(Position(step // 6, step % 6, step))
        for key, value in again.items():
            assert torch.equal(value, there[step][key])


def test_counts_follow_their_sites():
    t = task()
    dense = t.sites.counts.toarray()
    for batch in steps_of(t):
        for member in range(2):
            np.testing.assert_array_equal(batch["counts"][member].numpy(), dense[rows_of(t, batch, member)])


def test_folds_of_unequal_size_keep_to_their_own_rows():
    folds = [np.arange(0, 53, 2), np.arange(40)]
    t = task(members=[Member(1, rows=folds[0]), Member(2, rows=folds[1])])
    assert t.steps_per_epoch() == math.ceil(round((27 + 40) / 2) / 10)
    batches = steps_of(t, epochs=8)
    for member, own in enumerate(folds):
        seen = [i for b in batches for i in rows_of(t, b, member)]
        assert {b["features"].shape[1] for b in batches} == {10}
        for k in range(len(seen) // len(own)):  # each in whole passes of its own length
            assert sorted(seen[k * len(own) : (k + 1) * len(own)]) == own.tolist()


def test_a_batch_is_never_larger_than_the_smallest_fold():
    t = task(members=[Member(1, rows=np.arange(4)), Member(2)])
    assert {b["features"].shape[1] for b in steps_of(t)} == {4}


def test_sparse_labels_give_the_same_batches(monkeypatch):
    members = [Member(1, uniform_share=0.3), Member(2)]
    dense = steps_of(task(members=members))
    monkeypatch.setattr(engine, "DENSE_LIMIT", 0)
    t = task(members=members)
    assert t._dense is None
    for one, other in zip(dense, steps_of(t), strict=True):
        assert one.keys() == other.keys()
        for key, value in one.items():
            assert torch.equal(value, other[key])
            assert value.dtype == torch.float32


def test_least_number_of_steps_adds_passes():
    assert task(epochs=2, min_steps=0).epochs == 2
    assert task(epochs=2, min_steps=100).epochs == 17  # 6 steps a pass
    t = task(epochs=4, schedule="cosine", learning_rate=0.1)
    rates = [t.learning_rate(s) for s in range(25)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[12] == pytest.approx(0.05)
    assert rates[24] == pytest.approx(0, abs=1e-12)
    assert task(schedule="constant").learning_rate(3) is None


# ------------------------------------------------------------------------------------------- backgrounds in a batch
def test_mixture_gives_each_side_its_share():
    share = 0.3
    t = task(members=[Member(1, uniform_share=share), Member(2, uniform_share=0.0)])
    for batch in steps_of(t):
        size = batch["features"].shape[1] - 7
        w = batch["log_weight"].exp().numpy()
        np.testing.assert_allclose(w[0, :size].sum(), 1 - share, rtol=1e-5)
        np.testing.assert_allclose(w[0, size:].sum(), share, rtol=1e-5)
        np.testing.assert_allclose(w[1], np.r_[np.full(size, 1 / size), np.zeros(7)], rtol=1e-5)
        assert (batch["counts"][:, size:] == 0).all()
        assert all(i == -1 for i in rows_of(t, batch, 0)[size:])


def test_uniform_background_leaves_a_trace_of_the_sites():
    t = task(members=[Member(1, uniform_share=1.0)], even_batches=False)
    share = effective_share(1.0, K, U)
    assert share == pytest.approx(0.99)
    w = t.batch(Position(0, 0, 0))["log_weight"].exp()
    assert w[0, :10].sum().item() == pytest.approx(1 - share, rel=1e-4)


def test_uniform_cells_are_all_visited():
    t = task(members=[Member(1, uniform_share=0.5)])
    cells = {tuple(row): i for i, row in enumerate(t.sites.uniform.tolist())}
    seen = [cells[tuple(row)] for b in steps_of(t, 2) for row in b["features"][0, -7:].tolist()]
    assert sorted(seen[:U]) == sorted(seen[U : 2 * U]) == list(range(U))


def test_site_weights_enter_as_logs():
    sites = material(weighted=True)
    t = task(sites, even_batches=False)
    batch = t.batch(Position(0, 0, 0))
    for member in range(2):
        expected = sites.log_weight[rows_of(t, batch, member)] - math.log(10)
        np.testing.assert_allclose(batch["log_weight"][member], expected, rtol=1e-5)


def test_poisson_gets_weights_of_mean_one():
    t = task(material(weighted=True), loss="poisson", even_batches=False)
    batch = t.batch(Position(0, 0, 0))
    f = t.network(batch["features"])
    w = torch.exp(batch["log_weight"]) * 10
    torch.testing.assert_close(t.loss(t.module, batch)["loss"], poisson(f, batch["counts"], w))


# ------------------------------------------------------------------------------------------- members and training
def test_species_weight_evens_out_species_and_keeps_the_size_of_the_loss():
    records = material().counts.toarray().sum(0)
    for exponent in (0.5, 1.0):
        weight = task(species_weight=exponent)._species_weight().numpy()
        share = weight * records
        assert share.sum() == pytest.approx(records.sum(), rel=1e-5)
        np.testing.assert_allclose(share / share[0], (records / records[0]) ** (1 - exponent), rtol=1e-4)
    assert task(species_weight=0.0)._species_weight() is None


def test_a_stacked_member_is_the_member_trained_alone():
    sites, config = (
        material(),
        Config.parse({"width": 8, "blocks": 2, "dropout": 0.0, "epochs": 3, "batch_size": 10, "preset": "paper"}),
    )
    members = [Member(5), Member(6, rows=None, hidden=np.array([True, False, False, False])), Member(7)]
    stack = train_stack(sites, members, config)
    for m, member in enumerate(members):
        alone = train_stack(sites, [member], config)
        for one, many in zip(alone.weights, stack.weights, strict=True):
            torch.testing.assert_close(one[0], many[m], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("loss", "normaliser"),
    [
        ("maxent", "batch"),
        ("maxent", "full"),
        ("maxent", "memory"),
        ("poisson", "batch"),
        ("ce", "batch"),
        ("bce", "batch"),
    ],
)
def test_every_loss_falls(loss, normaliser):
    sites = material(k=200)
    t = task(
        sites,
        [Member(1, uniform_share=0.2), Member(2)],
        loss=loss,
        normaliser=normaliser,
        dropout=0.2,
        batch_size=50,
        learning_rate=0.01,
    )
    optimizer, values = t.optimizer(), []
    for _ in range(15):
        for batch in steps_of(t):
            optimizer.zero_grad()
            value = t.loss(t.module, batch)["loss"]
            value.backward()
            optimizer.step()
            values.append(value.item())
    assert np.isfinite(values).all()
    assert np.mean(values[-8:]) < np.mean(values[4:12])
