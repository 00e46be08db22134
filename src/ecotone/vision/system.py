"""The part of an image classifier with parts that does not depend on its method: reading, answering, scoring, storing.

A method says what its network is, how it learns, and what its answers are; see `ecotone.systems.pdiscoformer` and
`ecotone.systems.ifam`. What needs torch is imported where it is used.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from ecotone.contract import Evidence, Prediction, Scores, System
from ecotone.errors import UsageError
from ecotone.vision import reading
from ecotone.vision.options import Ask, Inputs, Query

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

    from ecotone.data.image_prep import Preprocessing
    from ecotone.nn.vit import ViTConfig
    from ecotone.vision.answers import Answers, Question
    from ecotone.vision.memory import Memory
    from ecotone.vision.part_model import PartModel
    from ecotone.vision.reading import Pictures

Array = np.ndarray
_BATCH = 64


class ImageSystem(System):
    """Base of systems that classify images by parts."""

    Inputs: ClassVar[Any] = Inputs
    Query: ClassVar[Any] = Query
    Ask: ClassVar[Any] = Ask
    title: ClassVar[str]
    about: ClassVar[tuple[str, ...]]

    network: Any  # the whole network, an nn.Module
    classes: tuple[str, ...]
    multilabel: bool
    prep: Preprocessing
    encoder_config: ViTConfig
    memory: Memory
    stored_inputs: dict[str, Any]

    # -------------------------------------------------------------------------------------------- what a method says
    @classmethod
    def new_network(cls, config: Any, encoder: ViTConfig, classes: int) -> nn.Module:
        """The untrained network."""
        raise NotImplementedError

    def learn(self, train: Pictures, validation: Pictures, folder: Path | None) -> None:
        """Trains `network`, whose encoder has its weights."""
        raise NotImplementedError

    def answers_of(self, images: Any, question: Question) -> Answers:
        """Answers for a batch of normalised images."""
        raise NotImplementedError

    def evidence_of(self, name: str, pixels: Array, answer: Answers) -> list[Evidence]:
        """Further evidence of one image; none by default."""
        return []

    def audits(self, answers: Answers) -> list[Evidence]:
        """Further evidence of the whole model, given its answers for the test images it keeps."""
        from ecotone.vision.part_audit import audits

        return audits(self, answers)

    @property
    def parts_of(self) -> PartModel:
        """The part model within the network."""
        return self.network

    # -------------------------------------------------------------------------------------------- fit
    def input_files(self, inputs: Any) -> list[Path]:
        """The files `fit` will read."""
        return reading.input_files(inputs)

    def fit(self, data: Any, *, validation: Any = None, run: Any = None) -> Self:
        """Learns from images and their classes.

        Args:
            data: `Inputs`, or a mapping of its fields.
            validation: Not used; a tenth of the images, or those marked so, choose the best epoch.
            run: The run folder; training goes on there where it was interrupted.

        Raises:
            InputError: For images, folders and tables that cannot be used.
            UsageError: For options that cannot work here.
        """
        from ecotone.vision.pretrain import pretrain

        inputs = data if isinstance(data, Inputs) else Inputs.parse(data)
        self.check_config()
        encoder, patch, size, statistics = self._encoder(inputs)
        if size % patch:
            whole = max(1, size // patch) * patch
            what = f"{size} is no multiple of the encoder's patch, {patch}"
            raise UsageError("US104", "--image-size", what, f"use {whole} or {whole + patch}")
        pictures, self.classes, self.prep, found = reading.read_for_fit(
            inputs, self.config, size, statistics, progress=self.progress
        )
        self.multilabel = found.multilabel
        self.check_classes()
        encoder = encoder(self.prep.channels)
        train, held = pictures.of("train"), pictures.of("val")
        folder = None if run is None else Path(run.path)
        if inputs.weights is None and self.config.pretrain_epochs:
            pretrain(
                encoder, train.pixels, train.labels, len(self.classes), self.prep, epochs=self.config.pretrain_epochs,
                seed=self.config.seed, folder=None if folder is None else folder / "checkpoints" / "encoder",
                progress=self.progress,
            )  # fmt: skip
        self.encoder_config = encoder.config
        self.network = self.new_network(self.config, encoder.config, len(self.classes))
        self.parts_of.encoder.load_state_dict(encoder.state_dict())
        self.learn(train, held, folder)
        self.network.eval()
        given = bool((found.split.astype(str) != "").any())
        self.stored_inputs = {"pretrained": inputs.weights is not None, "limit": inputs.limit}
        self._remember(pictures, "as given" if given else f"20 % of each class held out, seed {self.config.seed}")
        return self

    def _encoder(self, inputs: Inputs) -> tuple[Callable[[int], Any], int, int, reading.Statistics | None]:
        """How to make the encoder for a number of channels, its patch, the side of the input, and colours it expects."""
        from ecotone.nn import encoders, pretrained

        name, size, seed = self.config.encoder, self.config.image_size, self.config.seed
        if inputs.weights is None:
            shape = encoders.shape_of(name)
            side = size or shape.image_size
            return partial(encoders.build_encoder, name, image_size=side, seed=seed), shape.patch, side, None
        place = pretrained.weights_folder(inputs.weights, revision=inputs.revision)
        model = pretrained.load_vit(place)
        adapted = partial(pretrained.adapt_channels, model)
        return adapted, model.config.patch, size or model.config.image_size, pretrained.pixel_statistics(place)

    def check_config(self) -> None:
        """Refuses options that cannot work (US105)."""
        if not self.config.weights():
            raise UsageError("US105", "weights of losses", "are all 0", "leave at least one above 0")

    def check_classes(self) -> None:
        """Refuses classes that cannot be learned (IM705)."""
        from ecotone.errors import InputError

        if len(self.classes) < 2 and self.config.classification:
            what = "there is one class only, and nothing to tell apart"
            raise InputError("IM705", "images", what, "add classes, or find parts alone with --classification 0")

    def _remember(self, pictures: Pictures, split: str) -> None:
        from ecotone.vision.memory import EXAMPLES, GALLERY, Memory, even_rows

        test, train = pictures.of("test"), pictures.of("train")
        answers = self.answer(test.pixels)
        shown = test.take(even_rows(test.labels, EXAMPLES, self.config.seed))
        kept = train.take(even_rows(train.labels, GALLERY, self.config.seed))
        counts = train.labels.sum(0) if train.labels.ndim == 2 else np.bincount(train.labels)
        group = test.group if test.group is not None else np.full(len(test), -1)
        self.memory = Memory(
            names=shown.names, pixels=shown.pixels, labels=shown.labels,
            gallery_names=kept.names, gallery_pixels=kept.pixels, gallery_labels=kept.labels,
            test_labels=test.labels, test_logits=answers.logits.astype(np.float32), test_silent=answers.abstains,
            test_group=group.astype(np.int64), group_names=test.group_names, commonest=int(counts.argmax()),
            counts={k: int((pictures.split == k).sum()) for k in ("train", "val", "test")}, split=split,
        )  # fmt: skip

    # -------------------------------------------------------------------------------------------- predict
    def answer(self, pixels: Array, question: Question | None = None) -> Answers:
        """Answers for (N, C, S, S) images that are not normalised, a few at a time."""
        import torch

        from ecotone.vision.answers import Question, joined

        question = question or Question()

        pieces = []
        with torch.inference_mode():
            for start in range(0, max(len(pixels), 1), _BATCH):
                rows = slice(start, start + _BATCH)
                batch = torch.from_numpy(self.prep.normalise(pixels[rows]))
                pieces.append(self.answers_of(batch, question.of(rows)))
        return joined(pieces)

    def predict(self, data: Any = None, **ask: Any) -> Prediction:
        """Classes of images.

        Args:
            data: `Query` or a mapping of its fields; nothing for the kept test images of `fit`.
            **ask: Fields of `Ask`.

        Returns:
            One row per image: image, label, confidence (its probability), selected (share of the image that belongs to a part),
            abstains (nothing but background was found, so there is no label), and the probability of each class.
        """
        from ecotone.vision.answers import table

        asked, query = self.Ask.parse(ask), self._query(data)
        names, pixels, found = self._asked(query)
        answers = self.answer(pixels, self.question(asked, query, found))
        return table(names, answers, self.classes, multilabel=self.multilabel)

    def question(self, asked: Any, query: Query, found: Pictures | None) -> Question:
        """What a question changes, checked.

        Args:
            asked: The question.
            query: What is read.
            found: Its images, or None for those the model keeps.

        Raises:
            UsageError: US104 for a part that is not there.
        """
        from ecotone.vision.answers import Question

        for k in asked.remove:
            if not 1 <= k <= self.config.parts:
                raise UsageError("US104", "--remove", f"there is no part {k}", f"parts are 1 to {self.config.parts}")
        return Question(remove=tuple(k - 1 for k in asked.remove))

    def _query(self, data: Any) -> Query:
        return self.Query() if data is None else data if isinstance(data, Query) else self.Query.parse(data)

    def _asked(self, query: Query) -> tuple[tuple[str, ...], Array, Pictures | None]:
        if query.images is None:
            return self.memory.names, self.memory.pixels, None
        found = reading.read_for_question(query, self.prep, self.classes)
        return found.names, found.pixels, found

    # -------------------------------------------------------------------------------------------- evidence
    def explain(self, data: Any = None, *, target: Any = None, **ask: Any) -> list[Evidence]:
        """What the answers rest on, image by image, after what holds for the whole model.

        Args:
            data: `Query` or a mapping of its fields; nothing for the kept test images of `fit`.
            target: Name of an image; by default the first few, right and wrong answers in turn.
            **ask: Fields of `Ask`.

        Raises:
            UsageError: US101 for an image that is not there.
        """
        from ecotone.vision.evidence import explain, whole_model

        asked, query = self.Ask.parse(ask), self._query(data)
        names, pixels, found = self._asked(query)
        labels = self.memory.labels if found is None else found.labels
        question = self.question(asked, query, found)
        if target is not None:
            rows = np.array([reading.row_of(names, str(target))])
            names, pixels, labels, question = (str(target),), pixels[rows], labels[rows], question.of(rows)
        shown = explain(self, names, pixels, labels, question, asked.shown)
        return [*(whole_model(self) if found is None else []), *shown]

    def tables(self) -> dict[str, pd.DataFrame]:
        """Answers for all test images, and how classes are taken for each other."""
        import pandas as pd

        if self.multilabel:
            return {}
        found = self.memory.test_logits.argmax(1)
        counts = np.zeros((len(self.classes), len(self.classes)), int)
        np.add.at(counts, (self.memory.test_labels, found), 1)
        frame = pd.DataFrame(counts, columns=pd.Index([f"named {c}" for c in self.classes]))
        frame.insert(0, "class", list(self.classes))
        return {"confusion": frame}

    # -------------------------------------------------------------------------------------------- scores
    def evaluate(self, data: Any = None) -> Scores:
        """Accuracy with intervals over images.

        Args:
            data: Nothing for the test images of `fit`; `Query` for others, in folders or tables that name their classes.

        Raises:
            InputError: OC205 when no image has a known class.
        """
        from ecotone.vision.scores import score

        memory, query = self.memory, self._query(data)
        if query.images is None:
            group = memory.test_group if (memory.test_group >= 0).any() else None
            return score(
                memory.test_labels, memory.test_logits, self.classes, split=memory.split, commonest=memory.commonest,
                group=group, group_names=memory.group_names, silent=memory.test_silent,
            )  # fmt: skip
        found = reading.read_for_question(query, self.prep, self.classes)
        answers = self.answer(found.pixels, self.question(self.Ask(), query, found))
        return score(
            found.labels, answers.logits, self.classes, split="images given", commonest=memory.commonest,
            group=found.group, group_names=found.group_names, silent=answers.abstains,
        )  # fmt: skip

    # -------------------------------------------------------------------------------------------- storing
    def save(self, folder: Path) -> None:
        """Writes model.safetensors, config.json, preprocessing.json and card.md."""
        from ecotone.vision import storage

        storage.write(self, Path(folder))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Reads what `save` wrote."""
        from ecotone.vision import storage

        return storage.read(cls, Path(folder))  # type: ignore[return-value]
