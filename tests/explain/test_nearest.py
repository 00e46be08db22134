"""Nearest distances against all distances, near and far, in few and many coordinates."""

from __future__ import annotations

import numpy as np
import pytest

from ecotone.explain import nearest
from ecotone.explain.nearest import Nearest


def slow(points, queries):
    return np.array([min(np.sqrt(((p - q) ** 2).sum()) for p in points) for q in queries])


@pytest.mark.parametrize("coordinates", [1, 3, 9, 33])
@pytest.mark.parametrize("shift", [0.0, 1.0, 50.0, 1e6])
@pytest.mark.parametrize("reach", [0.0, 0.7, np.inf])
def test_equals_all_distances(coordinates, shift, reach):
    rng = np.random.default_rng(0)
    points, queries = rng.normal(size=(40, coordinates)), rng.normal(size=(25, coordinates)) + shift
    points[7:10] = points[3]
    queries[:2] = points[[3, 8]]
    found = Nearest(points, reach).distance(queries)
    np.testing.assert_allclose(found, slow(points, queries), rtol=1e-13)
    assert (found[:2] == 0).all()


@pytest.mark.parametrize("coordinates", [4, 40])
def test_every_cut_gives_the_same_bits(coordinates, monkeypatch):
    rng = np.random.default_rng(1)
    points = np.round(rng.normal(size=(60, coordinates)), 1)  # many near ties
    queries = np.concatenate([np.round(rng.normal(size=(40, coordinates)), 1), rng.normal(size=(20, coordinates)) + 30])
    made = Nearest(points, 1.5)
    whole = made.distance(queries)
    for size in (1, 7, 59):
        parts = np.concatenate([made.distance(queries[i : i + size]) for i in range(0, 60, size)])
        np.testing.assert_array_equal(parts, whole)
    monkeypatch.setattr(nearest, "_BLOCK", 130)
    np.testing.assert_array_equal(made.distance(queries), whole)
    assert made.distance(queries[:0]).shape == (0,)


def test_levels_that_tie_everywhere():
    points, queries = np.eye(30), np.eye(30)[::-1] * 2
    np.testing.assert_allclose(Nearest(points, 0.1).distance(queries), 1)
