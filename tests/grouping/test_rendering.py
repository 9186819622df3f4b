import mmap

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dml_instance.grouping import rendering
from dml_instance.grouping.growing import grow_masks
from dml_instance.grouping.rendering import WindowMasks, draw_masks, sparse_masks
from hand_made import flat_embedding, grids_of, growing_seeds, masks_on, picture, ramp

# What is sure of a pixel: it is in, out, or so near to the border that rounding may decide.
IN, OUT, DOUBTFUL = 1, 0, -1


def draw(grids, masks, output_size, cell_sizes=None, order=None, interpolate=True, limit=100):
    """Which masks are drawn, their pixels in the whole image, and their boxes."""
    shapes = [scale.shape for scale in grids.distance_scales]
    sizes = [tuple(o / s for o, s in zip(output_size, shape, strict=True)) for shape in shapes]
    drawn, windows = draw_masks(
        masks,
        np.arange(len(masks.seed)) if order is None else np.array(order, dtype=np.int64),
        grids,
        cell_sizes=cell_sizes or sizes,
        output_size=output_size,
        interpolate=interpolate,
        limit=limit,
    )
    return drawn, windows.whole(*output_size), windows.boxes


def slow_pixels(distance, is_of_mask, threshold, cell_size, output_size, interpolate):
    """(H, W) of IN, OUT and DOUBTFUL: every pixel on its own, by the distances round its centre."""
    cut = 3 * threshold
    far = (distance <= threshold) & ~is_of_mask
    clipped = np.where(far | ~(distance < cut), cut, distance).astype(np.float64)
    height, width = distance.shape
    result = np.empty(output_size, dtype=int)
    for pixel in np.ndindex(*output_size):
        centre = [(p + 0.5) / size for p, size in zip(pixel, cell_size, strict=True)]
        if not interpolate:
            row, column = (min(int(c), n - 1) for c, n in zip(centre, (height, width), strict=True))
            value = clipped[row, column]
        else:
            # Between the centres of cells, and beyond the outermost of them nothing changes.
            row, column = (
                min(max(c - 0.5, 0), n - 1) for c, n in zip(centre, (height, width), strict=True)
            )
            value = 0.0
            for r in range(height):
                for c in range(width):
                    value += max(1 - abs(row - r), 0) * max(1 - abs(column - c), 0) * clipped[r, c]
        in_doubt = interpolate and abs(value - threshold) < 1e-4
        result[pixel] = DOUBTFUL if in_doubt else value <= threshold
    return result


def grown(embedding, seed, threshold, gap=0):
    grids = grids_of(embedding)
    return grids, grow_masks(grids, growing_seeds(grids, [seed], threshold, gap), 0.5)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10_000),
    st.tuples(st.integers(1, 5), st.integers(1, 6)),
    st.tuples(st.integers(1, 14), st.integers(1, 14)),
    st.booleans(),
    st.sampled_from([0, -1]),
    st.sampled_from([0.0, 0.4, 0.9]),
)
def test_every_pixel_follows_the_distances_round_it(
    seed, shape, output_size, interpolate, gap, beyond
):
    """Grids of any shape at any size, larger and smaller, that end with the image or beyond it."""
    generator = torch.Generator().manual_seed(seed)
    embedding = torch.randn(1, *shape, generator=generator)
    embedding += 0.001  # no distance that is the threshold to a digit
    position = tuple(int(torch.randint(0, side, (1,), generator=generator)) for side in shape)
    cell_size = tuple(out / (side - beyond) for out, side in zip(output_size, shape, strict=True))
    grids, masks = grown(embedding, position, 0.7, gap)
    drawn, pixels, _ = draw(grids, masks, output_size, [cell_size], interpolate=interpolate)
    distance = (embedding[0] - embedding[0][position]).square().numpy()
    slow = slow_pixels(
        distance, masks_on(shape, masks)[0], 0.7, cell_size, output_size, interpolate
    )
    got = pixels[0] if len(drawn) else np.zeros(output_size, dtype=bool)
    np.testing.assert_array_equal(got[slow != DOUBTFUL], slow[slow != DOUBTFUL] == IN)


@pytest.mark.parametrize("size", [(40, 60), (31, 47), (10, 15), (20, 30)])
def test_interpolated_masks_equal_cutting_the_interpolated_distance_map(size):
    rows, columns = torch.meshgrid(torch.arange(20.0), torch.arange(30.0), indexing="ij")
    embedding = torch.stack([rows, columns]) / 6
    seed, threshold = (9, 13), 1.1
    grids, masks = grown(embedding, seed, threshold)
    _, pixels, _ = draw(grids, masks, size)
    distance = ((embedding - embedding[:, seed[0], seed[1]][:, None, None]) ** 2).sum(0)
    up = torch.nn.functional.interpolate(
        distance[None, None], size=size, mode="bilinear", align_corners=False
    )[0, 0]
    assert torch.equal(torch.from_numpy(pixels[0]), up <= threshold)


