"""How fast part models are, as ratios in one run with random weights at published sizes.

- head: forward and backward of the part head on features of a ViT-B/14 at 518 pixels (D = 768, 37 x 37 places, K = 16), beside
  the published formulation; time in turn in one process, peak memory of each in a process of its own;
- second stage: a ViT-S/14 with registers at 518 pixels with some of its patches kept, dropped for real beside hidden, for
  inference, training, and training with a gradient to the mask;
- cached: images per second of training the head on stored features, beside through the frozen ViT-S.

Letters: B images, D width, K parts.
"""

from __future__ import annotations

import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from pydantic import Field

from ecotone.bench.registry import BenchResult
from ecotone.contract import Options as BaseOptions

SIZES: dict[str, dict[str, int]] = {
    "published": {"width": 768, "grid": 37, "parts": 16, "batch": 8, "classes": 200, "pixels": 518, "images": 2, "cached": 64},
    "tiny": {"width": 32, "grid": 8, "parts": 4, "batch": 2, "classes": 5, "pixels": 32, "images": 4, "cached": 8},
}  # fmt: skip


class Options(BaseOptions):
    """Options of the benchmark.

    Attributes:
        rounds: How often all sides are timed, in turn; medians count.
        kept: Share of the patches that the second stage keeps.
        threads: Threads of torch.
        seed: Of weights, features and masks.
        sizes: "published" sizes, or "tiny" ones for tests.
    """

    rounds: int = Field(default=5, ge=1)
    kept: float = Field(default=0.3, gt=0, lt=1)
    threads: int = Field(default=2, ge=1)
    seed: int = 0
    sizes: str = Field(default="published", pattern="^(published|tiny)$")


def run(options: Options, *, progress: bool = True) -> BenchResult:
    """All races."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(options.threads)
    try:
        rows = [*head_rows(options), *stage_rows(options), *cached_rows(options)]
    finally:
        torch.set_num_threads(before)
    lines = [
        f"{r['race']:18s} {r['side']:26s} {r['seconds']:9.4f} s  {r['ratio']:7.2f} x"
        + (f"  {r['memory_mb']:8.1f} MB {r['memory_ratio']:6.2f} x" if r.get("memory_mb") else "")
        + (f"  differs by {r['difference']:.1e}" if "difference" in r else "")
        for r in rows
    ]
    return BenchResult(rows, [*lines, "ratios: how many times longer, or larger, than the first side of the race"])


# ------------------------------------------------------------------------------------------------ head
def head_step(side: str, size: Mapping[str, int], seed: int) -> Callable[[], Any]:
    """One forward and backward of the head; returns the logits."""
    import torch

    from ecotone.bench.part_plain import plain_maps, plain_pool
    from ecotone.nn.part_head import PartHead

    torch.manual_seed(seed)
    head = PartHead(size["width"], size["parts"], size["classes"], dropout=0.0, noise=False).train()
    shape = size["batch"], size["width"], size["grid"], size["grid"]
    features = torch.randn(shape).requires_grad_()  # as when tokens of the encoder learn

    def step() -> Any:
        if side == "ecotone":
            logits = head(features).logits
        else:
            pooled = plain_pool(plain_maps(features, head.prototypes), features)
            logits = head.classify(head.modulation(pooled)[:, :-1]).mean(1)
        for parameter in (features, *head.parameters()):
            parameter.grad = None
        logits.square().sum().backward()
        return logits.detach()

    return step


def head_rows(options: Options) -> list[dict[str, Any]]:
    """Time and peak memory of the head beside the published formulation."""
    size = SIZES[options.sizes]
    sides = ("ecotone", "published formulation")
    steps = {side: head_step(side, size, options.seed) for side in sides}
    difference = float((steps[sides[0]]() - steps[sides[1]]()).abs().max())
    seconds = timed(steps, options.rounds)
    memory = {side: _peak_mb(side, size, options.seed) for side in sides}
    first = sides[0]
    return [
        {
            "race": "head", "side": side, "seconds": seconds[side], "ratio": seconds[side] / seconds[first],
            "memory_mb": memory[side], "memory_ratio": memory[side] / memory[first], "difference": difference,
            **_about(options),
        }
        for side in sides
    ]  # fmt: skip


def _peak_mb(side: str, size: Mapping[str, int], seed: int) -> float:
    """Memory that a step needs beyond its inputs and weights, at its peak, MB."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_measure, (side, dict(size), seed))


def _measure(side: str, size: Mapping[str, int], seed: int) -> float:
    import torch

    from ecotone.mapping.memory import peak, resident

    torch.set_num_threads(1)
    small = {**size, "batch": 1, "grid": 2}
    head_step(side, small, seed)()  # what is loaded on first use is not the step's
    step = head_step(side, size, seed)
    before = resident() or 0
    step()
    return max((peak() or 0) - before, 1) / 1e6


