"""Distances on the globe, and the stations near a site."""

from __future__ import annotations

import numpy as np

Array = np.ndarray
_RADIUS_KM = 6371.0088


def distance_km(lat1: Array, lon1: Array, lat2: Array, lon2: Array) -> Array:
    """Great-circle distance of points in degrees, by broadcasting; NaN where a coordinate is missing."""
    a1, o1, a2, o2 = (np.radians(np.asarray(x, dtype=float)) for x in (lat1, lon1, lat2, lon2))
    half = np.sin((a2 - a1) / 2) ** 2 + np.cos(a1) * np.cos(a2) * np.sin((o2 - o1) / 2) ** 2
    return 2 * _RADIUS_KM * np.arcsin(np.sqrt(np.clip(half, 0, 1)))
