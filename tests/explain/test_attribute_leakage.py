"""Vectors that know of other parts are found out; those that know only their own are not."""

from __future__ import annotations

import numpy as np
import pytest

from ecotone.errors import InputError
from ecotone.explain.attribute_leakage import attribute_leakage

K, D, V = 3, 12, 3


def world(n, rng, leak=0.0, together=0.0):
    """Vectors made of the part's own attribute, and of the next part's as far as it leaks."""
    codes = np.random.default_rng(77).normal(size=(K, V, D))
    attributes = rng.integers(V, size=(n, K))
    same = rng.random(n) < together
    attributes[same] = attributes[same, :1]  # attributes that go together
    vectors = np.stack([codes[k][attributes[:, k]] for k in range(K)], axis=1)
    vectors = vectors + leak * np.stack([codes[(k + 1) % K][attributes[:, (k + 1) % K]] for k in range(K)], axis=1)
    return vectors + 0.5 * rng.normal(size=vectors.shape), attributes


def test_without_leakage_only_the_diagonal_is_above_chance():
    rng = np.random.default_rng(0)
    failed = 0
    for _ in range(5):
        got = attribute_leakage(*world(150, rng), *world(150, rng))
        assert (np.diag(got.accuracy) > 0.9).all()
        np.testing.assert_allclose(np.diag(got.chance), 1 / V)
        failed += got.leaks.any()
    assert failed <= 1


def test_planted_leakage_is_found_where_it_is():
    rng = np.random.default_rng(1)
    got = attribute_leakage(*world(200, rng, 0.6), *world(200, rng, 0.6), names=("beak", "wing", "tail"))
    expected = np.zeros((K, K), bool)
    expected[np.arange(K), (np.arange(K) + 1) % K] = True
    np.testing.assert_array_equal(got.leaks, expected)
    matrix, check = got.evidence()
    assert check.verdict == "fail" and check.measured > check.bound
    assert matrix.kind == "overlay" and len(matrix.to_frame()) == K * K


def test_attributes_that_go_together_are_no_leakage():
    rng = np.random.default_rng(2)
    got = attribute_leakage(*world(300, rng, together=0.6), *world(300, rng, together=0.6))
    apart = ~np.eye(K, dtype=bool)
    assert (got.accuracy[apart] > 0.55).all()  # far above 1 / 3, through the part's own attribute
    assert (got.chance[apart] > 0.55).all() and not got.leaks.any()
    assert got.evidence()[1].verdict == "pass"


def test_accuracy_is_balanced_and_unknown_attributes_are_left_out():
    rng = np.random.default_rng(3)
    vectors, attributes = rng.normal(size=(400, 2, 4)), (rng.random((400, 2)) < 0.1).astype(int)
    attributes[:30] = -1
    got = attribute_leakage(vectors[:200], attributes[:200], vectors[200:], attributes[200:])
    assert got.accuracy == pytest.approx(np.full((2, 2), 0.5), abs=0.2)
    attributes[:, 1] = np.where(attributes[:, 1] >= 0, 1, -1)  # a constant attribute cannot be asked
    got = attribute_leakage(vectors[:200], attributes[:200], vectors[200:], attributes[200:])
    assert np.isnan(got.accuracy[:, 1]).all() and np.isfinite(got.accuracy[:, 0]).all()
    assert not got.leaks[:, 1].any() and len(got.evidence()) == 2
    assert len(attribute_leakage(vectors[:, :1], attributes[:, :1], vectors[:, :1], attributes[:, :1]).evidence()) == 1


def test_what_does_not_fit_is_refused():
    x, y = world(20, np.random.default_rng(4))
    for bad in (
        (x[0], y, x, y),
        (x, y[:5], x, y),
        (x, y * 1.0, x, y),
        (x, y - 2, x, y),
        (x * np.nan, y, x, y),
        (x, y, x[:, :2], y[:, :2]),
    ):
        with pytest.raises(InputError):
            attribute_leakage(*bad)
    with pytest.raises(InputError, match="2 for 3 parts"):
        attribute_leakage(x, y, x, y, names=("a", "b"))
