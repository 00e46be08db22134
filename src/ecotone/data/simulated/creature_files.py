"""Simulated creatures as files: images in class folders, and what is true of them beside."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ecotone.data.simulated.creatures import Creatures
from ecotone.files.atomic import make_folder


def write_creatures(creatures: Creatures, folder: str | Path, *, by: str = "label") -> Path:
    """Writes folder/images/CLASS/NUMBER.png, and folder/masks/CLASS/NUMBER.png, white on the creature.

    Args:
        creatures: What is written.
        folder: Where.
        by: Classes are the "label", or the "kind".

    Returns:
        The folder of images.
    """
    from PIL import Image

    root = Path(folder)
    named = creatures.label if by == "label" else creatures.kind
    for i, (image, parts, value) in enumerate(zip(creatures.images, creatures.parts, named, strict=True)):
        name = f"{'creature' if by == 'label' else 'kind'}-{int(value) + 1:02d}/{i:05d}.png"
        for place, array in (("images", image.transpose(1, 2, 0)), ("masks", (parts > 0).astype(np.uint8) * 255)):
            path = root / place / name
            make_folder(path.parent)
            Image.fromarray(np.ascontiguousarray(array)).save(path)
    return root / "images"
