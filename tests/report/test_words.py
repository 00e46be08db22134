"""The words of the page: scores, verdicts, commands, titles and legends as people read them."""

from __future__ import annotations

import numpy as np
import pytest

from ecotone.contract import Check, Curve, Overlay, Score, Scores
from ecotone.report.blocks import Budget, build_block, short_title
from ecotone.report.figures import draw
from ecotone.report.metrics import label, meaning
from ecotone.report.page import _command, _score_tiles, _trust, environment


class Run:
    def __init__(self, scores=None):
        self.scores = scores

    def read_scores(self):
        return self.scores


def test_scores_of_random_folds_stand_beside_those_of_blocks():
    metrics = {
        "auc": Score(0.7, 0.6, 0.8, 11),
        "auc_random": Score(0.9),
        "boyce_random": Score(0.5),
        "my_skill": Score(2),
    }
    tiles = {t["key"]: t for t in _score_tiles(Run(Scores(metrics, "blocks")), {"metrics": {"stale": 1.0}})}
    assert list(tiles) == ["auc", "boyce_random", "my_skill"]
    assert tiles["auc"]["name"] == "AUC" and tiles["auc"]["beside"] == "0.9" and "guessing" in tiles["auc"]["meaning"]
    assert tiles["boyce_random"]["name"] == "Boyce index, random folds" and tiles["my_skill"]["name"] == "my skill"
    lone = {"value": 0.5, "low": None, "high": None, "n": 1}
    skill = _score_tiles(Run(), {"metrics": {"s": Score(0.5, -0.2, 0.8), "t": Score(0.5, 0.2, 3), "u": Score(0, 0, 1)}})
    assert [(t.get("start"), t["bar"]) for t in skill] == [
        ("−1", {"low": 40, "value": 75, "high": 90}),
        (None, None),
        ("0", {"low": 0, "value": 0, "high": 100}),
    ]
    (tile,) = _score_tiles(Run(), {"metrics": {"auc": lone}})
    assert (tile["n"], tile["interval"], tile["beside"]) == ("", "", "")
    assert label("auc_target_group_random") == "AUC among visited sites, random folds" and meaning("unknown") == ""


def test_a_note_that_judges_nothing_is_no_warning():
    told = Check(title="Foo bar: thresholds", claim="value", measured=0.39, target="Foo bar")
    kept = Check(title="Records kept", claim="94 of 116", measured=81.0, unit="%")
    judged = Check(title="Extrapolation", claim="share", measured=9.0, bound=5.0, unit="%")
    blocks = [build_block(c, Budget()) for c in (told, kept, judged)]
    assert [b.check["verdict"] for b in blocks] == ["info", "info", "note"]
    assert [b.check["measured"] for b in blocks] == ["0.39", "81 %", "measured 9 %, bound 5 %"]
    assert [(line["title"], line["verdict"]) for line in _trust(blocks)] == [
        ("Extrapolation", "note"),
        ("Records kept", "info"),
    ]


def test_titles_need_not_repeat_the_target():
    assert short_title("Foo bar: response to bio1", "Foo bar") == "Response to bio1"
    assert short_title("Foo bar: response", "Foo") == "Foo bar: response" == short_title("Foo bar: response", "")
    curve = Curve(
        title="Foo bar: response", target="Foo bar", x=np.arange(3.0), y=np.arange(3.0), x_label="a", y_label="b"
    )
    assert build_block(curve, Budget(), within="Foo bar").title == "Response"


def test_code_in_notes_is_set_as_code_and_everything_is_escaped():
    code = environment().filters["code"]
    assert code("write `ecotone map --top` now") == "write <code>ecotone map --top</code> now"
    assert code("<b> `<script>` &") == "&lt;b&gt; <code>&lt;script&gt;</code> &amp;"
    assert code("a lone ` <tick>") == "a lone ` &lt;tick&gt;"


def test_commands_can_be_typed_again():
    short = ["ecotone", "fit", "deepmaxent", "--out", "my run"]
    assert _command(short) == "ecotone fit deepmaxent --out 'my run'"
    rasters = [f"/data/climate/bio{i}.tif" for i in range(1, 6)]
    long = _command(
        ["ecotone", "fit", "deepmaxent", "--covariates", *rasters, "--categorical", "biome", "--out", "a b"]
    )
    assert long.splitlines()[0] == "ecotone fit deepmaxent \\"
    import shlex

    assert shlex.split(long.replace("\\\n", "")) == [
        *["ecotone", "fit", "deepmaxent", "--covariates", *rasters],
        *["--categorical", "biome", "--out", "a b"],
    ]


@pytest.mark.parametrize("layers", [1, 3])
def test_a_legend_names_the_classes_that_are_there(layers):
    weights = np.zeros((layers, 4, 5))
    weights[0, 0, 0], weights[-1, 1, 1] = 2, np.nan
    legend = {0: "inside", 1: "bio1", 2: "bio12", 3: "biome"}
    figure = draw(Overlay(title="o", weights=weights, names=tuple("abc"[:layers]), legend=legend))
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["inside", "bio12"]


def test_details_are_a_list_that_wraps(tmp_path, build):
    reason = "target group is undefined: " + "there is one species " * 8
    run = build(
        tmp_path / "r", [Check(title="Background used", claim="c", measured=1.0, details=(("reason", reason),))]
    )
    from ecotone.report.page import write_report

    html = write_report(run.path).read_text()
    assert f"<dt>reason</dt><dd>{reason.strip()} </dd>" in html or f"<dt>reason</dt><dd>{reason}</dd>" in html
    assert '<dl class="facts">' in html
