"""The ground of the archipelago: islands, relief, climate, rock, soil, towns and roads.

Everything is an (H, W) array. Values are rounded as a published data set would be, and the species are computed from
the rounded values, so that the last bits of a platform's arithmetic do not reach the records.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ecotone.data.simulated.fields import random_field, rough_field, smooth, standard

Array = np.ndarray

KM_PER_DEGREE = 111.2
ROCKS: dict[int, str] = {1: "basalt", 2: "limestone", 3: "granite", 4: "sandstone", 5: "alluvium"}
_ROCK_PH = np.array([np.nan, 6.3, 7.6, 5.3, 5.8, 6.8])
_NO_ROCK = 255


@dataclass(frozen=True, eq=False)
class Terrain:
    """What the islands are made of.

    Attributes:
        land: (H, W) bool.
        elevation: (H, W) metres above the sea, 0 at sea.
        covariates: Name -> (H, W) float32 with NaN at sea; `rock` is uint8 with 255 at sea.
        accessibility: (H, W) how easily an observer gets there; mean 0, standard deviation 1 over land.
        towns: (T, 2) row and column of towns.
        roads: (H, W) bool.
    """

    land: Array
    elevation: Array
    covariates: dict[str, Array]
    accessibility: Array
    towns: Array
    roads: Array


def build_terrain(streams: list[np.random.Generator], latitude: Array, cell_km: tuple[float, float]) -> Terrain:
    """Draws a terrain.

    Args:
        streams: Four independent generators: relief, climate, rock, people.
        latitude: (H, W) degrees north.
        cell_km: Height and width of a cell in km.

    Returns:
        The terrain.
    """
    relief, climate, stone, people = streams
    elevation = _relief(relief, latitude.shape)
    land = elevation > 0
    coast = _km_to(~land, cell_km)
    towns, roads = _people(people, land, elevation, coast, cell_km)
    accessibility = _accessibility(people, land, elevation, (towns, roads), cell_km)
    rock = _rock(stone, land, elevation)

    north = latitude - latitude.mean()
    temperature = 17.5 - 0.7 * north - 5.8 * elevation / 1000 + 0.5 * random_field(climate, land.shape, 14)
    windward = standard(np.gradient(smooth(elevation, 3), axis=1), land)
    wetness = 0.30 * np.clip(windward, -2, 2) + 0.07 * north + 0.30 * random_field(climate, land.shape, 18)
    precipitation = 720 * np.exp(wetness) * (1 + 0.55 * smooth(elevation, 2) / 1000)
    seasonality = 4.3 + 0.5 * np.log1p(coast / 8) + 0.15 * north + 0.30 * random_field(climate, land.shape, 16)
    leached = standard(np.log(precipitation), land)
    acidity = _ROCK_PH[np.where(land, rock, 1)] - 0.30 * leached + 0.30 * rough_field(stone, land.shape, 6)
    wet = standard(np.log(precipitation / np.maximum(temperature + 12, 2)), land)
    growth = 0.2 + 1.3 * wet - 0.25 * np.maximum(7 - temperature, 0) - 0.8 * accessibility
    tree = 100 / (1 + np.exp(-growth - 0.6 * rough_field(climate, land.shape, 6)))

    continuous = {
        "temperature": np.round(temperature, 2),
        "precipitation": np.round(precipitation),
        "seasonality": np.round(np.maximum(seasonality, 0.5), 2),
        "soil_ph": np.round(np.clip(acidity, 3.8, 8.8), 2),
        "coast_distance": np.round(coast, 1),
        "tree_cover": np.round(tree, 1),
    }
    covariates: dict[str, Array] = {
        name: np.where(land, layer, np.nan).astype(np.float32) for name, layer in continuous.items()
    }
    covariates["rock"] = np.where(land, rock, _NO_ROCK).astype(np.uint8)
    return Terrain(land, np.round(elevation), covariates, accessibility, towns, roads)


def _relief(rng: np.random.Generator, shape: tuple[int, int], *, share: float = 0.34) -> Array:
    """Elevation in metres, 0 at sea; about `share` of the frame is land and the frame's edge is sea."""
    rows, columns = np.mgrid[: shape[0], : shape[1]].astype(np.float64)
    unit = np.sqrt(shape[0] * shape[1]) / 179.0
    radii = unit * np.array([30, 25, 21, 17, 14, 11, 9, 7, 6])
    heights = np.array([2300, 1500, 1900, 900, 1200, 500, 650, 350, 250]) * np.exp(0.15 * rng.standard_normal(9))
    centres: list[Array] = []
    surface = np.zeros(shape)
    for radius, height in zip(radii, heights, strict=True):
        margin = np.minimum(1.25 * radius, 0.35 * np.array(shape))
        tries = margin + rng.random((40, 2)) * (np.array(shape) - 1 - 2 * margin)
        free = [min((np.hypot(*(t - c)) - 1.6 * r for c, r in zip(centres, radii)), default=1e9) for t in tries]
        roomy = [k for k, gap in enumerate(free) if gap > 1.6 * radius]
        centre = tries[roomy[0] if roomy else int(np.argmax(free))]
        centres.append(centre)
        turn, stretch = rng.random() * np.pi, np.exp(0.25 * rng.standard_normal())
        down, right = rows - centre[0], columns - centre[1]
        along = (down * np.sin(turn) + right * np.cos(turn)) / stretch
        across = (down * np.cos(turn) - right * np.sin(turn)) * stretch
        surface += (0.4 + height / 2300) * np.exp(-0.5 * ((along**2 + across**2) / (0.85 * radius) ** 2) ** 1.3)
    surface *= np.exp(0.30 * rough_field(rng, shape, 5 * unit, octaves=3))
    surface += 0.10 * rough_field(rng, shape, 9 * unit, octaves=4)
    edge = np.minimum.reduce([rows, columns, shape[0] - 1 - rows, shape[1] - 1 - columns])
    surface -= 1.5 * np.exp(-edge / (3.5 * unit)) + 10.0 * (edge < 1)
    above = surface - np.quantile(surface, 1 - share)
    labels = _pieces(above > 0)
    large = np.bincount(labels.ravel()) >= 12
    large[0] = False
    above = np.where(large[labels], above, 0.0)
    return np.where(above > 0, 3 + 2250 * (above / above.max()) ** 1.15, 0.0)


