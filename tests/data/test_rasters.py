from __future__ import annotations

import warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.transform import Affine, from_origin

from ecotone.contract import Grid
from ecotone.data.raster_grid import cell_keys, crs_wkt
from ecotone.data.rasters import RasterStack
from ecotone.errors import EcotoneWarning, InputError, UsageError

FEW = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
PLAIN = from_origin(-10, 10, 0.5, 0.5)


def write(path, array, *, crs="EPSG:4326", transform=PLAIN, nodata=-9999, names=(), **more):
    array = np.asarray(array)
    array = array if array.ndim == 3 else array[None]
    with rasterio.open(
        path, "w", driver="GTiff", height=array.shape[1], width=array.shape[2], count=len(array), dtype=array.dtype,
        crs=crs, transform=transform, nodata=nodata, **more,
    ) as out:  # fmt: skip
        out.write(array)
        if names:
            out.descriptions = tuple(names)
    return path


def holes(shape, seed, share=0.2, dtype=np.float32):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=shape).astype(dtype)
    values[rng.random(shape) < share] = -9999
    return values


# ------------------------------------------------------------------------------------------------ finding and naming
def test_folder_pattern_list_order_and_names(tmp_path):
    for name in ("bio10.tif", "bio2.tif", "CHELSA_bio1_1981-2010_V.2.1.tif", ".hidden.tif"):
        write(tmp_path / name, np.ones((4, 4), np.float32))
    (tmp_path / "bio2.tif.aux.xml").write_text("<PAMDataset/>")
    (tmp_path / "notes.txt").write_text("x")
    assert RasterStack.open(tmp_path).names == ("bio2", "bio10", "CHELSA_bio1_1981-2010_V.2.1")
    assert RasterStack.open(str(tmp_path / "bio*.tif")).names == ("bio2", "bio10")
    assert RasterStack.open([tmp_path / "bio10.tif", tmp_path / "bio2.tif"]).names == ("bio10", "bio2")
    assert RasterStack.open(tmp_path, only=["bio*"], exclude=["bio2"]).names == ("bio10",)
    assert RasterStack.open(tmp_path, names={"bio2": "rain"}).names[0] == "rain"
    assert RasterStack.open(tmp_path, names=["a", "b", "c"]).names == ("a", "b", "c")
    for bad in (
        {"only": ["bio3"]},
        {"names": ["a"]},
        {"names": {"x": "y"}},
        {"categorical": ["bi2"]},
        {"template": "bio3"},
    ):
        with pytest.raises(UsageError):
            RasterStack.open(tmp_path, **bad)
    for nothing in (tmp_path / "no.tif", str(tmp_path / "q*.tif"), []):
        with pytest.raises(InputError, match=r"not found|no raster|none given"):
            RasterStack.open(nothing)


def test_band_names_and_duplicates(tmp_path):
    write(tmp_path / "scene.tif", np.ones((3, 4, 4), np.float32), names=("red", "nir", ""))
    stack = RasterStack.open(tmp_path)
    assert stack.names == ("red", "nir", "scene_3")
    write(tmp_path / "red.tif", np.ones((4, 4), np.float32))
    with pytest.raises(InputError) as caught:
        RasterStack.open(tmp_path)
    assert caught.value.code == "RA306" and "scene.tif band 1" in str(caught.value)
    assert RasterStack.open(tmp_path / "scene.tif", exclude=["red"]).names == ("nir", "scene_3")


def test_select_is_exact_then_ignores_case_and_lists_what_is_missing(tmp_path):
    for name in ("bio1", "bio2", "BIO5", "Soil"):
        write(tmp_path / f"{name}.tif", np.full((4, 4), len(name), np.float32))
    stack = RasterStack.open(tmp_path)
    assert stack.select(["soil", "bio5", "bio1"]).names == ("soil", "bio5", "bio1")
    assert stack.select(["soil"], categorical=["soil"]).categorical == ("soil",)
    with pytest.raises(InputError) as caught:
        stack.select(["bio1", "bio3", "elevation"])
    assert (
        caught.value.code == "RA303" and "bio3, elevation" in str(caught.value) and "did you mean" in str(caught.value)
    )


