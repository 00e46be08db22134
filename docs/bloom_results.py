"""Tables of bloom dates from committed results: errors by model and split, leads, recovery of simulated trees, speed."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Any

from results import origin, result_rows, table

Row = dict[str, Any]
SPLITS = {
    "random_years": "Whole years at random",
    "forward": "Forward in time",
    "rolling": "Forward in time, several cuts",
    "stations": "Whole stations",
    "stations_and_years": "Stations and years",
}
"""Name of a split -> what was held out."""

NOT_MEASURED = "Not measured yet for this version: `ecotone bench {name}` fills this table.\n"
LIMITED = {
    "coverage": "coverage of 90 % bands",
    "width": "width of the band",
    "correlation": "correlation with the truth",
}


def cherry_rows(name: str) -> tuple[list[Row], list[Row]]:
    """Rows of sites, and those of leads, which have a file of their own."""
    return result_rows(name, "mae", "n", "coverage90", "seconds"), result_rows(f"{name}_leads")


def pooled(rows: Sequence[Row], key: str = "mae") -> float:
    """A figure over all scored seasons of some sites and seeds; NaN without any."""
    known = [(r[key], r["n"]) for r in rows if r["n"] > 0 and isfinite(r[key])]
    return sum(v * n for v, n in known) / sum(n for _, n in known) if known else float("nan")


def figure(value: float) -> str:
    """Two decimals, "" for NaN."""
    return f"{value:.2f}" if isfinite(value) else ""


def distinct(rows: Sequence[Row], key: str) -> list[str]:
    """Values in the order in which they come."""
    return list(dict.fromkeys(str(r[key]) for r in rows))


def cherry_block(name: str = "cherry", *, splits: Sequence[str] = tuple(SPLITS), countries: bool = True) -> str:
    """Errors by model, a table per split: by country and over all, for each set of seasons, with leads below.

    Args:
        name: Of the file.
        splits: Which of them, in this order.
        countries: A column per country besides that over all.
    """
    rows, leads = cherry_rows(name)
    parts = []
    for split in splits:
        own = [r for r in rows if r["split"] == split]
        if own:
            parts += [f"**{SPLITS.get(split, split)}**\n\n", split_table(own, countries=countries)]
            parts += lead_table([r for r in leads if r["split"] == split])
    if not parts:
        return NOT_MEASURED.format(name="cherry" if name == "cherry" else "cherry --data monthly")
    seasons = {(r["quality"]): set() for r in rows}
    for r in rows:
        seasons[r["quality"]].add(r["site"])
    plain = [r | {"seed": ""} for r in rows]
    sets = "; ".join(
        f"{q}: {len(sites)} sites, {_seeds([r for r in rows if r['quality'] == q])}" for q, sites in seasons.items()
    )
    return "".join(
        [
            *parts,
            f"Mean absolute error in days over all scored seasons of all seeds ({sets}). ",
            "Coverage: share of observed days within the predicted 90 % interval. Leads are paired, by how many days the hybrid ",
            f"errs less; brackets are 95 % intervals over station-years. {origin(plain)}",
        ]
    )


def _seeds(rows: Sequence[Row]) -> str:
    """How many seeds, split by split where they differ."""
    count = {
        split: len(set(distinct([r for r in rows if r["split"] == split], "seed"))) for split in distinct(rows, "split")
    }
    if len(set(count.values())) == 1:
        return f"{next(iter(count.values()))} seeds"
    return "seeds: " + ", ".join(f"{SPLITS.get(split, split).lower()} {n}" for split, n in count.items())


def split_table(rows: Sequence[Row], *, countries: bool) -> str:
    """One line per model, best first on the first set of seasons."""
    qualities = distinct(rows, "quality")
    columns = []
    for quality in qualities:
        some = [r for r in rows if r["quality"] == quality]
        names = sorted(set(distinct(some, "country")) - {""}) if countries else []
        columns += [(quality, country) for country in (*(names if len(names) > 1 else []), None)]
    lines = []
    for model in distinct(rows, "model"):
        own = [r for r in rows if r["model"] == model]
        cells = [pooled([r for r in own if r["quality"] == q and c in (None, r["country"])]) for q, c in columns]
        first = [r for r in own if r["quality"] == qualities[0]]
        overall = pooled(first)
        seeds = max(len(set(distinct(first, "seed"))), 1)
        seconds = sum(r["seconds"] for r in first if isfinite(r["seconds"])) / seeds
        lines.append(
            (
                overall if isfinite(overall) else float("inf"),
                [f"`{model}`", *map(figure, cells), figure(pooled(first, "coverage90")), f"{seconds:.1f}"],
            )
        )
    lines.sort(key=lambda line: line[0])
    head = [f"{c or 'together'}, {q}" if len(qualities) > 1 else str(c or "together") for q, c in columns]
    return table(["model", *head, "coverage", "seconds"], [line for _, line in lines]) + "\n"


def lead_table(rows: Sequence[Row]) -> list[str]:
    """Leads of the hybrids; `best` says of what a rival is the best of the split."""
    if not rows:
        return []
    lines = [
        [
            f"`{r['model']}`",
            f"`{r['against']}`" + (f" ({r['best']})" if r.get("best") else ""),
            r["quality"],
            f"{float(r['lead']):+.2f} [{float(r['lead_low']):+.2f}, {float(r['lead_high']):+.2f}]",
            f"{100 * float(r['lead_share']):+.1f} %",
        ]
        for r in rows
    ]
    return [table(["lead of", "over", "seasons", "days", "of its error"], lines), "\n"]


def recovery_block() -> str:
    """Bands of the chill response on simulated trees, by kind of winter."""
    rows = result_rows("recovery", *LIMITED, "limited", "seconds")
    if not rows:
        return NOT_MEASURED.format(name="recovery")
    import numpy as np

    from ecotone.stats.bootstrap import bootstrap

    lines = []
    for winters in distinct(rows, "winters"):
        own = [r for r in rows if r["winters"] == winters]
        found = [bootstrap(np.array([r[k] for r in own])) for k in LIMITED]
        said = np.mean([str(r["identified"]).lower() in ("true", "1") for r in own])
        limited = np.mean([r["limited"] for r in own])
        lines.append(
            [winters, len(own), f"{limited:.0%}"]
            + [f"{i.estimate:.2f} [{i.low:.2f}, {i.high:.2f}]" for i in found]
            + [f"{said:.0%}", f"{np.mean([r['seconds'] for r in own]):.1f}"]
        )
    head = ["winters", "worlds", "seasons limited by chill", *LIMITED.values(), "reported as identified", "seconds"]
    return (
        table(head, lines)
        + f"\nWorlds of {distinct(rows, 'seasons')[0]} seasons; judged at temperatures with at least one in a hundred winter "
        + f"hours; brackets are 95 % intervals over worlds; seconds per world. {origin(_without_seed(rows))}"
    )


def trees_block() -> str:
    """Plain baselines and the truth on the simulated trees."""
    rows = [r for r in result_rows("trees_card", "value") if r["metric"] == "mae"]
    if not rows:
        return NOT_MEASURED.format(name="recovery").replace(
            "`ecotone bench recovery`", "`python benchmarks/trees_card.py`"
        )
    settings, methods = distinct(rows, "setting"), distinct(rows, "method")
    lines = []
    for method in methods:
        cells = []
        for setting in settings:
            values = [r["value"] for r in rows if (r["method"], r["setting"]) == (method, setting)]
            cells.append(figure(sum(values) / len(values)) if values else "")
        lines.append([method, *cells])
    worlds = len(set(distinct(rows, "seed")))
    return (
        table(["method", *settings], lines)
        + f"\nMean absolute error in days, mean over {worlds} worlds per setting; `oracle` knows the trees and errs "
        + f"by the noise of the records alone. {origin(_without_seed(rows))}"
    )


def speed_rows() -> list[Row]:
    """Rows of all races, whichever file they stand in."""
    rows: list[Row] = []
    for name in ("phenology_race", "phenology_speed", "phenology"):
        rows += [r for r in result_rows(name) if r.get("race")]
    return rows


def bloom_speed_block() -> str:
    """Races; several seeds of a side are one line with the median."""
    rows = speed_rows()
    if not rows:
        return NOT_MEASURED.format(name="phenology")
    from statistics import median

    lines = []
    for key in dict.fromkeys((r["race"], r["side"], r.get("data", "")) for r in rows):
        own = [r for r in rows if (r["race"], r["side"], r.get("data", "")) == key]

        def middle(name: str, own: list[Row] = own) -> float:
            values = [float(r[name]) for r in own if r.get(name)]
            return median(values) if values else float("nan")

        ratio, rmse, rate = middle("ratio"), middle("rmse"), middle("per_second")
        lines.append(
            [
                *(text.replace(", above", "") for text in key),
                f"{middle('seconds'):.3g}",
                f"{ratio:.3g}" if isfinite(ratio) else "",
                f"{rmse:.2f}" if isfinite(rmse) else "",
                f"{rate:,.0f}" if isfinite(rate) else "",
            ]
        )
    head = ["race", "side", "data", "seconds", "times", "RMSE, days", "combinations/s"]
    return (
        table(head, lines)
        + "\nBoth sides in one run, medians over seeds; `times` is how much faster ecotone is: than the side it stands at, or "
        + "at a side of ecotone, than its rival above; loops ran part of the combinations, and `times` compares combinations/s. "
        + f" {origin(_without_seed(rows))}"
    )


def _without_seed(rows: Sequence[Row]) -> list[Row]:
    hashes = (str(r.get("data_hash") or "") for r in rows)
    return [r | {"seed": "", "data": "" if one == "made up" else one} for r, one in zip(rows, hashes, strict=True)]
