from __future__ import annotations

import gzip
import io
import string
import zipfile

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ecotone.data.tables import escape_formula, read_table, write_table
from ecotone.errors import InputError, UsageError

SPECIES = ["Quercus ilex", "Áloe vera", "Ficus, sp."]
LON = [1.5, -2.25, 10.125]
LAT = [40.0, 41.5, -3.75]


def text_of(delimiter: str, decimal: str) -> str:
    lines = [delimiter.join(["species", "lon", "lat"])]
    for name, lon, lat in zip(SPECIES, LON, LAT, strict=True):
        cell = f'"{name}"' if delimiter in name else name
        lines.append(delimiter.join([cell, *(str(v).replace(".", decimal) for v in (lon, lat))]))
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
@pytest.mark.parametrize(
    ("delimiter", "decimal"), [(",", "."), (";", "."), (";", ","), ("\t", "."), ("\t", ","), ("|", ".")]
)
def test_matrix_of_encodings_delimiters_decimals(tmp_path, encoding, delimiter, decimal):
    path = tmp_path / "t.csv"
    path.write_bytes(text_of(delimiter, decimal).replace("\n", "\r\n").encode(encoding))
    table = read_table(path)
    assert (table.delimiter, table.decimal) == (delimiter, decimal)
    assert list(table.frame["species"]) == SPECIES
    np.testing.assert_array_equal(table.frame[["lon", "lat"]].to_numpy(), np.column_stack([LON, LAT]))
    assert table.rows.tolist() == [2, 3, 4]


def test_gbif_style_tabs_with_unbalanced_quotes_under_a_csv_name(tmp_path):
    path = tmp_path / "0001.csv"
    path.write_text(
        'species\tlocality\tdecimalLatitude\tdecimalLongitude\nA\t"near the mill\t1\t2\nB\tcalled "x" by all\t3\t4\n'
    )
    table = read_table(path)
    assert table.delimiter == "\t"
    assert table.frame["locality"].tolist() == ['"near the mill', 'called "x" by all']
    assert table.frame["decimalLatitude"].tolist() == [1, 3]


def test_quoted_tabs_of_r(tmp_path):
    path = tmp_path / "r.txt"
    path.write_text('"species"\t"lon"\t"lat"\n"1"\t"A\tb"\t1\t2\n"2"\t"C"\t3\t4\n')
    table = read_table(path)
    assert table.names == ("row_name", "species", "lon", "lat")
    assert table.frame["species"].tolist() == ["A\tb", "C"]


@pytest.mark.parametrize("header", ['"","species","lon","lat"', '"species","lon","lat"'])
def test_index_column_of_r(tmp_path, header):
    path = tmp_path / "r.csv"
    path.write_text(header + '\n"1","A",1.5,2\n"2","B",NA,4\n')
    frame = read_table(path).frame
    assert list(frame.columns) == ["row_name", "species", "lon", "lat"]
    assert frame["lon"].dtype == float
    assert np.isnan(frame["lon"][1])