# ------------------------------------------------------------------------------------------------ nodata rule
@FEW
@given(seed=st.integers(0, 999), bands=st.integers(1, 4), rows=st.integers(1, 40), cols=st.integers(1, 40))
def test_a_cell_is_valid_exactly_where_every_band_is(tmp_path, seed, bands, rows, cols):
    layers = holes((bands, rows, cols), seed)
    layers[0, 0, 0] = np.nan
    paths = [write(tmp_path / f"b{i}.tif", layer) for i, layer in enumerate(layers)]
    values, valid = RasterStack.open(paths).read()
    present = np.isfinite(layers) & (layers != -9999)
    assert np.array_equal(valid, present.all(axis=0))
    assert np.array_equal(np.isnan(values), ~present)
    assert np.array_equal(values[present], layers[present].astype(np.float64))


@FEW
@given(seed=st.integers(0, 999), fill=st.sampled_from([-9999.0, 0.0, 1e30, -3.4e38, 255.0]))
def test_the_nodata_value_never_leaks_into_other_cells_when_resampled(tmp_path, seed, fill):
    base = holes((30, 30), seed)
    missing = base == -9999
    results = []
    for value in (-9999.0, fill):
        layer = np.where(missing, np.float32(value), np.abs(base) + np.float32(0.001))
        path = write(tmp_path / f"v{value:g}.tif", layer, nodata=value)
        target = Grid(crs_wkt(4326), (0.37, 0.0, -9.7, 0.0, -0.37, 9.6), 35, 35)
        results.append(RasterStack.open(path).on_grid(target).read())
    assert np.array_equal(results[0][0], results[1][0], equal_nan=True)
    assert np.array_equal(results[0][1], results[1][1])


