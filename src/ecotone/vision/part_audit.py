"""Audits of a part model on the test images it keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ecotone.contract import Evidence
from ecotone.vision.answers import Answers, Question
from ecotone.vision.evidence import part_names

if TYPE_CHECKING:
    from ecotone.vision.system import ImageSystem

Array = np.ndarray


def audits(system: ImageSystem, answers: Answers) -> list[Evidence]:
    """Accuracy lost without each part, and what part vectors know of other places.

    Args:
        system: Fitted.
        answers: Its answers for the images it keeps.
    """
    import torch
    from torch.nn.functional import one_hot

    from ecotone.explain.part_audits import leave_one_out, part_leakage
    from ecotone.nn.part_maps import pool_parts

    memory, model = system.memory, system.parts_of
    names = part_names(answers.parts)
    found: list[Evidence] = []
    if memory.labels.ndim == 1:

        def without(parts: tuple[int, ...]) -> Array:
            if answers.stage_one is None:  # evidence adds up: nothing needs to be computed again
                return np.delete(answers.part_logits, parts, axis=1).sum(1).argmax(1)
            return system.answer(memory.pixels, Question(remove=parts)).logits.argmax(1)

        found.append(leave_one_out(without, memory.labels, answers.parts, names).evidence())
    if len(memory.pixels) > 1:
        images = torch.from_numpy(system.prep.normalise(memory.pixels))
        hard = one_hot(torch.from_numpy(answers.part), answers.parts + 1).permute(0, 3, 1, 2)[:, :-1].to(images.dtype)

        def vectors(batch: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
            return pool_parts(maps, model.features(batch), "mass")

        found.append(part_leakage(vectors, images, hard, names=names).check())
    return found
