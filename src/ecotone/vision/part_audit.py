"""Audits of a part model on the test images it keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ecotone.contract import Evidence
from ecotone.vision.evidence import part_names

if TYPE_CHECKING:
    from ecotone.vision.system import ImageSystem


def audits(system: ImageSystem) -> list[Evidence]:
    """Accuracy lost without each part, and what part vectors know of other places."""
    import torch
    from torch.nn.functional import one_hot

    from ecotone.explain.part_audits import leave_one_out, part_leakage
    from ecotone.nn.part_maps import pool_parts

    memory, model = system.memory, system.parts_of
    names = part_names(system.config.parts)
    found: list[Evidence] = []
    if memory.labels.ndim == 1:

        def without(parts: tuple[int, ...]) -> np.ndarray:
            return system.answer(memory.pixels, parts).logits.argmax(1)

        found.append(leave_one_out(without, memory.labels, system.config.parts, names).evidence())
    if len(memory.pixels) > 1:
        images = torch.from_numpy(system.prep.normalise(memory.pixels))
        part = torch.from_numpy(system.answer(memory.pixels).part)
        hard = one_hot(part, system.config.parts + 1).permute(0, 3, 1, 2)[:, :-1].to(images.dtype)

        def vectors(batch: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
            return pool_parts(maps, model.features(batch), "mass")

        found.append(part_leakage(vectors, images, hard, names=names).check())
    return found
