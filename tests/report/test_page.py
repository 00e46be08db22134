from __future__ import annotations

import base64
import json
import re
import socket
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from page_reader import Page

from ecotone.contract import Check, Contributions, Curve, Overlay
from ecotone.errors import EcotoneError, InputError
from ecotone.files import atomic
from ecotone.files.evidence import save_evidence
from ecotone.report.blocks import TOPICS, topic_of
from ecotone.report.page import POLICY, training_curves, write_report


@pytest.fixture(scope="module")
def html(tmp_path_factory) -> str:
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location("report_samples", Path(__file__).with_name("conftest.py"))
    assert spec is not None and spec.loader is not None
    samples = module_from_spec(spec)
    spec.loader.exec_module(samples)
    run = samples.build_run(tmp_path_factory.mktemp("work") / "iberian-oaks")
    return write_report(run.path).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(html) -> Page:
    return Page(html)


def test_the_page_asks_no_one_for_anything(page, html):
    page.check_self_contained("|evidence/")
    assert "@import" not in html and not re.search(
        r"url\(\s*['\"]?(?!#)", re.findall(r"<style>.*?</style>", html, re.S)[0]
    )


def test_the_page_forbids_itself_scripts_and_requests(page):
    policies = [m["content"] for m in page.of("meta") if m.get("http-equiv") == "Content-Security-Policy"]
    assert policies == [POLICY] and "default-src 'none'" in POLICY and "script-src" not in POLICY


def test_what_users_wrote_is_text_only(page, html):
    assert "<script" not in html
    assert html.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 4
    assert "<script>alert(1)</script>" in " ".join(page.words)


def test_every_picture_has_words(page):
    page.check_pictures(9)


def test_every_figure_has_its_table_and_csv(page):
    articles = page.of("article")
    downloads = [a for a in page.of("a") if "download" in a]
    assert len(downloads) >= len(articles)
    csv = base64.b64decode((downloads[3]["href"] or "").split(",")[1]).decode()
    assert "," in csv.splitlines()[0]


def test_ids_are_unique_and_links_lead_somewhere(page):
    page.check_links()


def test_the_sections_a_reader_expects_are_there(page):
    sections = {s.get("id") for s in page.of("section")}
    assert sections >= {
        "summary",
        "maps",
        "responses",
        "importance",
        "examples",
        "extrapolation",
        "effort",
        "checks",
        "data",
        "training",
        "card",
        "again",
    }
    words = " ".join(page.words)
    for expected in (
        "0.872",
        "0.841 to 0.901",
        "5 spatial blocks of 60 km",
        "38 records set aside",
        "ecotone replay run.json",
        "holds",
        "fails",
        "outside training range",
        "coordinate uncertainty",
        "Intended use",
    ):
        assert expected in words
    assert len(page.of("h1")) == 1
    assert [h.get("lang") for h in page.of("html")] == ["en"]


def test_the_page_is_small(html):
    assert len(html.encode()) < 600_000


def test_the_same_run_gives_the_same_page(sample_run):
    first = write_report(sample_run.path).read_bytes()
    assert write_report(sample_run.path).read_bytes() == first


