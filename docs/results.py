"""Tables of the documentation that are made from committed results, never typed."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
NOT_MEASURED = "Not measured yet for this version: `make bench` fills this table."


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def result_rows(name: str, *numbers: str) -> list[dict[str, Any]]:
    """The committed rows of a benchmark with some columns as numbers, or none."""
    path = RESULTS / f"{name}.csv"
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        rows: list[dict[str, Any]] = list(csv.DictReader(file))
    for row in rows:
        row |= {key: float(row.get(key) or "nan") for key in numbers}
    return rows


def archipelago_block() -> str:
    """Correlation with the truth by bias and method, and DeepMaxent's lead."""
    rows = result_rows("archipelago", "bias", "correlation")
    if not rows:
        return NOT_MEASURED + "\n"
    import numpy as np

    from ecotone.bench.archipelago import METHODS
    from ecotone.stats.bootstrap import bootstrap, paired_bootstrap

    lines = []
    for bias in sorted({row["bias"] for row in rows}):
        by = {m: np.array([r["correlation"] for r in rows if r["bias"] == bias and r["method"] == m]) for m in METHODS}
        found = [bootstrap(by[m]) for m in METHODS]
        lead = [paired_bootstrap(by["deepmaxent"], by[m]) for m in METHODS[2:]]
        lines.append(
            [f"{bias:g}", *(f"{i.estimate:.3f}" for i in found)]
            + [f"{i.estimate:+.3f} [{i.low:+.3f}, {i.high:+.3f}]" for i in lead]
        )
    seeds = len({row["seed"] for row in rows})
    commits = ", ".join(sorted({row["commit"] for row in rows}))
    return (
        table(["bias", *METHODS, *(f"lead over {m}" for m in METHODS[2:])], lines)
        + f"\nSpearman correlation with the true log-intensity over all land cells, mean over the species of {seeds} worlds per "
        + f"bias; brackets are 95 % intervals over species. Commit {commits}.\n"
    )


def speed_block() -> str:
    """Both races."""
    rows = result_rows("speed")
    if not rows:
        return NOT_MEASURED + "\n"
    lines = [
        [r["part"], r["seeds"], r["threads"], r.get("stacked_s") or r.get("ours_s"), r["plain_s"], r["ratio"]]
        for r in rows
    ]
    commits = ", ".join(sorted({row["commit"] for row in rows}))
    head = ["race", "seeds", "threads", "ours, s", "plain loop, s", "plain / ours"]
    return table(head, lines) + f"\nOne run each, {rows[0]['hardware']}. Commit {commits}.\n"


def maxent_block() -> str:
    """The race against elapid."""
    rows = result_rows("maxent", "seconds", "auc")
    if not rows:
        return NOT_MEASURED + "\n"
    lines = [
        [
            r["features"],
            r["region"],
            r["species"],
            r["method"],
            f"{r['seconds']:.1f}",
            r["times_faster"],
            f"{r['auc']:.3f}",
            r["rank_correlation"],
            f"{float(r['certified']):.0%}" if r["certified"] else "",
        ]
        for r in rows
    ]
    commits = ", ".join(sorted({row["commit"] for row in rows}))
    head = ["features", "region", "species", "method", "seconds", "times faster", "AUC", "ranks", "certified"]
    return (
        table(head, lines)
        + "\nAll species of a region, uniform background of 10,000 points. `ecotone, equal` solves elapid's problem on elapid's "
        + "feature matrix; `ecotone` is the estimator with the published penalties. AUC: mean over species on the "
        + "presence-absence surveys; ranks: correlation with elapid's predictions there. "
        + f"{rows[0]['threads']} thread(s), {rows[0]['hardware']}. Commit {commits}.\n"
    )


def nceas_block(*, regions: bool) -> str:
    """Mean AUC per method, with the difference to the published recipe."""
    rows = result_rows("nceas", "auc", "seconds")
    if not rows:
        return NOT_MEASURED + "\n"
    import numpy as np

    from ecotone.bench.nceas import region_means, species_means
    from ecotone.stats.bootstrap import paired_bootstrap

    means = species_means(rows)
    names = sorted({row["region"] for row in rows})
    paper = means.get("deepmaxent-paper", {})
    lines = []
    for variant, values in means.items():
        by = region_means(values)
        keys = [key for key in paper if key in values]
        difference = ""
        if keys and variant != "deepmaxent-paper":
            a, b = (np.array([one[k] for k in keys]) for one in (values, paper))
            d = paired_bootstrap(a, b, strata=np.array([k[0] for k in keys]))
            difference = f"{d.estimate:+.3f} [{d.low:+.3f}, {d.high:+.3f}]"
        cells = [f"{by.get(n, float('nan')):.3f}" for n in names] if regions else []
        lines.append(
            (float(np.mean(list(by.values()))), [variant, *cells, f"{np.mean(list(by.values())):.3f}", difference])
        )
    lines.sort(key=lambda line: -line[0])
    species = {(row["region"], row["group"], row["species"]) for row in rows}
    commits = sorted({row.get("commit", "") for row in rows} - {""})
    data = sorted({row.get("data", "") for row in rows} - {""})
    head = ["method", *(names if regions else []), "mean of regions", "minus deepmaxent-paper"]
    return "".join(
        [
            table(head, [line for _, line in lines]),
            f"\nAUC on the NCEAS presence-absence surveys, {len(species)} species of {len(names)} regions ({', '.join(names)}); ",
            "brackets are 95 % intervals over species. `maxent` is elapid's, `maxent-ecotone` ours. ",
            f"Commit {', '.join(commits) or 'unknown'}, data {', '.join(data) or 'unknown'}.\n",
        ]
    )


