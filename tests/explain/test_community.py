"""Richness and turnover against enumeration and simulation, and to the bit in any window."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from ecotone.errors import EcotoneError
from ecotone.explain.community import occurrence, richness, richness_evidence, turnover, turnover_evidence


def draw(m=3, n=6, s=4, seed=0):
    return np.random.default_rng(seed).beta(0.6, 0.9, (m, n, s))


def test_richness_by_enumerating_all_outcomes():
    """Members are equally likely; given one, species are independent."""
    p = draw()
    found = richness(p)
    for i in range(6):
        mass, value, expectations = [], [], []
        for m in range(3):
            mean = 0.0
            for outcome in product([0, 1], repeat=4):
                chance = np.prod([q if z else 1 - q for z, q in zip(outcome, p[m, i], strict=True)])
                mass.append(chance / 3)
                value.append(sum(outcome))
                mean += chance * sum(outcome)
            expectations.append(mean)
        mass, value = np.array(mass), np.array(value)
        mean = mass @ value
        assert found.mean[i] == pytest.approx(mean)
        assert found.model[i] == pytest.approx(np.std(expectations))
        total = mass @ (value - mean) ** 2
        assert found.chance[i] ** 2 + found.model[i] ** 2 == pytest.approx(total)
        reach = 1.6448536269514722 * np.sqrt(total)
        np.testing.assert_allclose([found.lower[i], found.upper[i]], [max(mean - reach, 0), min(mean + reach, 4)])
    assert found.bands().shape == (6, 5)


def test_intervals_cover_what_happens():
    rng = np.random.default_rng(1)
    p = np.clip(draw(5, 200, 60, 1)[:1] + rng.normal(0, 0.05, (5, 200, 60)), 0, 1)
    found = richness(p)
    member = rng.integers(0, 5, (400, 200))
    happened = (rng.random((400, 200, 60)) < p[member, np.arange(200)]).sum(2)
    inside = ((happened >= found.lower) & (happened <= found.upper)).mean()
    assert 0.87 < inside < 0.94


def test_one_member_has_no_model_spread():
    p = draw()[0]
    found = richness(p)
    assert (found.model == 0).all()
    np.testing.assert_allclose(found.mean, p.sum(1))
    assert richness_evidence(found, lambda v: v.T[:, None], None)[1].title.endswith("chance")


def simulate(p, q, coupling, rng, times=4000):
    """Occurrences before and after: with one random number per species, or with two."""
    u = rng.random((times, p.size))
    v = u if coupling == "persistent" else rng.random((times, p.size))
    return u < p, v < q


@pytest.mark.parametrize("coupling", ["persistent", "independent"])
def test_turnover_agrees_with_simulation(coupling):
    """Expectations within sampling error; ratios within the stated approximation, about one over the species."""
    rng = np.random.default_rng(2)
    p, q = draw(1, 5, 50, 2)[0], draw(1, 5, 50, 3)[0]
    found = turnover(p, q, coupling=coupling)
    for i in range(5):
        one, two = simulate(p[i], q[i], coupling, rng)
        gained, lost, kept = (two & ~one).sum(1), (one & ~two).sum(1), (one & two).sum(1)
        for value, expected in ((found.gains, gained), (found.losses, lost), (found.shared, kept)):
            assert abs(value[i] - expected.mean()) < 5 * expected.std() / np.sqrt(len(expected)) + 1e-9
        changed = gained + lost
        assert found.sorensen[i] == pytest.approx((changed / (2 * kept + changed)).mean(), abs=1 / 50)
        assert found.jaccard[i] == pytest.approx((changed / (kept + changed)).mean(), abs=1 / 50)


def test_closed_forms_of_turnover():
    p = draw(2, 4, 7)
    same = turnover(p, p)
    for name in ("gains", "losses", "sorensen", "jaccard", "sorensen_spread"):
        np.testing.assert_allclose(getattr(same, name), 0, atol=1e-15)
    assert (turnover(p, p, coupling="independent").sorensen > 0).all()
    swapped = turnover(np.repeat([[1.0, 0.0]], 3, 0), np.repeat([[0.0, 1.0]], 3, 0))
    np.testing.assert_array_equal(swapped.sorensen, 1)
    np.testing.assert_array_equal(swapped.jaccard, 1)
    one, two = draw(1, 4, 7, 5)[0], draw(1, 4, 7, 6)[0]
    np.testing.assert_allclose(turnover(one, two).sorensen, np.abs(one - two).sum(1) / (one + two).sum(1))
    found = turnover(one, two)
    np.testing.assert_allclose(two.sum(1) - one.sum(1), found.gains - found.losses)
    assert np.isnan(turnover(np.zeros((2, 3)), np.zeros((2, 3))).sorensen).all()


def test_spread_is_that_over_members():
    p, q = draw(4, 5, 6, 7), draw(4, 5, 6, 8)
    whole = turnover(p, q)
    each = [turnover(p[m], q[m]) for m in range(4)]
    for name in ("gains", "losses", "shared", "sorensen", "jaccard"):
        values = np.array([getattr(e, name) for e in each])
        np.testing.assert_allclose(getattr(whole, name), values.mean(0))
        np.testing.assert_allclose(getattr(whole, f"{name}_spread"), values.std(0))


@pytest.mark.parametrize("s", [1, 3, 9, 130])
def test_every_window_gives_the_same_bits(s):
    p, q = draw(3, 23, s, 9), draw(3, 23, s, 10)
    whole = np.hstack([richness(p).bands(), turnover(p, q).bands()])
    for size in (1, 2, 5, 22):
        parts = [slice(i, i + size) for i in range(0, 23, size)]
        again = [np.hstack([richness(p[:, w]).bands(), turnover(p[:, w], q[:, w]).bands()]) for w in parts]
        np.testing.assert_array_equal(whole, np.concatenate(again))
    turned = [np.asfortranarray(v) for v in (p, q)]
    np.testing.assert_array_equal(whole, np.hstack([richness(turned[0]).bands(), turnover(*turned).bands()]))
    order = np.random.default_rng(0).permutation(23)
    shuffled = np.hstack([richness(p[:, order]).bands(), turnover(p[:, order], q[:, order]).bands()])
    np.testing.assert_array_equal(whole[order], shuffled)


def test_occurrence_is_one_minus_the_chance_of_none():
    np.testing.assert_allclose(occurrence(np.array([0, 1e-12, np.log(2), 800])), [0, 1e-12, 0.5, 1])


def test_evidence_is_painted():
    def paint(values):
        return values.T.reshape(-1, 2, 3)

    p, q = draw(), draw(seed=1)
    mean, parts = richness_evidence(richness(p), paint, (0, 3, 0, 2))
    assert mean.weights.shape == (1, 2, 3) and parts.title.endswith(": ensemble members disagree")
    again = richness_evidence(richness(p), paint, None, member="bootstrap replicate")
    assert "ensemble" not in "".join(e.title + e.note for e in again) and "bootstrap replicates" in again[0].note
    assert "replicate" not in richness_evidence(richness(p[0]), paint, None, member="replicate")[0].note
    np.testing.assert_array_equal(parts.weights[0].ravel(), richness(p).model)
    change, share = turnover_evidence(turnover(p, q), paint, None, between="now and 2050")
    assert (
        change.names == ("gained", "lost") and "now and 2050" in share.title and "Ensemble members differ" in share.note
    )
    assert "members" not in turnover_evidence(turnover(p[0], q[0]), paint, None)[1].note


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda: richness(np.ones(3)), "DA404"),
        (lambda: richness(np.ones((0, 3, 2))), "DA404"),
        (lambda: richness(np.full((2, 2), 1.5)), "DA403"),
        (lambda: richness(np.full((2, 2), np.nan)), "DA403"),
        (lambda: turnover(np.ones((2, 2)), np.ones((3, 2))), "DA404"),
        (lambda: turnover(np.ones((2, 2)), np.ones((2, 2)), coupling="loose"), "US104"),
    ],
)
def test_bad_requests_are_one_line(call, code):
    with pytest.raises(EcotoneError) as caught:
        call()
    assert caught.value.code == code and "\n" not in str(caught.value)
