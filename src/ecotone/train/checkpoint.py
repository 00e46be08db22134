"""Checkpoints that survive a crash at any moment.

One checkpoint is one safetensors file: tensors, and the rest of the state as JSON in its metadata, under a checksum
over both. It is written to a temporary name, fsynced, read back, and only then given its name; older files go last.
Nothing that depends on the clock enters a file, so equal runs leave equal files.
"""

from __future__ import annotations

import json
import re
import struct
import warnings
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ecotone.errors import EcotoneWarning, IntegrityError, InterruptedRunError, UsageError
from ecotone.files.atomic import atomic_path, fsync_path, jsonable, make_folder, sweep_partials

FORMAT = 1
_DTYPES: dict[torch.dtype, str] = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
_NAME = re.compile(r"(step|best)-(\d{9})\.safetensors")


@dataclass
class Checkpoint:
    """Tensors in main memory, and the JSON part of the state."""

    tensors: dict[str, Tensor]
    state: dict[str, Any]
    path: Path | None = field(default=None, compare=False)

    @property
    def step(self) -> int:
        """Steps done."""
        return int(self.state["step"])


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Writes a checkpoint atomically and makes sure it can be read before it replaces anything.

    Raises:
        InterruptedRunError: ST102 when the disk is full (with the bytes needed), ST104 when the system refuses.
        IntegrityError: IN101 when what was written does not read back.
    """
    header, names, size = _header(checkpoint)
    try:
        with atomic_path(path) as temporary:
            with temporary.open("wb") as out:
                out.write(header)
                for name in names:
                    out.write(_bytes(checkpoint.tensors[name]))
            fsync_path(temporary)
            read_checkpoint(temporary)
    except InterruptedRunError as error:
        if error.code == "ST102":
            what = f"disk full while saving a checkpoint of {size:,} bytes"
            raise InterruptedRunError("ST102", path, what, error.fix) from error
        raise


def read_checkpoint(path: Path) -> Checkpoint:
    """Reads a checkpoint and verifies its checksum.

    Raises:
        IntegrityError: IN101 when it is damaged or not a checkpoint.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as source:
            notes = source.metadata() or {}
            tensors = {name: source.get_tensor(name).clone() for name in source.keys()}  # noqa: SIM118
        if int(notes["crc32"]) != _checksum(tensors, notes["state"]):
            raise IntegrityError("IN101", path, "checksum does not match", "the file is damaged")
        state = json.loads(notes["state"])
        if (written := state.pop("format")) != FORMAT:
            raise IntegrityError("IN101", path, f"checkpoint format {written}, not {FORMAT}", "use a new --out")
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise IntegrityError("IN101", path, f"cannot be read ({error})"[:200], "the file is damaged") from error
    return Checkpoint(tensors, state, path)


