"""How many seeds and instances an image may have, and what is said when that was too few."""

import logging

import pytest
import torch

from hand_made import HandSeed, flat_embedding, grouping_of, maps_of, picture

LOGGER = "dml_instance.grouping"


@pytest.fixture
def warnings(caplog):
    """The messages that the grouping has logged, when called."""
    caplog.set_level(logging.WARNING, logger=LOGGER)
    return lambda: [record.getMessage() for record in caplog.records if LOGGER in record.name]


def four_objects(scores=(0.3, 0.9, 0.5, 0.7), **sizes):
    """In a row, with their numbers as classes."""
    seeds = [HandSeed(0, 2 * index, score, index) for index, score in enumerate(scores)]
    return maps_of(flat_embedding(picture("1.2.3.4")), seeds, **sizes)


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_the_best_are_kept_under_a_limit_and_the_others_are_told_of(limit, warnings):
    result = grouping_of(max_instances=limit)([four_objects()], (1, 7), "a.png")
    assert result.pred_classes.tolist() == [1, 3, 2][:limit]
    (message,) = warnings()
    assert message.startswith(f"a.png: the best {limit} of 4 instances are returned")
    assert "TEST.DETECTIONS_PER_IMAGE" in message and "MODEL.DML.SCORE_THRESH_TEST" in message


def test_a_limit_is_told_of_once_and_its_images_are_counted(warnings):
    grouping = grouping_of(max_instances=2)
    assert grouping.limits.remarks == []
    grouping([four_objects()], (1, 7), "a.png")
    assert grouping.limits.remarks == ["TEST.DETECTIONS_PER_IMAGE was reached in 1 image"]
    assert len(warnings()) == 1
    for name in ("b.png", "c.png"):
        grouping([four_objects()], (1, 7), name)
    assert len(warnings()) == 1
    assert grouping.limits.remarks == ["TEST.DETECTIONS_PER_IMAGE was reached in 3 images"]


@pytest.mark.parametrize("limit", [4, 5])
def test_nothing_is_said_where_all_were_kept(limit, warnings):
    assert len(grouping_of(max_instances=limit)([four_objects()], (1, 7))) == 4
    assert warnings() == []


def test_nothing_is_said_of_those_that_were_not_asked_for(warnings):
    """Two are good enough, and two may be returned."""
    result = grouping_of(max_instances=2, min_score=0.6)([four_objects()], (1, 7))
    assert result.pred_classes.tolist() == [1, 3]
    assert warnings() == []


def test_nothing_is_said_of_masks_without_a_pixel(warnings):
    """At a third of the size the best and the last object have no pixel."""
    result = grouping_of(max_instances=2)([four_objects()], (1, 2))
    assert len(result) < 2 and warnings() == []


@pytest.mark.parametrize(
    ("min_score", "expected"),
    [(0.0, [1, 3, 2, 0]), (0.5, [1, 3, 2]), (0.51, [1, 3]), (0.95, [])],
)
def test_instances_of_a_lower_score_are_left_out(min_score, expected):
    """A score that equals the threshold is enough, in the digits of float32: 0.5 is exact."""
    result = grouping_of(min_score=min_score)([four_objects()], (1, 7))
    assert result.pred_classes.tolist() == expected


def test_a_score_that_equals_the_threshold_in_float32_is_enough():
    """As a score of 0.7 does, which is 0.69999999 in float32."""
    score = grouping_of()([four_objects()], (1, 7)).scores[1].item()
    assert len(grouping_of(min_score=score + 1e-9)([four_objects()], (1, 7))) == 2
    assert len(grouping_of(min_score=score + 1e-6)([four_objects()], (1, 7))) == 1


@pytest.mark.parametrize(("limit", "expected"), [(2, 2), (4, 4), (5, 4), (None, 4)])
@pytest.mark.parametrize("output_size", [(64, 64), (700, 900)])
def test_the_bound_of_instances_holds_whatever_the_size(output_size, limit, expected):
    """Of 1/64 of a row each, so that drawing them takes no time."""
    embedding = torch.arange(64.0).view(1, 1, 64).expand(1, 64, 64) * 10
    seeds = [HandSeed(0, 2 * index, 0.9 - index / 10, index) for index in range(4)]
    embedding = embedding + torch.arange(64.0).view(1, 64, 1) * 1000
    maps = maps_of(embedding, seeds, image_size=(64, 64))
    assert len(grouping_of(max_instances=limit)([maps], output_size)) == expected


