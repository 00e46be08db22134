"""Training from disk: batches, losses and the whole estimator equal those from memory."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from stack_material import CPU, PAIR

from ecotone.data.features import FeatureMap
from ecotone.data.site_store import SiteStore
from ecotone.errors import EcotoneWarning, InputError, IntegrityError, UsageError
from ecotone.losses.normalised_poisson import normalised_poisson, with_running_partition
from ecotone.losses.sparse_counts import SparseCounts
from ecotone.species.estimator import SpeciesEstimator
from ecotone.systems.deepmaxent import engine, store_fit
from ecotone.systems.deepmaxent.config import Config
from ecotone.systems.deepmaxent.engine import Member, Sites, StackTask
from ecotone.systems.deepmaxent.estimator import DeepMaxent
from ecotone.systems.deepmaxent.network import StackedNetwork
from ecotone.systems.deepmaxent.recipe import KeyedStream, Stream
from ecotone.systems.deepmaxent.sparse_step import sparse_loss
from ecotone.systems.deepmaxent.streaming import StreamTask, restore
from ecotone.train.task import Position

N, P, S, U = 203, 3, 6, 40
TINY = {"epochs": 3, "width": 8, "blocks": 1, "members": 2, "batch_size": 40, "min_steps": 0, "dropout": 0.3}


def arrays(seed=0, *, weighted=False, cells=True):
    rng = np.random.default_rng(seed)
    x = (rng.normal(size=(N, P)) * [1, 10, 100]).astype(np.float32)
    y = rng.poisson(0.4, (N, S))
    y[:, -1] = 0
    y[7, -1] = 2
    found = {"covariates": x, "counts": sparse.csr_array(y.astype(np.float32)), "xy": rng.normal(size=(N, 2))}
    if weighted:
        found["weight"] = rng.uniform(0.2, 2, N)
    if cells:
        found["background"] = (rng.normal(size=(U, P)) * [1.2, 12, 120]).astype(np.float32)
    return found


def task_of(store, members=PAIR, **options):
    features = FeatureMap.fit(store.sample(10**6).covariates, store.covariates, kinds=("linear", "quantile"))
    return StreamTask(store, features, list(members), Config.parse(TINY | options), CPU)


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stores")
    return {w: SiteStore.from_arrays(folder / str(w), **arrays(weighted=w)) for w in (False, True)}


# ------------------------------------------------------------------------------------------- losses
def _case(seed, members=2, sites=9, species=5):
    rng = np.random.default_rng(seed)
    dense = torch.tensor(rng.poisson(0.3, (members, sites, species)), dtype=torch.float32)
    dense[..., -1] = 0
    place = dense.view(-1).nonzero()[:, 0]
    sparse_counts = SparseCounts(place, dense.view(-1)[place], tuple(dense.shape))
    return rng, dense, sparse_counts


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_sparse_records_are_the_dense_ones(seed):
    rng, dense, counts = _case(seed)
    f = torch.tensor(rng.normal(size=dense.shape), dtype=torch.float32)
    torch.testing.assert_close(counts.dense(), dense)
    torch.testing.assert_close(counts.per_species(), dense.sum(1))
    torch.testing.assert_close(counts.fit(f), (dense * f).sum(1))
    a = torch.tensor(rng.uniform(size=dense.shape[2]), dtype=torch.float32)
    torch.testing.assert_close(counts.times(a).dense(), dense * a)


@pytest.mark.parametrize("weights", ["none", "sites", "species", "both", "zero"])
@pytest.mark.parametrize("blocks", [0, 2])
@pytest.mark.parametrize("hidden", [False, True])
def test_sparse_loss_and_all_its_gradients(weights, blocks, hidden):
    """Value and gradient of every parameter against the plain loss on dense labels, in double precision."""
    rng, dense, counts = _case(1)
    mask = torch.tensor(rng.integers(0, 2, (2, 4))).double() if hidden else None
    network = StackedNetwork(4, 5, width=6, blocks=blocks, seeds=[1, 2], input_mask=mask).double()
    x = torch.tensor(rng.normal(size=(2, 9, 4)))
    dense, counts = dense.double(), SparseCounts(counts.place, counts.values.double(), counts.shape)
    log_weight = torch.tensor(rng.normal(size=(2, 9))) if weights in ("sites", "both", "zero") else None
    if weights == "zero":
        log_weight[0, 3:] = -torch.inf
    species = torch.tensor(rng.uniform(0.2, 2, 5)) if weights in ("species", "both") else None
    masks = [torch.tensor(rng.integers(0, 2, (2, 9, 6)) * 2.0) for _ in range(blocks + 1)] if blocks else None
    plain = normalised_poisson(network(x, masks), dense, log_weight, species)
    sparse_form = normalised_poisson(network(x, masks), counts, log_weight, species)
    fused = sparse_loss(network, x, counts, log_weight, species, masks)
    for other in (sparse_form, fused):
        torch.testing.assert_close(other, plain, rtol=1e-12, atol=1e-14)
        want = torch.autograd.grad(plain, list(network.parameters()), retain_graph=True)
        have = torch.autograd.grad(other * 3, list(network.parameters()))
        for one, two in zip(want, have, strict=True):
            torch.testing.assert_close(two, one * 3, rtol=1e-9, atol=1e-14)


def test_running_partition_takes_sparse_records():
    rng, dense, counts = _case(2)
    f = torch.tensor(rng.normal(size=dense.shape), dtype=torch.float32, requires_grad=True)
    running = torch.tensor(rng.normal(size=(2, 5)), dtype=torch.float32)
    (one, z), (two, y) = (with_running_partition(f, c, running, records=dense.sum(1)) for c in (dense, counts))
    torch.testing.assert_close(one, two)
    torch.testing.assert_close(z, y)
    for a, b in zip(torch.autograd.grad(one, f), torch.autograd.grad(two, f), strict=True):
        torch.testing.assert_close(a, b)


# ------------------------------------------------------------------------------------------- batches
def test_the_constant_memory_order_visits_every_site_once_a_pass():
    stream = KeyedStream(3, 10_007)
    long = stream.take(0, 2 * 10_007)
    for k in (0, 1):
        np.testing.assert_array_equal(np.sort(long[k * 10_007 : (k + 1) * 10_007]), np.arange(10_007))
    np.testing.assert_array_equal(stream.take(10_000, 20), long[10_000:10_020])


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.3])
@pytest.mark.parametrize("normaliser", ["batch", "memory"])
def test_a_batch_is_that_of_memory(stores, monkeypatch, weighted, share, normaliser):
    """With the same order of sites, the tensors are the same bits."""
    monkeypatch.setattr(engine, "Stream", KeyedStream)
    store = stores[weighted]
    members = [Member(1, uniform_share=share), Member(2)]
    options = {"normaliser": normaliser, "background_batch": 7, "dropout": 0.0, "species_weight": 0.5}
    ours = task_of(store, members, **options)
    every, (cells, cell_weight) = store.sample(N), store.background()
    log_weight = np.zeros(N) if every.log_weight is None else every.log_weight
    x, u = (ours.features.transform(values) for values in (every.covariates, cells))
    sites = Sites(x, every.counts, log_weight, u, cell_weight)
    theirs = StackTask(sites, members, ours.config, CPU)
    per = ours.steps_per_epoch()
    assert per == theirs.steps_per_epoch()
    for step in range(2 * per):
        at = Position(step // per, step % per, step)
        one, other = ours.batch(at), theirs.batch(at)
        assert one.keys() == other.keys()
        torch.testing.assert_close(one["counts"].dense(), other["counts"], rtol=0, atol=0)
        for key in one.keys() - {"counts"}:
            exact = key != "records"  # there the mean over sites is summed in another order
            torch.testing.assert_close(one[key], other[key], rtol=0 if exact else 1e-5, atol=0)
    losses = [t.loss(t.module, b)["loss"] for t, b in ((ours, one), (theirs, other))]
    torch.testing.assert_close(*losses)
    torch.testing.assert_close(ours.module.species_weight, theirs.module.species_weight)


def test_another_process_makes_the_same_task(stores, tmp_path):
    ours = task_of(stores[True])
    again = restore(ours.describe(tmp_path), ours.members, ours.config, CPU)
    one, other = (t.batch(Position(0, 2, 2)) for t in (ours, again))
    torch.testing.assert_close(one["features"], other["features"], rtol=0, atol=0)
    assert torch.equal(one["counts"].place, other["counts"].place)


# ------------------------------------------------------------------------------------------- the estimator
@pytest.mark.parametrize(
    ("options", "weighted", "cells"),
    [
        ({"background": "target_group"}, False, False),
        ({"background": "target_group", "smoothing": 5.0, "species_weight": 0.5}, True, True),
        ({"background": "mixture", "normaliser": "memory"}, True, True),
        ({"background": "uniform", "dropout": 0.0}, False, True),
        ({"preset": "paper", "blocks": 0}, False, False),
        ({"loss": "poisson", "background": "mixture"}, True, True),
        ({"loss": "ce"}, False, True),
        ({"loss": "bce", "background": "uniform"}, False, True),
        ({}, False, True),
    ],
)
def test_a_sample_of_everything_gives_the_numbers_of_memory(tmp_path, monkeypatch, options, weighted, cells):
    """Features, background, weights, calibration, thresholds and answers, with the order of sites made the same."""
    monkeypatch.setattr(engine, "Stream", KeyedStream)
    given_arrays = arrays(3, weighted=weighted, cells=cells)
    store = SiteStore.from_arrays(tmp_path / "s", **given_arrays)
    x, y, background = (given_arrays.get(k) for k in ("covariates", "counts", "background"))
    ours = DeepMaxent(**TINY | options).fit_store(store, background_cells=500)
    theirs = DeepMaxent(**TINY | options).fit(
        x,
        y,
        background=background,
        site_weight=given_arrays.get("weight"),
        coordinates=given_arrays["xy"],
        background_cells=500,
    )
    assert ours.features_.to_dict() == theirs.features_.to_dict()
    assert ours.background_ == theirs.background_
    assert (ours.n_features_in_, len(ours.species_)) == (P, S)
    for one, other in zip(ours.network_.parameters(), theirs.network_.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=2e-5)
    mine, its = ours.calibration_.to_dict(), theirs.calibration_.to_dict()
    for name, value in mine.items():
        if name == "max_tss":  # jumps between thresholds of equal skill; compared below, for equal weights
            continue
        np.testing.assert_allclose(value, its[name], rtol=2e-3, atol=2e-3, err_msg=name)
    np.testing.assert_allclose(ours.predict(x), theirs.predict(x), rtol=2e-3, atol=1e-4)


def test_calibration_of_the_same_weights_is_the_same(stores, monkeypatch):
    """Block by block, against the plain way on whole arrays."""
    monkeypatch.setattr(store_fit, "_BLOCK", 20_000)
    monkeypatch.setattr(store_fit, "_ROWS", 50)
    store = stores[True]
    model = DeepMaxent(**TINY, background="mixture").fit_store(store)
    every, (cells, weight) = store.sample(N), store.background()
    streamed, levels = model.calibration_.to_dict(), model.calibration_.cumulative
    model.calibrate(
        every.covariates,
        every.counts,
        cells,
        model.background_.uniform_share,
        site_log_weight=every.log_weight,
        cell_log_weight=weight,
        background_cells=None,
    )
    for name, value in model.calibration_.to_dict().items():
        np.testing.assert_allclose(streamed[name], value, rtol=1e-5, atol=1e-5, err_msg=name)
    np.testing.assert_allclose(levels, model.calibration_.cumulative, rtol=1e-4, atol=1e-4)


def test_drawn_presences(stores):
    store = stores[False]
    dense = store.sample(N).counts.toarray()
    rows, species = store_fit.presences(store, 10**6)
    assert sorted(zip(rows, species, strict=True)) == sorted(zip(*np.nonzero(dense), strict=True))
    rows, species = store_fit.presences(store, 20)
    assert (dense[rows, species] > 0).all()
    held = np.bincount(species, minlength=S)
    assert held[-1] == 1
    assert (np.abs(held[:-1] - 20) < 20).all()


def test_a_small_sample_changes_little(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(6000, 2)).astype(np.float32)
    y = sparse.csr_array(rng.poisson(0.2 * np.exp(np.c_[x, -x[:, 0]].clip(max=2))).astype(np.float32))
    store = SiteStore.from_arrays(tmp_path / "s", x, y)
    options = {**TINY, "epochs": 1, "batch_size": 200, "background": "target_group"}
    some, every = (DeepMaxent(**options).fit_store(store, sample=n) for n in (1500, 10**6))
    np.testing.assert_allclose(some.features_.mean, every.features_.mean, atol=0.1)
    assert np.abs(some.predict(x) - every.predict(x)).mean() < 0.02
    assert np.corrcoef(some.predict(x).ravel(), every.predict(x).ravel())[0, 1] > 0.995
    np.testing.assert_array_equal(some.calibration_.records, every.calibration_.records)
    assert some.calibration_.cells == 6000


def test_only_some_options_make_no_sense(stores, tmp_path):
    with pytest.raises(UsageError, match="memory") as caught:
        DeepMaxent(**TINY, normaliser="full").fit_store(stores[False])
    assert caught.value.code == "US105"
    with pytest.raises(UsageError) as caught:
        task_of(stores[False], [Member(1, rows=np.arange(4))])
    assert caught.value.code == "US105"
    with pytest.raises(UsageError) as caught:
        DeepMaxent(**TINY).fit_store(stores[False], sample=1)
    assert caught.value.code == "US104"
    with pytest.raises(InputError) as caught:
        DeepMaxent(**TINY).fit_store(tmp_path)
    assert caught.value.code == "IO101"


def test_constant_covariates_are_left_out(tmp_path):
    given_arrays = arrays(cells=False)
    given_arrays["covariates"][:, 1] = 5
    store = SiteStore.from_arrays(tmp_path / "s", **given_arrays)
    with pytest.warns(EcotoneWarning, match="x1: is constant"):
        model = DeepMaxent(**TINY).fit_store(store)
    assert model.features_.constant == ("x1",)


def test_rare_categories_are_known_though_the_sample_has_none(tmp_path):
    given_arrays = arrays(cells=False)
    given_arrays["covariates"][:, 0] = 1
    given_arrays["covariates"][5, 0] = 9
    store = SiteStore.from_arrays(tmp_path / "s", **given_arrays, names=["biome", "a", "b"], categorical=["biome"])
    model = DeepMaxent(**TINY).fit_store(store, sample=10)
    assert "biome=9" in model.features_.names


def test_some_species_are_answered_as_among_all(stores):
    model = DeepMaxent(**TINY, background="mixture").fit_store(stores[False])
    x = stores[False].sample(50).covariates.astype(np.float64)
    every = model.log_relative(x)
    np.testing.assert_allclose(model.log_relative_of(x, [4, 1]), every[:, :, [4, 1]], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(SpeciesEstimator.log_relative_of(model, x, [4, 1]), every[:, :, [4, 1]])


def test_a_store_that_changes_during_training_is_refused(tmp_path, monkeypatch):
    store = SiteStore.from_arrays(tmp_path / "s", **arrays())
    original = StreamTask.batch

    def batch(self, at):
        if at.step == 7:
            path = store.folder / "counts.npy"
            content = path.read_bytes()
            path.unlink()
            path.write_bytes(content)
        return original(self, at)

    monkeypatch.setattr(StreamTask, "batch", batch)
    with pytest.raises(IntegrityError) as caught:
        DeepMaxent(**TINY).fit_store(store)
    assert caught.value.code == "IN103"


def test_another_store_or_sample_is_refused_on_resume(stores, tmp_path):
    options = TINY | {"epochs": 1, "background": "mixture"}
    DeepMaxent(**options).fit_store(stores[False], folder=tmp_path / "run")
    other = arrays()
    other["counts"].data[3] += 1
    changed = SiteStore.from_arrays(tmp_path / "other", **other)
    for store, more in ((changed, {}), (stores[False], {"sample": 30})):
        with pytest.raises(IntegrityError) as caught:
            DeepMaxent(**options).fit_store(store, folder=tmp_path / "run", **more)
        assert caught.value.code == "IN103"


def test_a_damaged_store_is_refused_before_training(tmp_path):
    store = SiteStore.from_arrays(tmp_path / "s", **arrays())
    path = store.folder / "covariates.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(IntegrityError) as caught:
        DeepMaxent(**TINY).fit_store(store.folder)
    assert caught.value.code == "IN105"


def test_streams_differ_between_the_two_orders():
    assert (Stream(1, 5000).take(0, 50) != KeyedStream(1, 5000).take(0, 50)).any()


def test_a_model_from_a_store_is_saved_and_loaded_like_any_other(stores, tmp_path):
    from ecotone.explain.extrapolation import SampledConditions
    from ecotone.systems.deepmaxent.system import DeepMaxentSystem

    store = stores[False]
    system = DeepMaxentSystem(**TINY)
    system.estimator = DeepMaxent(**system.config.model_dump()).fit_store(store)
    x = store.sample(50).covariates
    system.sampled, system.stored_inputs = SampledConditions.fit(x.astype(float), store.covariates, ()), {}
    system.save(tmp_path)
    again = DeepMaxentSystem.load(tmp_path)
    np.testing.assert_array_equal(again.estimator.predict(x), system.estimator.predict(x))
    assert again.species == list(store.species)
