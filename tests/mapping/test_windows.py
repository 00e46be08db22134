from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.transform import Affine, from_origin

from ecotone.abilities import MapProduct
from ecotone.data.rasters import RasterStack
from ecotone.errors import EcotoneWarning, InputError, InterruptedRunError, UsageError
from ecotone.mapping.view import read_map
from ecotone.mapping.windows import make_map, output_paths

FEW = settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def stack(tmp_path, write_raster, holed):
    for i, name in enumerate("ab"):
        write_raster(tmp_path / f"{name}.tif", holed((70, 90), i))
    return RasterStack.open([tmp_path / "a.tif", tmp_path / "b.tif"])


def read(path):
    with rasterio.open(path) as dataset:
        return dataset.read()


def test_values_nodata_and_everything_a_file_should_say(tmp_path, stack, linear):
    out = tmp_path / "out" / "map.tif"
    told = []
    files = make_map(
        linear(), stack, out, window=33, tags={"MODEL": "abc"}, progress=lambda done, of: told.append((done, of))
    )
    assert files == [out, tmp_path / "out" / "map.class.tif"] == output_paths(linear(), out)
    assert told == [(i, 9) for i in range(1, 10)] and sorted(p.name for p in out.parent.iterdir()) == [
        "map.class.tif",
        "map.tif",
    ]
    values, valid = stack.read()
    total = (values[0] + values[1]).astype(np.float32)
    main, classes = read(files[0]), read(files[1])[0]
    assert np.array_equal(main[0], np.where(valid, total, np.nan), equal_nan=True)
    assert np.array_equal(main[1], np.where(valid, (values[0] - values[1]).astype(np.float32), np.nan), equal_nan=True)
    assert np.array_equal(classes, np.where(valid, total > 0, 255))
    with rasterio.open(out) as dataset:
        assert dataset.crs.to_epsg() == 4326 and tuple(dataset.transform)[:6] == stack.grid.transform
        assert dataset.descriptions == ("sum", "difference") and dataset.units == ("mm", "mm")
        assert dataset.dtypes == ("float32", "float32") and np.isnan(dataset.nodata)
        tags = dataset.tags()
        assert tags["MODEL"] == "abc" and tags["ECOTONE_SYSTEM"] == "linear" and "ECOTONE_VERSION" in tags
    with rasterio.open(files[1]) as dataset:
        assert dataset.nodata == 255 and dataset.dtypes == ("uint8",)
        colours = dataset.colormap(1)
        assert colours[255][3] == 0 and colours[0] != colours[1]


def test_files_are_valid_cloud_optimised_geotiffs(tmp_path, write_raster, holed, linear, capfd):
    for i, name in enumerate("ab"):
        write_raster(tmp_path / f"{name}.tif", holed((1300, 1100), i, 0.01))
    files = make_map(linear(), RasterStack.open([tmp_path / "a.tif", tmp_path / "b.tif"]), tmp_path / "m.tif")
    for path in files:
        with rasterio.open(path) as dataset:
            assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
            assert dataset.tags(ns="IMAGE_STRUCTURE")["COMPRESSION"] == "DEFLATE"
            assert dataset.block_shapes[0] == (512, 512) and dataset.profile["tiled"]
            assert dataset.overviews(1) == [2, 4]
            directory = [int(dataset.get_tag_item("IFD_OFFSET", "TIFF", bidx=1, ovr=o)) for o in (None, 0, 1)]
            pixels = [int(dataset.get_tag_item("BLOCK_OFFSET_0_0", "TIFF", bidx=1, ovr=o)) for o in (None, 0, 1)]
        assert max(directory) < min(pixels) and pixels == sorted(pixels, reverse=True)
        assert path.stat().st_mode & 0o777 == 0o666 & ~umask()
    with rasterio.open(files[1], overview_level=1) as dataset:
        assert set(np.unique(dataset.read(1))) <= {0, 1, 255}
    captured = capfd.readouterr()
    assert captured.err == "" and captured.out == ""


def umask():
    now = os.umask(0)
    os.umask(now)
    return now


