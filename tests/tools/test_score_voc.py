"""Saved predictions scored again."""

import json

import pytest
from pycocotools import mask as coco_mask

from tool_runner import run_tool


def test_saved_predictions_are_scored_without_the_model(data, tmp_path):
    path, images = data
    coco = json.loads(path.read_text())
    found = [
        {
            "image_id": a["image_id"],
            "category_id": a["category_id"] - coco["categories"][0]["id"],
            "score": 0.5,
            "segmentation": rle_of(a, coco),
        }
        for a in coco["annotations"][1:]
    ]
    (tmp_path / "found.json").write_text(json.dumps(found))
    options = ["--register-coco", f"toy={path}:{images}", "--output", tmp_path / "scores.json"]
    assert "| square" in run_tool("score_voc", "toy", tmp_path / "found.json", *options)
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["AP50-disc"] == 100
    assert scores["AP50-square"] == pytest.approx(100 * 2 / 3)
    for arguments, message in (
        (["nowhere", tmp_path / "found.json"], "'nowhere' is not registered"),
        (["toy", tmp_path / "absent.json", *options], "absent.json"),
        (["toy", path, *options], "no list of COCO's results"),
    ):
        printed = run_tool("score_voc", *arguments, ok=False)
        assert message in printed and "Traceback" not in printed


def rle_of(annotation, coco):
    (image,) = [image for image in coco["images"] if image["id"] == annotation["image_id"]]
    encoded = coco_mask.merge(
        coco_mask.frPyObjects(annotation["segmentation"], image["height"], image["width"])
    )
    return {"size": encoded["size"], "counts": encoded["counts"].decode()}
