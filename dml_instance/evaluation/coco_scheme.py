"""AP by COCO's scheme, of masks and of their boundaries."""

import contextlib
import io
from collections.abc import Sequence

import numpy as np
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from .boundaries import band
from .image_masks import ImageMasks


def accumulated(evaluation: COCOeval, max_detections: int) -> tuple[np.ndarray, np.ndarray]:
    """COCO's precision (IoU, recall, class, area range) and recall (IoU, class, area range).

    Args:
        evaluation: not yet evaluated.
        max_detections: counted an image.

    Returns:
        Both in [0, 1]; -1 where there is nothing to measure.
    """
    evaluation.params.maxDets = [max_detections]
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation.eval["precision"][..., -1], evaluation.eval["recall"][..., -1]


def coco_scores(precision: np.ndarray) -> dict[str, float]:
    """AP, AP50, AP75, APs, APm and APl of COCO's precision, in percent; NaN without objects."""
    scores = {"AP": precision[..., 0], "AP50": precision[0, ..., 0], "AP75": precision[5, ..., 0]}
    scores |= {
        name: precision[..., index] for index, name in enumerate(("APs", "APm", "APl"), start=1)
    }
    return {name: mean_percent(values) for name, values in scores.items()}


def mean_percent(values: np.ndarray) -> float:
    """Mean of what was measured (COCO marks the rest with -1), in percent."""
    measured = values[values > -1]
    return 100 * float(measured.mean()) if measured.size else float("nan")


def boundary_scores(
    images: Sequence[ImageMasks], class_names: Sequence[str], max_detections: int
) -> dict[str, float]:
    """Boundary AP: COCO's AP with the smaller of the IoU of masks and that of their bands.

    Cheng et al., Boundary IoU: Improving Object-Centric Image Segmentation Evaluation, CVPR 2021.
    Void pixels are taken away from predictions first; crowds are COCO's.

    Args:
        images: of a data set; detections of equal score keep their order.
        class_names: K.
        max_detections: counted an image.

    Returns:
        Those of ``coco_scores`` and, of more than one class, ``AP-NAME``.
    """
    truth, found = [], []
    for image_id, image in enumerate(images, start=1):
        truth += [
            _annotation(image_id, mask, index, is_crowd)
            for masks, classes, is_crowd in (
                (image.truth, image.truth_classes, 0),
                (image.crowds, image.crowd_classes, 1),
            )
            for mask, index in zip(masks, classes, strict=True)
        ]
        found += [
            {**_annotation(image_id, mask, index, 0), "score": score}
            for mask, index, score in zip(
                image.without_void(), image.prediction_classes, image.scores, strict=True
            )
        ]
    evaluation = _BoundaryEval(
        *(_coco(part, len(images), len(class_names)) for part in (truth, found)), "segm"
    )
    precision, _ = accumulated(evaluation, max_detections)
    scores = coco_scores(precision)
    if len(class_names) > 1:
        scores |= {
            f"AP-{name}": mean_percent(precision[:, :, index, 0])
            for index, name in enumerate(class_names)
        }
    return scores


def _annotation(image_id: int, mask: dict, index: int, is_crowd: int) -> dict:
    return {
        "image_id": image_id,
        "category_id": index,
        "segmentation": mask,
        "band": band(mask),
        "area": float(coco_mask.area(mask)),
        "iscrowd": is_crowd,
    }


def _coco(annotations: list[dict], num_images: int, num_classes: int) -> COCO:
    """Annotations of images 1, 2 ... as pycocotools holds them."""
    coco = COCO()
    coco.dataset = {
        # Their sizes are asked for, and used of polygons alone.
        "images": [
            {"id": image_id, "height": None, "width": None} for image_id in range(1, num_images + 1)
        ],
        # An object of number 0 counts as not found, whoever finds it.
        "annotations": [{**a, "id": number} for number, a in enumerate(annotations, start=1)],
        "categories": [{"id": index} for index in range(num_classes)],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
    return coco


class _BoundaryEval(COCOeval):
    """Where COCO takes the IoU of masks, the smaller of it and the IoU of bands.

    Annotations have the band beside the mask, as ``band``.
    """

    def computeIoU(self, imgId, catId):  # noqa: N802, N803 (pycocotools' names)
        iou = super().computeIoU(imgId, catId)
        if not len(iou):
            return iou
        truth, found = self._gts[imgId, catId], self._dts[imgId, catId]
        ranked = np.argsort([-d["score"] for d in found], kind="stable")[: len(iou)]
        is_crowd = [int(t["iscrowd"]) for t in truth]
        of_bands = coco_mask.iou(
            [found[i]["band"] for i in ranked], [t["band"] for t in truth], is_crowd
        )
        # A crowd has no boundary that counts.
        return np.where(np.array(is_crowd, dtype=bool), iou, np.minimum(iou, of_bands))
