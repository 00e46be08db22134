"""Maxent as a system: certified optima in the house of species maps. The learning is in `estimator.py`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ecotone.contract import Check, Contributions, Evidence
from ecotone.species.system import SpeciesSystem, Variant
from ecotone.systems.maxent.config import LIMITS, Config

if TYPE_CHECKING:
    import pandas as pd

    from ecotone.species.prepare import Prepared
    from ecotone.systems.maxent.estimator import Maxent

Array = np.ndarray
SOLUTION = ("objective", "gap", "residual", "iterations", "converged", "unbounded")
SHOWN_COEFFICIENTS = 20


class MaxentSystem(SpeciesSystem):
    """Maxent species maps: all species of a job solved together, each certified.

    Examples:
        >>> MaxentSystem(features="lqh", multiplier=2).config.features
        ('linear', 'quadratic', 'hinge')
    """

    name: ClassVar[str] = "maxent"
    Config: ClassVar[Any] = Config
    limits: ClassVar[dict[str, float]] = LIMITS
    member_name: ClassVar[str] = "bootstrap replicate"
    config: Config

    @property
    def members(self) -> int:
        """Bootstrap replicates, 1 for the fit to all records."""
        return self.config.members

    def new_estimator(self, options: dict[str, Any]) -> Maxent:
        """An unfitted `Maxent`."""
        from ecotone.systems.maxent.estimator import Maxent

        return Maxent(**options)

    def refit(self, ready: Prepared, variants: Sequence[Variant], *, label: str) -> Callable[[Array], Array]:
        """Solves the variants in one batch."""
        from ecotone.species.background import site_log_weight
        from ecotone.systems.maxent import assemble

        sites = assemble.Sites(
            ready.sites,
            ready.counts,
            site_log_weight(ready.site_weight, "site_weight", len(ready.sites)),
            ready.background,
            site_log_weight(ready.background_weight, "background_weight", len(ready.background)),
        )
        return self.estimator.refit(sites, [assemble.Variant(v.uniform_share, v.rows, v.hidden) for v in variants])

    # -------------------------------------------------------------------------------------------- evidence
    def own_evidence(self, ready: Prepared, shown: Sequence[int]) -> list[Evidence]:
        """The certificate of all species, and the coefficients of those shown."""
        table = self.estimator.convergence()
        fitted = table[table["verdict"] != "no records"]
        certified = fitted["verdict"] == "certified"
        worst = fitted.sort_values("gap", ascending=False).head(8)
        found: list[Evidence] = [
            Check(
                title="Certified optimum",
                claim="largest distance to the exact optimum over species, at most (duality gap)",
                measured=float(fitted["gap"].max()),
                bound=self.config.tolerance,
                unit="nats",
                verdict="pass" if certified.all() else "fail",
                details=tuple(
                    (
                        str(row.species),
                        f"gap {row.gap:.1e} nats, {row.iterations} iterations, {row.features} features used",
                    )
                    for row in worst.itertuples()
                ),
                exact=True,
                note=(
                    "The gap bounds how much better any other coefficients could be; a gap g keeps the predicted share of any "
                    "part of the background within the square root of g/2 of the exact solution."
                ),
            )
        ]
        x = self.estimator.features_.transform(np.concatenate([ready.sites, ready.background]), unseen="baseline")
        span = x.max(0) - x.min(0)
        found += self._tuned()
        return found + [self._coefficients(j, span) for j in shown if np.any(self.estimator.beta_[:, j])]

    def _tuned(self) -> list[Evidence]:
        tuning = self.estimator.tuning_
        if tuning is None:
            return []
        chosen, used = tuning.chosen, self.estimator.config_
        rows = zip(tuning.features, tuning.multipliers, tuning.score, tuning.gain, tuning.error, strict=True)
        details = [
            (f"{kinds} x {m:g}", f"blocked AUC {score:.4f}, gain {gain:+.4f} (standard error {error:.4f})")
            for kinds, m, score, gain, error in rows
        ]
        return [
            Check(
                title="Tuned options",
                claim="multiplier in use; blocked cross-validation on the records chose it together with the feature kinds",
                measured=used.multiplier,
                unit="times the published penalties",
                verdict="note",
                details=(
                    ("reason", tuning.reason),
                    *details[chosen : chosen + 1],
                    *details[:chosen],
                    *details[chosen + 1 :],
                ),
                note=(
                    f"{tuning.splits} spatial folds, {tuning.species} species; held-out presences against the background in "
                    "use. The options given are left only for a gain above its standard error over species (folds for one)."
                ),
            )
        ]

    def _coefficients(self, species: int, span: Array) -> Contributions:
        features, beta = self.estimator.features_, self.estimator.beta_[:, species]  # (M, F)
        mean = beta.mean(0)
        strength = mean * span
        order = np.argsort(-np.abs(strength), kind="stable")[:SHOWN_COEFFICIENTS]
        order = order[mean[order] != 0]
        several = len(beta) > 1
        low, high = (np.quantile(beta * span, q, axis=0)[order] for q in (0.05, 0.95)) if several else (None, None)
        return Contributions(
            title=f"{self.species[species]}: largest coefficients",
            target=self.species[species],
            names=tuple(features.names[k] for k in order),
            values=strength[order],
            lower=low,
            upper=high,
            band=f"5-95 % of {len(beta)} bootstrap replicates" if several else "",
            unit="nats over the feature's range",
            exact=True,
            note="What each feature adds to the log of suitability from its smallest to its largest training value.",
        )

    def tables(self) -> dict[str, pd.DataFrame]:
        """Also the coefficients and the certificate of every species."""
        return {
            **super().tables(),
            "coefficients": self.estimator.coefficients(),
            "convergence": self.estimator.convergence(),
        }

    def card_lines(self) -> list[str]:
        """Papers, and the recipe in a line."""
        cfg = self.estimator.config_
        kinds = "chosen by the number of records" if cfg.features == "auto" else ", ".join(cfg.features)
        certified = int(self.estimator.solution_.converged.sum())
        return [
            "Maxent (Phillips, Anderson and Schapire 2006, doi 10.1016/j.ecolmodel.2005.03.026), exact maximum entropy.",
            f"Features: {kinds}; multiplier {cfg.multiplier:g}; {'clamped' if cfg.clamp else 'not clamped'}",
            f"Certified within {cfg.tolerance:g} nats of the optimum: {certified} of {len(self.species) * self.members}",
        ]

    # -------------------------------------------------------------------------------------------- storing
    def tensors(self) -> dict[str, Array]:
        """Coefficients (M, S, F)."""
        return {"beta": self.estimator.beta_}

    def notes(self) -> dict[str, Any]:
        """The certificate, and what tuning found."""
        solution, tuning = self.estimator.solution_, self.estimator.tuning_
        kept = {"solution": {name: getattr(solution, name).tolist() for name in SOLUTION}}
        return kept | ({} if tuning is None else {"tuning": vars(tuning)})

    @classmethod
    def shapes(cls, config: dict[str, Any], preprocessing: dict[str, Any]) -> dict[str, tuple[int, ...]]:
        """Of the coefficients."""
        from ecotone.data.features import FeatureMap

        features = len(FeatureMap.from_dict(preprocessing["features"]).names)
        members = Config.parse(config).members
        return {"beta": (members, len(preprocessing["species"]), features)}

    def restore(self, estimator: Any, tensors: dict[str, Array], notes: dict[str, Any]) -> None:
        """Coefficients and certificate."""
        from ecotone.systems.maxent.solve import Solution
        from ecotone.systems.maxent.tune import tuning_from

        beta = tensors["beta"]
        kept = {"unbounded": [False] * (beta.shape[0] * beta.shape[1])} | notes["solution"]  # missing in older folders
        parts = {name: np.array([np.nan if v is None else v for v in kept[name]]) for name in SOLUTION}
        if any(part.shape != (beta.shape[0] * beta.shape[1],) for part in parts.values()):
            raise ValueError("the certificate does not fit the species")
        for name, kind in (("converged", bool), ("unbounded", bool), ("iterations", int)):
            parts[name] = parts[name].astype(kind)
        estimator.trial_, estimator.tuning_ = None, tuning_from(notes.get("tuning"))
        estimator.config_ = self.config if estimator.tuning_ is None else estimator.tuning_.applied(self.config)
        estimator.adopt(Solution(beta=beta.reshape(-1, beta.shape[2]), **parts))
