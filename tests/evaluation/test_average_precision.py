"""mAP^r against the definition, pixel by pixel and detection by detection."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from dml_instance.evaluation.average_precision import (
    average_precision,
    mask_iou,
    mean_average_precision_masks,
    true_detections,
)
from dml_instance.evaluation.image_masks import ImageMasks

SHAPE = (6, 7)
THRESHOLDS = [0.1, 0.3, 0.5, 0.7, 0.9]


def encoded(mask):
    return coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))


def slow_map(scenes, num_classes, threshold):
    """By definition; scenes are (truth, classes, predictions, classes, scores, void), dense."""
    result = []
    for index in range(num_classes):
        ranked, objects = [], 0
        for truth, truth_classes, predicted, classes, scores, void in scenes:
            mine = [mask for mask, c in zip(truth, truth_classes, strict=True) if c == index]
            objects += len(mine)
            taken = set()
            detections = [
                (s, m) for m, c, s in zip(predicted, classes, scores, strict=True) if c == index
            ]
            for score, mask in sorted(detections, key=lambda pair: -pair[0]):  # stable
                overlaps = []
                for other in mine:
                    intersection = union = 0
                    for row in range(SHAPE[0]):
                        for column in range(SHAPE[1]):
                            p = mask[row, column] and not void[row, column]
                            intersection += bool(p and other[row, column])
                            union += bool(p or other[row, column])
                    overlaps.append(intersection / union if union else 0.0)
                best = max(range(len(mine)), key=lambda i: overlaps[i], default=None)
                is_true = best is not None and overlaps[best] >= threshold and best not in taken
                if is_true:
                    taken.add(best)
                ranked.append((score, is_true))
        ranked.sort(key=lambda pair: -pair[0])
        if not objects:
            result.append(math.nan)
            continue
        points, found = [], 0
        for number, (_, is_true) in enumerate(ranked, start=1):
            found += is_true
            points.append((found / objects, found / number))
        area, reached = 0.0, 0.0
        for recall, _ in points:
            if recall > reached:
                area += (recall - reached) * max(
                    precision for r, precision in points if r >= recall
                )
                reached = recall
        result.append(area)
    return result


def random_mask(rng):
    rows, columns = np.sort(rng.integers(0, [[SHAPE[0] + 1], [SHAPE[1] + 1]], (2, 2)))
    mask = np.zeros(SHAPE, bool)
    mask[slice(*rows), slice(*columns)] = True  # may be empty
    return mask


def random_scene(rng, num_classes):
    truth, predicted = ([random_mask(rng) for _ in range(rng.integers(0, 5))] for _ in range(2))
    predicted += (
        [truth[i] for i in rng.integers(0, len(truth), rng.integers(0, 3))] if truth else []
    )  # and duplicates
    void = random_mask(rng) if rng.random() < 0.5 else np.zeros(SHAPE, bool)
    # of equal overlaps the first counts in both; ties of IoU are decided alike because both divide
    # the same integers
    truth = [mask & ~void for mask in truth]
    truth = [mask for mask in truth if mask.any()]
    truth_classes, classes = (
        rng.integers(0, num_classes, len(masks)) for masks in (truth, predicted)
    )
    scores = rng.choice([0.2, 0.5, 0.5, 0.9], len(predicted))  # many ties
    return truth, truth_classes, predicted, classes, scores, void


def as_image(scene):
    truth, truth_classes, predicted, classes, scores, void = scene
    return ImageMasks(
        [encoded(m) for m in truth],
        truth_classes,
        [encoded(m) for m in predicted],
        classes,
        scores,
        encoded(void) if void.any() else None,
    )


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 100_000), st.integers(0, 4), st.integers(1, 3))
def test_map_equals_the_slow_definition(seed, images, num_classes):
    rng = np.random.default_rng(seed)
    scenes = [random_scene(rng, num_classes) for _ in range(images)]
    got = mean_average_precision_masks(
        [as_image(scene) for scene in scenes], num_classes, THRESHOLDS
    )
    expected = [slow_map(scenes, num_classes, threshold) for threshold in THRESHOLDS]
    np.testing.assert_allclose(got, expected, atol=1e-9)


def block(rows, columns):
    mask = np.zeros(SHAPE, bool)
    mask[slice(*rows), slice(*columns)] = True
    return mask


LEFT, RIGHT = block((0, 6), (0, 3)), block((0, 6), (4, 7))
NOTHING = np.zeros(SHAPE, bool)
CASES = {
    "perfect": ([LEFT, RIGHT], [0, 0], [LEFT, RIGHT], [0, 0], [0.9, 0.8], NOTHING, 1.0),
    "a duplicate before the second object": (
        *([LEFT, RIGHT], [0, 0], [LEFT, LEFT, RIGHT], [0, 0, 0], [0.9, 0.8, 0.7], NOTHING),
        0.5 + 0.5 * 2 / 3,
    ),
    "a false one last costs nothing": (
        *([LEFT], [0], [LEFT, RIGHT], [0, 0], [0.9, 0.1], NOTHING),
        1.0,
    ),
    "a false one first": ([LEFT], [0], [RIGHT, LEFT], [0, 0], [0.9, 0.1], NOTHING, 0.5),
    "the right place and the wrong class": ([LEFT], [0], [LEFT], [1], [0.9], NOTHING, 0.0),
    "no prediction": ([LEFT], [0], [], [], [], NOTHING, 0.0),
    "an empty mask": ([LEFT], [0], [NOTHING, LEFT], [0, 0], [0.9, 0.8], NOTHING, 0.5),
    "too large, but only into the void": ([LEFT], [0], [LEFT | RIGHT], [0], [0.9], RIGHT, 1.0),
    "all in the void": ([LEFT], [0], [RIGHT], [0], [0.9], RIGHT, 0.0),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_cases_by_hand(case):
    *scene, expected = case
    got = mean_average_precision_masks([as_image(scene)], 3, [0.6])
    assert got[0, 0] == pytest.approx(expected)
    assert math.isnan(got[0, 2]), "a class without objects has no AP"


def test_no_images_and_no_objects():
    assert np.isnan(mean_average_precision_masks([], 2, [0.5])).all()
    assert np.isnan(mean_average_precision_masks([ImageMasks()], 2, [0.5])).all()
    assert math.isnan(average_precision(np.array([False]), 0))
    assert average_precision(np.zeros(0, bool), 3) == 0


def test_a_detection_belongs_to_the_object_it_overlaps_most_even_if_that_is_taken():
    iou = np.array([[0.9, 0.0], [0.7, 0.65], [0.0, 0.6]])
    assert true_detections(iou, np.array([0.5, 0.8])).tolist() == [
        [True, False, True],
        [True, False, False],
    ]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 100_000))
def test_the_order_of_images_matters_only_among_equal_scores(seed):
    rng = np.random.default_rng(seed)
    scenes = [random_scene(rng, 2) for _ in range(4)]
    scores = rng.permutation(sum(len(scene[2]) for scene in scenes)) / 100
    cut = np.cumsum([len(scene[2]) for scene in scenes])[:-1]
    scenes = [
        (*scene[:4], s, scene[5]) for scene, s in zip(scenes, np.split(scores, cut), strict=True)
    ]
    images = [as_image(scene) for scene in scenes]
    first = mean_average_precision_masks(images, 2, THRESHOLDS)
    np.testing.assert_array_equal(first, mean_average_precision_masks(images[::-1], 2, THRESHOLDS))
    assert (np.diff(first, axis=0)[~np.isnan(first[1:])] <= 1e-12).all(), (
        "a higher threshold is never easier"
    )


def test_iou_takes_the_void_away_from_predictions_alone():
    void = block((0, 6), (2, 4))
    iou = mask_iou(
        [encoded(LEFT), encoded(NOTHING)],
        [encoded(block((0, 6), (0, 2))), encoded(NOTHING)],
        encoded(void),
    )
    np.testing.assert_allclose(iou, [[1.0, 0.0], [0.0, 0.0]])
    assert mask_iou([], [encoded(LEFT)]).shape == (0, 1)
    assert mask_iou([encoded(LEFT)], []).shape == (1, 0)


def test_an_iou_of_just_the_threshold_is_enough():
    for area, other, common, threshold in (
        (22, 143, 15, 0.1),
        (22, 68, 15, 0.2),
        (22, 23, 15, 0.5),
        (23, 16, 13, 0.5),
    ):
        row = np.arange(200)[None]
        prediction, truth = row < area, (row >= area - common) & (row < area - common + other)
        assert common / (area + other - common) == threshold
        assert mask_iou([encoded(prediction)], [encoded(truth)])[0, 0] == threshold


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 100_000))
def test_void_that_an_object_has_too_is_the_objects(seed):
    rng = np.random.default_rng(seed)
    truth, predicted = ([random_mask(rng) for _ in range(3)] for _ in range(2))
    void = random_mask(rng)
    kept = [mask & ~(void & ~np.any(truth, axis=0)) for mask in predicted]
    got = mask_iou(
        [encoded(m) for m in predicted],
        [encoded(m) for m in truth],
        encoded(void),
        list(map(encoded, truth)),
    )
    union = np.array([[(p | t).sum() for t in truth] for p in kept])
    common = np.array([[(p & t).sum() for t in truth] for p in kept])
    np.testing.assert_array_equal(got, np.where(union, common / np.maximum(union, 1), 0))


def test_an_image_may_hold_hundreds_of_objects_of_a_class():
    masks = [encoded(np.arange(42).reshape(SHAPE) == index % 42) for index in range(300)]
    iou = mask_iou(masks, masks)
    same = np.arange(300)[:, None] % 42 == np.arange(300)[None] % 42
    assert (iou == same).all()
