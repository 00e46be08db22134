"""A store gives back what went in, by any way of reading; what is damaged or changed is refused."""

from __future__ import annotations

import json
import os
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

import ecotone
from ecotone.data import array_file
from ecotone.data.site_store import SiteStore
from ecotone.errors import EcotoneError, InputError, IntegrityError, UsageError
from ecotone.files.fingerprint import cache_key


def material(seed=0, n=300, p=3, s=5, u=40):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, p)).astype(np.float32)
    y = sparse.csr_array(rng.poisson(0.3, (n, s)).astype(np.float32))
    return {
        "covariates": x, "counts": y, "weight": rng.uniform(0.1, 3, n), "xy": rng.normal(size=(n, 2)),
        "background": rng.normal(size=(u, p)).astype(np.float32), "background_weight": rng.uniform(0.1, 3, u),
    }  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    arrays = material()
    return arrays, SiteStore.from_arrays(tmp_path_factory.mktemp("store") / "a", **arrays)


def test_the_public_name():
    assert ecotone.SiteStore is SiteStore


def test_everything_comes_back(made):
    arrays, store = made
    every = store.sample(10**9)
    np.testing.assert_array_equal(every.rows, np.arange(300))
    np.testing.assert_array_equal(every.covariates, arrays["covariates"])
    np.testing.assert_array_equal(every.counts.toarray(), arrays["counts"].toarray())
    np.testing.assert_array_equal(every.xy, arrays["xy"])
    np.testing.assert_allclose(np.exp(every.log_weight), arrays["weight"] / arrays["weight"].mean(), rtol=1e-12)
    cells, weight = store.background()
    np.testing.assert_array_equal(cells, arrays["background"])
    np.testing.assert_allclose(np.exp(weight).mean(), 1)
    np.testing.assert_array_equal(store.records, arrays["counts"].sum(0))
    assert store.n_occupied == (arrays["counts"].sum(1) > 0).sum()
    assert (store.n_sites, store.n_background, len(store)) == (300, 40, 300)
    store.verify()


def test_anyone_can_open_the_arrays(made):
    arrays, store = made
    np.testing.assert_array_equal(np.load(store.folder / "covariates.npy", mmap_mode="r"), arrays["covariates"])
    parts = [np.load(store.folder / f"{name}.npy") for name in ("counts", "species", "indptr")]
    np.testing.assert_array_equal(sparse.csr_array(tuple(parts), shape=(300, 5)).toarray(), arrays["counts"].toarray())


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 299), max_size=80), st.sampled_from([1, 4096, 10**9]))
def test_any_rows_are_those_of_the_arrays(made, rows, page):
    """By single calls and by whole blocks alike."""
    arrays, store = made
    before, array_file._PAGE = array_file._PAGE, page
    try:
        part = store.take(rows)
    finally:
        array_file._PAGE = before
    unique = np.unique(np.array(rows, int))
    np.testing.assert_array_equal(part.rows, unique)
    np.testing.assert_array_equal(part.covariates, arrays["covariates"][unique])
    np.testing.assert_array_equal(part.counts.toarray(), arrays["counts"][unique].toarray())
    np.testing.assert_array_equal(part.xy, arrays["xy"][unique])


def test_chunks_are_the_whole(made):
    arrays, store = made
    parts = list(store.chunks(77))
    np.testing.assert_array_equal(np.concatenate([p.covariates for p in parts]), arrays["covariates"])
    np.testing.assert_array_equal(sparse.vstack([p.counts for p in parts]).toarray(), arrays["counts"].toarray())


def test_samples_are_seeded_and_without_repeats(made):
    _, store = made
    one, again, other = store.sample(50, 1), store.sample(50, 1), store.sample(50, 2)
    np.testing.assert_array_equal(one.rows, again.rows)
    assert len(set(one.rows)) == 50
    assert set(one.rows) != set(other.rows)
    assert len(store.background(7)[0]) == 7


