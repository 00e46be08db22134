"""Which member learns from which seasons."""

from __future__ import annotations

import numpy as np
import pytest

from ecotone.systems.phenology.hybrid.members import lay_out, stack

YEAR = np.array([2001, 2002, 2003, 2004, 2005, 2006, 2001, 2002, 2003, 2004, 2005, 2006, 2007])
ALL = np.ones(len(YEAR), dtype=bool)


@pytest.mark.parametrize("held_out", [0.5, 0.34, 0.25, 0.1, 0.01])
def test_folds_hold_every_year_once_and_whole(held_out: float) -> None:
    fit = lay_out(YEAR, ALL, 3, 2, held_out)
    np.testing.assert_array_equal(fit.folds.sum(0), 1)
    for year in np.unique(YEAR):
        assert fit.folds[:, year == YEAR].any(1).sum() == 1
    years = [len(np.unique(YEAR[fold])) for fold in fit.folds]
    assert len(fit.folds) == min(round(1 / held_out), 7) and max(years) - min(years) <= 1


def test_folds_leave_out_seasons_that_are_not_learned_from() -> None:
    rows = YEAR != 2003
    rows[0] = False
    fit = lay_out(YEAR, rows, 0, 1, 0.25)
    np.testing.assert_array_equal(fit.folds.sum(0), rows)
    weight, judged = fit.weights()
    assert weight[0].tolist() == rows.tolist() and not judged[0].any()
    np.testing.assert_array_equal(weight[1:] + judged[1:], np.repeat(rows[None], len(fit.folds), 0))
    assert not (weight[1:] * judged[1:]).any()


def test_folds_are_random_by_seed() -> None:
    one, same, other = (lay_out(YEAR, ALL, seed, 1, 0.25).folds for seed in (1, 1, 2))
    assert (one == same).all() and not (one == other).all()


@pytest.mark.parametrize(("years", "held_out"), [(YEAR, 0.0), (np.full(len(YEAR), 2001), 0.25)])
def test_nothing_to_hold_out(years: np.ndarray, held_out: float) -> None:
    fit = lay_out(years, ALL, 0, 3, held_out)
    weight, judged = fit.weights()
    assert fit.members == 3 and weight.shape == (3, len(YEAR)) and weight.all() and not judged.any()


def test_fits_are_stacked_behind_each_other() -> None:
    some = YEAR < 2005
    fits = [lay_out(YEAR, ALL, 0, 2, 0.25), lay_out(YEAR, some, 1, 1, 0.0)]
    weight, judged = stack(fits)
    assert weight.shape == judged.shape == (2 + 4 + 1, len(YEAR))
    for k, fit in enumerate(fits):
        rows = slice(0, 6) if k == 0 else slice(6, 7)
        one, other = fit.weights()
        np.testing.assert_array_equal(weight.numpy()[rows], one)
        np.testing.assert_array_equal(judged.numpy()[rows], other)
