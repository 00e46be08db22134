"""Image systems from the command line: every verb, and what cannot be used in one clear line."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from ecotone.data.simulated.creature_files import write_creatures
from ecotone.data.simulated.creatures import CreatureWorld

TINY = [
    "--encoder", "vit_test", "--pretrain-epochs", "1", "--epochs", "1", "--parts", "2", "--batch-size", "16", "--twins", "1",
]  # fmt: skip


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return write_creatures(CreatureWorld(seed=4, size=32, classes=2).draw(30), tmp_path_factory.mktemp("creatures"))


@pytest.fixture(scope="module", params=["pdiscoformer", "ifam"])
def run(request, images, ecotone, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / request.param
    ended = ecotone("fit", request.param, "--images", images, "--out", out, *TINY)
    assert ended.status == 0, ended.err
    return out


def test_a_run_holds_all_it_should(run):
    assert {"run.json", "model.safetensors", "config.json", "preprocessing.json", "card.md", "metrics.csv"} <= {
        p.name for p in run.iterdir()
    }
    assert not (run / "checkpoints").exists()
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "Parts that are used" in page and "accuracy" in page


def test_answers_scores_and_a_report_from_a_stored_run(run, images, ecotone, tmp_path):
    ended = ecotone("predict", run, "--images", images, "--remove", "1", "--out", tmp_path / "labels.csv")
    assert ended.status == 0, ended.err
    frame = pd.read_csv(tmp_path / "labels.csv")
    assert len(frame) == 30 and {"image", "label", "confidence", "selected", "abstains", "creature-01"} <= set(frame)
    assert ecotone("evaluate", run).status == 0
    told = ecotone("evaluate", run, "--images", images)
    assert told.status == 0 and "balanced accuracy" in told.out
    assert ecotone("report", run, "--out", tmp_path / "page.html").status == 0


def test_a_new_image_is_explained(run, images, ecotone, tmp_path):
    picture = images / "creature-01" / "00002.png"
    ended = ecotone("explain", run, picture, "--out", tmp_path / "evidence")
    assert ended.status == 0 and ("Parts" in ended.out or "Nothing was selected" in ended.out), ended.err
    assert ("Nothing outside the mask was used" in ended.out) == (run.name == "ifam")
    assert "what part vectors" not in ended.out.lower()  # of the image alone, not of the model
    folder = ecotone("explain", run, images, "--target", "creature-02/00001.png", "--out", tmp_path / "other")
    assert folder.status == 0, folder.err
    assert ecotone("explain", run, tmp_path / "none.jpg").error == "IO101"


def test_other_systems_do_not_explain_images(fitted, ecotone, images):
    assert ecotone("explain", fitted, images / "creature-01" / "00002.png").error == "US103"


def fit(ecotone, folder, out, *more):
    ended = ecotone("fit", "ifam", "--images", folder, "--out", out, *TINY, *more)
    assert not out.exists() or ended.status == 0, "a refused fit leaves nothing"
    return ended


@pytest.fixture
def copy(images, tmp_path):
    return shutil.copytree(images, tmp_path / "copy")


def test_images_that_cannot_be_read_name_their_file(copy, ecotone, tmp_path):
    victim = copy / "creature-02" / "00003.png"
    whole, out = victim.read_bytes(), tmp_path / "run"
    for content, code in ((whole[: len(whole) // 2], "IM701"), (b"", "IM701"), (b"not an image at all", "IM702")):
        victim.write_bytes(content)
        ended = fit(ecotone, copy, out)
        assert (ended.error, ended.status) == (code, 3) and victim.name in ended.err
    Image.fromarray(np.zeros((9, 9, 4), np.uint8), "RGBA").save(victim)
    assert fit(ecotone, copy, out).error == "IM704"  # transparent
    Image.fromarray(np.zeros((9, 9), np.uint16)).save(victim)
    assert fit(ecotone, copy, out).error == "IM704"  # 16 bit among 8 bit
    Image.fromarray(np.full((9, 9), 99, np.uint8)).save(victim)
    assert fit(ecotone, copy, out).status == 0  # grey among colour is colour


def test_class_folders_tables_and_options_that_cannot_be_used(copy, ecotone, tmp_path):
    out = tmp_path / "run"
    (copy / "lonely").mkdir()
    shutil.copy(copy / "creature-01" / "00000.png", copy / "lonely" / "a.png")
    assert fit(ecotone, copy, out).error == "IM705"
    shutil.rmtree(copy / "lonely")
    assert fit(ecotone, copy, out, "--image-size", "33").error == "US104"
    assert fit(ecotone, copy, out, "--encoder", "vit_mini_conv").error == "US105"
    assert fit(ecotone, copy, out, "--encoder", "vit_mnii").error == "US101"
    shutil.rmtree(copy / "creature-02")
    assert fit(ecotone, copy, out).error == "IM705"
    (copy / "t.csv").write_text("image,label\ngone.png,a\n")
    assert fit(ecotone, copy / "t.csv", out).error == "IM707"
    assert ecotone("fit", "ifam", "--out", out).error == "US105"
    assert fit(ecotone, copy / "none", out).error == "IO101"


def test_weights_of_others_are_refused_in_one_line(images, ecotone, tmp_path):
    folder, out = tmp_path / "weights", tmp_path / "run"
    folder.mkdir()
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04N.")
    (folder / "config.json").write_text('{"model_type": "dinov2"}')
    ended = fit(ecotone, images, out, "--weights", folder)
    assert (ended.error, ended.status) == ("IM709", 3) and "pickle" in ended.err
    single = fit(ecotone, images, out, "--weights", folder / "pytorch_model.bin")
    assert single.error == "IM709" and "pickle" in single.err
    (folder / "config.json").write_text('{"model_type": "resnet"}')
    other = fit(ecotone, images, out, "--weights", folder)
    assert other.error == "IM709" and "resnet" in other.err
    assert fit(ecotone, images, out, "--weights", "owner/model").error == "US105"
    assert fit(ecotone, images, out, "--weights", tmp_path / "none").error == "IO101"


def test_one_part_works(images, ecotone, tmp_path):
    assert fit(ecotone, images, tmp_path / "run", "--parts", "1").status == 0
    assert fit(ecotone, images, tmp_path / "none", "--parts", "0").error == "US104"


def test_an_image_smaller_than_a_patch_is_scaled_up_and_a_model_input_that_is_refused(run, ecotone, tmp_path):
    Image.fromarray(np.zeros((3, 5, 3), np.uint8)).save(tmp_path / "small.png")
    assert ecotone("predict", run, "--images", tmp_path / "small.png", "--out", tmp_path / "l.csv").status == 0


def test_nothing_selected_is_said(run, images, ecotone, tmp_path):
    ended = ecotone("predict", run, "--images", images, "--remove", "1,2", "--out", tmp_path / "labels.csv")
    assert ended.status == 0 and "IM710" in ended.warned
    frame = pd.read_csv(tmp_path / "labels.csv")
    assert frame["label"].isna().all() and frame["abstains"].all()
