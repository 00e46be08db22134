"""The fast way through a window gives the numbers of the plain one."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine, from_origin

from ecotone.data.rasters import RasterStack


def write(path, array, transform, **more):
    array = array if array.ndim == 3 else array[None]
    tags = {k: more.pop(k) for k in ("scales", "offsets") if k in more}
    with rasterio.open(
        path, "w", driver="GTiff", height=array.shape[1], width=array.shape[2], count=len(array), dtype=array.dtype,
        **{"crs": "EPSG:4326", "transform": transform, **more},
    ) as out:  # fmt: skip
        out.write(array)
        for name, value in tags.items():
            setattr(out, name, (value,) * len(array))
    return path


@pytest.fixture
def stack(tmp_path):
    rng = np.random.default_rng(0)
    here = from_origin(0, 10, 0.1, 0.1)
    holed = rng.normal(size=(40, 50)).astype(np.float32)
    holed[rng.random((40, 50)) < 0.2] = -9999
    holed[3, 3], holed[4, 4], holed[5, 5] = np.nan, np.inf, 3.4e38
    made = [
        write(tmp_path / "plain.tif", holed, here, nodata=-9999),
        write(tmp_path / "three.tif", rng.integers(0, 9, (3, 40, 50)).astype(np.int16), here, nodata=0),
        write(
            tmp_path / "scaled.tif",
            rng.integers(0, 9, (40, 50)).astype(np.uint8),
            here,
            nodata=8,
            scales=0.1,
            offsets=3,
        ),
        write(tmp_path / "up.tif", rng.normal(size=(40, 50)), Affine(0.1, 0, 0, 0, 0.1, 6)),
        write(tmp_path / "east.tif", rng.normal(size=(40, 50)), Affine(-0.1, 0, 5, 0, -0.1, 10)),
        write(tmp_path / "larger.tif", rng.normal(size=(60, 70)).astype(np.float32), from_origin(-0.5, 10.5, 0.1, 0.1)),
        write(tmp_path / "smaller.tif", rng.normal(size=(30, 30)).astype(np.float32), from_origin(1, 9, 0.1, 0.1)),
        write(
            tmp_path / "coarse.tif", rng.normal(size=(9, 9)).astype(np.float32), from_origin(-1, 11, 0.8, 0.8), nodata=1
        ),
        write(
            tmp_path / "metres.tif", rng.normal(size=(60, 60)), from_origin(-1e5, 1.3e6, 1.3e4, 1.3e4), crs="EPSG:3857"
        ),
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return RasterStack.open(made, categorical=["coarse"])


@pytest.mark.parametrize("window", [(0, 0, 40, 50), (3, 5, 1, 44), (12, 13, 7, 9), (39, 49, 1, 1), (10, 12, 20, 20)])
def test_layers_hold_what_read_gives(stack, window):
    values, valid = stack.read(window)
    layers = stack.layers(window)
    assert np.array_equal(layers.valid, valid) and layers.count == valid.sum()
    rows = layers.rows(layers.at(0, layers.count))
    assert rows.dtype == np.float64 and np.array_equal(rows, values[:, valid].T)
    half = layers.count // 2
    assert np.array_equal(layers.rows(layers.at(half, layers.count)), values[:, valid].T[half:])
    assert layers.rows(layers.at(0, half), "float32").dtype == np.float32


def test_bands_of_one_file_are_read_in_one_go(stack, monkeypatch):
    from ecotone.data import raster_layers

    calls = []
    real = raster_layers.read_bands
    monkeypatch.setattr(raster_layers, "read_bands", lambda d, b, w, **m: (calls.append(b), real(d, b, w, **m))[1])
    layers = stack.select(["three_3", "three_1", "three_2"]).layers((0, 0, 40, 50))
    assert calls == [[3, 1, 2]]
    values, valid = stack.select(["three_3", "three_1", "three_2"]).read()
    assert np.array_equal(layers.rows(layers.at(0, layers.count)), values[:, valid].T)


def test_a_window_without_holes_needs_no_index(tmp_path):
    path = write(tmp_path / "a.tif", np.arange(12, dtype=np.float32).reshape(3, 4), from_origin(0, 3, 1, 1), nodata=-1)
    layers = RasterStack.open(path).layers((1, 0, 2, 4))
    assert layers.index is None and layers.at(2, 5) == slice(2, 5)
    assert layers.rows(layers.at(2, 5))[:, 0].tolist() == [6.0, 7.0, 8.0]
