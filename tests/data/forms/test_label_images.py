"""Label images to COCO: pixels, splits and bit depths; what is wrong is said by name."""

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

from dml_instance.data.forms.label_images import (
    convert_label_images,
    matched_files,
    read_pair,
    tiles,
)


@pytest.fixture
def folders(tmp_path):
    images, labels = tmp_path / "images", tmp_path / "labels"
    images.mkdir()
    labels.mkdir()
    rng = np.random.default_rng(0)
    for name in ("a", "b", "c", "d"):
        label = np.zeros((40, 60), np.uint16)
        label[5:15, 10:30] = 7
        label[20:35, 40:55] = 300  # does not fit into 8 bits
        cv2.imwrite(
            str(images / f"{name}.tif"), rng.integers(100, 4000, (40, 60)).astype(np.uint16)
        )
        cv2.imwrite(str(labels / f"{name}.png"), label)
    return images, labels


def convert(folders, root, **changes):
    options = {"class_name": "cell", "val_fraction": 0.25, "tile": 0, "seed": 0, **changes}
    return convert_label_images(matched_files(*map(str, folders)), str(root), **options)


def test_masks_and_splits(folders, tmp_path):
    assert convert(folders, tmp_path / "out") == {"train": 3, "val": 1}
    for split, count in (("train", 3), ("val", 1)):
        coco = COCO(str(tmp_path / "out" / "annotations" / f"instances_{split}.json"))
        assert len(coco.imgs) == count
        assert coco.cats[1]["name"] == "cell"
        for image_id, image in coco.imgs.items():
            picture = cv2.imread(str(tmp_path / "out" / "images" / image["file_name"]))
            assert picture.shape == (40, 60, 3)
            first, second = (coco.annToMask(annotation) for annotation in coco.imgToAnns[image_id])
            assert first.sum() == first[5:15, 10:30].sum() == 200
            assert second.sum() == second[20:35, 40:55].sum() == 225


def test_one_image_cut_into_tiles_gives_both_splits(folders, tmp_path):
    images, labels = folders
    counts = convert((images / "a.tif", labels / "a.png"), tmp_path / "out", tile=20)
    assert counts == {"train": 4, "val": 2}
    area = 0
    for split in counts:
        coco = COCO(str(tmp_path / "out" / "annotations" / f"instances_{split}.json"))
        area += sum(annotation["area"] for annotation in coco.anns.values())
        assert all((image["height"], image["width"]) == (20, 20) for image in coco.imgs.values())
    assert area == 200 + 225


def test_tiles_of_one_image_all_go_to_one_split(folders, tmp_path):
    assert convert(folders, tmp_path / "out", tile=20) == {"train": 18, "val": 6}
    stems = []
    for split in ("train", "val"):
        coco = COCO(str(tmp_path / "out" / "annotations" / f"instances_{split}.json"))
        stems.append({image["file_name"][0] for image in coco.imgs.values()})
    assert stems[0] | stems[1] == set("abcd") and not stems[0] & stems[1]


def test_tiles_cover_every_pixel_once():
    covered = np.zeros((103, 250), int)
    for window in tiles(covered.shape, 64):
        covered[window] += 1
        assert max(covered[window].shape) <= 70
    assert (covered == 1).all()
    assert len(tiles((10, 10), 0)) == len(tiles((10, 10), 64)) == 1


def test_what_is_wrong_is_said_by_name(folders, tmp_path):
    images, labels = folders
    with pytest.raises(FileNotFoundError, match="nowhere"):
        matched_files(str(images), str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match=r"\[0, 1\)"):
        convert(folders, tmp_path / "out", val_fraction=1)
    with pytest.raises(ValueError, match="none to train on"):
        convert((images / "a.tif", labels / "a.png"), tmp_path / "out")
    cv2.imwrite(str(labels / "d.png"), np.zeros((40, 60, 3), np.uint8))
    with pytest.raises(ValueError, match=r"d\.png has 3 channels"):
        convert(folders, tmp_path / "out")
    cv2.imwrite(str(labels / "d.png"), np.zeros((40, 50), np.uint8))
    with pytest.raises(ValueError, match=r"d\.tif.*40, 60.*d\.png.*40, 50"):
        read_pair(str(images / "d.tif"), str(labels / "d.png"))
    assert not (tmp_path / "out").exists()
    (labels / "c.png").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"cannot read .*c\.png: it is no image"):
        convert(folders, tmp_path / "out")
    (labels / "d.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"d stands alone"):
        matched_files(str(images), str(labels))
    (labels / "a.tif").write_bytes(b"another of that name")
    with pytest.raises(ValueError, match=r"a\.png and .*a\.tif have one name"):
        matched_files(str(images), str(labels))
    (images / "x").mkdir()
    with pytest.raises(FileNotFoundError, match=r"no image was found in .*images/x"):
        matched_files(str(images / "x"), str(labels))
