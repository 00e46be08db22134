"""Rankings against scikit-learn, pair counting, closed forms and invariances."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import spearmanr
from sklearn.metrics import average_precision_score, roc_auc_score

from ecotone.errors import InputError, UsageError
from ecotone.stats.ranking import (
    auc,
    average_precision,
    boyce,
    boyce_by_species,
    correlation,
    max_tss_threshold,
    tenth_percentile_threshold,
)


@pytest.fixture
def case():
    rng = np.random.default_rng(3)
    labels = (rng.random((200, 6)) < 0.3).astype(float)
    scores = np.round(rng.normal(size=(200, 6)) + labels, 1)  # rounding makes ties
    return scores, labels, rng.random(200) + 0.1


def pairs(score, label, weight):
    """AUC by looking at every pair."""
    won = total = 0.0
    for i in np.flatnonzero(label == 1):
        for k in np.flatnonzero(label == 0):
            w = weight[i] * weight[k]
            total += w
            won += w * (1.0 if score[i] > score[k] else 0.5 if score[i] == score[k] else 0.0)
    return won / total


def test_auc_and_precision_equal_scikit_learn(case):
    scores, labels, weights = case
    for w in (None, weights):
        expected = [roc_auc_score(y, s, sample_weight=w) for s, y in zip(scores.T, labels.T)]
        np.testing.assert_allclose(auc(scores, labels, w), expected, atol=1e-12)
        expected = [average_precision_score(y, s, sample_weight=w) for s, y in zip(scores.T, labels.T)]
        np.testing.assert_allclose(average_precision(scores, labels, w), expected, atol=1e-12)


def test_auc_equals_pair_counting(case):
    scores, labels, weights = case
    scores, labels, weights = scores[:60], labels[:60], weights[:60]
    for w in (np.ones(60), weights):
        expected = [pairs(s, y, w) for s, y in zip(scores.T, labels.T)]
        np.testing.assert_allclose(auc(scores, labels, w), expected, atol=1e-12)
    np.testing.assert_allclose(
        auc(scores, labels), [pairs(s, y, np.ones(60)) for s, y in zip(scores.T, labels.T)], atol=1e-12
    )


@settings(max_examples=60, deadline=None)
@given(
    arrays(
        np.float64, st.tuples(st.integers(2, 25), st.just(3)), elements=st.sampled_from([-np.inf, -1.0, 0.0, 0.5, 2.0])
    ),
    st.integers(0, 2**20),
)
def test_auc_symmetries(scores, seed):
    rng = np.random.default_rng(seed)
    labels = (rng.random(scores.shape) < 0.5).astype(float)
    value = auc(scores, labels)
    order = rng.permutation(len(scores))
    np.testing.assert_allclose(auc(scores[order], labels[order]), value, equal_nan=True)
    np.testing.assert_allclose(auc(np.exp(scores), labels), value, equal_nan=True)  # monotone
    np.testing.assert_allclose(auc(-scores, labels), 1 - value, equal_nan=True)
    np.testing.assert_allclose(auc(scores, 1 - labels), 1 - value, equal_nan=True)
    np.testing.assert_allclose(auc(np.repeat(scores, 2, 0), np.repeat(labels, 2, 0)), value, equal_nan=True)
    np.testing.assert_allclose(auc(scores, labels, np.full(len(scores), 3.0)), value, equal_nan=True)


@pytest.mark.parametrize("metric", [auc, average_precision, correlation])
def test_integer_weights_equal_repeated_rows(case, metric):
    scores, labels, _ = case
    times = np.arange(200) % 4
    expected = metric(np.repeat(scores, times, axis=0), np.repeat(labels, times, axis=0))
    np.testing.assert_allclose(metric(scores, labels, times), expected, atol=1e-12)


@pytest.mark.parametrize("metric", [auc, average_precision, correlation, boyce_by_species, tenth_percentile_threshold])
def test_sites_not_surveyed_do_not_count(case, metric):
    scores, labels, _ = case
    unseen = np.random.default_rng(0).random(labels.shape) < 0.3
    hidden, blank = np.where(unseen, np.nan, labels), np.where(unseen, np.nan, scores)
    expected = [metric(s[~u], y[~u]) for s, y, u in zip(scores.T, labels.T, unseen.T)]
    np.testing.assert_allclose(metric(blank, hidden), expected, atol=1e-12)


def test_undefined_is_nan():
    scores, labels = np.arange(8.0).reshape(4, 2), np.array([[0, 1], [0, 1], [0, 1], [0, 1]])
    for metric in (auc, average_precision, correlation):
        assert np.isnan(metric(scores, labels)).all()
        assert np.isnan(metric(scores, np.full((4, 2), np.nan))).all()
    assert np.isnan(max_tss_threshold(scores, labels)).all()
    assert np.isnan(tenth_percentile_threshold(scores, labels)[0])
    assert np.isnan(correlation(np.full(4, 0.1), np.array([0, 1, 0, 1])))


def test_closed_forms():
    score, label = np.array([0.1, 0.2, 0.3, 0.4]), np.array([0, 1, 0, 1])
    assert auc(score, label) == 0.75
    assert average_precision(score, label) == pytest.approx((1 + 2 / 3) / 2)
    assert auc(np.zeros(4), label) == 0.5
    assert average_precision(np.zeros(4), label) == 0.5
    assert correlation(score, label) == pytest.approx(np.corrcoef(score, label)[0, 1])
    assert correlation(score * 1e-200, label) == pytest.approx(np.corrcoef(score, label)[0, 1])
    assert np.isfinite(auc(np.array([-np.inf, 0, 1, np.inf]), label))


def test_shuffled_labels_give_chance():
    rng = np.random.default_rng(1)
    labels = (rng.random((4000, 30)) < 0.2).astype(float)
    value = auc(rng.normal(size=labels.shape), labels)
    assert abs(value.mean() - 0.5) < 0.01
    assert abs(average_precision(rng.normal(size=labels.shape), labels).mean() - 0.2) < 0.02


def test_one_score_for_all_species(case):
    scores, labels, _ = case
    np.testing.assert_array_equal(auc(scores[:, 0], labels), auc(np.repeat(scores[:, :1], 6, axis=1), labels))


def test_max_tss_by_trying_every_threshold(case):
    scores, labels, _ = case
    threshold, best = max_tss_threshold(scores, labels)
    for j in range(6):
        tried = [
            (scores[:, j] >= t)[labels[:, j] == 1].mean() - (scores[:, j] >= t)[labels[:, j] == 0].mean()
            for t in np.unique(scores[:, j])
        ]
        assert best[j] == pytest.approx(max(tried))
        called = scores[:, j] >= threshold[j]
        assert called[labels[:, j] == 1].mean() - called[labels[:, j] == 0].mean() == pytest.approx(best[j])
    threshold, best = max_tss_threshold(np.array([0.1, 0.6, 0.3, 0.8]), np.array([0, 1, 0, 1]))
    assert (threshold, best) == (0.6, 1.0)


def test_tenth_percentile_leaves_out_a_tenth_at_most():
    for n in (1, 5, 9, 10, 11, 20, 37):
        present = np.random.default_rng(n).random(n)
        threshold = tenth_percentile_threshold(present, np.ones(n))
        assert (present < threshold).sum() == n // 10
    with pytest.raises(UsageError):
        tenth_percentile_threshold(present, np.ones(n), share=1.0)


def slow_boyce(p, e, drop):
    low, high = min(p.min(), e.min()), max(p.max(), e.max())
    width = (high - low) / 10
    ratios, middles = [], []
    for k in range(101):
        a = low + k * (high - low - width) / 100
        b = high if k == 100 else a + width
        expected = np.mean((e >= a) & (e <= b))
        if expected > 0:
            ratios.append(np.mean((p >= a) & (p <= b)) / expected)
            middles.append(a)
    kept = [i for i in range(len(ratios)) if not drop or i == len(ratios) - 1 or ratios[i] != ratios[i + 1]]
    return spearmanr(np.array(ratios)[kept], np.array(middles)[kept])[0]


@pytest.mark.parametrize("drop", [True, False])
def test_boyce_equals_slow_rewrite(drop):
    rng = np.random.default_rng(5)
    for n in (8, 30, 300):
        p, e = rng.beta(3, 2, n), rng.beta(2, 3, 2000)
        assert boyce(p, e, drop_repeats=drop) == pytest.approx(slow_boyce(p, e, drop), abs=1e-9)


def test_boyce_tells_good_from_bad_and_survives_shifts():
    rng = np.random.default_rng(6)
    e = rng.random(5000)
    p = rng.choice(e, 800, p=e / e.sum())
    assert boyce(p, e) > 0.95
    assert boyce(-p, -e) < -0.95
    assert boyce(8 * p - 16, 8 * e - 16) == pytest.approx(boyce(p, e), abs=0.02)
    assert np.isnan(boyce(p, np.array([])))
    assert np.isnan(boyce(np.ones(3), np.ones(9)))
    with pytest.raises(UsageError):
        boyce(p, e, width=1.5)
    with pytest.raises(InputError):
        boyce(np.array([np.nan]), e)


@pytest.mark.parametrize(
    ("scores", "labels", "weights", "code"),
    [
        (np.zeros(3), np.zeros(4), None, "DA404"),
        (np.zeros((4, 2)), np.zeros((4, 3)), None, "DA404"),
        (np.zeros(4), np.array([0, 1, 2, 0]), None, "DA404"),
        (np.zeros(0), np.zeros(0), None, "DA404"),
        (np.array(["a", "b"]), np.array([0, 1]), None, "DA404"),
        (np.array([0.0, np.nan]), np.array([0, 1]), None, "DA403"),
        (np.zeros(2), np.array([0, 1]), np.array([1.0, -1.0]), "DA403"),
        (np.zeros(2), np.array([0, 1]), np.ones(3), "DA404"),
    ],
)
def test_unusable_input(scores, labels, weights, code):
    with pytest.raises(InputError) as error:
        auc(scores, labels, weights)
    assert error.value.code == code


def test_infinite_scores_have_no_correlation():
    with pytest.raises(InputError, match="infinite"):
        correlation(np.array([0.0, np.inf]), np.array([0, 1]))


def test_auc_is_fast():
    rng = np.random.default_rng(0)
    scores, labels = rng.normal(size=(20_000, 50)), (rng.random((20_000, 50)) < 0.2).astype(float)
    best = np.inf
    for _ in range(5):
        begin = time.perf_counter()
        auc(scores, labels)
        best = min(best, time.perf_counter() - begin)
    assert best < 0.3  # about 0.05 s on an idle core; the slack is for shared machines
