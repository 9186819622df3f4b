"""What the shipped models find in a few images is what they found when they were shipped.

``shipped_models.json`` holds, for every image, each instance with a score of more than 0.3: class,
score, area and box of its mask, as they were found when they were last measured.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.modeling import build_model
from detectron2.structures import Boxes, pairwise_iou
from matplotlib.cbook import get_sample_data
from PIL import Image

from dml_instance.data.datasets.shapes import draw_split
from dml_instance.engine import NO_DATA, load_config
from dml_instance.mask_classes import is_likeliest
from toy_models import CONFIGS as FOLDER
from toy_scenes import crowd_of_cells

FOUND = json.loads((Path(__file__).parent / "shipped_models.json").read_text())

CONFIGS = {
    "shapes": "Shapes/dml_slim_unet.yaml",
    "nuclei": "DSB2018/dml_efficientnet_lite0.yaml",
    "photographs": "VOC/dml_efficientnet_lite0.yaml",
}


def images_of(name):
    """(H, W, 3) uint8 images, the same on every machine."""
    if name == "nuclei":
        sizes = [(96, 128, 24), (120, 90, 30), (128, 128, 40)]
        return [crowd_of_cells(*size, seed=i) for i, size in enumerate(sizes)]
    if name == "photographs":
        # A portrait in the public domain, which comes with matplotlib.
        with get_sample_data("grace_hopper.jpg") as file:
            return [np.array(Image.open(file))]
    return [scene.image for _, scene in draw_split("test", 5, seed=7, size=128, difficulty=0.5)]


def summary_of(instances):
    """Class, score, area and box of every object with a score of more than 0.3."""
    chosen = instances[(instances.scores > 0.3) & is_likeliest(instances)]
    return {
        "classes": chosen.pred_classes.tolist(),
        "scores": [round(score, 6) for score in chosen.scores.tolist()],
        "areas": chosen.pred_masks.flatten(1).sum(1).tolist(),
        "boxes": chosen.pred_boxes.tensor.tolist(),
    }


@pytest.mark.parametrize("name", CONFIGS)
def test_instances_are_those_that_were_found_before(name):
    # Without the training data, as a user has it.
    cfg = load_config(str(FOLDER / CONFIGS[name]), ["MODEL.DEVICE", "cpu"], needs=NO_DATA)
    model = build_model(cfg).eval()
    DetectionCheckpointer(model).load(f"dml://{name}")
    for image, before in zip(images_of(name), FOUND[name], strict=True):
        x = {"image": torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))}
        with torch.no_grad():
            found = summary_of(model([x])[0]["instances"])
        assert len(found["scores"]) == len(before["scores"]) > 0
        # Two of nearly one score may have changed places.
        iou = pairwise_iou(*(Boxes(torch.tensor(s["boxes"])) for s in (before, found)))
        order = iou.argmax(dim=1).tolist()
        assert sorted(order) == list(range(len(order)))
        for key, tolerance in (
            ("classes", {"abs": 0}),
            # A pixel on a border that falls to the other side moves the mean similarity.
            ("scores", {"abs": 1e-4}),
            ("areas", {"abs": 3, "rel": 0.01}),
        ):
            values = [found[key][index] for index in order]
            assert values == pytest.approx(before[key], **tolerance), key
        boxes = np.array(found["boxes"])[order]
        np.testing.assert_allclose(boxes, np.array(before["boxes"]), atol=2)
