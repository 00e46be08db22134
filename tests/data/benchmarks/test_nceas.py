from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest

from ecotone.data.benchmarks import nceas
from ecotone.errors import InputError, UsageError

rdata = pytest.importorskip("rdata")

TABLE = {  # region: species, records, distinct coordinates, survey sites
    "AWT": (40, 3806, 1172, (340, 102)),
    "CAN": (20, 5063, 3573, (14571,)),
    "NSW": (54, 3323, 2516, (570, 702, 1137, 2075, 1309, 1036, 909, 1008)),
    "SA": (30, 2220, 1222, (152,)),
}


def write_small(folder, *, region="SA", shuffle=False, **change):
    """A made-up region of 3 species, 12 records, 5 sites; `change` alters one table by name."""
    if not hasattr(rdata, "write_rds"):
        pytest.skip("this rdata cannot write")
    rng = np.random.default_rng(0)
    place = np.arange(12) % 6
    tables = {
        "train_po": pd.DataFrame(
            {"siteid": place, "spid": [f"s{i % 3}" for i in range(12)], "x": place * 1.0, "y": place * 2.0, "occ": 1}
        ).assign(group="plant", bio1=place * 10.0, bio2=place + 0.5),
        "train_bg": pd.DataFrame(
            {"siteid": range(20), "spid": "bg", "x": rng.random(20), "y": rng.random(20), "occ": 0, "group": "plant"}
        ).assign(bio1=rng.random(20), bio2=rng.random(20)),
        "test_pa": pd.DataFrame(
            {"group": "plant", "siteid": [f"p{i}" for i in range(5)], "x": range(5), "y": range(5)}
        ).assign(s0=[0, 1, 0, 1, 1], s1=[1, 0, 0, 0, 0], s2=[0, 0, 0, 0, 1]),
        "test_env": pd.DataFrame(
            {"group": "plant", "siteid": [f"p{i}" for i in range(5)], "x": range(5), "y": range(5)}
        ).assign(bio1=[0.0, 10, 20, 30, 40], bio2=[1.0, 2, 3, 4, 5]),
    }
    if shuffle:
        tables["test_env"] = tables["test_env"].iloc[[3, 1, 4, 0, 2]].reset_index(drop=True)
    for name, how in change.items():
        tables[name] = how(tables[name])
    for name, table in tables.items():
        text = [c for c in table.columns if not pd.api.types.is_numeric_dtype(table[c])]
        table = table.astype(dict.fromkeys(text, pd.StringDtype("python"))).reset_index(drop=True)
        rdata.write_rds(folder / f"{region}{name}.rds", table)
    return folder


@pytest.mark.parametrize("shuffle", [False, True])
def test_small_region(tmp_path, shuffle):
    region = nceas.read_region(write_small(tmp_path, shuffle=shuffle), "SA")
    assert nceas.regions(tmp_path) == ["SA"]
    assert region.predictors == ("bio1", "bio2")
    assert region.background.shape == (20, 2)
    group = region.groups["plant"]
    assert group.species == ("s0", "s1", "s2")
    (survey,) = group.surveys
    np.testing.assert_array_equal(survey.env[:, 0], [0, 10, 20, 30, 40])
    np.testing.assert_array_equal(survey.pa[:, 0], [0, 1, 0, 1, 1])
    sites = nceas.sites(region, "plant")
    assert sites.xy[:, 0].tolist() == [0, 1, 2, 3, 4, 5]
    np.testing.assert_array_equal(sites.covariates[:, 0], sites.xy[:, 0] * 10)
    slow = np.zeros((6, 3))
    for code, (x, _) in zip(group.code, group.xy, strict=True):
        slow[int(x), code] += 1
    np.testing.assert_array_equal(sites.counts.toarray(), slow)
    with pytest.raises(ValueError, match="read-only"):
        region.background[0, 0] = 1


def test_cache_follows_the_files(tmp_path):
    first = nceas.read_region(write_small(tmp_path), "SA")
    assert nceas.read_region(tmp_path, "SA") is first
    write_small(tmp_path, train_bg=lambda t: t.iloc[:10])
    assert nceas.read_region(tmp_path, "SA").background.shape == (10, 2)


