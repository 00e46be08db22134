"""The command line in this process, a small simulated world, and one fitted run that the tests of a session share."""

from __future__ import annotations

import contextlib
import io
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

FAST = ["--epochs", "2", "--members", "1", "--width", "16", "--background-cells", "500", "--min-steps", "0"]


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """Code of the one error line, "" for none; anything else on the last lines is a failure of the test."""
        lines = [line for line in self.err.splitlines() if line.startswith(("error", "bug"))]
        if not lines:
            return ""
        assert len(lines) == 1 and self.err.rstrip().endswith(lines[0]), self.err
        found = re.fullmatch(r"error\[([A-Z]{2}\d{3})\]: .+: .+ - .+", lines[0])
        assert found, lines[0]
        return found[1]

    @property
    def warned(self) -> set[str]:
        """Codes of the warnings."""
        return set(re.findall(r"^warning\[([A-Z]{2}\d{3})\]: .+: .+ - .+$", self.err, flags=re.MULTILINE))


def command(*arguments: object) -> Ended:
    """Runs the command line."""
    from ecotone.cli.main import main

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main([str(a) for a in arguments])
    return Ended(status, out.getvalue(), err.getvalue())


@pytest.fixture(scope="session")
def ecotone() -> Callable[..., Ended]:
    """`ecotone(...)` as it would be typed."""
    import torch

    torch.set_num_threads(1)
    return command


@dataclass(frozen=True)
class World:
    """A simulated archipelago in files."""

    folder: Path

    @property
    def records(self) -> Path:
        return self.folder / "occurrences.csv"

    @property
    def covariates(self) -> Path:
        return self.folder / "covariates"

    @property
    def future(self) -> Path:
        return self.folder / "future"

    @property
    def surveys(self) -> Path:
        return self.folder / "surveys.csv"

    def fit(self, out: Path, *more: object, records: object = None, covariates: object = None) -> list[object]:
        """The words of a quick fit."""
        places = covariates if isinstance(covariates, list) else [covariates or self.covariates]
        words = ["fit", "deepmaxent", "--occurrences", records or self.records, "--covariates", *places]
        return [*words, "--out", out, *FAST, *more]

    def table(self, path: Path, change: Callable[[Any], Any]) -> Path:
        """A copy of the records, changed as a data frame."""
        import pandas as pd

        change(pd.read_csv(self.records)).to_csv(path, index=False)
        return path

    def rasters(self, folder: Path, name: str = "", **profile: Any) -> Path:
        """A copy of the covariates with one (or every) raster rewritten; `values` maps its array."""
        import rasterio

        values = profile.pop("values", None)
        shutil.copytree(self.covariates, folder)
        for path in [folder / f"{name}.tif"] if name else sorted(folder.glob("*.tif")):
            with rasterio.open(path) as source:
                array, stored, names = source.read(), source.profile, source.descriptions
            array = array if values is None else values(array)
            stored.update(profile)
            with rasterio.open(path, "w", **stored) as target:
                target.write(array.astype(stored["dtype"]))
                target.descriptions = names
        return folder


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Four species on 40 x 50 cells."""
    from ecotone.data.simulated.archipelago import archipelago

    folder = tmp_path_factory.mktemp("world")
    archipelago(size=(40, 50), species=4).write(folder)
    return World(folder)


@pytest.fixture
def no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves out the drawing of figures, which takes longer than all the rest of a tiny fit."""
    monkeypatch.setattr("ecotone.cli.fit._report", lambda folder: 0.0)


@pytest.fixture(scope="session")
def fitted(world: World, ecotone: Callable[..., Ended], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with its report; tests that write into a run take `run`."""
    out = tmp_path_factory.mktemp("runs") / "isles"
    ended = ecotone(*world.fit(out, "--categorical", "rock"))
    assert ended.status == 0 and not ended.err, ended.err
    assert "Simulata" in (out / "report.html").read_text(encoding="utf-8")
    return out


@pytest.fixture
def run(fitted: Path, tmp_path: Path) -> Path:
    """A copy of the run."""
    return Path(shutil.copytree(fitted, tmp_path / "run"))
