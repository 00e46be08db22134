"""Small rasters and toy systems for tests of maps."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from ecotone.abilities import CovariateSpec, MapProduct
from ecotone.mapping.pixelwise import in_fixed_chunks


@pytest.fixture
def write_raster():
    def write(path, array, *, crs="EPSG:4326", transform=None, nodata=-9999):
        transform = from_origin(-10, 10, 0.5, 0.5) if transform is None else transform
        with rasterio.open(
            path, "w", driver="GTiff", height=array.shape[0], width=array.shape[1], count=1, dtype=array.dtype, crs=crs,
            transform=transform, nodata=nodata,
        ) as out:  # fmt: skip
            out.write(array, 1)
        return path

    return write


@pytest.fixture
def holed():
    def make(shape, seed, share=0.2):
        rng = np.random.default_rng(seed)
        values = rng.normal(size=shape).astype(np.float32)
        values[rng.random(shape) < share] = -9999
        return values

    return make


class Linear:
    """Sum and difference of covariates a and b as the main product, the class of their sum as the second."""

    name = "linear"

    def __init__(self, names=("a", "b"), labels=(), main=None):
        self.names, self.labels = names, labels
        self.main = main or MapProduct(("sum", "difference"), unit="mm")

    def map_covariates(self):
        return tuple(CovariateSpec(n, (1, 2, 3) if n in self.labels else None) for n in self.names)

    def training_covariates(self):
        raise NotImplementedError

    def map_products(self, **ask):
        return (self.main, MapProduct(("class",), "class", "uint8", 255, "1", {0: "low", 1: "high"}))

    def window(self, covariates, **ask):
        total = covariates.sum(axis=1)
        scale = ask.get("scale", 1.0)
        return np.stack([scale * total, covariates[:, 0] - covariates[:, -1]], axis=1), (total > 0).astype(int)[:, None]


class Network:
    """A small float32 network, random but fixed."""

    name = "network"

    def __init__(self, names):
        import torch

        torch.manual_seed(1)
        layers = (
            torch.nn.Linear(len(names), 33),
            torch.nn.SELU(),
            torch.nn.Linear(33, 64),
            torch.nn.SELU(),
            torch.nn.Linear(64, 5),
        )
        self.names, self.model = names, torch.nn.Sequential(*layers).eval()

    def map_covariates(self):
        return tuple(CovariateSpec(n) for n in self.names)

    def training_covariates(self):
        raise NotImplementedError

    def map_products(self, **ask):
        return (MapProduct(tuple(f"species {i}" for i in range(5))),)

    def predict(self, rows):
        import torch

        with torch.inference_mode():
            return torch.sigmoid(self.model(torch.from_numpy(rows).float())).numpy()

    def window(self, covariates, **ask):
        return (in_fixed_chunks(self.predict, covariates, 1024),)


@pytest.fixture
def linear():
    return Linear


@pytest.fixture
def network():
    return Network


@pytest.fixture
def child():
    """`map_toys.py` in a process of its own: `child(arguments)` waits, `child(arguments, wait=False)` gives it running."""

    def start(arguments, *, wait=True):
        script = Path(__file__).with_name("map_toys.py")
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p), "OMP_NUM_THREADS": "1"}
        words = [sys.executable, "-W", "ignore", str(script), json.dumps(arguments, default=str)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": env}
        process = subprocess.Popen(words, **pipes)
        if not wait:
            return process
        process.out, process.err = process.communicate(timeout=120)
        return process

    return start


@pytest.fixture
def toys():
    """The module of toy systems, under a name that other processes can import."""
    folder = str(Path(__file__).parent)
    sys.path.insert(0, folder)
    try:
        yield importlib.import_module("map_toys")
    finally:
        sys.path.remove(folder)


@pytest.fixture
def pair(tmp_path, write_raster, holed):
    """Rasters a and b of 70 x 90 cells with holes."""
    return [write_raster(tmp_path / f"{name}.tif", holed((70, 90), i)) for i, name in enumerate("ab")]
