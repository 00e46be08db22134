from __future__ import annotations

import numpy as np
import pytest
import rasterio
from rasterio.enums import Resampling
from rasterio.transform import Affine, from_origin
from rasterio.vrt import WarpedVRT

from ecotone.contract import Grid
from ecotone.data.raster_align import Alignment
from ecotone.data.raster_grid import Window, centres, crs_wkt, offset_in, same_crs, to_crs
from ecotone.data.rasters import RasterStack


def write(path, array, *, crs="EPSG:4326", transform, nodata=-9999):
    with rasterio.open(
        path, "w", driver="GTiff", height=array.shape[0], width=array.shape[1], count=1, dtype=array.dtype, crs=crs,
        transform=transform, nodata=nodata,
    ) as out:  # fmt: skip
        out.write(array, 1)
    return path


def smooth(x, y):
    return np.sin(x / 9) + np.cos(y / 7) + 0.01 * x


def on_grid(path, crs, transform, height, width, **more):
    grid = Grid(crs_wkt(crs), tuple(transform)[:6], height, width)
    return RasterStack.open(path, **more).on_grid(grid)


def smooth_raster(path, transform, height, width, crs="EPSG:4326"):
    x, y = transform * np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    return write(path, smooth(x, y).astype(np.float64), transform=transform, crs=crs)


def test_whole_cell_shifts_copy_values(tmp_path):
    values = np.random.default_rng(0).random((40, 50))
    path = write(tmp_path / "a.tif", values, transform=from_origin(0, 20, 0.5, 0.5))
    stack = on_grid(path, 4326, from_origin(-2, 18, 0.5, 0.5), 30, 20)
    got, valid = stack.read()
    assert np.array_equal(got[0][:, 4:], values[4:34, :16])
    assert valid[:, 4:].all() and not valid[:, :4].any()
    assert np.isnan(got[0][:, :4]).all()


def test_bilinear_agrees_with_a_plain_rewrite(tmp_path):
    rng = np.random.default_rng(2)
    values = rng.random((12, 14))
    values[rng.random(values.shape) < 0.25] = -9999
    path = write(tmp_path / "a.tif", values, transform=from_origin(0, 12, 1, 1))
    transform = from_origin(-1.3, 13.1, 0.7, 0.6)
    got, valid = on_grid(path, 4326, transform, 25, 24).read()
    for row in range(25):
        for col in range(24):
            x, y = transform * (col + 0.5, row + 0.5)
            u, v = x, 12 - y
            if not (0 <= u < 14 and 0 <= v < 12) or values[int(v), int(u)] == -9999:
                assert not valid[row, col] and np.isnan(got[0, row, col])
                continue
            total = weight = 0.0
            for i in (int(np.floor(v - 0.5)), int(np.floor(v - 0.5)) + 1):
                for j in (int(np.floor(u - 0.5)), int(np.floor(u - 0.5)) + 1):
                    value = values[min(max(i, 0), 11), min(max(j, 0), 13)]
                    share = (1 - abs(v - 0.5 - i)) * (1 - abs(u - 0.5 - j))
                    if value != -9999:
                        total, weight = total + share * value, weight + share
            assert valid[row, col]
            assert np.isclose(got[0, row, col], total / weight, rtol=1e-9)


@pytest.mark.parametrize("crs", [32631, 3857, 3035])
def test_reprojection_recovers_a_smooth_field_as_gdal_does(tmp_path, crs):
    path = smooth_raster(tmp_path / "a.tif", from_origin(-5, 60, 0.1, 0.1), 300, 250)
    x, y = to_crs(np.array([0.0, 10.0]), np.array([50.0, 40.0]), crs_wkt(4326), crs_wkt(crs))
    transform = from_origin(x[0], y[0], (x[1] - x[0]) / 80, (y[0] - y[1]) / 90)
    stack = on_grid(path, crs, transform, 90, 80)
    got, valid = stack.read()
    lon, lat = to_crs(*(c.ravel() for c in np.meshgrid(*_axes(stack.grid))), stack.grid.crs, crs_wkt(4326))
    assert valid.all()
    assert np.allclose(got[0].ravel(), smooth(lon, lat), atol=2e-4)
    with rasterio.open(path) as source, WarpedVRT(
        source, crs=rasterio.crs.CRS.from_epsg(crs), transform=transform, height=90, width=80,
        resampling=Resampling.bilinear,
    ) as warped:  # fmt: skip
        assert np.allclose(got[0], warped.read(1), atol=5e-3)


def _axes(grid):
    return centres(grid, Window(0, 0, grid.height, grid.width))


def test_coarser_templates_average_instead_of_skipping(tmp_path):
    rng = np.random.default_rng(0)
    values = rng.random((120, 120))
    path = write(tmp_path / "a.tif", values, transform=from_origin(0, 12, 0.1, 0.1))
    stack = on_grid(path, 4326, from_origin(0, 12, 1, 1), 12, 12)
    assert Alignment.between(stack.sources[0].grid, stack.grid).block == 10
    got, valid = stack.read()
    assert valid.all() and np.allclose(got[0], values.reshape(12, 10, 12, 10).mean(axis=(1, 3)))
    holed = values.copy()
    holed[:10, :7], holed[10:20, :4] = -9999, -9999
    write(path, holed, transform=from_origin(0, 12, 0.1, 0.1))
    got, valid = on_grid(path, 4326, from_origin(0, 12, 1, 1), 12, 12).read()
    assert not valid[0, 0] and valid[1, 0] and np.isclose(got[0, 1, 0], values[10:20, 4:10].mean())


