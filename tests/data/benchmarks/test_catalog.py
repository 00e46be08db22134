from __future__ import annotations

import pytest

from ecotone.data.benchmarks import bradypus, catalog
from ecotone.errors import InputError, UsageError


def test_every_data_set_is_described():
    tables = {"nceas", "bradypus", "ariolimax", "cherry", "chelsa_costarica"}
    images = {"cub", "nabirds", "flowers", "waterbirds", "openfield"}
    assert set(catalog.DATASETS) == tables | images
    for row in catalog.rows():
        assert all(row.values())
        assert "https://" in row["source"]


@pytest.mark.parametrize("name", list(catalog.DATASETS))
def test_instructions_and_check_of_an_empty_folder(tmp_path, name):
    text = catalog.instructions(name, tmp_path)
    assert str(tmp_path / catalog.DATASETS[name].folder) in text
    assert "FOLDER" not in text
    states = catalog.check(name, tmp_path)
    assert states
    assert {s.state for s in states} == {"missing"}
    assert catalog.complete_parts(states) == []


def test_check_tells_missing_empty_and_there(tmp_path):
    (tmp_path / "ariolimax").mkdir()
    path = tmp_path / "ariolimax" / "ariolimax.gpkg"
    path.touch()
    assert catalog.check("ariolimax", tmp_path)[0].state == "empty"
    path.write_bytes(b"x")
    for folder in (tmp_path, tmp_path / "ariolimax"):
        states = catalog.check("ariolimax", folder)
        assert states[0].state == "there"
        assert catalog.complete_parts(states) == ["points"]


def test_unknown_name_and_missing_file(tmp_path):
    with pytest.raises(UsageError, match="nceas") as error:
        catalog.check("ncea", tmp_path)
    assert error.value.code == "US101"
    with pytest.raises(InputError) as missing:
        bradypus.files(tmp_path)
    assert missing.value.code == "IO101"


@pytest.mark.realdata
def test_the_data_at_hand(data_folder):
    parts = {name: catalog.complete_parts(catalog.check(name, data_folder)) for name in catalog.DATASETS}
    assert {"AWT", "CAN", "NSW", "SA"} <= set(parts["nceas"])
    assert parts["bradypus"] == ["example"]
    assert parts["ariolimax"] == ["points"]
    assert parts["cherry"] == ["seasons", "monthly", "aspen", "vaccinium", "phenocam"]
    assert parts["chelsa_costarica"] == ["rasters"]
