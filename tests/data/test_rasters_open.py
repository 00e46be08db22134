from __future__ import annotations

import shutil
import warnings

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from rasterio.transform import Affine, from_origin

from ecotone.data.raster_open import open_raster, read_bands
from ecotone.data.raster_source import describe, present
from ecotone.data.rasters import RasterStack
from ecotone.errors import EcotoneWarning, InputError

TRANSFORM = from_origin(0, 10, 0.1, 0.1)


def write(path, array, *, crs="EPSG:4326", transform=TRANSFORM, driver="GTiff", nodata=None, **more):
    array = array if array.ndim == 3 else array[None]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.open(
            path, "w", driver=driver, height=array.shape[1], width=array.shape[2], count=len(array),
            dtype=array.dtype, crs=crs, transform=transform, nodata=nodata, **more,
        ) as out:  # fmt: skip
            out.write(array)
    return path


def write_r(folder, array):
    lines = [
        "[general]", "creator=R package 'raster'", "[georeference]",
        f"nrows= {array.shape[0]}", f"ncols= {array.shape[1]}",
        "xmin= -10", "xmax= 10", "ymin= -5", "ymax= 5",
        "projection= +proj=longlat +datum=WGS84 +ellps=WGS84 +towgs84=0,0,0",
        "[data]", "datatype= INT2S", "byteorder= little", "nbands= 1", "bandorder= BIL", "minvalue= 0", "maxvalue= 9",
        "nodatavalue= -32768", "[description]", "layername= other", "",
    ]  # fmt: skip
    (folder / "clim.grd").write_text("\n".join(lines))
    (folder / "clim.gri").write_bytes(array.astype("<i2").tobytes())
    return folder / "clim.grd"


def make(folder, kind):
    rng = np.random.default_rng(3)
    byte = rng.integers(0, 255, (300, 300), dtype=np.uint8)
    if kind == "grd":
        return write_r(folder, rng.integers(0, 9, (60, 50)))
    if kind in ("deflate", "zstd", "none"):
        options = {} if kind == "none" else {"compress": kind}
        return write(folder / "t.tif", rng.random((300, 300)), tiled=True, blockxsize=128, blockysize=128, **options)
    drivers = {"png": "PNG", "jpg": "JPEG", "asc": "AAIGrid", "jp2": "JP2OpenJPEG"}
    plain = write(folder / "plain.tif", byte)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rasterio.shutil.copy(plain, folder / f"t.{kind}", driver=drivers[kind])
    return folder / f"t.{kind}"


@pytest.mark.parametrize("kind", ["deflate", "zstd", "none", "grd", "png", "jpg", "jp2", "asc"])
def test_truncated_files_are_one_line_errors_naming_the_file(tmp_path, kind, capfd):
    path = make(tmp_path, kind)
    with open_raster(path) as dataset:
        whole = dataset.read(1)
    cut = path.with_suffix(".gri") if kind == "grd" else path
    content = cut.read_bytes()
    for length in (0, 1, 8, 1000, len(content) // 2, len(content) - 1):
        cut.write_bytes(content[:length])
        if kind == "asc" and length == len(content) - 1:
            with open_raster(path) as dataset:
                assert np.array_equal(read_bands(dataset, 1, (0, 0, *dataset.shape)), whole)
            continue
        with pytest.raises(InputError) as caught, open_raster(path) as dataset:
            read_bands(dataset, 1, (0, 0, dataset.height, dataset.width))
        assert caught.value.code == "IO102", (length, caught.value)
        assert path.stem in caught.value.where
        assert "\n" not in str(caught.value)
    captured = capfd.readouterr()
    assert captured.err == "" and captured.out == ""


def test_truncated_block_is_found_when_opening(tmp_path):
    path = make(tmp_path, "deflate")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"block \(2,2\) of band 1 is truncated: expected \d+ bytes, got \d+"):
        open_raster(path)


