"""Masks that are returned once for each class that they may be of."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from dml_instance.grouping import ReachedLimits, WindowMasks, group_for_ranking
from hand_made import flat_embedding, grid_maps, grouping_of, maps_of, picture

SCENE = picture("11.22 11.22")
# Of the classes 0 to 3, what the cells of 1 and of 2 say; the rest is background's.
OF_ONE, OF_TWO = (0.1, 0.5, 0.3, 0.0), (0.0, 0.0, 0.45, 0.45 * 0.008)


def scene():
    probability = torch.zeros(3, 5, 2, 5)
    probability[:, 0] = 1
    for number, values in ((1, OF_ONE), (2, OF_TWO)):
        cells = number == SCENE
        probability[1, 1:, cells] = torch.tensor(values)[:, None]
        probability[1, 0, cells] = 1 - sum(values)
    return maps_of(flat_embedding(SCENE), probability.clamp(min=1e-9).log())


def found(**changes):
    grouping = grouping_of(num_classes=4, class_by="vote", **changes)
    return grouping, grouping([scene()], (2, 5))


def facts(result):
    """(number in the picture, class, score) of each instance."""
    numbers = [int(SCENE[mask].unique()) for mask in result.pred_masks]
    return [
        (number, index, pytest.approx(score, rel=1e-4))
        for number, index, score in zip(
            numbers, result.pred_classes.tolist(), result.scores.tolist(), strict=True
        )
    ]


def test_each_mask_comes_once_for_each_class_with_the_score_of_that():
    _, result = found(classes_per_mask=3)
    # Seed probability 0.9 and 0.4536, times the share. A share under a hundredth is no guess.
    expected = [(1, 1, 0.5), (2, 2, 0.45), (1, 2, 0.3), (1, 0, 0.1)]
    assert facts(result) == expected
    assert result.is_likeliest.tolist() == [True, True, False, False]
    boxes = result.pred_boxes.tensor.tolist()
    assert boxes == [[0, 0, 2, 2], [3, 0, 5, 2], [0, 0, 2, 2], [0, 0, 2, 2]]


@pytest.mark.parametrize(("most", "count"), [(1, 2), (2, 3), (3, 4), (9, 4)])
def test_of_so_many_classes_at_most(most, count):
    _, result = found(classes_per_mask=most)
    assert len(result) == count
    assert result.has("is_likeliest") == (most > 1)


def test_the_exponent_says_how_much_the_share_counts():
    _, result = found(classes_per_mask=3, vote_exponent=0.5)
    scores = [0.9 * np.sqrt(share / 0.9) for share in (0.5, 0.3, 0.1)]
    assert result.scores[result.pred_masks[:, 0, 0]].tolist() == pytest.approx(scores, rel=1e-4)
    _, result = found(classes_per_mask=3, vote_exponent=0.0)
    assert result.scores[:3].tolist() == pytest.approx([0.9] * 3, rel=1e-4)


@pytest.mark.parametrize(("limit", "kept"), [(1, 1), (2, 2), (3, 3), (4, 4), (100, 4)])
def test_other_classes_take_the_places_that_objects_leave(limit, kept):
    grouping, result = found(classes_per_mask=3, max_instances=limit)
    assert facts(result) == [(1, 1, 0.5), (2, 2, 0.45), (1, 2, 0.3), (1, 0, 0.1)][:kept]
    # That there were more guesses is no limit that an object reached.
    assert bool(grouping.limits.images) == (limit == 1)


def test_a_better_guess_of_another_class_does_not_displace_an_object():
    """As class 2 the first has 0.53, more than the second as its likeliest."""
    _, result = found(classes_per_mask=3, vote_exponent=0.5, max_instances=2)
    assert [number for number, *_ in facts(result)] == [1, 2]
    assert result.is_likeliest.all()


def test_who_asks_for_objects_gets_each_once():
    grouping, result = found(classes_per_mask=3, min_score=0.05)
    assert facts(result) == [(1, 1, 0.5), (2, 2, 0.45)]
    assert not result.has("is_likeliest")
    grouping, _ = found(classes_per_mask=3)
    objects = grouping.find([grid_maps(scene())], (2, 5))
    assert objects.classes.tolist() == [1, 2]
    assert objects.scores.tolist() == pytest.approx([0.5, 0.45], rel=1e-4)


def test_the_likeliest_of_very_many_classes_counts_however_small_its_share():
    """Of 200 classes none has a hundredth of the votes."""
    probability = torch.full((3, 201, 2, 5), 0.5 / 200)
    probability[:, 0] = 0.5
    probability[:, 8] *= 1.01
    maps = maps_of(flat_embedding(SCENE), probability.log())
    grouping = grouping_of(num_classes=200, class_by="vote", classes_per_mask=3, min_seediness=0)
    result = grouping([maps], (2, 5))
    assert set(result.pred_classes.tolist()) == {7} and result.is_likeliest.all()
    share = 1.01 / 200.01
    assert result.scores[0] == pytest.approx(0.5 * 200.01 / 200 * share, rel=1e-3)


def test_guesses_under_a_least_score_are_left_out():
    settings = grouping_of(num_classes=4, class_by="vote", classes_per_mask=3).settings
    settings = replace(settings, min_score=0.2)
    result, is_likeliest = group_for_ranking(
        [grid_maps(scene())], (2, 5), settings, ReachedLimits()
    )
    assert result.classes.tolist() == [1, 2, 2]
    assert is_likeliest.tolist() == [True, True, False]


def test_with_one_class_no_mask_is_copied(monkeypatch):
    monkeypatch.setattr(WindowMasks, "take", lambda *_: pytest.fail("copies masks"))
    logits = torch.zeros(3, 2, 2, 5)
    grouping = grouping_of(num_classes=1, class_by="vote", classes_per_mask=3)
    result = grouping([maps_of(flat_embedding(SCENE), logits)], (2, 5))
    assert len(result) == 3 and result.is_likeliest.all()


def test_no_object_has_no_class():
    grouping = grouping_of(num_classes=4, class_by="vote", classes_per_mask=3)
    logits = torch.zeros(3, 5, 2, 5)
    logits[:, 0] = 30
    result = grouping([maps_of(flat_embedding(SCENE), logits)], (2, 5))
    assert len(result) == 0 and result.is_likeliest.shape == (0,)


@pytest.mark.parametrize("indices", [[], [1], [0, 1, 2], [2, 0, 2, 2]])
def test_masks_are_taken_in_any_order_and_more_than_once(indices):
    masks = WindowMasks(
        np.array([[0, 0, 2, 1], [3, 1, 4, 3], [1, 0, 3, 2]]),
        np.array([0, 2, 4, 8]),
        np.array([1, 0, 1, 1, 1, 0, 0, 1], dtype=bool),
    )
    taken = masks.take(np.array(indices, dtype=np.int64))
    np.testing.assert_array_equal(taken.whole(3, 4), masks.whole(3, 4)[indices])
    np.testing.assert_array_equal(taken.boxes, masks.boxes[indices])
