"""CUB-200-2011: 11,788 photos of 200 bird species with 15 keypoints and boxes (Wah et al. 2011).

Source: Caltech, https://www.vision.caltech.edu/datasets/cub_200_2011/. Expected in the folder: images.txt, classes.txt,
image_class_labels.txt, train_test_split.txt, bounding_boxes.txt, parts/parts.txt, parts/part_locs.txt, images/; in it or
beside it, where they were fetched, segmentations/.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ecotone.data.benchmarks.listing import joined_numbers, pairs, required
from ecotone.data.images import ImageSet
from ecotone.errors import InputError

Array = np.ndarray


def read_cub(folder: str | Path) -> ImageSet:
    """The set, with the published split into train and test.

    Raises:
        InputError: IO101 for files that are missing, IM707 for lines that do not fit together.
    """
    root = Path(folder)
    names = pairs(required(root, "images.txt"))
    classes = pairs(required(root, "classes.txt"))
    label_of, train = (pairs(required(root, f)) for f in ("image_class_labels.txt", "train_test_split.txt"))
    order = list(classes)
    try:
        labels = np.array([order.index(label_of[i]) for i in names])
        split = np.array(["train" if train[i] == "1" else "test" for i in names], dtype=object)
    except (KeyError, ValueError):
        where = root / "image_class_labels.txt"
        raise InputError("IM707", where, "does not fit images.txt", "fetch the whole set again") from None
    points, visible, point_names = keypoints(root, list(names))
    masks = _masks(root, list(names.values()))
    return ImageSet(
        paths=tuple(root / "images" / n for n in names.values()),
        names=tuple(names.values()),
        labels=labels,
        classes=tuple(c.split(".", 1)[-1].replace("_", " ") for c in classes.values()),
        split=split,
        boxes=boxes(root, list(names)),
        points=points,
        visible=visible,
        point_names=point_names,
        masks=masks,
        source="CUB-200-2011",
    )


def boxes(root: Path, ids: list[str]) -> Array:
    """(N, 4) left, top, right, bottom of bounding_boxes.txt, which holds left, top, width, height."""
    found = joined_numbers(required(root, "bounding_boxes.txt"), ids, 4)
    found[:, 2:] += found[:, :2]
    return found


def keypoints(root: Path, ids: list[str]) -> tuple[Array, Array, tuple[str, ...]]:
    """(N, P, 2) positions, (N, P) visibility and P names of parts/parts.txt and parts/part_locs.txt."""
    names = pairs(required(root, "parts/parts.txt"))
    row, column = {i: n for n, i in enumerate(ids)}, {p: k for k, p in enumerate(names)}
    points = np.zeros((len(ids), len(names), 2))
    visible = np.zeros((len(ids), len(names)), bool)
    path = required(root, "parts/part_locs.txt")
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines()):
        words = line.split()
        if not words:
            continue
        try:
            at = row[words[0]], column[words[1]]
            points[at], visible[at] = (float(words[2]), float(words[3])), float(words[4]) > 0
        except (KeyError, ValueError, IndexError):
            raise InputError("IM707", path, f"line {number + 1} is no keypoint", "fetch the set again") from None
    return points, visible, tuple(names.values())


def _masks(root: Path, names: list[str]) -> tuple[Path, ...]:
    for place in (root / "segmentations", root.parent / "segmentations"):
        if place.is_dir():
            return tuple((place / n).with_suffix(".png") for n in names)
    return ()
