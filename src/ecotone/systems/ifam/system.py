"""iFAM as a system: images and class labels in, labels made from selected regions only, certified.

Source: Aniraj, Dantas, Ienco, Marcos 2025 (arXiv 2506.08915).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ecotone.contract import Evidence
from ecotone.errors import InputError, UsageError
from ecotone.systems.ifam.config import IfamAsk, IfamConfig, IfamQuery
from ecotone.vision.system import ImageSystem

if TYPE_CHECKING:
    from torch import nn

    from ecotone.nn.vit import ViTConfig
    from ecotone.systems.ifam.model import TwoStage
    from ecotone.vision.answers import Answers, Question
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

        super().check_config()
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

    def check_classes(self) -> None:
        """The second stage needs classes to tell apart."""
        if len(self.classes) < 2:
            raise InputError("IM705", "images", "there is one class only, and nothing to tell apart", "add classes")

    # -------------------------------------------------------------------------------------------- answers
    def question(self, asked: Any, query: Any, found: Pictures | None) -> Question:
        """Also how uncertain patches may be, and regions that are given.

        Raises:
            UsageError: US105 for regions without images.
            InputError: IM707 for masks that are not there, or a table without boxes where boxes are asked for.
        """
        from ecotone.systems.ifam.regions import given_regions

        base = super().question(asked, query, found)
        grid = self.prep.size // self.encoder_config.patch
        regions = given_regions(query, asked.region, found, self.prep, grid)
        return replace(base, quantile=asked.min_confidence, regions=regions)

    def answers_of(self, images: Any, question: Question) -> Answers:
        """Two forwards; the second computes what the mask keeps."""
        import torch

        from ecotone.vision.answers import Answers

        network = self.network
        out, _ = network.first(images)
        mask = network.select(out.scores, remove=question.remove, quantile=question.quantile)
        part, keep = mask.part, mask.keep
        if question.regions is not None:
            keep = torch.from_numpy(question.regions)
            part = torch.where(keep, out.maps[:, :-1].argmax(1), network.first.head.parts)
        return Answers(
            logits=network.predict(images, keep).numpy(),
            part_logits=out.part_logits.numpy(),
            part=part.numpy(),
            maps=out.maps.numpy(),
            vectors=out.vectors[:, :-1].numpy(),
            stage_one=out.logits.numpy(),
        )

    def evidence_of(self, name: str, pixels: Array, answer: Answers) -> list[Evidence]:
        """What the second stage saw, and the certificate that it saw nothing else."""
        from ecotone.systems.ifam.evidence import mask_and_certificate

        return mask_and_certificate(self, name, pixels, answer.part[0] < answer.parts)

    def audits(self, answers: Answers) -> list[Evidence]:
        """How the stages agree and what masks alone tell, besides the audits of the parts."""
        from ecotone.systems.ifam.evidence import of_model

        return [*of_model(self, answers), *super().audits(answers)]
