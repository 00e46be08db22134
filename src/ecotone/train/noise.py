"""Random numbers of a step as a pure function of (seed, step, rank).

Before each step the loop seeds the generators of python, numpy and torch anew, so dropout and augmentation depend on
the step alone. A resumed run therefore needs no generator state, and cannot drift from the uninterrupted one.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b

import numpy as np
import torch


def step_seed(seed: int, step: int, rank: int = 0, purpose: str = "step") -> int:
    """A seed for one step of one process.

    Args:
        seed: Seed of the run.
        step: Step, counted from 0 over the whole run.
        rank: The process; processes draw different noise.
        purpose: Keeps streams of one step apart ("step", "batch", "validate").

    Returns:
        An integer in [0, 2**63).
    """
    key = struct.pack("<qqq", seed, step, rank)
    return int.from_bytes(blake2b(key, digest_size=8, person=purpose.encode()[:16]).digest(), "little") >> 1


def reseed(value: int, device: torch.device | None = None) -> None:
    """Seeds the global generators of python, numpy and torch, and that of `device` (about 10 microseconds)."""
    random.seed(value)
    np.random.seed(value & 0xFFFFFFFF)  # noqa: NPY002  (libraries that draw from the global generator are the point)
    torch.default_generator.manual_seed(value)
    if device is not None and device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(value)
    elif device is not None and device.type == "mps":
        torch.mps.manual_seed(value)


@contextmanager
def generators_kept(device: torch.device | None = None) -> Iterator[None]:
    """Gives the caller its global generator states back at the end."""
    python, legacy, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    cuda = torch.cuda.get_rng_state(device) if device is not None and device.type == "cuda" else None
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(legacy)  # noqa: NPY002
        torch.set_rng_state(cpu)
        if cuda is not None and device is not None:
            torch.cuda.set_rng_state(cuda, device)
