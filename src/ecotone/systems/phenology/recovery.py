"""Does a fit find the chill response that made the data? Judged on simulated trees, at temperatures that winters hold.

A learned response is compared with the truth where data can speak: at the whole degrees at which at least one per cent of the
winter hours of the seasons lie. Both are normalised to a maximum of 1 over these, since the size of a response and the
chill requirement cannot be told apart. Letters: N seasons, K temperatures, B bins.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ecotone.data.seasons import Seasons
from ecotone.data.simulated.trees import TreeWorld
from ecotone.errors import InputError

Array = np.ndarray
SHARE = 0.01
_MONTHS = (11, 12, 1, 2)  # winter in the north; six months later in the south
_RANGE = -60, 60  # degC
_CHUNK = 128  # seasons at a time
NEAR = 0.02  # of the maximum: what is too small to matter, such as a band that ends just above a truth of 0


class WinterHours(NamedTuple):
    """How winter hours spread over temperatures.

    Attributes:
        temperature: (B,) degC, whole degrees, rising without gaps; a bin reaches half a degree to each side.
        share: (B,) of the winter hours; they add up to 1.
    """

    temperature: Array
    share: Array

    def usual(self, share: float = SHARE) -> Array:
        """(B,) whether a bin holds at least a share of the hours."""
        return self.share >= share


@dataclass(frozen=True)
class FittedResponse:
    """A learned chill response with its band, normalised to a maximum of 1 over the usual winter temperatures.

    Attributes:
        temperature: (K,) degC, rising, reaching over the usual winter temperatures.
        response: (K,) chill per hour or day at that temperature.
        lower: (K,) 5 % bound.
        upper: (K,) 95 % bound.
        identified: Whether the fit itself says that the data determine the response.
    """

    temperature: Array
    response: Array
    lower: Array
    upper: Array
    identified: bool

    def __post_init__(self) -> None:
        k = len(self.temperature)
        parts = (self.response, self.lower, self.upper)
        if any(np.shape(p) != (k,) for p in parts) or not (np.diff(self.temperature) > 0).all():
            what = f"parts of {[np.shape(p) for p in parts]} at {k} temperatures"
            raise InputError("DA404", "fitted response", what, "give equally long parts at rising temperatures")

    def at(self, temperature: Array) -> tuple[Array, Array, Array]:
        """Response, lower and upper bound at temperatures (degC) between those given, by straight lines.

        Raises:
            InputError: DA404 for temperatures outside those given.
        """
        low, high = float(self.temperature[0]), float(self.temperature[-1])
        if temperature.min() < low - 1e-6 or temperature.max() > high + 1e-6:
            what = f"is given from {low:g} to {high:g} degC, winters reach from {temperature.min():g} to {temperature.max():g}"
            raise InputError("DA404", "fitted response", what, "give it over all usual winter temperatures")
        return tuple(np.interp(temperature, self.temperature, p) for p in (self.response, self.lower, self.upper))  # type: ignore[return-value]


Fit = Callable[[Seasons, int], FittedResponse]


def winter_hours(seasons: Seasons) -> WinterHours:
    """Shares of the hours of November to February (May to August in the south) by whole degrees.

    Args:
        seasons: Of which days without temperature are passed over.

    Raises:
        InputError: DA404 when no winter hour has a temperature.
    """
    low, high = _RANGE
    count = np.zeros(high - low + 1, dtype=np.int64)
    for start in range(0, len(seasons), _CHUNK):
        rows = slice(start, min(start + _CHUNK, len(seasons)))
        days = seasons.first[rows, None] + np.arange(seasons.length)
        month = days.astype("datetime64[M]").astype(int) % 12 + 1
        month = np.where(seasons.latitude[rows, None] < 0, (month + 5) % 12 + 1, month)
        hours = seasons.hourly(rows)[np.isin(month, _MONTHS)]
        hours = hours[np.isfinite(hours)]
        # half degrees go up everywhere, unlike rint
        place = np.clip(np.floor(hours + 0.5).astype(np.int64), low, high) - low
        count += np.bincount(place, minlength=len(count))
    held = np.flatnonzero(count)
    if not held.size:
        raise InputError("DA404", "winter hours", "no winter hour has a temperature", "give seasons that hold winters")
    part = slice(held[0], held[-1] + 1)
    return WinterHours(np.arange(low, high + 1)[part].astype(float), count[part] / count.sum())


def normalised(response: Callable[[Array], Array], temperature: Array) -> Array:
    """(K,) a response at rising temperatures, over its maximum between the first and the last of them."""
    fine = np.linspace(temperature[0], temperature[-1], 10 * len(temperature))
    return response(temperature) / max(float(response(fine).max()), float(response(temperature).max()), 1e-12)


def score_response(fitted: FittedResponse, world: TreeWorld, *, share: float = SHARE) -> dict[str, Any]:
    """Compares a learned response with that of the world the seasons came from.

    Args:
        fitted: Of the world's seasons.
        world: With the truth.
        share: Of the winter hours that a temperature must hold to be judged.

    Returns:
        A dict of

        - temperatures: how many were judged;
        - coverage: share of them whose band holds the truth; coverage_near: the same with `NEAR` to spare on both sides;
        - below, above: shares of them at which the truth lies below and above the band;
        - width: mean width of the band;
        - correlation, rmse: of the response with the truth, Pearson and root mean square;
        - peak_error: degC from the peak of the truth to that of the response;
        - identified: what the fit says.
    """
    hours = winter_hours(world.seasons)
    judged = hours.temperature[hours.usual(share)]
    truth = normalised(world.response, judged)
    response, lower, upper = fitted.at(judged)
    below, above = lower - truth, truth - upper
    flat = np.std(response) < 1e-9 or np.std(truth) < 1e-9
    return {
        "temperatures": len(judged),
        "coverage": float(((below <= 0) & (above <= 0)).mean()),
        "coverage_near": float(((below <= NEAR) & (above <= NEAR)).mean()),
        "below": float((below > 0).mean()),
        "above": float((above > 0).mean()),
        "width": float((upper - lower).mean()),
        "correlation": float("nan") if flat else float(np.corrcoef(response, truth)[0, 1]),
        "rmse": float(np.sqrt(np.mean((response - truth) ** 2))),
        "peak_error": float(judged[response.argmax()] - judged[truth.argmax()]),
        "identified": bool(fitted.identified),
    }


def recovery(fit: Fit, worlds: Iterable[TreeWorld], *, share: float = SHARE) -> Iterator[dict[str, Any]]:
    """Fits world after world and scores each; rows come as they are ready.

    Args:
        fit: From seasons and a seed to a response with its band; it sees no truth.
        worlds: Drawn independently.
        share: See `score_response`.

    Yields:
        One row per world: what it is (seed, winters, shape, seasons, limited, signal), `score_response`, seconds.
    """
    for world in worlds:
        begin = time.perf_counter()
        fitted = fit(world.seasons, world.seed)
        seconds = time.perf_counter() - begin
        yield {
            "seed": world.seed,
            "winters": world.winters,
            "shape": world.response.shape,
            "peak": world.response.peak,
            "seasons": len(world.seasons),
            "limited": round(float(world.limited.mean()), 4),
            "signal": round(world.signal, 4),
            **score_response(fitted, world, share=share),
            "seconds": round(seconds, 4),
        }
