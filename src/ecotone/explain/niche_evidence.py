"""Overlap and breadth of species as evidence: a matrix, the most and least similar pairs, tests.

Letters: S species.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ecotone.contract import Check, Contributions, Evidence, Overlay
from ecotone.explain.niche import NAMES, Overlap, OverlapTest

Array = np.ndarray
MATRIX = 30
"""Species in the matrix at most; more names cannot be read."""

_WHERE = "over the cells of the map"


def overlap_evidence(
    found: Overlap, species: Sequence[str], *, shown: Sequence[int] | None = None, pairs: int = 6, where: str = _WHERE
) -> list[Evidence]:
    """The matrix of Schoener's D, and the pairs at its ends.

    Args:
        found: From `niche_overlap`.
        species: S names.
        shown: Species in the matrix, the first 30 by default; the pairs are sought among all.
        pairs: Pairs listed at each end.
        where: What the overlap was computed over.

    Returns:
        A matrix as `Overlay`, the most similar and the least similar pairs and the breadths as `Contributions`; nothing for
        one species.
    """
    many = len(species)
    if many < 2:
        return []
    some = list(range(many) if shown is None else shown)[:MATRIX]
    some = [some[k] for k in _order(found.d[np.ix_(some, some)])]
    names = tuple(species[j] for j in some)
    left = many - len(some)
    evidence: list[Evidence] = []
    if len(some) > 1:
        evidence.append(
            Overlay(
                title="Niche overlap of species",
                weights=found.d[np.ix_(some, some)][None],
                names=("Schoener's D",),
                unit="1",
                x_names=names,
                y_names=names,
                note=f"1: same relative intensity everywhere, 0: nowhere together, {where}. Similar species stand side by side."
                + (f" {left} more species are in the table of pairs only." if left else ""),
            )
        )
    a, b = np.triu_indices(many, 1)
    values = found.d[a, b]
    most = np.argsort(-values, kind="stable")[:pairs]
    lists = [("Niche overlap: most similar pairs", most)]
    if len(values) > pairs:
        lists.append(("Niche overlap: least similar pairs", np.argsort(values, kind="stable")[:pairs]))
    for title, order in lists:
        evidence.append(
            Contributions(
                title=title,
                names=tuple(_pair(species[int(a[k])], species[int(b[k])]) for k in order),
                values=values[order],
                unit="Schoener's D, 0 apart to 1 same",
                note=f"Of {len(values):,} pairs, {where}.",
            )
        )
    evidence.append(
        Contributions(
            title="Niche breadth of species",
            names=tuple(species),
            values=100 * found.breadth,
            unit="% of the area, spread evenly",
            note="Levins' breadth: a species as concentrated as one spread evenly over this share of the area. "
            "It is the breadth of the answer: a cautious model spreads species with few records.",
        )
    )
    return evidence


def overlap_test_evidence(test: OverlapTest, one: str, other: str) -> Check:
    """An identity or similarity test as a check; its verdict is a note, since neither answer is a fault."""
    low, middle, high = np.quantile(test.chance, [0.05, 0.5, 0.95])
    identity = test.kind == "identity"
    p = test.lower if identity else min(1.0, 2 * min(test.lower, test.upper))
    claim = (
        f"{one} and {other} are interchangeable"
        if identity
        else f"{other} resembles {one} as random places in its reach do"
    )
    return Check(
        title=f"Niche {test.kind}: {_pair(one, other)}",
        claim=f"{claim} ({NAMES[test.statistic]})",
        measured=test.observed,
        unit="1",
        details=(
            ("by chance", f"{middle:.3f} ({low:.3f} to {high:.3f} in 90 % of {len(test.chance)} repeats)"),
            ("p, overlap smaller than chance", f"{test.lower:.3f}"),
            ("p, overlap larger than chance", f"{test.upper:.3f}"),
            ("p of this test", f"{p:.3f}{' (one-sided)' if identity else ' (two-sided)'}"),
        ),
        note=(
            "Records of both are pooled and dealt out again. A small p: they differ by more than chance."
            if identity
            else "Records of one species are replaced by random places of its background. A small p: more, or less, alike than "
            "the places they could choose from."
        ),
    )


def _pair(one: str, other: str) -> str:
    return f"{one} – {other}"


def _order(d: Array) -> list[int]:
    """Species in the order of a hierarchical clustering, so that blocks of similar ones show."""
    if len(d) < 3:
        return list(range(len(d)))
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    apart = 1 - (d + d.T) / 2
    np.fill_diagonal(apart, 0.0)
    return leaves_list(linkage(squareform(apart, checks=False), "average", optimal_ordering=True)).tolist()