def test_pixels_are_bit_equal_for_every_window_size(tmp_path, write_raster, holed, network):
    names = tuple("abc")
    for i, name in enumerate(names):
        write_raster(tmp_path / f"{name}.tif", holed((230, 170), i))
    write_raster(tmp_path / "c.tif", holed((90, 80), 7, 0.05), transform=from_origin(-11, 11, 1.3, 1.7))
    stack, system = RasterStack.open([tmp_path / f"{n}.tif" for n in names]), network(names)
    maps = {w: read(make_map(system, stack, tmp_path / f"m{w}.tif", window=w)[0]) for w in (17, 64, 100, 512)}
    values, valid = stack.read()
    whole = np.full((5, 230, 170), np.nan, dtype=np.float32)
    whole[:, valid] = system.window(np.ascontiguousarray(values[:, valid].T))[0].T
    for size, layers in maps.items():
        assert layers.tobytes() == whole.tobytes(), size
    first = (tmp_path / "m64.tif").read_bytes()
    make_map(system, stack, tmp_path / "m64.tif", window=64)
    assert (tmp_path / "m64.tif").read_bytes() == first


@FEW
@given(seed=st.integers(0, 999), rows=st.integers(1, 40), cols=st.integers(1, 40), window=st.integers(1, 50))
def test_nodata_in_any_needed_band_is_nodata_in_every_product(
    tmp_path, write_raster, holed, linear, seed, rows, cols, window
):
    layers = [holed((rows, cols), seed + i) for i in range(3)]
    for layer in layers[:2]:
        layer[0, 0] = 1.0
    for name, layer in zip("abz", layers, strict=True):
        write_raster(tmp_path / f"{name}.tif", layer)
    stack = RasterStack.open([tmp_path / f"{n}.tif" for n in "zab"])
    files = make_map(linear(), stack, tmp_path / "m.tif", window=window)
    valid = (layers[0] != -9999) & (layers[1] != -9999)
    assert np.array_equal(~np.isnan(read(files[0])[0]), valid)
    assert np.array_equal(read(files[1])[0] != 255, valid)


@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        (4326, Affine(0.25, 0, -3, 0, -0.25, 50)),
        (4326, Affine(0.25, 0, -3, 0, 0.25, 45)),
        (32633, Affine(30, 0, 500000, 0, -30, 5000000)),
        (3031, Affine(5000, 0, -60000, 0, -5000, 70000)),
        (4326, Affine(0.5, 0, 175, 0, -0.5, 10)),
        (4326, Affine(0.0083333333, 0, -86.017185, 0, -0.0083333333, 11.289387)),
    ],
)
def test_output_grid_equals_the_template(tmp_path, write_raster, holed, linear, crs, transform):
    for i, name in enumerate("ab"):
        write_raster(tmp_path / f"{name}.tif", holed((20, 30), i), crs=f"EPSG:{crs}", transform=transform)
    stack = RasterStack.open([tmp_path / "a.tif", tmp_path / "b.tif"])
    make_map(linear(), stack, tmp_path / "m.tif")
    again = RasterStack.open([tmp_path / "m.tif"])
    assert again.grid == stack.grid
    with rasterio.open(tmp_path / "m.tif") as made, rasterio.open(tmp_path / "a.tif") as given:
        assert made.crs == given.crs and made.shape == given.shape
        assert np.allclose(sorted(made.bounds), sorted(given.bounds)) and made.transform.e < 0
        if transform.e < 0:
            assert made.transform == given.transform


def test_other_grids_and_systems_are_aligned_and_labels_stay_labels(tmp_path, write_raster, linear):
    y = 20 - 0.05 * (np.arange(800) + 0.5)
    write_raster(tmp_path / "a.tif", np.zeros((60, 60), np.float32), transform=from_origin(0, 15, 0.1, 0.1))
    write_raster(tmp_path / "b.tif", np.repeat(y[:, None], 800, axis=1), transform=from_origin(-10, 20, 0.05, 0.05))
    labels = np.random.default_rng(0).choice(np.array([1, 3], np.uint8), (90, 90))
    write_raster(tmp_path / "c.tif", labels, transform=from_origin(-50e3, 1.8e6, 10e3, 10e3), crs="EPSG:3857", nodata=0)
    stack = RasterStack.open([tmp_path / f"{n}.tif" for n in "abc"])
    seen = []
    system = linear(("a", "c", "b"), labels=("c",))
    inner = system.window
    system.window = lambda rows, **ask: (seen.append(rows), inner(rows, **ask))[1]
    with pytest.warns(EcotoneWarning, match=r"c\.tif: is in EPSG:3857, the map in EPSG:4326; aligned") as told:
        files = make_map(system, stack, tmp_path / "m.tif")
    assert [w.message.code for w in told if isinstance(w.message, EcotoneWarning)] == ["RA309"]
    assert all(set(np.unique(rows[:, 1])) == {1.0, 3.0} for rows in seen) and len(seen[-1]) == 3600
    latitude = 15 - 0.1 * (np.arange(60) + 0.5)
    assert np.allclose(read(files[0])[1], -latitude[:, None], atol=1e-4)


