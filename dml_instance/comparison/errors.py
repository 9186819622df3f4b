"""What became of the objects and predictions of a run, from COCO's own readers.

What the kinds mean stands in ``dml_instance/evaluation/fates.py``.
"""

from collections.abc import Iterator

from pycocotools.coco import COCO

from ..evaluation import ImageMasks, count_fates, fates_of


def count_errors(ground_truth: COCO, predictions: COCO, min_score: float) -> dict[str, int]:
    """``count_fates`` of a data set.

    Args:
        ground_truth, predictions: of one data set; see ``load_predictions``.
        min_score: predictions below it are left out.
    """
    return count_fates(fates_of(image, min_score) for image in _images(ground_truth, predictions))


def _images(ground_truth: COCO, predictions: COCO) -> Iterator[ImageMasks]:
    for image_id in ground_truth.getImgIds():
        objects = [a for a in ground_truth.imgToAnns[image_id] if not a.get("iscrowd", 0)]
        found = predictions.imgToAnns[image_id]
        yield ImageMasks(
            truth=[ground_truth.annToRLE(a) for a in objects],
            truth_classes=[a["category_id"] for a in objects],
            predictions=[p["segmentation"] for p in found],
            prediction_classes=[p["category_id"] for p in found],
            scores=[p["score"] for p in found],
        ).with_objects()
