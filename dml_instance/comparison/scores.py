"""Mask AP of saved predictions, over all images or some, and what images are grouped by."""

import contextlib
import io
import json
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from ..evaluation.coco_scheme import accumulated, coco_scores, mean_percent


def load_ground_truth(json_file: str) -> COCO:
    """A COCO annotation file, without pycocotools' chatter."""
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(json_file)


def load_predictions(ground_truth: COCO, predictions: str | list[dict]) -> COCO:
    """A COCO results file or list with the areas of its masks; loadRes may take those of boxes.

    Args:
        ground_truth: what the predictions are of.
        predictions: path or content of COCO's results, each with an RLE mask; may be empty.
    """
    if isinstance(predictions, str):
        with open(predictions, encoding="utf-8") as file:
            predictions = json.load(file)
    with contextlib.redirect_stdout(io.StringIO()):
        # loadRes looks at the first prediction to learn their kind.
        loaded = (
            ground_truth.loadRes(predictions) if predictions else _without_annotations(ground_truth)
        )
    for annotation in loaded.anns.values():
        annotation["area"] = float(coco_mask.area(annotation["segmentation"]))
    return loaded


def _without_annotations(ground_truth: COCO) -> COCO:
    empty = COCO()
    empty.dataset = {**ground_truth.dataset, "annotations": []}
    empty.createIndex()
    return empty


def mask_scores(
    ground_truth: COCO,
    predictions: COCO,
    max_detections: int,
    image_ids: Sequence[int] | None = None,
) -> dict[str, float]:
    """COCO's mask metrics, in percent.

    Args:
        ground_truth, predictions: of one data set.
        max_detections: counted an image.
        image_ids: only these; None: all.

    Returns:
        AP, AP50, AP75, APs, APm, APl and AR (average recall over IoU 0.5 to 0.95); NaN where there
        is no object.
    """
    precision, recall = _accumulated(ground_truth, predictions, max_detections, image_ids)
    return {**coco_scores(precision), "AR": mean_percent(recall[..., 0])}


def group_ap(
    ground_truth: COCO, predictions: COCO, max_detections: int, image_ids: Sequence[int]
) -> float:
    """Mask AP of some images, in percent, in which a class counts by its objects in them.

    In a group of images that was not made by class a class may have a single object, and would
    count in COCO's mean as much as one that has hundreds. With one class it is COCO's AP.

    Args:
        ground_truth, predictions, max_detections, image_ids: as in ``mask_scores``.

    Returns:
        In [0, 100]; NaN where there is no object.
    """
    precision, _ = _accumulated(ground_truth, predictions, max_detections, image_ids)
    annotations = ground_truth.loadAnns(
        ground_truth.getAnnIds(imgIds=list(image_ids), iscrowd=False)
    )
    classes = [annotation["category_id"] for annotation in annotations]
    if not classes:
        return float("nan")
    weights = np.array([classes.count(category) for category in sorted(ground_truth.getCatIds())])
    # A class without objects has -1 for AP, and a weight of 0.
    return 100 * float(np.average(precision[..., 0].mean(axis=(0, 1)), weights=weights))


def _accumulated(
    ground_truth: COCO, predictions: COCO, max_detections: int, image_ids: Sequence[int] | None
) -> tuple[np.ndarray, np.ndarray]:
    """``accumulated`` of all images or some."""
    evaluation = COCOeval(ground_truth, predictions, "segm")
    if image_ids is not None:
        evaluation.params.imgIds = list(image_ids)
    return accumulated(evaluation, max_detections)


def object_counts(ground_truth: COCO) -> dict[int, int]:
    """Number of objects of every image."""
    return {
        image_id: len(ground_truth.imgToAnns[image_id]) for image_id in ground_truth.getImgIds()
    }


def objects_of_classes(ground_truth: COCO) -> dict[str, int]:
    """Number of objects of every class, by its name; crowds are none."""
    counts = {category["name"]: 0 for category in ground_truth.cats.values()}
    for annotation in ground_truth.anns.values():
        if not annotation.get("iscrowd", 0):
            counts[ground_truth.cats[annotation["category_id"]]["name"]] += 1
    return counts


def box_overlaps(ground_truth: COCO) -> dict[int, float]:
    """How much the boxes of an image's objects overlap: the mean, over objects, of the largest IoU
    with another box.

    Returns:
        A number in [0, 1] for every image with at least two objects.
    """
    overlaps = {}
    for image_id in ground_truth.getImgIds():
        boxes = np.array([a["bbox"] for a in ground_truth.imgToAnns[image_id]], dtype=np.float64)
        if len(boxes) >= 2:
            iou = coco_mask.iou(boxes, boxes, [0] * len(boxes))
            np.fill_diagonal(iou, 0)
            overlaps[image_id] = float(iou.max(axis=1).mean())
    return overlaps


def quantile_groups(values: dict[int, float], count: int, form: str) -> dict[str, list[int]]:
    """Images in groups of about equal number, by a property.

    Args:
        values: property of each image.
        count: groups wanted; fewer come out where values repeat.
        form: how a bound is written, such as "{:.2f}".

    Returns:
        Name of the group, such as "0.10 to 0.20", to image ids.
    """
    ids, numbers = list(values), np.array(list(values.values()), dtype=np.float64)
    if not ids:
        return {}
    edges = np.unique(np.quantile(numbers, np.linspace(0, 1, count + 1)))
    if len(edges) == 1:
        return {form.format(edges[0]): ids}
    group = np.clip(np.searchsorted(edges, numbers, side="right") - 1, 0, len(edges) - 2)
    return {
        f"{form.format(low)} to {form.format(high)}": [
            i for i, g in zip(ids, group, strict=True) if g == index
        ]
        for index, (low, high) in enumerate(pairwise(edges))
    }


def attribute_groups(ground_truth: COCO, attribute: str) -> dict[str, list[int]]:
    """Images by an entry of theirs in the annotation file, such as Shapes' "scene"; {} without."""
    groups: dict[str, list[int]] = {}
    for image_id, image in ground_truth.imgs.items():
        if attribute in image:
            groups.setdefault(str(image[attribute]), []).append(image_id)
    return groups
