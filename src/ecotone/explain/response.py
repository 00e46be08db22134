"""Response curves: how the answer changes along one covariate.

The curve is the partial dependence: the mean answer over background sites when the covariate is set to a value everywhere
else unchanged. Beside it stands the profile with the other covariates at their medians among the species' presences, the
curve that maxnet draws. Where the two part, covariates interact. A band says one of two different things: what the members
(of an ensemble, or refits to resampled records) disagree on, or how far single sites lie from the mean because their
other covariates differ (individual conditional expectation; Goldstein et al. 2015, J. Comput. Graph. Stat. 24:44).
Letters: M members, N sites, P covariates, S species, G positions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ecotone.contract import Curve
from ecotone.errors import InputError, UsageError

Array = np.ndarray
Predict = Callable[[Array], Array]
BANDS = ("members", "sites", "auto", "none")
_EDGES = (0.05, 0.95)
_COMPARED = 6  # lines that can be told apart on one axis


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
    band: str = "members",
    member: str = "ensemble member",
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
        band: "members" for the 5th to 95th percentile of the members' curves (no band for a single member), "sites" for
            that of the single sites' curves, members averaged; "auto" takes members where there are several; "none".
        member: What a member is, in the words of the band: "ensemble member", "bootstrap refit".

    Returns:
        Curves, ordered by target, then covariate; `Curve.band` says what the band is.

    Raises:
        UsageError: US104 for an unknown band.
        InputError: OC205 without background sites, DA404 when presences and targets differ in number.
    """
    if band not in BANDS:
        raise UsageError("US104", "band", f"{band!r} is no band", f"choose one of {', '.join(BANDS)}")
    if not len(background):
        raise InputError("OC205", "response curves", "there is no background site to average over", "pass some")
    if len(presences) != len(targets):
        what = f"presences of {len(presences)} species for {len(targets)} targets"
        raise InputError("DA404", "response curves", what, "pass one array per target")
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
        answer = answer.reshape(answer.shape[0], len(grid), len(sample), -1)
        partial = answer.mean(2)  # (M, G, S)
        low, high, words = _band(answer, partial, band, member)
        profiles = _profiles(predict, presences, background, covariates, levels, p, grid)  # (M, G, S)
        for j, target in enumerate(targets):
            own = presences[j][:, p] if len(presences[j]) else background[:, p]
            found[j, name] = Curve(
                title=f"{target}: response to {name}",
                target=target,
                x=np.arange(len(grid), dtype=float) if categorical else grid,
                y=partial[:, :, j].mean(0),
                x_label=name,
                x_unit=units.get(name, ""),
                y_label=y_label,
                lower=None if low is None else low[:, j],
                upper=None if high is None else high[:, j],
                band=words,
                references={"others at the presences' median": profiles[:, :, j].mean(0)},
                support=None if categorical else np.sort(own),
                categories=tuple(f"{v:g}" for v in grid) if categorical else None,
                note="Mean answer over background sites with this covariate set to the value; ticks are the records.",
            )
    return [found[j, name] for j in range(len(targets)) for name in covariates if (j, name) in found]


def compare_species(curves: Sequence[Curve], *, scaled: bool = False, limit: int = _COMPARED) -> list[Curve]:
    """Several species on one axis, one curve per covariate.

    Args:
        curves: From `response_curves`, in the order in which species should be named.
        scaled: Divide each curve by its own maximum, to compare shapes where levels differ.
        limit: Species shown at most; more lines cannot be told apart.

    Returns:
        Curves without a band: the first species as `y`, the others as references. A covariate for which fewer than two
        species have a curve is left out.
    """
    by_name: dict[str, list[Curve]] = {}
    for curve in curves:
        by_name.setdefault(curve.x_label, []).append(curve)
    found = []
    for name, several in by_name.items():
        same = [c for c in several if c.categories == several[0].categories and np.array_equal(c.x, several[0].x)]
        shown = {c.target: _shape(c.y) if scaled else np.asarray(c.y) for c in same[:limit]}
        if len(shown) < 2:
            continue
        first, *others = shown
        left = len(same) - len(shown)
        found.append(
            Curve(
                title=f"Species compared: response to {name}",
                x=several[0].x,
                y=shown[first],
                name=first,
                references={other: shown[other] for other in others},
                x_label=name,
                x_unit=several[0].x_unit,
                y_label="share of the species' maximum" if scaled else several[0].y_label,
                y_unit="1" if scaled else several[0].y_unit,
                categories=several[0].categories,
                note="Mean answer over background sites with this covariate set to the value."
                + (" Each curve is divided by its own maximum." if scaled else "")
                + (f" {left} more species are not shown." if left else ""),
            )
        )
    return found


def _shape(y: Array) -> Array:
    top = np.max(np.abs(y))
    return y / top if top > 0 else np.zeros_like(y)


def _band(answer: Array, partial: Array, band: str, member: str) -> tuple[Array | None, Array | None, str]:
    """Edges (G, S) and what they are, from (M, G, N, S) answers and their (M, G, S) means over sites."""
    members, _, sites, _ = answer.shape
    if band == "auto":
        band = "members" if members > 1 else "sites"
    if band == "members" and members > 1:
        low, high = np.quantile(partial, _EDGES, axis=0)
        return low, high, f"5-95 % of {members} {member}s"
    if band == "sites" and sites > 1:
        low, high = np.quantile(answer.mean(0), _EDGES, axis=1)
        return (
            low,
            high,
            f"5-95 % of {sites} single background sites, whose other covariates differ; not an uncertainty",
        )
    return None, None, ""


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
