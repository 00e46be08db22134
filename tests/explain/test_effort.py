"""Agreement between backgrounds, and the picture of where records are."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from ecotone.explain.effort import agreement, agreement_evidence, record_density


@pytest.mark.parametrize("ties", [False, True])
def test_agreement_is_spearmans_correlation(ties):
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, 60, 5))
    if ties:
        one, other = np.round(one), np.round(other)
    expected = [spearmanr(one[:, j], other[:, j])[0] for j in range(5)]
    np.testing.assert_allclose(agreement(one, other), expected, rtol=1e-12)
    np.testing.assert_allclose(agreement(one, np.exp(one)), 1)
    np.testing.assert_allclose(agreement(one, -one), -1)


def test_agreement_with_a_constant_is_undefined():
    one = np.random.default_rng(0).normal(size=(20, 2))
    other = one.copy()
    other[:, 1] = 3.0
    found = agreement(one, other)
    assert found[0] == pytest.approx(1)
    assert np.isnan(found[1])


def test_agreement_evidence_names_both_backgrounds():
    found = agreement_evidence(["fern"], np.array([0.4]), "target_group", "uniform")
    assert "uniform" in found.title
    assert "target_group" in found.note
    assert not found.additive


def test_density_counts_records_where_they_are():
    """North is up, west is left; cells that are no land stay blank."""
    rng = np.random.default_rng(0)
    land = np.ones((30, 60), bool)
    land[:, :5] = False
    xy = np.column_stack([rng.uniform(0, 60, 500), rng.uniform(0, 30, 500)])
    xy[:300] = [50.5, 28.5]  # a crowd in the north-east
    found = record_density(xy, (0, 60, 0, 30), land, cells=12)
    (picture,) = found.weights
    assert np.isnan(picture[:, :5]).all()
    assert np.isfinite(picture[:, 5:]).all()
    for row in range(0, 30, 4):
        for column in range(5, 60, 7):
            west, south = 5 * (column // 5), 30 - 5 * (row // 5 + 1)
            inside = (xy[:, 0] >= west) & (xy[:, 0] < west + 5) & (xy[:, 1] >= south) & (xy[:, 1] < south + 5)
            assert picture[row, column] == pytest.approx(np.log10(1 + inside.sum()))
    row, column = np.unravel_index(np.nanargmax(picture), picture.shape)
    assert (row // 5, column // 5) == (0, 10)
