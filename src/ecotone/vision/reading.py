"""From files to equal images with labels and a split, for `fit` and for questions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ecotone.data.image_files import read_image
from ecotone.data.image_prep import Preprocessing, load_images, usual_preprocessing
from ecotone.data.images import ImageSet, read_images
from ecotone.errors import InputError, UsageError, suggest
from ecotone.files.progress import progress as show_progress
from ecotone.vision.options import Inputs, Query, VisionConfig

Array = np.ndarray
Statistics = tuple[tuple[float, ...], tuple[float, ...]]
SHARES = {"val": 0.1, "test": 0.2}


@dataclass(frozen=True)
class Pictures:
    """Images as a model reads them, before normalisation.

    Attributes:
        names: N names.
        pixels: (N, C, S, S) of the type of the files.
        labels: (N,) class index, -1 unknown, or (N, C) 0/1.
        split: (N,) "train", "val", "test".
        group: (N,) group, or None.
        group_names: Names of groups.
        boxes: (N, 4) left, top, right, bottom in pixels of the input, or None.
    """

    names: tuple[str, ...]
    pixels: Array
    labels: Array
    split: Array
    group: Array | None = None
    group_names: tuple[str, ...] = ()
    boxes: Array | None = None

    def __len__(self) -> int:
        return len(self.names)

    def take(self, rows: Array) -> Pictures:
        """Those of `rows`, indices or a mask."""
        index = np.arange(len(self))[rows]
        pick: dict[str, Any] = {k: None if (v := getattr(self, k)) is None else v[index] for k in ("group", "boxes")}
        names = tuple(self.names[i] for i in index)
        return Pictures(
            names, self.pixels[index], self.labels[index], self.split[index], group_names=self.group_names, **pick
        )

    def of(self, split: str) -> Pictures:
        """Those of one split."""
        return self.take(self.split == split)


def read_set(source: Inputs | Query) -> ImageSet:
    """The files that are meant, not yet decoded."""
    return read_images(source.images, labels=source.labels, folder=source.folder)


def input_files(inputs: Inputs) -> list[Path]:
    """Every image, the table, and the files of the encoder."""
    inputs.check()
    source = Path(inputs.images)
    found = [] if source.is_dir() else [source]
    if not source.exists():
        raise InputError("IO101", source, "not found", "check the path")
    found += read_set(inputs).paths
    if inputs.weights is not None and Path(inputs.weights).is_dir():
        found += sorted(p for p in Path(inputs.weights).iterdir() if p.suffix in (".json", ".safetensors"))
    return found


def read_for_fit(
    inputs: Inputs, config: VisionConfig, size: int, statistics: Statistics | None = None, *, progress: bool = False
) -> tuple[Pictures, tuple[str, ...], Preprocessing, Any]:
    """Images of `fit`.

    Args:
        inputs: What is read.
        config: `fit` and `seed` are heeded.
        size: Side of the input, pixels.
        statistics: Mean and spread of colours that pretrained weights expect; the usual ones by default.
        progress: Show how far it is.

    Returns:
        The images with a split, the class names, their preprocessing, and the set they come from.

    Raises:
        InputError: IM705 without labels or with one class, IM708 for a split that leaves a class out.
    """
    found = read_set(inputs.check())
    if not found.labelled:
        where = inputs.images
        raise InputError(
            "IM705", where, "images have no classes", "put each class into a folder, or name a label column"
        )
    if inputs.limit is not None:
        found = found.take(_some_of_each(found.labels, inputs.limit, config.seed))
    split = split_of(found, config.seed)
    first = read_image(found.paths[0])
    prep = usual_preprocessing(first, size, config.fit)
    if statistics is not None and len(statistics[0]) == prep.channels:
        prep = replace(prep, mean=statistics[0], std=statistics[1])
    with show_progress(len(found), "images", enabled=progress) as bar:
        pixels = load_images(found.paths, prep, advance=bar.advance)
    pictures = Pictures(found.names, pixels, found.labels, split, found.group, found.group_names, _boxes(found, prep))
    return pictures, found.classes, prep, found


def read_for_question(query: Query, prep: Preprocessing, classes: tuple[str, ...]) -> Pictures:
    """Images of a question, with labels as far as they are of known classes.

    Raises:
        InputError: IM705 for a class the model does not know.
    """
    found = read_set(query)
    if found.multilabel:
        labels = np.zeros((len(found), len(classes)), np.int64)
        for c, name in enumerate(found.classes):
            labels[:, _index(classes, name, query.images)] = found.labels[:, c]
    elif found.classes:
        order = np.array([_index(classes, name, query.images) for name in found.classes])
        labels = np.where(found.labels >= 0, order[np.maximum(found.labels, 0)], -1)
    else:
        labels = np.full(len(found), -1)
    pixels = load_images(found.paths, prep)
    split = np.full(len(found), "test", dtype=object)
    return Pictures(found.names, pixels, labels, split, found.group, found.group_names, _boxes(found, prep))


def split_of(found: ImageSet, seed: int) -> Array:
    """(N,) the split that is given, or 70 % train, 10 % val and 20 % test of each class.

    Raises:
        InputError: IM708 for a class without training images or without any to test on.
    """
    given = found.split.astype(str)
    split = given.copy().astype(object)
    rng = np.random.default_rng([seed, 17])
    strata = found.labels if not found.multilabel else np.zeros(len(found), int)
    if not (given != "").any():
        for value in np.unique(strata):
            rows = rng.permutation(np.flatnonzero(strata == value))
            split[rows] = _parts(len(rows))
    else:
        split[split == ""] = "train"
        if not (split == "val").any():
            for value in np.unique(strata):
                rows = rng.permutation(np.flatnonzero((strata == value) & (split == "train")))
                split[rows[: max(1, round(0.15 * len(rows)))] if len(rows) > 1 else rows[:0]] = "val"
    if found.multilabel:
        return split
    for c, name in enumerate(found.classes):
        here = split[found.labels == c]
        for part, what in (("train", "to learn from"), ("test", "to test on")):
            if not (here == part).any() and (part == "train" or (split == "test").any()):
                raise InputError("IM708", f"class {name!r}", f"has no image {what}", "change the split or add images")
    if not (split == "test").any():
        raise InputError("IM708", "split", "names no image to test on", "mark some as test, or leave the split out")
    return split


def row_of(names: tuple[str, ...], target: str) -> int:
    """Position of an image by its name.

    Raises:
        UsageError: US101 with the closest name.
    """
    if target not in names:
        raise UsageError("US101", target, "no such image among those to explain", suggest(target, names))
    return names.index(target)


def _parts(count: int) -> Array:
    """Words of a split: the first are test, then val, then train; every class keeps one to learn from."""
    test = max(1, round(SHARES["test"] * count))
    val = max(1, round(SHARES["val"] * count)) if count > 2 else 0
    return np.array(["test"] * test + ["val"] * val + ["train"] * (count - test - val), dtype=object)


def _some_of_each(labels: Array, limit: int, seed: int) -> Array:
    rng = np.random.default_rng([seed, 23])
    if labels.ndim == 2:
        return np.sort(rng.permutation(len(labels))[: limit * labels.shape[1]])
    rows = [rng.permutation(np.flatnonzero(labels == c))[:limit] for c in np.unique(labels)]
    return np.sort(np.concatenate(rows))


def _index(classes: tuple[str, ...], name: str, where: Any) -> int:
    if name not in classes:
        raise InputError("IM705", where, f"class {name!r} is not one the model knows", suggest(name, classes))
    return classes.index(name)


def _boxes(found: ImageSet, prep: Preprocessing) -> Array | None:
    if found.boxes is None:
        return None
    out = np.empty_like(found.boxes)
    for i, (path, box) in enumerate(zip(found.paths, found.boxes, strict=True)):
        height, width = read_image(path).shape[1:]  # as it stands after the camera's turn is undone
        out[i] = prep.to_input(box.reshape(2, 2), width, height).reshape(4)
    return out
