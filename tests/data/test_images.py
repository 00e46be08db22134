"""Images in: what files hold, what is refused, folders, tables, and points that move with the picture."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ecotone.data import image_files
from ecotone.data.image_files import as_channels, read_image
from ecotone.data.image_prep import Preprocessing, load_images, usual_preprocessing
from ecotone.data.images import read_folder, read_image_table, read_images
from ecotone.errors import EcotoneError, EcotoneWarning, InputError

RNG = np.random.default_rng(0)


def picture(path: Path, size: tuple[int, int] = (12, 10), mode: str = "RGB", **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    bands = {"RGB": 3, "RGBA": 4, "L": 1, "LA": 2}[mode]
    values = np.random.default_rng(abs(hash(path.name)) % 2**32).integers(0, 256, (size[1], size[0], bands), np.uint8)
    if mode in ("RGBA", "LA"):
        values[..., -1] = 255
    Image.fromarray(values.squeeze(), mode if mode != "L" else None).save(path, **options)
    return path


def tiff(path: Path, array: np.ndarray) -> Path:
    import rasterio

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.open(
            path,
            "w",
            driver="GTiff",
            width=array.shape[2],
            height=array.shape[1],
            count=array.shape[0],
            dtype=array.dtype,
        ) as out:
            out.write(array)
    return path


# ------------------------------------------------------------------------------------------------ files
@pytest.mark.parametrize(("mode", "channels"), [("RGB", 3), ("L", 1), ("RGBA", 3), ("LA", 1)])
def test_pictures_keep_their_channels_and_opaque_alpha_goes(tmp_path: Path, mode: str, channels: int) -> None:
    found = read_image(picture(tmp_path / "a.png", mode=mode))
    assert found.shape == (channels, 10, 12) and found.dtype == np.uint8


def test_png_and_webp_are_exact_and_palettes_resolve(tmp_path: Path) -> None:
    values = RNG.integers(0, 256, (9, 7, 3), np.uint8)
    for name, options in (("a.png", {}), ("a.webp", {"lossless": True}), ("a.bmp", {})):
        Image.fromarray(values).save(tmp_path / name, **options)
        np.testing.assert_array_equal(read_image(tmp_path / name), values.transpose(2, 0, 1))
    few = Image.fromarray(values // 128 * 255).convert("P")
    few.save(tmp_path / "p.png")
    np.testing.assert_array_equal(read_image(tmp_path / "p.png"), np.asarray(few.convert("RGB")).transpose(2, 0, 1))
    Image.fromarray(values[..., 0] > 99).save(tmp_path / "b.png")
    assert set(np.unique(read_image(tmp_path / "b.png"))) == {0, 255}


def test_sixteen_bits_and_many_bands_keep_their_values(tmp_path: Path) -> None:
    deep = RNG.integers(0, 65536, (8, 6), np.uint16)
    Image.fromarray(deep).save(tmp_path / "d.png")
    np.testing.assert_array_equal(read_image(tmp_path / "d.png")[0], deep)
    for array in (RNG.integers(0, 9999, (13, 8, 6)).astype(np.uint16), RNG.random((4, 8, 6), np.float32)):
        np.testing.assert_array_equal(read_image(tiff(tmp_path / "m.tif", array)), array)


def test_a_camera_turned_is_turned_back(tmp_path: Path) -> None:
    values = RNG.integers(0, 256, (8, 16, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter, clockwise
    Image.fromarray(values).save(tmp_path / "t.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "t.png"), np.rot90(values, -1).transpose(2, 0, 1))


@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "tif"])
def test_cut_and_broken_files_are_one_clear_error(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    if ending == "tif":
        tiff(path, RNG.integers(0, 256, (3, 40, 50), np.uint8))
    else:
        picture(path, (50, 40))
    whole = path.read_bytes()
    for content in (
        b"",
        whole[:3],
        whole[:30],
        whole[: len(whole) // 2],
        whole[: -len(whole) // 4],
        b"not an image " * 9,
    ):
        path.write_bytes(content)
        with pytest.raises(InputError) as caught:
            read_image(path)
        assert caught.value.code in ("IM701", "IM702") and str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_flipped_bytes_never_escape_as_other_errors(tmp_path: Path) -> None:
    path = picture(tmp_path / "a.png", (20, 20))
    whole = bytearray(path.read_bytes())
    for at in RNG.integers(0, len(whole), 60):
        changed = whole.copy()
        changed[at] ^= int(RNG.integers(1, 256))
        path.write_bytes(changed)
        try:
            read_image(path)
        except EcotoneError as error:
            assert error.code.startswith("IM70")


def test_too_large_transparent_and_not_finite_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = RNG.integers(0, 255, (6, 6, 4), np.uint8)
    Image.fromarray(values).save(tmp_path / "a.png")
    holes = np.full((2, 5, 5), np.nan, np.float32)
    tiff(tmp_path / "n.tif", holes)
    for name in ("a.png", "n.tif"):
        with pytest.raises(InputError) as caught:
            read_image(tmp_path / name)
        assert caught.value.code == "IM704"
    with pytest.raises(InputError) as missing:
        read_image(tmp_path / "none.png")
    assert missing.value.code == "IO101"
    monkeypatch.setattr(image_files, "MAX_PIXELS", 20)
    for path in (picture(tmp_path / "big.jpg"), tiff(tmp_path / "big.tif", np.zeros((1, 9, 9), np.uint8))):
        with pytest.raises(InputError) as caught:
            read_image(path)
        assert caught.value.code == "IM703"


def test_a_header_that_claims_too_much_is_refused_before_decoding(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.new("L", (4, 4)).save(buffer, "PNG")
    content = bytearray(buffer.getvalue())
    content[16:24] = (60000).to_bytes(4, "big") * 2
    import zlib

    content[29:33] = zlib.crc32(bytes(content[12:29])).to_bytes(4, "big")
    (tmp_path / "bomb.png").write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_image(tmp_path / "bomb.png")
    assert caught.value.code == "IM703"


def test_grey_becomes_colour_and_nothing_else_is_guessed() -> None:
    grey = np.ones((1, 4, 4), np.uint8)
    assert as_channels(grey, 3, "x").shape == (3, 4, 4)
    for found, wanted in ((4, 3), (3, 1), (13, 12)):
        with pytest.raises(InputError) as caught:
            as_channels(np.ones((found, 2, 2)), wanted, "some.tif")
        assert caught.value.code == "IM704" and "some.tif" in str(caught.value)


# ------------------------------------------------------------------------------------------------ preprocessing
@pytest.mark.parametrize("fit", ["crop", "squash", "pad"])
@pytest.mark.parametrize(("width", "height"), [(40, 20), (17, 33), (16, 16)])
def test_points_move_with_the_picture_and_back(fit: Any, width: int, height: int) -> None:
    prep = Preprocessing(16, 1, fit, 255.0, (0.0,), (1.0,))
    image = np.zeros((1, height, width), np.uint8)
    row, col = height // 2, width // 2
    image[0, row - 2 : row + 2, col - 2 : col + 2] = 255
    made = prep.resize(image).astype(float)
    assert made.shape == (1, 16, 16)
    y, x = np.mgrid[:16, :16] + 0.5
    centre = np.array([(made[0] * x).sum(), (made[0] * y).sum()]) / made.sum()
    np.testing.assert_allclose(prep.to_input(np.array([col, row]), width, height), centre, atol=0.6)
    points = RNG.random((5, 3, 2)) * [width, height]
    kept = points.copy()
    np.testing.assert_allclose(prep.to_image(prep.to_input(points, width, height), width, height), points)
    np.testing.assert_array_equal(points, kept)


def test_shrinking_takes_means_for_every_type() -> None:
    for dtype in (np.uint8, np.uint16, np.float32):
        image = (RNG.random((4, 32, 32)) * 200).astype(dtype)
        prep = usual_preprocessing(image, 8)
        means = image.reshape(4, 8, 4, 8, 4).astype(float).mean((2, 4))
        np.testing.assert_allclose(prep.resize(image), means, atol=1.01 if dtype != np.float32 else 1e-3)
    same = (RNG.random((3, 8, 8)) * 255).astype(np.uint8)
    np.testing.assert_array_equal(usual_preprocessing(same, 8).resize(same), same)


def test_preprocessing_is_stored_whole() -> None:
    prep = Preprocessing(32, 2, "pad", 10000.0, (0.1, 0.2), (0.3, 0.4))
    assert Preprocessing.from_json(prep.to_json()) == prep
    with pytest.raises((ValueError, KeyError, InputError)):
        Preprocessing.from_json({**prep.to_json(), "fit": "stretch"})
    values = np.full((1, 2, 4, 4), 3000, np.uint16)
    np.testing.assert_allclose(prep.normalise(values)[0, :, 0, 0], [(0.3 - 0.1) / 0.3, (0.3 - 0.2) / 0.4], rtol=1e-5)
    with pytest.raises(InputError):
        Preprocessing(32, 4)


def test_loading_in_threads_leaves_warnings_as_they_were(tmp_path: Path) -> None:
    paths = [picture(tmp_path / f"{i}.png", (20, 14)) for i in range(40)]
    before = list(warnings.filters)
    for _ in range(5):
        load_images(paths, Preprocessing(8), workers=8)
        assert warnings.filters == before


def test_images_are_loaded_once_and_again_when_the_cache_is_damaged(tmp_path: Path) -> None:
    paths = [picture(tmp_path / "in" / f"{i}.png", (20, 14)) for i in range(5)]
    prep, done = Preprocessing(8), []
    plain = load_images(paths, prep, advance=done.append)
    assert plain.shape == (5, 3, 8, 8) and sum(done) == 5
    cache = tmp_path / "cache"
    for _ in range(2):
        np.testing.assert_array_equal(load_images(paths, prep, key="k", cache=cache), plain)
    (stored,) = cache.glob("*.npy")
    stored.write_bytes(stored.read_bytes()[:200])
    np.testing.assert_array_equal(load_images(paths, prep, key="k", cache=cache), plain)
    tiff(tmp_path / "in" / "odd.tif", np.zeros((3, 9, 9), np.uint16))
    with pytest.raises(InputError) as caught:
        load_images([*paths, tmp_path / "in" / "odd.tif"], prep)
    assert caught.value.code == "IM704"


# ------------------------------------------------------------------------------------------------ folders and tables
def classes(folder: Path, counts: dict[str, int]) -> Path:
    for name, count in counts.items():
        for i in range(count):
            picture(folder / name / f"{name.split('/')[-1]}{i + 1}.png")
    return folder


def test_class_folders_are_read_in_natural_order(tmp_path: Path) -> None:
    found = read_folder(classes(tmp_path / "d", {"b2": 2, "b10": 11, "a": 3}))
    assert found.classes == ("a", "b2", "b10") and np.bincount(found.labels).tolist() == [3, 2, 11]
    assert found.names[-2:] == ("b10/b1010.png", "b10/b1011.png") and found.labelled
    part = found.take(found.labels == 1)
    assert len(part) == 2 and part.label_text(0) == "b2" and len(part.to_frame()) == 2
    assert part.content_key() != found.take(found.labels == 0).content_key()


def test_splits_are_read_from_folders(tmp_path: Path) -> None:
    found = read_images(classes(tmp_path, {"train/x": 2, "train/y": 2, "test/x": 1, "test/y": 1, "valid/x": 1}))
    assert found.classes == ("x", "y") and sorted(set(found.split)) == ["test", "train", "val"]
    assert (found.split == "train").sum() == 4


def test_other_files_are_passed_over_with_a_word(tmp_path: Path) -> None:
    folder = classes(tmp_path / "d", {"a": 2, "b": 2})
    (folder / "a" / "notes.txt").write_text("x")
    (folder / "a" / ".hidden.png").write_text("x")
    with pytest.warns(EcotoneWarning) as caught:
        assert len(read_folder(folder)) == 4
    assert caught[0].message.code == "IM711"  # type: ignore[union-attr]


def test_folders_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    cases = {
        "one": ({"a": 1, "b": 3}, "one image"),
        "beside": ({"a": 2, "../beside": 1}, "beside"),
        "none": ({}, "no images"),
    }
    for name, (counts, words) in cases.items():
        folder = tmp_path / name
        folder.mkdir()
        classes(folder, counts)
        with pytest.raises(InputError) as caught:
            read_folder(folder)
        assert caught.value.code == "IM705" and words in str(caught.value)
    with pytest.raises(InputError) as missing:
        read_folder(tmp_path / "nowhere")
    assert missing.value.code == "IO101"


def test_a_folder_of_images_and_a_single_image_have_no_labels(tmp_path: Path) -> None:
    paths = [picture(tmp_path / f"{n}.png") for n in ("b", "a")]
    found = read_images(tmp_path)
    assert found.names == ("a.png", "b.png") and not found.labelled and found.label_text(0) == ""
    assert read_images(paths[0]).paths == (paths[0],)


def test_tables_name_images_classes_splits_groups_and_boxes(tmp_path: Path) -> None:
    classes(tmp_path, {"p": 4})
    table = tmp_path / "t.csv"
    rows = ["image;label;split;place;left;top;right;bottom"]
    rows += [
        f"p/p{i}.png;{'owl' if i < 3 else 'hen'};{'train' if i % 2 else 'test'};{'wood' if i > 2 else 'lake'};1;2;5;{6 + i}"
        for i in range(1, 5)
    ]
    table.write_text("\n".join(rows) + "\n")
    found = read_images(table)
    assert found.classes == ("hen", "owl") and found.labels.tolist() == [1, 1, 0, 0]
    assert found.group_names == ("lake", "wood") and found.group is not None and found.group.tolist() == [0, 0, 1, 1]
    assert found.boxes is not None and found.boxes[2].tolist() == [1, 2, 5, 9]
    assert found.split.tolist() == ["train", "test", "train", "test"]


def test_several_classes_in_one_cell_make_a_multilabel_set(tmp_path: Path) -> None:
    classes(tmp_path, {"p": 3})
    (tmp_path / "t.csv").write_text('filename,classes\np/p1.png,"a;b"\np/p2.png,b\np/p3.png,\n')
    found = read_image_table(tmp_path / "t.csv")
    assert found.multilabel and found.labels.tolist() == [[1, 1], [0, 1], [0, 0]] and found.label_text(0) == "a;b"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("pic,label\na.png,x\n", "IM707"),
        ("image,label\np/none.png,x\n", "IM707"),
        ("image,label\n../secret.png,x\n", "IM707"),
        ("image,label\np/p1.png,x\np/p1.png,y\n", "IM707"),
        ("image,label\np/p1.png,x\np/p2.png,y\n", "IM705"),
        ("image,label,split\np/p1.png,x,traim\np/p2.png,x,test\n", "IM707"),
    ],
)
def test_tables_that_cannot_be_used_are_refused(tmp_path: Path, text: str, code: str) -> None:
    classes(tmp_path / "d", {"p": 2})
    picture(tmp_path / "secret.png")
    (tmp_path / "d" / "t.csv").write_text(text)
    with pytest.raises(InputError) as caught:
        read_image_table(tmp_path / "d" / "t.csv")
    assert caught.value.code == code and "\n" not in str(caught.value)


def test_a_label_column_can_be_named(tmp_path: Path) -> None:
    classes(tmp_path, {"p": 2})
    (tmp_path / "t.csv").write_text("image,habitat\np/p1.png,x\np/p2.png,x\n")
    assert read_image_table(tmp_path / "t.csv", labels="habitat").classes == ("x",)
    with pytest.raises(InputError) as caught:
        read_image_table(tmp_path / "t.csv", labels="habitats")
    assert caught.value.code == "IM707" and "habitat" in caught.value.fix


@pytest.mark.realdata
def test_real_folders_are_read(data_folder: Path) -> None:
    aerial, flowers = read_folder(data_folder / "rsscn7"), read_folder(data_folder / "flowers_small")
    assert len(aerial.classes) == 7 and np.bincount(aerial.labels).min() >= 200
    assert flowers.classes == ("daisy", "dandelion", "rose", "sunflower", "tulip")
    some = load_images(aerial.paths[:3], Preprocessing(64))
    assert some.shape == (3, 3, 64, 64) and some.dtype == np.uint8
