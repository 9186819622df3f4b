"""How well each image is segmented, and what became of its objects."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog
from torch import nn

from ...data import build_test_mapper
from ...evaluation import (
    Fates,
    ImageMasks,
    best_min_score,
    candidates,
    count_fates,
    f1_by_min_score,
    fates_of,
    gather_masks,
    ratios,
)
from ...evaluation.matching import THRESHOLDS
from ...images import evenly_spread
from ...mask_classes import is_likeliest
from ...rle import areas, encoded
from ..least_score import saved_masks

# Of the training set so many images are segmented, in so many seconds, to compare with.
_SAMPLE, _SECONDS = 20, 30.0


@dataclass(frozen=True)
class ScoredImage:
    """An image at a least score.

    Attributes:
        dataset, record: where it is from.
        masks: its objects and predictions.
        fates: what became of them.
        score: F1 in [0, 1], mean over IoU 0.5, 0.55 ... 0.95; NaN where there is nothing.
        counts: (3,) true and false positives and false negatives at IoU 0.5.
    """

    dataset: str
    record: dict
    masks: ImageMasks
    fates: Fates
    score: float
    counts: np.ndarray


@dataclass(frozen=True)
class Scoring:
    """Images at a least score.

    Attributes:
        images: in the order of their data sets.
        min_score: predictions below it do not count.
        curve: F1 at IoU 0.5, in [0, 1], of all images together, by least scores.
    """

    images: Sequence[ScoredImage]
    min_score: float
    curve: dict[float, float]

    @property
    def f1(self) -> float:
        """At IoU 0.5, in [0, 1], of all images together; NaN where there is nothing."""
        counts = sum((image.counts for image in self.images), np.zeros(3))
        return float(ratios(counts)["F1"])

    @property
    def fates(self) -> dict[str, int]:
        """Counts over all images, see ``count_fates``."""
        return count_fates(image.fates for image in self.images)

    @property
    def missed_by_size(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Of the smallest quarter of all objects by area, and of the others: how many were missed,
        and of how many."""
        area = np.concatenate([areas(list(image.masks.truth)) for image in self.images] or [[]])
        missed = np.array([f == "missed" for image in self.images for f in image.fates.objects])
        order = np.argsort(area, kind="stable")
        quarter = len(order) // 4
        return tuple(
            (int(missed[part].sum()), len(part)) if len(part) else (0, 0)
            for part in (order[:quarter], order[quarter:])
        )

    @property
    def ranked(self) -> list[ScoredImage]:
        """Images with something to find or found, best first."""
        scored = [image for image in self.images if image.score == image.score]
        return sorted(scored, key=lambda image: -image.score)


def score_saved(cfg: CfgNode) -> Scoring:
    """The predictions that the last evaluation of a run left in its OUTPUT_DIR.

    Args:
        cfg: its DATASETS.TEST and TEST.MIN_SCORE; None: the best.

    Raises:
        FileNotFoundError: where an evaluator left none in COCO's form.
        ValueError: as ``gather_masks``.
    """
    images = [
        (name, record, masks)
        for name in cfg.DATASETS.TEST
        for record, masks in zip(
            DatasetCatalog.get(name), saved_masks(cfg, name).values(), strict=True
        )
    ]
    return score_images(images, cfg.TEST.MIN_SCORE)


def score_training_sample(model: nn.Module, cfg: CfgNode, min_score: float) -> Scoring:
    """Some images of the first set of DATASETS.TRAIN, segmented as those of DATASETS.TEST are: 20,
    or as many as half a minute is enough for.

    Args:
        model: in evaluation mode.
        cfg: that built it.
        min_score: that of the images to compare with.

    Raises:
        ValueError: as ``gather_masks``.
    """
    return score_images(_segmented(model, cfg), min_score)


@torch.no_grad()
def _segmented(model: nn.Module, cfg: CfgNode) -> Iterator[tuple[str, dict, ImageMasks]]:
    name = cfg.DATASETS.TRAIN[0]
    mapper, count = build_test_mapper(cfg), len(MetadataCatalog.get(name).thing_classes)
    end = time.monotonic() + _SECONDS
    for record in evenly_spread(DatasetCatalog.get(name), _SAMPLE):
        instances = model([mapper(record)])[0]["instances"].to("cpu")
        instances = instances[is_likeliest(instances)]
        found = zip(
            instances.pred_masks,
            instances.pred_classes.tolist(),
            instances.scores.tolist(),
            strict=True,
        )
        predictions = [
            {
                "image_id": record["image_id"],
                "category_id": index,
                "segmentation": encoded(mask.numpy()),
                "score": score,
            }
            for mask, index, score in found
        ]
        (masks,) = gather_masks([record], predictions, count).values()
        yield name, record, masks
        if time.monotonic() > end:
            return


def score_images(
    images: Iterable[tuple[str, dict, ImageMasks]], min_score: float | None = None
) -> Scoring:
    """Score images.

    Args:
        images: data set, record and masks of each.
        min_score: None: that of the highest F1 at IoU 0.5.
    """
    images = [(*image, list(candidates(image[2]))) for image in images]
    found = [c for *_, of_image in images for c in of_image]
    curve = f1_by_min_score(found)
    if min_score is None:
        min_score = best_min_score(found)
    scored = []
    for dataset, record, masks, of_image in images:
        # (T, 3) over all classes.
        counts = sum((c.counts(min_score) for c in of_image), np.zeros((len(THRESHOLDS), 3)))
        score = float(ratios(counts)["F1"].mean())
        fates = fates_of(masks, min_score)
        scored.append(ScoredImage(dataset, record, masks, fates, score, counts[0]))
    return Scoring(scored, min_score, curve)
