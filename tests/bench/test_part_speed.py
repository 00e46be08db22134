"""The races of part models on tiny sizes: sides agree, rows are whole."""

from __future__ import annotations

from ecotone.bench.part_speed import Options, run


def test_sides_agree_and_rows_are_whole():
    result = run(Options(sizes="tiny", rounds=1, threads=1))
    rows = result.rows
    assert {r["race"] for r in rows} == {"head", "second, inference", "second, training", "cached"}
    assert max(r["difference"] for r in rows if "difference" in r) < 1e-4
    assert all(r["seconds"] > 0 and r["ratio"] > 0 for r in rows) and len(result.lines) == len(rows) + 1
    assert all(r["memory_mb"] > 0 for r in rows if r["race"] == "head")
    assert 0.2 < next(r["kept"] for r in rows if "kept" in r) < 0.4
