"""Which covariates act together, and how.

H of Friedman and Popescu (2008, Ann. Appl. Stat. 2:916, eq. 44): of the joint partial dependence on two covariates, the share of
the variance that the two single ones do not explain. It is a ratio, so a pair that hardly matters can have a large H
by chance; pairs are therefore ranked by the strength of what is left, on the scale of the answer. No interaction means
that effects add up on that scale; on a log scale, that they multiply. Letters: N sites, P covariates, S species, Q pairs, G
positions along an axis.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from ecotone.contract import Contributions, Overlay
from ecotone.errors import InputError

Array = np.ndarray
Predict = Callable[[Array], Array]
_BLOCK = 4_000_000  # answers held at once
_FAINT = 0.01  # of the strongest pair; not worth a bar


@dataclass(frozen=True)
class Interactions:
    """How strongly pairs of covariates act together.

    Attributes:
        pairs: Q pairs of covariate indices.
        h: (Q, S) Friedman's H, 0 (effects add up) to about 1; nan where neither covariate has an effect.
        strength: (Q, S) root mean square of the part that does not add up, in units of the answer.
        effect: (P, S) standard deviation of the single partial dependence, in the same units; nan for a covariate in no pair.
    """

    pairs: tuple[tuple[int, int], ...]
    h: Array
    strength: Array
    effect: Array

    def strongest(self, count: int, species: int | None = None) -> list[int]:
        """Indices of the pairs with the largest strength, of one species or of the mean over species."""
        values = self.strength.mean(1) if species is None else self.strength[:, species]
        return np.argsort(-values, kind="stable")[:count].tolist()


def interaction_strength(
    predict: Predict,
    background: Array,
    *,
    sites: int = 40,
    seed: int = 0,
    pairs: Sequence[tuple[int, int]] | None = None,
) -> Interactions:
    """Friedman's H of pairs of covariates, for all species at once.

    Every partial dependence is the mean answer over the drawn sites, evaluated at the drawn sites' own values; a pair
    costs sites x sites answers.

    Args:
        predict: (N, P) -> (N, S) answers, best on a scale where effects can add up, such as log relative intensity.
        background: (U, P) sites.
        sites: N, drawn without replacement.
        seed: For the draw.
        pairs: Pairs of covariate indices; all by default.

    Raises:
        InputError: OC205 with fewer than two sites, DA404 for a pair that is none.
    """
    background = np.asarray(background, dtype=np.float64)
    if background.ndim != 2 or len(background) < 2:
        raise InputError("OC205", "interactions", f"{len(background)} background sites", "pass at least two")
    count = background.shape[1]
    wanted = tuple(pairs) if pairs is not None else tuple(combinations(range(count), 2))
    for a, b in wanted:
        if a == b or not (0 <= a < count and 0 <= b < count):
            raise InputError("DA404", "pairs", f"({a}, {b}) with {count} covariates", "name two different covariates")
    sample = _draw(background, sites, seed)
    species = np.asarray(predict(sample[:1])).shape[1]
    single: dict[int, Array] = {}
    for p in sorted({p for pair in wanted for p in pair}):
        single[p] = _centred(partial_dependence(predict, sample, (p,), sample[:, [p]]))
    h, strength = np.empty((len(wanted), species)), np.empty((len(wanted), species))
    for q, (a, b) in enumerate(wanted):
        joint = _centred(partial_dependence(predict, sample, (a, b), sample[:, [a, b]]))
        rest = joint - single[a] - single[b]
        top, all_of_it = (rest**2).mean(0), (joint**2).mean(0)
        nothing = all_of_it <= 1e-20 * np.maximum((single[a] ** 2).mean(0) + (single[b] ** 2).mean(0), 1e-300)
        h[q] = np.sqrt(np.divide(top, all_of_it, out=np.full(species, np.nan), where=~nothing & (all_of_it > 0)))
        strength[q] = np.sqrt(top)
    effect = np.full((count, species), np.nan)
    for p, values in single.items():
        effect[p] = np.sqrt((values**2).mean(0))
    return Interactions(wanted, h, strength, effect)


def partial_dependence(predict: Predict, sample: Array, which: Sequence[int], at: Array) -> Array:
    """Mean answer over sites with some covariates set to given values.

    Args:
        predict: (N, P) -> (N, S).
        sample: (N, P) sites averaged over.
        which: K covariate indices.
        at: (G, K) their values.

    Returns:
        (G, S).
    """
    parts: list[Array] = []
    start, step = 0, 1
    while start < len(at):
        varied = np.repeat(sample[None], min(step, len(at) - start), axis=0)  # (G', N, P)
        for k, p in enumerate(which):
            varied[:, :, p] = at[start : start + step, k, None]
        answer = np.asarray(predict(varied.reshape(-1, sample.shape[1])))
        parts.append(answer.reshape(len(varied), len(sample), -1).mean(1))
        start += len(varied)
        step = max(1, _BLOCK // (len(sample) * max(parts[0].shape[1], sample.shape[1])))  # the first tells S
    return np.concatenate(parts)


def interaction_evidence(
    found: Interactions,
    covariates: Sequence[str],
    *,
    species: int | None = None,
    target: str = "",
    scale: str = "log relative intensity",
    limit: int = 10,
) -> Contributions:
    """The strongest pairs as evidence.

    Args:
        found: From `interaction_strength`.
        covariates: P names.
        species: Index of one species; None for the mean over all.
        target: Its name.
        scale: What `predict` gave.
        limit: Pairs shown.
    """
    order = found.strongest(len(found.pairs), species)
    size = found.strength.mean(1) if species is None else found.strength[:, species]
    order = [q for q in order if size[q] >= _FAINT * size[order[0]]][:limit]
    some = found.strength[order]
    many = species is None and some.shape[1] > 1
    values = some.mean(1) if species is None else some[:, species]
    edges = np.quantile(some, [0.05, 0.95], axis=1) if many else None
    h = found.h[order] if species is None else found.h[order][:, [species]]
    known = np.isfinite(h)
    typical = np.divide(np.where(known, h, 0).sum(1), known.sum(1), out=np.zeros(len(h)), where=known.any(1))
    names = tuple(
        f"{covariates[found.pairs[q][0]]} × {covariates[found.pairs[q][1]]} (H={value:.2f})"
        for q, value in zip(order, typical, strict=True)
    )
    return Contributions(
        title=f"{target}: covariates that act together"
        if target
        else "Covariates that act together, mean over species",
        target=target,
        names=names,
        values=values,
        lower=None if edges is None else edges[0],
        upper=None if edges is None else edges[1],
        band="5-95 % of species" if many else "",
        unit=f"root mean square interaction, {scale}",
        note=(
            "The part of the two covariates' joint effect that is not the sum of their single effects. "
            "H in brackets is its size relative to the joint effect, 0 to 1. "
            f"{len(order)} of {len(found.pairs)} pairs are shown; those below 1 % of the strongest are not."
        ),
    )


def pair_surface(
    predict: Predict,
    background: Array,
    pair: tuple[int, int],
    covariates: Sequence[str],
    targets: Sequence[str],
    *,
    levels: Mapping[str, Sequence[int]] | None = None,
    units: Mapping[str, str] | None = None,
    output: str = "suitability",
    unit: str = "1",
    points: int = 24,
    sites: int = 60,
    seed: int = 0,
) -> Overlay:
    """The answer over the plane of two covariates; blank where the background has no such combination.

    A cell of the plane has data when a background site lies in it or in one of its eight neighbours (for a categorical
    axis: at the same level).

    Args:
        predict: (N, P) -> (N, S) answers, on the scale to show.
        background: (U, P) sites; all of them decide where there are data, `sites` of them are averaged over.
        pair: Indices of the covariates along the horizontal and the vertical axis.
        covariates: P names.
        targets: S names, one layer each.
        levels: Covariate name -> levels, for categorical ones.
        units: Covariate name -> unit.
        output: What the answer is.
        unit: Its unit.
        points: Cells along a continuous axis, from the background minimum to its maximum.
        sites: Sites averaged over.
        seed: For their draw.

    Raises:
        InputError: OC205 with fewer than two sites.
    """
    background = np.asarray(background, dtype=np.float64)
    if background.ndim != 2 or len(background) < 2:
        raise InputError("OC205", "interactions", f"{len(background)} background sites", "pass at least two")
    levels, units = levels or {}, units or {}
    axes = [_Axis(background[:, p], levels.get(covariates[p]), points) for p in pair]
    x, y = axes
    at = np.stack([np.tile(x.middle, len(y.middle)), np.repeat(y.middle[::-1], len(x.middle))], axis=1)
    layers = partial_dependence(predict, _draw(background, sites, seed), pair, at)
    weights = layers.T.reshape(-1, len(y.middle), len(x.middle))
    there = np.zeros((len(y.middle), len(x.middle)), bool)
    there[y.cell(background[:, pair[1]]), x.cell(background[:, pair[0]])] = True
    there = _grown(there, columns=not x.names, rows=not y.names)[::-1]
    one, other = (covariates[p] for p in pair)
    alone = targets[0] if len(targets) == 1 else ""
    return Overlay(
        title=f"{alone}: acting together, {one} and {other}" if alone else f"Acting together: {one} and {other}",
        target=alone,
        weights=np.where(there, weights, np.nan),
        names=(output,) if alone else tuple(targets),
        unit=unit,
        extent=(*x.ends, *y.ends),
        x_label=one,
        y_label=other,
        x_unit=units.get(one, ""),
        y_unit=units.get(other, ""),
        x_names=x.names,
        y_names=y.names[::-1],
        note=(
            "Mean answer over background sites with both covariates set to the values. Hatched: no background site has such a "
            "combination, so the model would be guessing."
        ),
    )


class _Axis:
    """Cells along one covariate: middles, outer ends, names of levels, and the cell of a value."""

    def __init__(self, values: Array, levels: Sequence[int] | None, points: int) -> None:
        self.levels = None if levels is None else np.asarray(levels, float)
        self.names: tuple[str, ...] = () if self.levels is None else tuple(f"{v:g}" for v in self.levels)
        if self.levels is not None:
            self.middle, self.ends = self.levels, (-0.5, len(self.levels) - 0.5)
            return
        low, high = float(values.min()), float(values.max())
        if not high > low:
            low, high, points = low - 0.5, high + 0.5, 1
        edges = np.linspace(low, high, points + 1)
        self.middle, self.ends = (edges[:-1] + edges[1:]) / 2, (low, high)

    def cell(self, values: Array) -> Array:
        if self.levels is not None:
            return np.abs(values[:, None] - self.levels).argmin(1)
        low, high = self.ends
        return np.clip(((values - low) / (high - low) * len(self.middle)).astype(int), 0, len(self.middle) - 1)


def _grown(there: Array, *, columns: bool, rows: bool) -> Array:
    """True also beside a True, along the axes that are continuous."""
    for axis, wanted in ((0, rows), (1, columns)):
        if wanted:
            wide = np.pad(there, [(1, 1) if a == axis else (0, 0) for a in range(2)])
            n = there.shape[axis]
            there = np.logical_or.reduce([wide.take(range(k, k + n), axis) for k in range(3)])
    return there


def _draw(background: Array, sites: int, seed: int) -> Array:
    chosen = np.random.default_rng(seed).choice(len(background), size=min(sites, len(background)), replace=False)
    return background[chosen]


def _centred(values: Array) -> Array:
    return values - values.mean(0)
