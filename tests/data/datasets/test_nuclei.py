"""DSB2018 from its archive: the fixed split, masks without overlap, and bad archives by name."""

import json
import zipfile

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask

from dml_instance.data.datasets.nuclei import convert_nuclei, read_split
from tool_runner import run_tool


def stage1_zip(path, names, mask_size=(20, 30)):
    """A zip like stage1_train.zip, with two nuclei an image, which overlap in one column."""
    image = np.full((20, 30, 4), 40, np.uint8)
    masks = np.zeros((2, *mask_size), np.uint8)
    masks[0, 2:8, 2:9], masks[1, 2:8, 8:14] = 255, 255
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(f"{name}/images/{name}.png", cv2.imencode(".png", image)[1].tobytes())
            for index, mask in enumerate(masks):
                archive.writestr(
                    f"{name}/masks/{index}.png", cv2.imencode(".png", mask)[1].tobytes()
                )


def test_nuclei_are_converted_by_the_fixed_split(tmp_path):
    split = read_split()
    assert sum(value == "train" for value in split.values()) == 464
    assert sum(value == "val" for value in split.values()) == 100
    train_name = next(name for name, value in split.items() if value == "train")
    val_name = next(name for name, value in split.items() if value == "val")
    stage1_zip(tmp_path / "a.zip", [train_name + "0" * 48, val_name + "0" * 48, "f" * 64])
    printed = run_tool("prepare_nuclei", tmp_path / "a.zip", "--output", tmp_path / "dsb2018")
    assert "1 train, 1 val images" in printed
    coco = json.loads((tmp_path / "dsb2018/annotations/instances_val.json").read_text())
    assert [image["file_name"] for image in coco["images"]] == [f"{val_name}.png"]
    masks = [coco_mask.decode(annotation["segmentation"]) for annotation in coco["annotations"]]
    assert [mask.sum() for mask in masks] == [42, 30]
    assert (sum(masks) <= 1).all()
    assert cv2.imread(str(tmp_path / f"dsb2018/images/{val_name}.png")).shape == (20, 30, 3)
    with pytest.raises(FileExistsError, match="dsb2018"):
        convert_nuclei(str(tmp_path / "a.zip"), str(tmp_path / "dsb2018"), split)


def test_bad_nuclei_archives_are_named(tmp_path):
    name = next(iter(read_split())) + "0" * 48
    stage1_zip(tmp_path / "a.zip", [name], mask_size=(9, 9))
    with pytest.raises(ValueError, match=name[:16]):
        convert_nuclei(str(tmp_path / "a.zip"), str(tmp_path / "out"), read_split())
    assert not (tmp_path / "out").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]
    (tmp_path / "b.zip").write_text("no zip")
    with pytest.raises(ValueError, match=r"b\.zip"):
        convert_nuclei(str(tmp_path / "b.zip"), str(tmp_path / "out"), read_split())
    with pytest.raises(FileNotFoundError, match="BBBC038"):
        convert_nuclei(str(tmp_path / "c.zip"), str(tmp_path / "out"), read_split())
    stage1_zip(tmp_path / "d.zip", ["0" * 64])
    with pytest.raises(ValueError, match=r"stage1_train\.zip"):
        convert_nuclei(str(tmp_path / "d.zip"), str(tmp_path / "out"), read_split())