def test_an_interpolated_mask_does_not_shrink_the_more_distinct_its_neighbour_is():
    ids = torch.zeros(12, 16, dtype=torch.int64)
    ids[3:9, 4:12] = 1
    areas = []
    for apart in (3.0, 30.0, 3000.0):
        grids, masks = grown(ids[None] * apart, (5, 6), 1.1)
        areas.append(int(draw(grids, masks, (48, 64))[1].sum()))
    assert areas[0] == areas[1] == areas[2]
    # The border lies within half a cell, 2 pixels, of where the cells end.
    assert (6 * 4 - 4) * (8 * 4 - 4) < areas[0] <= (6 * 4 + 4) * (8 * 4 + 4)


def test_distances_are_clipped_at_three_thresholds():
    """A step from 0 to 3 thresholds is cut at a third of the way: of 12 pixels a cell the fourth
    from the centre is the last whose own centre lies before it."""
    grids, masks = grown(torch.tensor([[[0.0, 100.0]]]), (0, 0), 1.0)
    _, pixels, boxes = draw(grids, masks, (1, 24))
    assert pixels[0, 0].nonzero()[0].tolist() == list(range(10))
    assert boxes.tolist() == [[0, 0, 10, 1]]


@pytest.mark.parametrize("interpolate", [True, False])
def test_an_odd_output_size_keeps_the_object_in_place(interpolate):
    ids = torch.zeros(16, 16, dtype=torch.int64)
    ids[4:12, 8:16] = 1
    grids, masks = grown(flat_embedding(ids), (8, 12), 1.1)
    _, pixels, _ = draw(grids, masks, (40, 24), interpolate=interpolate)
    expected = np.zeros((40, 24), dtype=bool)
    expected[10:30, 12:24] = True
    assert (pixels[0] & expected).sum() / (pixels[0] | expected).sum() > 0.8


def test_nothing_is_read_that_was_not_written(monkeypatch):
    """New memory is full of what is no number, as far as the loops are run as Python."""
    embedding = torch.randn(1, 6, 7, generator=torch.Generator().manual_seed(0))
    clean = [draw(*grown(embedding, seed, 0.7), (13, 17)) for seed in np.ndindex(6, 7)]
    empty = np.empty

    def poisoned(shape, dtype=float):
        array = empty(shape, dtype)
        array.fill(np.nan if np.issubdtype(dtype, np.floating) else -99)
        return array

    monkeypatch.setattr(np, "empty", poisoned)
    for seed, expected in zip(np.ndindex(6, 7), clean, strict=True):
        for got, wanted in zip(draw(*grown(embedding, seed, 0.7), (13, 17)), expected, strict=True):
            np.testing.assert_array_equal(got, wanted)


def four_columns():
    """Four masks of five columns each, on a grid of 5 x 20 cells."""
    ids = torch.arange(4).repeat_interleave(5).expand(5, 20)
    grids = grids_of(flat_embedding(ids))
    seeds = growing_seeds(grids, [(2, 2), (2, 7), (2, 12), (2, 17)], 1.1)
    return grids, grow_masks(grids, seeds, 0.5)


def test_masks_are_drawn_in_the_order_that_is_asked_for_with_tight_boxes():
    grids, masks = four_columns()
    drawn, pixels, boxes = draw(grids, masks, (10, 40), order=[2, 0, 3], interpolate=False)
    assert drawn.tolist() == [2, 0, 3]
    assert pixels.shape == (3, 10, 40) and pixels.dtype == bool
    for mask, first in zip(pixels, (20, 0, 30), strict=True):
        expected = np.zeros((10, 40), dtype=bool)
        expected[:, first : first + 10] = True
        np.testing.assert_array_equal(mask, expected)
    assert boxes.tolist() == [[20, 0, 30, 10], [0, 0, 10, 10], [30, 0, 40, 10]]
    assert boxes.dtype == np.int64 and drawn.dtype == np.int64


@pytest.mark.parametrize("is_upright", [True, False])
def test_a_box_far_down_a_narrow_image_or_far_along_a_low_one_is_tight(is_upright):
    ids = torch.zeros(12, 2, dtype=torch.int64)
    ids[9:11, 1] = 1
    seed, expected = (9, 1), [1, 9, 2, 11]
    if not is_upright:
        ids, seed, expected = ids.T, (1, 9), [9, 1, 11, 2]
    grids, masks = grown(flat_embedding(ids), seed, 1.1)
    _, pixels, boxes = draw(grids, masks, tuple(ids.shape), interpolate=False)
    assert torch.equal(torch.from_numpy(pixels[0]), ids == 1)
    assert boxes.tolist() == [expected]


