"""What is compared, against slow plain rewrites; what is refused."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from ecotone.contract import Check, Contributions, Curve, Overlay, Score
from ecotone.errors import EcotoneError
from ecotone.files.evidence import save_evidence
from ecotone.report.compare import compare, short_names
from ecotone.report.compare_words import glance
from ecotone.report.evidence_pairs import pair_curves, pair_terms
from ecotone.report.map_pairs import MapSide, layer_pairs, overlay_side, pair_sides, read_side
from ecotone.report.pairing import pair, pair_evidence
from ecotone.report.record_changes import input_changes, setting_changes
from ecotone.report.score_changes import score_changes
from ecotone.stats.bootstrap import paired_bootstrap


@pytest.fixture(scope="module")
def found(two_runs):
    return compare(two_runs[0].path, two_runs[1].path)


# ------------------------------------------------------------------------------------------------ pairing
def slow_pair(run, other, key, loose):
    rest, both, alone = list(other), [], []
    for item in run:
        same = [o for o in rest if key(o) == key(item)]
        if same:
            both.append((item, same[0]))
            rest.remove(same[0])
        else:
            alone.append(item)
    for item in list(alone):
        same = [o for o in rest if loose(o) == loose(item)]
        if len(same) == 1 and [loose(a) for a in alone].count(loose(item)) == 1:
            both.append((item, same[0]))
    used = {id(a) for a, _ in both}
    return (
        sorted(both),
        [r for r in run if id(r) not in used],
        [o for o in other if all(o is not b for _, b in both)],
    )


@pytest.mark.parametrize("seed", range(12))
def test_pairing_is_that_of_a_plain_search(seed):
    rng = np.random.default_rng(seed)
    sides = [[(int(a), int(b), f"{s}{i}") for i, (a, b) in enumerate(rng.integers(5, size=(9, 2)))] for s in "xy"]
    quick = pair(*sides, lambda t: t[:2], lambda t: t[0])
    both, only_run, only_other = slow_pair(*sides, lambda t: t[:2], lambda t: t[0])
    assert sorted(quick.both) == both
    assert (list(quick.only_run), list(quick.only_other)) == (only_run, only_other)


def test_curves_of_other_methods_are_found_by_their_axis():
    x = np.linspace(0, 1, 3)

    def curve(title, **more):
        return Curve(**{"title": title, "x": x, "y": x, "x_label": "bio1", "y_label": "y", "target": "A", **more})

    one, two = curve("A: response to bio1"), curve("Marginal effect", x_label="Bio1")
    assert pair_evidence([one], [two]).both == ((one, two),)
    assert not pair_evidence([one], [curve("M", target="B")]).both
    assert not pair_evidence([one], [curve("M"), curve("N")]).both
    assert not pair_evidence([one], [Check(title=one.title, target="A", claim="c", measured=1.0)]).both


# ------------------------------------------------------------------------------------------------ records
def test_settings_are_told_apart_by_value_and_by_side():
    run = {"system": "a", "config": {"epochs": 5, "width": None, "x": [1, 2]}, "seeds": {"seed": 1}}
    other = {"system": "b", "config": {"epochs": 5, "width": 3, "y": True}, "seeds": {"seed": 1}}
    changes = setting_changes(run, other)
    assert [(c.name, c.run, c.other) for c in changes.shared] == [("system", "a", "b"), ("width", "default", "3")]
    assert [(c.name, c.run, c.other) for c in changes.changed[2:]] == [("x", "1, 2", ""), ("y", "", "yes")]
    assert changes.same == 2


def test_inputs_are_matched_by_content_not_by_name():
    run = {"inputs": {"p/a.csv": "1" * 64, "p/b.tif": "2" * 64, "p/r.grd": "3" * 64, "p/r.gri": "4" * 64}}
    other = {"inputs": {"q/renamed.csv": "1" * 64, "q/b.tif": "9" * 64, "r.grd": "3" * 64, "r.gri": "5" * 64}}
    changes = input_changes(run, other)
    assert [(c.name, c.run[:1], c.other[:1]) for c in changes.changed] == [("b.tif", "2", "9"), ("r.grd", "4", "5")]
    assert changes.same == 1


# ------------------------------------------------------------------------------------------------ scores
def test_score_differences_are_paired_over_what_both_scored():
    rng = np.random.default_rng(0)
    a = [{"species": f"s{i}", "region": "r", "auc": float(v)} for i, v in enumerate(rng.random(20))]
    b = [{"region": "r", "species": f"s{i}", "auc": float(v)} for i, v in enumerate(rng.random(25))][::-1]
    a[3]["auc"] = math.nan
    a.append(a[5] | {"auc": 0.1})
    (change,) = score_changes({"auc": Score(0.5), "x": Score(1)}, {"auc": Score(0.4), "y": Score(1)}, a, b)
    there = {row["species"]: row["auc"] for row in b}
    pairs = [(r["auc"], there[r["species"]]) for r in a[:20] if r["species"] not in ("s3", "s5")]
    expected = paired_bootstrap(*map(np.array, zip(*pairs, strict=True)))
    assert change.paired == expected and len(change.keys) == 18 and "s0 · r" in change.keys
    assert change.difference == pytest.approx(np.mean([p - q for p, q in pairs]))


def test_few_pairs_are_not_put_into_words():
    def verdict(n, shift):
        a = [{"species": f"s{i}", "auc": 0.5 + shift + 0.001 * i} for i in range(n)]
        b = [{"species": f"s{i}", "auc": 0.5} for i in range(n)]
        return score_changes({"auc": Score(1.0)}, {"auc": Score(0.0)}, a, b)[0].verdict

    assert [verdict(n, 0.1) for n in (0, 1, 5, 6)] == ["alone", "few", "few", "higher"]
    assert verdict(8, -0.1) == "lower" and verdict(9, -0.004) == "open"


# ------------------------------------------------------------------------------------------------ maps
def test_maps_are_compared_cell_by_cell(put_map, tmp_path):
    from scipy.stats import spearmanr

    rng = np.random.default_rng(1)
    a, b = rng.random((2, 9, 11)).round(1).astype(np.float32)
    a[0], b[:, 0] = np.nan, np.nan
    run = read_side(put_map(tmp_path / "a.tif", {"One": a, "Two": a}))
    other = read_side(put_map(tmp_path / "b.tif", {"two": b, "Three": b}))
    (layer,) = layer_pairs(run, other, amount=0.25)
    pairs = [(float(x), float(y)) for x, y in zip(a.ravel(), b.ravel(), strict=True) if x == x and y == y]
    assert (layer.cells, layer.alone) == (len(pairs), 8 + 10)
    assert layer.share == pytest.approx(sum(abs(x - y) > 0.25 for x, y in pairs) / len(pairs))
    assert layer.mean == pytest.approx(sum(x - y for x, y in pairs) / len(pairs))
    assert layer.rank == pytest.approx(spearmanr(*zip(*pairs, strict=True)).statistic)
    assert layer.amount == 0.25 and not layer.apart


def test_units_other_than_ratios_differ_by_a_share_of_their_range(put_map, tmp_path):
    a = np.linspace(0, 200, 60).reshape(6, 10)
    sides = [read_side(put_map(tmp_path / f"{k}.tif", {"t": a + 30 * k}, unit="mm")) for k in (0, 1)]
    (layer,) = layer_pairs(*sides)
    low, high = np.quantile(np.append(a, a + 30), [0.005, 0.995])
    assert layer.amount == pytest.approx(0.1 * (high - low)) and layer.share == 1.0 and layer.mean == pytest.approx(-30)


def test_other_grids_and_units_are_said_and_not_subtracted(put_map, tmp_path):
    a = np.random.default_rng(2).random((6, 10))
    base = read_side(put_map(tmp_path / "a.tif", {"s": a}))
    others = {
        "the grids differ in size": put_map(tmp_path / "b.tif", {"s": a[:5]}),
        "the grids differ in place": put_map(tmp_path / "c.tif", {"s": a}, west=-9),
        "the units differ": put_map(tmp_path / "d.tif", {"s": a}, unit="mm"),
    }
    for why, path in others.items():
        (layer,) = layer_pairs(base, read_side(path))
        assert layer.apart == why and math.isnan(layer.share) and layer.cells == 0


def test_maps_of_two_climates_are_paired_by_what_they_show():
    def side(title, **more):
        return MapSide(title=title, layers=np.zeros((1, 2, 2)), names=("A",), **more)

    classes = {"legend": {0: "n", 1: "y"}}
    warm = [
        side("ssp126"),
        side("ssp126: above p10", **classes),
        side("ssp126: above tss", **classes),
        side("alone", unit="km"),
    ]
    hot = [side("ssp585: above tss", **classes), side("ssp585"), side("ssp585: above p10", **classes)]
    hot.append(side("other", unit="mm"))
    found = pair_sides(warm, hot)
    assert [(a.title[6:], b.title[6:]) for a, b in found.both[1:]] == [(": above p10",) * 2, (": above tss",) * 2]
    assert [side.title for side in found.only_other] == ["other"]
    assert len(found.both) == 3 and layer_pairs(*found.both[1])[0].title == "ssp126: above p10 / ssp585: above p10"


def test_classes_differ_or_not():
    def side(values, legend):
        return overlay_side(Overlay(title="t", weights=np.array([values], float), names=("n",), legend=legend))

    legend = {0: "no", 1: "yes"}
    (layer,) = layer_pairs(side([[0, 1, 1, np.nan]], legend), side([[1, 1, 0, 1]], legend))
    assert layer.share == pytest.approx(2 / 3) and layer.difference[0, :3].tolist() == [-1, 0, 1]
    more = legend | {2: "perhaps"}
    (layer,) = layer_pairs(side([[0, 1, 2]], more), side([[2, 1, 0]], more))
    assert layer.difference.tolist() == [[1, 0, 1]] and math.isnan(layer.rank)
    (layer,) = layer_pairs(side([[0.0]], legend), side([[0.0]], {0: "never", 1: "yes"}))
    assert layer.apart == "the classes differ in meaning"


# ------------------------------------------------------------------------------------------------ curves, terms
def test_the_distance_of_curves_is_taken_where_both_are():
    def curve(x, y, **more):
        return Curve(title="r", x=np.array(x, float), y=np.array(y, float), x_label="x", y_label="y", **more)

    assert pair_curves(curve([0, 10], [0, 1]), curve([9, 5], [1, 1])).distance == pytest.approx(0.3)
    words = pair_curves(
        curve([0, 1], [0.2, 0.5], categories=("a", "b")), curve([0, 1], [0.4, 0], categories=("b", "z"))
    )
    assert words.distance == pytest.approx(0.1)
    for other in (curve([20, 30], [0, 1]), curve([], []), curve([0], [0], x_unit="mm"), curve([0], [0], y_unit="mm")):
        assert math.isnan(pair_curves(curve([0, 10], [0, 1]), other).distance)


def test_terms_are_matched_by_name():
    def terms(names, values, **more):
        return Contributions(title="t", names=names, values=np.array(values, float), **more)

    both = pair_terms(terms(("a", "b", "c"), [1, 2, 3]), terms(("c", "d", "b"), [30, 5, 40]))
    assert both.names == ("b", "c", "a", "d") and both.first == ("c", "b")
    assert np.array_equal(both.values, [[2, 3, 1, np.nan], [40, 30, np.nan, 5]], equal_nan=True)
    empty = pair_terms(terms((), []), terms((), []))
    assert empty.names == () and empty.first == ("", "") and math.isnan(empty.rank)


# ------------------------------------------------------------------------------------------------ the whole
def test_two_runs_side_by_side(found):
    assert found.names == ("first/oaks", "second/oaks") and found.scored == "species"
    assert {c.name for c in found.settings.changed} == {"epochs", "width", "fit"}
    assert [c.name for c in found.inputs.changed] == ["bio1.tif", "bio5.tif", "bio6.tif"] and found.inputs.same == 1
    assert [c.name for c in found.versions.changed] == ["numpy"]
    auc = next(s for s in found.scores if s.name == "AUC")
    assert auc.verdict == "higher" and auc.paired is not None and auc.paired.n == 12
    layers = {(m.title, m.name): m for m in found.maps}
    assert layers["map", "Quercus ilex"].share > 0 and layers["map", "Quercus suber"].share == 0
    assert layers["moved", "Quercus ilex"].apart == "the grids differ in place"
    assert ("first / second", "spread") in layers  # paired by band and unit, for want of a title
    distances = [c.distance for c in found.curves]
    assert distances == sorted(distances, reverse=True) and len(distances) == 3
    assert found.checks[0].run.title == "Sampling effort" and found.checks[0].verdict_differs
    assert "overlay: Suitability" in found.unmatched[0] and "check: Of its own" in found.unmatched[1]
    assert "score: own 0.05" in found.unmatched[0] and "Sentences that weigh most" in found.uncompared


def test_the_first_words_say_what_matters(found):
    words = dict(glance(found))
    assert words["Settings"] == "epochs, fit; 1 in one run only" and "numpy" in words["Versions"]
    assert words["AUC"].startswith("+0.088 [") and words["AUC"].endswith("over 12 species: higher in first/oaks")
    assert "rank correlation" in words["Map"] and "differ by more than 0.1" in words["Map"]
    assert words["Checks"] == "Sampling effort of Quercus ilex: holds in first/oaks, fails in second/oaks"
    assert words["Responses"].startswith("3 compared")


def test_turned_round_all_differences_change_sign(found, two_runs):
    back = compare(two_runs[1].path, two_runs[0].path)
    rows = {(r["what"], r["name"], r["target"], r.get("layer"), r.get("of")): r["difference"] for r in back.rows()}
    compared = 0
    for r in found.rows():
        key = (r["what"], r["name"], r["target"], r.get("layer"), r.get("of"))
        if key in rows and math.isfinite(r["difference"]):
            assert rows[key] == pytest.approx(-r["difference"], abs=1e-12)
            compared += 1
    assert compared > 25


def test_rows_are_plain_and_complete(found):
    from ecotone.files.atomic import jsonable

    rows = json.loads(json.dumps(jsonable(found.rows()), allow_nan=False))
    assert {r["what"] for r in rows} == {"setting", "input", "version", "score", "map", "curve", "importance", "check"}
    needed = {"what", "name", "target", "run", "other", "difference", "low", "high", "n"}
    assert all(needed <= set(r) for r in rows)


def test_names_are_told_apart(tmp_path):
    assert short_names(tmp_path / "a", tmp_path / "b") == ("a", "b")
    assert short_names(tmp_path / "x" / "r" / "1", tmp_path / "y" / "r" / "1") == ("x/r/1", "y/r/1")


def test_another_method_with_other_evidence(make_pair, tmp_path):
    first, second = make_pair(tmp_path / "two")
    second.record_path.write_text(json.dumps(second.record | {"system": "maxent", "maps": [], "metrics": {}}))
    second.scores_path.unlink()
    x = np.linspace(0, 20, 9)
    marginal = {"x_label": "bio1", "x_unit": "degC", "y_label": "cloglog", "target": "Quercus ilex"}
    save_evidence(second.evidence_path, [Curve(title="Marginal", x=x, y=x / 20, **marginal)])
    other = compare(first.path, second.path)
    assert [c.variable for c in other.curves] == ["bio1"] and not other.scores and not other.maps
    assert other.settings.changed[0].name == "system"
    assert glance(other)


def refusal(*places, **more):
    with pytest.raises(EcotoneError) as caught:
        compare(*places, **more)
    assert "\n" not in str(caught.value) and str(caught.value).count(" - ") == 1
    return caught.value.code


def test_what_cannot_be_compared_is_one_line(make_pair, tmp_path):
    first, second = make_pair(tmp_path / "two")
    assert refusal(first.path, first.path.parent / "." / first.path.name) == "US105"
    assert refusal(first.path, tmp_path / "none") == refusal(tmp_path, second.path) == "IO101"
    assert refusal(first.path, second.path, amount=0) == "US104"
    kept = second.scores_path.read_bytes()
    second.scores_path.write_text('{"metrics": 3}')
    assert refusal(first.path, second.path) == "IO102"
    second.scores_path.write_bytes(kept)
    evidence = next(second.evidence_path.glob("*.json"))
    evidence.write_text("{")
    assert refusal(first.path, second.path) == "IO102"
    save_evidence(second.evidence_path, [Check(title="c", claim="c", measured=1.0, target="Fagus sylvatica")])
    second.scores_path.unlink()
    assert refusal(first.path, second.path) == "DA406"
    second.record_path.write_text("{}")
    assert refusal(first.path, second.path) == "IO102"


def test_a_band_over_sites_is_not_laid_over_one_of_uncertainty():
    x = np.linspace(0, 1, 4)

    def banded(words):
        return Curve(title="c", x=x, y=x, x_label="bio1", y_label="y", lower=x - 0.1, upper=x + 0.1, band=words)

    sites = banded("5-95 % of 100 single background sites; not an uncertainty")
    mixed = pair_curves(banded("5-95 % of 5 ensemble members"), sites)
    assert mixed.drawn[0].lower is not None and mixed.drawn[1].lower is None and mixed.drawn[1].band == ""
    alike = pair_curves(sites, replace(sites, band=sites.band.replace("100", "80")))
    assert alike.drawn == (alike.run, alike.other)


def test_pairs_of_covariates_are_matched_whatever_their_strength():
    def strengths(names):
        return Contributions(title="t", names=names, values=np.array([2.0, 1.0]))

    both = pair_terms(strengths(("a × b (H=0.10)", "a × c (H=0.05)")), strengths(("a × b (H=0.88)", "b × c (H=0.1)")))
    assert both.names == ("a × b", "a × c", "b × c") and both.values[:, 0].tolist() == [2, 2]
    assert both.run.names == ("a × b", "a × c")


def test_nearly_all_cells_are_told_in_full():
    from ecotone.report.contrast import percent

    assert [percent(s).split("\xa0")[0] for s in (0.996, 1.0, 0.123, float("nan"))] == ["99.6", "100", "12", "n/a"]


def test_surfaces_over_covariates_are_no_maps(tmp_path, build):
    surface = Overlay(
        title="Acting together: heat and rain", weights=np.ones((1, 3, 3)), names=("fern",), extent=(0, 400, 0, 3000),
        x_label="heat", y_label="rain",
    )  # fmt: skip
    places = [build(tmp_path / name, [surface]).path for name in ("a", "b")]
    found = compare(*places)
    assert not found.pictures and found.uncompared == (surface.title,)


def test_layers_that_are_the_same_give_way_to_those_that_differ(tmp_path, build):
    from ecotone.report.compare_words import layers_shown

    land = np.random.default_rng(0).random((1, 5, 6))
    land[0, 0] = np.nan

    def run(name, shift):
        alike = Overlay(title="Similarity", weights=land, names=("a",), extent=(0, 6, 0, 5))
        return build(tmp_path / name, [alike, replace(alike, title="Suitability", weights=land * shift)]).path

    found = compare(run("a", 1.0), run("b", 0.5))
    assert [layer.title for layer in layers_shown(found.pictures)] == ["Suitability"]
    same = compare(tmp_path / "a", run("c", 1.0))
    assert len(layers_shown(same.pictures)) == 1
    assert any("the same in every cell" in words for _, words in glance(same))
