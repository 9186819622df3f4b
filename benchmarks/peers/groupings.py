"""The grouping of this project beside others', on the same predictions of the same images."""

import contextlib
import io
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from detectron2.structures import BoxMode, Instances
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from tqdm import tqdm

from dml_instance.comparison.scores import load_predictions, mask_scores
from dml_instance.engine import load_trained
from dml_instance.rle import as_rle, encoded

from ..timing.measure import interleaved, quartiles
from ..timing.predicted import check_model, evenly_taken, inputs_of, predict
from .clusterings import (
    MOST_CELLS_UNBINNED,
    foreground,
    hdbscan,
    loop_over_seeds,
    mean_shift,
    sklearn_cluster,
)
from .panoptic_deeplab import panoptic_deeplab, perfect_maps, project_module

OURS = "ours"


@torch.no_grad()
def compare_groupings(name: str, run: tuple, dataset: str, images: int, repeats: int) -> list[dict]:
    """Times and scores of six groupings.

    "ours" and "panoptic_deeplab" are called ``repeats`` times in turn, the others, which take long,
    once an image (and once more, untimed, on the first); all go from the network's predictions to
    masks of the size of the image.

    Args:
        name: of the run.
        run: the arguments of ``load_trained``.
        dataset: registered, with masks.
        images: how many of it.
        repeats: timed calls of an image.

    Returns:
        A row a method: ``ms`` an image, its median and quartiles over images; ``times_ours``, the
        median over images of the ratio to ours, and ``times_ours_in_all``, the ratio of the sums,
        where large images count most; ``AP`` and ``AP50`` of masks on these images; ``images``, of
        which "mean_shift" leaves out those of more than ``MOST_CELLS_UNBINNED`` foreground cells,
        and then has no AP; ``instances`` found an image; and ``cells``, the mean number of
        foreground cells, which the clusterings work on.

    Raises:
        ValueError: for a data set or a model that does not fit; ImportError for a missing peer.
    """
    # What is missing is said, and what is slow to import is imported, before anything is timed.
    sklearn_cluster()
    project_module()
    model, cfg = load_trained(*run)
    check_model(name, model)
    records = evenly_taken(dataset, images)
    truth = ground_truth_of(records, cfg.MODEL.DML.NUM_CLASSES)
    limit, taus = cfg.TEST.DETECTIONS_PER_IMAGE, cfg.MODEL.DML.TAUS
    ms: dict[str, list[float]] = {}
    results: dict[str, list[dict]] = {}
    ratios: dict[str, list[float]] = {}
    found: dict[str, list[int]] = {}
    cells = []
    for record in tqdm(records, desc=name, unit="image"):
        (x,) = inputs_of([record], cfg)
        image = predict(model, x)
        cells.append(int(foreground(image.maps.class_logits)[0].sum()))
        maps = perfect_maps(*_objects(record), image.maps.image_size, image.maps.stride)

        def ours(image=image) -> Instances:
            return model.grouping([image.maps], image.output_size)

        def deeplab(image=image, maps=maps) -> Instances:
            return panoptic_deeplab(
                maps, cfg.MODEL.DML.NUM_CLASSES, image.cell_size, image.output_size
            )

        quick = {OURS: ours, "panoptic_deeplab": deeplab}
        instances = {method: function() for method, function in quick.items()}
        times = {
            method: figures["ms"]
            for method, figures in interleaved(quick, repeats, warm_up=0).items()
        }
        slow = {
            "seed_loop": lambda image=image: loop_over_seeds(image, model.grouping, taus),
            "mean_shift_binned": lambda image=image: mean_shift(image, binned=True),
            "hdbscan": lambda image=image: hdbscan(image),
        }
        if cells[-1] <= MOST_CELLS_UNBINNED:
            slow["mean_shift"] = lambda image=image: mean_shift(image, binned=False)
        for method, function in slow.items():
            if method not in ms:
                function()  # what the first call of all sets up is not counted
            instances[method], times[method] = _timed(function)
        for method, of_image in instances.items():
            ms.setdefault(method, []).append(float(times[method]))
            ratios.setdefault(method, []).append(times[method] / times[OURS])
            found.setdefault(method, []).append(len(of_image))
            results.setdefault(method, []).extend(_as_coco(of_image, record["image_id"]))
    return [
        {
            "run": name,
            "method": method,
            **quartiles(times),
            "times_ours": float(np.median(ratios[method])),
            "times_ours_in_all": float(np.sum(times) / np.sum(np.divide(times, ratios[method]))),
            **(_scores(truth, results[method], limit) if len(times) == len(records) else {}),
            "images": len(times),
            "instances": float(np.mean(found[method])),
            "cells": float(np.mean(cells)),
        }
        for method, times in ms.items()
    ]


def _timed(function: Callable[[], Instances]) -> tuple[Instances, float]:
    """What a function returns, and the milliseconds that it takes."""
    start = time.perf_counter()
    result = function()
    return result, 1e3 * (time.perf_counter() - start)


def _objects(record: dict) -> tuple[torch.Tensor, torch.Tensor]:
    """Masks (G, H, W) bool and classes (G,) of a record, without its crowds."""
    size = record["height"], record["width"]
    objects = [a for a in record["annotations"] if not a.get("iscrowd", 0)]
    masks = np.zeros((len(objects), *size), dtype=bool)
    for mask, annotation in zip(masks, objects, strict=True):
        mask[:] = coco_mask.decode(as_rle(annotation["segmentation"], *size))
    return torch.from_numpy(masks), torch.tensor(
        [a["category_id"] for a in objects], dtype=torch.int64
    )


def ground_truth_of(records: Sequence[dict], num_classes: int) -> COCO:
    """Detectron2's records as COCO's ground truth, with the numbers of the classes as categories.

    Raises:
        ValueError: for an object without a mask.
    """
    annotations = []
    for record in records:
        for annotation in record["annotations"]:
            if not annotation.get("segmentation"):
                raise ValueError(f"{record['file_name']} has an object without a mask")
            mask = as_rle(annotation["segmentation"], record["height"], record["width"])
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": record["image_id"],
                    "category_id": annotation["category_id"],
                    "segmentation": mask,
                    "bbox": BoxMode.convert(
                        annotation["bbox"], annotation["bbox_mode"], BoxMode.XYWH_ABS
                    ),
                    "area": float(coco_mask.area(mask)),
                    "iscrowd": annotation.get("iscrowd", 0),
                }
            )
    truth = COCO()
    truth.dataset = {
        "images": [
            {"id": r["image_id"], "height": r["height"], "width": r["width"]} for r in records
        ],
        "annotations": annotations,
        "categories": [{"id": index, "name": str(index)} for index in range(num_classes)],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
    return truth


def _as_coco(instances: Instances, image_id: int) -> list[dict]:
    """The result entries of an image, as COCO's tools read them."""
    columns = (
        instances.pred_masks.cpu().numpy(),
        instances.scores.tolist(),
        instances.pred_classes.tolist(),
    )
    return [
        {
            "image_id": image_id,
            "category_id": category,
            "segmentation": encoded(mask),
            "score": score,
        }
        for mask, score, category in zip(*columns, strict=True)
    ]


def _scores(truth: COCO, results: list[dict], limit: int) -> dict[str, float]:
    """AP and AP50 in percent."""
    scores = mask_scores(truth, load_predictions(truth, results), limit)
    return {key: scores[key] for key in ("AP", "AP50")}
