"""Thresholds that turn suitability into present and absent, side by side, with what each omits and covers.

A place is called present when its score is at least the threshold. There are no absences: "specificity" is the share of the
background left out, that is 1 minus the share of the area predicted present, and kappa treats background sites as absences
in the numbers given, so both depend on the background. The test of a threshold asks how often a random choice
of the same area would catch as many records (binomial, one-sided; Anderson, Lew and Peterson 2003, Ecol. Model. 162:211).
Letters: S species, U background sites, R rules.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ecotone.contract import Check
from ecotone.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray
RULES: dict[str, str] = {
    "minimum": "minimum training presence",
    "p10": "10th percentile of training presences",
    "equal": "equal sensitivity and specificity",
    "maxsum": "largest sensitivity + specificity",
    "kappa": "largest kappa",
}


@dataclass(frozen=True)
class Thresholds:
    """Thresholds of S species by R rules; nan for a species without records.

    Attributes:
        rules: R keys of `RULES`.
        value: (S, R) thresholds on the scale of the scores.
        omission: (S, R) share of the training records below.
        held_omission: (S, R) share of the held-out records below, or None.
        area: (S, R) share of the background at or above; the background-based specificity is 1 minus this.
        p_value: (S, R) chance that as many records are caught by a random area of this size: of held-out records where
            given, else of the training records, which flatters.
        records: (S,) training records.
        held_records: (S,) held-out records, or None.
    """

    rules: tuple[str, ...]
    value: Array
    omission: Array
    held_omission: Array | None
    area: Array
    p_value: Array
    records: Array
    held_records: Array | None

    def to_frame(self, species: Sequence[str], scale: Callable[[Array], Array] | None = None) -> pd.DataFrame:
        """One row per species and rule.

        Args:
            species: S names.
            scale: Turns (R, S) scores into the scale to show, such as cloglog; None keeps them.
        """
        import pandas as pd

        value = self.value if scale is None else np.asarray(scale(self.value.T)).T
        many = len(self.rules)
        table = {
            "species": np.repeat(np.array(species, dtype=object), many),
            "rule": [RULES[r] for r in self.rules] * len(species),
            "threshold": value.ravel(),
            "omission_training": self.omission.ravel(),
        }
        if self.held_omission is not None and self.held_records is not None:
            table["omission_held_out"] = self.held_omission.ravel()
        table |= {
            "area_predicted": self.area.ravel(),
            "specificity_background": 1 - self.area.ravel(),
            "p_value": self.p_value.ravel(),
            "records_training": np.repeat(self.records, many),
        }
        if self.held_records is not None:
            table["records_held_out"] = np.repeat(self.held_records, many)
        return pd.DataFrame(table)


def species_thresholds(
    scores: Array,
    species: Array,
    background: Array,
    *,
    weight: Array | None = None,
    held: tuple[Array, Array] | None = None,
) -> Thresholds:
    """All thresholds of all species.

    Args:
        scores: (n,) score of each training record, for its own species; records of all species in one array.
        species: (n,) species index of each record, 0 to S - 1.
        background: (U, S) scores at background sites, best a uniform sample of cells, so that shares of it are shares of area.
        weight: (U,) weights of the background sites, such as cell areas.
        held: Scores and species indices of held-out records, as the first two.

    Raises:
        InputError: DA404 for shapes that do not fit, DA403 for scores or weights that cannot be used.
    """
    from scipy.stats import binom

    background = np.asarray(background, dtype=np.float64)
    if background.ndim != 2 or not len(background):
        raise InputError("DA404", "thresholds", f"background {background.shape}", "pass (U, S) scores")
    count = background.shape[1]
    parts = _by_species(scores, species, count)
    share = np.ones(len(background)) if weight is None else np.asarray(weight, dtype=np.float64)
    if share.shape != background.shape[:1] or not (np.isfinite(share).all() and (share >= 0).all() and share.sum() > 0):
        raise InputError(
            "DA403", "weight", f"{share.shape}, or some are unusable", "pass one non-negative weight per site"
        )
    if np.isnan(background).any():
        raise InputError("DA403", "thresholds", "NaN in the background", "leave those sites out")
    share = share / share.sum()
    value = np.full((count, len(RULES)), np.nan)
    omission, area = np.full_like(value, np.nan), np.full_like(value, np.nan)
    for j, own in enumerate(parts):
        if own.size:
            value[j], omission[j], area[j] = _one(own, background[:, j], share)
    records = np.array([p.size for p in parts])
    held_omission, held_records = None, None
    tested, hits = records, np.rint((1 - omission) * records[:, None])
    if held is not None:
        apart = _by_species(*held, count)
        held_records = np.array([p.size for p in apart])
        hits = np.array([p.size - np.searchsorted(p, value[j], "left") for j, p in enumerate(apart)])
        known = (held_records > 0)[:, None] & np.isfinite(value)
        hits = np.where(known, hits, np.nan)
        held_omission = 1 - hits / np.maximum(held_records, 1)[:, None]
        tested = held_records
    p_value = np.where(np.isfinite(hits), binom.sf(np.nan_to_num(hits) - 1, tested[:, None], area), np.nan)
    return Thresholds(tuple(RULES), value, omission, held_omission, area, p_value, records, held_records)


def _by_species(scores: Array, species: Array, count: int) -> list[Array]:
    """Sorted scores of each species."""
    scores, species = np.asarray(scores, dtype=np.float64), np.asarray(species)
    if scores.ndim != 1 or scores.shape != species.shape or species.dtype.kind not in "iu":
        what = f"scores {scores.shape} and species {species.shape} of type {species.dtype}"
        raise InputError("DA404", "thresholds", what, "pass one score and one species index per record")
    if species.size and not (species.min() >= 0 and species.max() < count):
        raise InputError("DA404", "species", f"an index beyond the {count} columns", "pass indices of the columns")
    if np.isnan(scores).any():
        raise InputError("DA403", "thresholds", "NaN among the records' scores", "leave those records out")
    order = np.lexsort((scores, species))
    return np.split(scores[order], np.cumsum(np.bincount(species, minlength=count))[:-1])


def _one(own: Array, background: Array, share: Array) -> tuple[Array, Array, Array]:
    """Thresholds, omissions and areas of one species by every rule; `own` sorted.

    Between two records only the background changes, and a higher threshold leaves out more of it. The best sum and the best
    kappa are therefore reached at a record; equal sensitivity and specificity may be reached at a background score.
    """
    order = np.argsort(background)
    sorted_, left = background[order], np.concatenate([[0.0], np.cumsum(share[order])])
    n, u = own.size, background.size

    def below(t: Array) -> Array:  # share of the background under t, at most 1 in spite of rounding
        return np.minimum(left[np.searchsorted(sorted_, t, "left")], 1.0)

    found = 1 - np.searchsorted(own, own, "left") / n  # sensitivity with each record's score as threshold
    spared = below(own)
    total = found + spared
    best = n - 1 - int(np.argmax(total[::-1]))  # of equally good thresholds the highest
    hits, false = found * n, (1 - spared) * u
    missed, right = n - hits, u - false
    chance = (hits + false) * (hits + missed) + (missed + right) * (false + right)
    both = float(n + u) ** 2 - chance
    kappa = np.divide((hits + right) * (n + u) - chance, both, out=np.zeros(n), where=both > 0)
    agreed = n - 1 - int(np.argmax(kappa[::-1]))
    value = np.array([own[0], own[int(0.1 * n + 1e-9)], _balanced(own, sorted_, below), own[best], own[agreed]])
    return value, np.searchsorted(own, value, "left") / n, 1 - below(value)


def _balanced(own: Array, background: Array, below: Callable[[Array], Array]) -> float:
    """The score at which sensitivity and specificity differ least; the highest of several."""

    def gap(t: Array) -> Array:  # rises with t
        return below(t) - (1 - np.searchsorted(own, t, "left") / own.size)

    candidates = []
    for values in (own, background):
        low, high = 0, values.size  # first value with a gap of at least 0
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if gap(values[middle]) < 0 else (low, middle)
        candidates += [values[max(low - 1, 0)], values[min(low, values.size - 1)]]
    some = np.sort(np.array(candidates))[::-1]
    return float(some[np.argmin(np.round(np.abs(gap(some)), 12))])


def threshold_evidence(
    found: Thresholds,
    species: Sequence[str],
    shown: Sequence[int],
    *,
    scale: Callable[[Array], Array] | None = None,
    output: str = "cloglog",
    best: str = "maxsum",
    cuts: Mapping[str, Array] | None = None,
) -> list[Check]:
    """One check per species, with a line per rule.

    Args:
        found: From `species_thresholds`.
        species: S names.
        shown: Indices of the species to show.
        scale: Turns (R, S) scores into the scale to show.
        output: Its name.
        best: Rule whose threshold stands above the lines.
        cuts: Rule -> (S,) scores at which 0/1 maps of the model are cut, where its own background may differ from that of
            `found`; a line tells of each that does.
    """
    value = found.value if scale is None else np.asarray(scale(found.value.T)).T
    main = found.rules.index(best)
    checks = []
    for j in shown:
        if not found.records[j]:
            continue
        lines = []
        for r, rule in enumerate(found.rules):
            words = f"{value[j, r]:.3g}: omits {100 * found.omission[j, r]:.0f} %"
            if found.held_omission is not None and np.isfinite(found.held_omission[j, r]):
                words += f" (held out {100 * found.held_omission[j, r]:.0f} %)"
            words += f", covers {100 * found.area[j, r]:.1f} %"
            p = found.p_value[j, r]
            words += "" if np.isnan(p) else ", p < 0.001" if p < 0.001 else f", p = {p:.3f}"
            lines.append((RULES[rule], words))
        for rule, cut in (cuts or {}).items():
            own = np.full_like(found.value.T, np.nan)
            own[:] = cut
            shown_cut = own[0, j] if scale is None else float(np.asarray(scale(own))[0, j])
            if np.isfinite(shown_cut) and not np.isclose(shown_cut, value[j, found.rules.index(rule)], rtol=1e-6):
                lines.append((f"{RULES[rule]}, 0/1 maps", f"{shown_cut:.3g}: against the background of the fit"))
        held = found.held_records is not None and found.held_records[j] > 0
        checks.append(
            Check(
                title=f"{species[j]}: thresholds",
                target=species[j],
                claim=f"{output} value with the {RULES[best]}",
                measured=float(value[j, main]),
                details=tuple(lines),
                note=(
                    "At or above the threshold the species is called present. Each line: the threshold, the share of training "
                    "records below it, the share of the area at or above. p: chance that a random area of the same size "
                    f"catches as many {'held-out' if held else 'training'} records"
                    f"{'' if held else ', which flatters because the model has seen them'}. Kappa takes background cells for "
                    "absences, so it is strict where they outnumber the records."
                ),
            )
        )
    return checks