# ------------------------------------------------------------------------------------------------ windows
@FEW
@given(
    seed=st.integers(0, 999),
    size=st.integers(6, 70),
    kind=st.sampled_from(["same", "shifted", "finer", "coarser", "utm"]),
)
def test_windows_of_any_size_read_what_the_whole_reads(tmp_path, seed, size, kind):
    stack = mixed_stack(tmp_path, kind, seed)
    values, valid = stack.read()
    pieces, masks = np.full_like(values, 7), np.zeros_like(valid)
    for w in stack.windows((size, max(1, size // 2))):
        at = (slice(w.row, w.row + w.height), slice(w.col, w.col + w.width))
        pieces[:, *at], masks[at] = stack.read(w)
    assert values.tobytes() == pieces.tobytes()
    assert np.array_equal(valid, masks)


def mixed_stack(folder, kind, seed=0):
    other = {
        "same": (PLAIN, 4326, 60),
        "shifted": (from_origin(-14, 13, 0.5, 0.5), 4326, 70),
        "finer": (from_origin(-11, 11, 0.13, 0.13), 4326, 170),
        "coarser": (from_origin(-11, 11, 1.7, 1.7), 4326, 30),
        "utm": (from_origin(-400e3, 1.2e6, 31e3, 29e3), 32631, 60),
    }[kind]
    write(folder / "a.tif", holes((50, 61), seed))
    write(folder / "b.tif", holes((other[2], other[2]), seed + 1), transform=other[0], crs=other[1])
    labels = np.random.default_rng(seed).integers(1, 5, (other[2], other[2]), dtype=np.uint8)
    write(folder / "c.tif", labels, transform=other[0], crs=other[1], nodata=0)
    return RasterStack.open([folder / "a.tif", folder / "b.tif", folder / "c.tif"], categorical=["c"])


def test_windows_outside_the_grid_are_refused(tmp_path):
    stack = RasterStack.open(write(tmp_path / "a.tif", holes((5, 6), 0)))
    for window in [(0, 0, 6, 6), (-1, 0, 2, 2), (0, 5, 2, 2), (0, 0, 0, 1)]:
        with pytest.raises(UsageError):
            stack.read(window)


# ------------------------------------------------------------------------------------------------ points and cells
@pytest.mark.parametrize("kind", ["same", "finer", "utm"])
def test_points_get_the_value_of_their_cell(tmp_path, kind):
    stack = mixed_stack(tmp_path, kind, 5)
    values, valid = stack.read()
    rng = np.random.default_rng(1)
    x, y = rng.uniform(-12, 24, 500), rng.uniform(-18, 12, 500)
    got = stack.sample(x, y)
    row, col = np.floor((10 - y) / 0.5).astype(int), np.floor((x + 10) / 0.5).astype(int)
    inside = (row >= 0) & (row < 50) & (col >= 0) & (col < 61)
    assert np.array_equal(got.inside, inside)
    assert np.array_equal(got.cell, np.where(inside, row * 61 + col, -1))
    assert np.array_equal(got.values[inside], values[:, row[inside], col[inside]].T, equal_nan=True)
    assert np.array_equal(got.valid[inside], valid[row[inside], col[inside]])
    assert np.isnan(got.values[~inside]).all() and not got.valid[~inside].any()
    back = stack.sample(*stack.cell_xy(got.cell[inside]))
    assert np.array_equal(back.cell, got.cell[inside])


def test_points_in_other_systems_edges_and_nonsense(tmp_path):
    stack = RasterStack.open(
        write(tmp_path / "a.tif", np.arange(16, dtype=np.float32).reshape(4, 4), transform=from_origin(0, 4, 1, 1))
    )
    assert stack.sample([0.0, 4.0, 0.0, 4.0, 1.0], [4.0, 4.0, 0.0, 0.0, 3.0]).cell.tolist() == [0, 3, 12, 15, 5]
    assert stack.sample([np.nan, np.inf, 500.0, 362.5], [1.0, 1.0, 1.0, 1.5]).cell.tolist() == [-1, -1, -1, 10]
    mercator = stack.sample(np.array([2.5 * 111319.49079327358]), np.array([111325.1428663851 * 1.5]), crs=3857)
    assert mercator.values[0, 0] == 10.0
    with pytest.raises(InputError):
        stack.sample([1.0, 2.0], [1.0])
    with pytest.raises(UsageError, match="no coordinate reference system"):
        stack.sample([1.0], [1.0], crs="EPSG:999999")


def test_cell_areas_are_those_of_spherical_bands(tmp_path):
    degrees = RasterStack.open(
        write(tmp_path / "a.tif", np.ones((36, 72), np.float32), transform=from_origin(-180, 90, 5, 5))
    )
    area = degrees.cell_area(np.arange(36))
    assert np.isclose(area.sum() * np.deg2rad(5), 2.0)
    middle = np.deg2rad(90 - 5 * (np.arange(36) + 0.5))
    assert np.allclose(area, np.cos(middle), rtol=1e-3)
    metres = RasterStack.open(
        write(tmp_path / "b.tif", np.ones((4, 4), np.float32), crs=32631, transform=from_origin(0, 4000, 1000, 1000))
    )
    assert metres.cell_area(np.arange(4)).tolist() == [1.0] * 4


def test_sampled_cells_are_valid_uniform_nested_and_repeatable(tmp_path, monkeypatch):
    stack = RasterStack.open(write(tmp_path / "a.tif", holes((60, 50), 2, share=0.5)))
    _, valid = stack.read()
    everything = np.flatnonzero(valid)
    assert np.array_equal(stack.valid_cells(), everything)
    some = stack.valid_cells(100, seed=4)
    assert len(some) == 100 and np.isin(some, everything).all() and (np.diff(some) > 0).all()
    assert np.isin(stack.valid_cells(40, seed=4), some).all()
    assert not np.array_equal(some, stack.valid_cells(100, seed=5))
    for size in (1, 7, 64):
        monkeypatch.setattr(RasterStack, "windows", lambda self, s=size: original(self, s))
        assert np.array_equal(stack.valid_cells(100, seed=4), some)
    monkeypatch.undo()
    keys = np.stack([cell_keys(everything, seed) for seed in range(300)])
    chosen = np.argsort(keys, axis=1)[:, :100]
    counts = np.bincount(chosen.ravel(), minlength=len(everything))
    expected = 300 * 100 / len(everything)
    assert ((counts - expected) ** 2 / expected).sum() < len(everything) + 5 * np.sqrt(2 * len(everything))


original = RasterStack.windows


def test_no_valid_cell_and_no_overlap(tmp_path):
    write(tmp_path / "a.tif", np.full((4, 4), -9999, np.float32))
    with pytest.raises(InputError) as caught:
        RasterStack.open(tmp_path).valid_cells(5)
    assert caught.value.code == "RA304"
    write(tmp_path / "b.tif", np.ones((4, 4), np.float32), transform=from_origin(100, 10, 0.5, 0.5))
    with pytest.raises(InputError, match=r"b\.tif: does not overlap .* x 100 to 102") as caught:
        RasterStack.open(tmp_path)
    assert caught.value.code == "RA304"


# ------------------------------------------------------------------------------------------------ levels, statistics
def test_levels_and_their_refusals(tmp_path):
    labels = np.array([[3, 1, 0], [7, 7, -2]], np.int16)
    write(tmp_path / "biome.tif", labels, nodata=0)
    write(tmp_path / "t.tif", holes((2, 3), 0))
    write(tmp_path / "many.tif", np.arange(1200, dtype=np.int32).reshape(30, 40))
    stack = RasterStack.open(tmp_path, categorical=["biome"], template="biome")
    assert stack.levels("biome") == (-2, 1, 3, 7)
    assert [(s.name, s.levels) for s in stack.select(["t", "biome"]).specs()] == [("t", None), ("biome", (-2, 1, 3, 7))]
    for name, stack_ in [("t", stack), ("many", RasterStack.open(tmp_path / "many.tif"))]:
        with pytest.raises(InputError) as caught:
            stack_.levels(name)
        assert caught.value.code == "RA307"


def test_statistics_agree_with_numpy(tmp_path):
    layers = holes((2, 700, 600), 8)
    write(tmp_path / "a.tif", layers, names=("p", "q"))
    table = RasterStack.open(tmp_path).statistics()
    for name, layer in zip(("p", "q"), layers, strict=True):
        some = layer[layer != -9999].astype(np.float64)
        got = table[name]
        assert (got.valid, got.cells) == (some.size, 420000)
        assert np.allclose(got[2:], (some.min(), some.max(), some.mean(), some.std()))


# ------------------------------------------------------------------------------------------------ processes
def _total(stack):
    return float(np.nansum(stack.read()[0]))


def test_one_stack_in_threads_and_forked_processes(tmp_path):
    stack = mixed_stack(tmp_path, "utm", 3)
    here = _total(stack)
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(_total, [stack] * 8)) == [here] * 8
    with ProcessPoolExecutor(1, mp_context=get_context("fork")) as processes:
        assert processes.submit(_total, stack).result() == here


# ------------------------------------------------------------------------------------------------ real data
@pytest.mark.realdata
def test_bradypus_grids(data_folder):
    with warnings.catch_warnings():
        warnings.simplefilter("error", EcotoneWarning)
        stack = RasterStack.open(data_folder / "bradypus_dismo", categorical=["biome"])
    assert stack.names == ("bio1", "bio5", "bio6", "bio7", "bio8", "bio12", "bio16", "bio17", "biome")
    assert (stack.grid.height, stack.grid.width) == (192, 186)
    assert stack.grid.bounds == (-125.0, -56.0, -32.0, 40.0)
    assert rasterio.crs.CRS.from_wkt(stack.grid.crs).to_epsg() == 4326
    levels = stack.levels("biome")
    assert levels[0] == 1 and levels[-1] == 14 and len(levels) <= 14
    values, valid = stack.read()
    raw = np.fromfile(data_folder / "bradypus_dismo" / "bio1.gri", "<i2").reshape(192, 186)
    assert np.array_equal(np.isnan(values[0]), raw == -32768)
    assert np.array_equal(values[0][raw != -32768], raw[raw != -32768])
    assert valid.sum() == 9766
    assert stack.statistics()["bio1"].maximum == 289


def test_south_up_and_east_first_rasters_are_read_as_their_north_up_twins(tmp_path):
    values = holes((20, 30), 1)
    write(tmp_path / "n.tif", values, transform=from_origin(-10, 10, 0.5, 0.5))
    write(tmp_path / "s.tif", values[::-1], transform=Affine(0.5, 0, -10, 0, 0.5, 0))
    write(tmp_path / "e.tif", values[:, ::-1], transform=Affine(-0.5, 0, 5, 0, -0.5, 10))
    stacks = [RasterStack.open(tmp_path / f"{k}.tif", names=["a"]) for k in "nse"]
    assert stacks[0].grid == stacks[1].grid == stacks[2].grid
    for stack in stacks[1:]:
        for window in [(0, 0, 20, 30), (3, 4, 5, 7), (19, 29, 1, 1)]:
            assert stack.read(window)[0].tobytes() == stacks[0].read(window)[0].tobytes()
