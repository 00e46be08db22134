"""Which sites of a fit the tables of a query mean.

A site with several groups (species, varieties) is several sites to a fit, with the group behind the name: `Kyoto / yoshino`.
Tables may name it so, or by its name and species. Letters: G sites, R records.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from ecotone.data.bloom_tables import BloomTable
from ecotone.data.season_columns import plain
from ecotone.errors import InputError, listed

Key = tuple[str, str]
"""Name in tables, and group."""


@dataclass(frozen=True)
class KnownSites:
    """Sites of a fit.

    Attributes:
        keys: Site -> how tables call it.
    """

    keys: dict[str, Key]

    @classmethod
    def of(cls, sites: pd.DataFrame) -> KnownSites:
        """From G rows with site_id and group."""
        return cls(_keys(sites))

    @property
    def grouped(self) -> bool:
        """Whether the fit tells groups apart."""
        return any(group for _, group in self.keys.values())

    def ids(self, name: str) -> list[str]:
        """Sites that a table means by a name."""
        return [name] if name in self.keys else [one for one, (stem, _) in self.keys.items() if stem == name]

    def spread(self, table: pd.DataFrame) -> pd.DataFrame:
        """A table of sites or stations, with a row for each site that it means; sites that are not known stay."""
        if "site_id" not in table:
            return table
        meant = [self.ids(str(name)) or [str(name)] for name in table["site_id"]]
        return table.assign(site_id=meant).explode("site_id", ignore_index=True)

    def stem(self, table: pd.DataFrame) -> pd.DataFrame:
        """A table with the names of sites without the groups behind them."""
        if "site_id" not in table:
            return table
        return table.assign(site_id=[self.keys.get(str(name), (str(name), ""))[0] for name in table["site_id"]])

    def homes(self, sites: pd.DataFrame) -> pd.DataFrame:
        """Coordinates by the names that tables use: site_id, latitude, longitude, altitude."""
        table: Any = sites[["site_id", "latitude", "longitude", "altitude"]]
        return self.stem(table).drop_duplicates("site_id")

    def records(self, table: BloomTable) -> BloomTable:
        """Records with the names that tables use, and the group a known site has where they state none.

        Raises:
            InputError: PH603 when the fit knows several groups at a site and a record says none of them.
        """
        frame: Any = table.frame
        pairs: Any = pd.MultiIndex.from_frame(frame[["site_id", "group"]].astype(str))
        settled: dict[Key, Key] = {}
        for name, group in pairs.unique():
            stem, own = self.keys.get(name, (name, ""))
            settled[name, group] = stem, group or (own if stem != name else "")
        for pair, (name, group) in settled.items():
            known = [g for stem, g in self.keys.values() if stem == name]
            if not group and len(known) > 1:
                what = f"does not say which species or group of {name} it means; the run has {listed(known, 12)}"
                raise InputError("PH603", table.where, what, "add a column species or group")
            same = [g for g in known if plain(g) == plain(group)]
            alone = len({g for n, g in settled.values() if n == name}) == 1
            if known and (not group or (known == [""] and alone)):  # or the fit does not tell groups apart here
                same = known
            settled[pair] = name, same[0] if same else group
        rows = [settled[pair] for pair in pairs]
        return replace(table, frame=frame.assign(site_id=[n for n, _ in rows], group=[g for _, g in rows]))

    def named(self, sites: pd.DataFrame) -> dict[str, str]:
        """Site -> its name in the fit; others keep theirs, with the group behind it where the fit uses that name."""
        back = {key: one for one, key in self.keys.items()}
        found = {}
        for one, (name, group) in _keys(sites).items():
            other = f"{name} / {group}" if group and self.ids(name) else one
            found[one] = back.get((name, group), other)
        return found


def _keys(sites: pd.DataFrame) -> dict[str, Key]:
    """Site -> the name that tables give it, and its group; a name ends with the group where a site has several."""
    ids = [str(one) for one in sites["site_id"]]
    group = ["" if pd.isna(one) else str(one) for one in sites["group"]]
    stems = [one.removesuffix(f" / {g}") if g else one for one, g in zip(ids, group, strict=True)]
    count = Counter(stems)
    table = zip(ids, stems, group, strict=True)
    return {one: (stem if count[stem] > 1 else one, g) for one, stem, g in table}
