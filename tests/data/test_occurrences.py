from __future__ import annotations

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest

from ecotone.data.occurrences import Occurrences, read_occurrences, to_numbers
from ecotone.errors import InputError, UsageError


def table(**columns):
    return pd.DataFrame(columns)


@pytest.mark.parametrize(
    ("species", "x", "y"),
    [
        ("species", "decimalLongitude", "decimalLatitude"),
        ("scientificName", "decimal_longitude", "DECIMAL LATITUDE"),
        ("species_name", "Lon", "Lat"),
        ("Taxon", "LONGITUDE", "LATITUDE"),
        ("spid", "x", "y"),
        ("name", "lng", "lat"),
        ("dwc:scientificName", "dwc:decimalLongitude", "dwc:decimalLatitude"),
        ("Espèce", "long", "lat"),
        ("sp", "Easting", "Northing"),
    ],
)
def test_usual_names_are_found(species, x, y):
    frame = pd.DataFrame({"id": [1, 2], y: [40.0, 41.0], x: [1.0, 2.0], species: ["B b", "A a"]})
    got = read_occurrences(frame)
    assert got.columns == {"species": species, "x": x, "y": y}
    assert got.names == ("A a", "B b")
    assert got.species.tolist() == [1, 0]
    assert got.labels.tolist() == ["B b", "A a"]
    assert got.x.tolist() == [1, 2]
    assert got.y.tolist() == [40, 41]
    assert got.crs == "EPSG:4326"


def test_a_pair_of_one_kind_is_preferred():
    frame = table(species=["a"], x=[5e5], y=[5e6], longitude=[9.0], latitude=[45.0])
    assert read_occurrences(frame).columns == {"species": "species", "x": "longitude", "y": "latitude"}


def test_named_columns_win_and_may_differ_in_case():
    frame = table(species=["a"], code=["z"], lon=[1.0], lat=[2.0], E=[3.0], N=[4.0])
    got = read_occurrences(frame, species="code", x="e", y="n")
    assert got.names == ("z",)
    assert (got.x[0], got.y[0]) == (3, 4)


