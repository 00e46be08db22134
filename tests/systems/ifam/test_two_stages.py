"""Two stages: the second's loss reaches the prototypes, and the second sees what the mask keeps and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ecotone.data.simulated.creature_files import write_creatures
from ecotone.data.simulated.creatures import CreatureWorld
from ecotone.errors import EcotoneWarning, InputError, UsageError
from ecotone.explain.background_swap import swap_background
from ecotone.nn.encoders import ENCODERS
from ecotone.systems.ifam.config import IfamConfig
from ecotone.systems.ifam.model import TwoStage
from ecotone.systems.ifam.system import IfamSystem
from image_models import SMALL

IMAGES = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def network(**options: Any) -> TwoStage:
    made = IfamSystem.new_network(IfamConfig(**{**SMALL, **options}), ENCODERS["vit_test"], 2)
    assert isinstance(made, TwoStage)
    with torch.no_grad():
        made.first.head.prototypes.mul_(3)
    return made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_creatures(CreatureWorld(seed=2, size=32, classes=2).draw(40), tmp_path_factory.mktemp("c"))


@pytest.fixture(scope="module")
def fitted(folder: Path) -> IfamSystem:
    return IfamSystem(**SMALL).fit({"images": folder})


@pytest.mark.parametrize("gradient", [True, False])
@pytest.mark.parametrize("stages", ["separate", "shared"])
def test_the_second_stages_loss_reaches_the_prototypes_when_it_should(gradient: bool, stages: str) -> None:
    made = network(stages=stages)
    scores = made.first.head.scores(made.first.features(IMAGES).detach())
    torch.manual_seed(0)
    logits, mask = made.train_step(IMAGES, scores, None, dropout=0.0, gradient=gradient, quota=0.3)
    assert 0 < float(mask.keep.float().mean()) < 1
    torch.nn.functional.cross_entropy(logits, torch.tensor([0, 1, 0, 1])).backward()
    grad = made.first.head.prototypes.grad
    assert (grad is not None and float(grad.abs().max()) > 0) == gradient
    for name, parameter in made.named_parameters():
        if name.startswith(("second.blocks", "norm", "classifier")):
            assert parameter.grad is not None and float(parameter.grad.abs().max()) > 0, name


def test_training_and_inference_see_the_same_through_the_same_mask() -> None:
    made = network()
    scores = made.first.head.scores(made.first.features(IMAGES)).detach()
    logits, mask = made.train_step(IMAGES, scores, None, dropout=0.0, gradient=True, quota=0.3)
    torch.testing.assert_close(logits, made.predict(IMAGES, mask.keep), rtol=0, atol=1e-5)


@torch.no_grad()
def test_given_the_mask_nothing_outside_changes_a_bit_and_without_it_something_does() -> None:
    made = network().eval()
    _, _, mask = made(IMAGES)
    large = mask.keep.repeat_interleave(8, 1).repeat_interleave(8, 2)
    kept = swap_background(lambda x, m: made.predict(x, m[:, ::8, ::8]), IMAGES, large)
    assert kept.largest == 0 and 0 < kept.outside.mean() < 1
    assert swap_background(lambda x, m: made.first(x)[0].logits, IMAGES, large, fills=("noise",)).largest > 0


def test_every_explained_image_carries_its_certificate(fitted: IfamSystem) -> None:
    found = fitted.explain()
    checks = [e for e in found if e.title == "Nothing outside the mask was used"]
    targets = {e.target for e in found if e.target}
    assert {c.target for c in checks} == targets and all(c.verdict == "pass" and c.exact for c in checks)  # type: ignore[attr-defined]
    whole = {e.title for e in found if not e.target}
    assert {"First and second stage", "Accuracy lost without a part", "Parts that are used"} <= whole


def test_regions_that_are_given_replace_the_learned_ones(fitted: IfamSystem, folder: Path, tmp_path: Path) -> None:
    masks = fitted.predict({"images": folder, "masks": folder.parent / "masks"})
    learned = fitted.predict({"images": folder})
    assert not np.array_equal(masks.arrays["selected"], learned.arrays["selected"])
    names = [str(n) for n in masks.arrays["image"]]
    rows = [f"{folder / n},8,8,24,16" for n in names]
    (tmp_path / "t.csv").write_text("image,left,top,right,bottom\n" + "\n".join(rows) + "\n")
    boxes = fitted.predict({"images": tmp_path / "t.csv", "folder": "/"}, region="boxes")
    np.testing.assert_allclose(boxes.arrays["selected"], 2 / 16)
    with pytest.raises(InputError) as caught:
        fitted.predict({"images": folder}, region="boxes")
    assert caught.value.code == "IM707"
    with pytest.raises(InputError) as missing:
        fitted.predict({"images": folder, "masks": tmp_path})
    assert missing.value.code == "IM707"
    with pytest.raises(UsageError) as without:
        fitted.predict(region="boxes")
    assert without.value.code == "US105"


def test_without_any_part_it_abstains_and_says_so(fitted: IfamSystem, folder: Path) -> None:
    with pytest.warns(EcotoneWarning) as caught:
        found = fitted.predict({"images": folder}, remove=(1, 2, 3))
    assert caught[0].message.code == "IM710"  # type: ignore[union-attr]
    assert found.arrays["abstains"].all() and not found.arrays["selected"].any() and set(found.arrays["label"]) == {""}
    name = str(found.arrays["image"][0])
    shown = fitted.explain({"images": folder}, target=name, remove=(1, 2, 3))
    assert shown[0].title == "Nothing was selected"
    with pytest.raises(UsageError) as wrong:
        fitted.predict({"images": folder}, remove=(4,))
    assert wrong.value.code == "US104"


def test_uncertain_patches_can_be_left_out(fitted: IfamSystem, folder: Path) -> None:
    areas = [fitted.predict({"images": folder}, min_confidence=q).arrays["selected"].mean() for q in (0.0, 0.05, 0.1)]
    assert areas[0] > areas[1] > areas[2] > 0
    with pytest.raises(UsageError):
        fitted.predict({"images": folder}, min_confidence=0.2)


@pytest.mark.parametrize("options", [{"encoder": "vit_mini_conv"}, {"trainable": "all"}])
def test_options_that_would_break_the_certificate_are_refused(folder: Path, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as caught:
        IfamSystem(**{**SMALL, **options}).fit({"images": folder})
    assert caught.value.code == "US105"


@pytest.mark.parametrize("options", [{"parts": 1}, {"stages": "shared"}, {"area": 0.2}, {"mask_gradient": False}])
def test_variants_learn(folder: Path, options: dict[str, Any]) -> None:
    made = IfamSystem(**{**SMALL, **options, "epochs": 1}).fit({"images": folder})
    assert 0 <= made.evaluate().metrics["accuracy"].value <= 1