@pytest.mark.parametrize(("limit", "expected"), [(0, []), (1, [3]), (2, [3, 1]), (3, [3, 1, 0])])
def test_no_more_masks_are_drawn_than_the_limit(limit, expected):
    grids, masks = four_columns()
    drawn, pixels, boxes = draw(grids, masks, (5, 20), order=[3, 1, 0], limit=limit)
    assert drawn.tolist() == expected
    assert len(pixels) == len(boxes) == len(expected)


def test_a_mask_without_a_pixel_is_left_out_and_takes_no_place():
    """At a quarter of the size the pixels' centres lie in every fourth column, from the third on:
    the masks of columns 0 and 1 have none."""
    numbers = picture("01234567")
    grids = grids_of(flat_embedding(numbers))
    seeds = growing_seeds(grids, [(0, column) for column in range(8)], 1.1)
    masks = grow_masks(grids, seeds, 0.5)
    drawn, pixels, boxes = draw(grids, masks, (1, 2), interpolate=False, limit=2)
    assert drawn.tolist() == [2, 6]
    assert pixels[:, 0].tolist() == [[True, False], [False, True]]
    assert boxes.tolist() == [[0, 0, 1, 1], [1, 0, 2, 1]]


def test_masks_of_every_scale_are_drawn_by_the_size_of_its_cells():
    fine, coarse = torch.zeros(1, 4, 12), torch.zeros(1, 2, 3)
    fine[0, 1:3, 4:7], coarse[0, 1, 2] = 9, 9
    grids = grids_of(fine, coarse)
    seeds = growing_seeds(grids, [(1, 4), (1, 2)], 1.1, levels=[0, 1])
    masks = grow_masks(grids, seeds, 0.5)
    _, pixels, boxes = draw(
        grids, masks, (8, 24), [(2.0, 2.0), (4.0, 8.0)], order=[1, 0], interpolate=False
    )
    assert boxes.tolist() == [[16, 4, 24, 8], [8, 2, 14, 6]]
    assert pixels.sum(axis=(1, 2)).tolist() == [32, 24]


def test_distances_are_those_from_the_seed_by_its_own_scale():
    """Scaled by 1/4 the cell beyond the mask lies at 1.5625 of 1: the cut at 0.64 of the way."""
    factor = np.full((1, 8), 100.0)
    factor[0, 0] = 0.25
    grids = grids_of(ramp(), distance_scales=[factor])
    masks = grow_masks(grids, growing_seeds(grids, [(0, 0)], 0.9), 0.5)
    _, pixels, _ = draw(grids, masks, (1, 800))
    # Cells 0 and 1 are in, and between the centres of 1 (at 0.25) and 2 (at 1) the cut is at 0.9.
    last = 100 * (1.5 + (0.9 - 0.25) / 0.75)
    assert pixels[0, 0].nonzero()[0].tolist() == list(range(round(last)))


def test_windows_hold_the_pixels_of_each_mask_and_nothing_else():
    """20,000 masks in an image of 8,192 x 8,192 pixels, of 1.3 TB in full: 20 bytes each."""
    column = np.arange(20_000) % 8188
    boxes = np.stack([column, column, column + 4, column + 5], axis=1)
    pixels = np.random.default_rng(0).random((20_000, 5, 4)) < 0.5
    masks = WindowMasks(boxes, np.arange(20_001) * 20, pixels.ravel())
    assert len(masks) == 20_000 and masks.pixels.nbytes == 400_000
    for index in (0, 777, 19_999):
        assert np.array_equal(masks[index], pixels[index])
    assert sum(int(mask.sum()) for mask in masks) == pixels.sum()
    whole = masks.whole(8192, 8192)
    left, top, right, bottom = boxes[777]
    assert np.array_equal(whole[777, top:bottom, left:right], pixels[777])
    assert whole[777, : top + 6].sum() == pixels[777].sum()


@pytest.mark.parametrize("has_small_pages", [True, False])
@pytest.mark.parametrize("shape", [(3, 50, 70), (0, 50, 70), (2, 0, 70), (2, 50, 0)])
def test_sparse_masks_are_false_and_can_be_written(monkeypatch, shape, has_small_pages):
    if not has_small_pages:
        monkeypatch.delattr(mmap, "MADV_NOHUGEPAGE", raising=False)
        monkeypatch.setattr(rendering.mmap, "mmap", None)
    masks = sparse_masks(*shape)
    assert masks.shape == shape and masks.dtype == bool and not masks.any()
    masks[...] = True
    assert masks.all() and masks.size == np.prod(shape)
    assert not sparse_masks(*shape).any()


@pytest.mark.skipif(
    not hasattr(mmap, "MADV_NOHUGEPAGE"), reason="the system cannot map memory that is not there"
)
def test_sparse_masks_take_only_the_memory_that_is_written_to():
    masks = sparse_masks(2000, 4096, 4096)  # 33 GB
    masks[-1, -1, -1] = masks[1000, 5, 5] = True
    assert masks[-1, -1].sum() == masks[1000, 5].sum() == 1
