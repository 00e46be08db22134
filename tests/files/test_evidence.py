from __future__ import annotations

import io
import json
import zipfile
from dataclasses import fields

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ecotone.contract import (
    EVIDENCE_KINDS,
    Check,
    Contributions,
    Curve,
    Evidence,
    Gallery,
    Overlay,
    Passages,
    evidence_fields,
)
from ecotone.errors import EcotoneError, InputError
from ecotone.files import evidence as module
from ecotone.files.evidence import csv_text, load_evidence, save_evidence, slug

text = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=12)
number = st.floats(allow_nan=True, allow_infinity=True)
dtypes = st.sampled_from([np.float64, np.float32, np.int64, np.uint8, np.bool_, np.dtype(">f4")])
head = {"title": text, "exact": st.booleans(), "note": text, "target": text}


def arrays(*shape: int):
    return dtypes.flatmap(lambda d: hnp.arrays(d, shape))


def texts(n: int):
    return st.lists(text, min_size=n, max_size=n).map(tuple)


@st.composite
def curves(draw) -> Curve:
    n = draw(st.integers(0, 4))
    optional = st.none() | arrays(n)
    return Curve(
        **{k: draw(v) for k, v in head.items()},
        x=draw(arrays(n)),
        y=draw(arrays(n)),
        x_label=draw(text),
        y_label=draw(text),
        x_unit=draw(text),
        y_unit=draw(text),
        lower=draw(optional),
        upper=draw(optional),
        band=draw(text),
        references=draw(st.dictionaries(text, arrays(n), max_size=2)),
        name=draw(text),
        support=draw(st.none() | arrays(3)),
        categories=draw(st.none() | texts(n)),
    )


@st.composite
def overlays(draw) -> Overlay:
    k, h, w = draw(st.integers(1, 2)), draw(st.integers(1, 3)), draw(st.integers(1, 3))
    return Overlay(
        **{key: draw(v) for key, v in head.items()},
        weights=draw(hnp.arrays(np.float32, (k, h, w))),
        names=draw(texts(k)),
        image=draw(st.none() | arrays(h, w, 3)),
        unit=draw(text),
        extent=draw(st.none() | st.tuples(*[number] * 4)),
        points=draw(st.none() | arrays(2, 2)),
        legend=draw(st.dictionaries(st.integers(-9, 9), text, max_size=2)),
        x_label=draw(text),
        y_label=draw(text),
        x_unit=draw(text),
        y_unit=draw(text),
        x_names=draw(st.just(()) | texts(w)),
        y_names=draw(st.just(()) | texts(h)),
    )


@st.composite
def galleries(draw) -> Gallery:
    k = draw(st.integers(0, 3))
    return Gallery(
        **{key: draw(v) for key, v in head.items()},
        images=draw(arrays(k, 2, 2)),
        captions=draw(texts(k)),
        similarity=draw(st.none() | arrays(k)),
    )


@st.composite
def contributions(draw, depth: int = 0) -> Contributions:
    k = draw(st.integers(1, 3))
    values = draw(hnp.arrays(np.float64, k, elements=st.floats(-10, 10)))
    additive = draw(st.booleans())
    nested = st.dictionaries(text, contributions(depth + 1), max_size=2) if depth < 2 else st.just({})
    return Contributions(
        **{key: draw(v) for key, v in head.items()},
        names=draw(texts(k)),
        values=values,
        additive=additive,
        total=float(values.sum()) if additive else draw(st.none() | number),
        unit=draw(text),
        lower=draw(st.none() | arrays(k)),
        upper=draw(st.none() | arrays(k)),
        band=draw(text),
        children=draw(nested),
        gallery=draw(st.dictionaries(text, galleries(), max_size=1)),
    )


@st.composite
def passages(draw) -> Passages:
    k = draw(st.integers(0, 3))
    return Passages(
        **{key: draw(v) for key, v in head.items()},
        sentences=draw(texts(k)),
        weights=draw(arrays(k)),
        sources=draw(st.just(()) | texts(k)),
    )


