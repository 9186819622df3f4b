"""What is said of a long run, and the files that it runs over."""

import json
import os

import cv2
import pytest
from pycocotools import mask as coco_mask

from benchmarks import load


def test_the_slope_is_that_of_the_last_half_and_files_left_open_are_seen(monkeypatch):
    monkeypatch.setattr(load, "POINTS", 10)
    course, held = load.Course(100), []
    for _ in range(100):
        held.append(os.open(os.devnull, os.O_RDONLY))
        course.step()
    for number, point in enumerate(course.points):
        # 40 MiB at first, and then 2 KiB an image.
        point["rss_mib"] = (140 if number else 100) + point["done"] * 2 / 1024
        point["processor_s"] = point["done"] * 0.01
    figures = course.figures()
    for file in held:
        os.close(file)
    assert [point["done"] for point in figures["points"]] == list(range(0, 101, 10))
    assert figures["kib_an_image"] == pytest.approx(2, abs=1e-3)
    first, last = figures["open_files_first_last"]
    assert last - first == 90
    assert figures["processor_ms_an_image"] == [10.0, 10.0]


def test_images_of_many_names_are_a_few_files_with_their_discs_annotated(tmp_path):
    with open(load.write_images(str(tmp_path), 20), encoding="utf-8") as file:
        content = json.load(file)
    names = [image["file_name"] for image in content["images"]]
    files = [tmp_path / "images" / name for name in names]
    assert len(set(names)) == 20 and len({os.stat(file).st_ino for file in files}) == load.DRAWN
    assert len(content["annotations"]) == 20 * load.DISCS
    for annotation in content["annotations"][-load.DISCS :]:
        inside = coco_mask.decode(annotation["segmentation"]).astype(bool)
        assert cv2.imread(str(files[-1]))[inside].min() >= 80
        assert inside.sum() == annotation["area"] > 200
