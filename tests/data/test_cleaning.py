from __future__ import annotations

import warnings
from collections import namedtuple
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecotone.contract import Grid
from ecotone.data.cleaning import RULES, Cleaning, clean
from ecotone.data.occurrences import Occurrences, read_occurrences
from ecotone.errors import EcotoneWarning, InputError, UsageError

Samples = namedtuple("Samples", "values valid cell inside")


class FakeStack:
    """A 10 x 10 grid of one-degree cells from (0, 40) to (10, 50); cell 0 has no data."""

    grid = Grid("EPSG:4326", (1.0, 0.0, 0.0, 0.0, -1.0, 50.0), 10, 10)

    def sample(self, x, y, crs=None):
        col, row = np.floor(x).astype(int), np.floor(50 - y).astype(int)
        inside = (col >= 0) & (col < 10) & (row >= 0) & (row < 10)
        cell = np.where(inside, row * 10 + col, -1)
        return Samples(np.zeros((len(x), 1)), inside & (cell != 0), cell, inside)


STACK: object = FakeStack()


def quiet(*args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EcotoneWarning)
        return clean(*args, **kwargs)


def records(x, y, species="a", **more):
    return read_occurrences(pd.DataFrame({"species": species, "lon": x, "lat": y, **more}))


GOOD = [(2.5, 45.5), (3.5, 45.5), (4.5, 45.5), (5.5, 45.5), (6.5, 45.5), (7.5, 45.5)]


def with_good(*odd, **more):
    x, y = zip(*GOOD, *odd, strict=True)
    return records(list(x), list(y), **more)


@pytest.mark.parametrize(
    ("point", "rule"),
    [
        ((np.nan, 45.0), "missing coordinates"),
        ((200.0, 45.0), "out of range"),
        ((5.0, -95.0), "out of range"),
        ((0.0, 0.0), "zero coordinates"),
        ((44.4, 44.4), "equal coordinates"),
        ((20.0, 45.0), "outside rasters"),
        ((0.5, 49.5), "no data"),
        ((2.6, 45.6), "duplicate"),
    ],
)
def test_every_rule_takes_its_record(point, rule):
    kept, report = quiet(with_good(point), STACK)
    assert len(kept) == len(GOOD)
    assert report.fate.tolist() == [""] * len(GOOD) + [rule]
    (row,) = [r for r in report.rows if r.action != "flagged"]
    assert (row.rule, row.n) == (rule, 1)
    assert row.examples[0].startswith("row 7: a at")
    assert report.set_aside().to_numpy().tolist() == [[7, rule]]


def test_names_and_absences():
    rows = records([2.5, 3.5, 4.5], [45.5] * 3, species=["a", None, "b"], individualCount=[1, 2, 0])
    kept, report = quiet(rows, STACK)
    assert report.fate.tolist() == ["", "no species", "absence"]
    assert kept.labels.tolist() == ["a"]
    assert kept.absent is None


def test_duplicates_collapse_count_or_stay():
    x, y = [2.1, 2.9, 2.1, 3.5], [45.1, 45.9, 45.1, 45.5]
    kept, _ = quiet(records(x, y), STACK)
    assert kept.source_row.tolist() == [1, 4]
    assert kept.count is None
    assert kept.cell is not None
    assert kept.cell.tolist() == [42, 43]
    kept, _ = quiet(records(x, y), STACK, duplicates="count")
    assert kept.count is not None
    assert kept.count.tolist() == [3, 1]
    kept, report = quiet(records(x, y), STACK, duplicates="keep")
    assert len(kept) == 4
    assert {r.rule: r.n for r in report.rows}["duplicate"] == 2
    kept, _ = quiet(records(x, y))
    assert kept.source_row.tolist() == [1, 2, 4]


def test_species_do_not_share_cells():
    kept, _ = quiet(records([2.1, 2.2, 2.3], [45.5] * 3, species=["a", "b", "a"]), STACK)
    assert kept.labels.tolist() == ["a", "b"]


