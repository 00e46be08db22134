"""PartImageNet: ImageNet photos with masks of object parts, as COCO annotations (He et al. 2022, arXiv 2112.00933).

Source: https://github.com/TACJu/PartImageNet. Reads the annotation file and the images it names; masks of parts are drawn when
they are asked for, from polygons or from run-length counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ecotone.data.images import ImageSet
from ecotone.errors import InputError
from ecotone.files.bounded import read_json

Array = np.ndarray
_MOST = 2 << 30


@dataclass(frozen=True)
class PartMasks:
    """Part annotations of N images.

    Attributes:
        names: K part names.
        sizes: N (height, width).
        shapes: For each image (part, segmentation) pairs.
    """

    names: tuple[str, ...]
    sizes: tuple[tuple[int, int], ...]
    shapes: tuple[tuple[tuple[int, Any], ...], ...]

    def draw(self, row: int) -> Array:
        """(H, W) part index + 1, 0 for background, of one image."""
        height, width = self.sizes[row]
        out = np.zeros((height, width), np.int16)
        for part, shape in self.shapes[row]:
            out[mask_of(shape, height, width)] = part + 1
        return out


def read_part_imagenet(annotations: str | Path, images: str | Path, *, split: str = "") -> tuple[ImageSet, PartMasks]:
    """Images of one annotation file. The class of an image is the synset in its file name.

    Raises:
        InputError: IM707 for another layout.
    """
    path, root = Path(annotations), Path(images)
    content = read_json(path, _MOST, code="IM707")
    try:
        order = {int(c["id"]): k for k, c in enumerate(content["categories"])}
        rows = {int(i["id"]): i for i in content["images"]}
        shapes: dict[int, list[tuple[int, Any]]] = {i: [] for i in rows}
        for item in content["annotations"]:
            shapes[int(item["image_id"])].append((order[int(item["category_id"])], item["segmentation"]))
        names = tuple(str(i["file_name"]) for i in rows.values())
        sizes = tuple((int(i["height"]), int(i["width"])) for i in rows.values())
        parts = tuple(str(c["name"]) for c in content["categories"])
    except (KeyError, TypeError, ValueError):
        raise InputError("IM707", path, "is no COCO annotation file", "use the file of PartImageNet") from None
    if any(Path(n).is_absolute() or ".." in Path(n).parts for n in names):
        raise InputError("IM707", path, "names images elsewhere", "use the file of PartImageNet")
    synsets = [Path(n).name.split("_")[0] for n in names]
    classes = tuple(sorted(set(synsets)))
    found = ImageSet(
        paths=tuple(root / n for n in names),
        names=names,
        labels=np.array([classes.index(s) for s in synsets]),
        classes=classes,
        split=np.full(len(names), split, dtype=object),
        source="PartImageNet",
    )
    return found, PartMasks(parts, sizes, tuple(tuple(shapes[i]) for i in rows))


def mask_of(shape: Any, height: int, width: int) -> Array:
    """(H, W) bool of polygons, or of run lengths down the columns, plain or packed as text.

    Raises:
        InputError: IM707 for anything else.
    """
    if isinstance(shape, Sequence) and not isinstance(shape, str):
        return _polygons(shape, height, width)
    if isinstance(shape, Mapping) and "counts" in shape:
        counts = shape["counts"]
        runs = _unpacked(counts) if isinstance(counts, str) else [int(c) for c in counts]
        if sum(runs) != height * width or min(runs, default=0) < 0:
            raise InputError("IM707", "annotation", "run lengths do not fill the image", "fetch the annotations again")
        values = np.arange(len(runs)) % 2 == 1
        return np.repeat(values, runs).reshape(width, height).T
    raise InputError("IM707", "annotation", "is neither polygons nor run lengths", "fetch the annotations again")


def _polygons(polygons: Sequence[Any], height: int, width: int) -> Array:
    from PIL import Image, ImageDraw

    canvas = Image.new("1", (width, height))
    for polygon in polygons:
        try:
            values = [float(v) for v in polygon]
        except (TypeError, ValueError):
            raise InputError(
                "IM707", "annotation", "a polygon holds no numbers", "fetch the annotations again"
            ) from None
        if len(values) >= 6:
            ImageDraw.Draw(canvas).polygon(values[: len(values) // 2 * 2], fill=1)
    return np.asarray(canvas).astype(bool)


def _unpacked(text: str) -> list[int]:
    """COCO's packing: six bits a character from 48, five of them value; from the fourth on, differences to the one two before."""
    runs: list[int] = []
    at = 0
    while at < len(text):
        value = shift = 0
        more = True
        while more:
            if at >= len(text):
                raise InputError("IM707", "annotation", "run lengths are cut off", "fetch the annotations again")
            bits = ord(text[at]) - 48
            value |= (bits & 0x1F) << shift
            more, at, shift = bool(bits & 0x20), at + 1, shift + 5
            if not more and bits & 0x10:
                value |= -1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
    return runs
