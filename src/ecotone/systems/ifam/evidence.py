"""What an answer of iFAM rests on beyond its parts: the mask with its certificate, and what its silhouette alone would tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ecotone.contract import Check, Evidence, Overlay
from ecotone.explain.background_swap import swap_background
from ecotone.explain.mask_only import mask_only
from ecotone.vision.evidence import display

if TYPE_CHECKING:
    from ecotone.systems.ifam.system import IfamSystem
    from ecotone.vision.answers import Answers

Array = np.ndarray
_TELLING = 40  # masks to learn from, at least


def mask_and_certificate(system: IfamSystem, name: str, pixels: Array, keep: Array) -> list[Evidence]:
    """What the second stage saw of an image, and that nothing else changes its answer.

    Args:
        system: Fitted.
        name: Of the image.
        pixels: (C, S, S), not normalised.
        keep: (H, W) patches that the second stage saw.
    """
    step = pixels.shape[-1] // keep.shape[-1]
    images, patches = torch.from_numpy(system.prep.normalise(pixels[None])), torch.from_numpy(keep[None])
    large = patches.repeat_interleave(step, 1).repeat_interleave(step, 2)

    def answer(batch: Tensor, mask: Tensor) -> Tensor:
        return system.network.predict(batch, mask[:, ::step, ::step])

    certificate = swap_background(answer, images, large, seed=system.config.seed).check(name)
    return [mask_overlay(name, pixels, keep), certificate]


def mask_overlay(name: str, pixels: Array, keep: Array) -> Overlay:
    """What the second stage saw; the rest is veiled."""
    step = pixels.shape[-1] // keep.shape[-1]
    large = keep.repeat(step, 0).repeat(step, 1)
    return Overlay(
        title="Seen by the second stage",
        target=name,
        exact=True,
        weights=np.where(large, np.nan, 1.0)[None],
        names=("mask",),
        image=display(pixels),
        legend={1: "not seen"},
        note=f"The label was made from the {keep.mean():.0%} of the image that is not veiled, and from nothing else, given this "
        "mask.",
    )


def of_model(system: IfamSystem, answers: Answers) -> list[Evidence]:
    """What masks alone tell, and how stage one and two agree, over the test images the model keeps."""
    memory = system.memory
    found: list[Evidence] = []
    if answers.stage_one is not None:
        agree = float((answers.stage_one.argmax(1) == answers.logits.argmax(1)).mean())
        found.append(
            Check(
                title="First and second stage",
                claim="Both stages name the same class",
                measured=agree,
                bound=1.0,
                unit="share of images",
                note="Where they differ, what lies outside the mask may have swayed the first; the label is the second's.",
            )
        )
    if memory.gallery_labels.ndim == 1 and len(memory.gallery_pixels) >= _TELLING and len(memory.pixels) > 1:
        shown = system.answer(memory.gallery_pixels)
        told = mask_only(
            shown.part < shown.parts, memory.gallery_labels, answers.part < answers.parts, memory.labels,
            seed=system.config.seed,
        )  # fmt: skip
        found.append(told.check(float((answers.logits.argmax(1) == memory.labels).mean())))
    return found
