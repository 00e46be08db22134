"""A set of images with what is known of each: class, split, group, boxes, keypoints, masks.

Reads folders of class folders and tables that name images. Images themselves stay on disk until `image_prep.load_images`.
Letters: N images, C classes, P keypoints.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ecotone.data.image_files import ENDINGS
from ecotone.errors import EcotoneWarning, InputError, listed, suggest
from ecotone.files.fingerprint import cache_key, hash_file

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray
SPLITS = ("train", "val", "test")
_SPLIT_WORDS = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test", "testing": "test",
}  # fmt: skip
_PATH_COLUMNS = ("image", "path", "filename", "file", "filepath", "image_path", "img", "img_filename", "image_name")
_LABEL_COLUMNS = ("label", "class", "category", "species", "target", "y", "class_name", "labels", "classes")
_SPLIT_COLUMNS = ("split", "set", "subset", "partition")
_GROUP_COLUMNS = ("group", "place", "site", "environment")


@dataclass(frozen=True)
class ImageSet:
    """Images and what is known of them.

    Attributes:
        paths: N files.
        names: N names, unique, as shown to the user.
        labels: (N,) class index, -1 where it is not known; or (N, C) 0/1 where an image may have several classes.
        classes: C names.
        split: (N,) "train", "val", "test" or "" where nothing is said.
        group: (N,) group index for worst-group accuracy, or None.
        group_names: Names of the groups.
        boxes: (N, 4) left, top, right, bottom of the object in pixels, nan where not known, or None.
        points: (N, P, 2) x, y of keypoints in pixels, or None.
        visible: (N, P) whether a keypoint is seen, or None.
        point_names: P names.
        masks: N files with object masks, or ().
        source: Where the set comes from.
    """

    paths: tuple[Path, ...]
    names: tuple[str, ...]
    labels: Array
    classes: tuple[str, ...]
    split: Array
    group: Array | None = None
    group_names: tuple[str, ...] = ()
    boxes: Array | None = None
    points: Array | None = None
    visible: Array | None = None
    point_names: tuple[str, ...] = ()
    masks: tuple[Path, ...] = ()
    source: str = ""

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def multilabel(self) -> bool:
        """Whether an image may have several classes."""
        return self.labels.ndim == 2

    @property
    def labelled(self) -> bool:
        """Whether every image has a label."""
        return bool(self.classes) and (self.multilabel or bool((self.labels >= 0).all()))

    def take(self, rows: Array) -> ImageSet:
        """The images of `rows` (indices or a mask)."""
        index = np.arange(len(self))[rows]
        found: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in ("paths", "names", "masks") and value:
                found[field.name] = tuple(value[i] for i in index)
            elif isinstance(value, np.ndarray):
                found[field.name] = value[index]
            else:
                found[field.name] = value
        return ImageSet(**found)

    def content_key(self) -> str:
        """A hash of the bytes of all images, in order."""
        return cache_key(files=[hash_file(path) for path in self.paths])

    def to_frame(self) -> pd.DataFrame:
        """One row per image: name, label, split."""
        import pandas as pd

        table: dict[str, Any] = {"image": list(self.names)}
        if self.classes:
            table["label"] = [self.label_text(i) for i in range(len(self))]
        return pd.DataFrame(table | {"split": self.split})

    def label_text(self, row: int) -> str:
        """The class of an image in words; several are joined by ";"."""
        if self.multilabel:
            return ";".join(self.classes[c] for c in np.flatnonzero(self.labels[row]))
        return self.classes[int(self.labels[row])] if self.labels[row] >= 0 else ""


def read_images(source: str | Path, *, labels: str | None = None, folder: str | Path | None = None) -> ImageSet:
    """Images from a folder, a table, or one file.

    Args:
        source: A folder of class folders (also within train, val and test folders), a folder of images, a table that names
            images, or an image.
        labels: Column of the table that holds the class; found by itself where it has a usual name.
        folder: What the paths of a table are relative to; the table's own folder by default.

    Raises:
        InputError: IO101, IM705 for folders, IM707 for tables.
    """
    path = Path(source)
    if path.is_dir():
        return read_folder(path)
    if path.suffix.lower() in ENDINGS:
        if not path.is_file():
            raise InputError("IO101", path, "not found", "check the path")
        return _unlabelled([path], path.parent)
    return read_image_table(path, labels=labels, folder=folder)


def read_folder(folder: str | Path) -> ImageSet:
    """A folder whose subfolders are classes, or hold train, val and test with classes inside; or a folder of images only.

    Raises:
        InputError: IO101 not there, IM705 for a folder without images, with images beside class folders, or with a class of one
            image.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError("IO101", folder, "no such folder", "check the path")
    below = [p for p in _sorted(folder.iterdir()) if p.is_dir() and not p.name.startswith(".")]
    splits = {p: _SPLIT_WORDS[p.name.lower()] for p in below if p.name.lower() in _SPLIT_WORDS}
    if splits and len(splits) == len(below) and any(_folders(p) for p in below):
        pieces = [(split, child) for p, split in splits.items() for child in _folders(p)]
    else:
        pieces = [("", child) for child in below]
    passed: list[Path] = []
    found = [(split, child.name, path) for split, child in pieces for path in _images(child, passed)]
    loose = _images(folder, passed, deep=False)
    if passed:
        what = f"{len(passed)} files that are no images were passed over, such as {passed[0].name}"
        warnings.warn(EcotoneWarning("IM711", folder, what, "nothing to do if they are not meant"), stacklevel=2)
    if found and loose:
        what = f"holds images beside class folders, such as {loose[0].name}"
        raise InputError("IM705", folder, what, "move every image into the folder of its class")
    if not found:
        if not loose:
            raise InputError("IM705", folder, "holds no images", f"images end in {', '.join(ENDINGS)}")
        return _unlabelled(loose, folder)
    classes = tuple(dict.fromkeys(name for _, name, _ in sorted(found, key=lambda f: _natural(f[1]))))
    labels = np.array([classes.index(name) for _, name, _ in found])
    _check_counts(folder, classes, labels)
    paths = tuple(path for _, _, path in found)
    names = tuple(path.relative_to(folder).as_posix() for path in paths)
    return ImageSet(paths, names, labels, classes, np.array([s for s, _, _ in found], dtype=object), source=folder.name)


