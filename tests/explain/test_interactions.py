"""Friedman's H against its definition one answer at a time, and against functions whose H is known."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from ecotone.errors import InputError
from ecotone.explain.interactions import interaction_evidence, interaction_strength, pair_surface, partial_dependence

NAMES = ("heat", "rain", "soil")


def draw(n=30, seed=0):
    rng = np.random.default_rng(seed)
    return np.column_stack([rng.normal(20, 4, n), rng.gamma(2, 200, n), rng.choice([1, 2, 4], n)])


def predict(x):
    """(N, 3): additive; heat and rain multiply; all but additive in soil."""
    heat, rain, soil = (x[:, 0] - 20) / 4, (x[:, 1] - 400) / 200, x[:, 2]
    return np.stack(
        [heat + 2 * rain + (soil == 2), heat * rain + 0.5 * heat, np.abs(heat - (soil == 4)) + 0 * rain], axis=1
    )


def slow_h(x, a, b, j):
    """One mean at a time, by the formula."""
    n = len(x)

    def mean_at(values):
        total = 0.0
        for other in x:
            site = other.copy()
            for p, v in values.items():
                site[p] = v
            total += predict(site[None])[0, j]
        return total / n

    both = np.array([mean_at({a: s[a], b: s[b]}) for s in x])
    one, two = (np.array([mean_at({p: s[p]}) for s in x]) for p in (a, b))
    both, one, two = both - both.mean(), one - one.mean(), two - two.mean()
    rest = both - one - two
    return np.sqrt((rest**2).sum() / (both**2).sum()), np.sqrt((rest**2).mean())


def test_equals_the_slow_formula():
    x = draw(12)
    found = interaction_strength(predict, x, sites=12)
    assert found.pairs == tuple(combinations(range(3), 2))
    for q, (a, b) in enumerate(found.pairs):
        for j in range(3):
            if j == 2 and (a, b) == (0, 1):
                continue
            h, strength = slow_h(x, a, b, j)
            assert found.h[q, j] == pytest.approx(h, abs=1e-7)
            assert found.strength[q, j] == pytest.approx(strength, abs=1e-9)


def test_effects_that_add_up_do_not_interact():
    found = interaction_strength(predict, draw(), sites=30)
    assert found.h[:, 0].max() < 1e-6
    assert found.strength[:, 0].max() < 1e-12
    assert found.strongest(1, 1) == [0]
    assert found.strongest(1, 2) == [1]


def test_a_pure_product_is_all_interaction():
    """heat * rain with both centred: the single effects vanish, H is 1."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(40, 2))
    x -= x.mean(0)
    found = interaction_strength(lambda z: z[:, [0]] * z[:, [1]], x, sites=40)
    assert found.h[0, 0] == pytest.approx(1)
    np.testing.assert_allclose(found.effect, 0, atol=1e-12)


def test_without_any_effect_h_is_undefined():
    found = interaction_strength(lambda z: np.zeros((len(z), 2)), draw(8), sites=8)
    assert np.isnan(found.h).all() and (found.strength == 0).all()
    assert "H=0.00" in interaction_evidence(found, NAMES).names[0]


def test_blocks_do_not_change_the_answer(monkeypatch):
    x, at = draw(9), draw(7, 3)[:, :2]
    whole = partial_dependence(predict, x, (0, 1), at)
    monkeypatch.setattr("ecotone.explain.interactions._BLOCK", 60)
    np.testing.assert_allclose(partial_dependence(predict, x, (0, 1), at), whole, rtol=1e-12)


def test_evidence_ranks_pairs_with_h_in_the_name():
    found = interaction_strength(predict, draw(), sites=20)
    one = interaction_evidence(found, NAMES, species=1, target="moss", limit=2)
    assert len(one.names) == 1 and one.names[0].startswith("heat × rain (H=0.")
    assert one.lower is None and one.target == "moss"
    mean = interaction_evidence(found, NAMES)
    assert mean.names[0].startswith("heat × rain") and mean.band == "5-95 % of species"
    size = np.sort(found.strength.mean(1))[::-1]
    np.testing.assert_allclose(mean.values, size[size >= 0.01 * size[0]])
    assert len(mean.names) == 2 and "2 of 3 pairs" in mean.note


def test_surface_by_brute_force_and_blank_without_data():
    x = draw(25)
    found = pair_surface(predict, x, (0, 1), NAMES, ["a", "b", "c"], units={"heat": "degC"}, points=6, sites=100)
    low, high = x[:, :2].min(0), x[:, :2].max(0)
    assert found.extent == pytest.approx((low[0], high[0], low[1], high[1]))
    assert (found.x_label, found.x_unit, found.y_label, found.y_unit) == ("heat", "degC", "rain", "")
    step = (high - low) / 6
    for row in range(6):
        for column in range(6):
            middle = low + step * [column + 0.5, 5 - row + 0.5]
            cell = np.minimum((x[:, :2] - low) // step, 5)
            near = (np.abs(cell - [column, 5 - row]) <= 1).all(1).any()
            moved = x.copy()
            moved[:, :2] = middle
            expected = predict(moved).mean(0) if near else np.full(3, np.nan)
            np.testing.assert_allclose(found.weights[:, row, column], expected, atol=1e-12)


def test_a_categorical_axis_is_named_and_not_grown():
    x = draw(25)
    x[x[:, 2] == 4, 0] = 20.0
    found = pair_surface(lambda z: predict(z)[:, [1]], x, (0, 2), NAMES, ["b"], levels={"soil": [1, 2, 4]}, points=8)
    assert found.y_names == ("4", "2", "1") and found.x_names == ()
    assert np.isfinite(found.weights[0, 0]).sum() == 3  # one cell of heat and its neighbours
    assert found.title == "b: acting together, heat and soil"


def test_a_constant_covariate_is_one_cell():
    x = draw(10)
    x[:, 1] = 5.0
    found = pair_surface(predict, x, (0, 1), NAMES, ["a", "b", "c"], points=4)
    assert found.weights.shape == (3, 1, 4)


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda: interaction_strength(predict, draw(1)), "OC205"),
        (lambda: interaction_strength(predict, draw(), pairs=[(0, 0)]), "DA404"),
        (lambda: interaction_strength(predict, draw(), pairs=[(0, 7)]), "DA404"),
        (lambda: pair_surface(predict, np.empty((0, 3)), (0, 1), NAMES, ["a"]), "OC205"),
    ],
)
def test_bad_requests_are_one_line(call, code):
    with pytest.raises(InputError) as caught:
        call()
    assert caught.value.code == code and "\n" not in str(caught.value)
