"""Large maps from the command line: memory, dry runs, workers, going on, VRT and STAC inputs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings

import pytest
import rasterio
import rasterio.shutil


def left(folder):
    return sorted(path.name for path in folder.iterdir() if path.suffix == ".tif" or path.name[0] == ".")


def test_the_plan_is_told_first_when_asked_for(ecotone, fitted, tmp_path):
    ended = ecotone("map", fitted, "--out", tmp_path / "plain.tif")
    assert ended.status == 0
    ended = ecotone("map", fitted, "--memory", "8GB", "--out", tmp_path / "m.tif")
    lines = ended.out.splitlines()
    assert ended.status == 0 and lines[0].startswith("map: 40 x 50 cells, 4 bands in 1 file") and not ended.err
    assert lines[1].startswith("memory: at most") and "GDAL cache" in lines[1]
    assert lines[-1] == f"suitability: {tmp_path}/m.tif"
    assert (tmp_path / "m.tif").read_bytes() == (tmp_path / "plain.tif").read_bytes()


def test_too_little_memory_is_one_line_with_the_least_that_works(ecotone, fitted, tmp_path):
    ended = ecotone("map", fitted, "--memory", "50MB", "--out", tmp_path / "m.tif")
    assert (ended.status, ended.error) == (2, "US104") and "give at least" in ended.err
    assert len(ended.err.splitlines()) == 1 and left(tmp_path) == []
    ended = ecotone("map", fitted, "--memory", "lots", "--out", tmp_path / "m.tif")
    assert (ended.status, ended.error) == (2, "US104") and "1GB" in ended.err


def test_a_dry_run_names_files_and_costs_and_writes_nothing(world, ecotone, fitted, tmp_path):
    ended = ecotone("map", fitted, "--covariates", world.future, "--dry-run", "--out", tmp_path / "sub" / "m.tif")
    assert ended.status == 0 and not ended.err
    for word in (
        "windows of",
        "memory: at most",
        "disk: at most",
        "time: about",
        "m.difference.tif",
        "m.extrapolation-by.tif",
    ):
        assert word in ended.out, word
    assert not (tmp_path / "sub").exists()


def test_workers_and_scheduler_exclude_each_other(ecotone, fitted, tmp_path):
    words = ["map", fitted, "--workers", "2", "--scheduler", "tcp://127.0.0.1:9", "--out", tmp_path / "m.tif"]
    ended = ecotone(*words)
    assert (ended.status, ended.error) == (2, "US105")


@pytest.mark.slow
def test_worker_processes_load_the_model_from_its_folder(ecotone, fitted, tmp_path):
    assert ecotone("map", fitted, "--out", tmp_path / "one.tif", "--richness").status == 0
    ended = ecotone("map", fitted, "--out", tmp_path / "two.tif", "--workers", "2", "--window", "25", "--richness")
    assert ended.status == 0 and not ended.warned and not ended.error and "times 2 worker processes" in ended.out
    for name in ("", ".richness"):
        assert (tmp_path / f"two{name}.tif").read_bytes() == (tmp_path / f"one{name}.tif").read_bytes()


def test_an_interrupted_map_goes_on(ecotone, run, tmp_path, monkeypatch):
    from ecotone.mapping.journal import Journal

    real, count = Journal.append, []

    def append(journal, index, done):
        real(journal, index, done)
        count.append(index)
        if len(count) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(Journal, "append", append)
    words = ["map", run, "--window", "16", "--out", tmp_path / "m.tif"]
    ended = ecotone(*words)
    assert (ended.status, ended.error) == (6, "ST101") and "run the same command again" in ended.err
    assert left(tmp_path) == [".m.tif.work"]
    ended = ecotone(*words)
    assert ended.status == 0 and "12 windows of 16 x 16 cells, 2 of them finished" in ended.out
    assert sorted(count) == list(range(12)) and left(tmp_path) == ["m.tif"]
    monkeypatch.setattr(Journal, "append", real)
    assert ecotone("map", run, "--out", tmp_path / "whole.tif").status == 0
    assert (tmp_path / "m.tif").read_bytes() == (tmp_path / "whole.tif").read_bytes()


def test_a_run_folder_that_is_being_worked_on_does_not_cost_the_map(ecotone, run, tmp_path):
    program = (
        "import sys, time; from ecotone.files.lock import FolderLock\n"
        "with FolderLock(sys.argv[1]):\n    print('held', flush=True); time.sleep(60)"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    holder = subprocess.Popen([sys.executable, "-c", program, str(run)], env=env, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout and holder.stdout.readline() == "held\n"
        ended = ecotone("map", run, "--out", tmp_path / "m.tif")
        assert ended.status == 0 and ended.warned == {"ST103"} and "report will not show" in ended.err
        assert (tmp_path / "m.tif").is_file()
    finally:
        holder.kill()
        holder.wait()
    assert ecotone("map", run, "--out", tmp_path / "m.tif").warned == set()


def test_vrt_and_stac_inputs(world, ecotone, fitted, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    assets = {}
    for path in sorted(world.covariates.glob("*.tif")):
        (folder / path.name).write_bytes(path.read_bytes())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            rasterio.shutil.copy(str(folder / path.name), str(folder / f"{path.stem}.vrt"), driver="VRT")
        assets[path.stem] = {"href": f"./{path.name}", "type": "image/tiff; application=geotiff"}
    item = folder / "item.json"
    item.write_text(json.dumps({"type": "Feature", "stac_version": "1.0.0", "id": "isles", "assets": assets}))
    made = {}
    for name, more in {
        "tif": [world.covariates],
        "stac": [item],
        "vrt": [*folder.glob("*.vrt"), "--allow-vrt"],
    }.items():
        out = tmp_path / f"{name}.tif"
        ended = ecotone("map", fitted, "--covariates", *more, "--no-extras", "--out", out)
        assert ended.status == 0, ended.err
        made[name] = out.read_bytes()
    assert made["tif"] == made["stac"] == made["vrt"]
    ended = ecotone("map", fitted, "--covariates", *folder.glob("*.vrt"), "--no-extras", "--out", tmp_path / "no.tif")
    assert (ended.status, ended.error) == (3, "IO103") and "VRT" in ended.err


def test_another_coordinate_system_is_told_once(world, ecotone, fitted, tmp_path):
    from rasterio.warp import Resampling, calculate_default_transform, reproject

    folder = world.rasters(tmp_path / "clim")
    path = folder / "soil_ph.tif"
    with rasterio.open(path) as source:
        profile = source.profile
        transform, width, height = calculate_default_transform(
            source.crs, "EPSG:3857", source.width, source.height, *source.bounds
        )
        profile |= {"crs": "EPSG:3857", "transform": transform, "width": width, "height": height}
        with rasterio.open(tmp_path / "moved.tif", "w", **profile) as target:
            reproject(rasterio.band(source, 1), rasterio.band(target, 1), resampling=Resampling.nearest)
    path.write_bytes((tmp_path / "moved.tif").read_bytes())
    (tmp_path / "moved.tif").unlink()
    rasters = sorted(folder.glob("*.tif"), key=lambda p: p == path)
    ended = ecotone(
        "map", fitted, "--covariates", *rasters, "--no-extras", "--window", "16", "--out", tmp_path / "m.tif"
    )
    assert ended.status == 0 and ended.warned == {"RA309"} and len(ended.err.splitlines()) == 1, ended.err
    assert "soil_ph.tif: is in EPSG:3857" in ended.err and "aligned" in ended.err
