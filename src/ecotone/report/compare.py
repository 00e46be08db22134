"""Two runs side by side: what was done differently, and how far their answers are apart.

Works for runs of any systems. What corresponds is found by kind of evidence, title and target; all differences are the first run
minus the second.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecotone.contract import Check, Contributions, Curve, Evidence, Overlay, Score, Scores
from ecotone.errors import InputError, UsageError
from ecotone.files.evidence import load_evidence
from ecotone.files.run import RunFolder
from ecotone.report.evidence_pairs import CheckPair, CurvePair, TermsPair, pair_curves, pair_terms
from ecotone.report.map_pairs import LayerPair, MapSide, layer_pairs, overlay_side, pair_sides, recorded_sides
from ecotone.report.page import run_metrics
from ecotone.report.pairing import pair_evidence
from ecotone.report.record_changes import Changes, input_changes, setting_changes, version_changes
from ecotone.report.score_changes import ScoreChange, key_columns, score_changes


@dataclass(frozen=True)
class RunSide:
    """What a comparison reads of one run.

    Attributes:
        folder: Where it is.
        record: Its run.json.
        scores: Its scores.json, or None.
        metrics: Metric -> score, from either.
        evidence: Its evidence.
        maps: The maps noted in its record.
        problems: A line for each map that cannot be read.
    """

    folder: RunFolder
    record: dict[str, Any]
    scores: Scores | None
    metrics: dict[str, Score]
    evidence: Sequence[Evidence]
    maps: Sequence[MapSide]
    problems: Sequence[str]

    @property
    def rows(self) -> Sequence[Any]:
        """The rows that its scores were averaged from."""
        return self.scores.rows if self.scores else ()

    @property
    def species(self) -> set[str]:
        """What it answers for, by name: targets of its evidence and species of its scores."""
        scored = {str(row["species"]) for row in self.rows if "species" in row}
        return scored | {item.target for item in self.evidence if item.target}


@dataclass(frozen=True)
class Comparison:
    """What `compare` found. All differences are the first run minus the second.

    Attributes:
        names: Short names of the two runs, never equal.
        sides: What was read of each.
        settings: Settings that differ.
        inputs: Inputs that differ, by content.
        versions: Versions that differ.
        scores: Metrics of both.
        scored: What scores are paired over: "species", or the words of the score tables; "" where nothing is paired.
        maps: Layers of the maps both runs noted, in their order.
        pictures: Layers of the maps in the evidence of both.
        curves: Responses of both, the most different first.
        terms: Importances of both, those of the whole model first.
        checks: Checks of both, those with another verdict first.
        unmatched: For each run what it has alone: kind and title of evidence, maps and metrics.
        uncompared: Titles of evidence that both have and that is not of a kind to take differences of.
    """

    names: tuple[str, str]
    sides: tuple[RunSide, RunSide]
    settings: Changes
    inputs: Changes
    versions: Changes
    scores: Sequence[ScoreChange]
    scored: str
    maps: Sequence[LayerPair]
    pictures: Sequence[LayerPair]
    curves: Sequence[CurvePair]
    terms: Sequence[TermsPair]
    checks: Sequence[CheckPair]
    unmatched: tuple[tuple[str, ...], tuple[str, ...]]
    uncompared: tuple[str, ...]

    def rows(self) -> list[dict[str, Any]]:
        """One row object per thing compared.

        All have `what` (setting, input, version, score, map, curve, importance or check), `name`, `target`, `run`,
        `other`, `difference`, `low`, `high` and `n`; some kinds add columns of their own. Numbers that do not exist are
        nan. `run` and `other` of an input are the first twelve digits of its sha256.
        """
        return list(self._rows())

    def _rows(self) -> Iterator[dict[str, Any]]:
        for what, changes in (("setting", self.settings), ("input", self.inputs), ("version", self.versions)):
            for change in changes.changed:
                yield _row(what, change.name, "", change.run, change.other)
        for s in self.scores:
            low, high, n = (s.paired.low, s.paired.high, s.paired.n) if s.paired else (math.nan, math.nan, 0)
            spread = {"difference": s.difference, "low": low, "high": high, "n": n, "verdict": s.verdict}
            yield _row("score", s.name, "", s.run.value, s.other.value, **spread)
            for key, a, b in zip(s.keys, *s.values, strict=True):
                yield _row("score", s.name, key, float(a), float(b), difference=float(a - b), n=1)
        for layer in (*self.maps, *self.pictures):
            facts = {"layer": layer.name, "rank_correlation": layer.rank, "share_differing": layer.share}
            facts |= {"amount": layer.amount, "difference": layer.mean, "n": layer.cells, "apart": layer.apart}
            yield _row("map", layer.title, layer.target, None, None, **facts)
        for curve in self.curves:
            yield _row("curve", curve.variable, curve.run.target, None, None, mean_distance=curve.distance)
        for terms in self.terms:
            for name, (a, b) in zip(terms.names, terms.values.T, strict=True):
                gap = float(a - b) if terms.same_unit else math.nan
                yield _row("importance", name, terms.run.target, float(a), float(b), difference=gap, of=terms.run.title)
        for check in self.checks:
            a, b = check.run, check.other
            verdicts = {"verdict_run": a.verdict, "verdict_other": b.verdict, "difference": a.measured - b.measured}
            yield _row("check", a.title, a.target, a.measured, b.measured, **verdicts)


def compare(run: str | Path, other: str | Path, *, amount: float = 0.1, seed: int = 0) -> Comparison:
    """Lays two runs side by side.

    Args:
        run: A run folder.
        other: The run folder it is compared with.
        amount: Difference from which on a map cell counts as differing: for ratios between 0 and 1 the difference
            itself, for other units a share of the range of values.
        seed: Of the resampling behind the intervals.

    Returns:
        What was found; `ecotone.report.compare_page.write_comparison` makes a page of it.

    Raises:
        UsageError: US105 when both are the same folder, US104 for an `amount` outside 0 to 1.
        InputError: IO101 when one is no run folder, IO102 when its record, scores or evidence are damaged, DA406 when
            both name species and have none in common.
    """
    if not 0 < amount < 1:
        raise UsageError("US104", "amount", f"{amount} is not between 0 and 1", "give for example 0.1")
    places = Path(run), Path(other)
    if places[0].resolve() == places[1].resolve():
        raise UsageError("US105", other, "is the run itself", "name another run to compare with")
    first, second = _read(places[0]), _read(places[1])
    _need_common_species(first, second)
    evidence = pair_evidence(first.evidence, second.evidence)
    maps = pair_sides(first.maps, second.maps)
    drawn = {Curve, Contributions, Check, Overlay}
    curves = [pair_curves(a, b) for a, b in evidence.both if isinstance(a, Curve) and isinstance(b, Curve)]
    terms = [
        pair_terms(a, b) for a, b in evidence.both if isinstance(a, Contributions) and isinstance(b, Contributions)
    ]
    checks = [CheckPair(a, b) for a, b in evidence.both if isinstance(a, Check) and isinstance(b, Check)]
    overlays = [(a, b) for a, b in evidence.both if isinstance(a, Overlay) and isinstance(b, Overlay)]
    pictures = [(overlay_side(a), overlay_side(b)) for a, b in overlays if a.is_map and b.is_map]
    named = {id(a) for a, b in overlays if not (a.is_map and b.is_map)}  # matrices and surfaces over covariates
    return Comparison(
        names=short_names(*places),
        sides=(first, second),
        settings=setting_changes(first.record, second.record),
        inputs=input_changes(first.record, second.record),
        versions=version_changes(first.record, second.record),
        scores=score_changes(first.metrics, second.metrics, first.rows, second.rows, seed=seed),
        scored=" and ".join(key_columns(first.rows, second.rows)),
        maps=[layer for a, b in maps.both for layer in layer_pairs(a, b, amount=amount)],
        pictures=[layer for a, b in pictures for layer in layer_pairs(a, b, amount=amount)],
        curves=sorted(curves, key=lambda c: -c.distance if math.isfinite(c.distance) else math.inf),
        terms=sorted(terms, key=lambda t: (bool(t.run.target), _rank(t) if t.run.target else 0.0)),
        checks=sorted(checks, key=lambda c: c.order),
        unmatched=(
            _alone(first, second, maps.only_run, evidence.only_run),
            _alone(second, first, maps.only_other, evidence.only_other),
        ),
        uncompared=tuple(dict.fromkeys(a.title for a, _ in evidence.both if type(a) not in drawn or id(a) in named)),
    )


def short_names(run: Path, other: Path) -> tuple[str, str]:
    """Folder names of two runs, with as much of the path before them as tells them apart."""
    parts = [path.resolve().parts for path in (run, other)]
    for length in range(1, max(map(len, parts)) + 1):
        a, b = ("/".join(p[-length:]) for p in parts)
        if a != b:
            return a, b
    return str(run), str(other)


def _read(place: Path) -> RunSide:
    folder = RunFolder(place)
    record = folder.record
    maps, problems = recorded_sides(place, record)
    scores = folder.read_scores()
    return RunSide(
        folder, record, scores, run_metrics(folder, record), load_evidence(folder.evidence_path), maps, problems
    )


def _need_common_species(first: RunSide, second: RunSide) -> None:
    names = first.species, second.species
    if all(names) and not names[0] & names[1]:
        shown = [f"{min(some)}{f' and {len(some) - 1} more' if len(some) > 1 else ''}" for some in names]
        raise InputError(
            "DA406", second.folder.path, f"has no species in common with {first.folder.path} ({shown[1]}; {shown[0]})",
            "compare runs of the same species",
        )  # fmt: skip


def _rank(terms: TermsPair) -> float:
    return terms.rank if math.isfinite(terms.rank) else 1.0


def _alone(
    side: RunSide, other: RunSide, maps: Sequence[MapSide], evidence: Sequence[Evidence]
) -> tuple[str, ...]:  # fmt: skip
    found = [f"score: {name}" for name in side.metrics if name not in other.metrics]
    found += [m.title if m.title.startswith("map") else f"map: {m.title}" for m in maps]
    found += [f"{item.kind}: {item.title}" for item in evidence]
    return tuple(dict.fromkeys(found))


def _row(what: str, name: str, target: str, run: Any, other: Any, **more: Any) -> dict[str, Any]:
    numbers = {"difference": math.nan, "low": math.nan, "high": math.nan, "n": 0}
    return {"what": what, "name": name, "target": target, "run": run, "other": other, **numbers, **more}
