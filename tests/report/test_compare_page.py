"""The page of a comparison: what it shows, what it never asks for, and the verb that writes it."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from page_reader import Page

from ecotone.contract import Check, Curve, Score, Scores
from ecotone.errors import InputError
from ecotone.files.evidence import load_evidence, save_evidence
from ecotone.report.blocks import Budget
from ecotone.report.compare import compare
from ecotone.report.compare_page import default_path, page_context, write_comparison
from ecotone.report.contrast import draw_curves, draw_layers, draw_scored, draw_terms, short_pair
from ecotone.report.page import POLICY, write_report

EVIL = "</style></title><script>alert(1)</script>"


@pytest.fixture(scope="module")
def found(two_runs):
    return compare(two_runs[0].path, two_runs[1].path)


@pytest.fixture(scope="module")
def html(found, tmp_path_factory) -> str:
    out = tmp_path_factory.mktemp("page") / "new" / "page.html"
    assert write_comparison(found, out) == out
    return out.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(html) -> Page:
    return Page(html)


def test_the_page_holds_all_it_shows(page, html):
    page.check_self_contained()
    page.check_links()
    page.check_pictures(9)
    assert [m["content"] for m in page.of("meta") if m.get("http-equiv")] == [POLICY]
    assert "<script" not in html and len(page.of("h1")) == 1 and len(html) < 1_500_000
    assert len([a for a in page.of("a") if "download" in a]) >= len(page.of("article"))


def test_what_a_reader_looks_for_is_there(page):
    assert {"summary", "scores", "maps", "responses", "importance", "checks", "alone"} == {
        s.get("id") for s in page.of("section")
    }
    words = " ".join(" ".join(page.words).split())
    for expected in (
        "first/oaks against second/oaks",
        "+0.088",
        "higher in first/oaks",
        "The inputs differ, so the scores may rest on other records",
        "Side by side only: the grids differ in place.",
        "of cells differ by more than 0.1",
        "overlay: Suitability",
        "Quercus ilex: bio1",
    ):
        assert expected in words
    checks = words[words.rindex("check first/oaks second/oaks") :]
    assert checks.index("Sampling effort") < checks.index("checks found the same in both")


def test_the_same_runs_give_the_same_page(found, two_runs, tmp_path):
    again = compare(*(run.path for run in two_runs))
    pages = [write_comparison(one, tmp_path / "p.html", max_figures=3).read_bytes() for one in (found, again)]
    assert pages[0] == pages[1] and b"figures were left out" in pages[0]


def test_colours_and_panels_tell_the_runs_apart(found):
    apart = next(m for m in found.maps if m.apart)
    near = next(m for m in found.maps if not m.apart and m.share > 0)
    names = ("run-of-a-very-long-name-2050", "run-of-a-very-long-name-2070")
    titles = [ax.get_title(loc="left") for ax in draw_layers(near, names).axes if ax.get_title(loc="left")]
    assert len(titles) == 3 and titles[0] != titles[1]
    assert len([ax for ax in draw_layers(apart, names).axes if ax.get_title(loc="left")]) == 2
    images = [ax.images[0] for ax in draw_layers(near, names).axes if ax.images]
    assert images[0].get_clim() == images[1].get_clim() == (0, 1)
    assert images[2].get_clim()[0] == -images[2].get_clim()[1]
    lines = {line.get_color() for line in draw_curves(found.curves[0], names).axes[0].lines}
    assert len(lines) == 2
    assert len(draw_terms(found.terms[0], names).axes[0].patches) == 2 * len(found.terms[0].names)
    many = tuple(f"s{i}" for i in range(80))
    dots = draw_scored("AUC", "species", many, (np.arange(80.0), np.ones(80)), names).axes[0]
    assert dots.get_xlabel().endswith(short_pair(names, 16)[1]) and "78 of 80 species" in dots.get_title(loc="left")


def test_names_are_shortened_and_still_told_apart():
    assert short_pair(("a", "b")) == ("a", "b")
    assert short_pair(("x" * 9 + "1", "x" * 9 + "2"), 5) == ("…xxx1", "…xxx2")
    a, b = short_pair(("y" * 9 + "1" + "z" * 9, "y" * 9 + "2" + "z" * 9), 5)
    assert a != b


def test_many_species_stay_within_the_page(make_pair, tmp_path):
    first, second = make_pair(tmp_path / "two")
    x = np.linspace(0, 1, 5)
    for run, by in ((first, 0.0), (second, 0.1)):
        items = [
            item
            for i in range(26)
            for item in (
                Curve(title="R", x=x, y=x + by * i / 26, x_label="bio1", y_label="s", target=f"Sp {i:02d}"),
                Check(title="Effort", claim="small", measured=by, verdict="pass", target=f"Sp {i:02d}"),
            )
        ]
        save_evidence(run.evidence_path, items)
    context = page_context(compare(first.path, second.path), Budget(figures=2))
    assert len(context["curves"]) == 9 and context["curves"][0].title == "Sp 25: bio1"
    assert context["curve_table"].total == 26 and len(context["checks"]) == 15 and context["checks_more"] == 11
    assert context["left_out"] > 0


def test_hostile_runs_give_a_harmless_page(make_pair, tmp_path):
    first, second = make_pair(tmp_path / "two")
    for run in (first, second):
        items = load_evidence(run.evidence_path)
        kept = [i for i in items if isinstance(i, Check)][:2] + [i for i in items if isinstance(i, Curve)][:1]
        save_evidence(run.evidence_path, [replace(i, title=EVIL, target=EVIL, note=EVIL) for i in kept])
        rows = [{"species": EVIL, EVIL: EVIL, "AUC": 0.5}, {"species": "b", EVIL: "c", "AUC": 0.7}]
        run.write_scores(Scores({"AUC": Score(0.7), EVIL: Score(1.0)}, split=EVIL + str(run.path), rows=rows))
        record = run.record | {
            "system": EVIL,
            "config": {EVIL: [EVIL, str(run.path)], "x": {EVIL: 1}},
            "seeds": {EVIL: 3},
            "versions": {EVIL: str(run.path)},
            "inputs": {EVIL: str(run.path)},
            "started": EVIL,
            "maps": [EVIL, 7, {"path": "/etc/passwd", "title": EVIL}],
        }
        run.record_path.write_text(json.dumps(record))
    page = write_comparison(compare(first.path, second.path))
    assert page.name == "compare-second-oaks.html" and page.parent == first.path
    text = page.read_text(encoding="utf-8")
    assert "<script" not in text and "&lt;script&gt;" in text and "root:" not in text
    Page(text).check_self_contained()


def test_the_page_may_be_put_elsewhere_or_not_at_all(found, two_runs, tmp_path):
    assert default_path(found) == two_runs[0].path / "compare-second-oaks.html"
    (tmp_path / "file").write_text("x")
    for out in (tmp_path, tmp_path / "file" / "page.html"):
        with pytest.raises(InputError) as caught:
            write_comparison(found, out, max_figures=0)
        assert caught.value.code == "IO104"


def test_an_ordinary_report_goes_where_it_is_sent(sample_run, tmp_path):
    out = write_report(sample_run.path, out=tmp_path / "elsewhere.html", max_figures=1)
    assert out == tmp_path / "elsewhere.html" and not sample_run.report_path.exists()
    Page(out.read_text(encoding="utf-8")).check_self_contained()


def command(*arguments: object) -> tuple[int, str, str]:
    from ecotone.cli.main import main

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(["report", *map(str, arguments)])
    return status, out.getvalue(), err.getvalue()


def test_the_verb_writes_page_and_rows(two_runs, tmp_path, monkeypatch):
    monkeypatch.setattr("ecotone.report.blocks.Budget.svg", lambda self, drawing: "")
    places = [run.path for run in two_runs]
    page, rows = tmp_path / "page.html", tmp_path / "rows.json"
    status, said, _ = command(places[0], "--against", places[1], "--out", page, "--json", rows, "--amount", "0.2")
    assert status == 0 and f"comparison: {page}" in said and "differ by more than 0.2" in said
    written = json.loads(rows.read_text())
    assert {r["amount"] for r in written if r["what"] == "map" and r["name"] == "map"} == {0.2}
    assert page.exists()


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--against", "{0}"], "error[US105]"),
        (["--against", "{0}/none"], "error[IO101]"),
        (["--against", "{1}", "--amount", "2"], "error[US104]"),
        (["--against"], "error[US104]"),
        (["--json", "x.json"], "error[US105]"),
        (["--againts", "{1}"], "error[US101]"),
    ],
)
def test_misuse_is_one_line(two_runs, words, error):
    places = [run.path for run in two_runs]
    status, said, complained = command(places[0], *(w.format(*places) for w in words))
    assert status in (2, 3) and said == "" and complained.startswith(error) and complained.count("\n") == 1