def test_semicolons_and_decimal_commas(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("Art;species;lon;lat\n1;A;1,5;40\n2;B;2,25;41\n")
    got = read_occurrences(path)
    assert got.x.tolist() == [1.5, 2.25]
    assert got.source_row.tolist() == [2, 3]
    assert got.source == str(path)


def test_optional_columns(tmp_path):
    path = tmp_path / "t.tsv"
    path.write_text(
        "species\tdecimalLongitude\tdecimalLatitude\tcoordinateUncertaintyInMeters\teventDate\tindividualCount\toccurrenceStatus\n"
        "A\t1\t2\t30\t2010-05-01\t3\tPRESENT\nA\t1\t3\t\t\t\tABSENT\nB\t1\t4\t5\t2011\t0\tPRESENT\n"
    )
    got = read_occurrences(path)
    np.testing.assert_array_equal(got.uncertainty_m, [30, np.nan, 5])
    assert got.date is not None
    assert got.date.tolist() == ["2010-05-01", "", "2011"]
    np.testing.assert_array_equal(got.count, [3, np.nan, 0])
    assert got.absent is not None
    assert got.absent.tolist() == [False, True, True]
    assert got.take(np.array([True, False, True])).date.tolist() == ["2010-05-01", "2011"]  # type: ignore[union-attr]
    assert set(got.to_frame().columns) >= {
        "species",
        "x",
        "y",
        "uncertainty_m",
        "date",
        "count",
        "absent",
        "source_row",
    }


def test_background_rows_of_a_presence_column_are_absences():
    got = read_occurrences(table(presence=[1, 0], x=[1.0, 2], y=[3.0, 4]))
    assert got.absent is not None
    assert got.absent.tolist() == [False, True]


def test_renamed_columns_are_told_with_the_closest_and_the_option(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("speciess,longitud_e,foo\nA,1,2\n")
    with pytest.raises(InputError) as error:
        read_occurrences(path)
    assert error.value.code == "OC201"
    message = str(error.value)
    for part in ("--species 'speciess'?", "--y COLUMN", "speciess, longitud_e, foo", "latitude (y)"):
        assert part in message


def test_named_columns_that_are_not_there_are_reported_together():
    with pytest.raises(InputError) as error:
        read_occurrences(table(species=["a"], lon=[1.0], lat=[2.0]), x="foo", species="bar")
    assert error.value.code == "OC201"
    assert "--x 'foo'" in str(error.value)
    assert "--species 'bar'" in str(error.value)


def test_header_that_is_data(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("Bradypus,-65.4,-10.4\nBradypus,-65.3,-10.3\n")
    with pytest.raises(InputError, match="looks like data"):
        read_occurrences(path)


def test_all_cells_that_are_no_numbers_are_reported_together(tmp_path):
    path = tmp_path / "t.csv"
    bad = "".join(f"A,?{i},1\n" for i in range(12))
    path.write_text("species,lon,lat\nA,1,2\n" + bad + "A,3,north\n")
    with pytest.raises(InputError) as error:
        read_occurrences(path)
    assert error.value.code == "OC204"
    message = str(error.value)
    assert "12 cells" in message
    assert "row 3 '?0'" in message
    assert "row 12 '?9'" in message
    assert "row 13" not in message
    assert "row 15 'north'" in message


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("10,5", 10.5),
        ("\N{MINUS SIGN}3.25", -3.25),
        ("10°30'S", -10.5),
        ("10° 30′ 36″ N", 10.51),
        ("65.5 W", -65.5),
        (" 7 ", 7.0),
        ("1e1", 10.0),
    ],
)
def test_numbers_in_usual_writing(cell, value):
    got, bad = to_numbers(pd.Series([cell, "NA", None]))
    assert got[0] == pytest.approx(value)
    assert np.isnan(got[1:]).all()
    assert not bad.any()


@pytest.mark.parametrize("cell", ["x", "10°70'S", "1.234,5", "12-5", "inf"])
def test_what_is_no_number(cell):
    got, bad = to_numbers(pd.Series([cell]))
    assert bad.tolist() == [True]
    assert np.isnan(got[0])


def test_missing_names_stay_missing_and_a_blank_column_gives_way():
    frame = table(
        species=["A a", None, "  "], scientificName=["A a L.", "Aus L.", "Bus"], lon=[1.0, 2, 3], lat=[1.0, 2, 3]
    )
    got = read_occurrences(frame)
    assert got.species.tolist() == [0, -1, -1]
    assert got.labels.tolist() == ["A a", None, None]
    assert "2 records without a name" in " ".join(got.notes)
    blank = read_occurrences(frame.assign(species=None))
    assert blank.columns["species"] == "scientificName"
    assert blank.names == ("A a L.", "Aus L.", "Bus")


def test_blank_species_column_of_a_file(tmp_path):
    path = tmp_path / "t.tsv"
    path.write_text("species\tscientificName\tlon\tlat\n\tA a\t1\t2\n\tB b\t3\t4\n")
    assert read_occurrences(path).names == ("A a", "B b")


def test_one_species_without_a_column(tmp_path):
    path = tmp_path / "Bradypus variegatus.csv"
    path.write_text("lon,lat\n1,2\n3,4\n")
    got = read_occurrences(path)
    assert got.names == ("Bradypus variegatus",)
    assert got.species.tolist() == [0, 0]
    assert "one species" in got.notes[-1]
    path.write_text("lon,lat,thing\n1,2,x\n")
    with pytest.raises(InputError, match="species"):
        read_occurrences(path)
    assert read_occurrences(path, species="=Aus bus").names == ("Aus bus",)
    with pytest.raises(UsageError):
        read_occurrences(path, species="=")


def test_reference_systems(tmp_path):
    frame = table(species=["a"], x=[500000.0], y=[5e6])
    with pytest.raises(InputError) as error:
        read_occurrences(frame)
    assert error.value.code == "RA301"
    assert read_occurrences(frame, crs="EPSG:32633").crs == "EPSG:32633"
    with pytest.raises(UsageError) as usage:
        read_occurrences(frame, crs="EPSG:nope")
    assert usage.value.code == "US104"


def test_vector_points_win_over_attributes_of_the_same_name(tmp_path):
    points = gpd.GeoDataFrame(
        {"species": ["a"], "longitude": [99.0]}, geometry=gpd.points_from_xy([1.0], [2.0]), crs="EPSG:4326"
    )
    points.to_crs("EPSG:3857").to_file(tmp_path / "p.gpkg")
    for source in (tmp_path / "p.gpkg", points):
        got = read_occurrences(source)
        assert (got.x[0], got.y[0]) == pytest.approx((1.0, 2.0))
        assert got.crs == "EPSG:4326"


def test_no_records_and_wrong_lengths(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("species,lon,lat\n")
    with pytest.raises(InputError) as error:
        read_occurrences(path)
    assert error.value.code == "OC205"
    with pytest.raises(InputError) as error:
        Occurrences(np.zeros(2, dtype=np.int32), ("a",), np.zeros(2), np.zeros(3), "EPSG:4326", np.arange(2))
    assert error.value.code == "DA404"


def test_selection_of_species():
    got = read_occurrences(table(species=["a", "b", "c", "b"], lon=[1.0, 2, 3, 4], lat=[1.0, 2, 3, 4]))
    assert got.per_species() == {"a": 1, "b": 2, "c": 1}
    some = got.only(["c", "b"])
    assert some.names == ("c", "b")
    assert some.labels.tolist() == ["b", "c", "b"]
    with pytest.raises(UsageError) as error:
        got.only(["bb"])
    assert error.value.code == "US101"


@pytest.mark.realdata
def test_bradypus_and_acaule(data_folder):
    got = read_occurrences(data_folder / "bradypus_dismo" / "bradypus.csv")
    assert len(got) == 116
    assert got.names == ("Bradypus variegatus",)
    assert (got.x[0], got.y[0]) == (-65.4, -10.3833)
    acaule = read_occurrences(data_folder / "bradypus_dismo" / "acaule.csv")
    assert acaule.columns == {"species": "species", "x": "lon", "y": "lat", "uncertainty": "coordUncertaintyM"}
    assert (acaule.x[0], acaule.y[0]) == (-66.1, -21.9)
    assert acaule.source_row[0] == 2
    slugs = read_occurrences(data_folder / "ariolimax" / "ariolimax.gpkg")
    assert slugs.names == ("ariolimax",)
    assert slugs.absent is not None
    assert 0 < slugs.absent.sum() < len(slugs)
