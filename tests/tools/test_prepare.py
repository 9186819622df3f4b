"""From annotations to a data set that trains, by the command that is printed."""

import json
import shlex

import cv2
import numpy as np
import pytest
import tifffile

from dml_instance.data.coco import parse_registration
from tool_runner import ROOT, TINY, load_tool, run_tool


def test_label_images_become_a_data_set_that_trains(tmp_path):
    labels = np.zeros((128, 128), np.uint16)
    for number, (row, column) in enumerate([(20, 20), (20, 90), (90, 30), (95, 100)], start=1):
        cv2.circle(labels, (column, row), 12, number, -1)
    cv2.imwrite(str(tmp_path / "labels.tif"), labels)
    cv2.imwrite(str(tmp_path / "image.tif"), (labels > 0).astype(np.uint16) * 3000 + 100)
    root = tmp_path / "cells"
    source = ("--images", tmp_path / "image.tif", "--labels", tmp_path / "labels.tif", "--tile", 64)
    assert "3 train, 1 val images" in run_tool("prepare", *source, "--output", root)
    assert "exists already" in run_tool("prepare", *source, "--output", root, ok=False)
    partly = run_tool("prepare", *source, "--output", tmp_path / "partly", "--labelled-share", 0.3)
    assert "MODEL.DML.SEED_LOSS.LABELLED_SHARE 0.3 OUTPUT_DIR output/partly" in partly
    refused = ("prepare", *source, "--output", tmp_path / "x", "--labelled-share", 0)
    line = "argument --labelled-share: MODEL.DML.SEED_LOSS.LABELLED_SHARE is in (0, 1], got 0.0"
    assert line in run_tool(*refused, ok=False)


def run_printed(printed, folder):
    """Run the command that was printed, with a small model and for two iterations."""
    command = printed[printed.index("python tools/train_net.py") :]
    words = shlex.split(command.replace("\\\n", ""))
    small = str(ROOT / "configs/Shapes/dml_slim_unet.yaml")
    words[words.index("--config-file") + 1] = small
    return run_tool("train_net", *words[2:], "SOLVER.MAX_ITER", 2, *TINY, folder=folder)


@pytest.mark.parametrize(("fraction", "name"), [(0.25, "my cells"), (0, "12:30")])
def test_the_printed_command_trains(tmp_path, fraction, name):
    labels = np.zeros((128, 128), np.uint8)
    labels[20:40, 20:40], labels[80:100, 20:40], labels[80:100, 80:100] = 1, 2, 3
    labels[20:40, 80:100] = 4
    for file in ("labels.png", "image.png"):
        cv2.imwrite(str(tmp_path / file), labels)
    root = tmp_path / name
    printed = run_tool(
        *("prepare", "--images", tmp_path / "image.png", "--labels", tmp_path / "labels.png"),
        *("--tile", 64, "--val-fraction", fraction, "--output", root),
    )
    run_printed(printed, tmp_path)
    folder = {"my cells": "my_cells", "12:30": "12_30"}[name]
    assert (tmp_path / "output" / folder / "model_final.pth").is_file()
    assert (root / "annotations" / "instances_val.json").is_file() == (fraction > 0)


def test_what_is_registered_is_what_was_written():
    tool = load_tool("prepare")
    roots = ("data/cell", "a=b/c=d", "/x y/it's", "shapes", "nested/dsb2018_nuclei/", "a:b/12:30")
    for root in roots:
        names = []
        for text in tool.registrations(root):
            name, file, images = parse_registration(text)
            names.append(name)
            assert file.startswith(root) and images.rstrip("/") == f"{root.rstrip('/')}/images"
        assert [name.rpartition("_")[2] for name in names] == ["train", "val"]
    assert tool.registrations("shapes")[0].startswith("my_shapes_train=")
    with pytest.raises(ValueError, match="a.json:b has a colon"):
        tool.registrations("a.json:b")


def test_a_page_and_channels_are_chosen(tmp_path):
    labels = np.zeros((3, 40, 60), np.uint16)
    labels[1, 5:15, 10:30] = 7
    image = np.random.default_rng(0).integers(0, 256, (3, 2, 40, 60), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "labels.tif", labels, photometric="minisblack")
    tifffile.imwrite(tmp_path / "image.tif", image, imagej=True, metadata={"axes": "ZCYX"})
    root = tmp_path / "cells"
    options = ("--labels", tmp_path / "labels.tif", "--val-fraction", 0, "--output", root)
    words = ("prepare", "--images", tmp_path / "image.tif", *options)
    for chosen, wrong in (((), "holds 3 images"), (("--page", 1), "2 channels")):
        printed = run_tool(*words, *chosen, ok=False)
        assert wrong in printed and "image.tif" in printed and "Traceback" not in printed
    assert "takes one to three" in run_tool(*words, "--channels", 0, 1, 2, 3, ok=False)
    run_tool(*words, "--page", 1, "--channels", 1)
    assert (cv2.imread(str(root / "images" / "image.png"))[..., 0] == image[1, 1]).all()
    coco = json.loads((root / "annotations" / "instances_train.json").read_text())
    assert [annotation["area"] for annotation in coco["annotations"]] == [200]
