"""The races on small grids: sides agree, rows are whole."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest

from ecotone.bench.phenology_peer import peer_row
from ecotone.bench.phenology_speed import grid_rows, season_matrix, thermal_row, winters
from ecotone.errors import MissingDependencyError


def test_grid_race_checks_equality_and_counts():
    rows = grid_rows(seasons=6, sample=20, rounds=1, every=8)
    assert [row["combinations"] for row in rows] == [4 * 10 * 10, 20, 20]
    assert all(row["ratio"] > 1 for row in rows[1:])


def test_tables_to_arrays_and_fit():
    hours = winters(5, seed=1, length=240)
    mean = hours.mean(axis=-1).round(2)
    doy = np.arange(240) - 91
    temperature = pd.concat(
        [pd.DataFrame({"site_id": 7, "year": 2000 + i, "doy": doy, "temperature": mean[i]}) for i in (3, 0, 4, 1, 2)]
    )
    temperature = temperature[~((temperature["year"] == 2003) & (temperature["doy"] == doy[-1]))]  # one day short
    observations = pd.DataFrame(
        {"site_id": 7, "year": [2004, 2000, 2000, 2001, 2002, 2003], "doy": [90, 100, 101, 95, 97, 99]}
    )
    table, season, event, first = season_matrix(observations, temperature)
    assert table.shape == (5, 239)
    assert first == -91
    np.testing.assert_array_equal(table[0], mean[4, :-1].astype(float))
    np.testing.assert_array_equal(season, [0, 1, 1, 2, 3, 4])
    np.testing.assert_array_equal(event, observations["doy"] + 91)
    row = thermal_row(observations, temperature, "gdd", rounds=1)
    assert row["n"] == 6
    assert row["rmse"] < 10


def test_a_python_without_the_peer_is_one_clear_line():
    for python in ("/nowhere/python", sys.executable):
        with pytest.raises(MissingDependencyError, match="cannot run pyPhenology"):
            peer_row(python, "budburst", 0)
