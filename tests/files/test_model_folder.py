from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ecotone.contract import Options
from ecotone.errors import EcotoneError, InputError, IntegrityError
from ecotone.files import atomic
from ecotone.files.model_folder import model_id, read_model, weights_present, write_model

CONFIG = {"hidden": [4, 4], "rate": 2e-4, "preset": "paper"}
PREPROCESSING = {"mean": [0.1, -3e300], "species": ["Quercus ilex", "ß <b>"]}


def tensors(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {"b.weight": rng.normal(size=(4, 3)), "a.bias": rng.normal(size=4).astype(np.float32), "n": np.array(7)}


def write(folder, **changes):
    parts = {
        "system": "deepmaxent",
        "config": CONFIG,
        "tensors": tensors(),
        "preprocessing": PREPROCESSING,
        "card": "# é",
    }
    write_model(folder, **{**parts, **changes})


def test_round_trip_is_exact(tmp_path):
    write(tmp_path / "m")
    model = read_model(tmp_path / "m", "deepmaxent")
    assert (model.config, model.preprocessing, model.card) == (CONFIG, PREPROCESSING, "# é")
    for name, array in tensors().items():
        assert model.tensors[name].dtype == array.dtype and model.tensors[name].shape == array.shape
        assert model.tensors[name].tobytes() == array.tobytes()
    assert weights_present(tmp_path / "m") and not weights_present(tmp_path)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    arrays=st.dictionaries(
        st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=8).filter(
            lambda s: s != "__metadata__"
        ),
        hnp.arrays(
            st.sampled_from([np.float32, np.float64, np.float16, np.int64, np.int8, np.uint8, np.bool_]),
            hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
        ).filter(lambda a: a.dtype.kind != "f" or bool(np.isfinite(a).all())),
        max_size=4,
    )
)
def test_any_arrays_round_trip(tmp_path, arrays):
    write(tmp_path, tensors=arrays)
    back = read_model(tmp_path, "deepmaxent").tensors
    assert set(back) == set(arrays)
    assert all(
        back[k].dtype == v.dtype and np.array_equal(back[k], v) and back[k].shape == v.shape for k, v in arrays.items()
    )


def test_equal_content_has_equal_bytes_whatever_the_order(tmp_path):
    write(tmp_path / "a")
    write(tmp_path / "b", tensors=dict(reversed(tensors().items())), card="another card")
    assert (tmp_path / "a/model.safetensors").read_bytes() == (tmp_path / "b/model.safetensors").read_bytes()
    assert model_id(tmp_path / "a") == model_id(tmp_path / "b")
    assert len(model_id(tmp_path / "a")) == 12
    for change in ({"tensors": tensors(1)}, {"config": {**CONFIG, "rate": 1.0}}, {"preprocessing": {}}):
        write(tmp_path / "c", **change)
        assert model_id(tmp_path / "c") != model_id(tmp_path / "a")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_diverged_model_is_not_written(tmp_path, bad):
    with pytest.raises(IntegrityError) as caught:
        write(tmp_path / "m", tensors={"w": np.array([1.0, bad])})
    assert caught.value.code == "IN101" and not weights_present(tmp_path / "m")


def test_objects_are_not_written(tmp_path):
    with pytest.raises(IntegrityError, match="object"):
        write(tmp_path / "m", tensors={"w": np.array([{}])})


def test_options_decide_over_keys_and_values(tmp_path):
    class Config(Options):
        hidden: tuple[int, ...] = (1,)
        rate: float = 0.1
        preset: str = ""

    write(tmp_path / "m")
    assert read_model(tmp_path / "m", "deepmaxent", options=Config).config == CONFIG
    write(tmp_path / "k", config={**CONFIG, "rte": 1})
    with pytest.raises(IntegrityError, match="rate") as caught:
        read_model(tmp_path / "k", "deepmaxent", options=Config)
    assert caught.value.code == "IN102"
    write(tmp_path / "v", config={**CONFIG, "rate": "fast"})
    with pytest.raises(IntegrityError):
        read_model(tmp_path / "v", "deepmaxent", options=Config)


def test_limits_reach_into_lists_and_objects(tmp_path):
    write(tmp_path / "m", config={"net": {"hidden": [[4], [999]]}})
    read_model(tmp_path / "m", "deepmaxent", limits={"hidden": 999})
    with pytest.raises(IntegrityError, match="hidden = 999"):
        read_model(tmp_path / "m", "deepmaxent", limits={"hidden": 998})
    with pytest.raises(IntegrityError):
        read_model(tmp_path / "m", "deepmaxent", limits={"net": 998})


def test_shapes_may_be_a_table(tmp_path):
    write(tmp_path / "m")
    shapes = {"b.weight": (4, 3), "a.bias": (4,), "n": ()}
    read_model(tmp_path / "m", "deepmaxent", shapes=shapes)
    with pytest.raises(IntegrityError, match="missing"):
        read_model(tmp_path / "m", "deepmaxent", shapes={**shapes, "more": (1,)})


def test_another_system_and_no_folder_are_told_apart(tmp_path):
    write(tmp_path / "m")
    with pytest.raises(IntegrityError, match="deepmaxent"):
        read_model(tmp_path / "m", "phenology")
    with pytest.raises(InputError) as caught:
        read_model(tmp_path / "nothing", "deepmaxent")
    assert caught.value.code == "IO101"


def test_a_card_is_optional_and_never_in_the_way(tmp_path):
    write(tmp_path / "m")
    (tmp_path / "m/card.md").write_bytes(b"\xff\xfe card")
    assert "card" in read_model(tmp_path / "m", "deepmaxent").card
    (tmp_path / "m/card.md").unlink()
    assert read_model(tmp_path / "m", "deepmaxent").card == ""


def test_config_is_written_last(tmp_path, monkeypatch):
    real = atomic.fsync_path

    def fail(path):
        if path.name.startswith(".config"):
            raise OSError(28, "No space left on device")
        real(path)

    monkeypatch.setattr(atomic, "fsync_path", fail)
    with pytest.raises(EcotoneError) as caught:
        write(tmp_path / "m")
    assert caught.value.code == "ST102" and not weights_present(tmp_path / "m")


def test_too_large_parts_are_refused_on_writing(tmp_path):
    with pytest.raises(IntegrityError, match="store arrays as tensors"):
        write(tmp_path / "m", preprocessing={"x": list(range(900_000))})
    assert not (tmp_path / "m/preprocessing.json").exists()


def test_config_json_is_what_the_registry_reads(tmp_path):
    write(tmp_path / "m")
    assert json.loads((tmp_path / "m/config.json").read_text()) == {
        "format": 1,
        "system": "deepmaxent",
        "config": CONFIG,
    }
