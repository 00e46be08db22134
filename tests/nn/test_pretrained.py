"""Weights of others give what transformers computes, and what is no such model is refused in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from ecotone.errors import EcotoneError, InputError, IntegrityError, UsageError
from ecotone.nn.pretrained import adapt_channels, load_vit

SHAPE: dict[str, Any] = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 16, "patch_size": 4,
}  # fmt: skip


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Any, Path]]:
    transformers = pytest.importorskip("transformers")
    made = {}
    torch.manual_seed(0)
    for name, config, model, more in (
        ("dinov2", "Dinov2Config", "Dinov2Model", {"mlp_ratio": 2}),
        (
            "registers",
            "Dinov2WithRegistersConfig",
            "Dinov2WithRegistersModel",
            {"mlp_ratio": 2, "num_register_tokens": 3},
        ),
        ("clip", "CLIPVisionConfig", "CLIPVisionModel", {"intermediate_size": 32}),
        ("siglip", "SiglipVisionConfig", "SiglipVisionModel", {"intermediate_size": 40}),
    ):
        oracle = getattr(transformers, model)(getattr(transformers, config)(**SHAPE, **more)).eval()
        with torch.no_grad():
            for parameter in oracle.parameters():
                parameter += 0.1 * torch.randn_like(parameter)
        folder = tmp_path_factory.mktemp(name)
        oracle.save_pretrained(folder)
        made[name] = oracle, folder
    return made


@pytest.mark.parametrize("name", ["dinov2", "registers", "clip", "siglip"])
@pytest.mark.parametrize("size", [16, 24, 12])
def test_it_computes_what_transformers_computes(models: Any, name: str, size: int) -> None:
    oracle, folder = models[name]
    ours = load_vit(folder)
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        more = {"interpolate_pos_encoding": True} if size != 16 and name in ("clip", "siglip") else {}
        theirs = oracle(pixel_values=images, **more).last_hidden_state
        if name == "clip":
            theirs = (oracle.vision_model if hasattr(oracle, "vision_model") else oracle).post_layernorm(theirs)
        found = ours(images)
    torch.testing.assert_close(torch.cat([found.prefix, found.patches], 1), theirs, rtol=0, atol=2e-5)


def test_whole_clip_models_give_their_image_tower(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    text = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
        "vocab_size": 99,
    }
    config = transformers.CLIPConfig(
        text_config=text, vision_config={**SHAPE, "intermediate_size": 32}, projection_dim=8
    )
    oracle = transformers.CLIPModel(config).eval()
    oracle.save_pretrained(tmp_path)
    images = torch.randn(1, 3, 16, 16)
    with torch.no_grad():
        theirs = oracle.vision_model(pixel_values=images).pooler_output
        torch.testing.assert_close(load_vit(tmp_path)(images).prefix[:, 0], theirs, rtol=0, atol=2e-5)


def copy(folder: Path, to: Path) -> Path:
    to.mkdir()
    for path in folder.iterdir():
        (to / path.name).write_bytes(path.read_bytes())
    return to


def test_a_folder_in_pieces_is_read(models: Any, tmp_path: Path) -> None:
    oracle, folder = models["registers"]
    oracle.save_pretrained(tmp_path / "pieces", max_shard_size="2KB")
    assert len(list((tmp_path / "pieces").glob("*.safetensors"))) > 1
    whole, pieces = load_vit(folder).state_dict(), load_vit(tmp_path / "pieces").state_dict()
    assert all(torch.equal(whole[name], pieces[name]) for name in whole)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"model_type": "resnet"}, "IM709"),
        ({"hidden_size": 32}, "IM709"),
        ({"hidden_size": -1}, "IN102"),
        ({"num_hidden_layers": 10**9}, "IN102"),
        ({"num_hidden_layers": 3}, "IM709"),
        ({"use_swiglu_ffn": True}, "IM709"),
        ({"hidden_act": "sine"}, "IM709"),
        ({"image_size": 32}, "IM709"),
    ],
)
def test_settings_that_do_not_fit_are_refused(models: Any, tmp_path: Path, change: dict[str, Any], code: str) -> None:
    folder = copy(models["dinov2"][1], tmp_path / "m")
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(settings | change))
    with pytest.raises(EcotoneError) as caught:
        load_vit(folder)
    assert caught.value.code == code and "\n" not in str(caught.value)


def test_pickles_missing_and_damaged_files_are_refused(models: Any, tmp_path: Path) -> None:
    folder = copy(models["dinov2"][1], tmp_path / "m")
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(IntegrityError) as damaged:
        load_vit(folder)
    assert damaged.value.code == "IN101"
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04N.")
    with pytest.raises(InputError) as pickled:
        load_vit(folder)
    assert pickled.value.code == "IM709" and "pickle" in str(pickled.value)
    (folder / "pytorch_model.bin").unlink()
    with pytest.raises(InputError) as missing:
        load_vit(folder)
    assert missing.value.code == "IO101"


def test_names_on_the_hub_need_a_revision() -> None:
    with pytest.raises(UsageError) as caught:
        load_vit("facebook/dinov2-small")
    assert caught.value.code == "US105"
    with pytest.raises(InputError) as other:
        load_vit("no/such/folder")
    assert other.value.code == "IO101"


def test_more_channels_give_what_grey_gave(models: Any) -> None:
    model = load_vit(models["dinov2"][1])
    many = adapt_channels(model, 7)
    grey = torch.randn(2, 1, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(many.maps(grey.expand(-1, 7, -1, -1)), model.maps(grey.expand(-1, 3, -1, -1)))
