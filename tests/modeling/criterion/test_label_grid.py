import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dml_instance.modeling.criterion.label_grid import (
    Coverage,
    LabelGrid,
    ignored_share,
    instance_id_map,
    resized_mask,
)
from dml_instance.modeling.criterion.label_grid import instance_coverage as coverage_of
from dml_instance.modeling.ground_truth import GroundTruth
from dml_instance.object_masks import ObjectMasks
from slow_criterion import SlowGrid, resized


def masks_of(*drawings):
    """Rows of text to (G, H, W) bool, '#' is inside."""
    return torch.tensor([[[c == "#" for c in row] for row in drawing] for drawing in drawings])


def in_full(coverage: Coverage):
    """(G, h, w), asked for cell by cell."""
    every = coverage.of(torch.arange(1, len(coverage) + 1), None)
    return every.view(len(coverage), *coverage.shape)


def instance_coverage(masks, stride):
    return in_full(coverage_of(ObjectMasks.of(masks), stride))


def id_map(masks, stride):
    coverage = coverage_of(ObjectMasks.of(masks), stride)
    return instance_id_map(coverage, torch.zeros(coverage.shape))


def test_coverage_is_the_share_of_a_cell_and_nothing_lies_beyond_the_image():
    masks = masks_of(["##.", "#..", "..#"], ["...", "...", "..."])
    assert instance_coverage(masks, 2).tolist() == [
        [[0.75, 0.0], [0.0, 0.25]],
        [[0.0, 0.0], [0.0, 0.0]],
    ]
    assert instance_coverage(masks[:0], 2).shape == (0, 2, 2)


def test_a_cell_goes_to_the_instance_that_covers_most_of_it():
    masks = masks_of(["##..", "##..", "#...", "...."], ["..##", "..##", ".#.#", "####"])
    assert id_map(masks, 2).tolist() == [[1, 2], [2, 2]]
    assert id_map(masks, 1).tolist() == [[1, 1, 2, 2], [1, 1, 2, 2], [1, 2, 0, 2], [2, 2, 2, 2]]


def test_less_than_half_a_cell_is_background():
    big = ["####....", "####....", "####....", "####...#"]
    assert id_map(masks_of(big), 4).tolist() == [[1, 0]]


def test_a_thin_instance_keeps_its_best_cell():
    wire = ["........", "........", "......##", "........"]
    big = ["####....", "####....", "####....", "####...."]
    assert id_map(masks_of(big, wire), 4).tolist() == [[1, 2]]


def test_the_smaller_of_two_overlapping_instances_lies_on_top():
    large, small = torch.ones(1, 4, 4, dtype=torch.bool), torch.zeros(1, 4, 4, dtype=torch.bool)
    small[0, :2, :2] = True
    for order in ([large, small], [small, large]):
        ids = id_map(torch.cat(order), 2)
        small_id = 2 if order[0] is large else 1
        assert ids[0, 0] == small_id
        assert (ids.flatten()[1:] == 3 - small_id).all()


def test_pixels_that_are_ignored_are_neither_object_nor_background():
    masks = masks_of(["#.......", "........", "##......", "##......", "........", "........"])
    border = masks_of([".#......", "#######.", "........", "........", "......##", "......##"])
    ignored = ignored_share(border[0], 2)
    of_objects = coverage_of(ObjectMasks.of(masks), 2).without(ignored)
    coverage = in_full(of_objects)
    # of the first cell the object has all that is left; half a cell ignored leaves it background,
    # more does not
    assert coverage[0].tolist() == [[1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    assert instance_id_map(of_objects, ignored).tolist() == [
        [1, 0, 0, 0],
        [1, 0, 0, 0],
        [0, 0, 0, -1],
    ]
    none = coverage_of(ObjectMasks.of(masks[:0]), 2)
    assert instance_id_map(none, ignored).tolist() == [
        [-1, 0, 0, 0],
        [0, 0, 0, 0],
        [0, 0, 0, -1],
    ]


@pytest.mark.parametrize("size", [(5, 7), (8, 8), (1, 1)])
def test_odd_sizes_and_no_instances(size):
    ids = id_map(torch.zeros(0, *size, dtype=torch.bool), 4)
    assert ids.shape == (-(-size[0] // 4), -(-size[1] // 4))
    assert (ids == 0).all()
    assert (id_map(torch.ones(1, *size, dtype=torch.bool), 1) == 1).all()


def test_coverage_keeps_a_border_that_whole_cells_lose():
    """What a grid of stride 2 can say of discs the size of nuclei, cut at one half between the
    cells."""
    rows, columns = np.mgrid[:32, :32]
    rng = np.random.default_rng(0)
    discs = [
        (rows - y) ** 2 + (columns - x) ** 2 <= r**2
        for y, x, r in rng.uniform([14, 14, 5], [18, 18, 11], (50, 3))
    ]
    truth = torch.from_numpy(np.stack(discs))
    coverage = instance_coverage(truth, 2)
    iou = {}
    for name, cells in (("whole", (coverage >= 0.5).float()), ("coverage", coverage)):
        mask = (
            F.interpolate(cells[:, None], scale_factor=2, mode="bilinear", align_corners=False)[
                :, 0
            ]
            >= 0.5
        )
        iou[name] = ((mask & truth).sum((1, 2)) / (mask | truth).sum((1, 2))).mean().item()
    assert iou["whole"] < 0.9
    assert iou["coverage"] > 0.98


def test_a_larger_stride_than_the_image_gives_one_cell():
    masks = torch.ones(1, 3, 5, dtype=torch.bool)
    assert instance_coverage(masks, 8).tolist() == [[[15 / 64]]]
    assert instance_coverage(masks, 128).item() == pytest.approx(15 / 128**2)
    full = torch.ones(1, 128, 256, dtype=torch.bool)
    assert instance_coverage(full, 128).tolist() == [[[1.0, 1.0]]]


def resized_masks(masks, size):
    resized = ObjectMasks.of(masks).resized(size).tensor
    for mask, expected in zip(masks, resized, strict=True):
        assert torch.equal(resized_mask(mask, size), expected)
    return resized


def test_masks_are_resized_by_the_pixel_at_each_centre():
    masks = masks_of(["#..#", ".##.", "#...", "...#"])
    assert torch.equal(resized_masks(masks, (4, 4)), masks)
    double = resized_masks(masks, (8, 8))
    assert double.dtype == torch.bool
    assert torch.equal(double, masks.repeat_interleave(2, 1).repeat_interleave(2, 2))
    assert torch.equal(resized_masks(double, (4, 4)), masks)
    assert resized_masks(masks[:0], (8, 6)).shape == (0, 8, 6)


def test_masks_that_share_a_cell_count_together():
    """Three objects of a quarter each make a cell no background; the best covered wins it."""
    quarters = masks_of(["#...", "...."], [".#..", "...."], ["....", "#..."], ["..#.", "...."])
    quarters[2, 1, 2:] = True
    ids = id_map(quarters, 2)
    # Object 3 owns the second cell, where it covers half; object 4 lost it and is given it back.
    assert ids[0, 1] == 4
    assert ids[0, 0] in (1, 2, 3)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10_000),
    st.integers(0, 3),
    st.sampled_from([1, 2]),
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.sampled_from([None, (4, 7), (11, 6)]),
)
def test_a_grid_equals_the_loops_over_pixels(seed, count, stride, size, image_size):
    rng = np.random.default_rng(seed)
    masks, ignored = rng.random((count, *size)) < 0.4, rng.random(size) < 0.25
    image_size = image_size or size
    slow = SlowGrid(masks, ignored, image_size, stride)
    areas = slow.coverage.sum((1, 2)).round(6).tolist()
    assume(len(set(areas)) == count)  # of two of one size either may lie on top
    objects = ObjectMasks.of(torch.from_numpy(masks))
    truth = GroundTruth(objects, torch.zeros(count, dtype=torch.int64), torch.from_numpy(ignored))
    grid = LabelGrid.of(truth, image_size, stride)
    np.testing.assert_allclose(in_full(grid.coverage).numpy(), slow.coverage, atol=1e-6)
    assert np.array_equal(truth.masks.resized(image_size).tensor, resized(masks, image_size))
    assert grid.ids.tolist() == slow.ids.tolist()
    assert grid.flat_ids.tolist() == slow.ids.clip(0).ravel().tolist()
    assert grid.count == count


def truth_of(masks):
    classes = torch.zeros(len(masks), dtype=torch.int64)
    return GroundTruth(
        ObjectMasks.of(masks), classes, torch.zeros(masks.shape[1:], dtype=torch.bool)
    )


def test_no_pixel_of_a_crossing_stands_for_one_of_the_two():
    lying = ["......", "######", "######", "......"]
    standing = ["..##..", "..##..", "..##..", "..##.."]
    masks = masks_of(lying, standing)
    grid = LabelGrid.of(truth_of(masks), (4, 6), 1)
    assert grid.unshared_ids.tolist() == [
        [0, 0, 2, 2, 0, 0],
        [1, 1, -1, -1, 1, 1],
        [1, 1, -1, -1, 1, 1],
        [0, 0, 2, 2, 0, 0],
    ]
    assert (grid.ids[masks.all(dim=0)] > 0).all()  # it is judged all the same


def test_an_object_within_another_one_keeps_its_cells():
    outer = ["######", "######", "######", "######"]
    inner = ["......", ".##...", ".##...", "......"]
    grid = LabelGrid.of(truth_of(masks_of(outer, inner)), (4, 6), 1)
    assert torch.equal(grid.unshared_ids, grid.ids)
    assert (grid.ids == 2).sum() == 4


@settings(deadline=None)
@given(st.integers(0, 10_000))
def test_objects_that_do_not_overlap_keep_all_cells(seed):
    generator = torch.Generator().manual_seed(seed)
    owner = torch.randint(0, 4, (9, 11), generator=generator)
    masks = torch.stack([owner == index for index in (1, 2, 3)])
    grid = LabelGrid.of(truth_of(masks), (9, 11), 2)
    assert torch.equal(grid.unshared_ids, grid.ids)
