"""Masks that are grown again from the mean of their cells."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from dml_instance.grouping.growing import (
    GrowthRules,
    grow_masks,
    grow_shifted_masks,
    shifted_seeds,
)
from dml_instance.grouping.ownership import masks_taken
from hand_made import (
    TAUS,
    HandSeed,
    flat_embedding,
    grids_of,
    growing_seeds,
    instances_of,
    logits_of,
    masks_on,
    picture,
    threshold_of,
)

THRESHOLDS = np.array([threshold_of(index) for index in range(len(TAUS))])


def growth(mean_shifts, max_overlap, thresholds=THRESHOLDS, *, seeds_per_mask=1, worth=None):
    """Rules by which the masks of earlier seeds are worth more, unless told otherwise."""
    worth = worth or (lambda masks: -masks.seed)
    return GrowthRules(thresholds, mean_shifts, seeds_per_mask, max_overlap, worth)


def taken_of(grids, seeds, rules):
    """What was in the way of seeds that any growth dropped."""
    taken = {}
    grow_shifted_masks(grids, seeds, rules, lambda one: taken.update(masks_taken(one)))
    return taken


def line_of_one_object():
    """Five cells of one object, of which each seed sees four at most, and two of another; and the
    thresholds, of which all cells vote for the second."""
    grids = grids_of(torch.tensor([[[0.0, 0.3, 0.6, 0.9, 1.2, 9, 9]]]))
    probability = np.zeros((3, 1, 7), np.float32)
    probability[1] = 1
    return grids._replace(object_probability=(probability,)), np.array([0.5, 0.9, 0.95])


def slow_shifts(embedding, factor, probability, seed, tau_index, mean_shifts):
    """The definition on the whole grid, in double: the mask (h, w), its centre, threshold and seed,
    and whether a cell or a vote is too near to call."""
    embedding, centre = embedding.astype(float), embedding[(slice(None), *seed)].astype(float)
    is_doubtful, scale = False, factor[seed]
    for step in range(mean_shifts + 1):
        squared = scale * np.square(embedding - centre[:, None, None]).sum(axis=0)
        threshold = THRESHOLDS[tau_index]
        near = squared <= threshold
        is_doubtful |= bool((np.abs(squared - threshold) < 1e-4).any())
        labels, _ = ndimage.label(near, structure=np.ones((3, 3)))
        mask = labels == labels[seed]
        if step == mean_shifts:
            return mask, centre, tau_index, seed, is_doubtful
        weight = 2 / (1 + np.exp(squared[mask]))
        centre = (embedding[:, mask] * weight).sum(axis=1) / weight.sum()
        votes = (probability[:, mask] * weight).sum(axis=1)
        tau_index = int(votes.argmax())
        best, second = np.sort(votes)[[-1, -2]]
        is_doubtful |= bool(best - second < 1e-4)
        away = np.square(embedding - centre[:, None, None]).sum(axis=0)
        nearest = np.sort(away[mask])[:2]
        is_doubtful |= bool(len(nearest) > 1 and np.diff(nearest) < 1e-5)
        seed = np.unravel_index(np.where(mask, away, np.inf).argmin(), mask.shape)


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 100_000), st.integers(0, 3), st.integers(0, 2), st.floats(1, 5))
def test_a_mask_is_what_the_slow_definition_says(seed, mean_shifts, tau_index, spread):
    rng = np.random.default_rng(seed)
    embedding = ndimage.gaussian_filter(rng.normal(0, spread, (3, 12, 15)), (0, 1.5, 1.5))
    embedding = embedding.astype(np.float32)
    factor = rng.uniform(0.3, 2, (12, 15)).astype(np.float32)
    probability = rng.uniform(0, 1, (len(TAUS), 12, 15)).astype(np.float32)
    position = int(rng.integers(12)), int(rng.integers(15))
    grids = grids_of(
        torch.from_numpy(embedding), distance_scales=[factor], object_probability=[probability]
    )
    seeds = growing_seeds(grids, [position], threshold_of(tau_index), taus=tau_index)
    masks = grow_shifted_masks(grids, seeds, growth(mean_shifts, 0.5))
    mask, centre, tau_index, moved, is_doubtful = slow_shifts(
        embedding, factor, probability, position, tau_index, mean_shifts
    )
    if is_doubtful:
        return
    np.testing.assert_array_equal(masks_on((12, 15), masks)[0], mask)
    np.testing.assert_allclose(masks.centre[0], centre, atol=1e-4)
    assert tuple(masks.position[0]) == position
    assert tuple(masks.cells[0]) == tuple(moved)  # the one that the others were reached from
    assert masks.tau_index.tolist() == [tau_index]
    assert masks.threshold.tolist() == [THRESHOLDS[tau_index]]
    assert masks.distance_scale.tolist() == [factor[position]]


def test_without_shifts_masks_are_grown_once():
    grids = grids_of(torch.tensor([[[0.0, 0.4, 0.8, 1.2, 9]]]))
    seeds = growing_seeds(grids, [(0, 1), (0, 4)], 0.5)
    for got, expected in zip(
        grow_shifted_masks(grids, seeds, growth(0, 0.5)),
        grow_masks(grids, seeds, 0.5),
        strict=True,
    ):
        np.testing.assert_array_equal(got, expected)


def test_masks_that_come_to_the_same_are_one_and_the_others_keep_their_seeds():
    """The first two have a half each of what is one object, the third lies in the first, and the
    fourth is another object."""
    grids, thresholds = line_of_one_object()
    seeds = growing_seeds(grids, [(0, 0), (0, 4), (0, 1), (0, 6)], 0.9, taus=1)
    once = grow_masks(grids, seeds, 0.8)
    assert once.seed.tolist() == [0, 1, 3]
    masks = grow_shifted_masks(grids, seeds, growth(1, 0.8, thresholds))
    assert masks.seed.tolist() == [0, 3]
    assert masks_on((1, 7), masks)[:, 0].nonzero()[1].tolist() == [0, 1, 2, 3, 4, 5, 6]
    again = shifted_seeds(grids, seeds, once, thresholds)
    # The means of 0 to 0.9 and of 0.3 to 1.2 are some 0.4 and 0.8.
    assert again.origin.tolist() == [[0, 1], [0, 3], [0, 6]]
    assert again.position.tolist() == [[0, 0], [0, 4], [0, 6]]
    assert again.centre[2].tolist() == [9]


def test_every_scale_has_a_mean_and_a_vote_of_its_own():
    grids = grids_of(
        torch.tensor([[[0.0, 0.5]]]),
        torch.tensor([[[3.0, 3.0, 9.0]]]),
        object_probability=[
            np.array([[[0.9, 0.9]], [[0.1, 0.1]], [[0.2, 0.2]]]),
            np.array([[[0.1, 0.1, 0.9]], [[0.2, 0.2, 0.9]], [[0.3, 0.3, 0.9]]]),
        ],
    )
    seeds = growing_seeds(grids, [(0, 0), (0, 1)], threshold_of(1), levels=[0, 1], taus=1)
    masks = grow_shifted_masks(grids, seeds, growth(1, 1.0))
    weight = 2 / (1 + np.exp(0.25))
    np.testing.assert_allclose(masks.centre[:, 0], [0.5 * weight / (1 + weight), 3], rtol=1e-6)
    assert masks.tau_index.tolist() == [0, 2]


def test_the_mask_is_drawn_by_the_distance_from_its_centre():
    """The seed, at 0, has cells up to 0.9; their mean is 0.4 or so, from where 1.2 is near too."""
    embedding = torch.tensor([[[0.0, 0.3, 0.6, 0.9, 1.2, 9, 9, 9]]])
    logits = logits_of([HandSeed(0, 0, 0.9, tau_index=1)], (1, 8))
    rules = {"taus": (0.25, 0.55, 0.75), "mask_resolution": "output"}
    plain = instances_of(embedding, logits, (1, 80), **rules)
    shifted = instances_of(embedding, logits, (1, 80), mean_shifts=1, **rules)
    # Between cells of squared distance 0.81 (in) and 1.44 the cut at 0.97 lies 0.25 of the way.
    threshold = np.log(2 / 0.55 - 1)
    assert plain.pred_masks.sum() == round(35 + 10 * (threshold - 0.81) / (1.44 - 0.81))
    assert 45 < int(shifted.pred_masks.sum()) <= 50


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_of_no_mean(bad):
    embedding = flat_embedding(picture("1112 1122"))
    embedding[0, 0, 0] = bad
    grids = grids_of(embedding)
    seeds = growing_seeds(grids, [(0, 0), (0, 1), (0, 3)], 1.1)
    masks = grow_shifted_masks(grids, seeds, growth(2, 0.5))
    assert masks.seed.tolist() == [1, 2]
    assert masks.centre[:, 0].tolist() == [10, 20]
    assert masks.area.tolist() == [4, 3]


def test_what_took_a_seed_is_told_of_the_growth_in_which_it_did():
    """The second lies in the first at once; the third becomes the first by its mean."""
    grids, thresholds = line_of_one_object()
    seeds = growing_seeds(grids, [(0, 0), (0, 1), (0, 4), (0, 6)], 0.9, taus=1)
    assert grow_shifted_masks(grids, seeds, growth(1, 0.8, thresholds)).seed.tolist() == [0, 3]
    assert taken_of(grids, seeds, growth(1, 0.8, thresholds)) == {1: (0, None), 2: (0, 1.0)}
    assert taken_of(grids, seeds, growth(0, 0.8, thresholds)) == {1: (0, 1.0)}


@pytest.mark.parametrize(
    ("seeds_per_mask", "max_overlap", "grown"),
    [(1, 0.5, [0, 4]), (2, 0.5, [0, 4]), (3, 0.5, [0, 4, 1]), (1, 1.0, [0, 4, 1, 2, 3])],
)
def test_so_many_seeds_of_a_place_grow_and_the_one_worth_most_stays(
    seeds_per_mask, max_overlap, grown
):
    """The first mask holds cells 0 to 3, the second 1 to 4. So the third seed, in cell 1, lies in
    two masks; where it grows, the fourth and the fifth lie in three."""
    grids, thresholds = line_of_one_object()
    columns = [0, 4, 1, 2, 3]
    seeds = growing_seeds(grids, [(0, column) for column in columns], 0.9, taus=1)
    seen, looks = [], []

    def worth(masks):
        seen.append([columns[seed] for seed in masks.seed])
        return masks.seed

    rules = growth(1, max_overlap, thresholds, seeds_per_mask=seeds_per_mask, worth=worth)
    masks = grow_shifted_masks(grids, seeds, rules, looks.append)
    assert seen == [grown]
    # The last that grew is worth most, and from its mean it takes what the others are in.
    kept = [columns[seed] for seed in masks.seed]
    assert kept == (grown[::-1] if max_overlap == 1 else grown[-1:])
    first, last = looks
    assert [columns[seed] for seed in last.index] == grown[::-1]
    assert [columns[first.index[seed]] for seed in first.masks.seed] == grown
    assert [columns[last.index[seed]] for seed in last.masks.seed] == kept


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 100_000), st.integers(1, 4), st.sampled_from([0.2, 0.5]), st.integers(1, 2))
def test_masks_are_chosen_as_seed_by_seed_in_python(seed, seeds_per_mask, max_overlap, shifts):
    rng = np.random.default_rng(seed)
    embedding = ndimage.gaussian_filter(rng.normal(0, 4, (2, 10, 13)), (0, 1.2, 1.2))
    probability = rng.uniform(0, 1, (len(TAUS), 10, 13)).astype(np.float32)
    grids = grids_of(
        torch.from_numpy(embedding.astype(np.float32)), object_probability=[probability]
    )
    cells = rng.permutation(130)[:14]
    positions = [(int(cell) // 13, int(cell) % 13) for cell in cells]
    seeds = growing_seeds(grids, positions, threshold_of(1), taus=1)

    def worth(masks):
        return masks.area % 5 + masks.seed * 5 % 7 / 10

    rules = growth(shifts, max_overlap, seeds_per_mask=seeds_per_mask, worth=worth)
    masks = grow_shifted_masks(grids, seeds, rules)

    # Each seed with the index that it had at first.
    growing = [(index, seeds.take([index])) for index in range(len(positions))]
    for left in reversed(range(shifts + 1)):
        holders, kept = np.zeros((10, 13), int), []
        for index, seed in growing:
            alone = grow_masks(grids, seed, 1.0)
            held = holders[tuple(alone.cells.T)]
            most = seeds_per_mask if left else 1
            if holders[positions[index]] >= most or (not left and (held > 0).mean() > max_overlap):
                continue
            holders[tuple(alone.cells.T)] += 1
            kept.append((index, seed, alone._replace(seed=np.array([index]))))
        growing = [
            (index, shifted_seeds(grids, seed, alone._replace(seed=np.array([0])), THRESHOLDS))
            for index, seed, alone in kept
        ]
        if left == 1:
            best = np.argsort([-worth(alone)[0] for *_, alone in kept], kind="stable")
            growing = [growing[place] for place in best]
    assert masks.seed.tolist() == [index for index, *_ in kept]
    for number, (*_, alone) in enumerate(kept):
        np.testing.assert_array_equal(
            masks.cells[masks.start[number] : masks.start[number + 1]], alone.cells
        )
