"""One door for temperatures that may be numpy arrays or torch tensors; torch is never imported for an array."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ecotone.errors import InputError

HOURS = 24


class Unit(NamedTuple):
    """A daily unit of chill or forcing: what computes it from (..., S, 24), its name on an axis, where it comes from."""

    function: Callable[..., Any]
    unit: str
    description: str


def of_kind(values: Any) -> tuple[Any, Any]:
    """The module to compute with (numpy or torch) and the values as floating point; tensors keep dtype and device."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(values, torch.Tensor):
        return torch, values if values.is_floating_point() else values.to(torch.get_default_dtype())
    values = np.asarray(values)
    return np, values if values.dtype.kind == "f" else values.astype(float)


def hours_of(hours: Any, where: str, axes: int = 1) -> tuple[Any, Any]:
    """As `of_kind`, for (..., 24) temperatures.

    Raises:
        InputError: DA404 when the last axis is not 24 hours or a needed axis is missing.
    """
    xp, x = of_kind(hours)
    if x.ndim < axes or x.shape[-1] != HOURS:
        raise InputError(
            "DA404", where, f"temperatures of shape {tuple(x.shape)}", "give (..., days, 24 hours) in degC"
        )
    return xp, x


def double(xp: Any, x: Any) -> Any:
    """Arrays as float64; tensors as they are."""
    return x.astype(np.float64) if xp is np else x


def sigmoid(xp: Any, z: Any) -> Any:
    """Logistic function that cannot overflow."""
    return 0.5 * (1 + xp.tanh(0.5 * z))


def day_sum(x: Any) -> Any:
    """Sum over the hours."""
    return x.sum(-1)


def day_mean(x: Any) -> Any:
    """Mean over the hours."""
    return x.mean(-1)