def test_no_socket_is_opened(sample_run, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    assert write_report(sample_run.path, max_figures=2).stat().st_size > 0


def test_an_unfinished_run_has_a_page_too(tmp_path):
    from ecotone.files.run import RunFolder

    run = RunFolder(tmp_path / "r")
    run.begin(["ecotone", "fit", "phenology"], "phenology", {}, {}, {})
    run.finish(status="failed", error="TR501: <b>loss is not finite</b>")
    text = write_report(run.path).read_text()
    assert "&lt;b&gt;loss is not finite" in text and "failed" in text and "No checks were recorded" in text


def test_many_targets_are_grouped_and_kept_small(tmp_path, build):
    x = np.linspace(0, 1, 5)
    items = [
        item
        for i in range(40)
        for item in (
            Curve(title="Response", x=x, y=x, x_label="bio1", y_label="suitability", target=f"Species {i}"),
            Check(title="Effort", claim="small", measured=0.1, verdict="pass", target=f"Species {i}"),
        )
    ]
    run = build(tmp_path / "r", [*items, Check(title="Whole model", claim="c", measured=1.0, bound=0.5)])
    text = write_report(run.path, max_figures=6).read_text()
    page = Page(text)
    assert len(page.of("svg")) == 6
    assert text.count('class="target"') == 80 and "Species 39" in text
    assert "35 figures were left out" in text
    assert "small: holds 40 of 40 times" in text and text.index("Whole model") < text.index("small: holds")
    assert len([d for d in page.of("details") if d.get("class") == "target" and "open" in d]) == 2


def test_curves_of_each_species_stand_with_the_response_curves(tmp_path, build):
    x = np.linspace(0, 1, 5)
    items = [
        item
        for name in ("fern", "moss")
        for item in (
            Curve(title=f"{name}: response to bio1", x=x, y=x, x_label="bio1", y_label="y", target=name),
            Check(title=f"{name}: thresholds", claim="c", measured=0.1, target=name),
        )
    ]
    run = build(tmp_path / "r", items)
    (run.tables_path).mkdir()
    (run.tables_path / "thresholds.csv").write_text("species\nfern\n")
    text = write_report(run.path).read_text()
    Page(text).check_links()
    assert 'href="#responses"' in text and 'href="#thresholds"' in text and "By target" not in text
    responses = text[text.index('<section id="responses"') : text.index('<section id="thresholds"')]
    assert responses.count("<svg") == 2 and "<summary>moss</summary>" in responses
    assert 'href="tables/thresholds.csv"' in text and 'href="#data"' in text
    elsewhere = write_report(run.path, out=tmp_path / "page.html").read_text()
    assert "tables/thresholds.csv" not in elsewhere


def test_nested_terms_and_galleries_are_shown(page):
    words = " ".join(page.words)
    assert "temperature: Inside temperature" in words and "rain: Nearest training patches" in words


def test_a_disk_fault_keeps_the_old_page(sample_run, monkeypatch):
    write_report(sample_run.path, max_figures=1)
    before = sample_run.report_path.read_bytes()
    sample_run.update(error="changed")

    def full(path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic, "fsync_path", full)
    with pytest.raises(EcotoneError) as caught:
        write_report(sample_run.path, max_figures=1)
    assert caught.value.code == "ST102" and sample_run.report_path.read_bytes() == before


def test_no_run_and_damaged_runs_are_one_line(tmp_path, sample_run):
    with pytest.raises(InputError) as caught:
        write_report(tmp_path / "none")
    assert caught.value.code == "IO101"
    next(sample_run.evidence_path.glob("*.json")).write_text("{")
    with pytest.raises(InputError) as caught:
        write_report(sample_run.path)
    assert caught.value.code == "IO102"


def test_a_hostile_record_still_gives_a_harmless_page(sample_run):
    evil = "</style></title><script>alert(1)</script>"
    record = sample_run.record
    save_evidence(sample_run.evidence_path, [])
    record |= {
        "system": evil,
        "command": ["ecotone", evil],
        "error": evil,
        "started": evil,
        "finished": 7,
        "config": {evil: [evil]},
        "seeds": {evil: None},
        "versions": {evil: evil, "ecotone": evil},
        "timings": {evil: evil},
        "inputs": {evil: evil},
        "warnings": [evil, 3, {"what": evil, "code": [evil]}],
        "metrics": {evil: evil, "x": {"value": evil}},
        "maps": [evil, 7, {"path": 3}, {"path": "/etc/passwd", "title": evil}],
        "tables": {evil: [3, {evil: evil}], "b": 4},
    }
    sample_run.record_path.write_text(json.dumps(record))
    (sample_run.path / "card.md").write_text(
        f"{evil}\n# {evil}\n- {evil}\n|{evil}|\n|-|\n|{evil}|\n[{evil}](javascript:x)\n"
    )
    text = write_report(sample_run.path).read_text()
    page = Page(text)
    assert not page.of("script") and "<script" not in text and "root:" not in text
    assert not [a for _, a in page.elements if (a.get("href") or "").startswith("javascript")]


def test_training_curves_read_what_is_there(tmp_path):
    path = tmp_path / "metrics.csv"
    assert training_curves(path) == []
    path.write_text(
        "step,train_loss,lr,val_loss\n" + "\n".join(f"{i},{1 / (i + 1)},1e-3,{2 / (i + 1)}" for i in range(900))
    )
    (curve,) = training_curves(path)
    assert (curve.x_label, curve.y_label, list(curve.references)) == ("step", "train_loss", ["val_loss"])
    assert len(curve.x) <= 400 and curve.x[-1] == 899
    for odd in ("", "a\n1\n2\n3\n", "\0\n\0", "loss\nx\ny\nz\n"):
        path.write_text(odd)
        assert training_curves(path) == []


def test_importances_without_names_do_not_break_the_page(tmp_path, build):
    run = build(tmp_path / "r", [Contributions(title="Empty", names=(), values=np.array([]))])
    assert "Empty" in write_report(run.path).read_text()


def test_many_maps_are_unfolded_only_when_asked_for(tmp_path, build, make_samples):
    pictures = [replace(make_samples()[0], title=f"Picture {i}") for i in range(7)]
    text = write_report(build(tmp_path / "r", pictures).path, max_figures=1).read_text()
    assert "More maps (3)" in text and text.index("Picture 3") < text.index("More maps") < text.index("Picture 4")


def test_evidence_of_each_kind_finds_its_section():
    x = np.linspace(0, 1, 3)
    bars = {"names": ("a",), "values": np.array([1.0])}
    places = [
        (Curve(title="Species compared: response to bio1", x=x, y=x, x_label="bio1", y_label="y"), "responses"),
        (Check(title="Coming bloom", claim="c", measured=1.0), "coming"),
        (Check(title="Correlated parameters", claim="c", measured=1.0), "checks"),
        (Contributions(title="Covariates that act together, mean over species", **bars), "interactions"),
        (
            Overlay(title="fern: acting together, bio1 and bio12", weights=np.ones((1, 2, 2)), names=("s",)),
            "interactions",
        ),
        (Contributions(title="Niche overlap: most similar pairs", **bars), "species"),
        (Check(title="Niche identity: fern – moss", claim="c", measured=1.0), "species"),
        (
            Overlay(title="Applicability: distance to the threshold", weights=np.ones((1, 2, 2)), names=("d",)),
            "extrapolation",
        ),
        (Curve(title="Sampling effort along bio1", x=x, y=x, x_label="bio1", y_label="y"), "effort"),
        (Overlay(title="Turnover between now and 2050", weights=np.ones((1, 2, 2)), names=("t",)), "maps"),
        (Check(title="fern: thresholds", claim="c", measured=1.0), "thresholds"),
    ]
    assert {e.title: topic_of(e) for e, _ in places} == {e.title: topic for e, topic in places}
    assert {topic for _, topic in places} <= set(TOPICS)


def test_few_targets_of_a_section_stand_side_by_side(tmp_path: Path) -> None:
    from ecotone.report.blocks import Budget
    from ecotone.report.page import _by_topic, _groups

    def curves(n: int) -> list[Curve]:
        line = {"x": np.arange(3.0), "y": np.arange(3.0), "x_label": "x", "y_label": "y"}
        return [Curve(title=f"s{k}: coming bloom, 2011", target=f"s{k}", **line) for k in range(n)]

    for n, seen in ((3, 3), (7, 0)):
        some = curves(n)
        groups = _groups(some, [""] * n, [e.target for e in some], Budget(figures=0))
        (topic,) = _by_topic([], groups)
        assert len(topic["blocks"]) == seen and len(topic["own"]) == n - seen
    assert [
        b.title for b in _by_topic([], _groups(curves(2), ["", ""], ["s0", "s1"], Budget(figures=0)))[0]["blocks"]
    ] == [
        "s0: coming bloom, 2011",
        "s1: coming bloom, 2011",
    ]
