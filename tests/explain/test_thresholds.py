"""Thresholds against trying every score, one species at a time."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest

from ecotone.errors import InputError
from ecotone.explain.thresholds import RULES, species_thresholds, threshold_evidence
from ecotone.stats.ranking import max_tss_threshold, tenth_percentile_threshold


def draw(seed, ties, n=23, u=60, s=4):
    rng = np.random.default_rng(seed)
    own = rng.normal(0.8, 1, n * s)
    background = rng.normal(0, 1, (u, s))
    if ties:
        own, background = np.round(own), np.round(background)
    return own, rng.integers(0, s, n * s), background


def slow(own, background, weight):
    """Every score of either side is tried; the highest of the best is kept."""
    n, u = len(own), len(background)
    rows = []
    for t in sorted({*own, *background}, reverse=True):
        sens = sum(v >= t for v in own) / n
        spec = sum(w for v, w in zip(background, weight, strict=True) if v < t) / sum(weight)
        a, b, c, d = sens * n, (1 - spec) * u, (1 - sens) * n, spec * u
        agree = (a + d) / (n + u)
        chance = ((a + b) * (a + c) + (c + d) * (b + d)) / (n + u) ** 2
        rows.append((t, sens, spec, (agree - chance) / (1 - chance) if chance < 1 else 0))
    ordered = sorted(own)
    return {
        "minimum": ordered[0],
        "p10": ordered[int(0.1 * n + 1e-9)],
        "equal": max(rows, key=lambda r: (-round(abs(r[1] - r[2]), 12), r[0]))[0],
        "maxsum": max(rows, key=lambda r: (round(r[1] + r[2], 12), r[0]))[0],
        "kappa": max(rows, key=lambda r: (round(r[3], 12), r[0]))[0],
    }


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_equals_trying_every_score(seed, ties, weighted):
    own, species, background = draw(seed, ties)
    weight = np.random.default_rng(9).uniform(0.2, 2, 60) if weighted else np.ones(60)
    found = species_thresholds(own, species, background, weight=weight if weighted else None)
    for j in range(4):
        mine = own[species == j]
        expected = slow(mine, background[:, j], weight)
        for r, rule in enumerate(found.rules):
            t = found.value[j, r]
            assert t == expected[rule], rule
            assert found.omission[j, r] == pytest.approx((mine < t).mean())
            area = weight[background[:, j] >= t].sum() / weight.sum()
            assert found.area[j, r] == pytest.approx(area, abs=1e-12)
            n, hits = len(mine), (mine >= t).sum()
            p = sum(comb(n, k) * area**k * (1 - area) ** (n - k) for k in range(hits, n + 1))
            assert found.p_value[j, r] == pytest.approx(p)


def test_agrees_with_the_thresholds_of_the_maps():
    own, species, background = draw(5, False)
    found = species_thresholds(own, species, background)
    for j in range(4):
        mine = own[species == j]
        scores = np.concatenate([mine, background[:, j]])
        labels = np.repeat([1, 0], [len(mine), 60])
        assert found.value[j, 1] == tenth_percentile_threshold(scores, labels)
        assert found.value[j, 3] == max_tss_threshold(scores, labels)[0]


def test_held_out_records_are_omitted_and_tested():
    own, species, background = draw(6, False)
    held = (np.array([-9.0, 9.0, 0.3]), np.array([0, 0, 2]))
    found = species_thresholds(own, species, background, held=held)
    assert found.held_records.tolist() == [2, 0, 1, 0]
    np.testing.assert_array_equal(found.held_omission[0], 0.5)
    assert np.isnan(found.held_omission[1]).all() and np.isnan(found.p_value[1]).all()
    np.testing.assert_array_equal(found.held_omission[2], (held[0][2] < found.value[2]).astype(float))
    area = found.area[0]
    np.testing.assert_allclose(found.p_value[0], 1 - (1 - area) ** 2)


def test_a_species_without_records_has_none():
    _, _, background = draw(0, False)
    found = species_thresholds(np.array([1.0]), np.array([2]), background)
    assert np.isnan(found.value[[0, 1, 3]]).all() and found.records.tolist() == [0, 0, 1, 0]
    assert (found.value[2] == 1.0).all() and (found.omission[2] == 0).all()
    assert len(threshold_evidence(found, list("abcd"), range(4))) == 1


def test_frame_and_checks_are_on_the_asked_scale():
    own, species, background = draw(1, False)
    found = species_thresholds(own, species, background, held=(own[:20], species[:20]))

    def scale(scores):  # (R, S)
        assert scores.shape == (5, 4)
        return 1 / (1 + np.exp(-scores))

    frame = found.to_frame(list("abcd"), scale)
    assert len(frame) == 20 and frame["rule"][:5].tolist() == list(RULES.values())
    np.testing.assert_allclose(frame["threshold"], scale(found.value.T).T.ravel())
    np.testing.assert_allclose(frame["specificity_background"] + frame["area_predicted"], 1)
    assert list(frame.columns)[-1] == "records_held_out"
    check = threshold_evidence(found, list("abcd"), [2], scale=scale)[0]
    assert check.target == "c" and check.measured == pytest.approx(scale(found.value.T).T[2, 3])
    cuts = {"p10": found.value[:, 1], "maxsum": found.value[:, 3] + [0, 0, 0.5, 0]}
    told = threshold_evidence(found, list("abcd"), [2, 3], scale=scale, cuts=cuts)
    assert [len(c.details) for c in told] == [6, 5]
    assert told[0].details[5][0] == "largest sensitivity + specificity, 0/1 maps"
    assert told[0].details[5][1].startswith(f"{1 / (1 + np.exp(-cuts['maxsum'][2])):.3g}: ")
    assert len(check.details) == 5 and "omits 0 % (held out 0 %), covers" in check.details[0][1]


def test_many_species_take_little_more_than_sorting():
    """300 species against 2,000 sites in well under a second."""
    import time

    rng = np.random.default_rng(0)
    background = rng.normal(size=(2000, 300))
    began = time.process_time()
    species_thresholds(rng.normal(1, 1, 6000), rng.integers(0, 300, 6000), background)
    assert time.process_time() - began < 3


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"scores": np.zeros(2)}, "DA404"),
        ({"species": np.zeros(3)}, "DA404"),
        ({"species": np.array([0, 1, 9])}, "DA404"),
        ({"scores": np.full(3, np.nan)}, "DA403"),
        ({"background": np.zeros(4)}, "DA404"),
        ({"background": np.full((4, 2), np.nan)}, "DA403"),
        ({"weight": np.ones(3)}, "DA403"),
        ({"held": (np.zeros(2), np.zeros(1, int))}, "DA404"),
    ],
)
def test_bad_requests_are_one_line(change, code):
    asked = {"scores": np.zeros(3), "species": np.zeros(3, int), "background": np.zeros((4, 2))} | change
    with pytest.raises(InputError) as caught:
        species_thresholds(asked.pop("scores"), asked.pop("species"), asked.pop("background"), **asked)
    assert caught.value.code == code and "\n" not in str(caught.value)