def test_difference_against_a_baseline(tmp_path, stack, write_raster, holed, linear):
    now = {n: stack.select([n]).read() for n in "ab"}
    then = tmp_path / "then"
    then.mkdir()
    for i, name in enumerate("ab"):
        write_raster(then / f"{name.upper()}.tif", holed((75, 95), 10 + i), transform=from_origin(-11, 11, 0.5, 0.5))
    baseline = RasterStack.open(then)
    files = make_map(linear(), stack, tmp_path / "m.tif", window=32, baseline=baseline)
    assert [f.name for f in files] == ["m.tif", "m.class.tif", "m.difference.tif"]
    assert files == output_paths(linear(), tmp_path / "m.tif", baseline=True)
    before, before_valid = baseline.on_grid(stack.grid).read()
    both = before_valid & now["a"][1] & now["b"][1]
    total = (now["a"][0][0] + now["b"][0][0]).astype(np.float32).astype(float) - before.sum(axis=0).astype(np.float32)
    got = read(files[2])
    assert np.array_equal(got[0], np.where(both, total.astype(np.float32), np.nan), equal_nan=True)
    with rasterio.open(files[2]) as dataset:
        assert dataset.descriptions == ("sum", "difference") and dataset.units == ("mm", "mm")
    classes = linear(main=MapProduct(("sum", "difference"), dtype="int16", nodata=-1))
    with pytest.raises(UsageError, match="no difference"):
        make_map(classes, stack, tmp_path / "n.tif", baseline=baseline)


def test_changes_a_system_computes_are_products_too(tmp_path, stack, write_raster, holed, linear):
    then = tmp_path / "then"
    then.mkdir()
    for i, name in enumerate("ab"):
        write_raster(then / f"{name}.tif", holed((70, 90), 20 + i))
    baseline = RasterStack.open(then)
    system = linear()
    system.change_products = lambda **ask: (
        MapProduct(("moved",), "turnover", unit="1"),
        MapProduct(("gains", "losses"), "gains", "int16", -1),
    )

    def window_change(now, before, **ask):
        moved = np.abs(now - before).sum(axis=1)
        counts = np.stack([(now > before).sum(axis=1), (now < before).sum(axis=1)], axis=1)
        return moved[:, None], counts

    system.window_change = window_change
    files = make_map(system, stack, tmp_path / "m.tif", window=32, baseline=baseline)
    names = ["m.tif", "m.class.tif", "m.difference.tif", "m.turnover.tif", "m.gains.tif"]
    assert [f.name for f in files] == names and files == output_paths(system, tmp_path / "m.tif", baseline=True)
    (now, valid), (before, also) = stack.read(), baseline.on_grid(stack.grid).read()
    both = valid & also
    expected = np.where(both, np.abs(now - before).sum(axis=0).astype(np.float32), np.nan)
    assert np.array_equal(read(files[3])[0], expected, equal_nan=True)
    assert np.array_equal(read(files[4])[0], np.where(both, (now > before).sum(axis=0), -1))
    assert len(make_map(system, stack, tmp_path / "n.tif")) == 2, "no changes without a baseline"
    system.window_change = lambda now, before, **ask: (now[:, :1],)
    with pytest.raises(InputError, match="window_change"):
        make_map(system, stack, tmp_path / "o.tif", baseline=baseline)


def test_a_system_may_ask_for_float32(tmp_path, stack, linear):
    system, kinds = linear(), set()
    inner = system.window
    system.window = lambda rows, **ask: (kinds.add(rows.dtype.name), inner(rows, **ask))[1]
    system.covariate_dtype = "float32"
    make_map(system, stack, tmp_path / "m.tif", baseline=stack)
    assert kinds == {"float32"}


