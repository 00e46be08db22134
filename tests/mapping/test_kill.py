"""Maps killed with SIGKILL at random moments (benchmarks/kill_map.py counts; here with few kills)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "kill_map.py"


@pytest.mark.skipif(not SCRIPT.exists(), reason="needs the checkout")
def test_killed_at_random_moments_nothing_is_lost_or_done_twice():
    words = [
        sys.executable,
        str(SCRIPT),
        "--kills",
        os.environ.get("ECOTONE_MAP_KILLS", "3"),
        "--seed",
        "5",
        "--size",
        "360",
    ]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    row = json.loads(done.stdout)
    assert row["kills"] >= 3
    assert (row["windows_lost"], row["windows_twice"], row["files_that_differ"], row["remains"]) == (0, 0, 0, 0)
