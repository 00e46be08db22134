"""Response curves against their definition, one prediction at a time."""

from __future__ import annotations

import numpy as np
import pytest

from ecotone.errors import InputError, UsageError
from ecotone.explain.response import compare_species, response_curves

NAMES = ("heat", "rain", "soil")
TARGETS = ("fern", "moss")
LEVELS = {"soil": (1, 2, 4)}


def draw(seed=0, n=40):
    rng = np.random.default_rng(seed)
    return np.column_stack([rng.normal(20, 4, n), rng.gamma(2, 200, n), rng.choice([1, 2, 4], n)])


def predict(x, members=3):
    """(M, N, S); covariates interact."""
    heat, rain, soil = (x[:, 0] - 20) / 4, (x[:, 1] - 400) / 200, x[:, 2]
    f = np.stack([heat * rain + (soil == 2), -(heat**2) + 0.3 * rain * (soil == 4)], axis=1)
    return np.stack([1 / (1 + np.exp(-(1 + 0.3 * m) * f)) for m in range(members)])


@pytest.fixture
def given():
    background = draw()
    return background, [background[5:15], background[20:27]]


def curves_of(given, **options):
    options = {"levels": LEVELS, "sites": 1000, "points": 9} | options
    return response_curves(predict, given[0], given[1], NAMES, TARGETS, **options)


def test_order_and_labels(given):
    curves = curves_of(given, units={"heat": "degC"}, y_label="cloglog")
    assert [(c.target, c.x_label) for c in curves] == [(t, n) for t in TARGETS for n in NAMES]
    assert curves[0].x_unit == "degC"
    assert curves[0].y_label == "cloglog"
    assert not curves[0].exact
    assert [c.x_label for c in curves_of(given, only=["rain"])] == ["rain", "rain"]


def test_partial_dependence_by_brute_force(given):
    """Every background site with the covariate replaced, one site and one value at a time."""
    background, _ = given
    for curve in curves_of(given):
        p, j = NAMES.index(curve.x_label), TARGETS.index(curve.target)
        grid = np.array(LEVELS["soil"], float) if curve.x_label == "soil" else curve.x
        for k, value in enumerate(grid):
            answers = []
            for site in background:
                site = site.copy()
                site[p] = value
                answers.append(predict(site[None])[:, 0, j])
            by_member = np.mean(answers, axis=0)
            assert curve.y[k] == pytest.approx(by_member.mean())
            np.testing.assert_allclose([curve.lower[k], curve.upper[k]], np.quantile(by_member, [0.05, 0.95]))


def test_profile_at_the_medians_of_the_presences(given):
    _, presences = given
    for curve in curves_of(given):
        p, j = NAMES.index(curve.x_label), TARGETS.index(curve.target)
        centre = [np.median(presences[j][:, 0]), np.median(presences[j][:, 1])]
        levels, times = np.unique(presences[j][:, 2], return_counts=True)
        centre.append(levels[np.argmax(times)])
        grid = np.array(LEVELS["soil"], float) if curve.x_label == "soil" else curve.x
        (profile,) = curve.references.values()
        for k, value in enumerate(grid):
            site = np.array(centre)
            site[p] = value
            assert profile[k] == pytest.approx(predict(site[None])[:, 0, j].mean())


def test_grid_covers_the_background_and_support_the_records(given):
    background, presences = given
    heat, _, soil = curves_of(given)[:3]
    np.testing.assert_allclose(heat.x, np.linspace(background[:, 0].min(), background[:, 0].max(), 9))
    np.testing.assert_array_equal(heat.support, np.sort(presences[0][:, 0]))
    assert heat.categories is None
    np.testing.assert_array_equal(soil.x, [0, 1, 2])
    assert soil.categories == ("1", "2", "4")
    assert soil.support is None


def test_one_member_has_no_band_and_constants_one_point(given):
    background = given[0].copy()
    background[:, 1] = 7.0
    curves = response_curves(lambda x: predict(x, 1), background, given[1], NAMES, TARGETS, levels=LEVELS)
    assert curves[0].lower is None
    np.testing.assert_array_equal(curves[1].x, [7.0])


def test_a_sample_of_sites_is_drawn_by_seed(given):
    one, same, other = (curves_of(given, sites=10, seed=s)[0].y for s in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_a_species_without_records_is_drawn_at_the_background(given):
    curves = response_curves(predict, given[0], [given[1][0], np.empty((0, 3))], NAMES, TARGETS, levels=LEVELS)
    assert all(np.isfinite(c.y).all() and np.isfinite(next(iter(c.references.values()))).all() for c in curves)


def test_a_band_over_sites_is_the_quantiles_of_single_sites(given):
    """Individual curves, members averaged first, one site and one value at a time."""
    background, _ = given
    for curve in curves_of(given, band="sites"):
        p, j = NAMES.index(curve.x_label), TARGETS.index(curve.target)
        grid = np.array(LEVELS["soil"], float) if curve.x_label == "soil" else curve.x
        for k, value in enumerate(grid):
            single = []
            for site in background:
                site = site.copy()
                site[p] = value
                single.append(predict(site[None])[:, 0, j].mean())
            assert curve.y[k] == pytest.approx(np.mean(single))
            np.testing.assert_allclose([curve.lower[k], curve.upper[k]], np.quantile(single, [0.05, 0.95]))
        assert "40 single background sites" in curve.band


def test_the_band_says_what_it_is(given):
    assert curves_of(given)[0].band == "5-95 % of 3 ensemble members"
    assert curves_of(given, member="bootstrap refit")[0].band == "5-95 % of 3 bootstrap refits"
    assert curves_of(given, band="auto")[0].band == curves_of(given)[0].band
    single = response_curves(lambda x: predict(x, 1), *given, NAMES, TARGETS, levels=LEVELS, band="auto")
    assert "not an uncertainty" in single[0].band
    without = curves_of(given, band="none")[0]
    assert without.lower is None and without.band == ""


def test_species_are_compared_on_one_axis(given):
    curves = curves_of(given)
    heat, rain, soil = compare_species(curves)
    assert (heat.name, list(heat.references)) == ("fern", ["moss"])
    np.testing.assert_array_equal(heat.y, curves[0].y)
    np.testing.assert_array_equal(rain.references["moss"], curves[4].y)
    assert soil.categories == ("1", "2", "4")
    scaled = compare_species(curves, scaled=True)[0]
    assert scaled.y.max() == pytest.approx(1)
    np.testing.assert_allclose(scaled.y, curves[0].y / curves[0].y.max())
    assert compare_species(curves[:3]) == []
    import dataclasses

    third = [dataclasses.replace(c, target="lichen") for c in curves[:3]]
    assert "1 more species" in compare_species(curves + third, limit=2)[0].note


@pytest.mark.parametrize(
    ("change", "code"),
    [({"band": "wide"}, "US104"), ({"background": np.empty((0, 3))}, "OC205"), ({"presences": []}, "DA404")],
)
def test_bad_requests_are_one_line(given, change, code):
    asked = {"background": given[0], "presences": given[1]} | change
    with pytest.raises((InputError, UsageError)) as caught:
        response_curves(
            predict, asked.pop("background"), asked.pop("presences"), NAMES, TARGETS, levels=LEVELS, **asked
        )
    assert caught.value.code == code
