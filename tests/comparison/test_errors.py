"""What becomes of objects and predictions that are drawn with a known fate."""

import pytest

from dml_instance.comparison.errors import count_errors
from dml_instance.evaluation import OBJECT_KINDS, PREDICTION_KINDS
from toy_annotations import LEFT, RIGHT, box, data_set, predictions_of


def errors_of(objects, found, min_score=0.0):
    truth = data_set(objects)
    counts = count_errors(truth, predictions_of(truth, *((1, *f) for f in found)), min_score)
    assert set(counts) == {*OBJECT_KINDS, *PREDICTION_KINDS}
    assert sum(counts[kind] for kind in OBJECT_KINDS) == len(objects)
    return {kind: count for kind, count in counts.items() if count}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([(LEFT, 1, 0.9), (RIGHT, 1, 0.8)], {"found": 2}),
        ([(LEFT, 1, 0.9), (RIGHT, 2, 0.8)], {"found": 1, "wrong class": 1}),
        ([(LEFT, 1, 0.9), (LEFT, 1, 0.8), (RIGHT, 1, 0.7)], {"found": 2, "duplicate": 1}),
        ([(LEFT | RIGHT | box(25, 5, 35, 45), 1, 0.9)], {"merged": 2, "other": 1}),
        (
            [(LEFT, 1, 0.9), (box(5, 25, 13, 45), 1, 0.8), (box(13, 25, 21, 45), 1, 0.7)],
            {"found": 1, "split": 1, "other": 2},
        ),
        ([(LEFT, 1, 0.9), (box(5, 25, 13, 45), 1, 0.8)], {"found": 1, "poor mask": 1, "other": 1}),
        (
            [(LEFT, 1, 0.9), (box(30, 30, 40, 60), 1, 0.8)],
            {"found": 1, "missed": 1, "background": 1},
        ),
        ([(LEFT, 1, 0.2), (RIGHT, 1, 0.9)], {"found": 1, "missed": 1}),
        (
            [(LEFT, 1, 0.9), (LEFT, 2, 0.8), (RIGHT, 2, 0.9), (RIGHT, 1, 0.8)],
            {"found": 1, "wrong class": 1},
        ),
        ([], {"missed": 2}),
    ],
)
def test_every_object_and_prediction_has_the_fate_that_it_is_drawn_with(found, expected):
    if found:
        assert errors_of([(LEFT, 1), (RIGHT, 1)], found, min_score=0.5) == expected


def test_an_image_without_objects_has_background_alone():
    assert errors_of([], [(LEFT, 1, 0.9)]) == {"background": 1}