def test_coarse_records_are_flagged_with_a_warning_and_dropped_when_asked():
    rows = with_good((8.5, 45.5), coordinateUncertaintyInMeters=[10.0, np.nan, 1e3, 1e4, 1e5, 1.1e5, 2e5])
    with pytest.warns(EcotoneWarning, match="1 flagged") as caught:
        kept, report = clean(rows, STACK)
    assert caught[0].message.code == "OC206"  # type: ignore[union-attr]
    assert len(kept) == 7
    assert [(r.rule, r.n, r.action) for r in report.rows] == [("coarse", 1, "flagged")]
    kept, report = quiet(rows, STACK, coarse="drop")
    assert report.fate.tolist()[-1] == "coarse"
    assert len(kept) == 6


def test_flag_instead_of_drop():
    kept, report = quiet(with_good((0.0, 0.0), (4.4, 4.4)), zero="flag", equal="flag")
    assert len(kept) == 8
    assert {r.rule: r.action for r in report.rows} == {"zero coordinates": "flagged", "equal coordinates": "flagged"}


def test_species_with_few_records_are_kept_and_told():
    with pytest.warns(EcotoneWarning, match="fewer than 5") as caught:
        kept, report = clean(records([2.5, 3.5], [45.5, 45.5]), STACK)
    assert caught[0].message.code == "OC207"  # type: ignore[union-attr]
    assert len(kept) == 2
    assert report.rows[-1].rule == "few records"


def test_swapped_table_is_refused_and_the_fix_works():
    x, y = zip(*GOOD, strict=True)
    swapped = records(list(y), list(x))
    with pytest.raises(InputError) as error:
        clean(swapped, STACK)
    assert error.value.code == "OC203"
    assert "--swap-xy" in error.value.fix
    kept, _ = quiet(swapped, STACK, swap_xy=True)
    assert kept.x.tolist() == list(x)


def test_swapped_table_without_rasters():
    with pytest.raises(InputError) as error:
        clean(records([10.0, 11.0, 12.0], [120.0, 121.0, 122.0]))
    assert error.value.code == "OC203"


def test_single_swapped_rows_are_flagged():
    kept, report = quiet(with_good((45.5, 8.5)), STACK)
    assert len(kept) == 6
    assert {r.rule: (r.n, r.action) for r in report.rows} == {
        "outside rasters": (1, "set aside"),
        "swapped": (1, "flagged"),
    }


def test_no_overlap_shows_both_boxes_and_systems():
    with pytest.raises(InputError) as error:
        clean(records([100.0, 110.0], [1.0, 2.0]), STACK)
    assert error.value.code == "OC202"
    message = str(error.value)
    for part in ("x 100 to 110", "y 1 to 2", "x 0 to 10", "y 40 to 50", "EPSG:4326", "--crs"):
        assert part in message


def test_nothing_left():
    with pytest.raises(InputError) as error:
        quiet(records([np.nan], [1.0]), STACK)
    assert error.value.code == "OC205"
    with pytest.raises(InputError) as error:
        quiet(records([0.5], [49.5]), STACK)
    assert error.value.code == "OC205"


def test_settings_are_checked():
    with pytest.raises(UsageError) as error:
        clean(with_good(), STACK, duplicate="keep")
    assert error.value.code == "US101"
    assert "duplicates" in error.value.fix
    kept, _ = quiet(records([2.1, 2.2], [45.5, 45.5]), STACK, Cleaning(duplicates="keep"))
    assert len(kept) == 2


def test_projected_coordinates_skip_rules_about_degrees():
    frame = pd.DataFrame({"species": "a", "x": [5e5, 5e6, 0.0], "y": [5e6, 5e6, 0.0]})
    kept, report = quiet(read_occurrences(frame, crs="EPSG:32633"))
    assert len(kept) == 2
    assert report.fate.tolist() == ["", "", "zero coordinates"]


