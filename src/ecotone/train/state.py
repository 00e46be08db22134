"""Nested training state as named tensors plus JSON, and back: what lets a checkpoint do without pickle."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ecotone.errors import IntegrityError, UsageError


def pack(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """Moves tensors out of a nested value.

    Args:
        value: Tensors, None, bools, numbers and text, in dicts (keys: text or integers), lists and tuples.
        name: Prefix of the tensors' names.
        tensors: Receives detached copies in main memory.

    Returns:
        A JSON value that `unpack` turns back.

    Raises:
        UsageError: US104 when a part is of another kind.
    """
    if isinstance(value, Tensor):
        tensors[name] = snapshot(value)
        return {"tensor": name}
    if isinstance(value, dict):
        if not all(isinstance(key, str | int) for key in value):
            raise UsageError("US104", name, "its keys are not text or integers", "store a plain dict")
        return {"map": [[key, pack(item, f"{name}/{key}", tensors)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        items = [pack(item, f"{name}/{i}", tensors) for i, item in enumerate(value)]
        return {"tuple" if isinstance(value, tuple) else "list": items}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise UsageError("US104", name, f"a {type(value).__name__} cannot be stored", "keep tensors, numbers and text")


def unpack(value: Any, tensors: dict[str, Tensor]) -> Any:
    """Undoes `pack`.

    Raises:
        IntegrityError: IN101 when the value is not of `pack`'s making.
    """
    if not isinstance(value, dict):
        return value
    match list(value.items()):
        case [("tensor", str(name))] if name in tensors:
            return tensors[name]
        case [("map", list(items))]:
            return {key: unpack(item, tensors) for key, item in items}
        case [("list", list(items))]:
            return [unpack(item, tensors) for item in items]
        case [("tuple", list(items))]:
            return tuple(unpack(item, tensors) for item in items)
    raise IntegrityError("IN101", "checkpoint", f"unknown entry {str(value)[:60]}", "start the run anew")


def snapshot(tensor: Tensor) -> Tensor:
    """A contiguous copy in main memory that later steps do not touch."""
    return tensor.detach().to("cpu", copy=True).contiguous()


def module_tensors(module: torch.nn.Module) -> dict[str, Tensor]:
    """Copies of parameters and buffers under "model/" names.

    Raises:
        UsageError: US104 when the module keeps state that is no tensor.
    """
    state = module.state_dict()
    for name, value in state.items():
        if not isinstance(value, Tensor):
            raise UsageError("US104", name, f"module state of kind {type(value).__name__}", "keep it in Task.state")
    return {f"model/{name}": snapshot(value) for name, value in state.items()}


def load_module(module: torch.nn.Module, tensors: dict[str, Tensor], where: object) -> None:
    """Copies "model/" tensors into a module.

    Raises:
        IntegrityError: IN101 when names or shapes do not fit.
    """
    state = {name.removeprefix("model/"): t for name, t in tensors.items() if name.startswith("model/")}
    own = module.state_dict()
    odd = sorted(set(state) ^ set(own)) or sorted(k for k in own if own[k].shape != state[k].shape)
    if odd:
        raise IntegrityError("IN101", where, f"does not fit the model at {odd[0]!r}", "use a new --out")
    module.load_state_dict(state)
