"""Scenes drawn by hand with known answers, and what every result must satisfy."""

import json

import cv2
import numpy as np
import torch
from detectron2.config import get_cfg
from detectron2.data.detection_utils import annotations_to_instances
from detectron2.structures import Boxes, Instances
from pycocotools import mask as coco_mask

from dml_instance import add_dml_config

CLASS_NAMES = ["square", "disc"]


def square_and_disc(height=64, width=96):
    """Two objects on black: image (H, W, 3) uint8, masks (2, H, W) bool, classes (2,)."""
    masks = np.zeros((2, height, width), dtype=np.uint8)
    cv2.rectangle(masks[0], (8, 10), (30, 34), 1, -1)
    cv2.circle(masks[1], (width - 30, height - 26), 14, 1, -1)
    image = np.zeros((height, width, 3), dtype=np.uint8)
    image[masks[0] > 0] = (220, 60, 60)
    image[masks[1] > 0] = (60, 220, 90)
    return image, masks.astype(bool), np.array([0, 1])


def data_config(*overrides):
    """Detectron2's and this project's defaults for bit masks, with overrides."""
    cfg = get_cfg()
    add_dml_config(cfg)
    cfg.merge_from_list(["MODEL.MASK_ON", True, "INPUT.MASK_FORMAT", "bitmask", *overrides])
    return cfg


def model_input(image, masks, classes):
    """What the stock mapper gives in training, without gt_masks where there is no object."""
    size = image.shape[:2]
    instances = Instances(size)
    instances.gt_classes = torch.as_tensor(classes, dtype=torch.int64)
    annotations = [
        {
            "bbox": [0, 0, 1, 1],
            "bbox_mode": 0,
            "category_id": int(c),
            "segmentation": m.astype(np.uint8),
        }
        for m, c in zip(masks, classes, strict=True)
    ]
    instances = annotations_to_instances(annotations, size, "bitmask")
    return {
        "image": torch.as_tensor(np.ascontiguousarray(image.transpose(2, 0, 1))),
        "instances": instances,
        "height": size[0],
        "width": size[1],
    }


def rle(mask):
    """COCO's run-length encoding of a mask, fit for JSON."""
    encoded = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": encoded["size"], "counts": encoded["counts"].decode()}


def write_coco(folder, name, scenes, class_names=CLASS_NAMES, as_polygons=False, first_category=1):
    """(Annotation file, image folder) of a COCO data set of scenes (image, masks, classes)."""
    images, annotations = [], []
    (folder / name).mkdir(parents=True)
    for image_id, (image, masks, classes) in enumerate(scenes, start=1):
        file_name = f"{image_id:03d}.png"
        cv2.imwrite(str(folder / name / file_name), image[:, :, ::-1])
        images.append(
            {
                "id": image_id,
                "file_name": file_name,
                "height": image.shape[0],
                "width": image.shape[1],
            }
        )
        for mask, class_index in zip(masks, classes, strict=True):
            if as_polygons:
                contours, _ = cv2.findContours(
                    mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
                )
                segmentation = [contour.flatten().astype(float).tolist() for contour in contours]
            else:
                segmentation = rle(mask)
            x, y, w, h = cv2.boundingRect(mask.astype(np.uint8))
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": int(class_index) + first_category,
                    "segmentation": segmentation,
                    "bbox": [x, y, w, h],
                    "area": int(mask.sum()),
                    "iscrowd": 0,
                }
            )
    categories = [{"id": i, "name": n} for i, n in enumerate(class_names, start=first_category)]
    path = folder / f"{name}.json"
    path.write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": categories})
    )
    return path, folder / name


def assert_is_instance_result(result, height, width, num_classes):
    """The output contract: fields, lengths, dtypes, ranges, order and size of a result."""
    assert set(result) == {"instances"}
    instances = result["instances"]
    assert isinstance(instances, Instances)
    assert instances.image_size == (height, width)
    fields = {"pred_masks", "scores", "pred_classes", "pred_boxes"}
    assert set(instances.get_fields()) - {"is_likeliest"} == fields
    count = len(instances.scores)
    if instances.has("is_likeliest"):
        assert instances.is_likeliest.dtype == torch.bool
        assert instances.is_likeliest.shape == (count,)
    assert instances.pred_masks.dtype == torch.bool
    assert instances.pred_masks.shape == (count, height, width)
    assert instances.scores.dtype == torch.float32
    assert instances.scores.shape == (count,)
    assert ((instances.scores >= 0) & (instances.scores <= 1)).all()
    assert (instances.scores.diff() <= 0).all()
    assert instances.pred_classes.dtype == torch.int64
    assert ((instances.pred_classes >= 0) & (instances.pred_classes < num_classes)).all()
    assert isinstance(instances.pred_boxes, Boxes)
    for mask, box in zip(instances.pred_masks, instances.pred_boxes.tensor, strict=True):
        rows, columns = mask.nonzero(as_tuple=True)
        assert len(rows), "an empty mask is no detection"
        expected = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert box.tolist() == [float(value) for value in expected]


def crowd_of_cells(height, width, step, seed=0):
    """(H, W, 3) uint8: bright discs in a jittered grid of ``step`` pixels on dark, noisy ground."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    image = np.full((height, width), 20.0)
    for y in np.arange(step / 2, height, step):
        for x in np.arange(step / 2, width, step):
            (dy, dx), radius = rng.uniform(-0.1, 0.1, 2) * step, rng.uniform(0.3, 0.38) * step
            beyond = np.hypot(rows - y - dy, columns - x - dx) - radius
            inside = (0.5 - beyond / 2).clip(0, 1)  # a border that is two pixels wide
            image += inside * (rng.uniform(100, 220) - image)
    image += rng.normal(0, 5, image.shape)
    return np.repeat(image.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)