def read_image_table(table: str | Path, *, labels: str | None = None, folder: str | Path | None = None) -> ImageSet:
    """A table with one row per image: its path, its class (several joined by ";"), and where wanted split, group and box.

    A box is in the columns left, top, right and bottom, pixels.

    Raises:
        InputError: IM707 for columns or files that are missing, IM705 for labels that cannot be used.
    """
    from ecotone.data.tables import read_table

    table = Path(table)
    frame = read_table(table).frame
    lower = {str(c).lower(): str(c) for c in frame.columns}
    column = next((lower[c] for c in _PATH_COLUMNS if c in lower), None)
    if column is None:
        fix = f"name the column of image paths {_PATH_COLUMNS[0]!r}"
        raise InputError("IM707", table, f"no column of image paths among {listed(list(lower))}", fix)
    root = Path(folder) if folder is not None else table.parent
    paths = [_inside(root, str(v), table, i) for i, v in enumerate(frame[column])]
    names = tuple(str(v) for v in frame[column])
    if len(set(names)) < len(names):
        twice = next(n for i, n in enumerate(names) if n in names[:i])
        raise InputError("IM707", table, f"{twice} is named twice", "give each image one row; join its classes by ;")
    if labels is not None and labels not in frame.columns:
        raise InputError("IM707", table, f"no column {labels!r}", suggest(labels, map(str, frame.columns)))
    label = labels or next((lower[c] for c in _LABEL_COLUMNS if c in lower and lower[c] != column), None)
    classes, index = _table_labels(frame, label, table)
    found: dict[str, Any] = {}
    split = np.full(len(frame), "", dtype=object)
    if (name := next((lower[c] for c in _SPLIT_COLUMNS if c in lower), None)) is not None:
        split = _table_split(frame[name], table, name)
    if (name := next((lower[c] for c in _GROUP_COLUMNS if c in lower and lower[c] != label), None)) is not None:
        words = [str(v) for v in frame[name]]
        found["group_names"] = tuple(sorted(set(words), key=_natural))
        found["group"] = np.array([found["group_names"].index(w) for w in words])
    if all(c in lower for c in ("left", "top", "right", "bottom")):
        boxes = frame[[lower[c] for c in ("left", "top", "right", "bottom")]]
        found["boxes"] = boxes.apply(_numbers).to_numpy(dtype=float)
    if index.ndim == 1 and classes:
        _check_counts(table, classes, index[index >= 0])
    return ImageSet(tuple(paths), names, index, classes, split, source=table.name, **found)


