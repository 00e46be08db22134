"""The memory budget: told beforehand, kept, and refused with the least that works."""

from __future__ import annotations

import re

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from ecotone.contract import Grid
from ecotone.data.rasters import RasterStack
from ecotone.errors import UsageError
from ecotone.mapping import memory
from ecotone.mapping.plan import MIN_PIXELS, Blocks, Costs, Layout, choose, shape
from ecotone.mapping.windows import make_map, plan_map


def grid(height, width):
    return Grid("EPSG:4326", (1.0, 0.0, 0.0, 0.0, -1.0, 0.0), height, width)


@pytest.mark.parametrize(
    ("text", "size"),
    [("1GB", 10**9), ("1GiB", 1 << 30), ("512 MiB", 512 << 20), ("1.5gb", 1_500_000_000), (12345, 12345), ("7k", 7000)],
)
def test_sizes(text, size):
    assert memory.parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "0", "1 TBB", "1e9", "nan", "1,5GB"])
def test_what_is_no_size(text):
    with pytest.raises(UsageError, match="1GB"):
        memory.parse_size(text)


def test_a_budget_is_never_more_than_there_is():
    there = memory.available()
    assert memory.budget("900TB") <= memory.available() * 1.2 and memory.budget(None) <= there
    assert memory.budget("1MB") == 10**6


def test_what_a_piece_of_work_adds_is_seen():
    kept, extra = memory.added(lambda: np.ones(40 << 20, dtype=np.uint8).sum())
    assert kept == 40 << 20 and (extra is None or 36 << 20 <= extra <= 80 << 20)


# ------------------------------------------------------------------------------------------------ windows
@pytest.mark.parametrize(
    ("stored", "pixels", "cache", "expected"),
    [
        ((1, 2000), 1 << 19, 0, (262, 2000)),  # rows on disk: strips
        ((256, 256), 1 << 20, 0, (512, 2000)),  # whole rows of tiles
        ((256, 256), 1 << 18, 100 << 20, (128, 2000)),  # parts of a row of tiles while the cache holds it
        ((256, 256), 1 << 18, 0, (256, 1024)),  # else whole tiles
        ((1000, 2000), 1000, 0, (1, 1000)),  # high strips, hardly any memory
        ((512, 512), 1024, 0, (32, 32)),
    ],
)
def test_windows_follow_the_blocks_of_the_files(stored, pixels, cache, expected):
    blocks = Blocks(*stored, row_bytes=50 << 20, cell_bytes=4)
    assert shape(blocks, grid(3000, 2000), pixels, cache) == expected


@pytest.mark.parametrize("seed", range(30))
def test_windows_stay_within_pixels_and_budget(seed):
    rng = np.random.default_rng(seed)
    high, wide = (int(v) for v in rng.integers(1, 5000, 2))
    rows, cols = (int(v) for v in rng.integers(1, 600, 2))
    blocks = Blocks(min(rows, high), min(cols, wide), int(rng.integers(1, 1 << 28)), int(rng.integers(1, 3000)))
    pixels = int(rng.integers(MIN_PIXELS, 1 << 20))
    found = shape(blocks, grid(high, wide), pixels, 8 << 20)
    assert 1 <= found[0] <= high and 1 <= found[1] <= wide and found[0] * found[1] <= pixels
    calls = {(4096, 0): 20 << 20, (16384, 0): 80 << 20}
    costs = Costs(
        100 << 20, calls, blocks, int(rng.integers(1, 10_000)), 100, 30 << 20, workers=int(rng.integers(0, 3))
    )
    for budget in (150 << 20, 300 << 20, 2 << 30):
        try:
            layout = choose(costs, budget, grid(high, wide))
        except UsageError as error:
            least = int(re.search(r"at least (\d+)MB", error.fix)[1]) * 10**6
            assert costs.total(choose(costs, least, grid(high, wide))) <= least
        else:
            assert costs.total(layout) <= budget
    assert costs.total(Layout(*found, 16384, 0, 8 << 20)) > costs.base


