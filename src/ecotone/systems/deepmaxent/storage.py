"""A fitted DeepMaxent as a folder: model.safetensors, config.json, preprocessing.json, card.md."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch

from ecotone.data.features import FeatureMap
from ecotone.errors import InputError, IntegrityError
from ecotone.explain.extrapolation import SampledConditions
from ecotone.files.model_folder import StoredModel, read_model, write_model
from ecotone.systems.deepmaxent import card
from ecotone.systems.deepmaxent.background import BackgroundChoice
from ecotone.systems.deepmaxent.choose import ShareTrial
from ecotone.systems.deepmaxent.config import LIMITS, Config
from ecotone.systems.deepmaxent.estimator import DeepMaxent
from ecotone.systems.deepmaxent.network import StackedNetwork, layer_sizes
from ecotone.systems.deepmaxent.outputs import Calibration

if TYPE_CHECKING:
    from ecotone.systems.deepmaxent.system import DeepMaxentSystem

Kind = TypeVar("Kind", bound="DeepMaxentSystem")


def write(system: DeepMaxentSystem, folder: Path) -> None:
    """Writes the four files."""
    estimator = system.estimator
    tensors = {}
    for i, (weight, bias) in enumerate(zip(estimator.network_.weights, estimator.network_.biases, strict=True)):
        tensors[f"layer{i}.weight"] = weight.detach().numpy()
        tensors[f"layer{i}.bias"] = bias.detach().numpy()
    chosen = estimator.background_
    preprocessing = {
        "species": system.species,
        "features": estimator.features_.to_dict(),
        "calibration": estimator.calibration_.to_dict(),
        "sampled": system.sampled.to_dict(),
        "background": {"kind": chosen.kind, "uniform_share": chosen.uniform_share, "reason": chosen.reason},
        "trial": None if estimator.trial_ is None else vars(estimator.trial_),
        "inputs": _paths(system.stored_inputs, _homeless),
    }
    write_model(
        folder,
        system=system.name,
        config=system.config.model_dump(),
        tensors=tensors,
        preprocessing=preprocessing,
        card=card.write(system),
    )


def read(cls: type[Kind], folder: Path) -> Kind:
    """Reads the four files into a system.

    Raises:
        InputError: IO101 for missing files.
        IntegrityError: IN101, IN102 for anything that is not a DeepMaxent model within the limits.
    """
    stored = read_model(folder, cls.name, options=Config, limits=LIMITS, shapes=shapes)
    system = cls(stored.config)
    try:
        _take(system, stored)
    except (InputError, KeyError, TypeError, ValueError, AttributeError, RuntimeError):
        where = Path(folder) / "preprocessing.json"
        raise IntegrityError("IN102", where, "is not consistent", "use the original folder") from None
    return system


def _take(system: DeepMaxentSystem, stored: StoredModel) -> None:
    config, pre = system.config.resolved(), stored.preprocessing
    estimator = DeepMaxent(**system.config.model_dump())
    features = estimator.features_ = FeatureMap.from_dict(pre["features"])
    estimator.species_ = [str(name) for name in pre["species"]]
    chosen = pre["background"]
    estimator.background_ = BackgroundChoice(str(chosen["kind"]), float(chosen["uniform_share"]), str(chosen["reason"]))
    estimator.trial_ = _trial(pre.get("trial"))
    members, species = int(config.members or 1), len(estimator.species_)
    estimator.calibration_ = Calibration.from_dict(pre["calibration"], members, species)
    network = StackedNetwork(
        len(features.names), species, width=int(config.width or 1), blocks=int(config.blocks or 0), seeds=[0] * members
    )
    with torch.no_grad():
        for i, (weight, bias) in enumerate(zip(network.weights, network.biases, strict=True)):
            weight.copy_(torch.from_numpy(stored.tensors[f"layer{i}.weight"]))
            bias.copy_(torch.from_numpy(stored.tensors[f"layer{i}.bias"]))
    estimator.network_ = network.eval()
    estimator.n_features_in_, estimator.config_, estimator._one_species = len(features.covariates), config, False
    system.estimator = estimator
    system.sampled = SampledConditions.from_dict(pre["sampled"])
    system.stored_inputs = _paths(pre["inputs"], lambda path: str(Path(path).expanduser()))


def shapes(config: dict[str, Any], preprocessing: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Tensor name -> shape the weights file must have."""
    cfg = Config.parse(config).resolved()
    n_features = len(FeatureMap.from_dict(preprocessing["features"]).names)
    members = int(cfg.members or 1)
    found: dict[str, tuple[int, ...]] = {}
    sizes = layer_sizes(n_features, len(preprocessing["species"]), int(cfg.width or 1), int(cfg.blocks or 0))
    for i, (into, out) in enumerate(sizes):
        found[f"layer{i}.weight"] = (members, out, into)
        found[f"layer{i}.bias"] = (members, out)
    return found


def _trial(stored: Mapping[str, Any] | None) -> ShareTrial | None:
    """The validation of the background, which evidence shows."""
    if stored is None:
        return None
    shares, *scores = (np.asarray(stored[key], dtype=np.float64) for key in ("shares", "score", "gain", "error"))
    if shares.ndim != 1 or any(part.shape != shares.shape for part in scores):
        raise ValueError("the parts of the trial differ in length")
    score, gain, error = scores
    return ShareTrial(tuple(shares.tolist()), score, gain, error, int(stored["species"]), int(stored["splits"]))


def _paths(inputs: Mapping[str, Any], change: Any) -> dict[str, Any]:
    """The inputs with each path changed."""
    found = dict(inputs)
    for name in ("occurrences", "bias"):
        if found.get(name):
            found[name] = change(found[name])
    if "covariates" in found:
        found["covariates"] = [change(path) for path in found["covariates"]]
    return found


def _homeless(path: str) -> str:
    """The path with ``~`` for the home folder, so that a model that is passed on names no user."""
    with suppress(ValueError, RuntimeError):
        return "~/" + Path(path).relative_to(Path.home()).as_posix()
    return path
