"""The commands and code of README.md, of the Python how-to and of the tutorial on bloom are run as they stand, on small
simulated worlds.

Only the effort of learning is cut: options are added to `fit`, and `members=3` becomes one member and few steps; the tutorial
speaks of years up to 2011, its small world ends ten years earlier.
"""

from __future__ import annotations

import glob
import re
import shlex
import shutil
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ecotone.cli.main import main

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
QUICK = ["--members", "1", "--epochs", "2", "--min-steps", "5", "--width", "16"]
QUICK_BLOOM = ["--members", "1", "--steps", "40", "--start", "random"]
QUICK_PHOTOS = [
    "--encoder",
    "vit_test",
    "--pretrain-epochs",
    "1",
    "--epochs",
    "1",
    "--parts",
    "3",
    "--batch-size",
    "16",
]
QUICK_PYTHON = "members=1, epochs=2, min_steps=5, width=16"
pytestmark = pytest.mark.filterwarnings("ignore")


def _marked(name: str) -> str:
    found = re.findall(rf"<!-- run: {name} -->\n```\w+\n(.*?)```", README, re.DOTALL)
    assert len(found) == 1, f"one block marked {name!r}"
    return found[0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder with the names the README uses: my.csv, clim/, future/, survey.csv."""
    from ecotone.data.simulated.archipelago import archipelago

    place = tmp_path_factory.mktemp("readme")
    archipelago(0, size=(48, 60), species=4, surveys=200).write(place / "world")
    for old, new in (
        ("occurrences.csv", "my.csv"),
        ("covariates", "clim"),
        ("surveys.csv", "survey.csv"),
        ("future", "future"),
    ):
        shutil.move(place / "world" / old, place / new)
    rng = np.random.default_rng(0)
    columns = {"warm": rng.normal(size=300), "wet": rng.normal(size=300)}
    columns["species"] = [["a"] * int(x > 0) + ["b"] * int(x < 0.3) for x in columns["warm"]]
    pd.DataFrame(columns).to_parquet(place / "sites.parquet")
    return place


def _as_a_shell_would(line: str) -> list[str]:
    words = []
    for word in shlex.split(line, comments=True):
        words += sorted(glob.glob(word)) or [word]  # noqa: PTH207
    return words


def test_commands_run(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(folder)
    lines = [line for line in _marked("own data").splitlines() if line.strip()]
    assert len(lines) >= 5
    lines += [line for line in _marked("large").splitlines() if line.strip()]
    for line in lines:
        words = _as_a_shell_would(line.replace("1GB", "8GB"))  # this process holds the test suite as well
        assert words[0] == "ecotone"
        status = main([*words[1:], *(QUICK if words[1:3] == ["fit", "deepmaxent"] else [])])
        assert status == 0, f"{line}: {capsys.readouterr().err}"
    for name in (
        "report.html",
        "map.tif",
        "map.richness.tif",
        "future.tif",
        "future.difference.tif",
        "model.safetensors",
        "compare-maxent.html",
        "large.tif",
        "../sites/report.html",
    ):
        assert (folder / "runs/my" / name).stat().st_size > 0


def test_python_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    if not (folder / "runs/my/config.json").is_file():  # when run alone or on another worker
        assert (
            main(
                [
                    "fit",
                    "deepmaxent",
                    "--occurrences",
                    "my.csv",
                    "--covariates",
                    "clim",
                    "--out",
                    "runs/my",
                    "--quiet",
                    *QUICK,
                ]
            )
            == 0
        )
    names = _run(_marked("python"))
    assert list(names["suitability"].columns[:2]) == ["x", "y"]
    assert names["again"].species == names["system"].species


def test_python_how_to_runs(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(folder)
    text = (ROOT / "docs/how-to/python.md").read_text(encoding="utf-8")
    names: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        _run(block, names)
    assert (folder / "map.richness.tif").is_file() and (folder / "islands/occurrences.csv").is_file()
    assert "curve" in capsys.readouterr().out


def _run(code: str, names: dict[str, object] | None = None) -> dict:
    names = {} if names is None else names
    code = code.replace("members=3", QUICK_PYTHON).replace("members=2, epochs=10", "members=1, epochs=2")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(compile(code, "documentation", "exec"), names)
    return names


# ------------------------------------------------------------------------------------------------ bloom dates
def _run_lines(lines: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    for line in lines:
        words = _as_a_shell_would(line)
        assert words[0] == "ecotone"
        assert main([*words[1:], *(QUICK_BLOOM if words[1] == "fit" else [])]) == 0, (
            f"{line}: {capsys.readouterr().err}"
        )


def test_tutorial_on_bloom_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from ecotone.data.simulated.trees import trees

    monkeypatch.chdir(tmp_path)
    trees(0, sites=3, years=10).write(tmp_path / "demo/phenology-world")  # what `ecotone demo phenology --tiny` writes
    text = (ROOT / "docs/tutorial/will-my-cherry-bloom-earlier.md").read_text(encoding="utf-8")
    blocks = re.findall(r"<!-- run -->\n```bash\n(.*?)```", text, re.DOTALL)
    demo, *lines = [line for block in blocks for line in block.splitlines() if line.strip()]
    assert demo == "ecotone demo phenology" and len(lines) >= 8
    assert all(f"ecotone {v}" in "".join(lines) for v in ("fit phenology", "predict", "evaluate"))
    _run_lines([re.sub(r"\b20(0[1-9]|1[01])\b", lambda m: str(int(m[0]) - 10), line) for line in lines], capsys)
    coming = pd.read_csv("cherry-2001.csv")
    assert (
        set(coming["kind"]) == {"forecast"} and coming["by_04-15"].between(0, 1).all() and coming["date"].notna().all()
    )
    warmer = pd.read_csv("warmer.csv")
    assert sorted(set(warmer["warm"])) == list(range(7))
    early, late = pd.read_csv("as-of-january.csv"), pd.read_csv("as-of-march.csv")
    assert (late["q95"] - late["q05"]).mean() < (early["q95"] - early["q05"]).mean()  # the interval closes in
    page = Path("runs/cherry/report.html").read_text(encoding="utf-8")
    assert page.index('id="coming"') < page.index('id="summary"') < page.index('id="responses"')
    bloom = [line for line in _marked("others").splitlines() if line.strip() and "photos" not in line]
    fit, *others = bloom  # the fit is that of the tutorial
    assert fit == next(line for line in lines if " fit " in line).replace("demo/phenology-world/", "")
    _run_lines(others, capsys)
    assert len(pd.read_csv("coming-bloom.csv")) == 3 * 4  # sites by warmings


def test_commands_on_photos_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from ecotone.data.simulated.creature_files import write_creatures
    from ecotone.data.simulated.creatures import CreatureWorld

    monkeypatch.chdir(tmp_path)
    images = write_creatures(CreatureWorld(size=32, classes=2).draw(30), tmp_path / "world")
    shutil.copytree(images, tmp_path / "photos")
    shutil.copy(images / "creature-01" / "00002.png", tmp_path / "new.png")
    lines = [line for line in _marked("others").splitlines() if "photos" in line]
    assert [line.split()[1] for line in lines] == ["fit", "explain"]
    for line in lines:
        quick = QUICK_PHOTOS if line.split()[1] == "fit" else []
        assert main([*_as_a_shell_would(line)[1:], *quick]) == 0, f"{line}: {capsys.readouterr().err}"
    assert (tmp_path / "runs/photos/report.html").stat().st_size > 10_000


def test_first_commands_are_the_two_targets() -> None:
    first = re.search(r"```bash\n(.*?)```", README, re.DOTALL)
    assert first and [line.split("#")[0].strip() for line in first[1].splitlines()] == ["make demo", "make test"]
    assert "docs/images/first-map.png" in README.split("## Try it")[0]