def _rock(rng: np.random.Generator, land: Array, elevation: Array) -> Array:
    """Codes of `ROCKS`: provinces of rock, with alluvium on low ground."""
    scale = np.sqrt(land.size) / 179.0 * 9
    pull = np.stack([rough_field(rng, land.shape, scale) for _ in ROCKS])
    height = standard(np.sqrt(elevation), land)
    pull[0] += 0.25 * height
    pull[2] += 0.25 * height
    pull[4] -= 0.9 * height
    return np.argmax(pull, axis=0) + 1


def _people(
    rng: np.random.Generator, land: Array, elevation: Array, coast: Array, cell_km: tuple[float, float]
) -> tuple[Array, Array]:
    """Towns on low ground near the coast, and straight roads that join each to its nearest earlier neighbour."""
    cells = np.argwhere(land)
    appeal = np.exp(-elevation[land] / 200 - coast[land] / 12)
    towns = cells[rng.choice(len(cells), size=min(14, len(cells)), replace=False, p=appeal / appeal.sum())]
    island = _pieces(land)
    roads = np.zeros(land.shape, dtype=bool)
    for k in range(1, len(towns)):
        earlier = [t for t in towns[:k] if island[tuple(t)] == island[tuple(towns[k])]]
        if earlier:
            nearest = min(earlier, key=lambda t: float(np.hypot(*((t - towns[k]) * cell_km))))
            steps = int(np.abs(nearest - towns[k]).max()) * 2 + 1
            path = np.round(np.linspace(towns[k], nearest, steps)).astype(int)
            roads[path[:, 0], path[:, 1]] = True
    roads[towns[:, 0], towns[:, 1]] = True
    return towns, roads & land


def _accessibility(
    rng: np.random.Generator,
    land: Array,
    elevation: Array,
    places: tuple[Array, Array],
    cell_km: tuple[float, float],
) -> Array:
    """Easy near the `places` (towns, roads) and on low ground; mean 0 and standard deviation 1 over land."""
    towns, roads = places
    town = np.zeros(land.shape, dtype=bool)
    town[towns[:, 0], towns[:, 1]] = True
    to_town, to_road = _km_to(town, cell_km), _km_to(roads, cell_km)
    ease = -0.8 * np.log1p(to_road / 8) - 0.5 * np.log1p(to_town / 20) - 1.8 * elevation / 1000
    ease = standard(ease, land) + 0.30 * rough_field(rng, land.shape, 8)
    return np.where(land, np.round(standard(ease, land), 3), 0.0)


def _km_to(there: Array, cell_km: tuple[float, float]) -> Array:
    return np.asarray(ndimage.distance_transform_edt(~there, sampling=cell_km), dtype=np.float64)


def _pieces(inside: Array) -> Array:
    """Numbers the connected pieces of a mask from 1; 0 is outside."""
    labels = np.zeros(inside.shape, dtype=np.int64)
    ndimage.label(inside, output=labels)
    return labels
