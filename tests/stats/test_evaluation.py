"""Scores of many species on one survey, by two routes, and their block-bootstrap intervals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import pearsonr
from sklearn.metrics import average_precision_score, roc_auc_score

from ecotone.stats.evaluation import METRICS, score_survey

NAMES = ("fern", "moss", "oak", "ghost")


@pytest.fixture
def survey():
    rng = np.random.default_rng(0)
    f = rng.normal(size=(150, 4))
    labels = (f + rng.logistic(size=f.shape) > 0.5).astype(float)
    labels[:60, 1] = np.nan  # not looked for there
    labels[:, 3] = 0  # never found
    return f, labels


def test_values_by_another_route(survey):
    f, labels = survey
    found = score_survey(f, labels, NAMES, resamples=0)
    assert set(found.values) == set(METRICS)
    for j in range(3):
        known = np.isfinite(labels[:, j])
        y, s = labels[known, j], f[known, j]
        assert found.values["auc"][j] == pytest.approx(roc_auc_score(y, s))
        assert found.values["auc_pr"][j] == pytest.approx(average_precision_score(y, s))
        assert found.values["correlation"][j] == pytest.approx(pearsonr(y, s)[0])
        assert -1 <= found.values["boyce"][j] <= 1
    assert all(np.isnan(found.values[m][3]) for m in METRICS)
    assert found.presences.tolist() == [*np.nansum(labels[:, :3], 0), 0]
    assert all(np.isnan(found.low[m]).all() for m in METRICS)


def test_intervals_hold_the_value_and_are_repeatable(survey):
    f, labels = survey
    found, same = (score_survey(f, labels, NAMES, resamples=100, seed=1) for _ in range(2))
    for metric in ("auc", "auc_pr", "correlation"):
        assert (found.low[metric][:3] < found.values[metric][:3]).all()
        assert (found.values[metric][:3] < found.high[metric][:3]).all()
        np.testing.assert_array_equal(found.low[metric], same.low[metric])
        assert np.isnan(found.low[metric][3])
    assert np.isnan(found.low["boyce"]).all()


def test_interval_is_the_percentile_of_resampled_blocks(survey):
    """Drawn blocks are written out row by row and scored without weights."""
    f, labels = survey
    blocks = np.arange(150) % 12 * 7  # any labels
    found = score_survey(f, labels, NAMES, blocks=blocks, resamples=40, seed=3)
    rng = np.random.default_rng(3)
    drawn = []
    for _ in range(40):
        rows = np.concatenate([np.flatnonzero(blocks == 7 * b) for b in rng.integers(12, size=12)])
        drawn.append(roc_auc_score(labels[rows, 0], f[rows, 0]))
    np.testing.assert_allclose([found.low["auc"][0], found.high["auc"][0]], np.quantile(drawn, [0.025, 0.975]))


def test_whole_blocks_make_wider_intervals():
    """Ten blocks that each agree within themselves hold ten pieces of evidence, not a thousand."""
    rng = np.random.default_rng(0)
    blocks = np.repeat(np.arange(20), 50)
    quality = rng.normal(size=20)[blocks]
    labels = (quality + rng.normal(size=1000) > 0).astype(float)[:, None]
    f = (rng.normal(size=20)[blocks] + 0.5 * quality + 0.1 * rng.normal(size=1000))[:, None]
    width = {}
    for name, by in (("blocks", blocks), ("sites", None)):
        found = score_survey(f, labels, ("a",), blocks=by, resamples=200)
        width[name] = found.high["auc"][0] - found.low["auc"][0]
    assert width["blocks"] > 2 * width["sites"]


def test_summary_is_the_mean_over_defined_species(survey):
    f, labels = survey
    found = score_survey(f, labels, NAMES, resamples=20)
    summary = found.summary()
    for metric in METRICS:
        assert summary[metric].value == pytest.approx(np.nanmean(found.values[metric]))
        assert summary[metric].n == 3
        assert summary[metric].low <= summary[metric].value <= summary[metric].high
    alone = score_survey(f[:, :1], labels[:, :1], NAMES[:1], resamples=50)
    score = alone.summary()["auc"]
    assert (score.value, score.low, score.high, score.n) == (
        alone.values["auc"][0],
        alone.low["auc"][0],
        alone.high["auc"][0],
        1,
    )


def test_rows_are_flat(survey):
    f, labels = survey
    rows = score_survey(f, labels, NAMES, resamples=10).rows()
    assert [r["species"] for r in rows] == list(NAMES)
    assert set(rows[0]) == {"species", "presences"} | {m + e for m in METRICS for e in ("", "_low", "_high")}


def test_chance_is_inside_the_interval_at_the_nominal_rate():
    """Scores that know nothing: .5 lies in the 95 % interval of about 95 % of species."""
    rng = np.random.default_rng(0)
    f, labels = rng.normal(size=(200, 60)), (rng.random((200, 60)) < 0.3).astype(float)
    found = score_survey(f, labels, tuple(map(str, range(60))), resamples=150)
    inside = (found.low["auc"] <= 0.5) & (found.high["auc"] >= 0.5)
    assert inside.mean() > 0.85
    assert abs(found.values["auc"].mean() - 0.5) < 0.02
