"""What every system promises, as tests: `tests/systems/test_contract.py` runs them for each system in a subclass.

A subclass gives the fixture `case`: a tiny, quick instance of its method, from real files.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ecotone.abilities import Maps
from ecotone.contract import Evidence, Options, Prediction, Scores, System
from ecotone.errors import InputError, IntegrityError, UsageError
from ecotone.files.evidence import load_evidence, save_evidence
from ecotone.files.model_folder import model_id
from ecotone.registry import SYSTEMS, list_systems, load, system_class


@dataclass(frozen=True)
class Case:
    """A quick instance of a system.

    Attributes:
        name: Its registry key.
        config: Settings that make it tiny.
        inputs: What `fit` reads, files only.
        query: What `predict` reads.
        rows: Rows its answer has.
        target: Something that can be explained.
        asks: Settings of `Ask` that are worth a try, one by one.
        random: Whether another seed gives another answer.
    """

    name: str
    config: Mapping[str, Any]
    inputs: Mapping[str, Any]
    query: Mapping[str, Any]
    rows: int
    target: str
    asks: tuple[Mapping[str, Any], ...] = ()
    random: bool = True
    memory: dict[str, Any] = field(default_factory=dict)

    @property
    def cls(self) -> type[System]:
        """The class."""
        return system_class(self.name)

    def new(self, **more: Any) -> System:
        """An unfitted system."""
        return self.cls({**self.config, **more})

    def fitted(self) -> System:
        """A fitted one, made once; tests must not change it."""
        if "fitted" not in self.memory:
            self.memory["fitted"] = self.new().fit(self.inputs)
        return self.memory["fitted"]

    def stored(self, folder: Path) -> Path:
        """A folder it was saved to."""
        folder.mkdir()
        self.fitted().save(folder)
        return folder


def same(one: Prediction, other: Prediction) -> None:
    """Equal bit for bit."""
    assert one.arrays.keys() == other.arrays.keys() and one.columns == other.columns and one.units == other.units
    for name, array in one.arrays.items():
        np.testing.assert_array_equal(array, other.arrays[name], err_msg=name)


class ContractSuite:
    """Tests that hold for every system."""

    @pytest.fixture
    def case(self) -> Case:
        """Subclasses give their own, from a fixture of module scope."""
        raise NotImplementedError

    # -------------------------------------------------------------------------------------------- names and options
    def test_the_registry_knows_it(self, case: Case) -> None:
        assert case.name in list_systems() and case.cls.name == case.name and issubclass(case.cls, System)
        assert all((SYSTEMS[case.name].eats, SYSTEMS[case.name].gives, SYSTEMS[case.name].paper))
        assert inspect.getdoc(case.cls)

    @pytest.mark.parametrize("model", ["Inputs", "Query", "Config", "Ask"])
    def test_every_option_is_explained_and_unknown_ones_are_refused(self, case: Case, model: str) -> None:
        options = getattr(case.cls, model)
        assert issubclass(options, Options)
        explained = options.explained()
        assert set(explained) == set(options.model_fields) and all(explained.values())
        known = next(iter(options.model_fields))
        with pytest.raises(UsageError) as caught:
            options.parse({known + "z": 1})
        assert caught.value.code == "US101" and known in caught.value.fix

    def test_defaults_are_valid_and_settings_are_plain(self, case: Case) -> None:
        assert case.cls().config == case.cls.Config.parse({})
        stored = json.loads(case.new().config.model_dump_json())
        assert case.cls.Config.parse(stored) == case.new().config
        case.cls.Ask.parse({})

    # -------------------------------------------------------------------------------------------- fit and predict
    def test_fit_reads_files_and_names_them(self, case: Case) -> None:
        system = case.new()
        files = system.input_files(case.cls.Inputs.parse(case.inputs))
        assert files and all(Path(f).is_file() for f in files)
        assert system.fit(case.inputs) is system

    def test_a_missing_file_is_said_at_once(self, case: Case, tmp_path: Path) -> None:
        paths = [k for k, v in case.inputs.items() if isinstance(v, Path | str) and Path(v).exists()]
        for name in paths:
            with pytest.raises(InputError) as caught:
                case.new().input_files(case.cls.Inputs.parse({**case.inputs, name: tmp_path / "none"}))
            assert caught.value.code == "IO101"

    def test_equal_seeds_give_equal_bits(self, case: Case) -> None:
        again = case.new().fit(case.inputs)
        answer = case.fitted().predict(case.query)
        same(answer, again.predict(case.query))
        if case.random:
            other = case.new(seed=12345).fit(case.inputs).predict(case.query)
            assert any(not np.array_equal(a, other.arrays[k]) for k, a in answer.arrays.items())

    def test_other_randomness_is_left_alone(self, case: Case) -> None:
        import random

        import torch

        states: list[Callable[[], Any]] = [random.getstate, lambda: np.random.get_state()[1].tolist()]  # noqa: NPY002
        states.append(lambda: torch.random.get_rng_state().tolist())
        before = [state() for state in states]
        system = case.new().fit(case.inputs)
        system.predict(case.query)
        system.explain(target=case.target)
        assert [state() for state in states] == before

    def test_answers_have_units_and_fit_a_table(self, case: Case) -> None:
        for ask in ({}, *case.asks):
            answer = case.fitted().predict(case.query, **ask)
            assert isinstance(answer, Prediction) and answer.arrays
            for name, array in answer.arrays.items():
                assert array.shape[0] == case.rows
                assert array.ndim == 1 or array.shape[1] == len(answer.columns), name
            numeric = {k for k, a in answer.arrays.items() if a.dtype.kind == "f"}
            assert numeric - set(answer.units) <= {"x", "y"} and set(answer.units) <= set(answer.arrays)
            assert len(answer.to_frame()) == case.rows
            assert np.isfinite(next(a for k, a in answer.arrays.items() if k in answer.units)).any()

    def test_unknown_questions_are_refused(self, case: Case) -> None:
        for verb in (case.fitted().predict, lambda query, **ask: case.fitted().explain(**ask)):
            with pytest.raises(UsageError) as caught:
                verb(case.query, no_such_setting=1)
            assert caught.value.code == "US101"

    def test_it_says_nothing_unless_asked(self, case: Case, capfd: pytest.CaptureFixture[str]) -> None:
        system = case.new().fit(case.inputs)
        system.predict(case.query)
        system.explain(target=case.target)
        assert capfd.readouterr() == ("", "")

    # -------------------------------------------------------------------------------------------- storing
    def test_a_stored_model_answers_the_same(self, case: Case, tmp_path: Path) -> None:
        folder = case.stored(tmp_path / "model")
        files = {"model.safetensors", "config.json", "preprocessing.json", "card.md"}
        assert {p.name for p in folder.iterdir()} == files
        for again in (load(folder), case.cls.load(folder)):
            assert type(again) is case.cls and again.config == case.fitted().config
            for ask in ({}, *case.asks):
                same(case.fitted().predict(case.query, **ask), again.predict(case.query, **ask))
        again.save(tmp_path / "again")
        for name in sorted(files):
            assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes(), name
        assert model_id(folder) == model_id(tmp_path / "again")

    def test_a_stored_model_names_no_home_and_no_user(self, case: Case, tmp_path: Path, monkeypatch: Any) -> None:
        monkeypatch.setenv("HOME", str(Path(next(str(v) for v in case.inputs.values())).parent))
        case.new().fit(case.inputs).save(tmp_path / "model")
        load(tmp_path / "model").save(tmp_path / "again")
        home = str(Path.home())
        for path in [*(tmp_path / "model").iterdir(), *(tmp_path / "again").iterdir()]:
            assert home.encode() not in path.read_bytes(), path
        same(load(tmp_path / "model").predict(case.query), case.fitted().predict(case.query))

    @pytest.mark.parametrize("name", ["model.safetensors", "config.json", "preprocessing.json"])
    def test_a_damaged_model_is_refused(self, case: Case, tmp_path: Path, name: str) -> None:
        folder = case.stored(tmp_path / "model")
        whole = (folder / name).read_bytes()
        for part in (b"", whole[:1], whole[: len(whole) // 2], whole[:-1], b"\x80\x04N."):
            (folder / name).write_bytes(part)
            if part == whole[:-1] and name.endswith(".json") and whole.endswith(b"}\n"):
                continue  # only the line end is gone
            with pytest.raises(IntegrityError):
                load(folder)

    # -------------------------------------------------------------------------------------------- evidence, scores
    def test_evidence_is_tabular_and_survives_storage(self, case: Case, tmp_path: Path) -> None:
        items = case.fitted().explain()
        assert items and all(isinstance(e, Evidence) and e.title and e.kind for e in items)
        assert any(e.target == case.target for e in items)
        assert all(len(e.to_frame()) for e in items)
        save_evidence(tmp_path, items)
        again = load_evidence(tmp_path)
        assert [(type(a), a.title, a.target, a.exact) for a in again] == [
            (type(e), e.title, e.target, e.exact) for e in items
        ]

    def test_one_target_can_be_explained_from_a_stored_model(self, case: Case, tmp_path: Path) -> None:
        again = load(case.stored(tmp_path / "model"))
        found = again.explain(target=case.target)
        assert found and {e.target for e in found} <= {"", case.target}
        with pytest.raises(UsageError) as caught:
            again.explain(target=case.target + "x")
        assert caught.value.code == "US101" and case.target in caught.value.fix

    def test_scores_have_honest_intervals_and_repeat(self, case: Case) -> None:
        scores = case.fitted().evaluate()
        assert isinstance(scores, Scores) and scores.metrics and scores.split
        for name, score in scores.metrics.items():
            assert np.isfinite(score.value), name
            assert np.isnan(score.low) or score.low <= score.value <= score.high, name
        again = case.fitted().evaluate()
        assert again.split == scores.split
        assert list(again.to_frame().itertuples(index=False)) == list(scores.to_frame().itertuples(index=False))
        assert list(again.rows) == list(scores.rows)

    def test_tables_are_named_for_files(self, case: Case) -> None:
        for name, table in case.fitted().tables().items():
            assert re.fullmatch(r"[a-z-]+", name) and len(table) and len(set(table.columns)) == len(table.columns)

    # -------------------------------------------------------------------------------------------- maps
    def test_a_pixel_answers_for_itself(self, case: Case) -> None:
        """Order, company and number of pixels change no bit."""
        system = case.fitted()
        if not isinstance(system, Maps):
            pytest.skip("makes no maps")
        specs, asks = system.map_covariates(), ({}, *case.asks)
        stack = system.training_covariates()
        assert tuple(stack.names) == tuple(s.name for s in specs)
        cells = stack.valid_cells(300, seed=1)
        rows, valid = stack.at_cells(cells)
        assert valid.all()
        order = np.random.default_rng(0).permutation(len(rows))
        for ask in asks:
            products = system.map_products(**ask)
            whole = system.window(rows, **ask)
            assert [a.shape for a in whole] == [(len(rows), len(p.bands)) for p in products]
            assert products[0].suffix == "" and len({p.suffix for p in products}) == len(products)
            mixed = system.window(rows[order], **ask)
            parts = [system.window(part, **ask) for part in np.array_split(rows, [1, 8, 71])]
            for k, product in enumerate(products):
                np.testing.assert_array_equal(whole[k][order], mixed[k], err_msg=product.suffix)
                joined = np.concatenate([p[k] for p in parts])
                np.testing.assert_array_equal(whole[k], joined, err_msg=product.suffix)
                if product.legend:
                    assert set(np.unique(whole[k]).astype(int)) <= set(product.legend), product.suffix