def row_of_peaks(count):
    """Cells with scores that fall, among cells of 0.25, so that they stay peaks once smoothed."""
    peaks = [HandSeed(2, 2 + 4 * index, 0.9 - index / 20, index) for index in range(count)]
    score = torch.full((5, 4 * count + 1), 0.01)
    for row, column, *_ in peaks:
        score[row - 1 : row + 2, column - 1 : column + 2] = 0.25
    weak = [HandSeed(*cell, score[tuple(cell)].item()) for cell in (score > 0.1).nonzero().tolist()]
    embedding = flat_embedding(torch.arange(4 * count + 1).expand(5, -1))
    return maps_of(embedding, weak + peaks)


@pytest.mark.parametrize(
    ("candidates", "max_seeds", "is_said"),
    [("peaks", 3, True), ("peaks", 4, False), ("peaks", 0, False), ("all", 3, False)],
)
def test_peaks_that_are_not_grown_are_told_of(candidates, max_seeds, is_said, warnings):
    """Of all pixels only a few are ever wanted, but a peak may be an object."""
    rules = {"candidates": candidates, "max_seeds": max_seeds, "min_seediness": 0.3}
    result = grouping_of(**rules)([row_of_peaks(4)], (5, 17), "b.png")
    assert len(result) == (max_seeds or 4)
    expected = "b.png: 3 of 4 possible seeds are grown; raise MODEL.DML.GROUPING.MAX_SEEDS"
    assert warnings() == [expected] * is_said


def test_seeds_that_are_only_looked_at_give_no_warning(warnings):
    grouping = grouping_of(candidates="peaks", max_seeds=3, min_seediness=0.3)
    assert len(grouping.seeds([row_of_peaks(4)])) == 3
    assert warnings() == []


@pytest.mark.parametrize(
    ("image_size", "scale", "limit"),
    [
        ((480, 480), 1.0, 1000),
        ((640, 480), 1.0, 1200),
        ((480, 800), 1.0, 1500),
        ((960, 960), 1.0, 1600),  # all that there are
        ((960, 960), 2.0, 1000),
        ((300, 300), 0.5, 1406),
    ],
)
def test_seeds_at_most_are_counted_by_the_size_of_the_image_itself(image_size, scale, limit):
    """Whatever the scale at which the network saw it. There are 1,600 candidates."""
    logits = torch.zeros(3, 2, 40, 40)
    maps = maps_of(torch.zeros(1, 40, 40), logits, scale=scale, image_size=image_size)
    assert len(grouping_of(num_classes=1).seeds([maps])) == limit


def test_seeds_at_most_are_counted_by_the_first_scale_of_all():
    logits = torch.zeros(3, 2, 40, 40)
    pyramid = [
        maps_of(torch.zeros(1, 40, 40), logits, scale=2.0, image_size=(1280, 960)),
        maps_of(torch.zeros(1, 40, 40), logits, scale=1.0, image_size=(640, 480)),
    ]
    assert len(grouping_of(num_classes=1).seeds(pyramid)) == 1200


def test_seeds_of_all_scales_share_one_limit():
    pyramid = [four_objects((0.9, 0.5, 0.7, 0.3)), four_objects((0.4, 0.8, 0.6, 0.2))]
    seeds = grouping_of(max_seeds=4).seeds(pyramid)
    assert seeds.level.tolist() == [0, 1, 0, 1]
    assert seeds.position[:, 1].tolist() == [0, 2, 4, 4]


@pytest.mark.parametrize("min_score", [-0.5, 1.5])
def test_a_least_score_out_of_range_names_its_key(min_score):
    with pytest.raises(ValueError, match=r"MODEL\.DML\.SCORE_THRESH_TEST is in \[0, 1\]"):
        grouping_of(min_score=min_score)