@pytest.mark.parametrize("cell", [0.3, 1.0, 2.9, 7.0])
def test_labels_are_never_averaged(tmp_path, cell):
    labels = np.random.default_rng(1).choice(np.array([1, 100, 250], np.uint8), (60, 60))
    path = write(tmp_path / "c.tif", labels, transform=from_origin(0, 60, 1, 1), nodata=0)
    size = int(50 / cell)
    stack = on_grid(path, 4326, from_origin(1.23, 58.4, cell, cell), size, size, categorical=["c"])
    got, valid = stack.read()
    assert set(np.unique(got[0][valid])) <= {1.0, 100.0, 250.0}
    x, y = _axes(stack.grid)
    assert np.array_equal(got[0], labels[np.floor(60 - y).astype(int)][:, np.floor(x).astype(int)])


def test_declaring_labels_on_select_changes_how_they_are_read(tmp_path):
    labels = np.random.default_rng(1).choice(np.array([1, 200], np.uint8), (30, 30))
    path = write(tmp_path / "c.tif", labels, transform=from_origin(0, 30, 1, 1), nodata=0)
    stack = on_grid(path, 4326, from_origin(0.4, 29.3, 1, 1), 25, 25)
    assert len(np.unique(stack.read()[0])) > 10
    assert len(np.unique(stack.select(["c"], categorical=["c"]).read()[0])) == 2


def test_antimeridian_is_crossed_without_a_seam(tmp_path):
    transform = from_origin(-180, 90, 1, 1)
    lon = -179.5 + np.arange(360)
    values = np.cos(np.deg2rad(lon))[None] + np.zeros((180, 1))
    path = write(tmp_path / "world.tif", values, transform=transform)
    for west, crs, size in [(170.25, 4326, 0.5), (170.0, 4326, 1.0), (-190.0, 4326, 1.0)]:
        stack = on_grid(path, crs, from_origin(west, 10, size, size), 20, 40)
        got, valid = stack.read()
        assert valid.all()
        assert np.allclose(got[0], np.cos(np.deg2rad(_axes(stack.grid)[0]))[None], atol=1e-3)
    stack = on_grid(path, 3832, from_origin(3_000_000, 1_000_000, 20_000, 20_000), 50, 50)
    got, valid = stack.read()
    x, _ = to_crs(*(c.ravel() for c in np.meshgrid(*_axes(stack.grid))), stack.grid.crs, crs_wkt(4326))
    assert x.min() < -179 and x.max() > 179 and valid.all()
    assert np.allclose(got[0].ravel(), np.cos(np.deg2rad(x)), atol=1e-3)
    positive = write(tmp_path / "positive.tif", np.roll(values, 180, axis=1), transform=from_origin(0, 90, 1, 1))
    back, valid = on_grid(positive, 4326, transform, 180, 360).read()
    assert valid.all() and np.allclose(back[0], values)


def test_polar_template_reads_round_the_pole(tmp_path):
    lat = 89.5 - np.arange(180)
    path = write(tmp_path / "world.tif", np.repeat(lat[:, None], 360, axis=1), transform=from_origin(-180, 90, 1, 1))
    stack = on_grid(path, 3031, from_origin(-2e6, 2e6, 1e5, 1e5), 40, 40)
    got, valid = stack.read()
    assert valid.all()
    _, y = to_crs(*(c.ravel() for c in np.meshgrid(*_axes(stack.grid))), stack.grid.crs, crs_wkt(4326))
    assert np.allclose(got[0].ravel(), np.maximum(y, -89.5), atol=0.02)


def test_crs_spellings_that_mean_the_same():
    for text in (
        "EPSG:4326",
        "OGC:CRS84",
        "+proj=longlat +datum=WGS84 +no_defs",
        "+proj=longlat +ellps=WGS84 +towgs84=0,0,0",
    ):
        assert same_crs(crs_wkt(text), crs_wkt(4326)), text
    assert not same_crs(crs_wkt(4326), crs_wkt(4258))
    assert crs_wkt(crs_wkt(3031)) == crs_wkt(3031)


def test_offsets_need_equal_cells():
    grid = Grid(crs_wkt(4326), (0.5, 0.0, 0.0, 0.0, -0.5, 10.0), 20, 20)
    moved = Grid(grid.crs, (0.5, 0.0, 1.5, 0.0, -0.5, 9.0), 5, 5)
    assert offset_in(moved, grid) == (2, 3)
    assert offset_in(Grid(grid.crs, (0.5, 0.0, 1.6, 0.0, -0.5, 9.0), 5, 5), grid) is None
    assert offset_in(Grid(grid.crs, (0.51, 0.0, 1.5, 0.0, -0.5, 9.0), 5, 5), grid) is None
    assert offset_in(Grid(crs_wkt(4258), moved.transform, 5, 5), grid) is None
    assert tuple(Affine(*grid.transform))[:6] == grid.transform
