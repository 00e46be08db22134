"""NABirds: 48,562 photos of 555 kinds of North American birds with 11 keypoints and boxes (Van Horn et al. 2015).

Source: Cornell Lab of Ornithology, https://dl.allaboutbirds.org/nabirds (on request). Expected in the folder: images.txt,
classes.txt, image_class_labels.txt, train_test_split.txt, bounding_boxes.txt, parts/, images/. Classes are the leaves of the
hierarchy that have images, numbered in the order of classes.txt.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ecotone.data.benchmarks.cub import boxes, keypoints
from ecotone.data.benchmarks.listing import pairs, required
from ecotone.data.images import ImageSet
from ecotone.errors import InputError


def read_nabirds(folder: str | Path) -> ImageSet:
    """The set, with the published split into train and test.

    Raises:
        InputError: IO101 for files that are missing, IM707 for lines that do not fit together.
    """
    root = Path(folder)
    names, classes = pairs(required(root, "images.txt")), pairs(required(root, "classes.txt"))
    label_of, train = (pairs(required(root, f)) for f in ("image_class_labels.txt", "train_test_split.txt"))
    used = [c for c in classes if c in set(label_of.values())]
    try:
        labels = np.array([used.index(label_of[i]) for i in names])
        split = np.array(["train" if train[i] == "1" else "test" for i in names], dtype=object)
    except (KeyError, ValueError):
        where = root / "image_class_labels.txt"
        raise InputError(
            "IM707", where, "does not fit images.txt and classes.txt", "fetch the whole set again"
        ) from None
    points, visible, point_names = keypoints(root, list(names))
    return ImageSet(
        paths=tuple(root / "images" / n for n in names.values()),
        names=tuple(names.values()),
        labels=labels,
        classes=tuple(classes[c] for c in used),
        split=split,
        boxes=boxes(root, list(names)),
        points=points,
        visible=visible,
        point_names=point_names,
        source="NABirds",
    )
