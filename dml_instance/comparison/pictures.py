"""Images as several runs segment them, side by side, where the runs differ most and least."""

import os
from pathlib import Path

import numpy as np
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import Instances
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from tqdm import tqdm

from ..images import read_image, write_image
from ..rle import of_likeliest_class
from ..visualization import draw_ground_truth, draw_instances, panel
from .scores import group_ap


def most_telling_images(
    ground_truth: COCO, first: COCO, second: COCO, max_detections: int, count: int
) -> dict[str, list[int]]:
    """Image ids by the difference of two runs' AP on that image alone.

    Args:
        ground_truth, first, second: a data set and two runs' predictions.
        max_detections: counted an image.
        count: of images of each kind, at most a third of all.

    Returns:
        {"best": ..., "median": ..., "worst": ...} of the first run against the second, ``count``
        each at most.
    """
    difference = {}
    for image_id in ground_truth.getImgIds():
        ap = [group_ap(ground_truth, run, max_detections, [image_id]) for run in (first, second)]
        if np.isfinite(ap).all():
            difference[image_id] = ap[0] - ap[1]
    ranked = sorted(difference, key=lambda image_id: -difference[image_id])
    count = min(count, len(ranked) // 3)
    middle = (len(ranked) - count) // 2
    return {
        "best": ranked[:count],
        "median": ranked[middle : middle + count],
        "worst": ranked[len(ranked) - count :],
    }


def draw_side_by_side(
    ground_truth: COCO,
    dataset: str,
    runs: dict[str, tuple[COCO, float]],
    images: dict[str, list[int]],
    folder: str,
) -> None:
    """Write one panel an image, ``KIND_IMAGE.png``: input, ground truth, each run.

    Args:
        ground_truth: of the data set.
        dataset: its registered name.
        runs: predictions and least score drawn, by name.
        images: image ids by kind.
        folder: made if it is not there.
    """
    os.makedirs(folder, exist_ok=True)
    records = {record["image_id"]: record for record in DatasetCatalog.get(dataset)}
    metadata = MetadataCatalog.get(dataset)
    wanted = [(kind, image_id) for kind, ids in images.items() for image_id in ids]
    for kind, image_id in tqdm(wanted, desc="drawing", unit="image"):
        rgb = read_image(records[image_id]["file_name"])
        masks = [ground_truth.annToMask(a) for a in ground_truth.imgToAnns[image_id]]
        truth = torch.from_numpy(np.array(masks, dtype=bool).reshape(-1, *rgb.shape[:2]))
        pictures = [("input", rgb), ("ground truth", draw_ground_truth(rgb, truth, metadata))]
        for name, (predictions, min_score) in runs.items():
            instances = _instances(predictions.imgToAnns[image_id], rgb.shape[:2])
            pictures.append((name, draw_instances(rgb, instances, metadata, min_score)))
        stem = Path(records[image_id]["file_name"]).stem
        write_image(os.path.join(folder, f"{kind}_{stem}.png"), panel(pictures)[:, :, ::-1])


def _instances(predictions: list[dict], size: tuple[int, int]) -> Instances:
    """COCO results of one image, each mask once, as ``Instances`` with masks and scores."""
    facts = ([p[key] for p in predictions] for key in ("segmentation", "category_id", "score"))
    predictions = [predictions[i] for i in of_likeliest_class(*facts)]
    masks = [coco_mask.decode(p["segmentation"]) for p in predictions]
    instances = Instances(size)
    instances.pred_masks = torch.from_numpy(np.array(masks, dtype=bool).reshape(-1, *size))
    instances.scores = torch.tensor([p["score"] for p in predictions], dtype=torch.float32)
    return instances
