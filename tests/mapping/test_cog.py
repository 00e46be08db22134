"""Packed files against what GDAL reads from them, and against plain rewrites."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from ecotone.mapping import cog
from ecotone.mapping.cog import Level, overview_sizes, predicted, reduced, write_cog


def packed(folder, values, nodata, reduce="nearest", name="p.tif", **more):
    bands, height, width = values.shape
    values.astype(values.dtype.newbyteorder("<")).tofile(folder / "raw")
    with rasterio.open(
        folder / "t.tif", "w", driver="GTiff", height=height, width=width, count=bands, dtype=values.dtype, nodata=nodata,
        crs="EPSG:32633", transform=from_origin(5e5, 5e6, 10, 10), tiled=True, blockxsize=512, blockysize=512,
        compress="deflate", predictor=3 if values.dtype.kind == "f" else 2, interleave="band", sparse_ok=True, **more,
    ) as out:  # fmt: skip
        out.descriptions = tuple(f"band {i}" for i in range(bands))
        out.update_tags(MADE="here")
    write_cog(
        folder / "t.tif", Level(folder / "raw", height, width), folder / name, bands=bands, dtype=str(values.dtype),
        nodata=nodata, reduce=reduce,
    )  # fmt: skip
    return folder / name


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "uint32", "int32", "float32", "float64"])
@pytest.mark.parametrize("shape", [(1, 5, 7), (3, 520, 1100)])
def test_gdal_reads_what_was_written(tmp_path, dtype, shape):
    rng = np.random.default_rng(1)
    values = rng.normal(0, 50, shape).astype(dtype)
    path = packed(tmp_path, values, 7)
    with rasterio.open(path) as source:
        assert source.read().tobytes() == values.tobytes() and source.nodata == 7
        assert source.descriptions[0] == "band 0" and source.tags()["MADE"] == "here"
        assert source.crs.to_epsg() == 32633 and source.transform == from_origin(5e5, 5e6, 10, 10)
        assert source.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        levels = [2, 4][: len(overview_sizes(*shape[1:]))]
        assert source.overviews(1) == levels
    for k in range(len(levels)):
        with rasterio.open(path, overview_level=k) as source:
            step = 2 ** (k + 1)
            assert np.array_equal(source.read(), values[:, ::step, ::step])
    assert not list(tmp_path.glob("*level*"))


def test_large_files_are_bigtiff(tmp_path, monkeypatch):
    monkeypatch.setattr(cog, "_CLASSIC_MAX", 1000)
    values = np.random.default_rng(0).normal(size=(2, 600, 700)).astype(np.float32)
    path = packed(tmp_path, values, np.nan, "mean")
    assert path.read_bytes()[:4] == b"II+\0"
    with rasterio.open(path) as source:
        assert np.array_equal(source.read(), values)
        assert source.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"


def test_threads_change_no_byte(tmp_path, monkeypatch):
    values = np.random.default_rng(0).random((2, 700, 1300)).astype(np.float32)
    whole = packed(tmp_path, values, np.nan, "mean").read_bytes()
    monkeypatch.setattr(cog, "_THREADS", 1)
    assert packed(tmp_path, values, np.nan, "mean", "q.tif").read_bytes() == whole


def plainly(part, nodata, how):
    """The definition, cell by cell."""
    height, width = -(-part.shape[0] // 2), -(-part.shape[1] // 2)
    found = np.full((height, width), nodata, dtype=part.dtype)
    for r, c in itertools.product(range(height), range(width)):
        four = part[2 * r : 2 * r + 2, 2 * c : 2 * c + 2].ravel().tolist()
        some = [v for v in four if v == v and v != nodata]
        if how == "nearest":
            found[r, c] = four[0]
        elif some and how == "mean":
            found[r, c] = np.float32(sum(map(float, some)) / len(some))
        elif some:
            found[r, c] = max(some, key=some.count)
    return found


@pytest.mark.parametrize(("how", "nodata"), [("mean", np.nan), ("mean", -1.0), ("mode", 255), ("nearest", 255)])
@pytest.mark.parametrize("shape", [(6, 8), (7, 5), (1, 1)])
def test_overviews_are_what_they_say(how, nodata, shape):
    rng = np.random.default_rng(2)
    if how == "mean":
        part = np.where(rng.random(shape) < 0.4, nodata, rng.random(shape)).astype(np.float32)
        assert np.allclose(reduced(part, nodata, how), plainly(part, nodata, how), rtol=1e-6, equal_nan=True)
    else:
        part = rng.choice(np.array([1, 2, 3, 255], np.uint8), shape)
        assert np.array_equal(reduced(part, nodata, how), plainly(part, nodata, how))


def test_predictors_against_plain_ones():
    rng = np.random.default_rng(0)
    floats = rng.normal(size=(3, 5)).astype("<f4")
    rows = []
    for row in floats:
        planes = bytes(row.tobytes()[4 * i + k] for k in (3, 2, 1, 0) for i in range(5))
        rows.append(bytes([planes[0], *((b - a) % 256 for a, b in itertools.pairwise(planes))]))
    assert predicted(floats).tobytes() == b"".join(rows)
    whole = rng.integers(-9, 9, (3, 5)).astype("<i2")
    assert np.array_equal(predicted(whole), np.concatenate([whole[:, :1], np.diff(whole, axis=1)], axis=1))


def test_reading_where_the_system_reads_at_no_place(tmp_path, monkeypatch):
    values = np.random.default_rng(0).random((2, 530, 40)).astype(np.float32)
    whole = packed(tmp_path, values, np.nan, "mean").read_bytes()
    monkeypatch.delattr(cog.os, "preadv")
    assert packed(tmp_path, values, np.nan, "mean", "q.tif").read_bytes() == whole
