"""Readers of public image sets, on small trees of their layouts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ecotone.data.benchmarks.cub import read_cub
from ecotone.data.benchmarks.flowers import flower_mask, read_flowers
from ecotone.data.benchmarks.nabirds import read_nabirds
from ecotone.data.benchmarks.openfield import read_openfield
from ecotone.data.benchmarks.part_imagenet import mask_of, read_part_imagenet
from ecotone.data.benchmarks.waterbirds import read_waterbirds
from ecotone.errors import InputError


def birds(root: Path, ids: list[str], classes: dict[str, str], labels: list[str]) -> Path:
    (root / "parts").mkdir(parents=True)
    write = {
        "images.txt": [f"{i} c/{i}.jpg" for i in ids],
        "classes.txt": [f"{k} {v}" for k, v in classes.items()],
        "image_class_labels.txt": [f"{i} {c}" for i, c in zip(ids, labels, strict=True)],
        "train_test_split.txt": [f"{i} {k % 2}" for k, i in enumerate(ids)],
        "bounding_boxes.txt": [f"{i} 10 20 30 {40 + k}" for k, i in enumerate(ids)],
        "parts/parts.txt": ["1 beak", "2 left wing"],
        "parts/part_locs.txt": [f"{i} {p} {5.5 * p} {k} {int(p == 1)}" for k, i in enumerate(ids) for p in (1, 2)],
    }
    for name, lines in write.items():
        (root / name).write_text("\n".join(lines) + "\n")
    return root


def test_cub(tmp_path: Path) -> None:
    root = birds(tmp_path / "cub", ["1", "2", "3"], {"1": "001.Black_Tern", "2": "002.Owl"}, ["2", "1", "2"])
    (root / "segmentations").mkdir()
    found = read_cub(root)
    assert found.classes == ("Black Tern", "Owl") and found.labels.tolist() == [1, 0, 1]
    assert found.split.tolist() == ["test", "train", "test"] and found.point_names == ("beak", "left wing")
    assert found.boxes is not None and found.boxes[1].tolist() == [10, 20, 40, 61]
    assert found.points is not None and found.points[2].tolist() == [[5.5, 2], [11, 2]]
    assert found.visible is not None and found.visible.tolist() == [[True, False]] * 3
    assert found.masks[0].name == "1.png" and found.paths[0] == root / "images" / "c" / "1.jpg"


def test_nabirds_uses_leaves_that_have_images(tmp_path: Path) -> None:
    ids = ["0a-1", "0b-2"]
    root = birds(tmp_path, ids, {"0": "Birds", "7": "Ducks", "9": "Mallard (Male)", "12": "Teal"}, ["12", "9"])
    found = read_nabirds(root)
    assert found.classes == ("Mallard (Male)", "Teal") and found.labels.tolist() == [1, 0]


def test_lists_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    root = birds(tmp_path, ["1", "2"], {"1": "a", "2": "b"}, ["1", "2"])
    for name, content, code in (
        ("image_class_labels.txt", "1 1\n", "IM707"),
        ("bounding_boxes.txt", "1 1 2 3\n2 1 2 3 4\n", "IM707"),
        ("parts/part_locs.txt", "1 9 1 1 1\n", "IM707"),
        ("images.txt", "1\n", "IM707"),
    ):
        kept = (root / name).read_text()
        (root / name).write_text(content)
        for read in (read_cub, read_nabirds):
            with pytest.raises(InputError) as caught:
                read(root)
            assert caught.value.code == code
        (root / name).write_text(kept)
    (root / "classes.txt").unlink()
    with pytest.raises(InputError) as missing:
        read_cub(root)
    assert missing.value.code == "IO101"


def test_flowers(tmp_path: Path) -> None:
    from scipy.io import savemat

    savemat(tmp_path / "imagelabels.mat", {"labels": np.array([[2, 1, 2, 1]])})
    savemat(tmp_path / "setid.mat", {"trnid": [[1]], "valid": [[2]], "tstid": [[3, 4]]})
    (tmp_path / "segmim").mkdir()
    found = read_flowers(tmp_path)
    assert found.labels.tolist() == [1, 0, 1, 0] and found.split.tolist() == ["train", "val", "test", "test"]
    assert found.paths[3].name == "image_00004.jpg" and found.masks[3].name == "segmim_00004.jpg"
    picture = np.zeros((30, 30, 3), np.uint8)
    picture[..., 2] = 254
    picture[10:20, 5:25] = (200, 80, 40)
    Image.fromarray(picture).save(tmp_path / "m.png")
    mask = flower_mask(tmp_path / "m.png")
    assert mask.sum() == pytest.approx(200, abs=14) and mask[15, 15] and not mask[2, 2]
    (tmp_path / "setid.mat").write_bytes(b"no")
    with pytest.raises(InputError) as caught:
        read_flowers(tmp_path)
    assert caught.value.code == "IM707"


def test_waterbirds(tmp_path: Path) -> None:
    (tmp_path / "metadata.csv").write_text(
        "img_id,img_filename,y,split,place,place_filename\n1,a/1.jpg,0,0,0,x\n2,a/2.jpg,1,1,0,x\n3,b/3.jpg,1,2,1,x\n"
    )
    found = read_waterbirds(tmp_path)
    assert found.group is not None and found.group.tolist() == [0, 2, 3] and found.group_names[2] == "waterbird on land"
    assert found.split.tolist() == ["train", "val", "test"] and found.classes == ("landbird", "waterbird")
    (tmp_path / "metadata.csv").write_text("img_filename,y\na,0\n")
    with pytest.raises(InputError) as caught:
        read_waterbirds(tmp_path)
    assert caught.value.code == "IM707"


def test_open_field_frames_and_clicks(tmp_path: Path) -> None:
    (tmp_path / "CollectedData_X.csv").write_text(
        "scorer,X,X,X,X\nbodyparts,snout,snout,tail,tail\ncoords,x,y,x,y\nl/img1.png,1,2,3,4\nl/img2.png,5,6,,\nl/img3.png,1,1,1,1\n"
    )
    for name in ("img1.jpg", "img2.jpg"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    found = read_openfield(tmp_path)
    assert found.names == ("img1.jpg", "img2.jpg") and found.point_names == ("snout", "tail")
    assert found.visible is not None and found.visible.tolist() == [[True, True], [True, False]]
    assert found.points is not None and found.points[0].tolist() == [[1, 2], [3, 4]]


def packed(runs: list[int]) -> str:
    """COCO's packing, written from its description."""
    text = ""
    for k, run in enumerate(runs):
        value = run - runs[k - 2] if k > 2 else run
        more = True
        while more:
            bits = value & 0x1F
            value >>= 5
            more = value != -1 if bits & 0x10 else value != 0
            text += chr((bits | 0x20 if more else bits) + 48)
    return text


