"""The coming season of a site beside its past years."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ecotone.contract import Check, Curve
from ecotone.systems.phenology.coming import coming, coming_curve


def test_the_coming_season_stands_beside_past_years(fitted: Any) -> None:
    items = fitted.explain(target="site-01")
    assert isinstance(items[0], Check) and items[0].title == "Coming bloom" and items[0].details[0][0] == "site-01"
    curve = next(i for i in items if i.title.startswith("site-01: coming bloom"))
    assert isinstance(curve, Curve) and curve.x_unit == "day of the year"
    assert (np.diff(curve.y) >= 0).all() and curve.y[0] < 0.1 and curve.y[-1] > 0.9
    year = int(curve.title[-4:])
    asked = fitted.predict({"years": str(year), "sites": "site-01"}).to_frame().iloc[0]
    assert asked["kind"] == "forecast"  # what `predict` says of the same season
    assert np.interp(0.5, curve.y, curve.x) == pytest.approx(asked["q50"], abs=1.01)
    (past,) = curve.references.values()
    trained = fitted.trained.take((fitted.trained.site_id == "site-01") & fitted.trained.observed)
    days = trained.doy(trained.event)
    assert past == pytest.approx([(days <= day).mean() for day in curve.x])


def test_the_words_beside_two_dates_are_their_difference(fitted: Any) -> None:
    one = coming(fitted, "site-01")
    assert one is not None
    middle = float(one.season.doy(one.found.bloom.quantiles((0.5,)))[0, 0])
    dates, words = (
        set(),
        {"as usual": 0, "1 day earlier": 1, "1 day later": -1, "2 days earlier": 2, "2 days later": -2},
    )
    for past in np.rint(middle) + np.arange(-2, 2.01, 0.1):
        note = coming_curve(one._replace(past=np.full(5, past))).note
        even, usual = (
            pd.Timestamp(f"{day} 2001") for day in re.findall(r"(?:odds by|years is) (\d+ [A-Z][a-z]+)", note)
        )
        (said,) = re.findall(r"years is [^:]+: ([^.]+)\.", note)
        assert words[said] == (usual - even).days
        dates.add(said)
    assert dates == set(words)
    never = replace(one.found.bloom, cdf=one.found.bloom.cdf * 0.4)
    later = one._replace(found=replace(one.found, bloom=never))
    assert "Even odds by later" in coming_curve(later).note and ": later." in coming_curve(later).note
