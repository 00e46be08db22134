"""What became of every bloom record on its way to a season, and how complete the temperatures of each site are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from ecotone.errors import CODES, EcotoneWarning

NAMED = 5  # sites that a message names


@dataclass(frozen=True)
class SeasonReport:
    """Records kept and left out.

    Attributes:
        records: One row per bloom record: row (in the table), site_id, group, year, date, status, station, quality, kept,
            season (position in the `Seasons`, -1 when left out), code and reason ("" when kept), missing (days before bloom
            without a measured mean temperature), longest_gap (days), days (from the season's start to bloom).
        sites: One row per site: site_id, group, station, records, kept, first_year, last_year, missing (share of the days
            before bloom of its kept seasons), longest_gap (days, of its kept seasons), thin (fewer than 2 seasons).
        unlabelled: Seasons without a record that were added.
        warnings: What was noticed and handled.
        notes: What was noticed, in words.
        lost: One row per season that was left out: site_id, year, record (whether it has one), reason.
    """

    records: pd.DataFrame
    sites: pd.DataFrame
    unlabelled: int = 0
    warnings: tuple[EcotoneWarning, ...] = ()
    notes: tuple[str, ...] = field(default_factory=tuple)
    lost: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=["site_id", "year", "record", "reason"]))

    def to_frame(self) -> pd.DataFrame:
        """One row per bloom record."""
        return self.records.copy()

    def reasons(self) -> pd.DataFrame:
        """One row per code: code, meaning, records, and the reason of the first record as an example; most frequent first."""
        out: Any = self.records[~self.records["kept"]]
        table = out.groupby("code", sort=True).agg(records=("code", "size"), example=("reason", "first")).reset_index()
        table.insert(1, "meaning", [CODES.get(str(code), "") for code in table["code"]])
        return table.sort_values("records", ascending=False, kind="stable").reset_index(drop=True)

    def summary(self) -> str:
        """One line for the command line."""
        kept, total = int(np.sum(self.records["kept"].to_numpy())), len(self.records)
        sites = int(np.sum(self.sites["kept"].to_numpy() > 0))
        text = f"{kept} of {total} bloom records at {sites} sites have temperatures"
        if self.unlabelled:
            text += f", {self.unlabelled} seasons without a record"
        rows = self.reasons().to_dict("records")
        left = [f"{row['records']} {row['meaning'].split(' (')[0]} [{row['code']}]" for row in rows]
        return text + (f"; left out: {', '.join(left)}" if left else "")

    def left_out(self, where: object) -> EcotoneWarning | None:
        """PH621 with the summary and the sites that lost all their records; None when every record was kept.

        Args:
            where: The bloom table, for the message.
        """
        if self.records["kept"].to_numpy().all():
            return None
        gone: Any = self.sites.loc[self.sites["kept"] == 0, "site_id"]
        what = self.summary()
        if len(gone):
            named = ", ".join(map(str, gone[:NAMED])) + (f" and {len(gone) - NAMED} more" if len(gone) > NAMED else "")
            what += f"; no season is left at {named}"
        return EcotoneWarning("PH621", where, what, "tables/records.csv of the run gives the reason of each")
