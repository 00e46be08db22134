from __future__ import annotations

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from ecotone.data.doctor import examine, worst


def write(path, array, *, crs="EPSG:4326", transform=None, nodata=-9999):
    with rasterio.open(
        path, "w", driver="GTiff", height=array.shape[0], width=array.shape[1], count=1, dtype=array.dtype, crs=crs,
        transform=transform or from_origin(0, 10, 0.1, 0.1), nodata=nodata,
    ) as out:  # fmt: skip
        out.write(array, 1)
    return path


@pytest.fixture
def field():
    return np.random.default_rng(0).random((60, 50)).astype(np.float32)


def codes(findings, severity):
    return {f.code for f in findings if f.severity == severity}


def test_sound_rasters_get_a_clean_bill(tmp_path, field):
    write(tmp_path / "a.tif", field)
    write(tmp_path / "b.tif", field * 2)
    findings = examine(tmp_path)
    assert worst(findings) == "ok"
    assert "60 x 50 cells of 0.1 x 0.1 degrees" in findings[0].message and "EPSG:4326" in findings[0].message
    assert "100.0% valid" in findings[1].message
    assert findings[-1].message == "all 2 rasters lie on one grid"
    assert worst([]) == "ok"


def test_every_trouble_has_its_code_and_a_fix(tmp_path, field):
    write(tmp_path / "nocrs.tif", field, crs=None)
    write(tmp_path / "nonodata.tif", field, nodata=None)
    write(tmp_path / "constant.tif", np.full((60, 50), 3, np.float32))
    write(tmp_path / "empty.tif", np.full((60, 50), -9999, np.float32))
    write(tmp_path / "far.tif", field, transform=from_origin(100, 10, 0.1, 0.1))
    write(tmp_path / "metres.tif", field, transform=from_origin(500000, 5000000, 100, 100))
    filled = field.copy()
    filled[:10] = -9999
    write(tmp_path / "filled.tif", filled, nodata=-1)
    (tmp_path / "broken.tif").write_bytes((tmp_path / "filled.tif").read_bytes()[:500])
    (tmp_path / "zero.tif").write_bytes(b"")
    findings = examine([tmp_path / "nonodata.tif", tmp_path, tmp_path / "absent.tif", str(tmp_path / "q*.tif")])
    assert {"RA301", "RA304", "IO101", "IO102"} <= codes(findings, "error")
    assert {"RA302", "DA401"} <= codes(findings, "warning")
    assert all(f.fix for f in findings if f.severity in ("warning", "error"))
    by_file = {}
    for f in findings:
        by_file.setdefault(f.file.rsplit("/", 1)[-1], []).append(f.message)
    assert any("looks like a fill value" in m for m in by_file["filled.tif"])
    assert any("does not overlap nonodata.tif" in m for m in by_file["far.tif"])
    assert any("not on the globe" in m for m in by_file["metres.tif"])
    assert any("no valid cell" in m for m in by_file["empty.tif"])
    assert any("absent.tif" in f.file for f in findings)


def test_alignment_between_rasters_is_described(tmp_path, field):
    first = write(tmp_path / "a.tif", field)
    shifted = write(tmp_path / "b.tif", field, transform=from_origin(0.5, 10, 0.1, 0.1))
    other = write(tmp_path / "c.tif", field, transform=from_origin(0.03, 10, 0.11, 0.1))
    metres = write(tmp_path / "d.tif", field, crs="EPSG:3857", transform=from_origin(0, 1.1e6, 1e4, 1e4))
    (tmp_path / "sub").mkdir()
    twin = write(tmp_path / "sub" / "a.tif", field)
    findings = examine([first, shifted, other, metres, twin])
    text = {f.file: f.message for f in findings if f.severity == "note"}
    assert "cells coincide" in text[str(shifted)] and "resampled" in text[str(other)]
    assert "EPSG:3857" in text[str(metres)] and "reprojected" in text[str(metres)]
    assert codes(findings, "error") == {"RA306"}


def test_labels_are_suspected(tmp_path):
    labels = np.random.default_rng(0).integers(1, 8, (60, 50), dtype=np.uint8)
    findings = examine(write(tmp_path / "soil.tif", labels, nodata=0))
    assert any("--categorical soil" in f.fix for f in findings)


def test_tables_are_read_as_fit_reads_them(tmp_path):
    (tmp_path / "ok.csv").write_text("species,longitude,latitude\nLynx lynx,1.5,2.5\nLynx lynx,2.5,3.5\n")
    (tmp_path / "bad.csv").write_text("name,value\nx,1\n")
    findings = examine([tmp_path / "ok.csv", tmp_path / "bad.csv", tmp_path / "no.csv"])
    assert findings[0].severity == "ok" and "2 records of 1 species" in findings[0].message
    assert [f.severity for f in findings if f.file.endswith(("bad.csv", "no.csv"))] == ["error", "error"]


@pytest.mark.realdata
def test_bradypus_files(data_folder):
    folder = data_folder / "bradypus_dismo"
    findings = examine([folder, folder / "bradypus.csv"])
    assert worst(findings) == "note"
    assert any("--categorical biome" in f.fix for f in findings)
    assert any("116 records of 1 species" in f.message for f in findings)
