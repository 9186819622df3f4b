import numpy as np
import pytest
import torch

from dml_instance.grouping.growing import GrownMasks, grow_masks
from dml_instance.grouping.scoring import (
    seed_probability,
    small_mask_factor,
    vote_classes,
)
from hand_made import HandSeed, flat_embedding, grids_of, growing_seeds, instances_of, picture

# Thresholds, classes, and the cells of two scales.
T, K, FINE, COARSE = 2, 3, (3, 5), (2, 3)


def probabilities_of_two_scales():
    generator = np.random.default_rng(0)
    return [generator.random((T, K, *shape)).astype(np.float32) / K for shape in (FINE, COARSE)]


def masks_of_two_scales(taus=0):
    """On the fine grid a mask of 5 cells and one of 3, on the coarse one of 2; scales alternate."""
    fine = flat_embedding(picture("11..2 11.22 1...."))
    coarse = flat_embedding(picture("... .33"))
    grids = grids_of(fine, coarse)
    seeds = growing_seeds(grids, [(1, 4), (1, 1), (0, 1)], 1.1, levels=[0, 1, 0], taus=taus)
    return grow_masks(grids, seeds, max_overlap=1.0)


def cells_of(masks: GrownMasks, index: int) -> list[tuple[int, int]]:
    return [tuple(cell) for cell in masks.cells[masks.start[index] : masks.start[index + 1]]]


def test_the_probability_of_an_object_is_that_of_all_classes_at_the_seed():
    probabilities, masks = probabilities_of_two_scales(), masks_of_two_scales([1, 0, 1])
    got = seed_probability(probabilities, masks)
    fine, coarse = probabilities
    expected = [fine[1, :, 1, 4].sum(), coarse[0, :, 1, 1].sum(), fine[1, :, 0, 1].sum()]
    np.testing.assert_allclose(got, expected, rtol=1e-6)
    assert got.dtype == np.float64


def test_a_probability_that_rounding_brought_over_one_is_one():
    masks = masks_of_two_scales([0, 0, 1])
    over = [np.full((T, K, *shape), 0.34, dtype=np.float32) for shape in (FINE, COARSE)]
    assert seed_probability(over, masks).tolist() == [1, 1, 1]


@pytest.mark.parametrize("most", [1, 2, 3, 7])
def test_every_cell_of_a_mask_votes_with_its_probabilities_for_the_threshold_of_the_mask(most):
    tau_index = [1, 0, 0]
    probabilities, masks = probabilities_of_two_scales(), masks_of_two_scales(tau_index)
    classes, share = vote_classes(probabilities, masks, most)
    for index in range(3):
        votes = np.zeros(K)
        for row, column in cells_of(masks, index):
            votes += probabilities[masks.level[index]][tau_index[index], :, row, column]
        order = sorted(range(K), key=lambda c: -votes[c])[:most]
        assert classes[index].tolist() == order
        assert share[index] == pytest.approx(votes[order] / votes.sum(), rel=1e-6)
    assert masks.area.tolist() == [3, 2, 5]
    assert (classes.dtype, share.dtype) == (np.int64, np.float64)


def test_votes_of_nothing_are_a_share_of_nothing():
    masks = masks_of_two_scales()
    nothing = [np.zeros((T, K, *shape), dtype=np.float32) for shape in (FINE, COARSE)]
    classes, share = vote_classes(nothing, masks, 2)
    assert classes.tolist() == [[0, 1]] * 3 and not share.any()


def test_no_masks_have_no_scores():
    grids = grids_of(torch.zeros(1, *FINE))
    masks = grow_masks(grids, growing_seeds(grids, [], 1.0), 0.5)
    probabilities = probabilities_of_two_scales()[:1]
    assert seed_probability(probabilities, masks).shape == (0,)
    assert [part.shape for part in vote_classes(probabilities, masks, 2)] == [(0, 2), (0, 2)]
    assert small_mask_factor(masks, 2.0).shape == (0,)


