"""Oxford Flowers 102: 8,189 photos with segmentations (Nilsback and Zisserman 2008).

Source: https://www.robots.ox.ac.uk/~vgg/data/flowers/102/. Expected in the folder: imagelabels.mat, setid.mat, jpg/ and, where
fetched, segmim/. In the segmentations the background is pure blue.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ecotone.data.benchmarks.listing import required
from ecotone.data.image_files import read_image
from ecotone.data.images import ImageSet
from ecotone.errors import InputError

BLUE_RATIO = 100.0


def read_flowers(folder: str | Path) -> ImageSet:
    """The set, with the published split.

    Raises:
        InputError: IO101 for files that are missing, IM707 for lists that do not fit together.
    """
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    root = Path(folder)
    paths = required(root, "imagelabels.mat"), required(root, "setid.mat")
    try:
        labels = loadmat(paths[0])["labels"].ravel().astype(np.int64) - 1
        ids = {k: loadmat(paths[1])[v].ravel() for k, v in (("train", "trnid"), ("val", "valid"), ("test", "tstid"))}
    except (ValueError, KeyError, TypeError, NotImplementedError, OSError, MatReadError):
        raise InputError(
            "IM707", paths[0], "is no list of labels", "fetch imagelabels.mat and setid.mat again"
        ) from None
    split = np.full(len(labels), "", dtype=object)
    for name, rows in ids.items():
        if rows.min(initial=1) < 1 or rows.max(initial=0) > len(labels):
            raise InputError("IM707", paths[1], "does not fit imagelabels.mat", "fetch both again")
        split[rows - 1] = name
    names = tuple(f"image_{i + 1:05d}.jpg" for i in range(len(labels)))
    masks: tuple[Path, ...] = ()
    if (root / "segmim").is_dir():
        masks = tuple(root / "segmim" / n.replace("image", "segmim") for n in names)
    classes = tuple(f"flower {c + 1}" for c in range(int(labels.max()) + 1))
    return ImageSet(
        tuple(root / "jpg" / n for n in names), names, labels, classes, split, masks=masks, source="Flowers 102"
    )


def flower_mask(path: str | Path) -> np.ndarray:
    """(H, W) bool, the flower: where blue does not outshine red and green a hundredfold, after a 5 x 5 median."""
    from scipy.ndimage import median_filter

    red, green, blue = read_image(path)[:3].astype(float)
    background = blue > BLUE_RATIO * (red + green)
    return ~median_filter(background, 5)
