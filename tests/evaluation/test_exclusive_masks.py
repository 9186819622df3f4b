"""PQ, SBD and differences in count against the definitions, pixel by pixel."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dml_instance.evaluation.exclusive_masks import (
    difference_in_count,
    panoptic_counts,
    panoptic_quality,
    segments,
    symmetric_best_dice,
)
from toy_masks import SHAPE, Scene, block, random_scene

SEEDS = st.integers(0, 1_000_000)
VOID = "void"


def label_maps(scene, min_score):
    """The true and the predicted label of each pixel.

    An index, ``VOID``, the set of classes that it is a crowd of, or None.
    """
    true, found = np.full(SHAPE, None, object), np.full(SHAPE, None, object)
    ranked = sorted(range(len(scene.scores)), key=lambda i: -scene.scores[i])  # stable
    for place in np.ndindex(SHAPE):
        crowds = zip(scene.crowds, scene.crowd_classes, strict=True)
        true[place] = frozenset(index for crowd, index in crowds if crowd[place]) or None
        if scene.void is not None and scene.void[place]:
            true[place] = VOID
        for number, mask in enumerate(scene.truth):
            if mask[place]:
                true[place] = number
        for i in ranked:
            if scene.scores[i] >= min_score and scene.predictions[i][place]:
                found[place] = i
                break
    return true, found


def slow_panoptic(scene, min_score, num_classes):
    """As the authors' evaluation counts, and SBD and DiC of what they count."""
    true, found = label_maps(scene, min_score)
    both = Counter(zip(true.ravel(), found.ravel(), strict=True))
    of_true, of_found = Counter(true.ravel()), Counter(found.ravel())
    del of_found[None]
    counts = np.zeros((num_classes, 4))
    matched_true, matched_found = set(), set()
    for number in range(len(scene.truth)):
        for i in of_found:
            union = of_true[number] + of_found[i] - both[number, i] - both[VOID, i]
            index = scene.truth_classes[number]
            if index == scene.prediction_classes[i] and both[number, i] > union / 2:
                counts[index] += both[number, i] / union, 1, 0, 0
                matched_true.add(number)
                matched_found.add(i)
    for number in range(len(scene.truth)):
        counts[scene.truth_classes[number], 3] += number not in matched_true
    counted = []
    for i in of_found:
        index = scene.prediction_classes[i]
        ignored = sum(
            pixels
            for (label, of), pixels in both.items()
            if of == i and (label == VOID or (isinstance(label, frozenset) and index in label))
        )
        if i in matched_found or ignored <= of_found[i] / 2:
            counted.append(i)
            counts[index, 2] += i not in matched_found
    dice = [
        [
            2 * both[number, i] / (of_found[i] - both[VOID, i] + of_true[number])
            for number in range(len(scene.truth))
        ]
        for i in counted
    ]
    if counted and scene.truth:
        sbd = min(np.max(dice, axis=1).mean(), np.max(dice, axis=0).mean())
    else:
        sbd = 0.0 if counted or scene.truth else float("nan")
    return counts, sbd, len(counted) - len(scene.truth)


@settings(max_examples=150, deadline=None)
@given(SEEDS, st.sampled_from([0.0, 0.5, 0.95]))
def test_all_is_as_on_label_images(seed, min_score):
    scene = random_scene(np.random.default_rng(seed), exclusive_truth=True)
    counts, sbd, difference = slow_panoptic(scene, min_score, 2)
    of_image = segments(scene.encoded(), min_score)
    np.testing.assert_allclose(panoptic_counts(of_image, 2), counts, atol=1e-12)
    assert symmetric_best_dice(of_image) == pytest.approx(sbd, nan_ok=True)
    assert difference_in_count(of_image) == difference


def figures(scene, min_score=0.0):
    of_image = segments(scene.encoded(), min_score)
    quality = panoptic_quality(panoptic_counts(of_image, 2).sum(axis=0))
    return (
        *(float(value) for value in quality.values()),
        symmetric_best_dice(of_image),
        difference_in_count(of_image),
    )


LEFT, RIGHT, BELOW = block(0, 0, 4, 4), block(0, 4, 4, 8), block(4, 0, 7, 8)
NOTHING, ALL, PIXEL = block(0, 0, 0, 0), block(0, 0, *SHAPE), block(3, 3, 4, 4)
NAN = pytest.approx(float("nan"), nan_ok=True)


