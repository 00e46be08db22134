"""PDiscoFormer: presets, what learns, multilabel, multispectral, and images it cannot use."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ecotone.bench.part_plain import plain_maps, plain_pool
from ecotone.contract import Contributions, Overlay
from ecotone.data.simulated.creature_files import write_creatures
from ecotone.data.simulated.creatures import CreatureWorld
from ecotone.errors import InputError, IntegrityError, UsageError
from ecotone.files.run import RunFolder
from ecotone.registry import load
from ecotone.systems.pdiscoformer.config import PDiscoFormerConfig
from ecotone.systems.pdiscoformer.system import PDiscoFormerSystem
from ecotone.vision.card import write_card
from ecotone.vision.options import Query
from ecotone.vision.part_model import new_part_model, part_terms
from ecotone.vision.reading import read_for_question
from image_models import SMALL, plain_layer_norm, plain_logits, plain_transformer


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
    asked = read_for_question(Query(images=folder), made.prep, made.classes)
    answer, row = made.answer(asked.pixels), asked.names.index("creature-01/00002.png")
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
    assert "pretrained weights" in write_card(made)
    np.testing.assert_allclose(made.prep.mean, (0.485, 0.456, 0.406))
    (tmp_path / "w" / "preprocessor_config.json").write_text(
        '{"image_mean": [0.1, 0.2, 0.3], "image_std": [0.5, 0.5, 0.5]}'
    )
    again = PDiscoFormerSystem(**SMALL, image_size=28).fit(
        {"images": folder, "weights": tmp_path / "w" / "model.safetensors"}
    )
    assert (again.prep.mean, again.prep.std) == ((0.1, 0.2, 0.3), (0.5, 0.5, 0.5))
    with pytest.raises(UsageError) as caught:
        PDiscoFormerSystem(**SMALL, image_size=36).fit({"images": folder, "weights": tmp_path / "w"})
    assert caught.value.code == "US104"


def test_the_whole_forward_equals_a_plain_rewrite() -> None:
    from ecotone.nn.encoders import ENCODERS

    model = new_part_model(PDiscoFormerConfig(**SMALL), ENCODERS["vit_test"], 2).double().eval()
    with torch.no_grad():
        model.mean += 0.3
        model.std *= 1.7
        images = torch.randn(2, 3, 32, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        keep, prefix = torch.ones(2, 4, 4, dtype=torch.bool), model.encoder.config.prefix
        rows = plain_transformer(model.encoder, images, keep)
        maps = torch.stack([row[prefix:].T.reshape(-1, 4, 4) for row in rows])
        z = (maps - 0.3) / 1.7
        norm = model.head.modulation.norm
        pooled = plain_pool(plain_maps(z, model.head.prototypes), z)
        wanted = plain_logits(plain_layer_norm(pooled, norm.weight, norm.bias), model.head.classifier)
        torch.testing.assert_close(model(images)[0].logits, wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize("stop_at", ["encoder", "parts"])
def test_an_interrupted_fit_goes_on_to_the_same_model(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_at: str
) -> None:
    from ecotone.vision import part_training, pretrain

    options = {**SMALL, "pretrain_epochs": 5, "epochs": 4, "presence_queue": 40, "presence_share": 0.5}
    straight = PDiscoFormerSystem(**options).fit({"images": folder}, run=RunFolder(tmp_path / "straight"))
    task = pretrain.PretrainTask if stop_at == "encoder" else part_training.FrozenPartTask
    batch, steps = task.batch, []

    def fails(self: Any, at: Any) -> Any:
        steps.append(at.step)
        if at.step == 2:
            raise KeyboardInterrupt
        return batch(self, at)

    with monkeypatch.context() as patch:
        patch.setattr(task, "batch", fails)
        for module in (pretrain, part_training):
            patch.setattr(module, "Plan", partial(module.Plan, checkpoint_every_steps=1))
        with pytest.raises(KeyboardInterrupt):
            PDiscoFormerSystem(**options).fit({"images": folder}, run=RunFolder(tmp_path / "cut"))
    done: list[int] = []
    with monkeypatch.context() as patch:
        patch.setattr(task, "batch", lambda self, at: (done.append(at.step), batch(self, at))[1])
        again = PDiscoFormerSystem(**options).fit({"images": folder}, run=RunFolder(tmp_path / "cut"))
    assert done[0] == 2  # went on where it stopped
    ours, theirs = again.network.state_dict(), straight.network.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_stored_model_that_lies_about_its_images_is_refused(folder: Path, tmp_path: Path) -> None:
    import json

    PDiscoFormerSystem(**SMALL).fit({"images": folder}).save(tmp_path / "m")
    path = tmp_path / "m" / "preprocessing.json"
    whole = path.read_text()
    for change in (
        lambda n: n["classes"].append("x"),
        lambda n: n["memory"]["names"].pop(),
        lambda n: n["images"].update(size=40),
        lambda n: n["images"].update(channels=1, mean=[0], std=[1]),
        lambda n: n.update(multilabel=True),
        lambda n: n["encoder"].update(width=2**20),
        lambda n: n["encoder"].update(stem="eval"),
    ):
        notes = json.loads(whole)
        change(notes)
        path.write_text(json.dumps(notes))
        with pytest.raises(IntegrityError):
            load(tmp_path / "m")


def test_without_any_loss_there_is_nothing_to_learn(folder: Path) -> None:
    none = dict.fromkeys(PDiscoFormerConfig().weights(), 0)
    with pytest.raises(UsageError) as caught:
        PDiscoFormerSystem(**SMALL, **none).fit({"images": folder})
    assert caught.value.code == "US105"


def test_learning_rates_fall_as_the_schedule_says() -> None:
    from ecotone.nn.encoders import ENCODERS
    from ecotone.vision.part_training import PartTask

    steps = {"steps": ((0, 7, 8, 16), (1, 1, 0.5, 0.25)), "cosine": ((0, 8, 16, 24), (1, 0.853553, 0.5, 0.146447))}
    for schedule, (at, rates) in steps.items():
        config = PDiscoFormerConfig(**{**SMALL, "epochs": 16, "batch_size": 10, "schedule": schedule})
        task = PartTask(new_part_model(config, ENCODERS["vit_test"], 2), np.zeros(20, int), np.zeros(0, int), config)
        np.testing.assert_allclose([task.learning_rate(step) for step in at], rates, atol=1e-6)
