"""Overlap of species against sums cell by cell, closed forms, and tests by reshuffling."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from ecotone.errors import EcotoneError
from ecotone.explain.niche import identity_test, niche_overlap, pair_overlap, similarity_test
from ecotone.explain.niche_evidence import MATRIX, overlap_evidence, overlap_test_evidence


def draw(n=50, s=5, seed=0):
    rng = np.random.default_rng(seed)
    return rng.gamma(1, 1, (n, s)) * rng.uniform(0.1, 100, s), rng.uniform(0.5, 2, n)


def slow(z, w, a, b):
    one, other = ([w[i] * z[i, j] for i in range(len(z))] for j in (a, b))
    one, other = [v / sum(one) for v in one], [v / sum(other) for v in other]
    d = 1 - sum(abs(x - y) for x, y in zip(one, other, strict=True)) / 2
    i = 1 - sum((x**0.5 - y**0.5) ** 2 for x, y in zip(one, other, strict=True)) / 2
    return d, i


def test_equals_sums_cell_by_cell(monkeypatch):
    z, w = draw()
    found = niche_overlap(z, weight=w)
    for a in range(5):
        for b in range(5):
            d, i = slow(z, w, a, b)
            assert found.d[a, b] == pytest.approx(d)
            assert found.i[a, b] == pytest.approx(i)
            assert pair_overlap(z[:, a], z[:, b], weight=w) == pytest.approx(d)
            assert pair_overlap(z[:, a], z[:, b], weight=w, statistic="I") == pytest.approx(i)
    monkeypatch.setattr("ecotone.explain.niche._BLOCK", 2)
    np.testing.assert_allclose(niche_overlap(z, weight=w).d, found.d)


def test_rank_correlation_is_spearmans():
    z, _ = draw()
    z[:, 1] = np.round(z[:, 1])
    found = niche_overlap(z)
    np.testing.assert_allclose(found.rank, spearmanr(z)[0])
    assert pair_overlap(z[:, 0], z[:, 1], statistic="rank") == pytest.approx(found.rank[0, 1])
    z[:, 2] = 1.0
    assert np.isnan(niche_overlap(z).rank[2]).all()


def test_closed_forms():
    z = np.zeros((8, 4))
    z[:4, 0], z[4:, 1], z[2:6, 2], z[:, 3] = 3.0, 1.0, 0.1, 7.0
    found = niche_overlap(z)
    np.testing.assert_allclose(found.d[0], [1, 0, 0.5, 0.5])
    np.testing.assert_allclose(found.i[0], [1, 0, 0.5, np.sqrt(0.5)])
    np.testing.assert_allclose(found.breadth, [0.5, 0.5, 0.5, 1])
    np.testing.assert_allclose(niche_overlap(z, weight=np.repeat([1, 3], 4)).breadth, [0.25, 0.75, 0.5, 1])


def test_the_scale_of_a_species_does_not_matter():
    z, w = draw()
    one, other = niche_overlap(z, weight=w), niche_overlap(z * [1e-200, 1e200, 1, 2, 3], weight=w * 9)
    np.testing.assert_allclose(one.d, other.d)
    np.testing.assert_allclose(one.breadth, other.breadth)


def field(points, cells):
    """A kernel density on a line."""
    return np.exp(-0.5 * ((cells[:, None] - points[None]) / 0.5) ** 2).sum(1)


def test_identity_is_refused_for_species_apart_only():
    rng = np.random.default_rng(0)
    cells = np.linspace(-5, 5, 60)
    for shift, small in ((2.0, True), (0.0, False)):
        pool = np.concatenate([rng.normal(0, 1, 25), rng.normal(shift, 1, 30)])
        found = identity_test(lambda rows, pool=pool: field(pool[rows], cells), (25, 30), repeats=39, seed=1)
        assert found.observed == pytest.approx(pair_overlap(field(pool[:25], cells), field(pool[25:], cells)))
        assert (found.lower <= 0.05) == small
        assert found.lower == (1 + (found.chance <= found.observed).sum()) / 40
        assert 0 < found.upper <= 1


def test_similarity_compares_with_random_places():
    rng = np.random.default_rng(0)
    cells = np.linspace(-5, 5, 60)
    background = rng.uniform(-5, 5, 200)
    fixed = field(rng.normal(1, 0.6, 30), cells)
    near, far = field(rng.normal(1, 0.6, 20), cells), field(rng.normal(-3, 0.6, 20), cells)
    options = {"repeats": 39, "seed": 0, "statistic": "I"}
    one = similarity_test(fixed, near, lambda rows: field(background[rows], cells), 20, 200, **options)
    two = similarity_test(fixed, far, lambda rows: field(background[rows], cells), 20, 200, **options)
    assert one.upper == pytest.approx(1 / 40) and two.lower == pytest.approx(1 / 40)
    np.testing.assert_array_equal(one.chance, two.chance)
    assert "two-sided" in str(overlap_test_evidence(one, "fern", "moss").details)
    assert overlap_test_evidence(one, "fern", "moss").measured == one.observed


def test_evidence_names_both_axes_and_both_ends():
    z, _ = draw(60, 40)
    z[:, 7] = z[:, 3] * 2
    species = [f"species {j}" for j in range(40)]
    matrix, most, least, breadth = overlap_evidence(niche_overlap(z), species)
    assert matrix.x_names == matrix.y_names and len(matrix.x_names) == MATRIX and "10 more species" in matrix.note
    assert matrix.x_names.index("species 7") - matrix.x_names.index("species 3") in (1, -1)
    np.testing.assert_allclose(np.diagonal(matrix.weights[0]), 1)
    assert most.names[0] == "species 3 – species 7" and most.values[0] == pytest.approx(1)
    assert least.values.max() < most.values.min()
    assert len(breadth.names) == 40
    assert overlap_evidence(niche_overlap(z[:, :1]), ["a"]) == []
    assert [e.kind for e in overlap_evidence(niche_overlap(z[:, :2]), ["a", "b"])] == [
        "overlay",
        *["contributions"] * 2,
    ]


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda: niche_overlap(np.ones(3)), "DA404"),
        (lambda: niche_overlap(np.ones((3, 2)), weight=np.ones(2)), "DA404"),
        (lambda: niche_overlap(-np.ones((3, 2))), "DA403"),
        (lambda: niche_overlap(np.array([[1.0, 0], [1, 0]])), "DA403"),
        (lambda: pair_overlap(np.ones(3), np.ones(3), statistic="J"), "US104"),  # pyright: ignore[reportArgumentType]
        (lambda: identity_test(np.ones, (0, 3)), "OC205"),
        (lambda: identity_test(np.ones, (2, 3), repeats=0), "US104"),
        (lambda: similarity_test(np.ones(3), np.ones(3), np.ones, 9, 3), "OC205"),
    ],
)
def test_bad_requests_are_one_line(call, code):
    with pytest.raises(EcotoneError) as caught:
        call()
    assert caught.value.code == code and "\n" not in str(caught.value)
