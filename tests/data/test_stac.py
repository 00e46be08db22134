"""STAC Items as covariates: names, and hrefs that must not lead anywhere else."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from ecotone.data.rasters import RasterStack
from ecotone.errors import InputError


@pytest.fixture
def folder(tmp_path):
    def write(name, bands):
        rng = np.random.default_rng(bands)
        with rasterio.open(
            tmp_path / name, "w", driver="GTiff", height=6, width=8, count=bands, dtype="int16", crs="EPSG:32633",
            transform=from_origin(5e5, 5e6, 10, 10), nodata=-1,
        ) as out:  # fmt: skip
            out.write(rng.integers(0, 99, (bands, 6, 8), dtype=np.int16))

    write("red.tif", 1)
    (tmp_path / "sub").mkdir()
    write("sub/two.tif", 2)
    return tmp_path


def item(folder, assets, **more):
    content = {"type": "Feature", "stac_version": "1.0.0", "id": "x", "assets": assets, **more}
    path = folder / "item.json"
    path.write_text(json.dumps(content))
    return path


def test_assets_become_covariates_named_by_their_bands(folder):
    tiff = "image/tiff; application=geotiff; profile=cloud-optimized"
    path = item(
        folder,
        {
            "B04": {"href": "./red.tif", "type": tiff, "roles": ["data"]},
            "stack": {"href": "sub/two.tif", "type": tiff, "eo:bands": [{"name": "nir"}, {"name": "swir"}]},
            "plain": {"href": "sub/two.tif", "type": tiff},
            "preview": {"href": "https://example.org/p.png", "type": "image/png", "roles": ["thumbnail"]},
            "meta": {"href": "meta.xml", "type": "application/xml"},
        },
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stack = RasterStack.open(path)
    assert stack.names == ("B04", "nir", "swir", "plain_1", "plain_2")
    with rasterio.open(folder / "sub" / "two.tif") as source:
        assert np.array_equal(stack.read()[0][2], source.read(2))
    newer = item(folder, {"x": {"href": "red.tif", "bands": [{"name": "red"}]}}, stac_version="1.1.0")
    assert RasterStack.open([newer]).names == ("red",)


@pytest.mark.parametrize(
    ("href", "code", "hint"),
    [
        ("https://example.org/a.tif", "IO103", "network"), ("s3://bucket/a.tif", "IO103", "network"),
        ("file:///etc/a.tif", "IO103", "network"), ("//host/a.tif", "IO103", "network"),
        ("/vsicurl/https://example.org/a.tif", "IO103", "outside"), ("../a.tif", "IO103", "outside"),
        ("sub/../../a.tif", "IO103", "outside"), ("%2e%2e/a.tif", "IO103", "outside"), ("..\\a.tif", "IO103", "outside"),
        ("C:/a.tif", "IO103", "network"), ("~/a.tif", "IO103", "outside"), ("red.tif?x=1", "IO103", "outside"),
        ("no.tif", "IO101", "download it there"), ("", "IO103", "no usable href"), (7, "IO103", "no usable href"),
        ("link.tif", "IO103", "leads out"),
    ],
)  # fmt: skip
def test_hrefs_lead_nowhere_else(folder, tmp_path_factory, href, code, hint):
    outside = tmp_path_factory.mktemp("out") / "a.tif"
    outside.write_bytes((folder / "red.tif").read_bytes())
    (folder / "link.tif").symlink_to(outside)
    with pytest.raises(InputError) as caught:
        RasterStack.open(item(folder, {"a": {"href": href, "type": "image/tiff"}}))
    assert caught.value.code == code and hint in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"{", "IO102"), (b"[]", "IO102"), (b'{"type": "FeatureCollection", "features": []}', "IO103"),
        (b'{"type": "Feature", "stac_version": "1.0.0", "assets": {}}', "IO103"),
        (b'{"type": "Feature", "assets": {"a": {"href": "red.tif"}}}', "IO103"), (b'"' + b"x" * (5 << 20) + b'"', "IO102"),
        (b"[" * 100_000, "IO102"),
    ],
)  # fmt: skip
def test_what_is_no_item(folder, content, code):
    (folder / "item.json").write_bytes(content)
    with pytest.raises(InputError) as caught:
        RasterStack.open(folder / "item.json")
    assert caught.value.code == code


def test_too_many_assets(folder):
    with pytest.raises(InputError, match="more than"):
        RasterStack.open(item(folder, {str(i): {} for i in range(1001)}))
