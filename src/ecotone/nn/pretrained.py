"""Vision transformers with weights of others: DINOv2 with and without registers, the image towers of CLIP and SigLIP.

Reads folders as transformers writes them (config.json, model.safetensors or its index), without importing transformers; a name on
the Hugging Face hub needs a pinned revision. Pickles are refused: loading one runs code.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ecotone.data.image_prep import IMAGENET
from ecotone.errors import InputError, IntegrityError, MissingDependencyError, UsageError
from ecotone.files.bounded import read_json
from ecotone.files.model_folder import read_tensors
from ecotone.nn.vit import VisionTransformer, ViTConfig

_MAX_CONFIG = 1 << 20
_MOST = {"width": 8192, "depth": 128, "heads": 256, "image_size": 4096, "patch": 256, "registers": 64, "channels": 1024}
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
_FAMILIES = {
    "dinov2": "dinov2",
    "dinov2_with_registers": "dinov2",
    "clip": "clip",
    "clip_vision_model": "clip",
    "siglip": "siglip",
    "siglip_vision_model": "siglip",
}
_STATISTICS = {
    "dinov2": IMAGENET,
    "clip": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    "siglip": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}
_WRAPPERS = re.compile(r"^(?:(?:model|vision_model|dinov2|dinov2_with_registers|vision_tower)\.)+")
_OTHER_TOWERS = re.compile(r"^(?:text_model|text_projection|visual_projection|logit_|classifier|decoder)")
_ACTIVATIONS = {"gelu": "gelu", "quick_gelu": "quick_gelu", "gelu_pytorch_tanh": "gelu_tanh"}


def weights_folder(source: str | Path, *, revision: str | None = None) -> Path:
    """The folder of weights that is meant: the one given, that of a safetensors file, or one fetched from the hub.

    Args:
        source: A folder, its model.safetensors, or a name on the hub such as facebook/dinov2-with-registers-small.
        revision: Commit on the hub, 40 hexadecimal digits.

    Raises:
        InputError: IO101 when it is not there, IM709 for a pickle or a file of another kind.
        UsageError: US105 for a name on the hub without a revision.
        MissingDependencyError: MD101 when the hub is asked for and its library is not installed.
    """
    folder = Path(source)
    if folder.is_dir():
        return folder
    if not folder.is_file():
        return _from_hub(str(source), revision)
    if folder.name == "model.safetensors":
        return folder.parent
    _no_pickle(folder.parent, folder)
    raise InputError(
        "IM709", folder, "holds no weights that are read here", "pass a folder with config.json and model.safetensors"
    )


def pixel_statistics(folder: str | Path) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and spread of each channel that the weights of a folder expect, after scaling to 0..1.

    From preprocessor_config.json where there is one, else what the models of the family are published with.

    Raises:
        IntegrityError: IN102 for a file that holds something else.
    """
    place = Path(folder) / "preprocessor_config.json"
    family = _FAMILIES.get(str(read_json(Path(folder) / "config.json", _MAX_CONFIG).get("model_type")), "dinov2")
    mean, std = _STATISTICS[family]
    if place.is_file():
        stored = read_json(place, _MAX_CONFIG)
        mean, std = stored.get("image_mean", mean), stored.get("image_std", std)
    try:
        found = tuple(float(v) for v in mean), tuple(float(v) for v in std)
    except (TypeError, ValueError):
        raise IntegrityError("IN102", place, "gives no mean and spread of channels", "use the original file") from None
    if (
        len(found[0]) != len(found[1])
        or not all(0 < s < 1e6 for s in found[1])
        or not all(abs(m) < 1e6 for m in found[0])
    ):
        raise IntegrityError("IN102", place, "gives no mean and spread of channels", "use the original file")
    return found


def load_vit(source: str | Path, *, revision: str | None = None) -> VisionTransformer:
    """A vision transformer with stored weights, in evaluation mode; arguments and errors as `weights_folder`.

    Raises:
        InputError: IO101 for missing files, IM709 for weights of another architecture or kept as pickles.
        IntegrityError: IN101 for a damaged file.
    """
    folder = weights_folder(source, revision=revision)
    config_path = folder / "config.json"
    if not config_path.is_file():
        _no_pickle(folder)
        raise InputError("IO101", config_path, "not found", "pass a folder with config.json and model.safetensors")
    settings = read_json(config_path, _MAX_CONFIG)
    family, config = _configuration(settings, config_path)
    state = _renamed(_weights(folder), family, config, folder)
    model = VisionTransformer(config)
    expected = {name: tuple(p.shape) for name, p in model.state_dict().items()}
    for name, shape in expected.items():
        if name not in state:
            raise InputError("IM709", folder, f"weights lack {name}", "use the folder of a whole model")
        if tuple(state[name].shape) != shape:
            what = f"{name} has shape {tuple(state[name].shape)}, its config.json says {shape}"
            raise InputError("IM709", folder, what, "use weights and config.json of one model")
    model.load_state_dict({name: state[name] for name in expected})
    return model.eval()


