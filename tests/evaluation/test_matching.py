"""Counts of matched masks against all matchings that there are, and what follows from them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dml_instance.evaluation.matching import (
    THRESHOLDS,
    best_min_score,
    best_pairs,
    candidates,
    f1_by_min_score,
    ratios,
)
from toy_masks import Scene, all_matchings, block, iou_of, random_scene

SEEDS = st.integers(0, 1_000_000)


def slow_counts(scene, index, min_score, threshold):
    """All (TP, FP, FN) that a matching of most pairs, and of these of most IoU, can have."""
    kept = [
        i
        for i, (c, s) in enumerate(zip(scene.prediction_classes, scene.scores, strict=True))
        if c == index and s >= min_score
    ]
    objects = [m for m, c in zip(scene.truth, scene.truth_classes, strict=True) if c == index]
    masks = [scene.predictions[i] & ~scene.void_pixels() for i in kept]
    iou = np.array([[iou_of(p, t) for t in objects] for p in masks]).reshape(
        len(kept), len(objects)
    )
    ranked = {}
    for pairs in all_matchings(iou >= threshold):
        found = {p for p, _ in pairs}
        false = sum(
            i not in found and not scene.is_ignored(scene.predictions[k], index)
            for i, k in enumerate(kept)
        )
        gain = (len(pairs), round(sum(iou[pair] for pair in pairs), 9))
        ranked.setdefault(gain, set()).add((len(pairs), false, len(objects) - len(pairs)))
    return ranked[max(ranked)]


@settings(max_examples=80, deadline=None)
@given(SEEDS, st.sampled_from([0.0, 0.5, 0.6]), st.sampled_from(THRESHOLDS.tolist()))
def test_counts_are_those_of_the_best_of_all_matchings(seed, min_score, threshold):
    scene = random_scene(np.random.default_rng(seed))
    found = {c.class_index: c for c in candidates(scene.encoded())}
    assert set(found) == {*scene.truth_classes, *scene.prediction_classes}
    for index, of_class in found.items():
        (counts,) = of_class.counts(min_score, [threshold])
        assert tuple(counts) in slow_counts(scene, index, min_score, threshold)


@settings(deadline=None)
@given(SEEDS)
def test_pairs_have_the_greatest_sum_of_gains(seed):
    rng = np.random.default_rng(seed)
    gains = rng.random((4, 3)) * (rng.random((4, 3)) < 0.6)
    rows, columns = np.nonzero(gains)
    kept = best_pairs(7 * rows, columns, gains[rows, columns])
    assert len(set(rows[kept])) == len(set(columns[kept])) == kept.sum()
    best = max(sum(gains[pair] for pair in pairs) for pairs in all_matchings(gains > 0))
    assert gains[rows, columns][kept].sum() == pytest.approx(best)


def test_of_crossed_pairs_as_many_as_possible_are_matched():
    """Greedy by score or by IoU would match one of the two."""
    pair = block(0, 0, 2, 6), block(0, 1, 2, 8)
    first, second = block(0, 0, 2, 7), block(0, 0, 2, 4)
    iou = [[iou_of(p, t) for t in pair] for p in (first, second)]
    assert iou[0][0] > iou[0][1] >= 0.6 and iou[1][0] >= 0.6 > iou[1][1]
    scene = Scene(list(pair), [0, 0], [first, second], [0, 0], [0.9, 0.8])
    (found,) = candidates(scene.encoded())
    assert found.counts(0, [0.6]).tolist() == [[2, 0, 0]]


def test_the_number_of_pairs_counts_more_than_their_iou():
    """Of four steps of one pixel the middle two are equal masks, and are given up."""
    steps = [block(0, first, 1, first + 3) for first in range(4)]
    scene = Scene(steps[1:], [0] * 3, steps[:3], [0] * 3, [0.9] * 3)
    (found,) = candidates(scene.encoded())
    assert found.counts(0, [0.5, 0.51]).tolist() == [[3, 0, 0], [2, 1, 1]]


@pytest.mark.parametrize("number", range(10, 20))
def test_an_iou_of_just_the_threshold_is_enough(number):
    whole, part = np.zeros((1, 20), bool), np.zeros((1, 20), bool)
    whole[:], part[:, :number] = True, True
    (found,) = candidates(Scene([whole], [0], [part], [0], [0.5]).encoded())
    true = found.counts(0.5)[:, 0]
    assert true.tolist() == [threshold <= number / 20 for threshold in THRESHOLDS]
    assert true.sum() == number - 9


def test_what_is_void_or_a_crowd_of_the_class_is_not_false():
    inside, outside = block(0, 0, 4, 4), block(4, 4, 7, 8)
    scene = Scene([], [], [inside, outside], [0, 0], [0.9, 0.9])

    def false(**more):
        (found,) = candidates(Scene(**{**vars(scene), **more}).encoded())
        return found.counts(0)[0, 1]

    assert false() == 2
    assert false(void=block(0, 0, 4, 3)) == 1
    assert false(void=block(0, 0, 4, 2)) == 2, "half is not more than half"
    assert false(crowds=[block(0, 0, 4, 3)], crowd_classes=[0]) == 1
    assert false(crowds=[block(0, 0, 4, 3)], crowd_classes=[1]) == 2
    assert false(void=block(0, 0, 2, 4), crowds=[block(2, 0, 3, 4)], crowd_classes=[0]) == 1


def test_void_is_taken_away_from_predictions_and_crowds_are_not():
    scene = Scene([block(0, 0, 4, 4)], [0], [block(0, 0, 4, 8)], [0], [0.9])
    for more, expected in (
        ({"void": block(0, 4, 7, 8)}, [10, 0, 0]),
        ({"crowds": [block(0, 4, 7, 8)], "crowd_classes": [0]}, [1, 9, 9]),
        # What an object has as well is the object's.
        ({"void": block(0, 0, 7, 8)}, [10, 0, 0]),
    ):
        (found,) = candidates(Scene(**{**vars(scene), **more}).encoded())
        assert found.counts(0).sum(axis=0).tolist() == expected


def test_figures_of_counts():
    by_hand = ratios([[3, 1, 2], [0, 4, 0], [0, 0, 4], [0, 0, 0]])
    assert by_hand["AP_dsb"][:3].tolist() == [3 / 6, 0, 0]
    assert by_hand["precision"][:3].tolist() == [3 / 4, 0, 0]
    assert by_hand["recall"][:3].tolist() == [3 / 5, 0, 0]
    assert by_hand["F1"][:3].tolist() == [6 / 9, 0, 0]
    assert all(np.isnan(values[3]) for values in by_hand.values())


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.integers(0, 3))
def test_the_best_min_score_is_the_lowest_of_the_highest_f1(seed, images):
    rng = np.random.default_rng(seed)
    found = [c for _ in range(images) for c in candidates(random_scene(rng).encoded())]
    f1 = []
    for number in range(1, 20):
        true, false, missed = np.sum(
            [[0, 0, 0], *(c.counts(round(0.05 * number, 2), [0.5])[0] for c in found)], axis=0
        )
        f1.append(2 * true / max(2 * true + false + missed, 1))
    assert best_min_score(found) == round(0.05 * (f1.index(max(f1)) + 1), 2)


def test_the_best_min_score_parts_right_from_wrong():
    left, right = block(0, 0, 3, 3), block(0, 4, 3, 8)
    wrong = [block(4, 0, 6, 3), block(4, 4, 6, 8)]
    scene = Scene([left, right], [0, 1], [left, right, *wrong], [0, 1, 0, 1], [0.52, 0.5, 0.38, 0])
    assert best_min_score(candidates(scene.encoded())) == 0.4
    assert best_min_score([]) == 0.05


def test_a_curve_of_f1_by_hand():
    """One object, found at score 0.6 and missed by a stronger prediction of 0.9."""
    scene = Scene([block(0, 0, 4, 4)], [0], [block(0, 0, 4, 4), block(5, 5, 7, 8)], [0, 0])
    scene.scores = [0.6, 0.9]
    curve = f1_by_min_score(candidates(scene.encoded()))
    assert list(curve) == [round(0.05 * i, 2) for i in range(1, 20)]
    # One right and one wrong of one object, then a wrong one alone, then nothing.
    expected = {0.05: 2 / 3, 0.6: 2 / 3, 0.65: 0.0, 0.9: 0.0, 0.95: 0.0}
    assert {score: curve[score] for score in expected} == pytest.approx(expected)
