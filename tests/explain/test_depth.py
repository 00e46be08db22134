"""The choice of evidence for a whole model, on a made-up one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

from ecotone.errors import InputError
from ecotone.explain import depth
from ecotone.explain.applicability import AreaOfApplicability
from ecotone.explain.community import occurrence, richness, turnover
from ecotone.explain.depth import Case, evidence_in_depth, map_richness
from ecotone.explain.response import response_curves

NAMES = ("heat", "rain", "soil")


@pytest.fixture(scope="module")
def case():
    rng = np.random.default_rng(0)
    valid = rng.random((12, 15)) < 0.8
    picture = np.column_stack([rng.normal(size=(valid.sum(), 2)), rng.choice([1, 2], valid.sum())])
    rows, columns = np.nonzero(valid)
    chosen = rng.choice(len(picture), 40, replace=False)
    slope = rng.normal(size=(3, 4))

    def members(x):
        return np.stack([x @ slope + k * 0.2 * x[:, :1] * x[:, 1:2] for k in range(3)])

    counts = sparse.csr_array((rng.random((40, 4)) < [0.7, 0.5, 0.3, 0.2]).astype(float))
    xy = np.stack([columns[chosen] + 0.5, 11.5 - rows[chosen]], axis=1)
    sites = picture[chosen]
    return Case(
        species=("fern", "moss", "oak", "rush"),
        covariates=NAMES,
        sites=sites,
        xy=xy,
        counts=counts,
        background=picture[rng.choice(len(picture), 60)],
        members=members,
        combine=lambda f: f.mean(0),
        scale=lambda f, output: np.exp(f - 6) if output == "expected_count" else -np.expm1(-np.exp(f - 2)),
        picture=picture,
        valid=valid,
        extent=(0.0, 15.0, 0.0, 12.0),
        levels={"soil": (1, 2)},
        units={"heat": "degC"},
        area=AreaOfApplicability.fit(sites, np.arange(40) % 4, NAMES, categorical=["soil"]),
        importance=np.array([0.2, 0.1, 0.0]),
    )


def curves_of(case, shown):
    return response_curves(
        lambda x: case.scale(case.members(x), "cloglog")[:, :, shown],
        case.background,
        [case.sites] * len(shown),
        NAMES,
        [case.species[j] for j in shown],
        levels=case.levels,
    )


def test_a_model_of_several_species_gets_everything(case, tmp_path):
    from ecotone.files.evidence import load_evidence, save_evidence

    found = evidence_in_depth(case, [0, 2], curves=curves_of(case, [0, 2]))
    titles = [e.title for e in found]
    for expected in (
        "Expected number of species",
        "Species compared: response to heat",
        "Niche overlap of species",
        "Niche overlap: most similar pairs",
        "Covariates that act together, mean over species",
        "Acting together: heat and rain",
        "Area of applicability",
        "Sampling effort, smoothed",
        "Sampling effort along heat",
        "fern: thresholds",
        "oak: thresholds",
    ):
        assert any(t.startswith(expected) for t in titles), expected
    assert len(found) <= 26
    save_evidence(tmp_path, found)
    assert [e.title for e in load_evidence(tmp_path)] == titles


def test_one_species_gets_what_concerns_it(case):
    found = evidence_in_depth(replace(case, area=None), [1])
    assert {e.target for e in found} == {"moss", ""}
    titles = " ".join(e.title for e in found)
    assert "Niche" not in titles and "number of species" not in titles and "applicab" not in titles
    assert "moss: acting together, heat and rain" in titles
    assert evidence_in_depth(replace(case, area=None), [])  # effort needs no species


def test_blocks_do_not_change_richness(case, monkeypatch):
    whole = richness(occurrence(case.scale(case.members(case.picture), "expected_count")))
    np.testing.assert_array_equal(map_richness(case).bands(), whole.bands())
    monkeypatch.setattr(depth, "_BLOCK", 300)
    np.testing.assert_allclose(map_richness(case).bands(), whole.bands(), rtol=1e-12)


def test_change_is_that_of_every_cell_by_itself(case, monkeypatch):
    then = case.picture + np.array([1.0, -0.5, 0.0])
    then[3, 0] = np.nan
    change, share = evidence = depth.change_evidence(case, then, between="now and 2050", output="cloglog")
    place = tuple(np.argwhere(case.valid)[0])
    before, after = (case.scale(case.members(x[:1]), "cloglog") for x in (case.picture, then))
    expected = turnover(before, after)
    np.testing.assert_allclose(
        [change.weights[0][place], change.weights[1][place]], [expected.gains[0], expected.losses[0]]
    )
    assert share.weights[0][place] == pytest.approx(expected.sorensen[0])
    assert np.isnan(share.weights[0][tuple(np.argwhere(case.valid)[3])])
    monkeypatch.setattr(depth, "_BLOCK", 300)
    for one, other in zip(evidence, depth.change_evidence(case, then, between="", output="cloglog"), strict=True):
        np.testing.assert_allclose(one.weights, other.weights, rtol=1e-12)
    nothing = depth.change_evidence(case, case.picture, between="now and now")[0]
    assert np.nanmax(nothing.weights) == 0
    with pytest.raises(InputError) as caught:
        depth.change_evidence(case, then[1:], between="")
    assert caught.value.code == "DA404"


@pytest.mark.filterwarnings("error")
def test_all_of_it_is_drawn_without_warnings(case):
    from ecotone.report.svg import evidence_svg

    for i, item in enumerate(evidence_in_depth(case, [0, 2], curves=curves_of(case, [0, 2]))):
        if item.kind != "check":
            assert "<svg" in evidence_svg(item, f"k{i}")


def test_surfaces_of_some_species_ask_for_no_others(case):
    """Thousands of species at tens of thousands of cells would not fit in memory."""

    def some(x, species, output):
        answer = case.combine(case.members(x))[:, species]
        return answer if output is None else case.scale(answer, output)

    few = depth._together(replace(case, some=some, members=None), [2, 0], "cloglog", 3)
    for one, other in zip(few, depth._together(case, [2, 0], "cloglog", 3), strict=True):
        assert repr(one) == repr(other)


def test_thresholds_are_those_of_the_records(case):
    found = depth.case_thresholds(case)
    score = case.combine(case.members(case.sites))
    for j in range(4):
        own = score[case.counts.toarray()[:, j] > 0, j]
        assert found.value[j, 0] == own.min() and found.records[j] == len(own)


def test_parts_that_do_not_fit_are_one_line(case):
    for change in ({"picture": case.picture[1:]}, {"counts": case.counts[1:]}):
        with pytest.raises(InputError) as caught:
            replace(case, **change)
        assert caught.value.code == "DA404" and "\n" not in str(caught.value)
