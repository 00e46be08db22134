from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ecotone.data.benchmarks import cherry
from ecotone.errors import InputError


@pytest.mark.realdata
def test_benchmark_seasons_follow_their_table(data_folder):
    folder = data_folder / "phenology"
    table = pd.read_csv(folder / cherry.SEASONS).sort_values(["site_id", "year"])
    seasons = cherry.read_cherry(folder, None, 1)
    assert len(seasons) == len(table)
    np.testing.assert_array_equal(seasons.doy(seasons.event), table["doy"])
    np.testing.assert_array_equal(seasons.extra["station"], table["station_id"])
    np.testing.assert_array_equal(seasons.quality, table["quality"])
    before = np.arange(seasons.length) <= seasons.event[:, None]
    missing = np.rint(table["missing_pct"] * table["days"] / 100)
    np.testing.assert_array_equal((before & ~seasons.known).sum(axis=1), missing)
    assert np.isfinite(seasons.daily).all() and seasons.daily.flags.c_contiguous
    assert (seasons.daily[..., 0] <= seasons.daily[..., 1]).mean() > 0.999


@pytest.mark.realdata
def test_sites_are_counted_after_the_quality(data_folder):
    seasons = cherry.read_cherry(data_folder / "phenology")
    assert set(seasons.quality) == {"observed"}
    assert np.unique(seasons.site_id, return_counts=True)[1].min() >= 8
    by_block = pd.Series(seasons.sites["block"].to_numpy(), index=seasons.sites["site_id"])
    assert by_block["CH_basel_binningen"] == by_block["CH_therwil"]  # two names of one station
    assert by_block["CH_basel_binningen"] != by_block["CH_moehlin"]
    some = seasons.take(seasons.year > 2000)
    assert len(some.extra["station"]) == len(some)
    with pytest.raises(InputError) as error:
        cherry.read_cherry(data_folder / "phenology", ("observed",), 500)
    assert error.value.code == "PH616"


def test_missing_folder(tmp_path):
    with pytest.raises(InputError, match="ecotone data get cherry") as error:
        cherry.read_cherry(tmp_path)
    assert error.value.code == "IO101"
