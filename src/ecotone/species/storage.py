"""A fitted species system as a folder: model.safetensors, config.json, preprocessing.json, card.md."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ecotone.data.features import FeatureMap
from ecotone.errors import InputError, IntegrityError
from ecotone.explain.applicability import AreaOfApplicability
from ecotone.explain.extrapolation import SampledConditions
from ecotone.files.model_folder import StoredModel, read_model, write_model
from ecotone.species import card
from ecotone.species.background import BackgroundChoice
from ecotone.species.outputs import Calibration

if TYPE_CHECKING:
    from ecotone.species.system import SpeciesSystem

POINTS = "applicability.points"
LEVELS = "calibration.cumulative"
Kind = TypeVar("Kind", bound="SpeciesSystem")


def write(system: SpeciesSystem, folder: Path) -> None:
    """Writes the four files."""
    estimator = system.estimator
    chosen = estimator.background_
    preprocessing = {
        "species": system.species,
        "features": estimator.features_.to_dict(),
        "calibration": estimator.calibration_.to_dict(),
        "sampled": system.sampled.to_dict(),
        **_area(system),
        "background": {"kind": chosen.kind, "uniform_share": chosen.uniform_share, "reason": chosen.reason},
        **system.notes(),
        "inputs": _paths(system.stored_inputs, _homeless),
    }
    write_model(
        folder,
        system=system.name,
        config=system.config.model_dump(),
        tensors=system.tensors() | _shared(system),
        preprocessing=preprocessing,
        card=card.write(system),
    )


def read(cls: type[Kind], folder: Path) -> Kind:
    """Reads the four files into a system.

    Raises:
        InputError: IO101 for missing files.
        IntegrityError: IN101, IN102 for anything that is not a model of the system within the limits.
    """
    stored = read_model(folder, cls.name, options=cls.Config, limits=cls.limits, shapes=partial(_shapes, cls))
    system = cls(stored.config)
    try:
        _take(system, stored)
    except (InputError, KeyError, TypeError, ValueError, AttributeError, RuntimeError):
        where = Path(folder) / "preprocessing.json"
        raise IntegrityError("IN102", where, "is not consistent", "use the original folder") from None
    return system


def _take(system: SpeciesSystem, stored: StoredModel) -> None:
    pre = stored.preprocessing
    estimator = system.new_estimator(system.config.model_dump())
    features = estimator.features_ = FeatureMap.from_dict(pre["features"])
    estimator.species_ = [str(name) for name in pre["species"]]
    chosen = pre["background"]
    estimator.background_ = BackgroundChoice(str(chosen["kind"]), float(chosen["uniform_share"]), str(chosen["reason"]))
    estimator.calibration_ = Calibration.from_dict(
        pre["calibration"], system.members, len(estimator.species_), stored.tensors.get(LEVELS)
    )
    estimator.n_features_in_, estimator.one_species_ = len(features.covariates), False
    estimator.config_ = system.config
    system.restore(estimator, stored.tensors, pre)
    system.estimator = estimator
    system.sampled = SampledConditions.from_dict(pre["sampled"])
    if "applicability" in pre:
        system.applicability = AreaOfApplicability.from_dict({**pre["applicability"], "points": stored.tensors[POINTS]})
    system.stored_inputs = _paths(pre["inputs"], lambda path: str(Path(path).expanduser()))


def _shared(system: SpeciesSystem) -> dict[str, Any]:
    """Tensors of every species system."""
    levels = system.estimator.calibration_.cumulative
    area = {} if system.applicability is None else {POINTS: system.applicability.points}
    return area | ({} if levels is None else {LEVELS: levels})


def _area(system: SpeciesSystem) -> dict[str, Any]:
    """The area of applicability without its sites, which are a tensor."""
    area = system.applicability
    if area is None:
        return {}
    return {"applicability": {**area.to_dict(), "points": len(area.points)}}


def _shapes(
    cls: type[SpeciesSystem], config: dict[str, Any], preprocessing: dict[str, Any]
) -> dict[str, tuple[int, ...]]:
    area = preprocessing.get("applicability")
    more = {} if area is None else {POINTS: (int(area["points"]), len(area["names"]))}
    if "cumulative" in preprocessing["calibration"]:
        more[LEVELS] = (len(preprocessing["species"]), int(preprocessing["calibration"]["cumulative"]))
    return cls.shapes(config, preprocessing) | more


def _paths(inputs: Mapping[str, Any], change: Any) -> dict[str, Any]:
    """The inputs with each path changed."""
    found = dict(inputs)
    for name in ("occurrences", "bias", "sites"):
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
