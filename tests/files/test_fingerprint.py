from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecotone.errors import InputError
from ecotone.files.fingerprint import cache_key, hash_file, hash_files

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def test_a_file_hash_is_its_sha256(tmp_path):
    content = bytes(range(256)) * 9000
    (tmp_path / "f").write_bytes(content)
    assert hash_file(tmp_path / "f") == hashlib.sha256(content).hexdigest()
    assert list(hash_files([tmp_path / "f", tmp_path / "f"])) == [str(tmp_path / "f")]


def test_missing_and_unreadable_files(tmp_path):
    with pytest.raises(InputError) as caught:
        hash_file(tmp_path / "none")
    assert caught.value.code == "IO101"
    with pytest.raises(InputError) as caught:
        hash_file(tmp_path)
    assert caught.value.code == "IO102"


@given(values)
def test_a_key_depends_on_content_alone(value):
    assert cache_key(x=value) == cache_key(x=value)
    assert cache_key(x=value) != cache_key(y=value)
    assert cache_key(x=value) != cache_key(x=[value])


def test_order_of_names_does_not_matter_but_order_of_items_does():
    assert cache_key(a=1, b={"x": 1, "y": 2}) == cache_key(b={"y": 2, "x": 1}, a=1)
    assert cache_key(a=[1, 2]) != cache_key(a=[2, 1])


@pytest.mark.parametrize(
    ("one", "other"),
    [(1, "1"), (1, 1.0), (1, True), (None, "null"), ([1, 23], [12, 3]), (["a", "b"], ["ab"]), ({"a": "b"}, ["a", "b"]),
     (np.zeros(4), np.zeros((2, 2))), (np.zeros(2, np.float32), np.zeros(2, np.float64)), (np.zeros(2), [0.0, 0.0]),
     ({"a": {"b": 1}}, {"a": {}, "b": 1})],
)  # fmt: skip
def test_look_alikes_differ(one, other):
    assert cache_key(x=one) != cache_key(x=other)


def test_memory_layout_does_not_matter():
    array = np.arange(6.0).reshape(2, 3)
    assert cache_key(x=array) == cache_key(x=np.asfortranarray(array)) == cache_key(x=array[::-1][::-1])
    assert cache_key(x=array) != cache_key(x=array.T)