def test_part_by_part_gives_the_same_store(made, tmp_path):
    arrays, store = made
    with SiteStore.writer(tmp_path / "b", ["x0", "x1", "x2"], 5, weighted=True, located=True) as writer:
        for start in (0, 110, 120):
            part = slice(start, {0: 110, 110: 120, 120: 300}[start])
            writer.append(arrays["covariates"][part], arrays["counts"][part],
                          weight=arrays["weight"][part], xy=arrays["xy"][part])  # fmt: skip
        for part in (slice(0, 3), slice(3, 40)):
            writer.append_background(arrays["background"][part], arrays["background_weight"][part])
        assert not (tmp_path / "b").exists()
    other = SiteStore(tmp_path / "b")
    for name in ("covariates", "indptr", "species", "counts", "xy", "background", "records"):
        assert other._files[name].digest == store._files[name].digest, name
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b"]


def test_writing_needs_no_memory(tmp_path):
    x = np.zeros((200_000, 4), np.float32)
    y = sparse.csr_array((200_000, 3), dtype=np.float32)
    y = sparse.csr_array((np.ones(2), ([0, 199_999], [0, 2])), shape=y.shape)
    tracemalloc.start()
    store = SiteStore.from_arrays(tmp_path / "s", x, y)
    for part in store.chunks():
        assert part.covariates.shape[1] == 4
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()
    assert store.n_occupied == 2


def test_labels_are_collected(tmp_path):
    x = np.array([[3.0, 0.1], [1, 0.2], [3, 0.3]])
    more = {"names": ["biome", "bio1"], "background": [[7.0, 0.0]], "categorical": ["biome"]}
    store = SiteStore.from_arrays(tmp_path / "s", x, np.eye(3), **more)
    assert store.levels == {"biome": (1, 3, 7)}


# ------------------------------------------------------------------------------------------- refused input
def _nan(a):
    a["covariates"][[5, 9], 1] = np.nan


def _negative(a):
    a["counts"] = a["counts"].toarray()
    a["counts"][17, 2] = -1


@pytest.mark.parametrize(
    ("spoil", "code", "says"),
    [
        (_nan, "DA403", "2 values .* row 5, column x1"),
        (_negative, "DA403", "1 are negative.*row 17"),
        (lambda a: a.update(weight=np.full(300, -1.0)), "DA403", "300 weights are negative"),
        (lambda a: a.update(weight=np.zeros(300)), "DA403", "all weights are 0"),
        (lambda a: a.update(xy=np.full((300, 2), np.inf)), "DA403", "row 0"),
        (lambda a: a.update(counts=np.ones((299, 5))), "DA404", "299"),
        (lambda a: a.update(weight=np.ones(3)), "DA404", "3 rows for 300"),
        (lambda a: a.update(species=["a", "b"]), "DA404", r"expected \(300, 2\)"),
        (lambda a: a.update(species=["a"] * 5), "US104", "twice"),
        (lambda a: a.update(names=["a", "b", "b"]), "US104", "twice"),
        (lambda a: a.update(categorical=["x4"]), "US101", "x4"),
        (lambda a: a.update(categorical=["x0"]), "RA307", "x0"),
        (lambda a: a.update(covariates=a["covariates"].astype(str)), "DA404", "numbers"),
        (lambda a: a.update(background=a["background"][:, :2]), "DA404", "background"),
        (lambda a: a.update(counts=np.zeros((300, 5))), "OC205", "no record"),
    ],
)
def test_bad_input_is_refused_and_leaves_nothing(tmp_path, spoil, code, says):
    arrays = material()
    spoil(arrays)
    with pytest.raises(EcotoneError, match=says) as caught:
        SiteStore.from_arrays(tmp_path / "s", **arrays)
    assert caught.value.code == code
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_not_touched(made, tmp_path):
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "mine.txt").write_text("x")
    with pytest.raises(UsageError) as caught:
        SiteStore.from_arrays(tmp_path / "s", **material())
    assert caught.value.code == "US106"
    assert [p.name for p in tmp_path.rglob("*")] == ["s", "mine.txt"]


