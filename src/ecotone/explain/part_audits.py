"""Audits of part models: what happens without a part, and what a part's vector knows of other places.

Sources: leave-one-part-out of iFAM (arXiv 2506.08915); leakage as raised in arXiv 2605.06095: late tokens of a transformer mix
in the whole object, so that a part's vector may know more than the part shows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ecotone.contract import Check, Contributions
from ecotone.stats.bootstrap import bootstrap

Array = np.ndarray


@dataclass(frozen=True)
class PartRemoval:
    """What the model loses without each part.

    Attributes:
        accuracy: With all parts.
        drops: (K,) loss of accuracy without a part; negative where it gets better.
        low: (K,) 95 % interval over images.
        high: (K,).
        names: K names.
    """

    accuracy: float
    drops: Array
    low: Array
    high: Array
    names: tuple[str, ...]

    def evidence(self) -> Contributions:
        """As evidence."""
        return Contributions(
            title="Accuracy lost without a part",
            names=self.names,
            values=self.drops,
            lower=self.low,
            upper=self.high,
            band="95 % interval over images",
            unit="accuracy",
            note="The part is taken away at test time and the answer made anew; with all parts the accuracy is "
            f"{self.accuracy:.1%}.",
        )


def leave_one_out(
    predict: Callable[[tuple[int, ...]], Array], labels: Array, parts: int, names: Sequence[str] = (), *, seed: int = 0
) -> PartRemoval:
    """Answers without each part in turn.

    Args:
        predict: Parts to leave out -> (N,) class of each image.
        labels: (N,).
        parts: K.
        names: K names.
        seed: Of the bootstrap.
    """
    whole = predict(()) == labels
    rows = [bootstrap(whole.astype(float) - (predict((k,)) == labels), seed=seed) for k in range(parts)]
    named = tuple(names) or tuple(f"part {k + 1}" for k in range(parts))
    return PartRemoval(
        float(whole.mean()),
        np.array([r.estimate for r in rows]),
        np.array([r.low for r in rows]),
        np.array([r.high for r in rows]),
        named,
    )


@dataclass(frozen=True)
class PartLeakage:
    """How much of each part's vector comes from elsewhere.

    Attributes:
        share: (K,) mean change of the vector when everything outside the part is replaced by another image, over its length; nan
            for a part that never occurs.
        names: K names.
    """

    share: Array
    names: tuple[str, ...]

    def check(self) -> Check:
        """As evidence."""
        mean = float(np.nanmean(self.share)) if np.isfinite(self.share).any() else float("nan")
        rows = tuple(
            (n, "never seen" if np.isnan(s) else f"{s:.0%}") for n, s in zip(self.names, self.share, strict=True)
        )
        return Check(
            title="What part vectors know of other places",
            claim="A part's vector comes from the part alone",
            measured=mean,
            bound=0.0,
            unit="share of the vector's length",
            verdict="pass" if mean < 1e-6 else "note",
            details=rows,
            note="Everything outside a part was replaced by another image, its place kept. A vector that changes holds something "
            "of what lies elsewhere, as attention mixes it in; the part is then where evidence is read, not all it rests on.",
        )


@torch.inference_mode()
def part_leakage(
    vectors: Callable[[Tensor, Tensor], Tensor], images: Tensor, maps: Tensor, *, names: Sequence[str] = ()
) -> PartLeakage:
    """Replaces what lies outside each part.

    Args:
        vectors: Images (B, C, S, T) and maps (B, K, H, W) to pool with -> (B, K, D).
        images: (N, C, S, T), at least two.
        maps: (N, K, H, W) hard part maps, 0 or 1, without background.
        names: K names.
    """
    parts = maps.shape[1]
    plain = vectors(images, maps)
    other = images.roll(1, 0)
    share = np.full(parts, np.nan)
    large = torch.nn.functional.interpolate(maps.float(), size=images.shape[-2:], mode="nearest") > 0.5
    for k in range(parts):
        there = maps[:, k].flatten(1).amax(1) > 0
        if not there.any():
            continue
        swapped = torch.where(large[there, k : k + 1], images[there], other[there])
        changed = vectors(swapped, maps[there])[:, k]
        gap = (changed - plain[there, k]).norm(dim=1) / plain[there, k].norm(dim=1).clamp_min(1e-12)
        share[k] = float(gap.mean())
    return PartLeakage(share, tuple(names) or tuple(f"part {k + 1}" for k in range(parts)))
