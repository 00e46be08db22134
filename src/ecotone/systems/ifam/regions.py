"""Regions that are given instead of learned: boxes of a table, or masks in files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ecotone.data.image_files import ENDINGS, read_image
from ecotone.data.image_prep import Preprocessing
from ecotone.errors import InputError, UsageError
from ecotone.systems.ifam.config import IfamQuery
from ecotone.vision.reading import Pictures, read_set

Array = np.ndarray


def given_regions(
    query: IfamQuery, region: str, found: Pictures | None, prep: Preprocessing, grid: int
) -> Array | None:
    """(N, H, W) patches where the second stage may look; None for what the model selects.

    Args:
        query: What is read.
        region: "parts" or "boxes".
        found: The images of the query, None for those that the model keeps.
        prep: How images become inputs.
        grid: H and W.

    Raises:
        UsageError: US105 for regions without images.
        InputError: IM707 for masks or boxes that are not there, or select nothing in any image.
    """
    if query.masks is None and region == "parts":
        return None
    if found is None:
        raise UsageError("US105", "masks and boxes", "belong to images that are given", "add --images")
    regions = box_regions(query, found, prep, grid) if query.masks is None else mask_regions(query, prep, grid)
    if not regions.any():
        raise InputError("IM707", query.masks or query.images, "selects nothing in any image", "check the masks")
    return regions


def box_regions(query: IfamQuery, found: Pictures, prep: Preprocessing, grid: int) -> Array:
    """(N, H, W) patches that a box touches.

    Raises:
        InputError: IM707 for a table without boxes.
    """
    boxes = found.boxes
    if boxes is None or not np.isfinite(boxes).all():
        fix = "add columns left, top, right, bottom, in pixels"
        raise InputError("IM707", query.images, "does not give a box for every image", fix)
    edges = np.arange(grid + 1) * (prep.size / grid)
    across = (edges[None, 1:] > boxes[:, :1]) & (edges[None, :-1] < boxes[:, 2:3])
    down = (edges[None, 1:] > boxes[:, 1:2]) & (edges[None, :-1] < boxes[:, 3:])
    return down[:, :, None] & across[:, None, :]


def mask_regions(query: IfamQuery, prep: Preprocessing, grid: int) -> Array:
    """(N, H, W) patches of which a mask keeps at least half.

    Raises:
        InputError: IM707 for an image without a mask, or one of another size.
    """
    root, found = Path(query.masks), []
    for name, path in zip((images := read_set(query)).names, images.paths, strict=True):
        places = [(root / name).with_suffix(e) for e in ENDINGS] + [root / f"{path.stem}{e}" for e in ENDINGS]
        place = next((p for p in places if p.is_file()), None)
        if place is None:
            raise InputError("IM707", root, f"holds no mask for {name}", "name masks as the images are named")
        mask = read_image(place)[:1]
        if mask.shape[1:] != read_image(path).shape[1:]:
            raise InputError("IM707", place, "differs in size from its image", "draw masks on the images themselves")
        plain = Preprocessing(prep.size, 1, prep.fit, 1.0, (0.0,), (1.0,))
        kept = plain.resize(((mask > mask.max() / 2) if mask.max() else mask > 0).astype(np.float32))[0]
        step = prep.size // grid
        found.append(kept.reshape(grid, step, grid, step).mean((1, 3)) >= 0.5)
    return np.stack(found)
