"""Bloom dates as a system: tables to seasons, answers with intervals and dates, evidence, scores, storing.

How it learns is in `hybrid/`; this file holds one fitted model and the seasons it was fitted to, whose weather completes
seasons that are not over. What needs torch is imported where it is used. Letters: N seasons, G sites.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from ecotone.contract import Evidence, Prediction, Scores, System
from ecotone.data.seasons import Calendar, Seasons, Status
from ecotone.errors import InputError, UsageError, suggest
from ecotone.systems.phenology.climate import Climate
from ecotone.systems.phenology.hybrid.config import LIMITS, HybridConfig
from ecotone.systems.phenology.options import Ask, Inputs, Query, is_date, read_years

if TYPE_CHECKING:
    import pandas as pd

    from ecotone.systems.phenology.forecast import Answer
    from ecotone.systems.phenology.hybrid.estimator import HybridPhenology
    from ecotone.systems.phenology.scores import Held

Array = np.ndarray
_MOST_ASKED = 1_000_000
SHOWN = 6  # sites with evidence of their own when none is asked for


class PhenologySystem(System):
    """Bloom dates from daily temperatures: a learned chill response inside a model of chill and forcing.

    Examples:
        >>> PhenologySystem(members=1).config.members
        1
    """

    name: ClassVar[str] = "phenology"
    Inputs: ClassVar[Any] = Inputs
    Query: ClassVar[Any] = Query
    Config: ClassVar[Any] = HybridConfig
    Ask: ClassVar[Any] = Ask
    limits: ClassVar[dict[str, float]] = LIMITS
    config: HybridConfig

    estimator: HybridPhenology
    seasons: Seasons  # of fit, also those without a bloom day
    trained: Seasons  # those with one
    climate: Climate
    stored_inputs: dict[str, Any]
    report: dict[str, Any]
    _records: pd.DataFrame | None = None
    _held: Held | None = None
    _rivals: dict[str, Array] | None = None

    # -------------------------------------------------------------------------------------------- fit
    def input_files(self, inputs: Any) -> list[Path]:
        """The files `fit` will read."""
        from ecotone.systems.phenology.reading import input_files

        return input_files(inputs)

    def fit(self, data: Any, *, validation: Any = None, run: Any = None) -> Self:
        """Learns from bloom days and temperatures.

        Args:
            data: `Inputs`, a mapping of its fields, or `Seasons`.
            validation: Not used; what is validated is validated on years held out.
            run: Not used; a fit takes seconds to minutes and starts anew when interrupted.

        Raises:
            InputError: For tables that cannot be used; PH655 when no season has a known bloom.
            UsageError: US104, US105 for options that cannot work here.
        """
        from ecotone.files.progress import progress as show_progress
        from ecotone.systems.phenology.hybrid.estimator import HybridPhenology
        from ecotone.systems.phenology.reading import kept, read_inputs

        if isinstance(data, Seasons):
            seasons, inputs = data, Inputs()
            calendar = Calendar(length=seasons.length)
            inputs = inputs.model_copy(update={"season_start": calendar.start, "season_length": seasons.length})
            self.report, self._records = {}, None
        else:
            inputs = data if isinstance(data, Inputs) else Inputs.parse(data)
            seasons, report = read_inputs(inputs)
            self.report, self._records = _in_short(report), report.to_frame()
        self.stored_inputs = kept(inputs)
        self.seasons = replace(seasons, extra={})
        self._derive()
        if not self.trained.observed.any():
            raise InputError("PH655", "bloom table", "no season has a known day of bloom", "add bloom days")
        old = None if inputs.chill_from is None else type(self).load(Path(inputs.chill_from)).estimator
        with show_progress(self.config.steps, self.name, enabled=self.progress) as bar:
            watch = partial(_advance, bar)
            if old is None:
                self.estimator = HybridPhenology(self.config).fit(self.trained, progress=watch)
            else:
                self.estimator = old.transfer(self.trained, self.config, progress=watch)
                self.config = self.estimator.config
        return self

    def _derive(self) -> None:
        self.trained = self.seasons.take(self.seasons.status != Status.UNKNOWN)
        self.climate = Climate.of(self.trained)
        self._held, self._rivals = None, None

    def read_again(self) -> None:
        """Works out what follows from the stored seasons."""
        self._derive()

    @property
    def sites(self) -> list[str]:
        """Names of the sites that were learned from."""
        return [str(name) for name in dict.fromkeys(self.trained.site_id)]

    def group_names(self, count: int) -> list[str]:
        """Names of the P groups of the model in its order, as far as they are known."""
        places = getattr(self.estimator, "places_", None)
        names = [""] if places is None else [str(name) for name in places.groups]
        return names if len(names) == count else [str(k + 1) for k in range(count)]

    def trained_whole(self, site: str) -> Seasons:
        """Seasons of a site with temperatures to the end, one a year, with or without a bloom day."""
        from ecotone.systems.phenology.warming import YEARS, complete_seasons

        return complete_seasons(self.seasons.take(self.seasons.site_id == site), YEARS)

    # -------------------------------------------------------------------------------------------- predict
    def predict(self, data: Any = None, **ask: Any) -> Prediction:
        """Bloom dates of seasons.

        Args:
            data: `Query`, a mapping of its fields, or `Seasons`; nothing for the seasons of `fit`.
            **ask: Fields of `Ask`.

        Returns:
            One row per season (and warming): site_id, year, date, doy, quantiles q05 to q95 as days of the bloom year and
            dates, bloomed (probability within the season), by_MM-DD, kind ("hindcast", or "forecast" where bloom may still
            come), known_until, completions, extrapolates with beyond_site and beyond_all (degC outside the weather of
            training), and the reason where there is no answer.

        Raises:
            UsageError: US104 for a day of `by` outside all seasons.
        """
        from ecotone.systems.phenology import answers

        asked = Ask.parse(ask)
        seasons, dropped = self._asked(data)
        answers.check_days(seasons, asked.by, "--by")
        answers.check_days(seasons, () if asked.as_of is None else (asked.as_of,), "--as-of")
        return answers.table(seasons, self._answers(seasons, dropped, asked, self._pool(data, seasons)), asked)

    def _pool(self, data: Any, seasons: Seasons) -> Seasons:
        """Seasons that others can be completed from: those of fit, and new ones."""
        from ecotone.systems.phenology.forecast import joined

        new = isinstance(data, Seasons) or bool(_query(data).temperature)
        return joined([self.seasons, seasons]) if new else self.seasons

    def forecast(self, data: Any = None, **ask: Any) -> Prediction:
        """As `predict`, for the latest season of each site; with `years` in the query for those."""
        query = None if data is None or isinstance(data, Seasons) else _query(data)
        if query is None or query.years is None:
            seasons = self._asked(data)[0]
            latest = [int(rows[seasons.year[rows].argmax()]) for rows in _rows_by_site(seasons)]
            data = seasons.take(np.array(sorted(latest), dtype=int))
        return self.predict(data, **ask)

    def _answers(self, seasons: Seasons, dropped: Array, asked: Ask, pool: Seasons) -> dict[float, Answer]:
        from ecotone.systems.phenology.forecast import answer, day_in_season, hidden

        until = None
        if asked.as_of is not None:
            until = day_in_season(seasons, asked.as_of)
            seasons = hidden(seasons, asked.as_of)
            if is_date(asked.as_of):  # what came later was not known either
                pool = hidden(pool, asked.as_of)
        return {
            warm: answer(
                self.estimator.predict,
                seasons,
                pool,
                self.climate,
                completions=asked.completions,
                not_yet=asked.not_yet,
                until=until,
                warm=warm,
                dropped=dropped,
            )
            for warm in asked.warm or (0.0,)
        }

    def _asked(self, data: Any) -> tuple[Seasons, Array]:
        """Seasons of a query, one per site and year, and (N,) why one cannot be answered, "" where it can."""
        from ecotone.systems.phenology.forecast import NO_WEATHER
        from ecotone.systems.phenology.reading import check_sites, first_of_each, read_query, with_blanks

        if isinstance(data, Seasons):
            return replace(data, extra={}), np.full(len(data), "", dtype=object)
        query = _query(data)
        seasons, why = self.seasons, np.full(len(self.seasons), "", dtype=object)
        calendar = Calendar(self.stored_inputs["season_start"], self.seasons.length)
        if query.temperature:
            seasons, lost = read_query(query, self.stored_inputs, self.seasons.sites)
            why = np.full(len(seasons), "", dtype=object)
            seasons, why = with_blanks(seasons, why, lost, calendar)
        seasons, why = first_of_each(seasons, why)
        check_sites(query.sites, list(dict.fromkeys(str(s) for s in seasons.site_id)))
        if query.sites:
            own = np.isin(seasons.site_id.astype(str), query.sites)
            seasons, why = seasons.take(own), why[own]
        years = read_years(query.years)
        if years is None:
            return seasons, why
        inside = (seasons.year >= years[0]) & (seasons.year <= years[1])
        last = {int(g): int(seasons.year[seasons.site == g].max()) for g in np.unique(seasons.site)}
        there = set(zip(seasons.site.tolist(), seasons.year.tolist(), strict=True))
        if (years[1] - years[0] + 1) * len(last) > _MOST_ASKED:
            raise UsageError("US104", "--years", f"{query.years} is too wide", "ask for fewer years")
        absent = [(g, y) for g in last for y in range(years[0], years[1] + 1) if (g, y) not in there]
        names = seasons.sites["site_id"].to_numpy(dtype=object)
        rows = [(names[g], y, NO_WEATHER if y < last[g] else "") for g, y in absent]
        return with_blanks(seasons.take(inside), why[inside], rows, calendar)

    # -------------------------------------------------------------------------------------------- evidence
    def explain(self, data: Any = None, *, target: Any = None, **ask: Any) -> list[Evidence]:
        """What the answers rest on: the learned responses, then site by site.

        Args:
            data: As for `predict`; the season of a site that is taken apart is the latest complete one of these.
            target: A site; by default the six with the most bloom days.
            **ask: Fields of `Ask`; `warm`, `level` and `season` are heeded.

        Raises:
            UsageError: US101 for a site that is not known.
        """
        from ecotone.systems.phenology import evidence, site_evidence
        from ecotone.systems.phenology.coming import coming, coming_check, coming_curve

        asked = Ask.parse(ask)
        if target is not None and target not in self.sites:
            raise UsageError("US101", target, "the model has no such site", suggest(str(target), self.sites))
        seasons = self.seasons if asked.season is not None else self.trained
        seasons = seasons if data is None else self._asked(data)[0]
        if asked.season is not None:
            seasons = seasons.take(seasons.year == asked.season)
            if not len(seasons):
                raise UsageError(
                    "US104", "--season", f"no season of {asked.season} is there", "give a year with temperatures"
                )
        shown = self.shown_sites() if target is None else [str(target)]
        next_ones = {site: one for site in shown if (one := coming(self, site)) is not None}
        found = coming_check(list(next_ones.values())) + evidence.whole_model(self, asked.level)
        for site in shown:
            found += [coming_curve(next_ones[site])] if site in next_ones else []
            found += site_evidence.of_site(self, site, seasons, asked.level, asked.warm)
        return found

    def shown_sites(self) -> list[str]:
        """Sites with the most bloom days, in the order of their names."""
        names, count = np.unique(self.trained.site_id[self.trained.observed].astype(str), return_counts=True)
        return sorted(names[np.argsort(-count, kind="stable")[:SHOWN]].tolist())

    def tables(self) -> dict[str, pd.DataFrame]:
        """Parameters, answers for all seasons, chill of the winters, warming, and what became of the records."""
        from ecotone.systems.phenology import report_tables

        return report_tables.tables(self, self._records)

    # -------------------------------------------------------------------------------------------- scores
    def held_out(self) -> Held | None:
        """The fit's own answers for years it held out; None where it held out none."""
        from ecotone.systems.phenology.scores import held_out

        if self._held is None:
            frame = self.estimator.held_out_days()
            self._held = held_out(frame, self.trained) if len(frame) else None
        return self._held

    def evaluate(self, data: Any = None) -> Scores:
        """Errors, rank agreement and coverage beside plain rivals.

        Args:
            data: Nothing for years held out during the fit; `Query` with years or sites for some of these; a `Query` with
                temperature and bloom, or `Seasons`, for new bloom days.

        Raises:
            InputError: OC205 when there is too little to score.
            UsageError: US105 for temperatures without bloom days.
        """
        from ecotone.systems.phenology import scores

        query = None if data is None or isinstance(data, Seasons) else _query(data)
        if isinstance(data, Seasons) or (query is not None and query.temperature):
            return self._evaluate_new(data)
        held = self.held_out()
        if held is None:
            raise InputError("OC205", "bloom days", "no year was held out in the fit", "raise --held-out, or add years")
        if self._rivals is None:
            self._rivals = scores.rival_days(held)
        others = self._rivals
        if query is not None:
            wanted = self._asked(query)[0]
            keys = set(zip(wanted.site_id, wanted.year.tolist(), strict=True))
            pairs = zip(held.seasons.site_id, held.seasons.year.tolist(), strict=True)
            held, others = scores.some(held, others, np.array([pair in keys for pair in pairs], dtype=bool))
        split = "whole years held out in turn from all sites; rivals fitted to the same years"
        return scores.score(held, others, split)

    def _evaluate_new(self, data: Any) -> Scores:
        from ecotone.systems.phenology import scores
        from ecotone.systems.phenology.forecast import joined

        if not isinstance(data, Seasons) and _query(data).bloom is None:
            raise UsageError("US105", "--bloom", "is missing", "pass the bloom days to score against: --bloom FILE")
        seasons, dropped = self._asked(data)
        known = seasons.observed & np.isfinite(seasons.event) & (dropped == "")
        if not known.any():
            raise InputError("OC205", "bloom table", "no season has a known day of bloom", "add bloom days")
        seasons = seasons.take(known)
        nothing = np.full(len(seasons), "", dtype=object)
        found = self._answers(seasons, nothing, Ask(), joined([self.seasons, seasons]))[0.0].bloom
        low, high = found.quantiles((0.05, 0.95)).T
        held = scores.Held(seasons, found.day, low, high, np.zeros(len(seasons), dtype=int))
        others = {}
        for name, new in scores.rivals().items():
            others[name] = new().fit(self.trained).predict(seasons.unlabelled()).day
        again = set(zip(self.trained.site_id, self.trained.year.tolist(), strict=True))
        seen = sum(pair in again for pair in zip(seasons.site_id, seasons.year.tolist(), strict=True))
        split = f"{len(seasons)} seasons given with bloom days; rivals fitted to the seasons of fit"
        return scores.score(held, others, split + (f"; {seen} of them were learned from" if seen else ""))

    # -------------------------------------------------------------------------------------------- storing
    def save(self, folder: Path) -> None:
        """Writes model.safetensors, config.json, preprocessing.json and card.md."""
        from ecotone.systems.phenology import storage

        storage.write(self, Path(folder))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Reads what `save` wrote; refuses anything else."""
        from ecotone.systems.phenology import storage

        return storage.read(cls, Path(folder))  # type: ignore[return-value]


def _advance(bar: Any, step: int, _: int) -> None:
    bar.advance(max(step - bar.done, 0))


def _query(data: Any) -> Query:
    if isinstance(data, Query):
        return data.check()
    return Query.parse(data if isinstance(data, Mapping) else None).check()


def _rows_by_site(seasons: Seasons) -> list[Array]:
    return [np.flatnonzero(seasons.site == g) for g in np.unique(seasons.site)]


def _in_short(report: Any) -> dict[str, Any]:
    """What is kept of the report with the model; it names no file."""
    reasons = [[str(r.code), str(r.meaning), int(r.records), str(r.example)] for r in report.reasons().itertuples()]
    return {
        "records": len(report.records),
        "kept": int(np.sum(report.records["kept"].to_numpy())),
        "unlabelled": int(report.unlabelled),
        "summary": report.summary(),
        "reasons": reasons,
    }
