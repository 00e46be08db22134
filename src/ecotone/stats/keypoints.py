"""How well part maps tell where keypoints are, and which part lies at each of them.

Source: the evaluation of PDiscoNet and PDiscoFormer (arXiv 2407.04538). Letters: N images, K parts besides the background, P
keypoints, H W cells.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Array = np.ndarray
ACTIVE = 0.5


def part_centroids(maps: Array) -> tuple[Array, Array]:
    """Centre of mass of each foreground map, and whether the part is there.

    Args:
        maps: (N, K + 1, H, W), background last.

    Returns:
        (N, K, 2) x, y in 0..1 of the map's sides, and (N, K) whether the map exceeds 0.5 somewhere. The centre of an empty
        map is 0.5, 0.5.
    """
    front = np.asarray(maps[:, :-1], dtype=np.float64)
    height, width = front.shape[-2:]
    y, x = (np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width
    mass = front.sum((-2, -1))
    safe = np.where(mass > 0, mass, 1)
    cx = np.where(mass > 0, (front.sum(-2) * x).sum(-1) / safe, 0.5)
    cy = np.where(mass > 0, (front.sum(-1) * y).sum(-1) / safe, 0.5)
    return np.stack([cx, cy], -1), front.max((-2, -1)) > ACTIVE


@dataclass(frozen=True)
class KeypointRegression:
    """Linear maps from part centres to keypoints.

    Attributes:
        mean: (2 K,) of the centres in training.
        std: (2 K,).
        weights: P matrices (2 K, 2).
        target_mean: (P, 2) mean place of each keypoint in training.
        target_std: (P, 2).
    """

    mean: Array
    std: Array
    weights: Array
    target_mean: Array
    target_std: Array

    @classmethod
    def fit(cls, centres: Array, active: Array, points: Array, visible: Array) -> KeypointRegression:
        """Least squares without intercept between standardised centres and standardised keypoints.

        Args:
            centres: (N, K, 2) of `part_centroids`, in units of the box.
            active: (N, K); a part that is not there counts as standing at its mean.
            points: (N, P, 2) in the same units.
            visible: (N, P).
        """
        flat = centres.reshape(len(centres), -1)
        mean, std = flat.mean(0), flat.std(0)
        std = np.where(std > 0, std, 1)
        inputs = _inputs(flat, active, mean, std)
        count = points.shape[1]
        weights = np.zeros((count, flat.shape[1], 2))
        target_mean, target_std = np.full((count, 2), 0.5), np.ones((count, 2))
        for p in range(count):
            rows = visible[:, p]
            if not rows.any():
                continue
            wanted = points[rows, p]
            spread = wanted.std(0)
            target_mean[p], target_std[p] = wanted.mean(0), np.where(spread > 0, spread, 1)
            weights[p] = np.linalg.lstsq(inputs[rows], (wanted - target_mean[p]) / target_std[p], rcond=None)[0]
        return cls(mean, std, weights, target_mean, target_std)

    def predict(self, centres: Array, active: Array) -> Array:
        """(N, P, 2) places of the keypoints."""
        inputs = _inputs(centres.reshape(len(centres), -1), active, self.mean, self.std)
        return np.einsum("nf,pfc->npc", inputs, self.weights) * self.target_std + self.target_mean

    def error(self, centres: Array, active: Array, points: Array, visible: Array) -> float:
        """Mean distance of visible keypoints, per cent of the box's sides."""
        gap = np.linalg.norm(self.predict(centres, active) - points, axis=-1)
        return float(gap[visible].mean() * 100)


def _inputs(flat: Array, active: Array, mean: Array, std: Array) -> Array:
    return np.where(np.repeat(active, 2, axis=1), (flat - mean) / std, 0.0)


def labels_at(maps: Array, points: Array, size: tuple[int, int]) -> Array:
    """Label of the strongest map at each point, maps interpolated bilinearly.

    Args:
        maps: (N, K + 1, H, W).
        points: (N, P, 2) x, y in pixels.
        size: (width, height) of the image in pixels.

    Returns:
        (N, P) index of the strongest map; that of the nearest border for points outside.
    """
    count, _, height, width = maps.shape
    x = points[..., 0] / size[0] * width - 0.5
    y = points[..., 1] / size[1] * height - 0.5
    x, y = np.clip(x, 0, width - 1), np.clip(y, 0, height - 1)
    left, top = (
        np.minimum(np.floor(x).astype(int), max(width - 2, 0)),
        np.minimum(np.floor(y).astype(int), max(height - 2, 0)),
    )
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    across, down = (x - left)[..., None], (y - top)[..., None]
    n = np.arange(count)[:, None]
    by_place = np.moveaxis(np.asarray(maps, dtype=np.float64), 1, -1)
    upper = by_place[n, top, left] * (1 - across) + by_place[n, top, right] * across
    lower = by_place[n, bottom, left] * (1 - across) + by_place[n, bottom, right] * across
    return (upper * (1 - down) + lower * down).argmax(-1)
