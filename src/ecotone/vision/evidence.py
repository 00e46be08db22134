"""What an answer of a part model rests on: the parts on the image, the evidence of each for the class, training parts like them.

Letters: N images, K parts, G gallery images, S pixels of a side.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ecotone.contract import Check, Contributions, Evidence, Gallery, Overlay
from ecotone.vision.answers import probabilities

if TYPE_CHECKING:
    from ecotone.vision.answers import Answers, Question
    from ecotone.vision.system import ImageSystem

Array = np.ndarray
NEIGHBOURS, STRONGEST, CROP = 4, 2, 64


def explain(
    system: ImageSystem, names: tuple[str, ...], pixels: Array, labels: Array, question: Question, most: int
) -> list[Evidence]:
    """Evidence image by image, for up to `most` of them.

    Args:
        system: Fitted.
        names: N names.
        pixels: (N, C, S, S), not normalised.
        labels: (N,) classes, -1 unknown, or (N, C).
        question: How they are answered.
        most: Largest number of images.
    """
    answers = system.answer(pixels, question)
    gallery, found = _GalleryParts(system), list[Evidence]()
    for i in _chosen(answers, labels, most):
        answer = answers.take(np.array([i]))
        found += of_image(system, names[i], pixels[i], labels[i], answer, gallery)
        found += system.evidence_of(names[i], pixels[i], answer)
    return found


def whole_model(system: ImageSystem) -> list[Evidence]:
    """How much of the kept test images each part takes, in how many it occurs, and what the audits find."""
    answers = system.answer(system.memory.pixels)
    part = answers.part
    share = np.array([(part == k).mean() for k in range(answers.parts)])
    there = np.array([(part == k).any((1, 2)).mean() for k in range(answers.parts)])
    names = part_names(answers.parts)
    unused = [n for n, t in zip(names, there, strict=True) if t == 0]
    used = Check(
        title="Parts that are used",
        claim="Every part occurs in some image",
        measured=float((there > 0).sum()),
        bound=float(answers.parts),
        unit="parts",
        verdict="pass" if not unused else "note",
        details=tuple(
            (n, f"in {t:.0%} of images, {s:.1%} of their area") for n, t, s in zip(names, there, share, strict=True)
        ),
        note=f"Over {len(part)} test images. " + (f"Never seen: {', '.join(unused)}." if unused else ""),
    )
    occurrence = Contributions(
        title="Images in which a part occurs",
        names=names,
        values=there,
        unit="share of images",
        note="A part that all images share is a part of the object; one that few share may be a mark of a class, or of the "
        "background.",
    )
    return [used, occurrence, *system.audits(answers)]


def of_image(
    system: ImageSystem, name: str, pixels: Array, label: Array, answer: Answers, gallery: _GalleryParts
) -> list[Evidence]:
    """Parts, additive evidence and the nearest training parts of one image."""
    if bool(answer.abstains[0]):
        nothing = Check(
            title="Nothing was selected",
            target=name,
            exact=True,
            claim="Some part was found in the image",
            measured=0.0,
            bound=1.0,
            unit="places",
            verdict="fail",
            note="Every place was taken for background, so that there is no label. Logits of an empty selection say nothing of "
            "it.",
        )
        return [nothing, parts_overlay(name, "Parts found", pixels, answer)]
    stage = answer.logits if answer.stage_one is None else answer.stage_one
    which = int(answer.logits[0].argmax())
    said = system.classes[which]
    chance = float(probabilities(answer.logits, multilabel=system.multilabel)[0, which])
    truth = _truth(system, label)
    heading = f"{said} ({chance:.0%})" + (f", truth: {truth}" if truth else "")
    terms = answer.part_logits[0, :, which] / answer.parts
    first = "" if answer.stage_one is None else " of the first stage"
    found: list[Evidence] = [parts_overlay(name, f"Parts: {heading}", pixels, answer)]
    found.append(
        Contributions(
            title=f"Evidence for {said}{first}, part by part",
            target=name,
            exact=answer.stage_one is None,
            names=part_names(answer.parts),
            values=terms.astype(float),
            additive=True,
            total=float(stage[0, which]),
            unit="logit",
            note="The logit is the sum of these terms; the background has no vote."
            + (
                ""
                if answer.stage_one is None
                else " The label comes from the second stage, which sees the selection only."
            ),
        )
    )
    return [*found, *gallery.nearest(name, answer, np.argsort(-terms)[:STRONGEST])]


def parts_overlay(name: str, title: str, pixels: Array, answer: Answers) -> Overlay:
    """Which part each place belongs to, on the image."""
    side = pixels.shape[-1]
    part = answer.part[0]
    large = part.repeat(side // part.shape[0], 0).repeat(side // part.shape[1], 1).astype(float)
    large[large == answer.parts] = np.nan
    return Overlay(
        title=title,
        target=name,
        exact=True,
        weights=large[None] + 1,
        names=("parts",),
        image=display(pixels),
        legend={k + 1: n for k, n in enumerate(part_names(answer.parts))},
        note="Colours are parts; what has none was taken for background.",
    )


def part_names(count: int) -> tuple[str, ...]:
    """Names of K parts."""
    return tuple(f"part {k + 1}" for k in range(count))


def display(pixels: Array) -> Array:
    """(C, H, W) of any type -> (H, W, 3) uint8 to look at; other than bytes are stretched between their percentiles."""
    shown = pixels[:3] if pixels.shape[0] >= 3 else pixels[:1].repeat(3, 0)
    if shown.dtype != np.uint8 and not (shown.min() >= 0 and shown.max() <= 255 and float(shown.max()) > 1.5):
        low, high = np.percentile(shown, [2, 98])
        shown = (shown.astype(float) - low) / max(high - low, 1e-9) * 255
    return np.clip(shown, 0, 255).astype(np.uint8).transpose(1, 2, 0)


class _GalleryParts:
    """Parts of the training images that the model keeps; worked out when first asked for."""

    def __init__(self, system: ImageSystem) -> None:
        self.system = system
        self._found: Answers | None = None

    def nearest(self, name: str, answer: Answers, parts: Array) -> list[Evidence]:
        """A gallery for each of some parts: the part itself, then the training parts most like it."""
        found = []
        for k in parts:
            if not (answer.part[0] == k).any():
                continue
            gallery = self._of(name, answer, int(k))
            found += [gallery] if gallery is not None else []
        return found

    def _of(self, name: str, answer: Answers, k: int) -> Evidence | None:
        kept, memory = self._answers(), self.system.memory
        there = np.flatnonzero((kept.part == k).any((1, 2)))
        if not there.size:
            return None
        query, others = _unit(answer.vectors[0, k]), _unit(kept.vectors[there, k])
        likeness = others @ query
        best = np.argsort(-likeness, kind="stable")[:NEIGHBOURS]
        rows = there[best]
        captions = []
        for i in rows:
            words = self.system.classes[int(memory.gallery_labels[i])] if memory.gallery_labels.ndim == 1 else ""
            captions.append(words or memory.gallery_names[i])
        return Gallery(
            title=f"Training images whose part {k + 1} is most like this one's",
            target=name,
            images=np.stack([crop(display(memory.gallery_pixels[i]), kept.part[i] == k) for i in rows]),
            captions=tuple(captions),
            similarity=likeness[best].astype(float),
            note="Cut out around the part; the number is the cosine of the part vectors.",
        )

    def _answers(self) -> Answers:
        if self._found is None:
            self._found = self.system.answer(self.system.memory.gallery_pixels)
        return self._found


def crop(image: Array, where: Array) -> Array:
    """(64, 64, 3) of an (S, S, 3) image around the places of an (H, W) mask, with some of what lies about it."""
    from PIL import Image

    side, cells = image.shape[0], where.shape[0]
    rows, columns = np.flatnonzero(where.any(1)), np.flatnonzero(where.any(0))
    step = side / cells
    top, bottom, left, right = rows[0] * step, (rows[-1] + 1) * step, columns[0] * step, (columns[-1] + 1) * step
    half = min(max(bottom - top, right - left, side / 4) / 2 * 1.15, side / 2)
    cy = float(np.clip((top + bottom) / 2, half, side - half))
    cx = float(np.clip((left + right) / 2, half, side - half))
    picture = Image.fromarray(image)
    return np.asarray(
        picture.resize((CROP, CROP), Image.Resampling.BILINEAR, box=(cx - half, cy - half, cx + half, cy + half))
    )


def _unit(vectors: Array) -> Array:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def _truth(system: ImageSystem, label: Any) -> str:
    if np.ndim(label):
        return "; ".join(system.classes[c] for c in np.flatnonzero(label))
    return system.classes[int(label)] if label >= 0 else ""


def _chosen(answers: Answers, labels: Array, most: int) -> list[int]:
    """Images to show: right and wrong answers in turn, of as many classes as there are."""
    found = answers.logits.argmax(1)
    if labels.ndim == 2 or (labels < 0).any():
        return list(range(min(most, len(found))))
    right, wrong = np.flatnonzero(found == labels), np.flatnonzero(found != labels)
    spread = []
    for rows in (right, wrong):
        seen: dict[int, int] = {}
        order = [(seen.setdefault(int(labels[i]), 0), i) for i in rows]
        ranked = []
        for _, i in order:
            ranked.append((seen[int(labels[i])], i))
            seen[int(labels[i])] += 1
        spread.append([int(i) for _, i in sorted(ranked, key=lambda r: (r[0], r[1]))])
    chosen = []
    while len(chosen) < most and any(spread):
        for rows in (spread[0], spread[0], spread[1]):
            if rows and len(chosen) < most:
                chosen.append(rows.pop(0))
    return sorted(chosen)
