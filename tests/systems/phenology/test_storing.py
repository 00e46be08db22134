"""A stored hybrid is the same hybrid."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ecotone.data.simulated.trees import trees
from ecotone.errors import IntegrityError
from ecotone.systems.phenology.hybrid.config import HybridConfig
from ecotone.systems.phenology.hybrid.estimator import HybridPhenology


@pytest.mark.parametrize(
    "options", [{}, {"network": "day", "width": 6, "scalars": "group"}, {"response": "unimodal", "held_out": 0.0}]
)
def test_what_is_stored_comes_back(options: dict[str, Any]) -> None:
    world = trees(2, sites=2, years=8)
    config = HybridConfig.parse({"members": 2, "steps": 3, **options})
    one = HybridPhenology(config).fit(world.seasons)
    tensors, notes = one.tensors(), json.loads(json.dumps(one.notes(), allow_nan=False))
    assert {k: v.shape for k, v in tensors.items()} == HybridPhenology.shapes(config, notes)
    assert all(np.isfinite(v).all() for v in tensors.values())
    other = HybridPhenology.restore(config, tensors, notes)
    np.testing.assert_array_equal(one.predict(world.seasons).cdf, other.predict(world.seasons).cdf)
    pd.testing.assert_frame_equal(one.parameters()[list(other.parameters())], other.parameters(), check_dtype=False)
    columns = ["site_id", "year", "observed", "day", "q05", "q95"]
    assert len(one.held_out_days()) == (16 if config.held_out else 0)
    pd.testing.assert_frame_equal(one.held_out_days()[columns], other.held_out_days()[columns], check_dtype=False)
    at = np.arange(-5, 20.0)
    for name in ("response", "lower", "upper"):
        np.testing.assert_array_equal(getattr(one.response(at), name), getattr(other.response(at), name))
    assert [c.to_frame().to_csv() for c in one.identifiability()] == [
        c.to_frame().to_csv() for c in other.identifiability()
    ]
    again = other.notes()
    assert again == notes and all(np.array_equal(v, tensors[k]) for k, v in other.tensors().items())


def test_parts_that_do_not_fit_are_refused() -> None:
    world = trees(2, sites=2, years=8)
    one = HybridPhenology(members=1, steps=2).fit(world.seasons)
    with pytest.raises(ValueError, match="do not fit"):
        HybridPhenology.restore(one.config, one.tensors(), one.notes() | {"group_of": [0, 5]})
    amid = one.tensors()["about.amid"]
    for edges in (-amid, amid * np.nan, amid[:, :7]):
        with pytest.raises(ValueError):
            HybridPhenology.restore(one.config, one.tensors() | {"about.amid": edges}, one.notes())


def test_a_folder_of_other_inputs_is_refused(fitted: Any, tmp_path: Path) -> None:
    fitted.save(tmp_path)
    assert type(fitted).load(tmp_path).stored_inputs == fitted.stored_inputs
    path = tmp_path / "preprocessing.json"
    text = path.read_text(encoding="utf-8")
    for name, value in (
        *(("season_start", v) for v in (None, "99-99", "", 7)),
        *(("season_length", v) for v in (200, 10**9)),
        ("max_gap", "many"),
        ("colour", "red"),
    ):
        stored = json.loads(text)
        stored["inputs"] |= {name: value}
        if value is None:
            del stored["inputs"][name]
        path.write_text(json.dumps(stored), encoding="utf-8")
        with pytest.raises(IntegrityError) as caught:
            type(fitted).load(tmp_path)
        assert caught.value.code == "IN102", (name, value)
