"""DeepMaxent as a system: the network in the house of species maps. The learning is in `estimator.py`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ecotone.species.system import SpeciesSystem, Variant
from ecotone.systems.deepmaxent.config import LIMITS, Config

if TYPE_CHECKING:
    from ecotone.data.site_store import SiteStore
    from ecotone.species.prepare import Prepared
    from ecotone.systems.deepmaxent.estimator import DeepMaxent

Array = np.ndarray


class DeepMaxentSystem(SpeciesSystem):
    """Species maps from presence-only records.

    Examples:
        >>> system = DeepMaxentSystem(preset="paper")
        >>> system.config.resolved().epochs
        100
    """

    name: ClassVar[str] = "deepmaxent"
    Config: ClassVar[Any] = Config
    limits: ClassVar[dict[str, float]] = LIMITS
    config: Config
    estimator: DeepMaxent

    @property
    def members(self) -> int:
        """Networks in the ensemble."""
        return int(self.config.resolved().members or 1)

    def check(self) -> None:
        """Refuses a device that is not there."""
        from ecotone.systems.deepmaxent.engine import choose_device

        choose_device(self.config.device)

    def new_estimator(self, options: dict[str, Any]) -> DeepMaxent:
        """An unfitted `DeepMaxent`."""
        from ecotone.systems.deepmaxent.estimator import DeepMaxent

        return DeepMaxent(**options)

    def learn_store(self, estimator: DeepMaxent, store: SiteStore, folder: Path | None) -> None:
        """Streams the store through training."""
        estimator.fit_store(store, folder=folder, progress=self.progress)

    def refit(self, ready: Prepared, variants: Sequence[Variant], *, label: str) -> Callable[[Array], Array]:
        """Trains the variants as one stack of networks."""
        import torch

        from ecotone.species.background import site_log_weight
        from ecotone.systems.deepmaxent.engine import Member, Sites, train_stack

        features = self.estimator.features_
        sites = Sites(
            features.transform(ready.sites),
            ready.counts,
            site_log_weight(ready.site_weight, "site_weight", len(ready.sites)),
            features.transform(ready.background, unseen="baseline"),
            site_log_weight(ready.background_weight, "background_weight", len(ready.background)),
        )
        owners = features.owners
        members = [
            Member(
                seed=v.seed,
                rows=v.rows,
                uniform_share=v.uniform_share,
                hidden=None if v.hidden is None else np.array([v.hidden in owner for owner in owners]),
            )
            for v in variants
        ]
        network = train_stack(sites, members, self.config.resolved(), label=label, progress=self.progress)

        def predict(covariates: Array) -> Array:
            with torch.inference_mode():
                return network(torch.from_numpy(features.transform(covariates, unseen="baseline"))).numpy()

        return predict

    def card_lines(self) -> list[str]:
        """Paper, and the recipe in a line."""
        cfg = self.config.resolved()
        return [
            "DeepMaxent (arXiv 2412.19217, doi 10.1111/2041-210x.70262): maximum entropy on features learnt from all species.",
            f"Preset {cfg.preset}: {cfg.members} members, {cfg.blocks} blocks of width {cfg.width}, loss {cfg.loss}",
        ]

    # -------------------------------------------------------------------------------------------- storing
    def tensors(self) -> dict[str, Array]:
        """Weights and biases of each layer."""
        network = self.estimator.network_
        found = {}
        for i, (weight, bias) in enumerate(zip(network.weights, network.biases, strict=True)):
            found[f"layer{i}.weight"], found[f"layer{i}.bias"] = weight.detach().numpy(), bias.detach().numpy()
        return found

    def notes(self) -> dict[str, Any]:
        """The validation of the background, which evidence shows."""
        trial = self.estimator.trial_
        return {"trial": None if trial is None else vars(trial)}

    @classmethod
    def shapes(cls, config: dict[str, Any], preprocessing: dict[str, Any]) -> dict[str, tuple[int, ...]]:
        """Of each layer's weight (M, out, in) and bias (M, out)."""
        from ecotone.data.features import FeatureMap
        from ecotone.systems.deepmaxent.network import layer_sizes

        cfg = Config.parse(config).resolved()
        n_features = len(FeatureMap.from_dict(preprocessing["features"]).names)
        members = int(cfg.members or 1)
        found: dict[str, tuple[int, ...]] = {}
        sizes = layer_sizes(n_features, len(preprocessing["species"]), int(cfg.width or 1), int(cfg.blocks or 0))
        for i, (into, out) in enumerate(sizes):
            found[f"layer{i}.weight"] = (members, out, into)
            found[f"layer{i}.bias"] = (members, out)
        return found

    def restore(self, estimator: Any, tensors: dict[str, Array], notes: dict[str, Any]) -> None:
        """The network and the trial."""
        import torch

        from ecotone.systems.deepmaxent.choose import trial_from
        from ecotone.systems.deepmaxent.network import StackedNetwork

        config = estimator.config_ = self.config.resolved()
        estimator.trial_ = trial_from(notes.get("trial"))
        network = StackedNetwork(
            len(estimator.features_.names),
            len(estimator.species_),
            width=int(config.width or 1),
            blocks=int(config.blocks or 0),
            seeds=[0] * self.members,
        )
        with torch.no_grad():
            for i, (weight, bias) in enumerate(zip(network.weights, network.biases, strict=True)):
                weight.copy_(torch.from_numpy(tensors[f"layer{i}.weight"]))
                bias.copy_(torch.from_numpy(tensors[f"layer{i}.bias"]))
        estimator.network_ = network.eval()