def test_damage_within_a_block_names_file_and_block_when_read(tmp_path, capfd):
    path = make(tmp_path, "deflate")
    with open_raster(path) as dataset:
        offset = int(dataset.get_tag_item("BLOCK_OFFSET_1_2", "TIFF", bidx=1))
    content = bytearray(path.read_bytes())
    content[offset : offset + 200] = b"\xff" * 200
    path.write_bytes(content)
    stack = open_quietly(path)
    assert stack.read((0, 0, 10, 10))[1].all()
    with pytest.raises(InputError, match=r"t\.tif: block \(2,1\) of band 1 is truncated or damaged") as caught:
        stack.read()
    assert caught.value.code == "IO102"
    assert capfd.readouterr().err == ""


def open_quietly(*args, **more):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EcotoneWarning)
        return RasterStack.open(*args, **more)


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("a.tif", b"<html><body>404 not found</body></html>", "IO103"),
        ("a.csv", b"species,x,y\n" * 200, "IO103"),
        ("a.tif", b"PK\x03\x04" + b"x" * 5000, "IO103"),
        ("a.grd", b"DSAA but not really" * 400, "IO103"),
    ],
)
def test_wrong_type(tmp_path, name, content, code, capfd):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as caught:
        open_raster(tmp_path / name)
    assert caught.value.code == code
    assert capfd.readouterr().err == ""


def test_missing_folder_and_network(tmp_path):
    for path, code in [
        (tmp_path / "no.tif", "IO101"), (tmp_path, "IO103"), ("https://example.org/a.tif", "IO103"),
        ("/vsicurl/https://example.org/a.tif", "IO103"), ("/vsizip/a.zip/b.tif", "IO103"),
        ("s3://bucket/a.tif", "IO103"),
    ]:  # fmt: skip
        with pytest.raises(InputError) as caught:
            open_raster(path)
        assert caught.value.code == code, path


def test_vrt_pointing_at_another_file_needs_permission(tmp_path):
    write(tmp_path / "secret.tif", np.ones((4, 4), np.float32), nodata=-1)
    vrt = (
        '<VRTDataset rasterXSize="4" rasterYSize="4"><SRS>EPSG:4326</SRS><GeoTransform>0,1,0,4,0,-1</GeoTransform>'
        '<VRTRasterBand dataType="Float32" band="1"><SimpleSource><SourceFilename relativeToVRT="1">secret.tif'
        "</SourceFilename><SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"
    )
    for name in ("v.vrt", "disguised.tif"):
        (tmp_path / name).write_text("\n  " + vrt)
        with pytest.raises(InputError) as caught:
            open_raster(tmp_path / name)
        assert caught.value.code == "IO103"
    with open_raster(tmp_path / "v.vrt", allow_vrt=True) as dataset:
        assert dataset.read(1).sum() == 16


def test_limits_are_checked_from_the_header(tmp_path):
    path = tmp_path / "huge.tif"
    with rasterio.open(
        path, "w", driver="GTiff", height=2**21, width=2**20, count=1, dtype="uint8", crs=4326, transform=TRANSFORM,
        sparse_ok=True, tiled=True, blockxsize=8192, blockysize=8192, BIGTIFF="YES",
    ):  # fmt: skip
        pass
    with pytest.raises(InputError, match="beyond the limits") as caught:
        open_raster(path)
    assert caught.value.code == "IO103"
    complex_path = write(tmp_path / "c.tif", np.ones((3, 3), np.complex64))
    with pytest.raises(InputError, match="complex"):
        open_raster(complex_path)


def test_gri_means_its_grd_and_its_text_crs_is_wgs84(tmp_path):
    values = np.arange(60 * 50).reshape(60, 50) % 9
    values[3, 4] = -32768
    write_r(tmp_path, values)
    (source,) = describe(tmp_path / "clim.gri")
    assert source.path.name == "clim.grd" and source.name == "clim"
    assert rasterio.crs.CRS.from_wkt(source.grid.crs) == rasterio.crs.CRS.from_epsg(4326)
    got, valid = RasterStack.open(tmp_path).read()
    assert got.shape == (1, 60, 50) and not valid[3, 4] and valid.sum() == 2999
    assert np.array_equal(got[0][valid], values[valid])
    (tmp_path / "clim.grd").unlink()
    with pytest.raises(InputError, match="header"):
        open_raster(tmp_path / "clim.gri")


