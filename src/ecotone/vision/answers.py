"""What an image system answers, and the table made of it."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from ecotone.contract import Prediction
from ecotone.errors import EcotoneWarning, listed

Array = np.ndarray


@dataclass(frozen=True)
class Question:
    """What a question changes about how images are answered.

    Attributes:
        remove: Parts left out, from 0.
        quantile: Patches below this quantile of their part's scores in training are left out.
        regions: (N, H, W) bool, where the answer may look, in place of what the model selects; or None.
    """

    remove: tuple[int, ...] = ()
    quantile: float = 0.0
    regions: Array | None = None

    def of(self, rows: slice | Array) -> Question:
        """The same for some of the images."""
        return self if self.regions is None else replace(self, regions=self.regions[rows])


@dataclass(frozen=True)
class Answers:
    """Answers for N images.

    Attributes:
        logits: (N, C).
        part_logits: (N, K, C) evidence of each part, adding up to the logits of the stage it belongs to after division by K.
        part: (N, H, W) strongest part of each place, K for background.
        maps: (N, K + 1, H, W) part maps.
        vectors: (N, K, D) part vectors before modulation.
        stage_one: (N, C) logits of the first stage, where there are two.
    """

    logits: Array
    part_logits: Array
    part: Array
    maps: Array
    vectors: Array
    stage_one: Array | None = None

    @property
    def parts(self) -> int:
        """K."""
        return self.maps.shape[1] - 1

    @property
    def abstains(self) -> Array:
        """(N,) whether nothing but background was found."""
        return (self.part == self.parts).all((1, 2))

    def take(self, rows: Array) -> Answers:
        """Those of some images."""
        found: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            found[field.name] = None if value is None else value[rows]
        return Answers(**found)


def joined(pieces: list[Answers]) -> Answers:
    """Answers of several batches in a row."""
    found: dict[str, Any] = {}
    for f in fields(Answers):
        values = [getattr(p, f.name) for p in pieces]
        found[f.name] = None if values[0] is None else np.concatenate(values)
    return Answers(**found)


def probabilities(logits: Array, *, multilabel: bool = False) -> Array:
    """(N, C) softmax, or a sigmoid for each class where an image may have several."""
    wide = np.asarray(logits, dtype=np.float64)
    if multilabel:
        return 1 / (1 + np.exp(-np.clip(wide, -500, 500)))
    shifted = np.exp(wide - wide.max(1, keepdims=True))
    return shifted / shifted.sum(1, keepdims=True)


def table(
    names: tuple[str, ...], answers: Answers, classes: tuple[str, ...], *, multilabel: bool = False
) -> Prediction:
    """One row per image: name, label, its probability, what was selected, and the probability of each class.

    An image in which nothing but background was found gets no label, and its probabilities are nan.
    """
    chance = probabilities(answers.logits, multilabel=multilabel)
    silent = answers.abstains
    if multilabel:
        label = np.array(
            [";".join(c for c, p in zip(classes, row, strict=True) if p > 0.5) for row in chance], dtype=object
        )
    else:
        label = np.array([classes[k] for k in answers.logits.argmax(1)], dtype=object)
    confidence = chance.max(1)
    if silent.any():
        which = listed([n for n, s in zip(names, silent, strict=True) if s], 3)
        what = f"no part was found in {int(silent.sum())} of {len(names)} images, and they get no label ({which})"
        fix = "look at them; they may show nothing the model knows"
        warnings.warn(EcotoneWarning("IM710", "images", what, fix), stacklevel=2)
        label[silent], confidence, chance = "", np.where(silent, np.nan, confidence), chance.copy()
        chance[silent] = np.nan
    selected = (answers.part < answers.parts).mean((1, 2))
    return Prediction(
        arrays={
            "image": np.array(names, dtype=object),
            "label": label,
            "confidence": confidence,
            "selected": selected,
            "abstains": silent,
            "probability": chance,
        },
        units={"confidence": "1", "selected": "1", "probability": "1"},
        columns=classes,
    )
