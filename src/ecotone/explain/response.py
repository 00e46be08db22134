"""Response curves: how the answer changes along one covariate.

The curve is the partial dependence: the mean answer over background sites when the covariate is set to a value everywhere
else unchanged. Beside it stands the profile with the other covariates at their medians among the species' presences, the
curve that maxnet draws. Where the two part, covariates interact. Letters: M members, N sites, P covariates, S species.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ecotone.contract import Curve

Array = np.ndarray
Predict = Callable[[Array], Array]


def response_curves(
    predict: Predict,
    background: Array,
    presences: Sequence[Array],
    covariates: Sequence[str],
    targets: Sequence[str],
    *,
    levels: Mapping[str, Sequence[int]] | None = None,
    units: Mapping[str, str] | None = None,
    y_label: str = "suitability",
    points: int = 41,
    sites: int = 100,
    seed: int = 0,
    only: Sequence[str] | None = None,
) -> list[Curve]:
    """One curve per target and covariate.

    Args:
        predict: (N, P) covariates -> (M, N, S) answers of the ensemble members.
        background: (U, P) background sites; `sites` of them are drawn for the partial dependence.
        presences: S arrays (n_j, P), the covariates at each species' records.
        covariates: P names.
        targets: S names.
        levels: Covariate name -> levels, for categorical ones.
        units: Covariate name -> unit.
        y_label: What the answer is.
        points: Positions along a continuous covariate, from its background minimum to maximum.
        sites: Background sites averaged over.
        seed: For the draw.
        only: Covariates to draw; all by default.

    Returns:
        Curves, ordered by target, then covariate. The band spans the 5th to 95th percentile of members (None for one).
    """
    levels, units = levels or {}, units or {}
    rng = np.random.default_rng(seed)
    sample = background[rng.choice(len(background), size=min(sites, len(background)), replace=False)]
    found: dict[tuple[int, str], Curve] = {}
    for p, name in enumerate(covariates):
        if only is not None and name not in only:
            continue
        categorical = name in levels
        grid = np.asarray(levels[name], float) if categorical else _grid(background[:, p], points)
        varied = np.repeat(sample[None], len(grid), axis=0)  # (G, N, P)
        varied[:, :, p] = grid[:, None]
        answer = predict(varied.reshape(-1, len(covariates)))
        partial = answer.reshape(answer.shape[0], len(grid), len(sample), -1).mean(2)  # (M, G, S)
        profiles = _profiles(predict, presences, background, covariates, levels, p, grid)  # (M, G, S)
        for j, target in enumerate(targets):
            member = partial[:, :, j]
            band = np.quantile(member, [0.05, 0.95], axis=0) if len(member) > 1 else None
            own = presences[j][:, p] if len(presences[j]) else background[:, p]
            found[j, name] = Curve(
                title=f"{target}: response to {name}",
                target=target,
                x=np.arange(len(grid), dtype=float) if categorical else grid,
                y=member.mean(0),
                x_label=name,
                x_unit=units.get(name, ""),
                y_label=y_label,
                lower=None if band is None else band[0],
                upper=None if band is None else band[1],
                band="" if band is None else f"5-95 % of {len(member)} ensemble members",
                references={"others at the presences' median": profiles[:, :, j].mean(0)},
                support=None if categorical else np.sort(own),
                categories=tuple(f"{v:g}" for v in grid) if categorical else None,
                note="Mean answer over background sites with this covariate set to the value; ticks are the records.",
            )
    return [found[j, name] for j in range(len(targets)) for name in covariates if (j, name) in found]


def _grid(values: Array, points: int) -> Array:
    low, high = values.min(), values.max()
    return np.linspace(low, high, points) if high > low else np.array([low])


def _profiles(
    predict: Predict,
    presences: Sequence[Array],
    background: Array,
    covariates: Sequence[str],
    levels: Mapping[str, Sequence[int]],
    p: int,
    grid: Array,
) -> Array:
    """(M, G, S): the other covariates at the median (most frequent level) of each species' presences."""
    rows = np.stack([_centre(own if len(own) else background, covariates, levels) for own in presences])  # (S, P)
    varied = np.repeat(rows[None], len(grid), axis=0)  # (G, S, P)
    varied[:, :, p] = grid[:, None]
    answer = predict(varied.reshape(-1, rows.shape[1]))
    species = np.arange(len(rows))
    return answer.reshape(answer.shape[0], len(grid), len(rows), -1)[:, :, species, species]


def _centre(values: Array, covariates: Sequence[str], levels: Mapping[str, Sequence[int]]) -> Array:
    centre = np.median(values, axis=0)
    for p, name in enumerate(covariates):
        if name in levels:
            known, count = np.unique(values[:, p], return_counts=True)
            centre[p] = known[count.argmax()]
    return centre