def test_missing_crs_has_a_fix_and_an_option(tmp_path):
    path = write(tmp_path / "a.tif", np.ones((4, 4), np.float32), crs=None, nodata=-1)
    with pytest.raises(InputError, match="--raster-crs EPSG:4326") as caught:
        RasterStack.open(path)
    assert caught.value.code == "RA301"
    assert "4326" in RasterStack.open(path, assume_crs="EPSG:4326").grid.crs


def test_rotated_grid_is_refused(tmp_path):
    path = write(tmp_path / "a.tif", np.ones((8, 8), np.float32), transform=Affine.rotation(10) * TRANSFORM)
    with pytest.raises(InputError) as caught:
        open_quietly(path)
    assert caught.value.code == "RA305"


def test_unset_nodata_warns_once_and_non_finite_values_are_masked(tmp_path):
    values = np.ones((4, 4), np.float32)
    values[0, 0], values[1, 1], values[2, 2] = np.nan, np.inf, -3.4e38
    write(tmp_path / "a.tif", values)
    write(tmp_path / "b.tif", np.ones((4, 4), np.float32))
    with pytest.warns(EcotoneWarning) as heard:
        stack = RasterStack.open(tmp_path)
    assert [w.message.code for w in heard] == ["RA302"]
    _, valid = stack.read()
    assert (~valid).sum() == 3 and not valid[0, 0] and not valid[1, 1] and not valid[2, 2]


def test_scale_offset_mask_and_alpha(tmp_path):
    path = write(tmp_path / "a.tif", np.array([[0, 1], [2, 9]], np.int16), nodata=9)
    with rasterio.open(path, "r+") as out:
        out.scales, out.offsets, out.units = (0.1,), (-273.15,), ("degC",)
    stack = RasterStack.open(path)
    values, valid = stack.read()
    assert np.allclose(values[0][valid], np.array([0, 0.1, 0.2]) - 273.15) and not valid[1, 1]
    assert stack.units == {"a": "degC"}
    rgba = np.full((4, 2, 2), 200, np.uint8)
    rgba[3] = [[255, 0], [255, 255]]
    with rasterio.open(
        tmp_path / "p.tif", "w", driver="GTiff", height=2, width=2, count=4, dtype="uint8", crs=4326,
        transform=TRANSFORM, photometric="RGB", alpha="YES",
    ) as out:  # fmt: skip
        out.write(rgba)
    stack = RasterStack.open(tmp_path / "p.tif")
    assert stack.names == ("p_1", "p_2", "p_3")
    assert stack.read()[1].tolist() == [[True, False], [True, True]]


@pytest.mark.parametrize(
    ("dtype", "nodata", "missing"),
    [
        ("uint8", 255, 255),
        ("uint8", -9999.0, None),
        ("uint8", float("nan"), None),
        ("float32", -9999, -9999),
        ("int32", 0.5, None),
    ],
)
def test_nodata_values_that_fit_no_dtype_mask_nothing(dtype, nodata, missing):
    stored = np.array([0, 1, 255 if dtype == "uint8" else -9999], dtype=dtype)
    assert present(stored, nodata).tolist() == [True, True, missing is None]


def test_files_survive_being_moved_between_processes_and_rewritten(tmp_path):
    import pickle

    path = write(tmp_path / "a.tif", np.full((4, 4), 1.0, np.float32), nodata=-1)
    stack = RasterStack.open(path)
    assert stack.read()[0].max() == 1
    again = pickle.loads(pickle.dumps(stack))
    assert again == stack and np.array_equal(again.read()[0], stack.read()[0])
    shutil.copy(path, tmp_path / "b.tif")
    write(path, np.full((4, 4), 2.0, np.float32), nodata=-1)
    assert RasterStack.open(path).read()[0].max() == 2
    assert RasterStack.open(path).fingerprint() != RasterStack.open(tmp_path / "b.tif", names=["a"]).fingerprint()


def test_several_netcdf_variables_and_damaged_sidecars(tmp_path):
    path = write(tmp_path / "a.tif", np.ones((4, 4), np.float32), nodata=-1)
    (tmp_path / "a.tif.aux.xml").write_text("<PAMDataset><broken")
    assert RasterStack.open(tmp_path).names == ("a",)
    with open_raster(path, sidecars=False) as dataset:
        assert dataset.count == 1
