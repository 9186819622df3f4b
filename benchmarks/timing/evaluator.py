"""What scoring by mAP^r costs, on drawn data of the size of VOC 2012 val."""

import time

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from dml_instance.evaluation import score_predictions

from ..memory import AddedMemory, in_fresh_process

IMAGES, PREDICTIONS, OBJECTS, CLASSES = 1449, 20, 3, 20


def drawn_data(enlarged: int) -> tuple[list[dict], list[dict]]:
    """Ellipses in ``IMAGES`` images of 375 x 500 pixels.

    Args:
        enlarged: both sides are so many times as long.

    Returns:
        Records of a data set and predictions, as ``score_predictions`` takes them.
    """
    rng = np.random.default_rng(0)
    size = (375 * enlarged, 500 * enlarged)

    def ellipse(centre: np.ndarray, axes: np.ndarray, angle: float) -> dict:
        mask = np.zeros(size, np.uint8)
        cv2.ellipse(mask, centre.tolist(), axes.tolist(), angle, 0, 360, 1, -1)
        return coco_mask.encode(np.asfortranarray(mask))

    records, predictions = [], []
    for index in range(IMAGES):
        centres = rng.integers(0, size[::-1], (OBJECTS, 2))
        axes = rng.integers(10, 120, (OBJECTS, 2)) * enlarged
        angles, classes = rng.uniform(0, 180, OBJECTS), rng.integers(0, CLASSES, OBJECTS)
        annotations = [
            {"segmentation": ellipse(*drawing), "category_id": int(c)}
            for *drawing, c in zip(centres, axes, angles, classes, strict=True)
        ]
        records.append(
            {"image_id": index, "height": size[0], "width": size[1], "annotations": annotations}
        )
        for near in rng.integers(0, OBJECTS, PREDICTIONS):
            moved = centres[near] + rng.integers(-15, 16, 2) * enlarged
            predictions.append(
                {
                    "image_id": index,
                    "category_id": int(
                        classes[near] if rng.random() < 0.8 else rng.integers(CLASSES)
                    ),
                    "segmentation": ellipse(moved, axes[near], angles[near]),
                    "score": rng.random(),
                }
            )
    return records, predictions


def score_drawn(enlarged: int) -> dict:
    """Time and memory of scoring ``drawn_data``; to be called in a process of its own.

    Returns:
        ``image_size`` [height, width], numbers of ``images`` and ``predictions``, ``seconds``,
        ``peak_mib_added`` and the score ``AP50``, in percent.
    """
    records, predictions = drawn_data(enlarged)
    start = time.perf_counter()
    with AddedMemory() as added:
        result = score_predictions(
            records, predictions, [f"class {index}" for index in range(CLASSES)]
        )
    seconds = time.perf_counter() - start
    return {
        "image_size": [records[0]["height"], records[0]["width"]],
        "images": len(records),
        "predictions": len(predictions),
        "seconds": round(seconds, 2),
        "peak_mib_added": added.mib,
        "AP50": round(result["AP50"], 2),
    }


def benchmark_evaluator() -> list[dict]:
    """``score_drawn`` of images of two sizes, the larger with four times the pixels."""
    return [in_fresh_process(score_drawn, enlarged) for enlarged in (1, 2)]