def _checksum(tensors: Mapping[str, Tensor], state: str) -> int:
    crc = zlib.crc32(state.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        crc = zlib.crc32(f"{name} {_DTYPES[tensor.dtype]} {tuple(tensor.shape)}".encode(), crc)
        crc = zlib.crc32(_bytes(tensor), crc)
    return crc


def _bytes(tensor: Tensor) -> memoryview:
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data


def _header(checkpoint: Checkpoint) -> tuple[bytes, list[str], int]:
    """The start of a safetensors file, the order of its tensors (widest type first), and the size of the whole."""
    tensors = checkpoint.tensors
    for name, tensor in tensors.items():
        if tensor.dtype not in _DTYPES:
            raise UsageError("US104", name, f"tensors of type {tensor.dtype} are not stored", "use another type")
    state = json.dumps({"format": FORMAT, **checkpoint.state}, ensure_ascii=False)
    header: dict[str, Any] = {"__metadata__": {"state": state, "crc32": str(_checksum(tensors, state))}}
    names = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    end = 0
    for name in names:
        tensor = tensors[name]
        start, end = end, end + tensor.numel() * tensor.element_size()
        header[name] = {"dtype": _DTYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [start, end]}
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text, names, 8 + len(text) + end


class Shelf:
    """The checkpoints of a run folder: the newest few, and the best that they refer to.

    `step-N` holds everything needed to go on after N steps. `best-N` holds the model after N steps; it stays as long
    as a kept `step` file names it in `state["best"]["step"]`.

    Args:
        folder: Folder of the files.
        keep: How many `step` files stay.
    """

    def __init__(self, folder: Path, keep: int = 2) -> None:
        self.folder, self.keep = folder, keep
        self._best_of: dict[int, int | None] = {}

    def path(self, kind: str, step: int) -> Path:
        """Name of a file of kind "step" or "best"."""
        return self.folder / f"{kind}-{step:09d}.safetensors"

    def steps(self, kind: str) -> list[int]:
        """Steps that a file exists for, oldest first."""
        found = (_NAME.fullmatch(path.name) for path in self.folder.glob(f"{kind}-*.safetensors"))
        return sorted(int(match[2]) for match in found if match)

    def newest(self) -> Checkpoint | None:
        """The last checkpoint that reads well; sweeps what a killed process left behind.

        A damaged file is set aside with a warning, and the one before it is taken.

        Raises:
            IntegrityError: IN101 when there are checkpoints, and all are damaged.
        """
        make_folder(self.folder)
        sweep_partials(self.folder, older_than_s=float("-inf"))
        found = None
        damaged: list[str] = []
        for step in reversed(self.steps("step")):
            path = self.path("step", step)
            try:
                checkpoint = read_checkpoint(path)
                if checkpoint.step != step:
                    raise IntegrityError("IN101", path, f"holds step {checkpoint.step}", "the file was renamed")
            except IntegrityError as error:
                path.replace(path.with_name(path.name + ".damaged"))
                damaged.append(path.name)
                if found is None:
                    what, fix = f"set aside: {error.what}", "training goes on from the checkpoint before it"
                    warnings.warn(EcotoneWarning("IN101", path, what, fix), stacklevel=2)
                continue
            self._best_of[step] = (checkpoint.state.get("best") or {}).get("step")
            found = found or checkpoint
        if found is None and damaged:
            what = f"all {len(damaged)} checkpoints are damaged"
            raise IntegrityError("IN101", self.folder, what, "remove the folder to start the run anew")
        return found

    def put(self, checkpoint: Checkpoint, best: Checkpoint | None = None) -> Path:
        """Stores a checkpoint (and first the best model it names, unless that is there), then clears older files."""
        if best is not None and not self.path("best", best.step).exists():
            write_checkpoint(self.path("best", best.step), best)
        path = self.path("step", checkpoint.step)
        write_checkpoint(path, checkpoint)
        self._best_of[checkpoint.step] = (checkpoint.state.get("best") or {}).get("step")
        self._clear(checkpoint.step)
        return path

    def _clear(self, newest: int) -> None:
        kept = [step for step in self.steps("step") if step <= newest][-self.keep :]
        bests = {self._best_of.get(step) for step in kept}
        stale = [self.path("step", s) for s in self.steps("step") if s not in kept]
        stale += [self.path("best", s) for s in self.steps("best") if s not in bests]
        for path in stale:
            with suppress(OSError):
                path.unlink()


def settings_of(fingerprint: str | Mapping[str, Any]) -> dict[str, Any]:
    """A fingerprint as flat JSON settings: nested keys are joined by dots."""
    if isinstance(fingerprint, str):
        return {"fingerprint": fingerprint} if fingerprint else {}
    flat: dict[str, Any] = {}
    for key, value in fingerprint.items():
        if isinstance(value, Mapping):
            flat |= {f"{key}.{inner}": item for inner, item in settings_of(value).items()}
        else:
            flat[str(key)] = json.loads(json.dumps(jsonable(value), default=str))
    return flat


def check_settings(old: Mapping[str, Any], new: Mapping[str, Any], allow: tuple[str, ...], where: object) -> None:
    """Refuses to go on under other settings.

    Raises:
        IntegrityError: IN103 naming each changed setting, its old and its new value.
    """
    absent = "absent"
    keys = [k for k in sorted({*old, *new}) if old.get(k, absent) != new.get(k, absent) and k not in allow]
    if keys:
        diff = "; ".join(f"{key}: {_short(old.get(key, absent))} -> {_short(new.get(key, absent))}" for key in keys[:8])
        more = f"; and {len(keys) - 8} more" if len(keys) > 8 else ""
        fix = "give the old settings, or start in a new --out folder"
        raise IntegrityError("IN103", where, f"changed since the run began: {diff}{more}", fix)


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 40 else text[:18] + "..." + text[-18:]