@st.composite
def checks(draw) -> Check:
    return Check(
        **{key: draw(v) for key, v in head.items()},
        claim=draw(text),
        measured=draw(number),
        bound=draw(number),
        unit=draw(text),
        verdict=draw(st.sampled_from(["pass", "fail", "note"])),
        details=tuple(draw(st.lists(st.tuples(text, text), max_size=2))),
    )


def same(a: object, b: object) -> bool:
    """Equality that looks into arrays and nested evidence and takes NaN for equal to NaN."""
    if isinstance(a, Evidence) and isinstance(b, Evidence):
        one, two = evidence_fields(a), evidence_fields(b)
        return type(a) is type(b) and all(same(one[k], two[k]) for k in one)
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, dict) and isinstance(b, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and (a == b or (a != a and b != b))


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.lists(curves() | overlays() | contributions() | galleries() | passages() | checks(), max_size=3))
def test_every_kind_round_trips_exactly(tmp_path, items):
    save_evidence(tmp_path, items)
    back = load_evidence(tmp_path)
    assert len(back) == len(items)
    assert all(same(a, b) for a, b in zip(items, back, strict=True))


def test_every_declared_field_type_has_a_reader():
    declared = {str(f.type).removesuffix(" | None") for cls in EVIDENCE_KINDS.values() for f in fields(cls)}
    assert declared == set(module._DECODERS)


def curve(title: str = "Response", **more) -> Curve:
    return Curve(title=title, x=np.arange(3.0), y=np.array([0.1, np.nan, 0.3]), x_label="x", y_label="y", **more)


def test_files_are_for_people_too(tmp_path):
    paths = save_evidence(
        tmp_path, [curve("Réponse à bio1"), Check(title="<script>", claim="c", measured=1.0, target="../x")]
    )
    assert [p.name for p in paths] == ["01-curve-reponse-a-bio1.json", "02-check-script-x.json"]
    assert (tmp_path / "01-curve-reponse-a-bio1.csv").read_text().splitlines()[:2] == ["x,y", "0.0,0.1"]
    assert not (tmp_path / "02-check-script-x.npz").exists()
    assert slug(curve("日本")) == "curve"


def test_order_survives_more_than_a_hundred_items(tmp_path):
    items = [Check(title=f"t{i}", claim="c", measured=float(i)) for i in range(120)]
    save_evidence(tmp_path, items)
    assert [e.title for e in load_evidence(tmp_path)] == [e.title for e in items]


def test_an_earlier_run_leaves_nothing_but_other_peoples_files_stay(tmp_path):
    save_evidence(tmp_path, [curve("one"), curve("two"), curve("three")])
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / ".evidence.partial-old").mkdir()
    save_evidence(tmp_path, [curve("two")])
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "01-curve-two.csv",
        "01-curve-two.json",
        "01-curve-two.npz",
        "notes.txt",
    ]
    assert [e.title for e in load_evidence(tmp_path)] == ["two"]


def test_equal_evidence_has_equal_bytes(tmp_path):
    for name in "ab":
        save_evidence(tmp_path / name, [curve()])
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_a_full_disk_leaves_the_old_evidence(tmp_path, monkeypatch):
    save_evidence(tmp_path, [curve("old")])

    def full(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "_put_file", full)
    with pytest.raises(EcotoneError) as caught:
        save_evidence(tmp_path, [curve("new")])
    assert caught.value.code == "ST102"
    assert [e.title for e in load_evidence(tmp_path)] == ["old"]
    assert not [p for p in tmp_path.iterdir() if p.is_dir()]


def test_a_named_matrix_is_a_table_of_its_cells(tmp_path):
    matrix = Overlay(
        title="Overlap",
        weights=np.array([[[1.0, 0.2], [0.2, 1.0]]]),
        names=("D",),
        x_names=("a", "b"),
        y_names=("a", "b"),
    )
    save_evidence(tmp_path, [matrix])
    written = pd.read_csv(tmp_path / "01-overlay-overlap.csv")
    assert written.to_numpy().tolist() == [["a", "a", 1.0], ["a", "b", 0.2], ["b", "a", 0.2], ["b", "b", 1.0]]
    with pytest.raises(InputError, match="1 names for 2 columns"):
        Overlay(title="t", weights=np.zeros((1, 2, 2)), names=("k",), x_names=("a",))


