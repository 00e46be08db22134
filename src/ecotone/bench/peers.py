"""Single-species peers on the same jobs: elapid's Maxent, down-sampled random forest, gradient boosting.

Each takes presences and background of one species and scores survey sites. Categorical predictors are one-hot for all.
Letters: n presences, U background, P predictors, Q sites to score.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np

from ecotone.errors import MissingDependencyError

Array = np.ndarray
Peer = Callable[[Array, Array, Array, int], Array]


def maxent(presences: Array, background: Array, query: Array, seed: int) -> Array:
    """Elapid's Maxent with linear, quadratic and ten hinge features, beta 1."""
    del seed  # deterministic
    try:
        from elapid import MaxentModel
    except ImportError:
        raise MissingDependencyError("MD101", "maxent", "needs elapid", "pip install 'ecotone[bench]'") from None
    model = MaxentModel(
        feature_types=["linear", "quadratic", "hinge"],
        n_hinge_features=10,
        beta_multiplier=1.0,
        transform="cloglog",  # pyright: ignore[reportArgumentType]
        use_sklearn=True,
        n_cpus=1,
    )
    x = np.concatenate([presences, background])
    y = np.concatenate([np.ones(len(presences)), np.zeros(len(background))])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(x, y)
        return np.asarray(model.predict(query)).ravel()


def random_forest(presences: Array, background: Array, query: Array, seed: int, *, trees: int = 200) -> Array:
    """Down-sampled random forest: each tree sees as many background sites as presences (Valavi et al. 2022)."""
    from sklearn.tree import DecisionTreeClassifier

    rng = np.random.default_rng(seed)
    n = len(presences)
    y = np.r_[np.ones(n, int), np.zeros(n, int)]
    total = np.zeros(len(query))
    query = np.ascontiguousarray(query, dtype=np.float32)
    for _ in range(trees):
        rows = np.concatenate([presences[rng.integers(n, size=n)], background[rng.integers(len(background), size=n)]])
        tree = DecisionTreeClassifier(max_features="sqrt", random_state=int(rng.integers(2**31)))
        tree.fit(rows, y)
        total += np.asarray(tree.predict_proba(query))[:, -1] if len(tree.classes_) > 1 else 0.5
    return total / trees


def gradient_boosting(presences: Array, background: Array, query: Array, seed: int) -> Array:
    """Histogram gradient boosting, presences and background of equal total weight."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    x = np.concatenate([presences, background])
    y = np.concatenate([np.ones(len(presences)), np.zeros(len(background))])
    weight = np.where(y == 1, 1.0, len(presences) / len(background))
    model = HistGradientBoostingClassifier(
        max_iter=100, learning_rate=0.05, max_leaf_nodes=8, min_samples_leaf=5, l2_regularization=1.0, random_state=seed
    )
    model.fit(x, y, sample_weight=weight)
    return model.decision_function(query)


PEERS: dict[str, Peer] = {"maxent": maxent, "rf": random_forest, "gbt": gradient_boosting}