def test_one_raster_of_many_elsewhere_is_named(tmp_path, write_raster, holed):
    for i in range(30):
        write_raster(tmp_path / f"c{i}.tif", holed((8, 9), i))
    write_raster(tmp_path / "c17.tif", holed((8, 9), 0), crs="EPSG:32633", transform=from_origin(5e5, 5e6, 1e3, 1e3))
    with pytest.raises(InputError, match="does not overlap") as caught:
        RasterStack.open(sorted(tmp_path.glob("*.tif")), template="c0")
    assert caught.value.code == "RA304" and "c17.tif" in caught.value.where


def test_ask_reaches_the_system(tmp_path, stack, linear):
    one = read(make_map(linear(), stack, tmp_path / "m.tif")[0])
    two = read(make_map(linear(), stack, tmp_path / "m.tif", ask={"scale": 2.0})[0])
    assert np.allclose(two[0], 2 * one[0], equal_nan=True) and np.array_equal(two[1], one[1], equal_nan=True)


# ------------------------------------------------------------------------------------------------ refusals and faults
def test_problems_are_told_before_any_work(tmp_path, stack, linear):
    calls = []
    system = linear(("a", "bb", "elevation"))
    system.window = lambda rows, **ask: calls.append(1)
    with pytest.raises(InputError, match="missing bb, elevation") as caught:
        make_map(system, stack, tmp_path / "m.tif")
    assert caught.value.code == "RA303"
    (tmp_path / "file").write_text("x")
    system = linear()
    system.window = lambda rows, **ask: calls.append(1)
    for out, kind, code in [
        (tmp_path / "file" / "m.tif", InputError, "IO104"), (tmp_path / "m.png", UsageError, "US104"),
        (tmp_path / "d.tif", InputError, "IO104"),
    ]:  # fmt: skip
        (tmp_path / "d.tif").mkdir(exist_ok=True)
        with pytest.raises(kind) as caught:
            make_map(system, stack, out)
        assert caught.value.code == code
    with pytest.raises(UsageError) as caught:
        make_map(object(), stack, tmp_path / "m.tif")
    assert caught.value.code == "US103"
    for product in [
        MapProduct(("x",), dtype="uint8", nodata=float("nan")), MapProduct(("x",), dtype="int16", nodata=1e6),
        MapProduct(("x",), dtype="complex64"), MapProduct(()), MapProduct(("x",), suffix="class"),
    ]:  # fmt: skip
        with pytest.raises(UsageError):
            make_map(linear(main=product), stack, tmp_path / "m.tif")
    with pytest.raises(UsageError):
        make_map(linear(), stack, tmp_path / "m.tif", window=0)
    assert not calls and not list(tmp_path.glob("m*")) and not list(tmp_path.glob(".*"))


def test_read_only_folder(tmp_path, stack, linear, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *a, **k: False)
    with pytest.raises(InputError) as caught:
        make_map(linear(), stack, tmp_path / "m.tif")
    assert caught.value.code == "IO104" and not (tmp_path / "m.tif").exists()


def test_too_little_disk_is_known_beforehand(tmp_path, stack, linear, monkeypatch):
    import shutil

    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(InterruptedRunError, match="GB free") as caught:
        make_map(linear(), stack, tmp_path / "m.tif")
    assert caught.value.code == "ST102"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.tif", "b.tif"]


def test_disk_filling_up_midway_leaves_the_old_map(tmp_path, write_raster, holed, linear, capfd):
    import resource

    for i, name in enumerate("ab"):
        write_raster(tmp_path / f"{name}.tif", holed((600, 600), i))
    stack = RasterStack.open([tmp_path / "a.tif", tmp_path / "b.tif"])
    (tmp_path / "m.tif").write_text("old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    try:
        with pytest.raises((InterruptedRunError, InputError)) as caught:
            make_map(linear(), stack, tmp_path / "m.tif", window=64)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.code in ("ST102", "ST104")
    assert (tmp_path / "m.tif").read_text() == "old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.tif", "b.tif", "m.tif"]
    assert all(line.startswith("_tiffWriteProc") for line in capfd.readouterr().err.splitlines())  # libtiff's own line


