"""PDiscoFormer: presets, what learns, multilabel, multispectral, and images it cannot use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ecotone.contract import Contributions, Overlay
from ecotone.data.simulated.creature_files import write_creatures
from ecotone.data.simulated.creatures import CreatureWorld
from ecotone.errors import InputError, UsageError
from ecotone.registry import load
from ecotone.systems.pdiscoformer.config import PDiscoFormerConfig
from ecotone.systems.pdiscoformer.system import PDiscoFormerSystem
from ecotone.vision.part_model import new_part_model, part_terms

SMALL: dict[str, Any] = {
    "encoder": "vit_test",
    "pretrain_epochs": 1,
    "epochs": 2,
    "parts": 3,
    "batch_size": 16,
    "twins": 1,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_creatures(CreatureWorld(seed=3, size=32, classes=2).draw(40), tmp_path_factory.mktemp("c"))


def test_presets_fill_in_what_is_not_given() -> None:
    paper = PDiscoFormerSystem(preset="paper", parts=16).config
    assert (paper.start, paper.trainable, paper.rate_prototypes, paper.parts) == ("random", "tokens", 1e-3, 16)
    blob = PDiscoFormerSystem(preset="concentration").config
    assert blob.weights()["concentration"] == 1000 and "total_variation" not in blob.weights()
    assert PDiscoFormerSystem(preset="paper", start="kmeans").config.start == "kmeans"
    with pytest.raises(UsageError):
        PDiscoFormerSystem(trainable="some")


@pytest.mark.parametrize("preset", ["ecotone", "concentration"])
@pytest.mark.parametrize("hue", [0.0, 1.0])
def test_every_parameter_of_the_head_gets_a_gradient(preset: Any, hue: float) -> None:
    from ecotone.nn.encoders import ENCODERS

    config = PDiscoFormerConfig(**SMALL, preset=preset, twin_hue=hue).resolved()
    model = new_part_model(config, ENCODERS["vit_test"], 2).train()
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    out, twin = model(images, images.flip(-1))
    moves = torch.tensor([[-1.0, 0, 0], [0, 1, 0]]).expand(4, -1, -1)
    terms = part_terms(out, torch.tensor([0, 1, 0, 1]), twin, moves, config.weights())
    assert set(terms) == {"loss", *config.weights()}
    terms["loss"].backward()
    for name, parameter in model.head.named_parameters():
        assert parameter.grad is not None and float(parameter.grad.abs().max()) > 0, name


@pytest.mark.parametrize("trainable", ["tokens", "last:1", "lora:2", "all"])
def test_more_than_the_head_can_learn_and_is_stored(folder: Path, trainable: str, tmp_path: Path) -> None:
    made = PDiscoFormerSystem(**{**SMALL, "trainable": trainable, "epochs": 1, "rate_encoder": 1e-2}).fit(
        {"images": folder}
    )
    frozen = PDiscoFormerSystem(**{**SMALL, "epochs": 1}).fit({"images": folder})
    ours, theirs = made.network.encoder.state_dict(), frozen.network.encoder.state_dict()
    changed = {name for name in ours if not torch.equal(ours[name], theirs[name])}
    expected = {
        "tokens": lambda n: n in ("position", "prefix"),
        "last:1": lambda n: n.startswith(("blocks.1", "norm")),
        "lora:2": lambda n: "attention" in n and n.endswith("weight"),
        "all": lambda n: True,
    }[trainable]
    assert changed and all(expected(name) for name in changed)
    made.save(tmp_path / "m")
    same = load(tmp_path / "m").predict({"images": folder})
    np.testing.assert_array_equal(same.arrays["probability"], made.predict({"images": folder}).arrays["probability"])


def test_evidence_adds_up_to_the_logit_and_parts_lie_on_the_image(folder: Path) -> None:
    made = PDiscoFormerSystem(**SMALL).fit({"images": folder})
    found = made.explain({"images": folder}, target="creature-01/00002.png")
    terms = next(e for e in found if isinstance(e, Contributions) and e.target)
    answer = made.answer(made._asked({"images": folder})[1])
    row = made._asked({"images": folder})[0].index("creature-01/00002.png")
    assert terms.exact and terms.total == pytest.approx(float(answer.logits[row].max()), abs=1e-6)
    overlay = next(e for e in found if isinstance(e, Overlay))
    assert overlay.image is not None and overlay.image.shape == (32, 32, 3) and overlay.weights.shape == (1, 32, 32)


def test_one_class_needs_to_be_meant(folder: Path) -> None:
    only = folder / "creature-01"
    table = only.parent.parent / "one.csv"
    table.write_text("image,label\n" + "".join(f"images/creature-01/{p.name},a\n" for p in sorted(only.iterdir())))
    with pytest.raises(InputError) as caught:
        PDiscoFormerSystem(**SMALL).fit({"images": table})
    assert caught.value.code == "IM705"
    made = PDiscoFormerSystem(**SMALL, classification=0).fit({"images": table})
    assert made.classes == ("a",) and len(made.explain())


def test_several_labels_and_many_bands(tmp_path: Path) -> None:
    import warnings

    import rasterio

    rng = np.random.default_rng(0)
    rows = ["image,classes"]
    for i in range(24):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with rasterio.open(
                tmp_path / f"{i}.tif", "w", driver="GTiff", width=40, height=36, count=6, dtype="uint16"
            ) as out:
                out.write(rng.integers(0, 9000, (6, 36, 40)).astype(np.uint16))
        rows.append(f"{i}.tif,{('a', 'b', 'a;b')[i % 3]}")
    (tmp_path / "t.csv").write_text("\n".join(rows) + "\n")
    made = PDiscoFormerSystem(**SMALL).fit({"images": tmp_path / "t.csv"})
    assert made.multilabel and made.prep.channels == 6 and made.network.encoder.config.channels == 6
    answer = made.predict({"images": tmp_path / "3.tif"})
    assert answer.arrays["probability"].shape == (1, 2)
    assert {"label accuracy", "all labels right"} <= set(made.evaluate().metrics) and made.explain()
    made.save(tmp_path / "m")
    np.testing.assert_array_equal(
        load(tmp_path / "m").predict({"images": tmp_path / "3.tif"}).arrays["probability"], answer.arrays["probability"]
    )


def test_pretrained_weights_are_used(folder: Path, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.Dinov2WithRegistersConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=28,
        patch_size=7,
        mlp_ratio=2,
        num_register_tokens=1,
    )
    transformers.Dinov2WithRegistersModel(config).save_pretrained(tmp_path / "w")
    made = PDiscoFormerSystem(**SMALL, image_size=35).fit({"images": folder, "weights": tmp_path / "w"})
    assert made.encoder_config.patch == 7 and made.answer(made.memory.pixels).part.shape[1:] == (5, 5)
    assert "pretrained weights" in __import__("ecotone.vision.card", fromlist=["write_card"]).write_card(made)
    with pytest.raises(UsageError) as caught:
        PDiscoFormerSystem(**SMALL, image_size=36).fit({"images": folder, "weights": tmp_path / "w"})
    assert caught.value.code == "US104"
