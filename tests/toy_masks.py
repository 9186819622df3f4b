"""Small random scenes of masks, dense, and slow answers to what is asked of them."""

from dataclasses import dataclass, field

import numpy as np

from dml_instance.evaluation import ImageMasks
from toy_scenes import rle

SHAPE = (7, 8)


def block(top, left, bottom, right, shape=SHAPE):
    """A rectangle as a mask, bounds half open."""
    mask = np.zeros(shape, bool)
    mask[top:bottom, left:right] = True
    return mask


@dataclass
class Scene:
    """Dense masks of an image, with the names of ``ImageMasks``."""

    truth: list = field(default_factory=list)
    truth_classes: list = field(default_factory=list)
    predictions: list = field(default_factory=list)
    prediction_classes: list = field(default_factory=list)
    scores: list = field(default_factory=list)
    void: np.ndarray | None = None
    crowds: list = field(default_factory=list)
    crowd_classes: list = field(default_factory=list)

    def encoded(self):
        return ImageMasks(
            [rle(m) for m in self.truth],
            self.truth_classes,
            [rle(m) for m in self.predictions],
            self.prediction_classes,
            self.scores,
            None if self.void is None else rle(self.void),
            [rle(m) for m in self.crowds],
            self.crowd_classes,
        )

    def region(self, *masks):
        """What some masks have and no object has."""
        return np.any([np.zeros(SHAPE, bool), *masks], axis=0) & ~np.any(
            [np.zeros(SHAPE, bool), *self.truth], axis=0
        )

    def void_pixels(self):
        return self.region(*([] if self.void is None else [self.void]))

    def ignored_pixels(self, index):
        crowds = [m for m, c in zip(self.crowds, self.crowd_classes, strict=True) if c == index]
        return self.region(self.void_pixels(), *crowds)

    def is_ignored(self, mask, index):
        """More than half of a mask is void or a crowd of its class."""
        return bool(2 * (mask & self.ignored_pixels(index)).sum() > mask.sum())

    def record(self, image_id):
        """Of Detectron2's form."""
        annotations = [
            {"segmentation": rle(mask), "category_id": int(c), "iscrowd": crowd}
            for masks, classes, crowd in (
                (self.truth, self.truth_classes, 0),
                (self.crowds, self.crowd_classes, 1),
            )
            for mask, c in zip(masks, classes, strict=True)
        ]
        void = {} if self.void is None else {"void": rle(self.void)}
        size = dict(zip(("height", "width"), SHAPE, strict=True))
        return {"image_id": image_id, **size, "annotations": annotations, **void}

    def results(self, image_id):
        """Of COCO's form."""
        return [
            {"image_id": image_id, "category_id": int(c), "segmentation": rle(m), "score": float(s)}
            for m, c, s in zip(self.predictions, self.prediction_classes, self.scores, strict=True)
        ]


def random_block(rng):
    """May be empty, a pixel, or the whole image."""
    rows, columns = (np.sort(rng.integers(0, side + 1, 2)) for side in SHAPE)
    return block(rows[0], columns[0], rows[1], columns[1])


def random_scene(rng, num_classes=2, *, exclusive_truth=False):
    """Overlapping rectangles, ties of score, void and crowds.

    Predictions are also objects a pixel off, what is void or a crowd, and objects with void.
    """
    truth = [random_block(rng) for _ in range(rng.integers(0, 4))]
    if exclusive_truth:
        truth = [m & ~np.any([block(0, 0, 0, 0), *truth[:i]], axis=0) for i, m in enumerate(truth)]
        truth = [m for m in truth if m.any()]
    predictions = [random_block(rng) for _ in range(rng.integers(0, 3))]
    for mask in truth:
        if rng.random() < 0.7:
            predictions.append(np.roll(mask, rng.integers(-1, 2, 2), (0, 1)))
    crowds = [random_block(rng) for _ in range(rng.integers(0, 3))]
    void = random_block(rng) if rng.random() < 0.5 else None
    regions = [*crowds, *([] if void is None else [void])]
    predictions += [mask for mask in regions if rng.random() < 0.3]
    if truth and void is not None and rng.random() < 0.5:
        predictions.append(truth[0] | void)
    classes = [
        rng.integers(0, num_classes, len(masks)).tolist() for masks in (truth, predictions, crowds)
    ]
    scores = rng.choice([0.1, 0.2, 0.5, 0.5, 0.9], len(predictions)).tolist()
    return Scene(truth, classes[0], predictions, classes[1], scores, void, crowds, classes[2])


def all_matchings(pairs, row=0, taken=()):
    """Every one-to-one set of pairs of a (N, G) bool matrix, the empty one too, as lists."""
    if row == len(pairs):
        yield []
        return
    yield from all_matchings(pairs, row + 1, taken)
    for column in np.flatnonzero(pairs[row]):
        if column not in taken:
            for others in all_matchings(pairs, row + 1, (*taken, column)):
                yield [(row, column), *others]


def iou_of(first, second):
    union = (first | second).sum()
    return (first & second).sum() / union if union else 0.0
