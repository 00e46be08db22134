"""The simulated archipelago keeps the promises its truth rests on."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from scipy.stats import chi2

from ecotone.data.simulated.archipelago import UNITS, archipelago
from ecotone.data.simulated.fields import random_field, smooth
from ecotone.data.simulated.niches import Niches
from ecotone.errors import UsageError
from ecotone.stats.ranking import auc

FROZEN = "7d6304b41a9f9880671f0c386f93230ab0a3b371d17d73e5dc938a4e045f0938"
SMALL = {"size": (64, 80), "species": 6, "surveys": 300}


@pytest.fixture(scope="module")
def world():
    return archipelago(0)


def test_same_seed_same_world():
    one, two = archipelago(4, **SMALL), archipelago(4, **SMALL)
    assert one.fingerprint() == two.fingerprint()
    np.testing.assert_array_equal(one.log_intensity, two.log_intensity)
    np.testing.assert_array_equal(one.positions, two.positions)
    assert archipelago(5, **SMALL).fingerprint() != one.fingerprint()


def test_the_exam_is_frozen(world):
    page = Path(__file__).parents[3] / "docs" / "explanation" / "archipelago.md"
    assert world.fingerprint() == FROZEN
    assert FROZEN in page.read_text(encoding="utf-8")


def test_bias_changes_effort_only():
    even, skewed = archipelago(1, bias=0.0, **SMALL), archipelago(1, bias=2.0, **SMALL)
    np.testing.assert_array_equal(even.effort, np.ones(len(even.cells)))
    np.testing.assert_array_equal(even.log_intensity, skewed.log_intensity)
    np.testing.assert_array_equal(even.found, skewed.found)
    np.testing.assert_array_equal(even.covariates["tree_cover"], skewed.covariates["tree_cover"])
    assert np.log(skewed.effort).std() == pytest.approx(2.0, abs=0.01)
    assert skewed.effort.mean() == pytest.approx(1.0)
    assert (even.counts != skewed.counts).any()


def test_islands_with_a_climate(world):
    land = world.terrain.land
    assert ndimage.label(land)[1] >= 3
    assert 0.3 < land.mean() < 0.38
    assert not (land[0].any() or land[-1].any() or land[:, 0].any() or land[:, -1].any())
    table = world.table()
    assert np.isfinite(table).all()
    assert set(world.names) == set(UNITS)
    assert set(np.unique(table[:, -1])) == {1, 2, 3, 4, 5}
    height = world.terrain.elevation[land]
    assert np.corrcoef(table[:, 0], height)[0, 1] < -0.7  # colder on mountains
    assert np.corrcoef(table[:, 0], world.centres[:, 1])[0, 1] < -0.1  # colder in the north
    for name, layer in world.covariates.items():
        if name == "rock":
            assert layer.dtype == np.uint8
            np.testing.assert_array_equal(layer == 255, ~land)
        else:
            assert layer.dtype == np.float32
            np.testing.assert_array_equal(np.isnan(layer), ~land)


def test_records_follow_intensity_and_effort(world):
    rate = np.exp(world.log_intensity) * world.effort[:, None]
    mean = rate / rate.sum(axis=0) * world.expected
    deviance = ((world.counts.sum(axis=0) - world.expected) ** 2 / world.expected).sum()
    assert chi2.sf(deviance, 20) > 1e-3
    order = np.argsort(mean.sum(axis=1))
    for part in np.array_split(order, 8):
        expected = mean[part].sum()
        assert abs(world.counts[part].sum() - expected) < 4.5 * np.sqrt(expected)
    assert world.expected.min() == pytest.approx(5.0)
    assert world.expected.max() == pytest.approx(400.0)


def test_records_lie_in_their_cells(world):
    width, _, west, _, height, north = world.grid.transform
    column = np.floor((world.positions[:, 0] - west) / width).astype(int)
    row = np.floor((world.positions[:, 1] - north) / height).astype(int)
    np.testing.assert_array_equal(np.stack((row, column), axis=1), world.cells[world.records[:, 0]])
    counted = np.zeros_like(world.counts)
    np.add.at(counted, (world.records[:, 0], world.records[:, 1]), 1)
    np.testing.assert_array_equal(counted, world.counts)
    table = world.occurrences()
    assert len(table) == len(world.records)
    assert table["scientificName"].nunique() == 20


def test_surveys_find_what_is_there():
    world = archipelago(2, surveys=100_000)
    assert len(world.surveys) == len(world.cells)
    chance = 1 - np.exp(-np.exp(world.log_intensity[world.surveys]))
    error = np.sqrt((chance * (1 - chance)).sum(axis=0))
    assert (np.abs(world.found.sum(axis=0) - chance.sum(axis=0)) < 4.5 * error).all()
    wanted = 0.02 * 25 ** np.linspace(0, 1, 20)
    np.testing.assert_allclose(chance.mean(axis=0), wanted, rtol=1e-4)
    common = chance[:, -1]
    for part in np.array_split(np.argsort(common), 6):
        spread = np.sqrt((common[part] * (1 - common[part])).sum())
        assert abs(world.found[part, -1].sum() - common[part].sum()) < 4.5 * spread


def test_truth_ranks_surveys_and_chance_does_not(world):
    truth = world.log_intensity[world.surveys]
    assert np.nanmean(auc(truth, world.found)) > 0.8
    shuffled = np.random.default_rng(0).permuted(truth, axis=0)
    assert abs(np.nanmean(auc(shuffled, world.found)) - 0.5) < 0.03


def test_truth_follows_from_what_is_published(world):
    table = world.table()
    again = world.niches.log_intensity(table[:, :-1], table[:, -1].astype(int), world.history)
    np.testing.assert_array_equal(again, world.log_intensity)
    moved = replace(world.niches, optimum=world.niches.optimum + 0.5)
    assert isinstance(moved, Niches)
    assert (moved.log_intensity(table[:, :-1], table[:, -1].astype(int), world.history) != again).any()


def test_future_is_warmer(world):
    later = world.future()
    land = world.terrain.land
    warming = (later.covariates["temperature"] - world.covariates["temperature"])[land]
    np.testing.assert_allclose(warming, 2.0, atol=0.011)
    assert (later.covariates["precipitation"][land] <= world.covariates["precipitation"][land]).all()
    np.testing.assert_array_equal(later.covariates["rock"], world.covariates["rock"])
    assert np.abs(later.log_intensity - world.log_intensity).mean() > 0.1
    np.testing.assert_allclose(world.future(0.0).log_intensity, world.log_intensity)


def test_noise_is_adjustable():
    assert (archipelago(0, noise=0.0, **SMALL).history == 0).all()
    assert archipelago(0, noise=0.8, **SMALL).history.std() > 0.4


@pytest.mark.parametrize("size", [(32, 32), (40, 90), (90, 40)])
@pytest.mark.parametrize("species", [1, 3, 45])
def test_other_sizes(size, species):
    world = archipelago(3, size=size, species=species)
    assert np.isfinite(world.log_intensity).all()
    assert len(set(world.species)) == species
    assert world.terrain.land.any()


@pytest.mark.parametrize(
    "wrong",
    [
        {"species": 0},
        {"size": (10, 200)},
        {"bias": float("nan")},
        {"records": (9.0, 3.0)},
        {"surveys": 0},
        {"prevalence": (0.5, 1.2)},
        {"noise": -1.0},
    ],
)
def test_refusals(wrong):
    with pytest.raises(UsageError) as error:
        archipelago(0, **wrong)
    assert error.value.code == "US104"


def test_fields_are_smooth_and_standard():
    field = random_field(np.random.default_rng(0), (60, 70), 5.0)
    assert field.mean() == pytest.approx(0, abs=1e-12)
    assert field.std() == pytest.approx(1)
    assert np.corrcoef(field[:, 1:].ravel(), field[:, :-1].ravel())[0, 1] > 0.9
    noise = np.random.default_rng(1).normal(size=(40, 50))
    np.testing.assert_allclose(
        smooth(noise, 3.0), ndimage.gaussian_filter(noise, 3.0, mode="reflect", truncate=9), atol=1e-4
    )


def test_fast_enough():
    archipelago(0)
    begin = time.perf_counter()
    archipelago(0)
    assert time.perf_counter() - begin < 3.0  # about 0.4 s on an idle core


def test_written_folder_reads_back(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    import pandas as pd

    world = archipelago(6, **SMALL)
    folder = world.write(tmp_path / "islands")
    later = world.future()
    for name, layers in (("covariates", world.covariates), ("future", later.covariates)):
        assert sorted(p.name for p in (folder / name).iterdir()) == sorted(f"{c}.tif" for c in world.names)
        for covariate, layer in layers.items():
            with rasterio.open(folder / name / f"{covariate}.tif") as source:
                np.testing.assert_array_equal(source.read(1), layer)
                assert source.crs.to_epsg() == 4326
                assert tuple(source.bounds) == pytest.approx(world.grid.bounds)
                assert source.descriptions == (covariate,)
                assert source.units == (UNITS[covariate],)
                assert source.nodata == 255 if covariate == "rock" else np.isnan(source.nodata)
    records = pd.read_csv(folder / "occurrences.csv")
    np.testing.assert_array_equal(records[["decimalLongitude", "decimalLatitude"]].to_numpy(), world.positions)
    surveys = pd.read_csv(folder / "surveys.csv")
    np.testing.assert_array_equal(surveys[list(world.species)].to_numpy(), world.found)
    with np.load(folder / "truth.npz", allow_pickle=False) as truth:
        np.testing.assert_array_equal(truth["log_intensity"], world.log_intensity)
        np.testing.assert_array_equal(truth["log_intensity_future"], later.log_intensity)
        assert tuple(truth["species"]) == world.species
    about = json.loads((folder / "archipelago.json").read_text())
    assert about["sha256"] == world.fingerprint()
    first = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    world.write(folder)
    assert first == {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
