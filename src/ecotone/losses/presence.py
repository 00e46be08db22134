"""Presence of parts: each foreground part is fully on somewhere in a batch; background near the border of every image.

Source: PDiscoFormer (arXiv 2407.04538). Published code takes the maximum over the local batch, so that the loss depends on
how a batch is cut. Here the peaks of all pieces can be joined first, or a queue of recent peaks stands in for a larger batch.
"""

from __future__ import annotations

from collections import deque

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d


def part_peaks(maps: Tensor) -> Tensor:
    """(B, K) largest 3 x 3 mean of each foreground map in each image.

    Args:
        maps: (B, K + 1, H, W) part maps, background last.
    """
    return _smoothed(maps[:, :-1]).amax((-2, -1))


def presence(peaks: Tensor, queue: PresenceQueue | None = None, *, share: float = 0.0) -> Tensor:
    """One minus the mean over parts of their highest peaks.

    Args:
        peaks: (B, K) of `part_peaks`; join those of all devices or pieces of a batch before.
        queue: Peaks of earlier images, which count as if they were in the batch; `peaks` are added to it.
        share: Share of the images whose peaks are averaged, highest first; 0 for the highest one alone, as in the paper.
            A larger share wants each part in that many images.

    Returns:
        Scalar in [0, 1]; a peak that lies in the queue gets no gradient.
    """
    together = peaks
    if queue is not None:
        together = torch.cat([peaks, queue.rows().to(peaks)]) if len(queue) else peaks
        queue.push(peaks)
    wanted = max(1, round(share * len(together)))
    return 1 - together.topk(wanted, dim=0).values.mean()


class PresenceQueue:
    """Peaks of the images before a batch, which make small batches behave like large ones.

    Args:
        images: How many images it remembers, besides those of the batch at hand.
    """

    def __init__(self, images: int) -> None:
        self._rows: deque[Tensor] = deque(maxlen=images)

    def __len__(self) -> int:
        return len(self._rows)

    def push(self, peaks: Tensor) -> None:
        """Adds (B, K) peaks, without gradient; the oldest are forgotten."""
        self._rows.extend(peaks.detach())

    def rows(self) -> Tensor:
        """(n, K) peaks it remembers, oldest first."""
        return torch.stack(list(self._rows))


def background_presence(maps: Tensor) -> Tensor:
    """Mean over images of -log of the highest 3 x 3 mean of the background map, weighted by how near the border it lies.

    The weight of a cell is (u^2 + v^2) / 2 with u, v in [-1, 1] from border to border, so that it is 1 in the corners.

    Args:
        maps: (B, K + 1, H, W) part maps, background last.

    Returns:
        Scalar of at least 0; the logarithm is cut at -100.
    """
    smooth = _smoothed(maps[:, -1:])[:, 0]
    height, width = smooth.shape[-2:]
    v = _axis(height, smooth)[:, None]
    u = _axis(width, smooth)
    weight = u * u + v * v
    top = weight.max()
    weight = weight / top if top > 0 else torch.ones_like(weight)
    highest = (smooth * weight).amax((-2, -1))
    if highest.dtype.itemsize < 4:
        highest = highest.float()
    return -highest.clamp_min(torch.finfo(highest.dtype).tiny).log().clamp_min(-100).mean()


def _axis(count: int, like: Tensor) -> Tensor:
    if count == 1:
        return torch.zeros(1, dtype=like.dtype, device=like.device)
    return torch.linspace(-1, 1, count, dtype=like.dtype, device=like.device)


def _smoothed(maps: Tensor) -> Tensor:
    """3 x 3 means; a side shorter than 3 is taken whole."""
    return avg_pool2d(maps, (min(3, maps.shape[-2]), min(3, maps.shape[-1])), stride=1)
