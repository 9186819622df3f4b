"""Which objects touch, and AP of some objects beside that of a data set which has these alone."""

import numpy as np
import pytest

from dml_instance.comparison.neighbours import GAP, part_ap, touching
from dml_instance.comparison.scores import mask_scores
from toy_annotations import LEFT, RIGHT, box, data_set, predictions_of


@pytest.mark.parametrize(
    ("gap", "classes", "expected"),
    [
        (0, (1, 1), {1001, 1002}),
        (GAP, (1, 1), {1001, 1002}),
        (GAP + 1, (1, 1), set()),
        (0, (1, 2), set()),
    ],
)
def test_objects_of_a_class_touch_within_the_gap(gap, classes, expected):
    first, second = box(5, 2, 25, 12), box(5, 12 + gap, 25, 30 + gap)
    assert touching(data_set([(first, classes[0]), (second, classes[1])])) == expected


def test_objects_of_two_images_and_alone_do_not_touch():
    assert touching(data_set([(LEFT, 1)], [(RIGHT, 1)])) == set()


def test_objects_that_share_pixels_touch():
    assert touching(data_set([(box(0, 0, 9, 9), 1), (box(4, 4, 20, 20), 1)])) == {1001, 1002}


@pytest.mark.parametrize("seed", range(8))
def test_detections_of_the_others_are_neither_right_nor_wrong(seed):
    """Objects far apart, so that no detection meets two of them: then AP of a part is that of a
    data set which has only that part, and only the detections that do not meet the others."""
    rng = np.random.default_rng(seed)
    places = [box(top, left, top + 8, left + 8) for top in (1, 15, 29) for left in (1, 21, 41)]
    objects = [(mask, int(rng.integers(1, 3))) for mask in places]
    truth = data_set(objects)
    found = []
    for mask, category in objects:
        shifted = np.roll(mask, rng.integers(0, 4), axis=1)
        found.append((1, shifted, category, round(float(rng.random()), 3)))
    found.append((1, box(10, 1, 14, 5), 1, 0.7))  # meets nothing
    chosen = set(rng.choice(list(truth.anns), 5, replace=False).tolist())
    part = data_set([o for number, o in enumerate(objects, start=1001) if number in chosen])

    def meets_another(mask, category):
        best = max(
            (np.logical_and(mask, m).sum() / np.logical_or(mask, m).sum(), number)
            for number, (m, c) in enumerate(objects, start=1001)
            if c == category
        )
        # A detection is matched, and so ignored, from the threshold on: of 0.5 alone.
        return best[0] >= 0.5 and best[1] not in chosen

    left = [f for f in found if not meets_another(f[1], f[2])]
    expected = mask_scores(part, predictions_of(part, *left), 100)["AP50"]
    assert part_ap(truth, predictions_of(truth, *found), 100, chosen)["AP50"] == pytest.approx(
        expected
    )


def test_a_part_without_objects_has_no_ap():
    truth = data_set([(LEFT, 1)])
    assert np.isnan(part_ap(truth, predictions_of(truth, (1, LEFT, 1, 0.9)), 100, set())["AP"])