# ------------------------------------------------------------------------------------------------ second stage
def stage_rows(options: Options) -> list[dict[str, Any]]:
    """Dropping patches for real beside hiding them."""
    import torch

    from ecotone.nn.encoders import build_encoder
    from ecotone.nn.vit import quota_of

    size = SIZES[options.sizes]
    net = build_encoder("vit_s14_reg4" if options.sizes == "published" else "vit_test", seed=options.seed)
    generator = torch.Generator().manual_seed(options.seed)
    images = torch.randn(size["images"], 3, size["pixels"], size["pixels"], generator=generator)
    grid = size["pixels"] // net.config.patch
    # images keep different numbers of patches, as they do in life
    shares = options.kept * (0.9 + 0.2 * torch.rand(size["images"], 1, 1, generator=generator))
    keep = torch.rand(size["images"], grid, grid, generator=generator) < shares
    extra = quota_of(~keep.flatten(1), 0.1, generator).view_as(keep)
    gate = keep.float()

    def infer(packed: bool) -> Any:
        with torch.inference_mode():
            return net(images, keep=keep, packed=packed).summary()

    def train(**how: Any) -> Any:
        net.zero_grad()
        summary = net(images, **how).summary()
        summary.square().sum().backward()
        return summary.detach()

    def learned(**how: Any) -> Any:
        return train(gate=gate.clone().requires_grad_(), **how)

    races: dict[str, dict[str, Callable[[], Any]]] = {
        "inference": {"dropped": lambda: infer(True), "hidden": lambda: infer(False)},
        "training": {
            "dropped": lambda: train(keep=keep),
            "dropped, mask learns": lambda: learned(keep=extra),
            "hidden": lambda: train(keep=keep, packed=False),
            "hidden, mask learns": lambda: learned(packed=False),
        },
    }
    rows = []
    for race, sides in races.items():
        answers = {side: step() for side, step in sides.items()}
        seconds = timed(sides, options.rounds)
        for side in sides:
            difference = float((answers[side] - answers["dropped"]).abs().max())
            rows.append(
                {
                    "race": f"second, {race}", "side": side, "seconds": seconds[side],
                    "ratio": seconds[side] / seconds["dropped"], "difference": difference,
                    "kept": float(keep.float().mean()), **_about(options),
                }
            )  # fmt: skip
    return rows


# ------------------------------------------------------------------------------------------------ cached features
def cached_rows(options: Options) -> list[dict[str, Any]]:
    """A training step of the head on stored features beside one through the frozen encoder, seconds per image."""
    import torch

    from ecotone.nn.encoders import build_encoder
    from ecotone.nn.feature_cache import cached_features
    from ecotone.nn.part_head import PartHead

    size = SIZES[options.sizes]
    net = build_encoder("vit_s14_reg4" if options.sizes == "published" else "vit_test", seed=options.seed).eval()
    torch.manual_seed(options.seed)
    head = PartHead(net.width, size["parts"], size["classes"]).train()
    learns = torch.optim.Adam(head.parameters(), lr=1e-3)
    images = torch.randn(size["images"], 3, size["pixels"], size["pixels"])
    grid = size["pixels"] // net.config.patch
    some = torch.randn(size["cached"], net.width, grid, grid)

    def step(features: Any) -> None:
        learns.zero_grad()
        head(features).logits.square().sum().backward()
        learns.step()

    def through() -> None:
        with torch.no_grad():
            features = net.maps(images)
        step(features)

    with tempfile.TemporaryDirectory() as folder:
        stored = cached_features(lambda rows: some[rows], len(some), "bench", folder)
        batch = min(16, len(some))

        def from_cache() -> None:
            step(torch.from_numpy(np.asarray(stored[:batch], dtype=np.float32)))

        seconds = timed({"cached": from_cache, "through the encoder": through}, options.rounds)
    per_image = {
        "cached": seconds["cached"] / batch,
        "through the encoder": seconds["through the encoder"] / len(images),
    }
    return [
        {"race": "cached", "side": side, "seconds": s, "ratio": s / per_image["cached"], **_about(options)}
        for side, s in per_image.items()
    ]


def timed(sides: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Median seconds of each side, all in turn, after one round that does not count."""
    found: dict[str, list[float]] = {side: [] for side in sides}
    for k in range(rounds + 1):
        for side, step in sides.items():
            start = time.perf_counter()
            step()
            if k:
                found[side].append(time.perf_counter() - start)
    return {side: statistics.median(values) for side, values in found.items()}


def _about(options: Options) -> dict[str, Any]:
    return {"seed": options.seed, "rounds": options.rounds, "threads": options.threads, "sizes": options.sizes}
