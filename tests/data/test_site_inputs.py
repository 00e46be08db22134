"""Sites named on a command line: a store is taken as it is, tables are packed once."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ecotone.data.site_inputs import is_store, open_or_pack, store_files
from ecotone.errors import InputError, UsageError


@pytest.fixture
def tables(tmp_path):
    pq.write_table(
        pa.table({"bio1": np.arange(4.0), "species": [["a"], ["b"], [], ["a", "b"]]}), tmp_path / "s.parquet"
    )
    pq.write_table(pa.table({"site": [0, 3], "species": ["a", "c"]}), tmp_path / "t.parquet")
    return tmp_path


def test_tables_are_packed_once_and_a_store_is_opened(tables, monkeypatch):
    first = open_or_pack(tables / "s.parquet", tables / "run" / "sites", exclude=[])
    assert first.species == ("a", "b")
    (tables / "s.parquet").unlink()
    again = open_or_pack(tables / "s.parquet", tables / "run" / "sites")
    direct = open_or_pack(
        tables / "run" / "sites", tables / "other", species_column="species", labels=None, covariates=[]
    )
    assert first.id == again.id == direct.id
    assert not (tables / "other").exists()


def test_triples_replace_the_species_column(tables):
    store = open_or_pack(tables / "s.parquet", tables / "o", labels=tables / "t.parquet", exclude=["species"])
    assert store.species == ("a", "c")


def test_files_that_decide(tables):
    names = store_files(tables / "s.parquet", labels=tables / "t.parquet")
    assert [p.name for p in names] == ["s.parquet", "t.parquet"]
    store = open_or_pack(tables / "s.parquet", tables / "o")
    assert is_store(store.folder) and not is_store(tables)
    assert store_files(store.folder) == [store.folder / "store.json"]
    with pytest.raises(InputError) as caught:
        store_files(tables / "none.parquet")
    assert caught.value.code == "IO101"


@pytest.mark.parametrize("more", [{"labels": "t.parquet"}, {"weight": "w"}, {"covariates": ["bio1"]}])
def test_options_of_packing_are_refused_with_a_store(tables, more):
    store = open_or_pack(tables / "s.parquet", tables / "o")
    with pytest.raises(UsageError) as caught:
        open_or_pack(store.folder, tables / "p", **more)
    assert caught.value.code == "US105"