@pytest.mark.parametrize(("cells", "expected"), [(0, [1, 1, 1]), (2, [3 / 5, 2 / 4, 5 / 7])])
def test_a_mask_of_few_cells_is_worth_less(cells, expected):
    assert small_mask_factor(masks_of_two_scales(), cells).tolist() == expected


def test_score_can_carry_the_mean_similarity():
    embedding = torch.tensor([[[0.0, 0.6, 9.0]]])
    plain = instances_of(embedding, [HandSeed(0, 0, 0.8)])
    weighed = instances_of(embedding, [HandSeed(0, 0, 0.8)], score="seediness_similarity")
    mean = (1 + 2 / (1 + np.exp(0.36))) / 2
    torch.testing.assert_close(plain.scores, torch.tensor([0.8]))
    torch.testing.assert_close(weighed.scores, plain.scores * mean, rtol=1e-5, atol=0)


def test_a_small_mask_has_to_be_better_than_a_large_one():
    ids = torch.ones(4, 6, dtype=torch.int64)
    ids[0, :2] = 0
    seeds = [HandSeed(0, 0, 0.9, pred_class=0), HandSeed(2, 2, 0.8, pred_class=1)]
    assert instances_of(flat_embedding(ids), seeds).pred_classes.tolist() == [0, 1]
    result = instances_of(flat_embedding(ids), seeds, small_mask_cells=2.0)
    assert result.pred_classes.tolist() == [1, 0]
    torch.testing.assert_close(result.scores, torch.tensor([0.8 * 22 / 24, 0.9 * 2 / 4]))


def voting_logits():
    """T = 3, K = 2, three cells: the seed says class 0 surely, the other two say class 1 with less
    certainty."""
    probability = torch.tensor([[[0.1, 0.2, 0.2]], [[0.8, 0.1, 0.1]], [[0.1, 0.7, 0.7]]])
    logits = torch.zeros(3, 3, 1, 3)
    logits[:, 0] = 9.0
    logits[1] = probability.log()
    return logits


@pytest.mark.parametrize(
    ("class_by", "pred_class", "score"), [("vote", 1, 0.9 * 1.5 / 2.5), ("seed", 0, 0.8)]
)
def test_the_cells_of_a_mask_vote_on_its_class_or_its_seed_decides(class_by, pred_class, score):
    rules = {"class_by": class_by, "min_seediness": 0.75, "num_classes": 2}
    result = instances_of(torch.zeros(1, 1, 3), voting_logits(), **rules)
    assert result.pred_classes.tolist() == [pred_class]
    torch.testing.assert_close(result.scores, torch.tensor([score]))


def test_classes_are_voted_on_with_a_single_threshold_too():
    rules = {"class_by": "vote", "min_seediness": 0.75, "num_classes": 2, "taus": (0.5,)}
    result = instances_of(torch.zeros(1, 1, 3), voting_logits()[1:2], **rules)
    assert result.pred_classes.tolist() == [1]


def test_all_factors_of_a_score_count_together():
    """The vote's 0.54, the mean similarity of three cells, and 3 of 3 + 2 cells."""
    embedding = torch.tensor([[[0.0, 0.6, 0.6]]])
    result = instances_of(
        embedding,
        voting_logits(),
        **{"class_by": "vote", "score": "seediness_similarity", "small_mask_cells": 2.0},
        **{"min_seediness": 0.75, "num_classes": 2},
    )
    mean = (1 + 2 * 2 / (1 + np.exp(0.36))) / 3
    torch.testing.assert_close(result.scores, torch.tensor([0.54 * mean * 3 / 5]).float())


def test_with_one_class_the_vote_leaves_the_score_alone():
    logits = torch.zeros(3, 2, 1, 3)
    logits[:, 0] = 9.0
    logits[1, 0] = 0.0
    logits[1, 1] = torch.tensor([2.0, 1.5, 1.0])
    seediness = float(torch.tensor(2.0).sigmoid())
    result = instances_of(torch.zeros(1, 1, 3), logits, class_by="vote", num_classes=1)
    torch.testing.assert_close(result.scores, torch.tensor([seediness]))
    assert result.pred_classes.tolist() == [0]
