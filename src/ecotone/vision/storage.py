"""A fitted image system as a folder: weights of the network, what it keeps of its images, and how images are prepared."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ecotone.data.image_prep import Preprocessing
from ecotone.errors import InputError, IntegrityError, UsageError
from ecotone.files.model_folder import read_model, write_model
from ecotone.nn.vit import ACTIVATIONS, ViTConfig
from ecotone.vision.memory import Memory

if TYPE_CHECKING:
    from ecotone.vision.system import ImageSystem

Array = np.ndarray
NET, MEMORY = "net.", "memory."
LIMITS: dict[str, float] = {
    "parts": 256, "epochs": 10_000, "pretrain_epochs": 10_000, "image_size": 2048, "batch_size": 65_536, "twins": 64,
}  # fmt: skip
_MOST = {"image_size": 4096, "patch": 256, "width": 8192, "depth": 128, "heads": 256, "channels": 1024, "registers": 64}
_CLASSES = 100_000


def write(system: ImageSystem, folder: Path) -> None:
    """Writes the four files."""
    from ecotone.vision.card import write_card

    net = {NET + k: v.detach().cpu().numpy() for k, v in system.network.state_dict().items()}
    memory = {MEMORY + k: v for k, v in system.memory.tensors().items()}
    write_model(
        folder,
        system=system.name,
        config=system.config.model_dump(),
        tensors=net | memory,
        preprocessing={
            "images": system.prep.to_json(),
            "classes": list(system.classes),
            "multilabel": system.multilabel,
            "encoder": asdict(system.encoder_config),
            "inputs": system.stored_inputs,
            "memory": system.memory.notes(),
        },
        card=write_card(system),
    )


def read(cls: type[ImageSystem], folder: Path) -> ImageSystem:
    """Reads the four files into a system.

    Raises:
        InputError: IO101 for missing files.
        IntegrityError: IN101, IN102 for anything that is not a model of the system within the limits.
    """

    def shapes(config: dict[str, Any], preprocessing: dict[str, Any]) -> dict[str, tuple[int, ...]]:
        encoder, classes = encoder_from(preprocessing["encoder"]), _classes(preprocessing)
        with torch.device("meta"):
            blank = cls.new_network(cls.Config.parse(config), encoder, len(classes))
        found = {NET + k: tuple(v.shape) for k, v in blank.state_dict().items()}
        stored = preprocessing["memory"]["shapes"]
        if set(stored) != set(Memory.ARRAYS) or sum(math.prod(s) for s in stored.values()) > 1 << 31:
            raise ValueError("no memory of images")
        return found | {MEMORY + k: tuple(int(v) for v in s) for k, s in stored.items()}

    stored = read_model(folder, cls.name, options=cls.Config, limits=LIMITS, shapes=shapes)
    system = cls(stored.config)
    try:
        pre = stored.preprocessing
        system.prep = Preprocessing.from_json(pre["images"])
        system.classes, system.multilabel = _classes(pre), bool(pre["multilabel"])
        system.encoder_config = encoder_from(pre["encoder"])
        if system.encoder_config.channels != system.prep.channels or system.prep.size % system.encoder_config.patch:
            raise ValueError("the encoder does not read such images")
        system.stored_inputs = {str(k): v for k, v in dict(pre["inputs"]).items()}
        net = {k.removeprefix(NET): torch.from_numpy(v) for k, v in stored.tensors.items() if k.startswith(NET)}
        system.network = cls.new_network(system.config, system.encoder_config, len(system.classes))
        system.network.load_state_dict(net)
        system.network.eval()
        own = {k.removeprefix(MEMORY): v for k, v in stored.tensors.items() if k.startswith(MEMORY)}
        picture = (system.prep.channels, system.prep.size, system.prep.size)
        system.memory = Memory.restore(own, pre["memory"], picture, len(system.classes), system.multilabel)
    except (InputError, UsageError, KeyError, TypeError, ValueError, AttributeError, RuntimeError, IndexError):
        where = Path(folder) / "preprocessing.json"
        raise IntegrityError("IN102", where, "is not consistent", "use the original folder") from None
    return system


def encoder_from(stored: Mapping[str, Any]) -> ViTConfig:
    """The shape of an encoder from plain values.

    Raises:
        ValueError, TypeError, KeyError: For anything else, or more than the limits allow.
    """
    for name, most in _MOST.items():
        value = stored[name]
        if (
            not isinstance(value, int)
            or isinstance(value, bool)
            or not (name == "registers" or value > 0)
            or value > most
        ):
            raise ValueError(f"{name} is out of range")
    if stored["stem"] not in ("linear", "mlp", "conv") or stored["activation"] not in ACTIVATIONS:
        raise ValueError("unknown kind of layer")
    if stored["width"] % stored["heads"] or stored["image_size"] % stored["patch"] or not 0 < stored["hidden"] <= 16:
        raise ValueError("sizes do not fit together")
    return ViTConfig(**stored)


def _classes(preprocessing: Mapping[str, Any]) -> tuple[str, ...]:
    names = preprocessing["classes"]
    if not isinstance(names, list) or not 0 < len(names) <= _CLASSES:
        raise ValueError("no classes")
    return tuple(str(n) for n in names)
