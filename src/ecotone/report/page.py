"""A run folder as one HTML page: self-contained, without scripts, and without a single request to anywhere.

What the page shows is read from files that may come from a stranger: all text is escaped, the page forbids itself
scripts and connections, and figures and tables stay within a budget.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader
from markupsafe import Markup, escape

from ecotone.contract import Curve, Evidence, Score
from ecotone.errors import EcotoneError, InputError
from ecotone.files.atomic import write_text
from ecotone.files.bounded import read_bounded
from ecotone.files.evidence import load_evidence, slug
from ecotone.files.model_folder import CARD, CONFIG, MAX_CARD, model_id
from ecotone.files.run import RunFolder
from ecotone.registry import SYSTEMS
from ecotone.report.blocks import (
    SEEN,
    SIDE_BY_SIDE,
    TOGETHER,
    TOPICS,
    WIDE_TOPICS,
    Block,
    Budget,
    build_block,
    rows_table,
)
from ecotone.report.maps import recorded_maps
from ecotone.report.markdown import to_html
from ecotone.report.metrics import BESIDE, IN_DAYS, label, marks, meaning, scale_start
from ecotone.report.same_maps import without_repeats
from ecotone.report.style import number

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
MAX_TARGETS = 200
_MAX_METRICS = 32 << 20
BEFORE_SCORES = ("coming",)  # what is asked for first stands first


def write_report(run: str | Path, *, out: str | Path | None = None, max_figures: int = 90) -> Path:
    """Writes the page of a run.

    Args:
        run: The folder.
        out: Where to; by default report.html in the folder. Elsewhere, tables that do not fit the page are not linked.
        max_figures: Figures drawn at most; what is left out is said on the page and stays in `evidence/`.

    Returns:
        The page.

    Raises:
        InputError: IO101 when it is no run folder, IO102 when its record or evidence is damaged, IO104 when the folder
            cannot be written.
    """
    folder = RunFolder(run)
    path = folder.report_path if out is None else Path(out)
    context = page_context(folder, Budget(figures=max_figures), links=path.parent.resolve() == folder.path.resolve())
    write_text(path, environment().get_template("report.html.j2").render(context))
    return path


def page_context(run: RunFolder, budget: Budget, *, links: bool = True) -> dict[str, Any]:
    """Everything the template shows; `links` lets it name files beside it."""
    record = run.record
    evidence = load_evidence(run.evidence_path)
    width = max(2, len(str(len(evidence))))
    files = [f"evidence/{i:0{width}d}-{slug(item)}.csv" if links else "" for i, item in enumerate(evidence, start=1)]
    maps, problems = recorded_maps(run.path, record)
    maps, evidence = without_repeats(maps, evidence)
    targets = list(dict.fromkeys(item.target for item in evidence if item.target))
    many = len(targets) > 1
    alone = targets[0] if len(targets) == 1 else ""
    shared = [
        build_block(e, budget, file=f, within=alone)
        for e, f in zip(evidence, files, strict=True)
        if not (many and e.target)
    ]
    shared += [build_block(item, budget) for item in maps]
    groups = _groups(evidence, files, targets[:MAX_TARGETS], budget) if many else []
    name = run.path.resolve().name
    blocks = [*shared, *(block for group in groups for block in group["blocks"])]
    topics = _by_topic(shared, groups)
    return {
        "policy": POLICY,
        "name": name,
        "record": record,
        "entry": SYSTEMS.get(record["system"]),
        "model": saved_model(run),
        "scores": _score_tiles(run, record),
        "score_rows": _score_rows(run, budget),
        "split": _split(run),
        "trust": _trust([block for block in blocks if block.check and block.topic not in ("species", "coming")]),
        "target": targets[0] if len(targets) == 1 else "",
        "targets": targets,
        "first": [t for t in topics if t["key"] in BEFORE_SCORES],
        "topics": [t for t in topics if t["key"] not in BEFORE_SCORES],
        "groups": [group for group in groups if group["topics"]],
        "groups_left_out": max(len(targets) - MAX_TARGETS, 0) if many else 0,
        "training": [build_block(curve, budget) for curve in training_curves(run.metrics_path)],
        "tables": _tables(record, budget),
        "table_files": _table_files(run) if links else [],
        "card": _card(run),
        "problems": problems,
        "facts": run_times(record),
        "command": _command(record["command"]),
        "files": _files(record),
        "settings": _settings(record),
        "left_out": budget.left_out,
    }


@cache
def environment() -> Environment:
    """The templates, with escaping on."""
    made = Environment(loader=PackageLoader("ecotone.report"), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    made.filters["code"] = _code
    return made


def _code(text: str) -> Markup:
    """Text in which `words between backticks` are set as code."""
    parts = str(text).split("`")
    if len(parts) % 2 == 0:
        return escape(text)
    return Markup("").join(Markup("<code>{}</code>").format(p) if i % 2 else escape(p) for i, p in enumerate(parts))


def training_curves(path: Path) -> list[Curve]:
    """Losses over steps or epochs from metrics.csv; an absent or odd file gives none."""
    try:
        text = read_bounded(path, _MAX_METRICS, inside=path.parent, code="IO102").decode("utf-8", errors="replace")
    except EcotoneError:
        return []
    rows = [row for row in csv.DictReader(text.splitlines()) if None not in row]
    if len(rows) < 3:
        return []
    table = {name: np.array([_float(row.get(name)) for row in rows]) for name in rows[0] if name}
    axis = next((name for name in ("step", "epoch", "iteration") if name in table), next(iter(table)))
    losses = {n: v for n, v in table.items() if "loss" in n.lower() and n != axis and np.isfinite(v).any()}
    if not losses:
        return []
    keep = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), 400)).astype(int))
    first, *others = losses
    curve = Curve(
        title="Training",
        x=table[axis][keep],
        y=losses[first][keep],
        x_label=axis,
        y_label=first,
        references={name: losses[name][keep] for name in others[:4]},
        exact=True,
    )
    return [curve]


def _groups(evidence: Sequence[Evidence], files: Sequence[str], targets: Sequence[str], budget: Budget) -> list[dict]:
    groups = []
    for i, target in enumerate(targets, start=1):
        mine = [(e, f) for e, f in zip(evidence, files, strict=True) if e.target == target]
        blocks = [build_block(e, budget, file=f, within=target) for e, f in mine]
        rest = [block for block in blocks if block.topic not in TOGETHER]
        groups.append({"name": target, "anchor": f"target-{i}", "blocks": blocks, "topics": _by_topic(rest)})
    return groups


def _trust(checks: Sequence[Block]) -> list[dict[str, str]]:
    """One line per kind of check, the worst verdicts first; checks made for many targets are counted.

    What is told about a single target and judges nothing stands with that target only.
    """
    titles: dict[str, list[Block]] = {}
    for block in checks:
        if not (block.target and block.check["verdict"] == "info"):
            titles.setdefault(block.title, []).append(block)
    order = ("fail", "note", "pass", "info")
    lines = []
    for title, same in titles.items():
        worst = min((b.check["verdict"] for b in same), key=order.index)
        of_worst = [b for b in same if b.check["verdict"] == worst]
        first = of_worst[0].check
        text = f"{first['claim']}: {first['measured']}"
        if len(same) > 1:
            text = f"{first['claim']}: {first['word']} {len(of_worst)} of {len(same)} times"
        lines.append({"title": title, "verdict": worst, "word": first["word"], "text": text})
    return sorted(lines, key=lambda line: order.index(line["verdict"]))


def _by_topic(blocks: Sequence[Block], groups: Sequence[dict[str, Any]] = ()) -> list[dict[str, Any]]:
    """Sections with their blocks; those of `TOGETHER` also hold what belongs to single targets."""
    found = []
    for key, title in TOPICS.items():
        some = [b for b in blocks if b.topic == key]
        own = [(g["name"], [b for b in g["blocks"] if b.topic == key]) for g in groups if key in TOGETHER]
        own = [(name, mine) for name, mine in own if mine]
        if own and len(own) <= SIDE_BY_SIDE.get(key, 0):
            some += [
                replace(b, title=f"{name}: {b.title[:1].lower()}{b.title[1:]}") for name, mine in own for b in mine
            ]
            own = []
        if some or own:
            seen = SEEN.get(key, len(some))
            found.append({"key": key, "title": title, "blocks": some[:seen], "more": some[seen:], "own": own,
                          "wide": key in WIDE_TOPICS})  # fmt: skip
    return found


def run_metrics(run: RunFolder, record: dict[str, Any]) -> dict[str, Score]:
    """Metric -> score of the last evaluation, from scores.json or else from the record."""
    scores = run.read_scores()
    metrics: dict[str, Any] = dict(scores.metrics) if scores else dict(record.get("metrics") or {})
    return {str(name): score for name, value in metrics.items() if (score := _score(value)) is not None}


def _score_tiles(run: RunFolder, record: dict[str, Any]) -> list[dict[str, Any]]:
    read = run_metrics(run, record)
    tiles = []
    for name, score in read.items():
        base = name.removesuffix(BESIDE)
        if base == name or base not in read:
            tiles.append(_tile(name, score, read.get(name + BESIDE)))
    return tiles[:12]


def _score(value: Any) -> Score | None:
    if isinstance(value, dict):
        return Score(*(_float(value.get(k)) for k in ("value", "low", "high")), n=int(_float(value.get("n") or 0)))
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Score(float(value))
    return value if isinstance(value, Score) else None


def _tile(name: str, score: Score, beside: Score | None) -> dict[str, Any]:
    tile: dict[str, Any] = {
        "key": name, "name": label(name), "meaning": meaning(name), "value": number(score.value), "interval": "",
        "n": score.n if score.n > 1 else "", "bar": None, "beside": number(beside.value) if beside else "",
    }  # fmt: skip
    if math.isfinite(score.low) and math.isfinite(score.high):
        tile["interval"] = f"{number(score.low)} to {number(score.high)}"
        start = None if name in IN_DAYS else scale_start(score)
        if start is not None:
            tile |= {"bar": marks(score, start), "start": number(start)}
    return tile


def _score_rows(run: RunFolder, budget: Budget) -> Any:
    scores = run.read_scores()
    table = rows_table(list(scores.rows), budget, name="scores.csv") if scores and scores.rows else None
    return replace(table, columns=tuple(label(name) for name in table.columns)) if table else None


def _split(run: RunFolder) -> str:
    scores = run.read_scores()
    return scores.split if scores else ""


def _tables(record: dict[str, Any], budget: Budget) -> list[tuple[str, Any]]:
    found = []
    for title, rows in list((record.get("tables") or {}).items())[:20]:
        table = rows_table(rows, budget, name=f"{title}.csv") if isinstance(rows, list) else None
        if table:
            found.append((str(title), table))
    return found


def _table_files(run: RunFolder) -> list[str]:
    """Tables written beside the evidence, by their path in the run."""
    names = sorted(path.name for path in run.tables_path.glob("*.csv") if path.is_file())
    return [f"{run.tables_path.name}/{name}" for name in names[:20]]


def _card(run: RunFolder) -> Markup:
    path = run.path / CARD
    with suppress(EcotoneError):
        text = read_bounded(path, MAX_CARD, inside=run.path, code="IO102").decode("utf-8", errors="replace")
        return Markup(to_html(text))  # noqa: S704 - to_html escapes all text
    return Markup("")


def saved_model(run: RunFolder) -> str:
    """Id of the model in the folder, "" when there is none that can be read."""
    if not (run.path / CONFIG).is_file():
        return ""
    try:
        return model_id(run.path)
    except (EcotoneError, InputError):
        return ""


def run_times(record: dict[str, Any]) -> dict[str, str]:
    """When a run was started and how long it took, as far as its record says."""
    facts = {}
    with suppress(ValueError, TypeError):
        begun = datetime.fromisoformat(record["started"])
        facts["started"] = f"{begun:%Y-%m-%d %H:%M} UTC"
        taken = (datetime.fromisoformat(str(record.get("finished"))) - begun).total_seconds()
        facts["took"] = _duration(taken)
    return facts


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _command(parts: Sequence[str]) -> str:
    """The command as it can be typed again; a long one has an option per line, a long list a value per line."""
    lines: list[list[str]] = [[]]
    for word in map(_quoted, parts):
        if word.startswith("--"):
            lines.append([])
        lines[-1].append(word)
    if sum(len(word) + 1 for line in lines for word in line) <= 100:
        return " ".join(" ".join(line) for line in lines)
    joints = [" \\\n    " if sum(map(len, line)) > 60 and len(line) > 2 else " " for line in lines]
    return " \\\n  ".join(joint.join(line) for joint, line in zip(joints, lines, strict=True))


def _files(record: dict[str, Any]) -> list[str]:
    """Names of the inputs, the table first; halves of R rasters count once."""
    names = [str(path) for path in record.get("inputs") or {}]
    short = [name.rpartition("/")[2] for name in names if not name.lower().endswith(".gri")]
    return sorted(dict.fromkeys(short), key=lambda name: (not name.lower().endswith((".csv", ".tsv", ".gpkg")), name))


def _settings(record: dict[str, Any]) -> dict[str, Any]:
    """Settings that were given a value; the others are as the preset or the data say."""
    given = {**(record.get("seeds") or {}), **(record.get("config") or {})}
    return {str(k): v for k, v in given.items() if v is not None and v not in ([], {}, "")}


def _quoted(part: str) -> str:
    plain = part and all(c.isalnum() or c in "-_./=:,~+@%" for c in part)
    return part if plain else "'" + part.replace("'", "'\\''") + "'"


def _float(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan
