"""Masks that compete: which stay, and what is told of them."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dml_instance.grouping.growing import grow_masks
from hand_made import flat_embedding, grids_of, growing_seeds, masks_on, picture, ramp


def test_masks_come_with_all_that_is_known_of_them():
    """Two objects on one grid and one on a coarser one, whose seeds take turns."""
    fine = picture("""
        ......11
        .222..11
        .222....
    """)
    coarse = picture("""
        ....
        3...
        3..4
    """)
    grids = grids_of(flat_embedding(fine), flat_embedding(coarse))
    positions = [(1, 7), (2, 3), (1, 6), (2, 1)]
    seeds = growing_seeds(grids, positions, [0.5, 0.25, 0.75, 0.125], levels=[0, 1, 0, 0])
    masks = grow_masks(grids, seeds, max_overlap=0.5)
    assert masks.seed.tolist() == [0, 1, 3]  # the third lies in the first
    assert masks.position.tolist() == [[1, 7], [2, 3], [2, 1]]
    assert masks.level.tolist() == [0, 1, 0]
    assert masks.threshold.tolist() == [0.5, 0.25, 0.125]
    assert masks.bounds.tolist() == [[0, 6, 2, 8], [2, 3, 3, 4], [1, 1, 3, 4]]
    assert masks.start.tolist() == [0, 4, 5, 11]
    assert masks.area.tolist() == [4, 1, 6]
    assert masks.cells[4].tolist() == [2, 3]
    assert {tuple(cell) for cell in masks.cells[:4].tolist()} == {(0, 6), (0, 7), (1, 6), (1, 7)}
    assert masks.cells[[0, 5]].tolist() == [[1, 7], [2, 1]]  # a seed is the first of its cells
    types = {name: getattr(masks, name).dtype for name in ("cells", "squared_distance", "bounds")}
    assert types == {"cells": np.int32, "squared_distance": np.float32, "bounds": np.int64}
    values = np.arange(11, dtype=np.float32)
    assert masks.total(values).tolist() == [6, 4, 45]
    pairs = np.stack([values, -values], axis=1)
    assert masks.total(pairs).tolist() == [[6, -6], [4, -4], [45, -45]]
    assert masks.total(pairs).dtype == np.float64


@pytest.mark.parametrize("top", [0, 2, 6])
@pytest.mark.parametrize("left", [0, 2, 6])
def test_bounds_are_tight_wherever_the_mask_lies(top, left):
    """A cross of 3 x 3 cells, whose seed is its middle, on a grid of 9 x 9."""
    ids = torch.zeros(9, 9, dtype=torch.int64)
    ids[top + 1, left : left + 3] = ids[top : top + 3, left + 1] = 1
    grids = grids_of(flat_embedding(ids))
    masks = grow_masks(grids, growing_seeds(grids, [(top + 1, left + 1)], 1.1), 0.5)
    assert masks.bounds.tolist() == [[top, left, top + 3, left + 3]]


@pytest.mark.parametrize("gap", [0, 3, -1])
def test_no_seeds_give_no_masks(gap):
    grids = grids_of(ramp())
    masks = grow_masks(grids, growing_seeds(grids, [], 1.0, gap), 0.5)
    shapes = {name: value.shape for name, value in masks._asdict().items()}
    assert shapes == {
        **dict.fromkeys(("seed", "level", "tau_index", "threshold"), (0,)),
        **dict.fromkeys(("distance_scale", "squared_distance"), (0,)),
        **dict.fromkeys(("position", "cells"), (0, 2)),
        **{"centre": (0, 1), "bounds": (0, 4), "start": (1,)},
    }
    assert masks.area.shape == (0,)
    assert masks.total(np.zeros((0, 3), np.float32)).shape == (0, 3)


def test_many_large_masks_keep_all_their_cells():
    """Each of them takes the whole grid, which is more than the room there is at first."""
    count, embedding = 9, torch.arange(12.0).view(1, 3, 4) / 100
    positions = [(index // 4, index % 4) for index in range(count)]
    grids = grids_of(embedding)
    masks = grow_masks(grids, growing_seeds(grids, positions, 1.0), max_overlap=1.0)
    assert masks.area.tolist() == [12] * count
    assert masks_on((3, 4), masks).all()
    for (row, column), start in zip(positions, masks.start, strict=False):
        mine = slice(start, start + 12)
        other = embedding[0].numpy()[tuple(masks.cells[mine].T)]
        expected = (other - embedding[0, row, column].item()) ** 2
        np.testing.assert_allclose(masks.squared_distance[mine], expected, atol=1e-6)


def test_near_duplicates_are_dropped_and_kept_on_request():
    ids = torch.zeros(10, 10, dtype=torch.int64)
    ids[2:8, 2:8] = 1
    grids = grids_of(flat_embedding(ids))
    seeds = growing_seeds(grids, [(3, 3), (6, 6)], 1.1)
    assert len(grow_masks(grids, seeds, 0.5).seed) == 1
    assert len(grow_masks(grids, seeds, 1.0).seed) == 2


@pytest.mark.parametrize(("max_overlap", "kept"), [(0.5, [0, 1]), (0.49, [0]), (1.0, [0, 1])])
def test_the_share_that_may_be_owned_by_earlier_masks(max_overlap, kept):
    """The first takes columns 0 to 3, of which the second, from 2 to 5, has two of its four."""
    grids = grids_of(torch.tensor([[[0.0, 1, 2, 3, 4.5, 5, 9, 9]]]))
    seeds = growing_seeds(grids, [(0, 1), (0, 4)], [4.0, 6.25])
    masks = grow_masks(grids, seeds, max_overlap)
    assert masks_on((1, 8), masks)[0, 0].nonzero()[0].tolist() == [0, 1, 2, 3]
    assert masks.seed.tolist() == kept
    if len(kept) == 2:
        assert masks_on((1, 8), masks)[1, 0].nonzero()[0].tolist() == [2, 3, 4, 5]


def test_without_nms_any_number_of_masks_hold_a_cell():
    grids = grids_of(torch.zeros(1, 1, 300))
    seeds = growing_seeds(grids, [(0, column) for column in range(300)], 1.0)
    assert len(grow_masks(grids, seeds, 1.0).seed) == 300
    for most_holders in (1, 2, 100):
        masks = grow_masks(grids, seeds, 1.0, most_holders=most_holders)
        assert len(masks.seed) == most_holders


@pytest.mark.parametrize(("max_overlap", "kept"), [(0.99, [0]), (1.0, [0, 1])])
def test_a_mask_whose_very_seed_is_owned_is_dropped_however_little_of_it_is(max_overlap, kept):
    """The first is a single column, and the seed of the second, which takes all eight."""
    grids = grids_of(ramp())
    seeds = growing_seeds(grids, [(0, 3), (0, 3)], [0.0, 99.0])
    assert grow_masks(grids, seeds, max_overlap).seed.tolist() == kept


def test_a_mask_that_is_dropped_owns_nothing_and_leaves_no_cell():
    """The second has 2 of 3 cells in the first and is dropped; its third cell is free for the
    third."""
    grids = grids_of(torch.tensor([[[0.0, 1, 2, 3, 7, 7.5, 8]]]))
    seeds = growing_seeds(grids, [(0, 1), (0, 4), (0, 6)], [4.0, 25.0, 1.0])
    masks = grow_masks(grids, seeds, max_overlap=0.3)
    assert masks.seed.tolist() == [0, 2]
    assert masks_on((1, 7), masks)[:, 0].tolist() == [
        [True, True, True, True, False, False, False],
        [False, False, False, False, True, True, True],
    ]


def test_masks_of_all_scales_compete_on_every_grid():
    fine = torch.zeros(20, 20, dtype=torch.int64)
    fine[4:16, 4:16] = 1
    grids = grids_of(flat_embedding(fine[::2, ::2]), flat_embedding(fine))
    seeds = growing_seeds(grids, [(4, 4), (8, 8)], 1.1, levels=[0, 1])
    assert grow_masks(grids, seeds, max_overlap=0.5).seed.tolist() == [0]


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=8)).filter(np.any),
    st.tuples(st.integers(1, 12), st.integers(1, 12)),
)
def test_a_mask_owns_the_cells_of_another_grid_whose_corner_it_covers(mask, shape):
    """Every cell of the other grid is asked by a seed of its own: those that are owned are
    dropped."""
    height, width = mask.shape
    rows, columns = shape
    everywhere = np.argwhere(np.ones(shape))
    apart = torch.arange(float(rows * columns)).view(1, *shape) * 10
    grids = grids_of(flat_embedding(torch.from_numpy(mask)), apart)
    positions = [np.argwhere(mask)[-1].tolist(), *everywhere.tolist()]
    levels = [0] + [1] * len(everywhere)
    seeds = growing_seeds(grids, positions, 1.1, [-1] + [0] * len(everywhere), levels)
    masks = grow_masks(grids, seeds, 0)
    free = {tuple(position) for position in masks.position[1:].tolist()}
    expected = {
        (row, column)
        for row, column in everywhere.tolist()
        if not mask[row * height // rows, column * width // columns]
    }
    assert free == expected
