"""Agreement between backgrounds."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from ecotone.explain.effort import agreement, agreement_evidence


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