@pytest.mark.parametrize(
    ("truth", "predictions", "expected"),
    [
        ([LEFT, RIGHT], [LEFT, RIGHT], (1, 1, 1, 1, 0)),
        ([ALL], [ALL], (1, 1, 1, 1, 0)),
        ([PIXEL], [PIXEL], (1, 1, 1, 1, 0)),
        ([LEFT, RIGHT], [], (0, 0, 0, 0, -2)),
        ([], [LEFT], (0, 0, 0, 0, 1)),
        ([], [], (NAN, NAN, NAN, NAN, 0)),
        # Half an object has an IoU of 0.5, which is not more than 0.5.
        ([LEFT], [block(0, 0, 4, 2)], (0, 0, 0, 2 / 3, 0)),
        ([LEFT], [block(0, 0, 4, 3)], (0.75, 0.75, 1, 6 / 7, 0)),
        ([LEFT, RIGHT], [LEFT], (1 / 1.5, 1, 1 / 1.5, 0.5, -1)),
        # Of equal masks the second keeps no pixel and is gone; an empty one never had any.
        ([LEFT], [LEFT, LEFT, NOTHING], (1, 1, 1, 1, 0)),
        # The better one keeps what both have.
        ([LEFT, RIGHT], [LEFT, LEFT | RIGHT], (1, 1, 1, 1, 0)),
        # Of merged objects each has its best Dice with the same prediction.
        ([LEFT, RIGHT], [LEFT | RIGHT, LEFT], (0, 0, 0, 2 / 3, -1)),
    ],
)
def test_cases_by_hand(truth, predictions, expected):
    scores = [0.9, 0.8, 0.7][: len(predictions)]
    scene = Scene(truth, [0] * len(truth), predictions, [0] * len(predictions), scores)
    assert figures(scene) == tuple(e if e is NAN else pytest.approx(e) for e in expected)


def test_of_equal_scores_the_first_keeps_the_pixels_whatever_the_class():
    for classes, expected in (([0, 1], 1.0), ([1, 0], 0.0)):
        scene = Scene([LEFT], [0], [LEFT, LEFT], classes, [0.5, 0.5])
        assert figures(scene)[2] == expected


def test_the_first_of_many_equal_scores_keeps_the_pixels():
    classes, scores = [1] * 4 + [0] + [1] * 35, [0.3] * 4 + [0.5] * 36
    assert figures(Scene([LEFT], [0], [LEFT] * 40, classes, scores))[2] == 1


def test_what_matches_counts_however_much_of_it_is_void():
    scene = Scene([LEFT], [0], [LEFT | BELOW], [0], [0.9], void=BELOW)
    assert figures(scene) == (1, 1, 1, 1, 0)


def test_a_crowd_is_of_its_class():
    scene = Scene([], [], [LEFT, RIGHT], [0, 1], [0.9, 0.9])
    for classes, expected in (([0, 1], 0), ([0, 0], 1), ([1, 0], 2)):
        scene.crowds, scene.crowd_classes = [LEFT, RIGHT], classes
        assert figures(scene)[4] == expected


def test_objects_that_overlap_keep_their_pixels():
    """Two cables that cross: what both have goes to the better prediction alone."""
    down, across = block(0, 3, 7, 5), block(3, 0, 5, 8)
    scene = Scene([down, across], [0, 0], [down, across], [0, 0], [0.9, 0.8])
    _, quality, recognised, _, difference = figures(scene)
    assert (recognised, difference) == (1, 0)
    assert quality == pytest.approx((1 + 12 / 16) / 2)


def test_a_prediction_that_two_overlapping_objects_match_counts_once_for_the_better():
    scene = Scene([block(0, 0, 4, 4), block(0, 0, 4, 5)], [0, 0], [block(0, 0, 4, 5)], [0], [0.9])
    counts = panoptic_counts(segments(scene.encoded(), 0), 1)
    assert counts.tolist() == [[1, 1, 0, 1]]


def test_predictions_of_a_lower_score_are_not_there():
    scene = Scene([LEFT], [0], [LEFT, RIGHT | LEFT], [0, 0], [0.4, 0.6])
    assert figures(scene, 0.5)[4] == 0 and figures(scene, 0.5)[0] == 0
    assert figures(scene, 0.7)[4] == -1


def test_qualities_of_classes_and_nan_where_nothing_is_counted():
    quality = panoptic_quality(np.array([[1.5, 2, 1, 1], [0, 0, 3, 0], [0, 0, 0, 0]]))
    assert quality["PQ"][:2].tolist() == [0.5, 0]
    assert quality["SQ"][:2].tolist() == [0.75, 0]
    assert quality["RQ"][:2].tolist() == [2 / 3, 0]
    assert all(np.isnan(values[2]) for values in quality.values())