def test_unfinished_writing_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError), SiteStore.writer(tmp_path / "s", ["a"], 1) as writer:
        writer.append(np.zeros((2, 1)), np.ones((2, 1)))
        raise ZeroDivisionError
    with pytest.raises(InputError, match="1 sites have records, 3"):  # noqa: SIM117
        with SiteStore.writer(tmp_path / "s", ["a"], 1) as writer:
            writer.append(np.zeros((3, 1)))
            writer.append_counts(np.ones((1, 1)))
    assert list(tmp_path.iterdir()) == []


def test_rows_that_do_not_exist(made):
    for rows in ([-1], [300]):
        with pytest.raises(UsageError) as caught:
            made[1].take(rows)
        assert caught.value.code == "US104"


# ------------------------------------------------------------------------------------------- damage
def test_no_store_is_said_plainly(tmp_path):
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(InputError) as caught:
            SiteStore(folder)
        assert caught.value.code == "IO101"


@pytest.mark.parametrize("name", ["covariates", "indptr", "species", "counts", "records", "background"])
@pytest.mark.parametrize("harm", ["cut", "empty", "gone", "longer", "header"])
def test_a_damaged_part_is_found_on_opening(tmp_path, name, harm):
    folder = SiteStore.from_arrays(tmp_path / "s", **material()).folder
    path = folder / f"{name}.npy"
    content = path.read_bytes()
    if harm == "gone":
        path.unlink()
    else:
        spoilt = {"cut": content[:-1], "empty": b"", "longer": content + b"0", "header": b"0" + content[1:]}
        path.write_bytes(spoilt[harm])
    with pytest.raises(IntegrityError, match=name) as caught:
        SiteStore(folder)
    assert caught.value.code == "IN105"


def test_a_flipped_byte_is_found_by_verify(tmp_path):
    store = SiteStore.from_arrays(tmp_path / "s", **material())
    path = store.folder / "counts.npy"
    content = bytearray(path.read_bytes())
    content[200] ^= 1
    path.write_bytes(content)
    with pytest.raises(IntegrityError, match="checksum") as caught:
        SiteStore(store.folder).verify()
    assert caught.value.code == "IN105"


@pytest.mark.parametrize("change", [lambda m: m.update(species=["x"]), lambda m: m.pop("arrays"), lambda m: m.clear()])
@pytest.mark.parametrize("resealed", [False, True])
def test_a_changed_manifest_is_refused(tmp_path, change, resealed):
    path = SiteStore.from_arrays(tmp_path / "s", **material()).folder / "store.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    if resealed:
        manifest.pop("id", None)
        manifest["id"] = cache_key(store=dict(manifest))
    path.write_text(json.dumps(manifest))
    with pytest.raises(IntegrityError) as caught:
        SiteStore(path.parent)
    assert caught.value.code == "IN105"


def test_impossible_records_are_refused_when_read(tmp_path):
    """A store that somebody wrote with matching sizes: the bounds are checked again."""
    for name, value in (("species", 99), ("indptr", 10**9)):
        folder = SiteStore.from_arrays(tmp_path / name, **material()).folder
        array = np.load(folder / f"{name}.npy", mmap_mode="r+")
        array[4] = value
        array.flush()
        with pytest.raises(IntegrityError) as caught:
            SiteStore(folder).take(np.arange(20))
        assert caught.value.code == "IN105"


@pytest.mark.parametrize("how", ["written", "replaced", "removed"])
def test_a_store_that_changes_while_open_is_refused(tmp_path, how):
    store = SiteStore.from_arrays(tmp_path / "s", **material())
    path = store.folder / "covariates.npy"
    if how == "written":
        with path.open("r+b") as handle:
            handle.seek(200)
            handle.write(b"1234")
        os.utime(path, ns=(1, 1))
    elif how == "replaced":
        content = path.read_bytes()
        path.rename(path.with_suffix(".old"))
        path.write_bytes(content)
    else:
        path.unlink()
    with pytest.raises(IntegrityError) as caught:
        store.take([1])
    assert caught.value.code == "IN103"
