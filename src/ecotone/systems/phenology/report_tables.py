"""Tables beside the evidence: parameters, all answers, chill of winters, warming, and what became of each record."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ecotone.data.seasons import Status
from ecotone.errors import EcotoneError

if TYPE_CHECKING:
    import pandas as pd

    from ecotone.systems.phenology.system import PhenologySystem

SITES = 50  # sites whose winters and warming are worked out


def tables(system: PhenologySystem, records: pd.DataFrame | None) -> dict[str, pd.DataFrame]:
    """File name -> table; empty ones are left out.

    Args:
        system: Fitted.
        records: One row per bloom record, where the fit has just been made.
    """
    found = {"parameters": system.estimator.parameters(), "predictions": predictions(system)}
    if records is not None:
        words = {int(s): s.name.lower() for s in Status}
        records = records.assign(
            status=[words[int(s)] for s in records["status"]], year=records["year"].astype("Int64")
        )
        found["records"] = records
        found["gap-report"] = records[~records["kept"].to_numpy(dtype=bool)]
    found |= winters(system)
    moved = warmings(system)
    if moved is not None:
        found["warming"] = moved
    return {name: table for name, table in found.items() if len(table)}


def predictions(system: PhenologySystem) -> pd.DataFrame:
    """Answers for every season with temperatures; beside them observed days, and answers of networks that had not seen them."""
    import pandas as pd

    frame = system.predict().to_frame()
    seasons = system.trained
    event = np.where(seasons.observed, seasons.event, np.nan)
    seen = pd.DataFrame({"site_id": seasons.site_id.astype(str), "year": seasons.year, "observed": seasons.doy(event)})
    held = system.held_out()
    if held is not None:
        part = held.seasons
        apart = {"site_id": part.site_id.astype(str), "year": part.year, "held_out": part.doy(held.day)}
        seen = seen.merge(pd.DataFrame(apart), how="left", on=["site_id", "year"])
    return frame.merge(seen.groupby(["site_id", "year"], as_index=False).first(), how="left", on=["site_id", "year"])


def winters(system: PhenologySystem) -> dict[str, pd.DataFrame]:
    """Chill of each winter, and the chill that can be counted on."""
    from ecotone.systems.phenology.winter import safe_winter_chill, winter_chill

    seasons = system.seasons
    _, once = np.unique(np.stack([seasons.site, seasons.year]), axis=1, return_index=True)
    shown = np.unique(seasons.site)[:SITES]
    chosen = seasons.take(np.sort(once))
    chosen = chosen.take(np.isin(chosen.site, shown))
    try:
        chill = winter_chill(chosen)
        return {"winter-chill": chill, "safe-winter-chill": safe_winter_chill(chill)}
    except EcotoneError:  # a season that does not hold the winter, or no whole winter
        return {}


def warmings(system: PhenologySystem) -> pd.DataFrame | None:
    """Shifts of bloom with warming, of the sites with evidence of their own."""
    import pandas as pd

    from ecotone.systems.phenology.warming import warming

    parts = []
    for site in system.shown_sites():
        pool = system.trained_whole(site)
        if len(pool):
            parts.append(warming(system.estimator.predict, pool, system.climate).shifts(site))
    return pd.concat(parts, ignore_index=True) if parts else None
