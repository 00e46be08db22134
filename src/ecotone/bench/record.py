"""Benchmark rows as a CSV that says where they come from: commit, hardware, versions beside what the rows hold."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ecotone.files.atomic import write_text
from ecotone.files.record import versions


def provenance(folder: Path | None = None) -> dict[str, str]:
    """Commit of the checkout that `folder` lies in ("" outside one, ending in -dirty with changes), hardware, versions."""
    found = versions()
    return {
        "commit": _commit(folder or Path.cwd()),
        "hardware": f"{os.cpu_count()}-core {found['platform']}",
        "versions": " ".join(
            f"{name} {found[name]}" for name in ("ecotone", "torch", "numpy", "scikit-learn") if name in found
        ),
    }


def write_rows(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Writes rows with their provenance; columns of all rows, missing ones left empty."""
    import pandas as pd

    frame = pd.DataFrame(list(rows)).assign(**provenance(Path.cwd()))
    write_text(path, frame.to_csv(index=False, float_format="%.6g", lineterminator="\n"))


def _commit(folder: Path) -> str:
    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=False).stdout.strip()

    head = git("rev-parse", "--short", "HEAD")
    # results themselves do not make a tree dirty
    changed = git("status", "--porcelain", "--", ".", ":!benchmarks/results", ":!docs")
    return f"{head}-dirty" if head and changed else head
