"""Richness and turnover from the answers of all species, with what chance and what the model contributes to their spread.

Species are taken to occur independently given their probabilities, so richness is Poisson-binomial: mean sum p, variance
sum p (1 - p) (chance). Members disagree on the mean; its variance over members is the model's part. By the law of total
variance the two add up. Every cell is computed from its own numbers in a fixed order, so that maps do not depend on how
they are cut into windows. Letters: M members, N cells, S species.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Literal

import numpy as np

from ecotone.contract import Overlay
from ecotone.errors import InputError, UsageError

Array = np.ndarray
Coupling = Literal["persistent", "independent"]
_NORMAL_90 = 1.6448536269514722


def occurrence(expected: Array) -> Array:
    """Probability of at least one record where `expected` are Poisson distributed: 1 - exp(-expected)."""
    return -np.expm1(-np.asarray(expected, dtype=np.float64))


# ------------------------------------------------------------------------------------------------ richness
@dataclass(frozen=True)
class Richness:
    """Expected number of species per cell.

    Attributes:
        mean: (N,) expected species, mean over members.
        chance: (N,) standard deviation because occurrence is a matter of chance, given the model.
        model: (N,) standard deviation of the members' expectations; 0 for one member.
        lower: (N,) 5 % and
        upper: (N,) 95 % of both together, by the normal approximation, kept within 0 and S.
    """

    mean: Array
    chance: Array
    model: Array
    lower: Array
    upper: Array

    def bands(self) -> Array:
        """(N, 5): mean, chance, model, lower, upper, as a map stores them."""
        return np.stack([getattr(self, f.name) for f in fields(self)], axis=1)


def richness(probability: Array) -> Richness:
    """Richness with its uncertainty.

    Args:
        probability: (M, N, S) or (N, S) probabilities that a species occurs, such as `occurrence` of expected counts.

    Raises:
        InputError: DA404 for other shapes, DA403 for values outside 0 to 1.
    """
    p = _probabilities(probability, "probability")
    each = [(_over_species(q), _over_species(q * (1 - q))) for q in p]
    mean, between = _mean_and_deviation([m for m, _ in each])
    within, _ = _mean_and_deviation([v for _, v in each])
    reach = _NORMAL_90 * np.sqrt(within + between**2)
    most = float(p.shape[2])
    return Richness(mean, np.sqrt(within), between, np.maximum(mean - reach, 0.0), np.minimum(mean + reach, most))


# ------------------------------------------------------------------------------------------------ turnover
@dataclass(frozen=True)
class Turnover:
    """Change between two states, per cell: means over members, and standard deviations over members (0 for one).

    Attributes:
        gains: (N,) expected species gained.
        losses: (N,) expected species lost.
        shared: (N,) expected species kept.
        sorensen: (N,) expected changes over the expected number of species in both states together, (b + c) / (2a + b + c).
        jaccard: (N,) the same over the species in either state, (b + c) / (a + b + c).
        gains_spread: (N,)
        losses_spread: (N,)
        shared_spread: (N,)
        sorensen_spread: (N,)
        jaccard_spread: (N,)
    """

    gains: Array
    losses: Array
    shared: Array
    sorensen: Array
    jaccard: Array
    gains_spread: Array
    losses_spread: Array
    shared_spread: Array
    sorensen_spread: Array
    jaccard_spread: Array

    def bands(self) -> Array:
        """(N, 10), in the order of the attributes."""
        return np.stack([getattr(self, f.name) for f in fields(self)], axis=1)


def turnover(before: Array, after: Array, *, coupling: Coupling = "persistent") -> Turnover:
    """Expected gains, losses and dissimilarity between two climates or dates.

    How a species' occurrence before relates to that after is not in the probabilities. "persistent" lets a species that
    is as likely as before stay as it is, and change only as much as its probability does: gain max(p2 - p1, 0), loss
    max(p1 - p2, 0), kept min(p1, p2); without change there is no turnover, and Sorensen is the Bray-Curtis dissimilarity of the
    probabilities. "independent" draws both states anew: gain (1 - p1) p2, loss p1 (1 - p2), kept p1 p2; the largest turnover that
    probabilities alone allow to expect, not 0 even without change.

    Sorensen and Jaccard are ratios of expectations, not expectations of ratios; the two differ by about one over the
    number of species, and most where few are expected. Where none is expected they are nan.

    Args:
        before: (M, N, S) or (N, S) probabilities.
        after: The same shape, members in the same order.
        coupling: See above.

    Raises:
        InputError: DA404 for shapes that differ, DA403 for values outside 0 to 1.
        UsageError: US104 for an unknown coupling.
    """
    if coupling not in ("persistent", "independent"):
        raise UsageError("US104", "coupling", f"{coupling!r} is unknown", "choose persistent or independent")
    one, two = _probabilities(before, "before"), _probabilities(after, "after")
    if one.shape != two.shape:
        raise InputError("DA404", "turnover", f"{one.shape} before and {two.shape} after", "pass equal shapes")
    each: dict[str, list[Array]] = {name: [] for name in ("gains", "losses", "shared", "sorensen", "jaccard")}
    for p, q in zip(one, two, strict=True):
        if coupling == "persistent":
            parts = np.maximum(q - p, 0.0), np.maximum(p - q, 0.0), np.minimum(p, q)
        else:
            parts = (1 - p) * q, p * (1 - q), p * q
        gained, lost, kept = (_over_species(part) for part in parts)
        changed = gained + lost
        values = gained, lost, kept, _ratio(changed, 2 * kept + changed), _ratio(changed, kept + changed)
        for name, value in zip(each, values, strict=True):
            each[name].append(value)
    found = {name: _mean_and_deviation(values) for name, values in each.items()}
    return Turnover(**{k: m for k, (m, _) in found.items()}, **{f"{k}_spread": d for k, (_, d) in found.items()})


def _probabilities(values: Array, name: str) -> Array:
    p = np.asarray(values, dtype=np.float64)
    if p.ndim == 2:
        p = p[None]
    if p.ndim != 3 or not (p.shape[0] and p.shape[2]):
        raise InputError("DA404", name, f"shape {np.shape(values)}", "pass (members, cells, species)")
    if p.size and not (p.min() >= 0 and p.max() <= 1):  # nan fails too
        raise InputError("DA403", name, "values outside 0 to 1", "pass probabilities, see `occurrence`")
    return p


def _over_species(values: Array) -> Array:
    """(N, S) -> (N,); each row is added up in its own memory, in an order that depends on S only."""
    return np.ascontiguousarray(values).sum(axis=1)


def _mean_and_deviation(members: list[Array]) -> tuple[Array, Array]:
    """Mean and standard deviation over members, member after member."""
    total = members[0]
    for value in members[1:]:
        total = total + value
    mean = total / len(members)
    square = np.zeros_like(mean)
    for value in members:
        square = square + (value - mean) ** 2
    return mean, np.sqrt(square / len(members))


def _ratio(top: Array, bottom: Array) -> Array:
    return np.divide(top, bottom, out=np.full(top.shape, np.nan), where=bottom > 0)


# ------------------------------------------------------------------------------------------------ evidence
Paint = Callable[[Array], Array]


def richness_evidence(
    found: Richness,
    paint: Paint,
    extent: tuple[float, float, float, float] | None,
    *,
    member: str = "ensemble member",
) -> list[Overlay]:
    """Richness, and what members disagree on; what chance adds is told in words, or drawn where there is one member.

    Args:
        found: Of N cells.
        paint: (N, K) -> (K, H, W), nan where there is no cell.
        extent: (west, east, south, north).
        member: What a member is, in words.
    """
    several = bool(found.model.any())
    typical = f"{np.median(found.chance):.2g}" if found.chance.size else "nothing"
    return [
        Overlay(
            title="Expected number of species recorded",
            weights=paint(found.mean[:, None]),
            names=("richness",),
            unit="species per cell",
            extent=extent,
            exact=True,
            note="Sum over species of the probability of at least one record in a cell"
            + (f", mean over {member}s" if several else "")
            + ". It counts records, not species that went unseen: twice the records would give more. "
            "Its level hangs on the background too: compare places, not runs.",
        ),
        Overlay(
            title=f"Uncertainty of the number of species: {member + 's disagree' if several else 'chance'}",
            weights=paint((found.model if several else found.chance)[:, None]),
            names=("standard deviation",),
            unit="species per cell",
            extent=extent,
            exact=True,
            note=f"More data can reduce this. However good the model, chance adds a standard deviation of {typical} (median)."
            if several
            else "Whether a species occurs is a matter of chance, however good the model. A single model was fitted, so what "
            "it does not know is not in this.",
        ),
    ]


def turnover_evidence(
    found: Turnover,
    paint: Paint,
    extent: tuple[float, float, float, float] | None,
    *,
    between: str = "the two states",
    member: str = "ensemble member",
) -> list[Overlay]:
    """Gains and losses side by side, and turnover; how far members differ is told in words.

    Args:
        found: Of N cells.
        paint: (N, K) -> (K, H, W), nan where there is no cell.
        extent: (west, east, south, north).
        between: What is compared, such as "now and 2050".
        member: What a member is, in words.
    """
    spread = found.sorensen_spread
    known = spread[np.isfinite(spread)]
    differ = (
        f" {member.capitalize()}s differ by {np.median(known):.2g} (standard deviation, median cell)."
        if known.any()
        else ""
    )
    return [
        Overlay(
            title=f"Species gained and lost between {between}",
            weights=paint(np.stack([found.gains, found.losses], axis=1)),
            names=("gained", "lost"),
            unit="expected species per cell",
            extent=extent,
            exact=True,
            note="A species counts as gained or lost as far as its probability changed.",
        ),
        Overlay(
            title=f"Turnover between {between}",
            weights=paint(found.sorensen[:, None]),
            names=("Sorensen dissimilarity",),
            unit="1",
            extent=extent,
            exact=True,
            note="0: the same species are expected, 1: none is shared. Ratio of expected changes to expected species."
            + differ,
        ),
    ]