def adapt_channels(model: VisionTransformer, channels: int) -> VisionTransformer:
    """The model itself, or a copy that reads another number of channels: weights of the projection of patches are averaged.

    Scaled so that an image with equal channels gives what a grey image gave before.

    Raises:
        UsageError: US104 for a stem that is not linear.
    """
    config = model.config
    if config.channels == channels:
        return model
    if config.stem != "linear":
        raise UsageError("US104", "channels", "only a linear stem can be adapted", f"use {config.channels} channels")
    made = VisionTransformer(ViTConfig(**{**config.__dict__, "channels": channels}))
    state = model.state_dict()
    weight = state["stem.project.weight"].view(config.width, config.channels, -1)
    mean = weight.sum(1, keepdim=True) / channels
    state["stem.project.weight"] = mean.expand(-1, channels, -1).reshape(config.width, -1)
    made.load_state_dict(state)
    return made.eval()


def _from_hub(name: str, revision: str | None) -> Path:
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        raise InputError("IO101", name, "no such folder", "pass a folder, or a name on the hub such as owner/model")
    if revision is None or not re.fullmatch(r"[0-9a-f]{40}", revision):
        what = "a model on the hub needs a pinned revision"
        raise UsageError("US105", name, what, "give the 40-digit commit of the model")
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        fix = 'pip install "ecotone[pretrained]"'
        raise MissingDependencyError("MD101", "huggingface_hub", "is not installed", fix) from None
    try:
        found = snapshot_download(name, revision=revision, allow_patterns=["*.json", "*.safetensors"])
    except Exception as error:  # the library raises many kinds, all of which mean: could not be had
        what = f"could not be fetched ({type(error).__name__})"
        raise InputError("IO101", name, what, "check the name and the connection, or pass a folder") from None
    return Path(found)


def _configuration(settings: Mapping[str, Any], where: Path) -> tuple[str, ViTConfig]:
    kind = settings.get("model_type")
    inner = settings.get("vision_config")
    vision: Mapping[str, Any] = inner if isinstance(inner, dict) else settings
    family = _FAMILIES.get(str(kind))
    if family is None:
        known = ", ".join(sorted(_FAMILIES))
        raise InputError("IM709", where, f"model type {str(kind)[:40]!r} is not read here", f"use one of {known}")
    if vision.get("use_swiglu_ffn"):
        raise InputError(
            "IM709", where, "hidden layers with a gate are not read here", "use the small, base or large model"
        )
    numbers = {
        "width": ("hidden_size", 768),
        "depth": ("num_hidden_layers", 12),
        "heads": ("num_attention_heads", 12),
        "image_size": ("image_size", 224),
        "patch": ("patch_size", 16 if family != "clip" else 32),
        "channels": ("num_channels", 3),
        "registers": ("num_register_tokens", 4 if kind == "dinov2_with_registers" else 0),
    }
    found: dict[str, Any] = {}
    for ours, (theirs, default) in numbers.items():
        value = vision.get(theirs, default)
        low = 0 if ours == "registers" else 1
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= _MOST[ours]:
            raise IntegrityError("IN102", where, f"{theirs} is {value!r}", "use the original config.json")
        found[ours] = value
    activation = _ACTIVATIONS.get(str(vision.get("hidden_act", "quick_gelu" if family == "clip" else "gelu")))
    if family == "siglip" and "hidden_act" not in vision:
        activation = "gelu_tanh"
    if activation is None:
        raise InputError(
            "IM709", where, f"activation {vision.get('hidden_act')!r} is not read here", "use another model"
        )
    if family == "dinov2":
        hidden = vision.get("mlp_ratio", 4)
    else:
        hidden = vision.get("intermediate_size", 4 * found["width"]) / found["width"]
    if not isinstance(hidden, int | float) or not 0 < hidden <= 16 or found["width"] % found["heads"]:
        raise IntegrityError("IN102", where, "widths do not fit together", "use the original config.json")
    eps = vision.get("layer_norm_eps", 1e-5 if family == "clip" else 1e-6)
    return family, ViTConfig(
        **found,
        hidden=hidden,
        class_token=family != "siglip",
        pre_norm=family == "clip",
        patch_bias=family != "clip",
        layer_scale=1.0 if family == "dinov2" else None,
        activation=activation,  # type: ignore[arg-type]
        eps=float(eps),
        antialias=kind == "dinov2_with_registers",
    )


