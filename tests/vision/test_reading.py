"""Splits, labels of questions, and scores of image systems."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ecotone.data.image_prep import Preprocessing
from ecotone.data.images import ImageSet
from ecotone.errors import EcotoneWarning, InputError, UsageError
from ecotone.vision.answers import Answers, table
from ecotone.vision.memory import even_rows
from ecotone.vision.options import Ask, Inputs, Query
from ecotone.vision.reading import input_files, read_for_question, row_of, split_of
from ecotone.vision.scores import score


def a_set(labels: list[int], split: list[str] | None = None) -> ImageSet:
    n = len(labels)
    names = tuple(f"{i}.png" for i in range(n))
    words = np.array(split or [""] * n, dtype=object)
    return ImageSet(tuple(map(Path, names)), names, np.array(labels), ("a", "b"), words)


def test_every_class_is_shared_out_alike_and_the_seed_decides() -> None:
    found = a_set([0] * 50 + [1] * 10)
    split = split_of(found, 3)
    for c, size in ((0, 50), (1, 10)):
        own = split[found.labels == c]
        assert ((own == "test").sum(), (own == "val").sum()) == (0.2 * size, 0.1 * size)
    np.testing.assert_array_equal(split, split_of(found, 3))
    assert not np.array_equal(split, split_of(found, 4))
    assert sorted(split_of(a_set([0, 0, 1, 1, 1]), 0)[:2]) == ["test", "train"]


def test_a_split_that_is_given_stands_and_lends_some_images_to_choose_the_epoch() -> None:
    found = a_set([0, 1] * 20, (["train"] * 30) + ["test"] * 10)
    split = split_of(found, 0)
    assert (split[30:] == "test").all() and 2 <= (split[:30] == "val").sum() <= 6
    for words in (["train"] * 4, ["train", "test", "train", "train"], ["test", "train", "test", "test"]):
        with pytest.raises(InputError) as caught:
            split_of(a_set([0, 1, 0, 1], words), 0)
        assert caught.value.code == "IM708"


def test_questions_know_the_models_classes_in_its_order(tmp_path: Path) -> None:
    for name in ("b", "a"):
        for i in range(2):
            (tmp_path / name).mkdir(exist_ok=True)
            Image.new("RGB", (9, 9), (i, 0, 0)).save(tmp_path / name / f"{i}.png")
    prep = Preprocessing(8)
    found = read_for_question(Query(images=tmp_path), prep, ("b", "x", "a"))
    assert found.labels.tolist() == [2, 2, 0, 0] and found.pixels.shape == (4, 3, 8, 8)
    with pytest.raises(InputError) as caught:
        read_for_question(Query(images=tmp_path), prep, ("b", "x"))
    assert caught.value.code == "IM705" and "'a'" in str(caught.value)
    single = read_for_question(Query(images=tmp_path / "a" / "0.png"), prep, ("b",))
    assert single.labels.tolist() == [-1]
    assert len(input_files(Inputs(images=tmp_path))) == 4
    with pytest.raises(UsageError) as missing:
        input_files(Inputs())
    assert missing.value.code == "US105"


def test_targets_are_named_with_a_suggestion() -> None:
    assert row_of(("a.png", "b.png"), "b.png") == 1
    with pytest.raises(UsageError) as caught:
        row_of(("owl.png",), "owls.png")
    assert caught.value.code == "US101" and "owl.png" in caught.value.fix
    assert Ask.parse(remove="2, 3").remove == (2, 3)


def some_answers(part: np.ndarray) -> Answers:
    n = len(part)
    rng = np.random.default_rng(0)
    maps = np.full((n, 3, 2, 2), 1 / 3)
    return Answers(rng.normal(size=(n, 2)), rng.normal(size=(n, 2, 2)), part, maps, rng.normal(size=(n, 2, 4)))


def test_nothing_but_background_gets_no_label_and_a_word() -> None:
    part = np.array([[[0, 2], [2, 2]], [[2, 2], [2, 2]]])
    with pytest.warns(EcotoneWarning) as caught:
        found = table(("one", "two"), some_answers(part), ("a", "b"))
    assert caught[0].message.code == "IM710" and "two" in str(caught[0].message)  # type: ignore[union-attr]
    assert found.arrays["label"][1] == "" and np.isnan(found.arrays["probability"][1]).all()
    assert found.arrays["abstains"].tolist() == [False, True] and found.arrays["selected"].tolist() == [0.25, 0]
    np.testing.assert_allclose(found.arrays["probability"][0].sum(), 1)


def test_scores_count_silence_as_wrong_and_know_the_worst_group() -> None:
    logits = np.array([[2.0, 0], [2, 0], [0, 2], [0, 2]])
    labels, silent = np.array([0, 0, 1, 0]), np.array([False, True, False, False])
    found = score(
        labels,
        logits,
        ("a", "b"),
        split="s",
        commonest=0,
        group=np.array([0, 0, 1, 1]),
        group_names=("g", "h"),
        silent=silent,
    )
    assert found.metrics["accuracy"].value == 0.5 and found.metrics["worst group"].value == 0.5
    assert found.metrics["balanced accuracy"].value == pytest.approx((1 / 3 + 1) / 2)
    assert found.metrics["commonest class"].value == 0.75 and found.metrics["abstains"].value == 0.25
    several = score(np.array([[1, 0], [1, 1], [0, 1]]), np.array([[1, -1], [1, 1], [-1, 1.0]]), ("a", "b"), split="s")
    assert several.metrics["all labels right"].value == 1 and several.metrics["mean average precision"].value == 1
    with pytest.raises(InputError) as caught:
        score(np.array([-1, -1]), logits[:2], ("a", "b"), split="s")
    assert caught.value.code == "OC205"


def test_kept_images_are_even_over_classes() -> None:
    labels = np.array([0] * 90 + [1] * 6 + [2] * 4)
    rows = even_rows(labels, 12, 0)
    assert np.bincount(labels[rows]).tolist() == [4, 4, 4] and len(set(rows)) == 12
    assert len(even_rows(labels, 500, 0)) == 100
