"""What is true of each image and what was predicted in it, as masks, put together and checked.

Masks are COCO's compressed RLEs throughout, so memory does not grow with their area.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from pycocotools import mask as coco_mask

from ..rle import as_rle, encoded, of_likeliest_class


@dataclass
class ImageMasks:
    """What is true of an image, and what was predicted.

    Attributes:
        truth: the objects' RLEs, and truth_classes: their classes.
        predictions: RLEs of detections, and prediction_classes and scores.
        void: RLE of the pixels that are neither object nor background; None: there are none.
        crowds: RLEs of regions with more objects of a class than anybody counted, and
            crowd_classes: these classes.

    A pixel of an object that is void or crowd as well, as under COCO's crowds, is the object's.
    """

    truth: Sequence[dict] = ()
    truth_classes: Sequence[int] = ()
    predictions: Sequence[dict] = field(default_factory=list)
    prediction_classes: Sequence[int] = field(default_factory=list)
    scores: Sequence[float] = field(default_factory=list)
    void: dict | None = None
    crowds: Sequence[dict] = ()
    crowd_classes: Sequence[int] = ()

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the image; (0, 0) where there are no masks to tell."""
        void = [] if self.void is None else [self.void]
        masks = [*self.truth, *self.predictions, *void, *self.crowds]
        return tuple(masks[0]["size"]) if masks else (0, 0)

    def with_objects(self) -> "ImageMasks":
        """The same, but a mask that is predicted for several classes is predicted for its likeliest
        alone: what ranks nothing asks for objects."""
        kept = of_likeliest_class(self.predictions, self.prediction_classes, self.scores)
        return replace(
            self,
            predictions=[self.predictions[i] for i in kept],
            prediction_classes=[self.prediction_classes[i] for i in kept],
            scores=[self.scores[i] for i in kept],
        )

    @property
    def void_and_crowds(self) -> dict | None:
        """RLE of what is void or a crowd of any class; None: nothing is."""
        regions = [*([] if self.void is None else [self.void]), *self.crowds]
        return coco_mask.merge(regions) if regions else None

    def void_pixels(self) -> np.ndarray | None:
        """(H, W) bool of what is void and no object's; None: nothing is void."""
        return None if self.void is None else self._without_objects([self.void])

    def ignored_pixels(self, index: int) -> np.ndarray | None:
        """(H, W) bool of what is void, or a crowd of a class, and no object's; None: nothing is."""
        crowds = [c for c, of in zip(self.crowds, self.crowd_classes, strict=True) if of == index]
        regions = [*([] if self.void is None else [self.void]), *crowds]
        return self._without_objects(regions) if regions else None

    def _without_objects(self, regions: list[dict]) -> np.ndarray:
        pixels = coco_mask.decode(coco_mask.merge(regions)).astype(bool)
        if len(self.truth):
            pixels &= ~coco_mask.decode(coco_mask.merge(list(self.truth))).astype(bool)
        return pixels

    def without_void(self) -> list[dict]:
        """The predictions, with void pixels taken away from them."""
        void = self.void_pixels()
        if void is None:
            return list(self.predictions)
        kept = encoded(~void)
        return [coco_mask.merge([mask, kept], intersect=True) for mask in self.predictions]

    def is_mostly_ignored(self) -> np.ndarray:
        """(N,) bool: predictions of which more than half is void, or a crowd of their class."""
        classes = np.asarray(self.prediction_classes, dtype=np.int64)
        result = np.zeros(len(classes), dtype=bool)
        for index in np.unique(classes):
            pixels = self.ignored_pixels(index)
            if pixels is not None:
                mine = np.flatnonzero(classes == index)
                # Against a "crowd" COCO's IoU is the share of the prediction that it covers.
                share = coco_mask.iou([self.predictions[i] for i in mine], [encoded(pixels)], [1])
                result[mine] = share[:, 0] > 0.5
        return result


def gather_masks(
    records: Sequence[dict], predictions: Sequence[dict], num_classes: int
) -> dict[int | str, ImageMasks]:
    """Records of a data set and predictions on it, image by image.

    Args:
        records: Detectron2's, of the whole data set: ``image_id``, ``height``, ``width``,
            ``annotations`` with ``segmentation`` and ``category_id``. Annotations with ``iscrowd``
            are crowds; ``void``, an RLE, is what the record has of it.
        predictions: in COCO's results form, with class indices as ``category_id``; masks in any of
            COCO's forms.
        num_classes: K.

    Returns:
        Of each image, in the order of the records; predictions in their order.

    Raises:
        ValueError: for an object or prediction without a mask, or with one of another size than its
            image; for a prediction of an unknown image or class, or of a score that is not finite.
    """
    images = {record["image_id"]: _truth(record) for record in records}
    sizes = {record["image_id"]: (record["height"], record["width"]) for record in records}
    for prediction in predictions:
        identity, index, score = (
            prediction["image_id"],
            prediction["category_id"],
            prediction["score"],
        )
        if identity not in images:
            raise ValueError(
                f"a prediction is of image {identity!r}, which the data set does not have"
            )
        if not 0 <= index < num_classes:
            raise ValueError(
                f"image {identity!r} has a prediction of class {index}, but classes are 0 to "
                f"{num_classes - 1}: category_id is the index of the class, not COCO's number"
            )
        if not math.isfinite(score):
            raise ValueError(
                f"image {identity!r} has a prediction of score {score}, which cannot be ranked"
            )
        if not prediction.get("segmentation"):
            raise ValueError(
                f"image {identity!r} has a prediction without a mask, which cannot be scored"
            )
        mask = _rle(prediction["segmentation"], identity, sizes[identity], "predicted for it")
        image = images[identity]
        image.predictions.append(mask)
        image.prediction_classes.append(index)
        image.scores.append(score)
    return images


def check_truth_has_masks(records: Sequence[dict]) -> None:
    """Raise ValueError for an object without a mask, as ``gather_masks`` would."""
    for record in records:
        if not all(annotation.get("segmentation") for annotation in record["annotations"]):
            raise ValueError(
                f"image {record['image_id']!r} has an object without a mask, which cannot be scored"
            )


def _truth(record: dict) -> ImageMasks:
    """The objects, the crowds and the void of one record."""
    check_truth_has_masks([record])
    identity, size = record["image_id"], (record["height"], record["width"])
    objects, classes, crowds, crowd_classes = [], [], [], []
    for annotation in record["annotations"]:
        mask = _rle(annotation["segmentation"], identity, size, "of an object in it")
        is_crowd = annotation.get("iscrowd", 0)
        (crowds if is_crowd else objects).append(mask)
        (crowd_classes if is_crowd else classes).append(annotation["category_id"])
    void = _rle(record["void"], identity, size, "of its void") if "void" in record else None
    return ImageMasks(objects, classes, void=void, crowds=crowds, crowd_classes=crowd_classes)


def _rle(segmentation: dict | list, identity: int | str, size: tuple[int, int], what: str) -> dict:
    """A mask of an image as a compressed RLE; raises ValueError where it is of another size.

    COCO's tools do not: they count masks of two sizes as apart.
    """
    mask = as_rle(segmentation, *size)
    if tuple(mask["size"]) != size:
        raise ValueError(
            f"image {identity!r} is {list(size)}, but a mask {what} {list(mask['size'])} "
            "(height, width)"
        )
    return mask
