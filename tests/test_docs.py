"""The documents say what the code does: names, options, links, generated pages, error codes."""

from __future__ import annotations

import ast
import importlib.util
import re
import shlex
from pathlib import Path
from types import ModuleType

import pytest

from ecotone.cli.main import VERBS
from ecotone.cli.map import MapOptions
from ecotone.cli.options import RunOptions, parse
from ecotone.contract import EVIDENCE_KINDS
from ecotone.errors import CODES
from ecotone.registry import SYSTEMS
from ecotone.species.options import Ask, Inputs, Query
from ecotone.systems.deepmaxent.config import Config
from ecotone.systems.ifam.config import IfamAsk, IfamConfig, IfamQuery
from ecotone.systems.maxent.config import Config as MaxentConfig
from ecotone.systems.pdiscoformer.config import PDiscoFormerConfig
from ecotone.systems.phenology import options as bloom
from ecotone.systems.phenology.hybrid.config import HybridConfig
from ecotone.vision import options as images

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
TOP = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "THIRD_PARTY.md", "CHANGELOG.md")]
ALL_TEXT = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)


def _generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("ecotone_docs_generate", DOCS / "generate.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _blocks(page: Path, *languages: str) -> list[str]:
    pattern = rf"^```(?:{'|'.join(languages)})\n(.*?)^```"
    return re.findall(pattern, page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


# ------------------------------------------------------------------------------------------------ names
@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_is_documented(verb: str) -> None:
    assert f"ecotone {verb}" in ALL_TEXT


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_system_is_named(system: str) -> None:
    assert f"`{system}`" in ALL_TEXT
    assert f"`{system}`" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_code_is_documented() -> None:
    page = (DOCS / "reference/errors.md").read_text(encoding="utf-8")
    assert [code for code in CODES if f"`{code}`" not in page] == []


def test_codes_named_in_the_documents_exist() -> None:
    named = set(re.findall(r"`((?:US|IO|OC|RA|DA|PH|IM|TR|MD|IN|ST)\d{3})`", ALL_TEXT))
    assert named <= set(CODES)


@pytest.mark.parametrize(
    "model",
    [
        *(Inputs, Config, MaxentConfig, Query, Ask, MapOptions, RunOptions),
        *(bloom.Inputs, HybridConfig, bloom.Query, bloom.Ask),
        *(images.Inputs, PDiscoFormerConfig, IfamConfig, IfamQuery, IfamAsk),
    ],
    ids=lambda m: f"{m.__module__}.{m.__name__}",
)
def test_every_option_is_documented(model: type) -> None:
    options = [f"`--{key.replace('_', '-')}`" for key in model.model_fields]  # type: ignore[attr-defined]
    assert [option for option in options if option not in ALL_TEXT] == []


def test_files_page_knows_evidence_kinds_and_the_training_log() -> None:
    from ecotone.train.metrics_log import HEADER

    page = (DOCS / "reference/files.md").read_text(encoding="utf-8")
    assert [kind for kind in EVIDENCE_KINDS if f"| {kind} |" not in page] == []
    assert ", ".join(f"`{name}`" for name in HEADER.decode().strip().split(",")) in page


def test_every_error_code_is_raised_by_a_test() -> None:
    own = Path(__file__).resolve()
    sources = "\n".join(p.read_text(encoding="utf-8") for p in (ROOT / "tests").rglob("*.py") if p.resolve() != own)
    missing = [code for code in CODES if not re.search(rf"\b{code}\b", sources)]
    assert missing == []


# ------------------------------------------------------------------------------------------------ generated
def test_generated_pages_are_fresh() -> None:
    assert _generator().stale() == [], "run `make pages`"


def test_generation_repeats() -> None:
    module = _generator()
    block = "a\n<!-- x:start -->old<!-- x:end -->\nb"
    once = module.fill(block, "x", "new \\1\n")
    assert once == "a\n<!-- x:start -->\nnew \\1\n<!-- x:end -->\nb"
    assert module.fill(once, "x", "new \\1\n") == once


def test_accuracy_table_from_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = _generator()
    monkeypatch.setattr(module.results, "RESULTS", tmp_path)
    assert module.results.nceas_block(regions=False) == module.results.NOT_MEASURED + "\n"
    lines = ["method,background,region,group,seed,species,auc,seconds,data,commit"]
    for method, background, shift in (("deepmaxent-paper", "target_group", 0.0), ("rf", "uniform", -0.1)):
        lines += [
            f"{method},{background},{r},g,0,{r}{s},{0.7 + 0.02 * s + shift},1,d1,c1" for r in "AB" for s in range(3)
        ]
    (tmp_path / "nceas.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    text = module.results.nceas_block(regions=True)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert rows[0].split("|")[1:-1] == [" method ", " A ", " B ", " mean of regions ", " minus deepmaxent-paper "]
    assert rows[2].startswith("| deepmaxent-paper | 0.720 | 0.720 | 0.720 |")
    assert rows[3].startswith("| rf (uniform) | 0.620 | 0.620 | 0.620 | -0.100 [-0.100, -0.100] |")
    assert "6 species of 2 regions" in text and "Commit c1, data d1" in text


def _bloom(module: ModuleType, folder: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setattr(module.results, "RESULTS", folder)
    return module.bloom_results


def test_bloom_tables_say_when_nothing_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = _bloom(_generator(), tmp_path, monkeypatch)
    for block in (tables.cherry_block, tables.recovery_block, tables.trees_block, tables.bloom_speed_block):
        assert block().startswith("Not measured yet for this version") and block().endswith("\n")
    assert "--data monthly" in tables.cherry_block("cherry_monthly")


def test_cherry_table_weighs_sites_by_seasons_and_shows_leads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = _bloom(_generator(), tmp_path, monkeypatch)
    lines = ["model,split,country,site,quality,seed,n,mae,coverage90,seconds,commit,hardware"]
    for model, shift in (("hybrid", 0.0), ("thermal_time", 1.0)):
        for seed in (0, 1):
            lines += [
                f"{model},forward,Japan,a,observed,{seed},10,{2 + shift},0.9,1,c1,h",
                f"{model},forward,Switzerland,b,observed,{seed},30,{4 + shift},0.8,2,c1,h",
                f"{model},forward,Switzerland,empty,observed,{seed},0,,,0,c1,h",
            ]
    (tmp_path / "cherry.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    leads = "model,against,split,quality,best,lead,lead_low,lead_high,lead_share,commit,hardware\n"
    leads += "hybrid,thermal_time,forward,observed,best biophysical,1.0,0.4,1.6,0.22,c1,h\n"
    (tmp_path / "cherry_leads.csv").write_text(leads, encoding="utf-8")
    text = tables.cherry_block()
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert rows[0] == "| model | Japan | Switzerland | together | coverage | seconds |"
    assert rows[2] == "| `hybrid` | 2.00 | 4.00 | 3.50 | 0.82 | 3.0 |"  # 0.825, and 3 seconds per seed
    assert rows[3].startswith("| `thermal_time` | 3.00 | 5.00 | 4.50 |")
    assert rows[-1] == "| `hybrid` | `thermal_time` (best biophysical) | observed | +1.00 [+0.40, +1.60] | +22.0 % |"
    assert "**Forward in time**" in text and "(observed: 3 sites, 2 seeds)" in text and "h. Commit c1." in text


def test_recovery_and_speed_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = _bloom(_generator(), tmp_path, monkeypatch)
    lines = ["winters,seasons,coverage,width,correlation,limited,identified,seconds,commit,hardware"]
    lines += [f"{w},200,{c},0.3,0.9,{c},{w == 'mild'},2,c1,h" for w in ("mild", "cold") for c in (0.8, 0.9)]
    (tmp_path / "recovery.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    rows = [line for line in tables.recovery_block().splitlines() if line.startswith("|")]
    assert rows[2].startswith("| mild | 2 | 85% | 0.85 [0.80, 0.90] |") and rows[2].endswith("| 100% | 2.0 |")
    assert rows[3].endswith("| 0% | 2.0 |")
    lines = ["race,side,data,seconds,ratio,rmse,commit,hardware", "thermal time,peer,aspen,8,,20,c1,h"]
    lines += [f"thermal time,ecotone,aspen,{s},{8 / s},19,c1,h" for s in (0.1, 0.2, 0.4)]
    (tmp_path / "phenology_speed.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    rows = [line for line in tables.bloom_speed_block().splitlines() if line.startswith("|")]
    assert rows[3] == "| thermal time | ecotone | aspen | 0.2 | 40 | 19.00 |  |"


# ------------------------------------------------------------------------------------------------ links, pictures
def _anchors(page: Path) -> set[str]:
    headings = re.findall(
        r"^#+ +(.+)$", re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL), re.M
    )
    plain = (re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", h).lower() for h in headings)
    return {re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", h)).strip("-") for h in plain}


@pytest.mark.parametrize("page", [*PAGES, *TOP], ids=lambda p: str(p.relative_to(ROOT)))
def test_internal_links_resolve(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.is_file() or (anchor and anchor not in _anchors(file)):
            broken.append(target)
    assert broken == []


def test_site_and_pages_agree() -> None:
    listed = set(re.findall(r"[\w/-]+\.md", (ROOT / "mkdocs.yml").read_text(encoding="utf-8")))
    assert listed == {page.relative_to(DOCS).as_posix() for page in PAGES}


def test_pictures_are_small_and_used() -> None:
    images = sorted((DOCS / "images").glob("*"))
    sizes = {image.name: image.stat().st_size for image in images}
    assert all(size < 150_000 for size in sizes.values()), sizes
    assert sum(sizes.values()) < 1_500_000
    assert [name for name in sizes if f"images/{name}" not in ALL_TEXT] == []


def test_pictures_have_text_alternatives() -> None:
    assert all(alt.strip() for alt in re.findall(r"!\[([^\]]*)\]\(", ALL_TEXT))


# ------------------------------------------------------------------------------------------------ commands, code
MODELS = {
    "map": (RunOptions, MapOptions, Ask), "predict": (RunOptions, Query, Ask), "evaluate": (RunOptions, Query),
}  # fmt: skip
BLOOM = {
    "map": (RunOptions,), "predict": (RunOptions, bloom.Query, bloom.Ask), "evaluate": (RunOptions, bloom.Query),
}  # fmt: skip
IMAGES = {
    "predict": (RunOptions, IfamQuery, IfamAsk), "evaluate": (RunOptions, IfamQuery), "explain": (RunOptions, IfamAsk),
}  # fmt: skip
LEARNING = {
    "deepmaxent": (Inputs, Config), "maxent": (Inputs, MaxentConfig), "phenology": (bloom.Inputs, HybridConfig),
    "SYSTEM": (Inputs, Config), "pdiscoformer": (images.Inputs, PDiscoFormerConfig), "ifam": (images.Inputs, IfamConfig),
}  # fmt: skip


@pytest.mark.parametrize("page", [*PAGES, *TOP], ids=lambda p: str(p.relative_to(ROOT)))
def test_commands_use_verbs_and_options_that_exist(page: Path) -> None:
    for block in _blocks(page, "bash", "console"):
        for line in block.splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] != ["ecotone"]:
                continue
            verb, rest = words[1], words[2:]
            assert verb in VERBS or verb == "--version", line
            if verb == "fit":
                parse(rest[1:], RunOptions, *LEARNING[rest[0]])
            elif verb in MODELS:  # of a run: which system it is of shows in its options
                kinds = ((("bloom", "phenology", "cherry"), BLOOM), (("parts", "faithful", "photos"), IMAGES))
                known = next((models for words, models in kinds if any(word in line for word in words)), MODELS)
                parse([w for w in rest[1:] if known is not IMAGES or not w.endswith((".jpg", ".png"))], *known[verb])


def test_make_targets_that_are_named_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    text = ALL_TEXT + "".join(page.read_text(encoding="utf-8") for page in TOP)
    named = set(re.findall(r"(?:`|^\s*)make ([a-z]+)", text, re.MULTILINE))
    assert named <= targets


def test_python_blocks_parse() -> None:
    for page in [*PAGES, *TOP]:
        for block in _blocks(page, "python"):
            assert ast.parse(block).body, f"{page} has an empty block"


def test_contributing_is_short() -> None:
    assert len((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").splitlines()) < 60
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) < 120


def test_changelog_is_dated_and_knows_this_version() -> None:
    from ecotone import __version__

    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## {re.escape(__version__)} - \d{{4}}-\d\d-\d\d$", text, re.MULTILINE)