def test_a_wished_window_is_made_smaller_only_when_it_must():
    costs = Costs(0, {(4096, 0): 1 << 20}, Blocks(1, 5000, 4, 40), 40, 100, 1 << 20)
    assert choose(costs, 1 << 40, grid(5000, 5000), window=700).rows == 700
    small = choose(costs, 60 << 20, grid(5000, 5000), window=4096)
    assert small.rows == small.cols < 4096 and costs.total(small) <= 60 << 20


# ------------------------------------------------------------------------------------------------ kept
@pytest.fixture
def wide(tmp_path):
    """Five striped rasters of 1500 x 1500."""
    paths = []
    for i in range(5):
        values = np.random.default_rng(i).normal(size=(1500, 1500)).astype(np.float32)
        values[values > 2] = -9999
        paths.append(tmp_path / f"w{i}.tif")
        with rasterio.open(
            paths[-1], "w", driver="GTiff", height=1500, width=1500, count=1, dtype="float32", crs="EPSG:4326",
            transform=from_origin(0, 10, 0.001, 0.001), nodata=-9999,
        ) as out:  # fmt: skip
            out.write(values, 1)
    return paths


@pytest.mark.skipif(memory.resident() is None, reason="this system does not tell")
def test_the_budget_is_kept_and_the_least_one_works(tmp_path, wide, child):
    given = {"rasters": wide, "map": {"out": tmp_path / "m.tif", "memory": "60MB"}}
    refused = child(given)
    assert refused.returncode == 2 and "error[US104]" in refused.out and not (tmp_path / "m.tif").exists()
    least = re.search(r"at least (\d+)MB", refused.out)[1]
    maps = []
    for budget in (int(least) + 20, 700):  # libraries take a few MB more or less from run to run
        given["map"] = {"out": tmp_path / f"m{budget}.tif", "memory": f"{budget}MB"}
        done = child(given)
        assert done.returncode == 0, done.out + done.err
        peak = int(re.search(r"peak (\d+)", done.out)[1])
        told = int(re.search(r"memory (\d+)", done.out)[1])
        assert peak <= told <= budget * 10**6, (budget, done.out)
        assert done.out.index("memory: at most") < done.out.index("done 1 ")
        maps.append((tmp_path / f"m{budget}.tif").read_bytes())
    assert maps[0] == maps[1]


def test_many_bands_in_groups(tmp_path, pair, toys, monkeypatch):
    stack = RasterStack.open(pair)
    system = toys.Grouped(bands=320)
    whole = make_map(system, stack, tmp_path / "whole.tif", memory="4GB", progress=False)
    plans, seen = [], []
    inner = system.window_group
    monkeypatch.setattr(system, "window_group", lambda rows, bands: (seen.append(bands), inner(rows, bands))[1])
    budget = memory.resident() + (80 << 20)
    few = make_map(system, stack, tmp_path / "few.tif", memory=budget, progress=False, tell=plans.append)
    assert plans[0].layout.group in (80, 20, 5) and f"{plans[0].layout.group} bands at a time" in "".join(
        plans[0].lines()
    )
    assert {b.stop - b.start for b in seen[-4:]} == {plans[0].layout.group}
    assert [f.read_bytes() for f in few] == [f.read_bytes() for f in whole]
    with rasterio.open(few[0]) as source:
        assert source.count == 320 and source.descriptions[319] == "s319"
        last = source.read(320)
    values, valid = stack.read()
    assert np.allclose(last[valid], 320 * (values[0] + 2 * values[1])[valid], rtol=1e-5)


def test_a_dry_run_tells_and_writes_nothing(tmp_path, pair, toys):
    before = sorted(tmp_path.iterdir())
    plan = plan_map(toys.Sum(), RasterStack.open(pair), tmp_path / "sub" / "m.tif", memory="2GB", window=30)
    text = "\n".join(plan.lines())
    assert "9 windows of 30 x 30 cells" in text and "of 2.00 GB" in text and "time: about" in text and "disk: " in text
    assert sorted(tmp_path.iterdir()) == before
    with pytest.raises(UsageError, match="give at least"):
        plan_map(toys.Sum(), RasterStack.open(pair), tmp_path / "m.tif", memory="1MB")