def origin(rows: Sequence[dict[str, Any]]) -> str:
    """Hardware, commit and seed of rows, as the last words of a caption."""
    commits = ", ".join(sorted({row["commit"] for row in rows}))
    seeds = ", ".join(sorted({row["seed"] for row in rows if row.get("seed")}))
    data = ", ".join(sorted({row["data"] for row in rows if row.get("data")}))
    return f"{rows[0]['hardware']}. Commit {commits}{f', seed {seeds}' if seeds else ''}{f', data {data}' if data else ''}.\n"


def maps_block() -> str:
    """Pixels per second beside elapid, and the continent within its budget."""
    rows = result_rows("maps")
    race = [r for r in rows if r["part"] == "race"]
    large = [r for r in rows if r["part"] == "continent"]
    if not race or not large:
        return NOT_MEASURED + "\n"
    lines = [
        [
            r["method"],
            f"{float(r['pixels_per_s']) / 1e6:.2f}",
            r["ratio"],
            f"{float(r['largest_difference']):.2g} to {r['compared_with']}" if r["largest_difference"] else "",
        ]
        for r in race
    ]
    first, one = race[0], large[0]
    return (
        table(["method", "million pixels/s", "times elapid", "largest difference"], lines)
        + f"\n{int(first['size']):,} x {int(first['size']):,} cells of {first['covariates']} covariates, "
        + f"{100 * float(first['valid_share']):.0f} % of them valid, {first['threads']} thread(s), median of "
        + f"{first['rounds']} alternating rounds, reading and writing included. {origin(race)}\n"
        + f"A VRT of {int(one['size']):,} x {int(one['size']):,} x {one['covariates']} cells with `--memory 1GB`: "
        + f"{float(one['seconds']):.0f} s, peak {float(one['peak']) / 1e6:.0f} MB, one thread. {origin(large)}"
    )


def kills_block() -> str:
    """What kills did to maps."""
    rows = result_rows("kill_map")
    if not rows:
        return NOT_MEASURED + "\n"
    r = rows[0]
    return (
        f"Killed with SIGKILL at {r['kills']} random moments over {r['maps']} maps of {r['windows']} windows in all: "
        f"{r['windows_lost']} windows lost, {r['windows_twice']} done twice, {r['files_that_differ']} files differ from an "
        f"uninterrupted run (`python benchmarks/kill_map.py`). {origin(rows)}"
    )


def between(row: dict[str, Any], name: str) -> str:
    """A ratio with its range over rounds."""
    value, low, high = row[name], row[f"{name}_low"], row[f"{name}_high"]
    return f"{float(value):.2f} [{float(low):.2f}, {float(high):.2f}]" if value else ""


def streaming_block() -> str:
    """Memory and speed at growing numbers of sites."""
    rows = result_rows("streaming")
    if not rows:
        return NOT_MEASURED + "\n"
    lines = [
        [
            f"{int(r['sites']):,}",
            f"{float(r['store_mb']):,.0f}",
            f"{float(r['peak_mb']):.0f}",
            f"{float(r['stream_steps_per_s']):.1f}",
            f"{float(r['arrays_peak_mb']):.0f}" if r["arrays_peak_mb"] else "",
            between(r, "stream_to_arrays"),
            between(r, "stream_to_ready"),
        ]
        for r in rows
    ]
    head = ["sites", "store, MB", "peak, MB", "steps/s", "peak with arrays, MB", "times arrays", "times no reading"]
    return (
        table(head, lines)
        + f"\n{int(rows[0]['species']):,} species, batches of {rows[0]['batch_size']} sites, {rows[0]['threads']} thread; "
        + "brackets are the range over rounds. Arrays make a batch's labels dense; no reading means batches "
        + f"made before. {origin(rows)}"
    )


def glmnet_block() -> str:
    """Our optimum beside glmnet's."""
    rows = result_rows("maxent_glmnet", "nats_above", "rank_correlation")
    if not rows:
        return NOT_MEASURED + "\n"
    lines = [
        [
            r["species"],
            r["weight"],
            f"{r['nats_above']:.1e}",
            f"{r['features']} / {r['our_features']}",
            f"{r['rank_correlation']:.6f}",
        ]
        for r in rows
    ]
    head = ["species", "background weight", "nats above ours", "features used, glmnet / ours", "rank correlation"]
    return table(head, lines) + f"\nTwo birds of the NCEAS region AWT. {origin(rows)}"