def test_part_imagenet_masks_from_polygons_and_run_lengths(tmp_path: Path) -> None:
    wanted = np.zeros((6, 9), bool)
    wanted[1:4, 2:7] = True
    flat = wanted.T.ravel()
    edges = np.flatnonzero(np.diff(flat.astype(int))) + 1
    runs = np.diff([0, *edges, flat.size]).tolist()
    for counts in (runs, packed(runs)):
        np.testing.assert_array_equal(mask_of({"size": [6, 9], "counts": counts}, 6, 9), wanted)
    long = [100, 3, 40, 2000, 1, 7]
    assert mask_of({"counts": packed(long)}, 1, sum(long)).sum() == 3 + 2000 + 7
    polygon = [[2, 1, 6, 1, 6, 3, 2, 3]]
    np.testing.assert_array_equal(mask_of(polygon, 6, 9), wanted)
    content = {
        "images": [{"id": 4, "file_name": "n01/n01_3.JPEG", "height": 6, "width": 9}],
        "categories": [{"id": 7, "name": "head"}, {"id": 9, "name": "tail"}],
        "annotations": [{"image_id": 4, "category_id": 9, "segmentation": polygon}],
    }
    (tmp_path / "a.json").write_text(json.dumps(content))
    found, masks = read_part_imagenet(tmp_path / "a.json", tmp_path)
    assert found.classes == ("n01",) and masks.names == ("head", "tail")
    np.testing.assert_array_equal(masks.draw(0), wanted * 2)
    for broken in ({"counts": [3, 4]}, {"counts": "o"}, "text", [["x"] * 6]):
        with pytest.raises(InputError):
            mask_of(broken, 6, 9)
    content["images"][0]["file_name"] = "../x.jpg"
    (tmp_path / "a.json").write_text(json.dumps(content))
    with pytest.raises(InputError) as caught:
        read_part_imagenet(tmp_path / "a.json", tmp_path)
    assert caught.value.code == "IM707"


@pytest.mark.realdata
def test_real_open_field(data_folder: Path) -> None:
    found = read_openfield(data_folder / "openfield_keypoints")
    assert len(found) > 100 and found.point_names == ("snout", "leftear", "rightear", "tailbase")
