"""Tables of the page on part classifiers, made from committed results, never typed."""

from __future__ import annotations

import results
from results import NOT_MEASURED, table

CARD = (
    ("class", "accuracy"),
    ("worst group", "worst group"),
    ("keypoint nmi", "keypoint NMI"),
    ("keypoint ari", "keypoint ARI"),
)


def part_speed_block() -> str:
    """Seconds, memory and ratios of part models at published sizes."""
    rows = results.result_rows("part_speed", "seconds", "ratio", "memory_mb", "memory_ratio", "kept")
    if not rows:
        return NOT_MEASURED + "\n"
    lines = [
        [
            r["race"], r["side"], f"{r['seconds']:.3g}", f"{r['ratio']:.1f}",
            f"{r['memory_mb']:.0f} ({r['memory_ratio']:.1f} x)" if r["memory_mb"] == r["memory_mb"] else "",
        ]
        for r in rows
    ]  # fmt: skip
    about = rows[0]
    kept = next(r["kept"] for r in rows if r["kept"] == r["kept"])
    commits = ", ".join(sorted({r["commit"] for r in rows}))
    words = (
        f"Medians of {about['rounds']} rounds in turn, {about['threads']} threads, {about['hardware']}; the second stage keeps "
        f"{kept:.0%} of its patches. Commit {commits}, seed {about['seed']}; random weights and inputs."
    )
    return table(["race", "side", "seconds", "times the first", "peak memory, MB"], lines) + f"\n{words}\n"


def card_block() -> str:
    """How hard the simulated creatures are for plain methods."""
    rows = results.result_rows("creatures_card", "value")
    if not rows:
        return NOT_MEASURED + "\n"
    lines = []
    for setting in dict.fromkeys(r["setting"] for r in rows):
        for metric, name in CARD:
            found: dict[str, list[float]] = {}
            for r in rows:
                if r["setting"] == setting and r["metric"] == metric:
                    found.setdefault(r["method"], []).append(r["value"])
            said = ", ".join(f"{m} {sum(v) / len(v):.2f}" for m, v in found.items())
            lines.append([setting, name, said])
    hashes = ", ".join(dict.fromkeys(r["data"] for r in rows))
    seeds = len({r["seed"] for r in rows})
    return (
        table(["setting", "measure", "mean over worlds"], lines)
        + f"\n{seeds} worlds of each setting. Commit {rows[0]['commit']}, data {hashes}.\n"
    )
