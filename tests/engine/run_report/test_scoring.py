"""Images at a least score, against scenes that are drawn."""

import math

import numpy as np
import pytest

from dml_instance.engine.run_report.scoring import score_images
from dml_instance.evaluation import ImageMasks
from toy_scenes import rle

WIDTHS = (2, 4, 8, 16)


def bar(row, width):
    mask = np.zeros((40, 20), bool)
    mask[10 * row : 10 * row + 8, :width] = True
    return mask


def image(name, found, scores=None):
    """Four bars, the widest at the bottom, of which some are found exactly; one image of them."""
    masks = [rle(bar(row, width)) for row, width in enumerate(WIDTHS)]
    predictions = [masks[i] for i in found]
    scores = [0.9] * len(found) if scores is None else scores
    of = ImageMasks(masks, [0] * 4, predictions, [0] * len(found), scores)
    return "toy", {"file_name": name}, of


def test_a_score_is_f1_and_images_are_ranked_by_it():
    scoring = score_images([image("half", [0, 1]), image("all", range(4)), image("none", [])], 0.5)
    assert [i.score for i in scoring.images] == pytest.approx([2 * 2 / (2 * 2 + 2), 1, 0])
    assert [i.record["file_name"] for i in scoring.ranked] == ["all", "half", "none"]
    assert scoring.f1 == pytest.approx(2 * 6 / (2 * 6 + 6))
    assert (scoring.fates["found"], scoring.fates["missed"]) == (6, 6)


def test_a_score_is_the_mean_over_ious():
    """A mask of IoU 0.75 counts up to that."""
    dataset, record, masks = image("cut", [])
    cut = bar(3, 12)
    found = ImageMasks(masks.truth[3:], [0], [rle(cut)], [0], [0.9])
    scoring = score_images([(dataset, record, found)], 0.5)
    assert scoring.images[0].score == pytest.approx(6 / 10)
    assert scoring.images[0].counts.tolist() == [1, 0, 0]


def test_the_least_score_is_the_best_where_none_is_given():
    weak = image("weak", [0, 1, 2, 3], [0.33, 0.6, 0.6, 0.9])
    scoring = score_images([weak])
    assert scoring.min_score == 0.05 and scoring.curve[0.05] == 1
    assert scoring.curve[0.5] == pytest.approx(6 / 7) and scoring.curve[0.95] == 0
    assert score_images([weak], 0.5).fates["missed"] == 1


def test_small_objects_are_the_quarter_of_least_area():
    scoring = score_images([image("small missed", [1, 2, 3]), image("all", range(4))])
    assert scoring.missed_by_size == ((1, 2), (0, 6))


def test_images_without_anything_are_not_ranked():
    empty = ("toy", {"file_name": "empty"}, ImageMasks())
    scoring = score_images([empty, image("all", range(4))], 0.5)
    assert math.isnan(scoring.images[0].score) and len(scoring.ranked) == 1
    nothing = score_images([empty], 0.5)
    assert math.isnan(nothing.f1) and nothing.missed_by_size == ((0, 0), (0, 0))
