from __future__ import annotations

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_bounds

from ecotone.errors import InputError
from ecotone.report.maps import read_overlay, recorded_maps


def write(path, bands, **more):
    profile = {
        "driver": "GTiff",
        "height": bands.shape[1],
        "width": bands.shape[2],
        "count": len(bands),
        "crs": "EPSG:4326",
        "dtype": bands.dtype.name,
        "transform": from_bounds(-10, 36, 4, 44, bands.shape[2], bands.shape[1]),
    }
    with rasterio.open(path, "w", **{**profile, **more}) as out:
        out.write(bands)
        out.set_band_description(1, "Quercus ilex")
    return path


def test_a_map_is_read_small_and_keeps_place_and_nodata(tmp_path):
    bands = np.ones((2, 300, 700), np.float32)
    bands[:, :, :350] = -9999
    path = write(tmp_path / "m.tif", bands, nodata=-9999)
    overlay = read_overlay(path, "Oaks", max_side=70)
    bands_read, height, width = overlay.weights.shape
    assert bands_read == 2 and height * width <= 70**2 and abs(width / height - 7 / 3) < 0.1
    assert overlay.extent == pytest.approx((-10, 4, 36, 44)) and overlay.names == ("Quercus ilex", "band 2")
    half = width // 2
    assert np.isnan(overlay.weights[:, :, :half]).all() and (overlay.weights[:, :, half + 1 :] == 1).all()


def test_small_maps_are_read_exactly(tmp_path):
    bands = np.random.default_rng(0).random((1, 5, 7)).astype(np.float32)
    assert np.array_equal(read_overlay(write(tmp_path / "m.tif", bands)).weights, bands)


def test_classes_keep_their_numbers(tmp_path):
    path = write(tmp_path / "m.tif", np.array([[[1, 2], [2, 255]]], np.uint8), nodata=255)
    with rasterio.open(path, "r+") as out:
        out.update_tags(ECOTONE_LEGEND='{"1": "forest", "2": "water"}')
    overlay = read_overlay(path)
    assert overlay.legend == {1: "forest", 2: "water"} and np.isnan(overlay.weights[0, 1, 1])


def test_other_files_are_refused(tmp_path):
    with pytest.raises(InputError) as caught:
        read_overlay(tmp_path / "none.tif")
    assert caught.value.code == "IO101"
    (tmp_path / "secret.vrt").write_text("<VRTDataset rasterXSize='1' rasterYSize='1'/>")
    (tmp_path / "text.tif").write_text("hello")
    for name in ("secret.vrt", "text.tif"):
        with pytest.raises(InputError) as caught:
            read_overlay(tmp_path / name)
        assert caught.value.code in ("IO102", "IO103")


def test_recorded_maps_that_are_gone_are_said(tmp_path):
    write(tmp_path / "m.tif", np.ones((1, 3, 3), np.float32))
    record = {"maps": [{"path": "m.tif", "title": "One"}, {"path": "gone.tif", "title": ""}, 7, {"path": "a\0"}]}
    overlays, problems = recorded_maps(tmp_path, record)
    assert [o.title for o in overlays] == ["One"]
    assert problems == [
        "gone.tif: not found",
        "a map entry of run.json is damaged",
        "a map entry of run.json is damaged",
    ]
