"""What a model keeps of its images: test images to be explained, training images to compare with, answers on the test split.

Kept small and even over classes, so that a stored model explains itself without the data it came from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

Array = np.ndarray
EXAMPLES, GALLERY = 48, 160


@dataclass(frozen=True)
class Memory:
    """Images and answers that are stored with the model.

    Attributes:
        names: E names of test images.
        pixels: (E, C, S, S).
        labels: (E,) or (E, C).
        gallery_names: G names of training images.
        gallery_pixels: (G, C, S, S).
        gallery_labels: (G,) or (G, C).
        test_labels: (T,) or (T, C) labels of all test images.
        test_logits: (T, C) answers.
        test_silent: (T,) whether the system abstained.
        test_group: (T,) group, -1 without groups.
        group_names: Names of groups.
        commonest: Commonest class of training.
        counts: Images of train, val and test.
        split: How they were split, in words.
    """

    names: tuple[str, ...]
    pixels: Array
    labels: Array
    gallery_names: tuple[str, ...]
    gallery_pixels: Array
    gallery_labels: Array
    test_labels: Array
    test_logits: Array
    test_silent: Array
    test_group: Array
    group_names: tuple[str, ...]
    commonest: int
    counts: dict[str, int]
    split: str

    ARRAYS: ClassVar[tuple[str, ...]] = (
        "pixels", "labels", "gallery_pixels", "gallery_labels", "test_labels", "test_logits", "test_silent", "test_group",
    )  # fmt: skip
    NOTES: ClassVar[tuple[str, ...]] = ("names", "gallery_names", "group_names", "commonest", "counts", "split")

    def tensors(self) -> dict[str, Array]:
        """Arrays for a model folder."""
        found = {}
        for name in self.ARRAYS:
            array = getattr(self, name)
            small = array.dtype.name in ("uint8", "int64", "float32", "bool")
            found[name] = array if small else array.astype(np.float32)
        return found

    def notes(self) -> dict[str, Any]:
        """Everything else, and the shapes of the arrays, plain."""
        found: dict[str, Any] = {name: getattr(self, name) for name in self.NOTES}
        found |= {name: list(found[name]) for name in ("names", "gallery_names", "group_names")}
        return found | {"shapes": {k: list(v.shape) for k, v in self.tensors().items()}}

    @classmethod
    def restore(
        cls,
        tensors: dict[str, Array],
        notes: dict[str, Any],
        picture: tuple[int, int, int],
        classes: int,
        multilabel: bool,
    ) -> Memory:
        """Undoes `tensors` and `notes`.

        Args:
            tensors: What `tensors` gave.
            notes: What `notes` gave.
            picture: (C, S, S) of an image.
            classes: Number of classes.
            multilabel: Whether labels are (N, C).

        Raises:
            KeyError, ValueError, TypeError: When they do not fit together or to the model.
        """
        parts: dict[str, Any] = {name: tensors[name] for name in cls.ARRAYS}
        parts |= {name: tuple(str(n) for n in notes[name]) for name in ("names", "gallery_names", "group_names")}
        made = cls(
            **parts,
            commonest=int(notes["commonest"]),
            counts={str(k): int(v) for k, v in notes["counts"].items()},
            split=str(notes["split"]),
        )
        tests = len(made.test_labels)
        wanted = {"pixels": (len(made.names), *picture), "gallery_pixels": (len(made.gallery_names), *picture)}
        wanted |= {"test_logits": (tests, classes), "test_silent": (tests,), "test_group": (tests,)}
        several = (classes,) if multilabel else ()
        counts = {"labels": len(made.names), "gallery_labels": len(made.gallery_names), "test_labels": tests}
        wanted |= {name: (count, *several) for name, count in counts.items()}
        if any(getattr(made, name).shape != shape for name, shape in wanted.items()):
            raise ValueError("arrays do not fit the model")
        most = 2 if multilabel else classes
        if any((v := getattr(made, name)).size and not (v.min() >= 0 and v.max() < most) for name in counts):
            raise ValueError("a label is of no class")
        if tests and not (made.test_group.min() >= -1 and made.test_group.max() < max(len(made.group_names), 1)):
            raise ValueError("a group has no name")
        return made


def even_rows(labels: Array, most: int, seed: int) -> Array:
    """Up to `most` rows, the same number of each class as far as there are so many, in random order within classes."""
    rng = np.random.default_rng([seed, 41])
    if labels.ndim == 2 or not len(labels):
        return np.sort(rng.permutation(len(labels))[:most])
    order = rng.permutation(len(labels))
    rank = np.zeros(len(labels), int)
    for value in np.unique(labels):
        own = order[labels[order] == value]
        rank[own] = np.arange(len(own))
    return np.sort(np.argsort(rank, kind="stable")[:most])
