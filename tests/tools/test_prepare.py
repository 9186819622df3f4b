"""From annotations to a data set that trains, by the command that is printed."""

import json

import cv2
import numpy as np

from tool_runner import run_tool, train


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
    train((root / "annotations" / "instances_train.json", root / "images"), tmp_path / "out", 2)
    # The raw image, deeper than 8 bits, would be cut off at 255.
    coco = json.loads((root / "annotations" / "instances_train.json").read_text())
    cv2.imwrite(
        str(root / "images" / coco["images"][0]["file_name"]), np.full((64, 64), 3000, np.uint16)
    )
    printed = train(
        (root / "annotations" / "instances_train.json", root / "images"),
        tmp_path / "deep",
        2,
        ok=False,
    )
    assert "more than 8 bits" in printed and coco["images"][0]["file_name"] in printed
    assert (tmp_path / "out" / "results.json").is_file()
