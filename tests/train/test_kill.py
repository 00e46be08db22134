import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

POINTS = int(os.environ.get("ECOTONE_KILL_POINTS", "8"))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_at_any_moment_and_run_again_gives_the_same_bits(tmp_path, outcome):
    script = Path(__file__).with_name("kill_matrix.py")
    command = [sys.executable, str(script), str(tmp_path), os.environ.get("ECOTONE_KILL_SEED", "1"), str(POINTS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    kills = json.loads(done.stdout)
    expected = outcome(tmp_path / "whole")
    assert expected["metrics.csv"].count(b"\n") > 20
    assert {f"step-0000000{n}.safetensors" for n in (25, 30)} <= set(expected)
    for name in kills:
        found = outcome(tmp_path / name)
        assert found.keys() == expected.keys(), name
        assert found == expected, (name, [k for k in found if found[k] != expected[k]])
        assert not list((tmp_path / name).rglob("*partial*"))
        assert not (tmp_path / name / ".lock").exists()
    assert sum(kills.values()) >= 2 * POINTS