def test_cells_with_delimiters_quotes_and_line_breaks(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('a,b,c\n"x, y","he said ""no""",1\n"two\nlines",,2\n')
    frame = read_table(path).frame
    assert frame["a"].tolist() == ["x, y", "two\nlines"]
    assert frame["b"][0] == 'he said "no"'
    assert pd.isna(frame["b"][1])
    assert frame["c"].tolist() == [1, 2]


def test_excel_separator_line_blank_lines_empty_rows_and_trailing_delimiters(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("sep=;\na;b;\n1;x;\n;;\n2;y;\n\n")
    table = read_table(path)
    assert table.frame[["a", "b"]].to_numpy().tolist() == [[1, "x"], [2, "y"]]
    assert table.rows.tolist() == [2, 4]
    assert any("without content" in note for note in table.notes)


def test_labels_made_of_digits_stay_text_and_repeated_names_are_told_apart(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("id,key,v,v\n007,12345678901234567890,1,2\n010,3,3,4\n")
    frame = read_table(path).frame
    assert frame["id"].tolist() == ["007", "010"]
    assert frame["key"][0] == "12345678901234567890"
    assert list(frame.columns) == ["id", "key", "v", "v.1"]


def test_ragged_rows_are_named_all_together(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b,c\n1,2,3\n4,5\n6,7,8\n6,7,8,9\n")
    with pytest.raises(InputError) as error:
        read_table(path)
    assert error.value.code == "IO102"
    assert "2 rows" in error.value.what
    assert "row 3 has 2" in error.value.what
    assert "row 5 has 4" in error.value.what


def test_ragged_rows_after_leading_blank_lines(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("\n\na,b,c\n1,2,3\n4,5\n")
    with pytest.raises(InputError, match="row 3 has 2"):
        read_table(path)


def test_a_quote_that_is_never_closed_is_taken_literally_when_that_makes_sense(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('a,b\n"open,1\nx,2\n')
    table = read_table(path)
    assert table.frame["a"].tolist() == ['"open', "x"]
    assert table.notes


def test_stray_windows_byte_far_down_the_file(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(b"a,b\n" + b"plain,1\n" * 40_000 + b"caf\xe9,2\n")
    assert read_table(path).frame["a"].iloc[-1] == "café"


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("empty.csv", b"", "IO102"),
        ("blank.csv", b"\n \n\n", "IO102"),
        ("junk.csv", bytes(range(256)) * 20, "IO103"),
        ("bad.gpkg", b"not a database", "IO102"),
        ("bad.gpkg", b"SQLite format 3\0" + b"\1" * 200, "IO102"),
        ("bad.geojson", b'{"type": "FeatureCollection", "features": [', "IO102"),
        ("bad.shp", b"\x00\x00\x27\x0a" + b"\0" * 50, "IO102"),
        ("bad.fgb", b"fgb\x03fgb\x00" + b"\0" * 60, "IO102"),
        ("bad.parquet", b"PAR1" + b"\0" * 50, "IO102"),
        ("vrt.geojson", b"<OGRVRTDataSource></OGRVRTDataSource>", "IO102"),
        ("bad.csv.gz", gzip.compress(b"a,b\n1,2\n" * 500, mtime=0)[:-20], "IO102"),
        ("bad.zip", b"PK\x03\x04" + b"\0" * 60, "IO102"),
    ],
)
def test_what_cannot_be_read_is_one_clean_error(tmp_path, name, content, code):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        read_table(path)
    assert error.value.code == code
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "gpkg", "geojson", "fgb", "parquet"])
def test_flipped_and_cut_bytes_never_escape_as_other_errors(tmp_path, ending):
    path, rng = tmp_path / f"t.{ending}", np.random.default_rng(0)
    points = gpd.GeoDataFrame({"species": SPECIES}, geometry=gpd.points_from_xy(LON, LAT), crs="EPSG:4326")
    if ending.startswith("csv"):
        write_table(pd.DataFrame({"species": SPECIES, "lon": LON, "lat": LAT}), path)
    elif ending == "parquet":
        points.to_parquet(path)
    else:
        points.to_file(path)
    content = path.read_bytes()
    for trial in range(25):
        damaged = bytearray(content)
        if trial % 3 == 0:
            damaged = damaged[: rng.integers(len(damaged))]
        else:
            for at in rng.integers(0, len(damaged), 3):
                damaged[at] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            read_table(path)
        except InputError as error:
            assert "\n" not in str(error)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(InputError) as error:
        read_table(tmp_path / "no.csv")
    assert error.value.code == "IO101"
    with pytest.raises(InputError) as error:
        read_table(tmp_path)
    assert error.value.code == "IO103"


def zipped(**members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "."), content)
    return out.getvalue()


def test_gz_and_zip(tmp_path):
    content = text_of(",", ".").encode()
    for name, packed in [("t.csv.gz", gzip.compress(content, mtime=0)), ("t.zip", zipped(t__csv=content))]:
        path = tmp_path / name
        path.write_bytes(packed)
        assert read_table(path).frame["species"].tolist() == SPECIES


def test_archives_of_several_files(tmp_path):
    path = tmp_path / "t.zip"
    path.write_bytes(zipped(a__csv=b"a\n1\n", b__csv=b"b\n1\n"))
    with pytest.raises(InputError) as error:
        read_table(path)
    assert error.value.code == "IO103"
    path.write_bytes(zipped(meta__xml=b"<a/>", occurrence__txt=text_of("\t", ".").encode()))
    assert read_table(path).frame["species"].tolist() == SPECIES


def test_archive_bomb_is_refused(tmp_path):
    path = tmp_path / "t.zip"
    path.write_bytes(zipped(t__csv=b"a,b\n" + b"0,0\n" * (20 << 20)))
    with pytest.raises(InputError) as error:
        read_table(path)
    assert error.value.code == "IO102"
    assert "MiB" in error.value.what


@pytest.mark.parametrize("ending", ["gpkg", "geojson", "shp", "fgb", "parquet"])
def test_points_of_vector_files_come_out_in_degrees(tmp_path, ending):
    path = tmp_path / f"p.{ending}"
    points = gpd.GeoDataFrame({"species": SPECIES}, geometry=gpd.points_from_xy(LON, LAT), crs="EPSG:4326")
    projected = points if ending == "geojson" else points.to_crs("EPSG:3857")
    if ending == "parquet":
        projected.to_parquet(path)
    else:
        projected.to_file(path)
    table = read_table(path)
    assert table.crs == "EPSG:4326"
    assert table.coordinates == ("longitude", "latitude")
    got = table.frame.sort_values("species")
    expected = points.sort_values("species")
    np.testing.assert_allclose(got["longitude"], expected.geometry.x, atol=1e-7)
    np.testing.assert_allclose(got["latitude"], expected.geometry.y, atol=1e-7)
    assert got["species"].tolist() == expected["species"].tolist()
    if ending == "gpkg":
        kept = read_table(path, to_crs=None)
        assert kept.crs == "EPSG:3857"
        assert kept.coordinates == ("x", "y")


@pytest.mark.filterwarnings("ignore:'crs' was not provided")
def test_vector_file_without_reference_system_or_points(tmp_path):
    path = tmp_path / "p.gpkg"
    gpd.GeoDataFrame({"a": [1]}, geometry=gpd.points_from_xy([1], [2])).to_file(path)
    with pytest.raises(InputError) as error:
        read_table(path)
    assert error.value.code == "RA301"
    assert read_table(path, crs="EPSG:4326").frame["longitude"].tolist() == [1]
    lines = gpd.GeoDataFrame({"a": [1]}, geometry=gpd.points_from_xy([1], [2]).buffer(1), crs="EPSG:4326")
    lines.to_file(tmp_path / "q.gpkg")
    with pytest.raises(InputError, match="Polygon"):
        read_table(tmp_path / "q.gpkg")


def test_only_the_wanted_columns(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(text_of(",", "."))
    assert list(read_table(path, columns=["lat", "species"]).frame.columns) == ["lat", "species"]
    with pytest.raises(InputError) as error:
        read_table(path, columns=["nope"])
    assert error.value.code == "OC201"


def test_formula_cells_are_escaped_on_export_and_numbers_are_not(tmp_path):
    frame = pd.DataFrame({"name": ["=cmd()", "+1", "-3.5", "@x", "-x", "plain"], "v": [-1.0, 2, 3, 4, 5, 6]})
    write_table(frame, tmp_path / "t.csv")
    back = read_table(tmp_path / "t.csv").frame
    assert back["name"].tolist() == ["'=cmd()", "+1", "-3.5", "'@x", "'-x", "plain"]
    assert back["v"].tolist() == frame["v"].tolist()
    assert escape_formula("\tx") == "'\tx"


@pytest.mark.parametrize("ending", ["csv", "tsv", "csv.gz", "parquet", "gpkg"])
def test_write_then_read(tmp_path, ending):
    path = tmp_path / "out" / f"t.{ending}"
    frame = pd.DataFrame({"species": SPECIES, "lon": LON, "lat": LAT, "n": [1, 2, 3]})
    write_table(frame, path)
    back = read_table(path).frame
    assert back["species"].tolist() == SPECIES
    assert back["lon"].tolist() == LON
    assert back["n"].tolist() == [1, 2, 3]
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_unknown_ending_and_geopackage_without_coordinates(tmp_path):
    with pytest.raises(UsageError):
        write_table(pd.DataFrame({"a": [1]}), tmp_path / "t.xlsx")
    with pytest.raises(UsageError):
        write_table(pd.DataFrame({"a": [1]}), tmp_path / "t.gpkg")


cell_text = st.text(alphabet=string.ascii_letters + " ,;|\t\"'\n°é", min_size=1, max_size=12).filter(
    lambda s: s.strip() == s
)
numbers = st.floats(allow_nan=False, allow_infinity=False, width=64)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.tuples(cell_text, numbers, st.integers(-(10**9), 10**9)), min_size=1, max_size=8),
    ending=st.sampled_from(["csv", "tsv"]),
)
def test_any_table_survives_writing_and_reading(tmp_path, rows, ending):
    frame = pd.DataFrame(rows, columns=["species", "value", "n"])
    path = tmp_path / f"t.{ending}"
    write_table(frame, path)
    back = read_table(path).frame
    missing = {"NA", "N/A", "NaN", "nan", "NULL", "null", "None"}
    expected = [s for s, *_ in rows]
    if not set(expected) <= missing:
        assert back["species"].tolist() == expected
    assert back["value"].astype(float).tolist() == frame["value"].tolist()
    assert back["n"].tolist() == frame["n"].tolist()


@pytest.mark.realdata
def test_real_tables(data_folder):
    bradypus = read_table(data_folder / "bradypus_dismo" / "bradypus.csv").frame
    assert bradypus.shape == (116, 3)
    acaule = read_table(data_folder / "bradypus_dismo" / "acaule.csv")
    assert acaule.names[0] == "row_name"
    assert acaule.frame["lat"].dtype == float
    assert acaule.frame["catalogNumber"][0] == "00745416"
