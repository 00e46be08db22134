"""Calibration: every scale keeps its promise over the background, whatever free constants training left."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecotone.errors import InputError
from ecotone.species.outputs import UNITS, Calibration

M, K, S = 3, 50, 4
RECORDS = np.array([5.0, 40.0, 0.0, 300.0])


def draw(seed=0, scale=2.0, *, weighted=False):
    rng = np.random.default_rng(seed)
    f = rng.normal(size=(M, K, S)) * scale + rng.normal(size=(M, 1, S)) * 5
    weight = rng.uniform(0.1, 3, K) if weighted else np.ones(K)
    return f, weight, Calibration.fit(f, weight, RECORDS, cells=K)


@pytest.mark.parametrize("weighted", [False, True])
def test_scales_over_the_background(weighted):
    f, weight, calibration = draw(weighted=weighted)
    w = weight / weight.sum()
    log_relative = calibration.combine(calibration.log_relative(f))
    relative = calibration.scale(log_relative, "relative")
    np.testing.assert_allclose((w[:, None] * relative).sum(0), 1)
    # a site of weight w stands for w * K cells
    np.testing.assert_allclose((w[:, None] * K * calibration.scale(log_relative, "raw")).sum(0), 1)
    counts = (w[:, None] * K * calibration.scale(log_relative, "expected_count")).sum(0)
    np.testing.assert_allclose(counts, RECORDS)
    for m in range(M):  # members one by one as well
        np.testing.assert_allclose((w[:, None] * np.exp(calibration.log_relative(f)[m])).sum(0), 1)


def test_raw_is_the_softmax_over_sites():
    f, _, _ = draw()
    calibration = Calibration.fit(f[:1], np.ones(K), RECORDS, cells=K)
    raw = calibration.scale(calibration.combine(calibration.log_relative(f[:1])), "raw")
    e = np.exp(f[0] - f[0].max(0))
    np.testing.assert_allclose(raw, e / e.sum(0))
    offset = np.log(RECORDS[RECORDS > 0]) - np.log(np.exp(f[0]).sum(0))[RECORDS > 0]  # b_j = log n_j - logsumexp f
    expected = calibration.scale(calibration.combine(calibration.log_relative(f[:1])), "expected_count")
    np.testing.assert_allclose(expected[:, RECORDS > 0], np.exp(f[0][:, RECORDS > 0] + offset))


def test_cloglog_is_that_of_maxnet():
    """1 - exp(-exp(entropy + log raw)), the entropy being that of raw over the background."""
    f, _, calibration = draw()
    log_relative = calibration.combine(calibration.log_relative(f))
    raw = calibration.scale(log_relative, "raw")
    entropy = [-sum(p * np.log(p) for p in raw[:, j]) for j in range(S)]
    np.testing.assert_allclose(calibration.entropy, entropy)
    cloglog = calibration.scale(log_relative, "cloglog")
    np.testing.assert_allclose(cloglog, 1 - np.exp(-np.exp(np.array(entropy) + np.log(raw))))
    # the older scale, with prevalence one half at a typical presence
    odds = np.exp(np.array(entropy)) * raw
    np.testing.assert_allclose(calibration.scale(log_relative, "logistic"), odds / (1 + odds))
    assert cloglog.min() >= 0
    assert cloglog.max() <= 1


def test_a_weighted_background_is_a_repeated_one():
    rng = np.random.default_rng(1)
    f, times = rng.normal(size=(M, K, S)), rng.integers(1, 5, K)
    weighted = Calibration.fit(f, times, RECORDS, cells=times.sum())
    repeated = Calibration.fit(np.repeat(f, times, axis=1), np.ones(times.sum()), RECORDS, cells=times.sum())
    for name in ("log_mean", "log_mean_ensemble", "entropy"):
        np.testing.assert_allclose(getattr(weighted, name), getattr(repeated, name), atol=1e-12)


def test_uniform_intensity_is_typical_everywhere():
    """Without any preference cloglog is 1 - 1/e, as in maxnet."""
    calibration = Calibration.fit(np.zeros((1, K, 2)), np.ones(K), np.ones(2), cells=K)
    np.testing.assert_allclose(calibration.entropy, np.log(K))
    np.testing.assert_allclose(calibration.scale(np.zeros((3, 2)), "cloglog"), 1 - np.exp(-1))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.lists(st.floats(-30, 30), min_size=M * S, max_size=M * S))
def test_free_constants_cancel(seed, shift):
    """What makes species and members comparable: a constant per member and species changes no answer."""
    f, weight, calibration = draw(seed)
    moved = f + np.array(shift).reshape(M, 1, S)
    again = Calibration.fit(moved, weight, RECORDS, cells=K)
    for output in UNITS:
        one = calibration.scale(calibration.combine(calibration.log_relative(f)), output)
        other = again.scale(again.combine(again.log_relative(moved)), output)
        np.testing.assert_allclose(one, other, rtol=1e-7, atol=1e-12)


def test_expected_counts_rank_species_by_their_records_where_they_are_alike():
    f = np.zeros((1, K, S))
    calibration = Calibration.fit(f, np.ones(K), RECORDS, cells=K)
    np.testing.assert_allclose(calibration.scale(np.zeros((1, S)), "expected_count")[0], RECORDS / K)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.floats(0.1, 300))
def test_richness_lies_between_none_and_all(seed, scale):
    f, _, calibration = draw(seed, scale)
    log_relative = calibration.combine(calibration.log_relative(f))
    richness = calibration.richness(log_relative)
    assert richness.shape == (K,)
    assert (richness >= 0).all()
    assert (richness <= S).all()
    expected = calibration.scale(log_relative, "expected_count")
    np.testing.assert_allclose(richness, sum(1 - np.exp(-expected[:, j]) for j in range(S)), atol=1e-12)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("size", [1e3, 1e5, 1e30])
def test_huge_intensities_do_not_overflow(size):
    f = np.linspace(-size, size, K)[None, :, None] * np.ones((M, 1, S))
    calibration = Calibration.fit(f, np.ones(K), RECORDS, cells=K)
    elsewhere = calibration.combine(calibration.log_relative(np.full((M, 2, S), 2 * size)))
    for log_relative in (calibration.combine(calibration.log_relative(f)), elsewhere):
        for output in UNITS:
            assert np.isfinite(calibration.scale(log_relative, output).astype(np.float32)).all()
        assert (calibration.scale(log_relative, "cloglog") <= 1).all()
        assert np.isfinite(calibration.richness(log_relative)).all()
    assert np.isfinite(calibration.entropy).all()


def test_stored_and_read_again():
    f, _, calibration = draw(weighted=True)
    from dataclasses import replace

    whole = replace(calibration, tenth_percentile=np.arange(4.0), max_tss=np.arange(4.0) / 3)
    again = Calibration.from_dict(json.loads(json.dumps(whole.to_dict(), allow_nan=False)), M, S, whole.cumulative)
    for output in UNITS:
        np.testing.assert_array_equal(
            again.scale(again.combine(again.log_relative(f)), output),
            whole.scale(whole.combine(whole.log_relative(f)), output),
        )
    np.testing.assert_array_equal(again.max_tss, whole.max_tss)


@pytest.mark.parametrize(
    "change", [{"entropy": [1.0]}, {"log_mean": [[0.0] * S]}, {"cells": 0.0}, {"cells": "many"}, {"records": None}]
)
def test_damaged_calibration_is_refused(change):
    _, _, calibration = draw()
    with pytest.raises(InputError) as caught:
        Calibration.from_dict(calibration.to_dict() | change, M, S)
    assert caught.value.code == "DA404"


def test_rows_of_a_window_are_answered_some_at_a_time(monkeypatch):
    """The same bits, in memory that does not grow with the window."""
    from types import SimpleNamespace

    from ecotone.species import maps, system

    monkeypatch.setattr(system, "ANSWERS", 1)
    monkeypatch.setattr(system, "LEAST_ROWS", 8)
    seen = []
    monkeypatch.setattr(maps, "window", lambda _, x, __: (seen.append(len(x)), (x * 2, x[:, :1]))[1])
    owner = SimpleNamespace(members=2, species=["a", "b"], _tell_unseen=lambda _: None)
    x = np.arange(42.0).reshape(21, 2)
    both = system.SpeciesSystem.window(owner, x)  # type: ignore[arg-type]
    np.testing.assert_array_equal(both[0], x * 2)
    np.testing.assert_array_equal(both[1], x[:, :1])
    assert seen == [8, 8, 5]


@pytest.mark.parametrize(
    ("share", "valid", "expected"),
    [
        (0.0, None, 100),
        (0.1, 9e9, 100 / 0.9),
        (0.9, None, 1000),
        (0.999, None, 5100),
        (1.0, None, 5000),
        (1.0, 8e5, 8e5),
    ],
)
def test_a_little_smoothing_changes_counts_a_little(share, valid, expected):
    from ecotone.species.outputs import background_cells

    assert background_cells(100, 5000, share, valid) == pytest.approx(expected)


# ------------------------------------------------------------------------------------------- cumulative
@pytest.mark.parametrize("weighted", [False, True])
def test_cumulative_is_the_share_of_the_background_no_better(weighted):
    f, weight, calibration = draw(weighted=weighted)
    log_relative = calibration.combine(calibration.log_relative(f))
    log_relative = np.round(log_relative, 1)  # ties
    w = weight / weight.sum()
    again = Calibration.fit(log_relative[None], weight, RECORDS, cells=K)
    value = again.combine(again.log_relative(log_relative[None]))
    share = w[:, None] * np.exp(value)
    found = again.scale(value, "cumulative")
    for j in range(S):
        plain = [100 * share[value[:, j] <= v, j].sum() for v in value[:, j]]
        np.testing.assert_allclose(found[:, j], plain, atol=1.0)
        best = value[:, j].argmax()
        assert found[best, j] == 100
        low = np.array(plain) < 1
        np.testing.assert_allclose(found[low, j], np.array(plain)[low], atol=0.3)
        order = np.argsort(value[:, j])
        assert (np.diff(found[order, j]) >= 0).all()
    outside = again.scale(np.array([[-99.0] * S, [99.0] * S]), "cumulative")
    np.testing.assert_array_equal(outside, [[0.0] * S, [100.0] * S])


def test_cumulative_of_many_cells_is_right_to_half_a_percent():
    rng = np.random.default_rng(0)
    f = rng.normal(size=(1, 5000, 1))
    calibration = Calibration.fit(f, np.ones(5000), np.ones(1), cells=5000)
    value = calibration.combine(calibration.log_relative(f))[:, 0]
    order = np.argsort(value)
    plain = np.empty(5000)
    plain[order] = 100 * np.cumsum(np.exp(value[order])) / 5000
    found = calibration.scale(value[:, None], "cumulative")[:, 0]
    assert np.abs(found - plain).max() < 0.5
    assert np.quantile(np.abs(found - plain), 0.9) < 0.1


def test_cumulative_without_differences_and_in_old_folders():
    calibration = Calibration.fit(np.zeros((1, K, S)), np.ones(K), RECORDS, cells=K)
    np.testing.assert_array_equal(calibration.scale(np.zeros((2, S)), "cumulative"), 100)
    old = Calibration.from_dict({k: v for k, v in calibration.to_dict().items() if k != "cumulative"}, 1, S)
    assert np.isfinite(old.scale(np.zeros((2, S)), "cloglog")).all()
    with pytest.raises(InputError, match=r"cumulative: .*before this scale existed.*fit again") as caught:
        old.scale(np.zeros((2, S)), "cumulative")
    assert caught.value.code == "DA404"
    for levels in (np.zeros((S, 3)), -np.cumsum(np.ones((S, 109)), 1), np.full((S, 109), np.nan)):
        with pytest.raises(InputError):
            Calibration.from_dict(calibration.to_dict(), 1, S, levels)


def test_many_species_are_calibrated_in_parts(monkeypatch):
    import ecotone.species.outputs as module

    _, _, whole = draw(weighted=True)
    monkeypatch.setattr(module, "TOGETHER", 2)
    _, _, parts = draw(weighted=True)
    for name in ("log_mean", "log_mean_ensemble", "entropy", "cumulative"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), rtol=1e-12)
