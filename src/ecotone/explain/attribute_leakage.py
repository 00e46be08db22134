"""Whether the vector of one part tells the attributes of others.

A vision transformer mixes all patches before parts are pooled, so a vector shown as "the beak" may speak for the whole bird: the
gap of PDiscoFormer (arXiv 2407.04538) that led to iFAM (arXiv 2506.08915). Without attributes, see
`ecotone.explain.part_audits`.
Letters: N, M images, K parts, D width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import ndtri

from ecotone.contract import Check, Evidence, Overlay
from ecotone.errors import InputError

Array = np.ndarray


class AttributeLeakage(NamedTuple):
    """What part vectors tell of the parts' attributes.

    Attributes:
        accuracy: (K, K) held-out balanced accuracy: from the vector of part i (row) the attribute of part j (column); NaN where
            it cannot be asked.
        chance: (K, K) what is expected without leakage: 1 / values, or the balanced accuracy from the attribute of part i
            itself where attributes go together.
        slack: (K, K) how far above chance luck alone may come, at 5 % over all pairs of different parts together.
        names: K names.
    """

    accuracy: Array
    chance: Array
    slack: Array
    names: tuple[str, ...]

    @property
    def leaks(self) -> Array:
        """(K, K) whether part i tells more of part j than it should; False on the diagonal."""
        with np.errstate(invalid="ignore"):
            above = self.accuracy > self.chance + self.slack
        return above & ~np.eye(len(self.names), dtype=bool)

    def evidence(self) -> list[Evidence]:
        """The matrix, and a check of its worst entry off the diagonal."""
        matrix = Overlay(
            title="What each part's vector tells of each part",
            weights=self.accuracy[None],
            names=("balanced accuracy",),
            x_label="attribute of",
            y_label="from the vector of",
            x_names=self.names,
            y_names=self.names,
            note="Held-out balanced accuracy of a ridge classifier. Without leakage only the diagonal is above chance.",
        )
        apart = ~np.eye(len(self.names), dtype=bool) & np.isfinite(self.accuracy)
        if not apart.any():
            return [matrix]
        margin = np.where(apart, self.accuracy - self.chance - self.slack, -np.inf)
        i, j = np.unravel_index(margin.argmax(), margin.shape)
        check = Check(
            title="Do part vectors know of other parts?",
            claim="balanced accuracy above chance for the attribute of another part, at most (worst pair)",
            measured=float(self.accuracy[i, j] - self.chance[i, j]),
            bound=float(self.slack[i, j]),
            verdict="fail" if self.leaks.any() else "pass",
            details=(
                ("worst pair", f"{self.names[j]} from {self.names[i]}: {self.accuracy[i, j]:.3f}"),
                ("by chance", f"{self.chance[i, j]:.3f}"),
                ("pairs above chance", f"{int(self.leaks.sum())} of {int(apart.sum())}"),
                ("own part, mean", f"{_mean(np.diag(self.accuracy)):.3f}"),
            ),
            note="The bound is what luck allows over all pairs together. A linear probe: leakage of other kinds may be missed.",
        )
        return [matrix, check]


def attribute_leakage(
    vectors_train: Array,
    attributes_train: Array,
    vectors_test: Array,
    attributes_test: Array,
    *,
    names: Sequence[str] | None = None,
) -> AttributeLeakage:
    """Predicts the attribute of every part from the vector of every part.

    Args:
        vectors_train: (N, K, D) finite.
        attributes_train: (N, K) integers from 0, such as the true variant of the part; -1 for absent or unknown.
        vectors_test: (M, K, D).
        attributes_test: (M, K); values that do not occur in training are left out.
        names: K names of the parts.

    Raises:
        InputError: DA404 on shapes that do not fit, DA403 on vectors that are not finite.
    """
    from sklearn.linear_model import RidgeClassifierCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x, y = _labelled(vectors_train, attributes_train, "train")
    z, truth = _labelled(vectors_test, attributes_test, "test")
    if x.shape[1:] != z.shape[1:]:
        raise InputError(
            "DA404", "vectors", f"{x.shape[1:]} and {z.shape[1:]}", "pass as many parts and numbers in both"
        )
    parts = x.shape[1]
    names = tuple(names) if names is not None else tuple(f"part {k + 1}" for k in range(parts))
    if len(names) != parts:
        raise InputError("DA404", "names", f"{len(names)} for {parts} parts", "name each part")
    accuracy, chance, slack = (np.full((parts, parts), np.nan) for _ in range(3))
    luck = float(ndtri(1 - 0.05 / max(parts * (parts - 1), 1)))
    for j in range(parts):
        known = y[:, j] >= 0
        values = np.unique(y[known, j])
        asked = np.isin(truth[:, j], values)
        if len(values) < 2 or len(np.unique(truth[asked, j])) < 2:
            continue
        goal, want = np.searchsorted(values, y[known, j]), np.searchsorted(values, truth[asked, j])
        sizes = np.bincount(want)
        sizes = sizes[sizes > 0]
        for i in range(parts):
            probe = make_pipeline(StandardScaler(), RidgeClassifierCV(np.logspace(-1, 5, 13), class_weight="balanced"))
            probe.fit(x[known, i], goal)
            accuracy[i, j] = balanced_share(probe.predict(z[asked, i]) == want, want)
            expected = 1 / len(sizes)
            if i != j:
                expected = max(expected, _by_attribute(y[known, i], goal, truth[asked, i], want))
            chance[i, j] = expected
            # standard error of a mean over values of shares that are each right by chance
            slack[i, j] = luck * np.sqrt((expected * (1 - expected) / sizes).sum()) / len(sizes)
    return AttributeLeakage(accuracy, chance, slack, names)


def balanced_share(correct: Array, truth: Array) -> float:
    """Mean over values of the share of their rows that are right."""
    sizes = np.bincount(truth)
    return float((np.bincount(truth, weights=correct)[sizes > 0] / sizes[sizes > 0]).mean())


def _mean(values: Array) -> float:
    some = values[~np.isnan(values)]
    return float(some.mean()) if some.size else float("nan")


def _by_attribute(own: Array, goal: Array, own_test: Array, want: Array) -> float:
    """Balanced accuracy of naming, for each value of part i's own attribute, the value of part j that goes with it most."""
    size = max(own.max(), own_test.max()) + 2  # -1 is a value too
    table = np.zeros((size, goal.max() + 1))
    np.add.at(table, (own + 1, goal), 1 / np.bincount(goal)[goal])
    answer = np.where(table.any(1), table.argmax(1), -1)[own_test + 1]
    return balanced_share(answer == want, want)


def _labelled(vectors: Array, attributes: Array, which: str) -> tuple[Array, Array]:
    x, y = np.asarray(vectors, dtype=np.float64), np.asarray(attributes)
    if x.ndim != 3 or y.shape != x.shape[:2] or not x.size or not np.issubdtype(y.dtype, np.integer):
        what = f"vectors {x.shape}, attributes {y.shape} of {y.dtype}"
        raise InputError("DA404", which, what, "pass (N, K, D) and integers (N, K)")
    if y.min() < -1:
        raise InputError("DA404", which, f"attribute {y.min()}", "pass attributes from 0, or -1 for unknown")
    if not np.isfinite(x).all():
        raise InputError("DA403", which, "some vectors are not finite", "leave those images out")
    return x, y.astype(np.int64)
