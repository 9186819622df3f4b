"""Data sets and predictions of rectangles, as pycocotools holds them."""

import numpy as np
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from dml_instance.comparison.scores import load_predictions
from toy_scenes import rle

SIZE = (40, 60)


def box(top, left, bottom, right):
    """A rectangle as a mask (40, 60) uint8; bounds are half open."""
    mask = np.zeros(SIZE, np.uint8)
    mask[top:bottom, left:right] = 1
    return mask


# Two objects side by side.
LEFT, RIGHT = box(5, 5, 25, 25), box(5, 25, 25, 45)


def data_set(*images, classes=2):
    """Images as lists of (mask, class) to a COCO data set, whose images count from 1."""
    truth = COCO()
    annotations = [
        {
            "id": 1000 * image_id + number,
            "image_id": image_id,
            "category_id": class_id,
            "segmentation": rle(mask),
            "bbox": [float(v) for v in coco_mask.toBbox(rle(mask))],
            "area": int(mask.sum()),
            "iscrowd": 0,
        }
        for image_id, objects in enumerate(images, start=1)
        for number, (mask, class_id) in enumerate(objects, start=1)
    ]
    truth.dataset = {
        "info": {},
        "images": [
            {"id": i, "height": SIZE[0], "width": SIZE[1]} for i in range(1, len(images) + 1)
        ],
        "annotations": annotations,
        "categories": [{"id": c, "name": str(c)} for c in range(1, classes + 1)],
    }
    truth.createIndex()
    return truth


def predictions_of(truth, *found):
    """(image id, mask, class, score) to loaded predictions."""
    return load_predictions(
        truth,
        [
            {"image_id": i, "category_id": c, "segmentation": rle(m), "score": s}
            for i, m, c, s in found
        ],
    )