def test_rare_species_leave_on_request(tmp_path):
    folder = write_small(tmp_path, train_po=lambda t: pd.concat([t, t[t.spid != "s1"]], ignore_index=True))
    assert nceas.read_region(folder, "SA").groups["plant"].species == ("s0", "s1", "s2")
    group = nceas.read_region(folder, "SA", drop_rare=True).groups["plant"]
    assert group.species == ("s0", "s2")
    assert group.surveys[0].pa.shape == (5, 2)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"test_env": lambda t: t.assign(siteid=[f"q{i}" for i in range(5)])}, "sites are not those"),
        ({"test_env": lambda t: t.iloc[:4]}, "sites are not those"),
        ({"test_env": lambda t: t.drop(columns="bio2")}, "lacks the columns bio2"),
        ({"test_env": lambda t: t.assign(bio1=[np.nan] * 5)}, "missing values"),
        ({"test_pa": lambda t: t.assign(s0=[2.0] * 5)}, "other than 0 and 1"),
        ({"test_pa": lambda t: t.drop(columns="s2")}, "in no survey"),
        ({"train_po": lambda t: t.assign(bio1="x")}, "text where numbers belong"),
        ({"train_po": lambda t: t.drop(columns="spid")}, "lacks the columns spid"),
    ],
)
def test_tables_that_do_not_fit(tmp_path, change, words):
    with pytest.raises(InputError, match=words) as error:
        nceas.read_region(write_small(tmp_path, **change), "SA")
    assert error.value.code == "IO102"


def test_places_that_disagree_about_predictors(tmp_path):
    region = nceas.read_region(write_small(tmp_path, train_po=lambda t: t.assign(bio1=np.arange(12.0))), "SA")
    with pytest.raises(InputError) as error:
        nceas.sites(region, "plant")
    assert error.value.code == "DA404"


def test_unknown_region_group_and_missing_file(tmp_path):
    with pytest.raises(UsageError, match="did you mean 'NSW'") as error:
        nceas.read_region(tmp_path, "NSV")
    assert error.value.code == "US101"
    write_small(tmp_path)
    with pytest.raises(UsageError, match="plant"):
        nceas.sites(nceas.read_region(tmp_path, "SA"), "plants")
    (tmp_path / "SAtest_env.rds").unlink()
    with pytest.raises(InputError, match=r"SAtest_env\.rds") as missing:
        nceas.read_region(tmp_path, "SA")
    assert missing.value.code == "IO101"


@pytest.mark.parametrize("cut", [0, 1, 8, 40, 0.5, -1])
def test_truncated_files(tmp_path, cut):
    path = write_small(tmp_path) / "SAtrain_bg.rds"
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * cut)] if isinstance(cut, float) else content[:cut])
    with pytest.raises(InputError) as error:
        nceas.read_region(tmp_path, "SA")
    assert error.value.code == "IO102"
    assert "SAtrain_bg.rds" in str(error.value)


def test_what_is_no_data_frame(tmp_path):
    if not hasattr(rdata, "write_rds"):
        pytest.skip("this rdata cannot write")
    rdata.write_rds(tmp_path / "a.rds", {"a": 1.0})
    (tmp_path / "b.rds").write_bytes(b"x,y\n1,2\n")
    for name in ("a.rds", "b.rds"):
        with pytest.raises(InputError) as error:
            nceas.read_rds(tmp_path / name)
        assert error.value.code == "IO102"


@pytest.mark.realdata
@pytest.mark.parametrize("name", list(TABLE))
def test_counts_of_the_real_regions(data_folder, name):
    folder = data_folder / "nceas"
    assert set(TABLE) <= set(nceas.regions(folder))
    region = nceas.read_region(folder, name)
    n_species, n_records, n_places, n_sites = TABLE[name]
    assert sum(len(g.species) for g in region.groups.values()) == n_species
    assert sum(len(g.code) for g in region.groups.values()) == n_records
    assert len(np.unique(np.vstack([g.xy for g in region.groups.values()]), axis=0)) == n_places
    sizes = {s.name: len(s.pa) for g in region.groups.values() for s in g.surveys}
    assert sorted(sizes.values()) == sorted(n_sites)
    assert region.background.shape == (10_000, len(region.predictors))
    assert set(region.categorical) <= set(region.predictors)
    for group in region.groups:
        sites = nceas.sites(region, group)
        assert sites.counts.sum() == len(region.groups[group].code)
        assert sites.counts.shape == (len(sites.xy), len(region.groups[group].species))
        assert np.asarray(sites.counts.sum(axis=1) > 0).all()


@pytest.mark.realdata
def test_groups_of_nsw(data_folder):
    region = nceas.read_region(data_folder / "nceas", "NSW")
    surveys = {name: [s.name for s in group.surveys] for name, group in region.groups.items()}
    assert surveys == {"bats": ["ba"], "birds": ["db", "nb"], "plants": ["ot", "ou", "rt", "ru"], "reptiles": ["sr"]}
    fewest = min(np.bincount(g.code, minlength=len(g.species)).min() for g in region.groups.values())
    assert fewest == 2
    fewer = nceas.read_region(data_folder / "nceas", "NSW", drop_rare=True)
    assert sum(len(g.species) for g in fewer.groups.values()) == 53


@pytest.mark.realdata
def test_damaged_real_file(data_folder, tmp_path):
    for path in nceas.region_files(data_folder / "nceas", "SA"):
        shutil.copy(path, tmp_path)
    path = tmp_path / "SAtest_pa.rds"
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(InputError, match=r"SAtest_pa\.rds") as error:
        nceas.read_region(tmp_path, "SA")
    assert error.value.code == "IO102"
