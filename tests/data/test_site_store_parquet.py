"""Parquet tables of any layout become the store of the same arrays; what is wrong with them is said with its place."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import sparse

from ecotone.data import site_store_parquet, site_store_triples
from ecotone.data.site_store import SiteStore
from ecotone.errors import EcotoneError

N, NAMES = 500, ["aster", "briza", "carex", "daphne"]


def material(seed=0):
    rng = np.random.default_rng(seed)
    dense = rng.poisson(0.4, (N, 4)).astype(np.float32)
    dense[40:60] = 0
    return rng.normal(size=(N, 2)).astype(np.float32), dense


def lists(dense, spell=lambda j: NAMES[j]):
    rows = [np.flatnonzero(row) for row in dense]
    return [[spell(j) for j in r] for r in rows], [[float(dense[i, j]) for j in r] for i, r in enumerate(rows)]


def columns(x, **more):
    return {"bio1": x[:, 0], "bio12": x[:, 1].astype(np.float64), **more}


def write(path, content, rows=64):
    pq.write_table(pa.table(content), path, row_group_size=rows)
    return path


def same(store, x, dense, names=NAMES):
    every = store.sample(N)
    np.testing.assert_array_equal(every.covariates, x)
    np.testing.assert_array_equal(every.counts.toarray(), dense)
    assert store.covariates == ("bio1", "bio12")
    assert list(store.species) == list(names)


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr(site_store_parquet, "CHUNK", 100)


def triples(dense, seed=1, spell=lambda j: NAMES[j]):
    rng = np.random.default_rng(seed)
    i, j = np.nonzero(dense)
    site, kind, count = list(i), list(j), list(dense[i, j])
    for k in range(0, len(site), 7):  # some records come in two parts
        site.append(site[k])
        kind.append(kind[k])
        count.append(0.5)
        count[k] -= 0.5
    order = rng.permutation(len(site))
    pick = [np.array(v)[order] for v in (site, kind, count)]
    return {"site": pick[0], "species": [spell(int(k)) for k in pick[1]], "count": pick[2].astype(np.float32)}


def test_lists_of_names_with_counts(tmp_path):
    x, dense = material()
    names, counts = lists(dense)
    write(tmp_path / "a.parquet", columns(x, species=names, count=counts))
    same(SiteStore.from_parquet(tmp_path / "a.parquet", tmp_path / "s"), x, dense)


def test_a_folder_of_parts(tmp_path):
    x, dense = material()
    names, counts = lists(dense)
    (tmp_path / "parts" / "deeper").mkdir(parents=True)
    for k, part in enumerate((slice(0, 130), slice(130, 131), slice(131, N))):
        content = columns(x[part], species=names[part], count=counts[part])
        write(tmp_path / "parts" / ("deeper" if k == 1 else "") / f"{'adz'[k]}.parquet", content)
    assert [p.name for p in site_store_parquet.ParquetTable(tmp_path / "parts").parts] == [
        "a.parquet",
        "d.parquet",
        "z.parquet",
    ]
    same(SiteStore.from_parquet(tmp_path / "parts", tmp_path / "s"), x, dense)


def test_lists_of_numbers_are_places_in_a_given_list(tmp_path):
    x, dense = material()
    numbers, counts = lists(dense, int)
    path = write(tmp_path / "a.parquet", columns(x, species=numbers, count=counts))
    same(SiteStore.from_parquet(path, tmp_path / "s", species=NAMES), x, dense)


def test_numbers_without_a_list_are_names(tmp_path):
    """Keys of a large catalogue do not make as many species."""
    x, dense = material()
    keys = [7, 30, 1_000_000, 5_231_190]
    numbers, counts = lists(dense, lambda j: keys[j])
    path = write(tmp_path / "a.parquet", columns(x, species=numbers, count=counts))
    same(SiteStore.from_parquet(path, tmp_path / "s"), x, dense, ["7", "30", "1000000", "5231190"])


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_one_species_per_site_or_none(tmp_path, kind):
    x, _ = material()
    which = np.arange(N) % 5
    column = pa.array([None if w == 4 else NAMES[w] for w in which]).cast(kind)
    path = write(tmp_path / "a.parquet", columns(x, species=column))
    same(SiteStore.from_parquet(path, tmp_path / "s"), x, np.eye(5, 4)[which])


def test_null_and_empty_lists_and_repeats(tmp_path):
    x, dense = material()
    names, _ = lists(dense)
    names = [None if i % 2 and not r else r for i, r in enumerate(names)]
    names[0] = ["carex", "aster", "carex"]
    expected = (dense > 0).astype(float)
    expected[0] = [1, 0, 2, 0]
    path = write(tmp_path / "a.parquet", columns(x, species=pa.array(names, pa.large_list(pa.string()))))
    same(SiteStore.from_parquet(path, tmp_path / "s"), x, expected)


@pytest.mark.parametrize("bucket", [1 << 21, 37])
@pytest.mark.parametrize("spelled", ["names", "numbers"])
def test_triples_in_any_order(tmp_path, monkeypatch, bucket, spelled):
    """In one bucket or in many, the records are those of the matrix."""
    monkeypatch.setattr(site_store_triples, "BUCKET", bucket)
    x, dense = material()
    spell = (lambda j: NAMES[j]) if spelled == "names" else int
    a = write(tmp_path / "a.parquet", columns(x))
    b = write(tmp_path / "b.parquet", triples(dense, spell=spell))
    options = {} if spelled == "names" else {"species": NAMES}
    store = SiteStore.from_parquet(a, tmp_path / "s", labels=b, **options)
    same(store, x, dense)
    if bucket == 37:
        table = site_store_parquet.ParquetTable(b)
        names = site_store_parquet.SpeciesNames(options.get("species"))
        assert len(site_store_triples.Triples(table, N, names).edges) > 15
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.parquet", "b.parquet", "s"]


def test_sites_far_apart_do_not_make_huge_buckets(tmp_path, monkeypatch):
    monkeypatch.setattr(site_store_triples, "RANGE", 50)
    x, _ = material()
    a, b = write(tmp_path / "a.parquet", columns(x)), write(tmp_path / "b.parquet", {"site": [3], "species": ["aster"]})
    store = SiteStore.from_parquet(a, tmp_path / "s", labels=b)
    assert (store.n_entries, store.n_occupied, store.take([3]).counts.toarray()[0, 0]) == (1, 1, 1)


def test_roles_of_columns(tmp_path):
    x, dense = material()
    names, _ = lists(dense)
    rng = np.random.default_rng(0)
    more = {"lon": rng.normal(size=N), "lat": rng.normal(size=N), "effort": rng.uniform(0.5, 2, N), "id": np.arange(N)}
    path = write(tmp_path / "a.parquet", columns(x, species=names, **more))
    cells = write(tmp_path / "c.parquet", {"bio12": x[:9, 1], "bio1": x[:9, 0], "effort": np.ones(9)})
    options = {"weight": "effort", "x": "lon", "y": "lat", "exclude": ["id"], "background": cells}
    store = SiteStore.from_parquet(path, tmp_path / "s", **options)
    same(store, x, dense > 0)
    every = store.sample(N)
    np.testing.assert_array_equal(every.xy, np.column_stack([more["lon"], more["lat"]]))
    np.testing.assert_allclose(np.exp(every.log_weight), more["effort"] / more["effort"].mean())
    np.testing.assert_array_equal(store.background()[0], x[:9])
    chosen = SiteStore.from_parquet(path, tmp_path / "t", covariates=["bio12", "id"])
    assert chosen.covariates == ("bio12", "id")


# ------------------------------------------------------------------------------------------- refused
def _with_nan(c):
    c["bio1"] = c["bio1"].copy()
    c["bio1"][[70, 300, 301]] = np.nan


CASES = [
    (_with_nan, {}, "DA403", "3 values .* row 70, column bio1"),
    (lambda c: c.update(bio12=pa.array([None] * 2 + [1.0] * (N - 2))), {}, "DA403", "2 values .* row 0, column bio12"),
    (lambda c: c.update(bio12=np.full(N, 1e300)), {}, "DA403", "500 values"),
    (lambda c: c.update(note=["x"] * N), {}, "OC204", "note"),
    (lambda c: c.pop("species"), {}, "OC201", "species"),
    (lambda c: None, {"covariates": ["bio1", "bio13"]}, "OC201", "bio13.*bio1"),
    (lambda c: None, {"weight": "effort"}, "OC201", "effort"),
    (lambda c: None, {"x": "bio1"}, "OC201", "both x and y"),
    (lambda c: None, {"exclude": ["bio1", "bio12"]}, "OC201", "no column left"),
    (lambda c: None, {"species": [*NAMES[:2], "daphne"]}, "DA404", "row [0-9]+: 'carex' is not .*such"),
    (lambda c: c.update(species=[[0, 9]] * N), {"species": NAMES}, "DA404", "row 0: 9 is not"),
    (lambda c: c.update(species=[[0.5]] * N), {}, "OC204", "neither text nor whole numbers"),
    (lambda c: c.update(species=[["a", None]] * N), {}, "DA404", "name no species"),
    (lambda c: c.update(species=[[]] * N), {}, "OC20[45]", "species"),
    (lambda c: c.update(count=[[1.0]] * N), {}, "DA404", "counts for"),
    (lambda c: c.update(species=[["a"]] * N, count=[[-1.0]] * N), {}, "DA403", "100 counts .*"),
    (lambda c: c.update(species=[["a"]] * N, count=[["many"]] * N), {}, "OC204", "'count' holds list.*no numbers"),
    (lambda c: None, {"count_column": "number"}, "OC201", "number"),
    (lambda c: c.update(species=[["a", ""]] * N), {}, "DA404", "row 1: a record names no species"),
]


@pytest.mark.parametrize(("spoil", "options", "code", "says"), CASES)
def test_bad_sites(tmp_path, spoil, options, code, says):
    x, dense = material()
    content = columns(x, species=lists(dense)[0])
    spoil(content)
    path = write(tmp_path / "a.parquet", content)
    _refused(tmp_path, path, code, says, **options)


def _refused(tmp_path, path, code, says, **options):
    with pytest.raises(EcotoneError, match=says) as caught:
        SiteStore.from_parquet(path, tmp_path / "s", **options)
    assert caught.value.code in ((code,) if "[" not in code else ("OC204", "OC205"))
    assert "\n" not in str(caught.value)
    assert not [p for p in tmp_path.iterdir() if p.suffix != ".parquet"]


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        ({"site": [0, N, N + 5]}, "DA404", "2 records point outside the 500 sites, first at row 1: site 500"),
        ({"site": [0, -1, 2]}, "DA404", "first at row 1: site -1"),
        ({"site": [0, None, 2]}, "DA404", "row 1: names no site"),
        ({"site": [0.0, 1.0, 2.0]}, "OC204", "whole numbers"),
        ({"species": ["a", None, "b"]}, "DA404", "row 1"),
        ({"count": [1.0, float("nan"), 2.0]}, "DA403", "row 1"),
        ({"count": ["x", "y", "z"]}, "OC204", "count"),
        ({"site": None}, "OC201", "site"),
    ],
)
def test_bad_triples(tmp_path, change, code, says):
    content = {"site": [0, 1, 2], "species": ["a", "b", "a"], "count": [1.0, 1.0, 1.0]} | change
    b = write(tmp_path / "b.parquet", {k: v for k, v in content.items() if v is not None})
    _refused(tmp_path, write(tmp_path / "a.parquet", columns(material()[0])), code, says, labels=b)


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"", "IO102"), (b"PAR1 and no more", "IO102"), (b"a,b\n1,2\n", "IO103"), (None, "IO101")],
)
def test_files_that_are_no_parquet(tmp_path, content, code):
    path = tmp_path / "a.parquet"
    if content is not None:
        path.write_bytes(content)
    _refused(tmp_path, path, code, "a.parquet")


def test_a_damaged_row_group(tmp_path):
    path = write(tmp_path / "a.parquet", columns(material()[0], species=lists(material()[1])[0]))
    content = bytearray(path.read_bytes())
    content[10:400] = bytes(390)
    path.write_bytes(content)
    _refused(tmp_path, path, "IO102", "damaged")


def test_parts_that_differ(tmp_path):
    (tmp_path / "parts.parquet").mkdir()
    x, _ = material()
    write(tmp_path / "parts.parquet" / "a.parquet", columns(x, species=["a"] * N))
    write(tmp_path / "parts.parquet" / "b.parquet", {"bio1": x[:, 0], "species": ["a"] * N})
    _refused(tmp_path, tmp_path / "parts.parquet", "OC201", "bio12")


def test_parts_of_other_types(tmp_path):
    folder = tmp_path / "parts.parquet"
    folder.mkdir()
    x, _ = material()
    write(folder / "a.parquet", columns(x, species=pa.array([[]] * N, pa.list_(pa.null()))))
    write(folder / "b.parquet", columns(x, species=[["a"]] * N))
    assert SiteStore.from_parquet(folder, tmp_path / "s.parquet").n_entries == N
    write(folder / "c.parquet", columns(x, species=[[1]] * N))
    _refused(tmp_path, folder, "OC204", "c.parquet: column 'species' holds list.*int64.*, and text in b.parquet")
    write(folder / "c.parquet", columns(x, species=[["a"]] * N) | {"bio1": ["high"] * N})
    _refused(tmp_path, folder, "OC204", "c.parquet: column 'bio1' holds string, and numbers in a.parquet")


def test_a_column_that_comes_twice(tmp_path):
    table = pa.Table.from_arrays([pa.array([1.0, 2.0])] * 2, ["bio1", "bio1"])
    pq.write_table(table, tmp_path / "a.parquet")
    _refused(tmp_path, tmp_path / "a.parquet", "OC201", "two columns 'bio1'")


def test_row_labels_of_a_data_frame_are_no_covariate(tmp_path):
    x, dense = material()
    path = write(tmp_path / "a.parquet", columns(x, species=lists(dense)[0], __index_level_0__=np.arange(N)))
    same(SiteStore.from_parquet(path, tmp_path / "s"), x, dense > 0)


@pytest.mark.parametrize(
    ("cells", "code"), [({"bio12": ["x"]}, "OC204"), ({"bio12": pa.array([], pa.float64())}, "OC205")]
)
def test_bad_cells(tmp_path, cells, code):
    x, dense = material()
    path = write(tmp_path / "a.parquet", columns(x, species=lists(dense)[0]))
    other = write(tmp_path / "c.parquet", {"bio1": cells["bio12"]} | cells)
    _refused(tmp_path, path, code, "c.parquet", background=other)


def test_matrices_agree_with_scipy():
    """The helper of these tests itself."""
    _, dense = material()
    t = triples(dense)
    j = [NAMES.index(s) for s in t["species"]]
    np.testing.assert_allclose(sparse.csr_array((t["count"], (t["site"], j)), shape=dense.shape).toarray(), dense)