@pytest.mark.parametrize("fault", [RuntimeError("boom"), KeyboardInterrupt()])
def test_an_exception_midway_leaves_nothing(tmp_path, stack, linear, fault):
    system, calls = linear(), []
    inner = system.window

    def window(rows, **ask):
        calls.append(1)
        if len(calls) == 3:
            raise fault
        return inner(rows, **ask)

    system.window = window
    with pytest.raises(type(fault)):
        make_map(system, stack, tmp_path / "m.tif", window=30)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.tif", "b.tif"]


def test_products_of_the_wrong_shape_and_empty_maps_leave_nothing(tmp_path, stack, write_raster, linear):
    for answer in [
        lambda rows: (rows[:, :2],),
        lambda rows: (rows[:, :1], rows[:, :1]),
        lambda rows: (rows[:-1, :2], rows[:, :1]),
    ]:
        system = linear()
        system.window = lambda rows, answer=answer, **ask: answer(rows)
        with pytest.raises(InputError) as caught:
            make_map(system, stack, tmp_path / "m.tif")
        assert caught.value.code == "DA404"
    write_raster(tmp_path / "b.tif", np.full((70, 90), -9999, np.float32))
    with pytest.raises(InputError) as caught:
        make_map(linear(), RasterStack.open([tmp_path / "a.tif", tmp_path / "b.tif"]), tmp_path / "m.tif")
    assert caught.value.code == "RA304"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.tif", "b.tif"]


def test_a_killed_process_leaves_no_output_and_its_remains_are_swept(tmp_path, stack, linear):
    program = f"""
        import os, signal, sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from conftest import Linear
        from ecotone.data.rasters import RasterStack
        from ecotone.mapping.windows import make_map
        stack = RasterStack.open([{str(tmp_path / "a.tif")!r}, {str(tmp_path / "b.tif")!r}])
        def kill(done, total):
            if done == 3:
                os.kill(os.getpid(), signal.SIGKILL)
        make_map(Linear(), stack, {str(tmp_path / "m.tif")!r}, window=30, progress=kill)
    """
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], env=env, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not (tmp_path / "m.tif").exists()
    assert list(tmp_path.glob(".m.tif.work"))
    make_map(linear(), stack, tmp_path / "m.tif")
    assert not list(tmp_path.glob(".*")) and (tmp_path / "m.tif").exists()


# ------------------------------------------------------------------------------------------------ looking at maps
def test_reduced_views_keep_extent_and_mean(tmp_path, write_raster, linear):
    rng = np.random.default_rng(0)
    for name in "ab":
        write_raster(tmp_path / f"{name}.tif", rng.random((1100, 900)).astype(np.float32))
    files = make_map(linear(), RasterStack.open([tmp_path / "a.tif", tmp_path / "b.tif"]), tmp_path / "m.tif")
    view = read_map(files[0], max_pixels=10_000)
    assert view.array.shape[0] == 2 and 5000 < view.array[0].size <= 10_000
    assert view.names == ("sum", "difference") and view.unit == "mm" and view.tags["ECOTONE_SYSTEM"] == "linear"
    assert view.grid.bounds == pytest.approx(RasterStack.open(files[:1]).grid.bounds)
    assert abs(view.array[0].mean() - 1.0) < 0.01 and view.array[0].std() < 0.1
    classes = read_map(files[1], max_pixels=5000)
    assert classes.legend == {0: "low", 1: "high"} and set(np.unique(classes.array)) <= {0.0, 1.0}
    whole = read_map(files[0])
    assert whole.array.shape == (2, 1100, 900)
    with pytest.raises(UsageError):
        read_map(files[0], max_pixels=0)
    with pytest.raises(InputError):
        read_map(tmp_path / "no.tif")


@pytest.mark.realdata
def test_bradypus_map(tmp_path, data_folder, linear):
    stack = RasterStack.open(data_folder / "bradypus_dismo", categorical=["biome"])
    files = make_map(linear(("bio1", "bio12", "biome"), labels=("biome",)), stack, tmp_path / "m.tif", window=50)
    got = read(files[0])
    assert (
        got.shape == (2, 192, 186)
        and np.isfinite(got[0]).sum() == stack.select(["bio1", "bio12", "biome"]).read()[1].sum()
    )
