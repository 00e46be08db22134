"""The card of an image model: what it is, what it was made from, what it should not be used for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ecotone.vision.system import ImageSystem


def write_card(system: ImageSystem) -> str:
    """Markdown."""
    memory, config = system.memory, system.encoder_config
    counts = ", ".join(f"{n} {k}" for k, n in memory.counts.items())
    shown = ", ".join(system.classes[:40]) + (" ..." if len(system.classes) > 40 else "")
    lines = [
        f"# {system.title}: {len(system.classes)} classes",
        "",
        *system.about,
        "",
        f"- Classes: {shown}",
        f"- Images: {counts} ({memory.split})",
        f"- Input: {system.prep.size} x {system.prep.size} pixels, {system.prep.channels} channels, fit: {system.prep.fit}",
        f"- Encoder: vision transformer, width {config.width}, depth {config.depth}, patch {config.patch}; "
        f"{'pretrained weights' if system.stored_inputs.get('pretrained') else 'trained on these images'}",
        f"- Parts: {system.config.parts}; seed: {system.config.seed}",
        f"- Holds {len(memory.names)} test and {len(memory.gallery_names)} training images: pass it on only if you may pass "
        "these on",
        "",
        "## Not for",
        "",
        "Images of another kind than those learned from; classes not listed; decisions in which a wrong label does harm, without",
        "a person looking at the parts it names.",
    ]
    return "\n".join(lines) + "\n"
