"""What another background would have given.

Letters: N cells, S species.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import rankdata

from ecotone.contract import Contributions

Array = np.ndarray


def agreement(one: Array, other: Array) -> Array:
    """(S,) Spearman correlation over cells of two (N, S) predictions; nan where one is constant."""
    ranks = [rankdata(v, axis=0) for v in (one, other)]
    a, b = (r - r.mean(0) for r in ranks)
    norm = np.sqrt((a**2).sum(0) * (b**2).sum(0))
    return np.divide((a * b).sum(0), norm, out=np.full(one.shape[1], np.nan), where=norm > 0)


def agreement_evidence(species: Sequence[str], values: Array, used: str, other: str) -> Contributions:
    """How much the map would change under the other background, per species."""
    return Contributions(
        title=f"What a {other} background would have given",
        names=tuple(species),
        values=values,
        unit="rank correlation with the map used",
        note=(
            f"Rank correlation over map cells between the suitability used ({used} background) and that of the same "
            f"method with a {other} background. Near 1: the choice hardly matters for this species."
        ),
    )
