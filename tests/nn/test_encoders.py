"""Encoders by name, what of them learns, low-rank adaptation, and caches that cannot be stale."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ecotone.errors import UsageError
from ecotone.nn.encoders import ENCODERS, Encoder, build_encoder, encode_in_batches, encoder_key, set_trainable
from ecotone.nn.feature_cache import cached_features
from ecotone.nn.lora import add_lora, merge_lora


def test_names_give_equal_weights_for_equal_seeds_and_leave_other_randomness_alone() -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    one, two, other = (build_encoder("vit_test", seed=s) for s in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert encoder_key(one) == encoder_key(two) != encoder_key(other)
    assert encoder_key(one, images="a") != encoder_key(one, images="b")
    assert isinstance(one, Encoder) and one.width == 32 and one.stride == 8
    assert build_encoder("vit_test", channels=9, image_size=48).maps(torch.zeros(1, 9, 48, 48)).shape == (1, 32, 6, 6)


def test_every_name_is_a_shape_that_can_be_built() -> None:
    for name, config in ENCODERS.items():
        assert config.image_size % config.patch == 0 and config.width % config.heads == 0, name


@pytest.mark.parametrize(("name", "code"), [("vit_tset", "US101"), ("vit_test", "US104")])
def test_unknown_names_and_sizes_are_refused(name: str, code: str) -> None:
    with pytest.raises(UsageError) as caught:
        build_encoder(name, image_size=33)
    assert caught.value.code == code


@pytest.mark.parametrize(("mode", "learns"), [("frozen", 0), ("tokens", 2), ("last:1", 14), ("all", 32)])
def test_modes_say_what_learns(mode: str, learns: int) -> None:
    model = build_encoder("vit_test")
    set_trainable(model, mode)
    assert sum(p.requires_grad for p in model.parameters()) == learns
    with pytest.raises(UsageError):
        set_trainable(model, "last:9")


def test_low_rank_adaptation_starts_equal_learns_and_merges() -> None:
    model, x = build_encoder("vit_test").double(), torch.randn(2, 3, 32, 32, dtype=torch.float64)
    plain = model.maps(x).detach()
    names = list(model.state_dict())
    parameters = add_lora(model, 2)
    torch.testing.assert_close(model.maps(x), plain, rtol=0, atol=0)
    assert {id(p) for p in model.parameters() if p.requires_grad} == {id(p) for p in parameters}
    for _ in range(2):  # the second matrix starts at 0, so the first learns from the second step on
        model.zero_grad()
        model.maps(x).square().sum().backward()
        with torch.no_grad():
            for p in parameters:
                p -= 0.01 * p.grad  # type: ignore[operator]
    assert all(float(p.grad.abs().max()) > 0 for p in parameters)  # type: ignore[union-attr]
    learned = model.maps(x).detach()
    assert not torch.allclose(learned, plain)
    merge_lora(model)
    torch.testing.assert_close(model.maps(x), learned, rtol=0, atol=1e-12)
    assert list(model.state_dict()) == names


def test_a_cache_is_computed_once_and_again_when_damaged(tmp_path: Path) -> None:
    model, images = (
        build_encoder("vit_test"),
        np.random.default_rng(0).standard_normal((7, 3, 32, 32), dtype=np.float32),
    )
    calls: list[slice] = []

    def compute(rows: slice) -> torch.Tensor:
        calls.append(rows)
        return model.maps(torch.from_numpy(images[rows]))

    options: dict[str, Any] = {"batch": 3, "dtype": "float32"}
    first = cached_features(compute, 7, encoder_key(model), tmp_path, **options)
    assert len(calls) == 3 and first.shape == (7, 32, 4, 4) and not first.flags.writeable
    np.testing.assert_allclose(first, encode_in_batches(model, images, 4).numpy(), atol=1e-5)
    again = cached_features(compute, 7, encoder_key(model), tmp_path, **options)
    assert len(calls) == 3
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(cached_features(compute, 7, "k", None, **options), first)
    (path,) = tmp_path.glob("*.npy")
    del first, again
    path.write_bytes(path.read_bytes()[:500])
    cached_features(compute, 7, encoder_key(model), tmp_path, **options)
    assert len(calls) == 9 and len(list(tmp_path.iterdir())) == 1
    cached_features(compute, 7, encoder_key(build_encoder("vit_test", seed=1)), tmp_path, **options)
    assert len(calls) == 12


def test_an_interrupted_cache_leaves_nothing_that_looks_whole(tmp_path: Path) -> None:
    def compute(rows: slice) -> torch.Tensor:
        if rows.start:
            raise KeyboardInterrupt
        return torch.zeros(3, 2)

    with pytest.raises(KeyboardInterrupt):
        cached_features(compute, 9, "k", tmp_path, batch=3)
    assert not list(tmp_path.glob("*.npy"))