def _table_labels(frame: pd.DataFrame, column: str | None, table: Path) -> tuple[tuple[str, ...], Array]:
    if column is None:
        return (), np.full(len(frame), -1)
    words = ["" if gone else str(v).strip() for v, gone in zip(frame[column], frame[column].isna(), strict=True)]
    several = [[w.strip() for w in text.split(";") if w.strip()] for text in words]
    classes = tuple(sorted({w for row in several for w in row}, key=_natural))
    if not classes:
        raise InputError("IM705", table, f"column {column} holds no class", "fill it, or leave the column out")
    if any(len(row) > 1 for row in several):
        index = np.zeros((len(frame), len(classes)), dtype=np.int64)
        for i, row in enumerate(several):
            index[i, [classes.index(w) for w in row]] = 1
        return classes, index
    return classes, np.array([classes.index(row[0]) if row else -1 for row in several])


def _table_split(column: Any, table: Path, name: str) -> Array:
    found = []
    for value in column:
        word = str(value).strip().lower()
        if word not in _SPLIT_WORDS and word not in ("", "nan", "none"):
            raise InputError(
                "IM707", table, f"column {name} holds {word!r}", f"use {', '.join(SPLITS)} or leave it empty"
            )
        found.append(_SPLIT_WORDS.get(word, ""))
    return np.array(found, dtype=object)


def _numbers(column: Any) -> Any:
    import pandas as pd

    return pd.to_numeric(column, errors="coerce")


def _inside(root: Path, name: str, table: Path, row: int) -> Path:
    path = root / name
    if not path.resolve().is_relative_to(root.resolve()):
        raise InputError(
            "IM707", table, f"row {row + 2} names {name}, outside of {root}", "keep images below the folder"
        )
    if not path.is_file():
        raise InputError(
            "IM707", table, f"row {row + 2} names {name}, which is not there", "check --folder and the table"
        )
    return path


def _check_counts(where: Path, classes: Sequence[str], labels: Array) -> None:
    counts = np.bincount(labels, minlength=len(classes))
    for name, count in zip(classes, counts, strict=True):
        if count < 2:
            what = f"class {name!r} has {'one image' if count else 'no image'}"
            raise InputError(
                "IM705", where, what, "a class needs images to learn from and to test on; add some or remove it"
            )


def _unlabelled(paths: Sequence[Path], folder: Path) -> ImageSet:
    names = tuple(p.name for p in paths)
    split = np.full(len(paths), "", dtype=object)
    return ImageSet(tuple(paths), names, np.full(len(paths), -1), (), split, source=folder.name)


def _images(folder: Path, passed: list[Path], *, deep: bool = True) -> list[Path]:
    found = []
    for path in _sorted(folder.rglob("*") if deep else folder.iterdir()):
        if path.name.startswith(".") or not path.is_file():
            continue
        if path.suffix.lower() in ENDINGS:
            found.append(path)
        else:
            passed.append(path)
    return found


def _folders(path: Path) -> list[Path]:
    return [p for p in _sorted(path.iterdir()) if p.is_dir() and not p.name.startswith(".")]


def _sorted(paths: Any) -> list[Path]:
    return sorted(paths, key=lambda p: _natural(str(p)))


def _natural(text: str) -> tuple[tuple[int, int | str], ...]:
    """Sorts 2 before 10."""
    return tuple((0, int(part)) if part.isdigit() else (1, part.lower()) for part in re.split(r"(\d+)", text) if part)
