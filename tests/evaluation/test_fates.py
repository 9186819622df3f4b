"""Fates stand in the order of the image's objects; the kinds themselves are drawn in
tests/comparison/test_errors.py."""

import numpy as np

from dml_instance.evaluation import ImageMasks, count_fates, fates_of
from toy_scenes import rle


def block(top, left, bottom, right):
    mask = np.zeros((30, 60), bool)
    mask[top:bottom, left:right] = True
    return mask


def image(objects, found, crowds=()):
    """Objects and predictions as (mask, class) and (mask, class, score)."""
    return ImageMasks(
        truth=[rle(m) for m, _ in objects],
        truth_classes=[c for _, c in objects],
        predictions=[rle(m) for m, *_ in found],
        prediction_classes=[c for _, c, _ in found],
        scores=[s for *_, s in found],
        crowds=[rle(m) for m in crowds],
        crowd_classes=[0] * len(crowds),
    )


FIRST, SECOND, THIRD = block(0, 0, 10, 10), block(0, 20, 10, 30), block(20, 0, 30, 10)


def test_fates_stand_in_the_order_of_the_objects():
    fates = fates_of(
        image(
            [(FIRST, 0), (SECOND, 1), (THIRD, 0)],
            # The weakest first: the order of predictions does not count.
            [(block(20, 40, 30, 50), 0, 0.3), (SECOND, 0, 0.6), (THIRD, 0, 0.9)],
        ),
        min_score=0.25,
    )
    assert fates.objects == ["missed", "wrong class", "found"]
    assert fates.predictions == ["background"]


def test_the_better_of_two_predictions_finds_the_object():
    twice = [(FIRST, 0, 0.4), (FIRST | block(10, 0, 12, 10), 0, 0.8)]
    assert fates_of(image([(FIRST, 0)], twice), 0.5).predictions == []
    fates = fates_of(image([(FIRST, 0)], twice), 0.4)
    assert (fates.objects, fates.predictions) == (["found"], ["duplicate"])


def test_crowds_are_no_objects():
    fates = fates_of(image([(FIRST, 0)], [(FIRST, 0, 0.9)], crowds=[SECOND]), 0.5)
    assert fates.objects == ["found"]
    assert count_fates([fates, fates])["found"] == 2
