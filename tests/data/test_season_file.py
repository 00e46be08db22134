from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from season_tables import bloom, daily

from ecotone.data.season_file import load_seasons, save_seasons
from ecotone.data.seasons_build import build_seasons
from ecotone.errors import InputError, IntegrityError


def test_seasons_come_back_as_they_were(tmp_path):
    seasons, _ = build_seasons(bloom(latitude=47.0, variety="ä"), daily(quality="observed"), all_years=True)
    seasons = replace(seasons, hours=np.zeros((len(seasons), 274, 24), dtype=np.float32))
    save_seasons(tmp_path / "s.npz", seasons)
    back = load_seasons(tmp_path / "s.npz")
    for name in ("daily", "known", "year", "first", "site", "status", "event", "quality", "hours"):
        np.testing.assert_array_equal(getattr(back, name), getattr(seasons, name))
        assert getattr(back, name).dtype == getattr(seasons, name).dtype
    pd.testing.assert_frame_equal(back.sites, seasons.sites, check_dtype=False)
    assert back.source == seasons.source and set(back.extra) == set(seasons.extra)
    np.testing.assert_array_equal(back.extra["station"], seasons.extra["station"])
    assert back.sites["group"].tolist() == ["ä"]


def test_damaged_files(tmp_path):
    with pytest.raises(InputError) as missing:
        load_seasons(tmp_path / "s.npz")
    assert missing.value.code == "IO101"
    seasons, _ = build_seasons(bloom(latitude=47.0), daily())
    path = tmp_path / "s.npz"
    save_seasons(path, seasons)
    whole = path.read_bytes()
    for content in (b"", b"x" * 100, whole[: len(whole) // 2], whole[:-30]):
        path.write_bytes(content)
        with pytest.raises(IntegrityError) as error:
            load_seasons(path)
        assert error.value.code == "IN101"
    np.savez(path, format=np.array("other"))
    with pytest.raises(IntegrityError, match="other"):
        load_seasons(path)
