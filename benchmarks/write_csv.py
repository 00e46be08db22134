"""Runs ``ecotone bench NAME`` and keeps its rows in benchmarks/results/NAME.csv, with commit and hardware beside them.

``python benchmarks/write_csv.py nceas [options of the benchmark]``. Without the data a benchmark needs, its file is left as
it is and the reason is printed.
"""

from __future__ import annotations

import csv
import io
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

from ecotone.bench.registry import BENCHES
from ecotone.cli.main import main as ecotone
from ecotone.files.atomic import write_text

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
NEEDS_DATA = ("nceas", "speed")


def commit() -> str:
    """Short hash of the tree the figures come from, with -dirty when src differs from it."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()

    return (git("rev-parse", "--short", "HEAD") or "unknown") + (
        "-dirty" if git("status", "--porcelain", "src") else ""
    )


def hardware() -> str:
    """Cores and instruction set; no machine name."""
    return f"{os.cpu_count()}-core {platform.machine()} CPU"


def to_csv(rows: list[dict[str, object]]) -> str:
    """Rows with the union of their columns, in order of first appearance."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def main(arguments: list[str]) -> int:
    """Runs one benchmark; returns its exit status."""
    if not arguments or arguments[0] not in BENCHES:
        print(f"usage: python benchmarks/write_csv.py {'|'.join(BENCHES)} [options]", file=sys.stderr)
        return 2
    name = arguments[0]
    if name in NEEDS_DATA and not os.environ.get("ECOTONE_DATA") and "--folder" not in arguments:
        print(f"{name}: left as it is, ECOTONE_DATA names no data folder (see `ecotone data get nceas`)")
        return 0
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "rows.json"
        status = ecotone(["bench", *arguments, "--json", str(file)])
        if status:
            return status
        rows = json.loads(file.read_text(encoding="utf-8"))
    stamp = {"commit": commit(), "hardware": hardware()}
    write_text(RESULTS / f"{name}.csv", to_csv([{**row, **stamp} for row in rows]))
    print(f"{len(rows)} rows: benchmarks/results/{name}.csv")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
