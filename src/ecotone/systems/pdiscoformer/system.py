"""PDiscoFormer as a system: images and class labels in, classes with parts and additive evidence out.

Source: Aniraj, Dantas, Ienco, Marcos 2024 (arXiv 2407.04538). Differs from the published code: no noise in inference, each image
moved in its own way and compared where both pictures show it, the best epoch chosen on images held out from training.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ecotone.contract import Options
from ecotone.systems.pdiscoformer.config import PDiscoFormerConfig
from ecotone.vision.system import ImageSystem

if TYPE_CHECKING:
    from torch import nn

    from ecotone.nn.vit import ViTConfig
    from ecotone.vision.answers import Answers, Question
    from ecotone.vision.reading import Pictures


class PDiscoFormerSystem(ImageSystem):
    """Object parts found from class labels alone, and classes whose evidence adds up over the parts.

    Examples:
        >>> PDiscoFormerSystem(parts=4).config.parts
        4
    """

    name: ClassVar[str] = "pdiscoformer"
    title: ClassVar[str] = "PDiscoFormer"
    about: ClassVar[tuple[str, ...]] = (
        "Parts of objects discovered from class labels alone (Aniraj et al. 2024, arXiv 2407.04538). A class is the mean of what",
        "each part says for it. A part is where evidence is read: attention mixes in what lies around it, so nothing outside is",
        "certified to have no influence.",
    )
    Config: ClassVar[Any] = PDiscoFormerConfig
    config: PDiscoFormerConfig

    def __init__(self, config: Options | Mapping[str, Any] | None = None, **options: Any) -> None:
        given = config.model_dump(exclude_unset=True) if isinstance(config, Options) else config
        super().__init__(given, **options)
        self.config = self.config.resolved()

    @classmethod
    def new_network(cls, config: Any, encoder: ViTConfig, classes: int) -> nn.Module:
        """Encoder and part head."""
        from ecotone.vision.part_model import new_part_model

        return new_part_model(config, encoder, classes)

    def learn(self, train: Pictures, validation: Pictures, folder: Path | None) -> None:
        """Trains the parts, on features computed once where the encoder stays as it is."""
        from ecotone.vision.part_training import train_parts

        train_parts(self.network, train, validation, self.prep, self.config, folder=folder, progress=self.progress)

    def answers_of(self, images: Any, question: Question) -> Answers:
        """One forward; a part that is left out has no vote and its places are background."""
        from ecotone.vision.part_model import part_answers

        return part_answers(self.network, images, question.remove)