def test_evidence_from_before_axes_had_names_is_still_read(tmp_path):
    save_evidence(tmp_path, [Overlay(title="t", weights=np.zeros((1, 2, 2)), names=("k",))])
    rewrite(
        tmp_path,
        lambda c: [c["fields"].pop(k) for k in ("x_label", "y_label", "x_unit", "y_unit", "x_names", "y_names")],
    )
    (back,) = load_evidence(tmp_path)
    assert isinstance(back, Overlay) and back.is_map


def test_no_folder_is_no_evidence(tmp_path):
    assert load_evidence(tmp_path / "none") == []


def test_arrays_of_objects_are_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be stored"):
        save_evidence(tmp_path, [Passages(title="t", sentences=("a",), weights=np.array([{}]))])


def test_cells_that_a_spreadsheet_would_run_are_disarmed():
    frame = pd.DataFrame({"=cmd": ["=1+1", "+x", "-x", "@x", "plain"], "n": [-1.0, 2.0, 3.0, 4.0, 5.0]})
    assert csv_text(frame).splitlines() == ["'=cmd,n", "'=1+1,-1.0", "'+x,2.0", "'-x,3.0", "'@x,4.0", "plain,5.0"]
    assert list(frame.columns) == ["=cmd", "n"]


def rewrite(folder, change) -> None:
    path = next(folder.glob("*.json"))
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c.update(kind="os.system"),
        lambda c: c.update(kind=["curve"]),
        lambda c: c.update(fields=[]),
        lambda c: c["fields"].update(extra=1),
        lambda c: c["fields"].pop("x"),
        lambda c: c["fields"].update(x="a99"),
        lambda c: c["fields"].update(title=None),
        lambda c: c["fields"].update(title=7),
        lambda c: c["fields"].update(exact="yes"),
        lambda c: c["fields"].update(references=[["a"]]),
        lambda c: c["fields"].update(categories=["a"]),
        lambda c: c.pop("kind"),
    ],
)
def test_damaged_items_are_refused_in_one_line(tmp_path, change):
    save_evidence(tmp_path, [curve()])
    rewrite(tmp_path, change)
    with pytest.raises(InputError) as caught:
        load_evidence(tmp_path)
    assert caught.value.code == "IO102" and "\n" not in str(caught.value)


def member(array: np.ndarray, *, pickled: bool = False) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, allow_pickle=pickled)
    return buffer.getvalue()


def header_only(shape: str) -> bytes:
    return member(np.zeros(3)).replace(b"(3,)", shape.encode())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a zip",
        member(np.array([{}], dtype=object), pickled=True),
        member(np.array(["text"])),
        header_only("(9,)"),
        header_only("(-3,)"),
        member(np.zeros(3))[:-1],
        b"\x93NUMPY\x03\x00",
    ],
)
def test_hostile_arrays_are_refused(tmp_path, content):
    save_evidence(tmp_path, [curve()])
    path = next(tmp_path.glob("*.npz"))
    if content.startswith(b"\x93"):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a0.npy", content)
            archive.writestr("a1.npy", member(np.zeros(3)))
    else:
        path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        load_evidence(tmp_path)
    assert caught.value.code == "IO102"


def test_a_zip_bomb_is_refused_before_it_unpacks(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX_ARRAYS", 1 << 20)
    save_evidence(tmp_path, [curve()])
    with zipfile.ZipFile(next(tmp_path.glob("*.npz")), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a0.npy", b"\0" * (2 << 20))
    with pytest.raises(InputError, match="unpacks to more"):
        load_evidence(tmp_path)


def test_every_byte_flip_of_the_arrays_is_refused_or_keeps_the_shape(tmp_path):
    save_evidence(tmp_path, [curve()])
    path = next(tmp_path.glob("*.npz"))
    whole = path.read_bytes()
    for i in range(0, len(whole), 3):
        path.write_bytes(whole[:i] + bytes([whole[i] ^ 0x55]) + whole[i + 1 :])
        try:
            (item,) = load_evidence(tmp_path)
        except InputError:
            continue
        assert isinstance(item, Curve) and item.x.shape == (3,)
