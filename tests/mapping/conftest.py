"""Small rasters and toy systems for tests of maps."""

from __future__ import annotations

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
