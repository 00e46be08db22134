from __future__ import annotations

import numpy as np
import pytest

from ecotone.errors import InputError
from ecotone.mapping.pixelwise import in_fixed_chunks


@pytest.mark.parametrize("n", [0, 1, 7, 8, 9, 23])
def test_every_call_has_the_same_shape_and_padding_is_dropped(n):
    shapes = []

    def double(rows):
        shapes.append(rows.shape)
        return 2 * rows, rows.sum(axis=1)

    rows = np.random.default_rng(0).normal(size=(n, 3))
    twice, total = in_fixed_chunks(double, rows, chunk=8)
    assert set(shapes) == {(8, 3)}
    assert np.array_equal(twice, 2 * rows) and np.array_equal(total, rows.sum(axis=1))
    assert in_fixed_chunks(lambda r: r[:, :2], rows, chunk=8).shape == (n, 2)


def test_a_wrong_number_of_rows_is_refused():
    with pytest.raises(InputError):
        in_fixed_chunks(lambda r: r[:3], np.ones((10, 2)), chunk=8)


def test_a_row_gets_the_same_bits_wherever_it_stands(network):
    system = network(tuple("abcdefghi"))
    rows = np.random.default_rng(0).normal(size=(5000, 9))
    whole = in_fixed_chunks(system.predict, rows)
    rng = np.random.default_rng(1)
    for n in (1, 2, 3, 17, 289, 4095, 4097):
        some = rng.permutation(5000)[:n]
        assert in_fixed_chunks(system.predict, rows[some]).tobytes() == whole[some].tobytes()