def test_report_as_table_line_and_evidence():
    _, report = quiet(with_good((20.0, 45.0), (np.nan, 1.0)), STACK)
    frame = report.to_frame()
    assert frame["rule"].tolist() == ["missing coordinates", "outside rasters"]
    assert report.summary().startswith("6 of 8 records kept, 1 species (1 set aside: missing coordinates")
    checks = report.to_checks()
    assert checks[0].measured == pytest.approx(75.0)
    assert replace(report, source="/home/me/data/birds.csv").to_checks()[0].note == "From birds.csv."
    assert len(checks) == 3
    assert checks[1].details[0][1].startswith("row 8")


coordinate = st.sampled_from([0.0, 0.5, 2.5, 2.6, 4.4, 45.5, 49.5, 44.4, 120.0, 300.0, float("nan")])


@settings(max_examples=150, deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(-1, 2), coordinate, coordinate), min_size=1, max_size=25), count=st.booleans()
)
def test_counts_always_add_up(rows, count):
    code, x, y = (np.array(part) for part in zip(*rows, strict=True))
    given_records = Occurrences(
        code.astype(np.int32), ("a", "b", "c"), x.astype(float), y.astype(float), "EPSG:4326", np.arange(len(rows)) + 2
    )
    try:
        kept, report = quiet(given_records, STACK, duplicates="count" if count else "collapse")
    except InputError as error:
        assert error.code in ("OC202", "OC203", "OC205")
        return
    gone = sum(r.n for r in report.rows if r.action != "flagged")
    assert report.n_in == len(rows) == report.n_kept + gone
    assert report.n_kept == len(kept) == int((report.fate == "").sum())
    assert set(report.fate) <= {"", *RULES}
    assert len(report.set_aside()) == gone
    assert kept.cell is not None
    assert len(set(zip(kept.species.tolist(), kept.cell.tolist(), strict=True))) == len(kept)
    if count:
        assert kept.count is not None
        assert kept.count.sum() == len(kept) + int((report.fate == "duplicate").sum())


def test_with_real_rasters(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    rasters = pytest.importorskip("ecotone.data.rasters")
    values = np.ones((10, 10), dtype=np.float32)
    values[0, 0] = -9999
    transform = rasterio.transform.from_origin(0, 50, 1, 1)
    how = {"driver": "GTiff", "height": 10, "width": 10, "count": 1, "dtype": "float32", "nodata": -9999}
    with rasterio.open(tmp_path / "bio1.tif", "w", crs="EPSG:4326", transform=transform, **how) as out:
        out.write(values, 1)
    stack = rasters.RasterStack.open(tmp_path / "bio1.tif")
    rows = with_good((0.5, 49.5), (20.0, 45.0), (2.6, 45.6), (0.0, 0.0), (300.0, 45.0))
    real, real_report = quiet(rows, stack)
    fake, fake_report = quiet(rows, STACK)
    assert real_report.fate.tolist() == fake_report.fate.tolist()
    assert real.cell is not None
    assert fake.cell is not None
    assert real.cell.tolist() == fake.cell.tolist()


@pytest.mark.realdata
def test_bradypus(data_folder):
    from ecotone.data.benchmarks import bradypus
    from ecotone.data.rasters import RasterStack

    files = bradypus.files(data_folder / "bradypus_dismo")
    rows = read_occurrences(files.occurrences)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EcotoneWarning)
        stack = RasterStack.open(files.rasters, categorical=files.categorical)
    kept, report = quiet(rows, stack)
    assert report.n_in == 116
    assert 80 <= len(kept) <= 116
    counted, _ = quiet(rows, stack, duplicates="count")
    assert counted.count is not None
    assert counted.count.sum() == 116 - sum(r.n for r in report.rows if r.action == "set aside")
    with pytest.raises(InputError) as error:
        quiet(rows.swapped(), stack)
    assert error.value.code == "OC203"
