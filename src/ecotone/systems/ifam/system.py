"""iFAM as a system: images and class labels in, labels made from selected regions only, certified.

Source: Aniraj, Dantas, Ienco, Marcos 2025 (arXiv 2506.08915).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ecotone.contract import Evidence, Prediction
from ecotone.errors import InputError, UsageError
from ecotone.systems.ifam.config import IfamAsk, IfamConfig, IfamQuery
from ecotone.vision.system import ImageSystem

if TYPE_CHECKING:
    from torch import nn

    from ecotone.nn.vit import ViTConfig
    from ecotone.systems.ifam.model import TwoStage
    from ecotone.vision.answers import Answers
    from ecotone.vision.part_model import PartModel
    from ecotone.vision.reading import Pictures

Array = np.ndarray


class IfamSystem(ImageSystem):
    """Labels from selected regions only: one network finds parts, a second sees nothing else.

    Examples:
        >>> IfamSystem(area=0.4).config.area
        0.4
    """

    name: ClassVar[str] = "ifam"
    title: ClassVar[str] = "iFAM"
    about: ClassVar[tuple[str, ...]] = (
        "Two stages (Aniraj et al. 2025, arXiv 2506.08915): the first finds parts, the second sees the patches of these parts",
        "and nothing else. Certified: given the mask, no pixel outside it changes the label by one bit. Not certified: the mask",
        "itself, which the first stage makes from the whole image, and whose shape and place the second stage sees.",
    )
    Config: ClassVar[Any] = IfamConfig
    Query: ClassVar[Any] = IfamQuery
    Ask: ClassVar[Any] = IfamAsk
    config: IfamConfig
    network: TwoStage
    _asked_now: IfamAsk | None = None
    _regions: Array | None = None

    @classmethod
    def new_network(cls, config: Any, encoder: ViTConfig, classes: int) -> nn.Module:
        """Part model and the encoder of the second stage."""
        import torch

        from ecotone.nn.vit import VisionTransformer
        from ecotone.systems.ifam.model import TwoStage
        from ecotone.vision.part_model import new_part_model

        if not encoder.local:
            what = "an encoder whose first layers look beyond a patch cannot be masked"
            raise UsageError("US105", "--encoder", what, "use vit_mini or a folder of DINOv2, CLIP or SigLIP weights")
        first = new_part_model(config, encoder, classes)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            return TwoStage(first, VisionTransformer(encoder) if config.stages == "separate" else None, classes)

    @property
    def parts_of(self) -> PartModel:
        """The first stage."""
        return self.network.first

    def check_config(self) -> None:
        """The first stage's encoder stays as it is, and the encoder must be one that can be masked."""
        from ecotone.nn.encoders import ENCODERS

        if self.config.trainable != "frozen":
            what = "the first stage's encoder stays as it is in iFAM"
            raise UsageError("US105", "--trainable", what, "leave it at frozen")
        if self.config.encoder in ENCODERS and not ENCODERS[self.config.encoder].local:
            what = "an encoder whose first layers look beyond a patch cannot be masked"
            raise UsageError("US105", "--encoder", what, "use vit_mini")

    def learn(self, train: Pictures, validation: Pictures, folder: Path | None) -> None:
        """Trains both stages together; the second starts as a copy of the encoder."""
        from ecotone.systems.ifam.training import train_two_stages

        if self.network.second is not None:
            self.network.second.load_state_dict(self.network.first.encoder.state_dict())
        train_two_stages(self.network, train, validation, self.prep, self.config, folder=folder, progress=self.progress)

    # -------------------------------------------------------------------------------------------- answers
    def predict(self, data: Any = None, **ask: Any) -> Prediction:
        """Classes of images, from what the mask keeps; see `ImageSystem.predict`.

        Raises:
            InputError: IM707 for masks that are not there, or a table without boxes where boxes are asked for.
        """
        self._begin(data, ask)
        try:
            return super().predict(data, **ask)
        finally:
            self._asked_now = self._regions = None

    def explain(self, data: Any = None, *, target: Any = None, **ask: Any) -> list[Evidence]:
        """As `ImageSystem.explain`, with the mask and its certificate for each image."""
        self._begin(data, ask)
        try:
            return super().explain(data, target=target, **ask)
        finally:
            self._asked_now = self._regions = None

    def answers_of(self, images: Any, remove: tuple[int, ...]) -> Answers:
        """Two forwards; the second computes what the mask keeps."""
        import torch

        from ecotone.vision.answers import Answers

        network, asked = self.network, self._asked_now
        out, _ = network.first(images)
        mask = network.select(out.scores, remove=remove, quantile=0.0 if asked is None else asked.min_confidence)
        part, keep = mask.part, mask.keep
        if self._regions is not None:
            keep = torch.from_numpy(self._regions[: len(images)])
            self._regions = self._regions[len(images) :]
            inside = out.maps[:, :-1].argmax(1)
            part = torch.where(keep, inside, network.first.head.parts)
        return Answers(
            logits=network.predict(images, keep).numpy(),
            part_logits=out.part_logits.numpy(),
            part=part.numpy(),
            maps=out.maps.numpy(),
            vectors=out.vectors[:, :-1].numpy(),
            stage_one=out.logits.numpy(),
        )

    def own_evidence(self, images: Any, names: tuple[str, ...], asked: Any) -> dict[str, list[Evidence]]:
        """Masks with certificates, and audits of the whole model."""
        from ecotone.systems.ifam import evidence
        from ecotone.vision.part_audit import audits

        answers = self.answer(images, self._removed(asked))
        found = evidence.of_images(self, images, answers.part < answers.parts, names)
        self._asked_now = None  # the model as a whole is judged as it is
        found[""] = [*evidence.of_model(self), *audits(self)]
        return found

    def _begin(self, data: Any, ask: dict[str, Any]) -> None:
        """Takes down what the question changes about the mask."""
        asked: IfamAsk = self.Ask.parse(ask)
        self._asked_now = asked
        query = self.Query() if data is None else data if isinstance(data, IfamQuery) else self.Query.parse(data)
        self._regions = None
        grid = self.prep.size // self.encoder_config.patch
        if query.masks is not None or asked.region == "boxes":
            if query.images is None:
                raise UsageError("US105", "masks and boxes", "belong to images that are given", "add --images")
            from ecotone.systems.ifam.regions import box_regions, mask_regions

            if query.masks is not None:
                self._regions = mask_regions(query, self.prep, grid)
            else:
                self._regions = box_regions(query, self.prep, self.classes, grid)
            if not self._regions.any():
                raise InputError("IM707", query.masks or query.images, "selects nothing at all", "check the masks")