def _weights(folder: Path) -> dict[str, np.ndarray]:
    whole, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if whole.is_file():
        return read_tensors(whole)
    if not index.is_file():
        _no_pickle(folder)
        raise InputError("IO101", whole, "not found", "pass a folder with config.json and model.safetensors")
    shards = read_json(index, _MAX_CONFIG * 8).get("weight_map")
    if not isinstance(shards, dict):
        raise IntegrityError("IN101", index, "lists no weights", "use the original file")
    found: dict[str, np.ndarray] = {}
    for name in sorted({str(v) for v in shards.values()}):
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise IntegrityError("IN101", index, f"names a file elsewhere ({name[:60]!r})", "use the original file")
        found |= read_tensors(folder / name, inside=folder)
    return found


def _no_pickle(folder: Path, only: Path | None = None) -> None:
    for pattern in _PICKLES:
        for path in sorted(p for p in folder.glob(pattern) if only in (None, p)):
            what = "is a pickle, which can run code when it is read"
            raise InputError("IM709", path, what, "convert it to model.safetensors where you trust it")


def _renamed(raw: Mapping[str, np.ndarray], family: str, config: ViTConfig, where: Path) -> dict[str, Tensor]:
    """Our names, from the first of several spellings that is there."""
    tensors = {_WRAPPERS.sub("", name): array for name, array in raw.items() if not _OTHER_TOWERS.match(name)}

    def take(*names: str) -> Tensor:
        for name in names:
            if name in tensors:
                return torch.from_numpy(np.asarray(tensors[name], dtype=np.float32).copy())
        raise InputError("IM709", where, f"weights lack {names[0]}", "use the folder of a whole model of this type")

    dino, clip = family == "dinov2", family == "clip"
    patch = "embeddings.patch_embeddings.projection" if dino else "embeddings.patch_embedding"
    out = {"stem.project.weight": take(f"{patch}.weight").flatten(1)}
    if config.patch_bias:
        out["stem.project.bias"] = take(f"{patch}.bias")
    position = take("embeddings.position_embeddings" if dino else "embeddings.position_embedding.weight")
    position = position.reshape(-1, position.shape[-1])
    prefix: list[Tensor] = []
    if config.class_token:
        token = take("embeddings.cls_token" if dino else "embeddings.class_embedding").reshape(1, -1)
        prefix.append(token + position[:1])
        position = position[1:]
    if config.registers:
        prefix.append(take("embeddings.register_tokens")[0])
    out["position"] = position[None]
    out["prefix"] = torch.cat(prefix)[None] if prefix else torch.zeros(1, 0, config.width)
    if clip:
        for part in ("weight", "bias"):
            out[f"pre_norm.{part}"] = take(f"pre_layrnorm.{part}", f"pre_layernorm.{part}")
    for part in ("weight", "bias"):
        out[f"norm.{part}"] = take(f"{'layernorm' if dino else 'post_layernorm'}.{part}")
        for k in range(config.depth):
            base = f"encoder.layer.{k}" if dino else f"encoder.layers.{k}"
            out |= _block(take, base, f"blocks.{k}", part, dino)
    return out


def _block(take: Any, base: str, ours: str, part: str, dino: bool) -> dict[str, Tensor]:
    if dino:
        rows: Sequence[Tensor] = [
            take(f"{base}.attention.attention.{long}.{part}", f"{base}.attention.{long[0]}_proj.{part}")
            for long in ("query", "key", "value")
        ]
        mixed = take(f"{base}.attention.output.dense.{part}", f"{base}.attention.o_proj.{part}")
        norms = "norm1", "norm2"
    else:
        rows = [take(f"{base}.self_attn.{short}_proj.{part}") for short in "qkv"]
        mixed = take(f"{base}.self_attn.out_proj.{part}")
        norms = "layer_norm1", "layer_norm2"
    found = {
        f"{ours}.attention.qkv.{part}": torch.cat(list(rows)),
        f"{ours}.attention.out.{part}": mixed,
        f"{ours}.norm1.{part}": take(f"{base}.{norms[0]}.{part}"),
        f"{ours}.norm2.{part}": take(f"{base}.{norms[1]}.{part}"),
        f"{ours}.up.{part}": take(f"{base}.mlp.fc1.{part}"),
        f"{ours}.down.{part}": take(f"{base}.mlp.fc2.{part}"),
    }
    if dino and part == "weight":
        found[f"{ours}.scale1"] = take(f"{base}.layer_scale1.lambda1")
        found[f"{ours}.scale2"] = take(f"{base}.layer_scale2.lambda1")
    return found
