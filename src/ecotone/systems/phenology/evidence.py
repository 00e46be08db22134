"""Evidence about the whole model: the learned responses beside the classical ones, and what they rest on.

Letters: M members, P groups, K temperatures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ecotone.contract import Check, Curve, Evidence
from ecotone.data.seasons import Seasons
from ecotone.errors import InputError

if TYPE_CHECKING:
    from ecotone.systems.phenology.system import PhenologySystem

Array = np.ndarray
GROUPS = 6  # groups whose forcing is drawn
_WARM_UP = 60  # days at one temperature that the Dynamic model needs to settle
_RUG = 150


def whole_model(system: PhenologySystem, level: float) -> list[Evidence]:
    """Responses, identifiability, coverage and data."""
    found: list[Evidence] = [*chill_curve(system, level), *forcing_curves(system, level)]
    found += [check for check in system.estimator.identifiability() if isinstance(check, Evidence)]
    return [*found, *coverage_check(system), *data_checks(system)]


# ------------------------------------------------------------------------------------------------ responses
def chill_curve(system: PhenologySystem, level: float) -> list[Evidence]:
    """The learned chill response with the classical curves; empty for a network of whole days, which has none."""
    at = np.arange(-10, 25.01, 0.5)
    try:
        learned = system.estimator.response(at, level)
    except InputError:
        return []
    members = len(system.estimator.members_response(at))
    said = "The data identify it." if learned.identified else "The data do not identify it: other curves fit as well."
    return [
        Curve(
            title="Chill response",
            exact=True,
            x=at,
            y=learned.response,
            lower=learned.lower,
            upper=learned.upper,
            band=f"{level:.0%} band of {members} networks and the uncertainty of the data"
            if members > 1
            else f"{level:.0%} band",
            x_label="temperature of an hour",
            x_unit="degC",
            y_label="chill, share of the most",
            y_unit="1",
            references=classical_chill(at),
            name="learned",
            support=winter_rug(system.trained),
            note=f"How much an hour at each temperature counts towards the end of dormancy. {said} "
            "The rug shows winter hours of the seasons learned from; sizes are comparable only as shares of the highest.",
        )
    ]


def classical_chill(at: Array) -> dict[str, Array]:
    """Published responses to one hour, each divided by its highest value.

    The Dynamic model has memory; its curve is the portions per day when one temperature lasts.
    """
    from ecotone.systems.phenology import chill
    from ecotone.systems.phenology.dynamic import dynamic

    hours = np.repeat(np.asarray(at, dtype=float)[:, None], 24, axis=1)
    lasting = np.broadcast_to(np.asarray(at, dtype=float)[:, None, None], (len(at), _WARM_UP, 24))
    curves = {
        "Utah": chill.utah(hours),
        "chill hours": chill.chill_hours(hours),
        "triangular": chill.triangular(hours),
        "Dynamic, lasting": np.asarray(dynamic(np.ascontiguousarray(lasting)), dtype=float).mean(axis=1),
    }
    return {name: np.asarray(y, dtype=float) / max(float(np.nanmax(y)), 1e-12) for name, y in curves.items()}


def winter_rug(seasons: Seasons) -> Array | None:
    """Quantiles of the winter hours; None where there is no winter hour."""
    from ecotone.systems.phenology.recovery import winter_hours

    try:
        found = winter_hours(seasons)
    except InputError:
        return None
    cumulative = np.cumsum(found.share)
    return np.interp((np.arange(_RUG) + 0.5) / _RUG, cumulative, found.temperature)


def forcing_curves(system: PhenologySystem, level: float) -> list[Evidence]:
    """Forcing of an hour, one curve per group."""
    at = np.arange(-5, 30.01, 0.5)
    try:
        response = np.asarray(system.estimator.forcing_response(at), dtype=float)  # (M, P, K)
    except InputError:
        return []
    names = system.group_names(response.shape[1])
    tail = (1 - level) / 2
    found: list[Evidence] = []
    for p in range(min(response.shape[1], GROUPS)):
        low, middle, high = np.quantile(response[:, p], [tail, 0.5, 1 - tail], axis=0)
        several = len(response) > 1
        found.append(
            Curve(
                title="Forcing response" + (f", {names[p]}" if response.shape[1] > 1 and names[p] else ""),
                exact=True,
                x=at,
                y=middle,
                lower=low if several else None,
                upper=high if several else None,
                band=f"{level:.0%} of {len(response)} networks" if several else "",
                x_label="temperature of an hour",
                x_unit="degC",
                y_label="forcing",
                y_unit="degC",
                references={"degrees above 0": np.maximum(at, 0.0), "degrees above 5": np.maximum(at - 5, 0.0)},
                name="learned",
                note="What an hour adds to growth once dormancy has ended; a day adds the mean of its hours.",
            )
        )
    return found


# ------------------------------------------------------------------------------------------------ checks
def coverage_check(system: PhenologySystem) -> list[Evidence]:
    """Do 90 % intervals hold nine of ten held-out days?"""
    held = system.held_out()
    if held is None:
        return []
    covered = held.covered[np.isfinite(held.covered)]
    if len(covered) < 10:
        return []
    share, n = float(covered.mean()), len(covered)
    slack = max(0.05, 2 * float(np.sqrt(0.09 / n)))
    return [
        Check(
            title="Coverage of intervals",
            claim="share of days in held-out years that lie within the predicted 90 % interval, about",
            measured=share,
            bound=0.9,
            verdict="pass" if abs(share - 0.9) <= slack else "fail",
            details=(("held-out seasons", str(n)), ("allowed around 0.9", f"{slack:.2f}")),
            note="Far below: the intervals are too narrow. Far above: too wide.",
        )
    ]


def data_checks(system: PhenologySystem) -> list[Evidence]:
    """What became of the bloom records."""
    report: dict[str, Any] = system.report
    if not report or not report.get("records"):
        return []
    details = tuple(
        (f"{code}: {count}", f"{meaning}; {example}"[:300]) for code, meaning, count, example in report["reasons"]
    )
    return [
        Check(
            title="Bloom records used",
            claim="share of the bloom records that have temperatures and are used",
            measured=report["kept"] / report["records"],
            verdict="note",
            details=(("in words", str(report["summary"])), *details),
            note="A record is left out with a reason, never changed; tables/records.csv lists each.",
        )
    ]
