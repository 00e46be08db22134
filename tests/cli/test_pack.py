"""`ecotone data pack`, from the user's side."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ecotone.cli.main import main
from ecotone.data.site_store import SiteStore


@pytest.fixture
def sites(tmp_path):
    rng = np.random.default_rng(0)
    table = {"bio1": rng.normal(size=50), "biome": rng.integers(0, 3, 50), "lon": np.zeros(50), "lat": np.zeros(50)}
    table["species"] = [["fox"] if i % 2 else ["elk", "fox"] for i in range(50)]
    pq.write_table(pa.table(table), tmp_path / "s.parquet")
    triples = {"site": [49, 0, 1], "species": ["elk", "fox", "elk"], "count": [2, 1, 1]}
    pq.write_table(pa.table(triples), tmp_path / "t.parquet")
    (tmp_path / "names.txt").write_text("elk\nfox\nlynx\n")
    return tmp_path


def test_pack_and_read(sites, capsys):
    out = sites / "store"
    words = ["--categorical", "biome", "--x", "lon", "--y", "lat", "--species-list", str(sites / "names.txt")]
    assert main(["data", "pack", str(sites / "s.parquet"), "--out", str(out), *words]) == 0
    assert "50 sites, 2 covariates, 3 species, 75 records" in capsys.readouterr().out
    with SiteStore(out) as store:
        assert store.species == ("elk", "fox", "lynx")
        assert store.levels == {"biome": (0, 1, 2)}


def test_pack_with_triples(sites):
    words = ["--labels", str(sites / "t.parquet"), "--exclude", "species", "lon", "lat"]
    assert main(["data", "pack", str(sites / "s.parquet"), "--out", str(sites / "store"), *words, "--quiet"]) == 0
    with SiteStore(sites / "store") as store:
        assert store.records.tolist() == [3, 1]


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["pack"], 2, "US105"),
        (["pack", "s.parquet"], 2, "US105"),
        (["pack", "none.parquet", "--out", "store"], 3, "IO101"),
        (["pack", "s.parquet", "--out", "store", "--covariate", "bio1"], 2, "US101"),
        (["pack", "s.parquet", "--out", "store", "--species-column", "kind"], 3, "OC201"),
        (["pack", "s.parquet", "--out", "store", "--species-list", "nowhere.txt"], 3, "IO101"),
        (["pack", "s.parquet", "--out", "t.parquet"], 2, "US106"),
        (["pak", "s.parquet"], 2, "US101"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(sites, capsys, monkeypatch, words, status, says):
    monkeypatch.chdir(sites)
    assert main(["data", *words]) == status
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and says in lines[0]
    assert not (sites / "store").exists()


def test_help(capsys):
    assert main(["data", "pack", "--help"]) == 0
    assert "--species-column" in capsys.readouterr().out
