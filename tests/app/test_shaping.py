"""Masks that people change, pixel by pixel against what the words mean."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask
from scipy import ndimage

from dml_instance.app import shaping
from dml_instance.rle import encoded


def pixels(rle):
    return coco_mask.decode(dict(rle)).astype(bool)


def random_mask(seed, size=(17, 23)):
    rng = np.random.default_rng(seed)
    return ndimage.gaussian_filter(rng.normal(size=size), 2) > 0.03


def near(size, points, radius):
    """(H, W) bool: pixels whose centres lie within a radius of a line, by many points on it."""
    rows, columns = np.mgrid[: size[0], : size[1]] + 0.5
    result = np.zeros(size, dtype=bool)
    for start, end in zip(points, [*points[1:], points[-1]], strict=True):
        for share in np.linspace(0, 1, 400):
            row, column = (a + share * (b - a) for a, b in zip(start, end, strict=True))
            result |= (rows - row) ** 2 + (columns - column) ** 2 <= radius**2
    return result


def hundredths(low, high):
    return st.integers(100 * low, 100 * high).map(lambda value: value / 100)


POINTS = st.lists(st.tuples(hundredths(-8, 25), hundredths(-8, 30)), min_size=1, max_size=4)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1000), POINTS, st.floats(0.6, 6), st.booleans())
def test_a_stroke_adds_and_takes_what_lies_under_the_brush(seed, points, radius, erase):
    mask, size = random_mask(seed), (17, 23)
    brush, doubt = near(size, points, radius), near(size, points, radius + 0.05)
    for row, column in points:
        if 0 <= row < size[0] and 0 <= column < size[1]:
            brush[int(row), int(column)] = True
    expected = mask & ~brush if erase else mask | brush
    new = shaping.painted(encoded(mask), size, points, radius, erase)
    found = np.zeros(size, dtype=bool) if new is None else pixels(new)
    is_sure = brush | ~doubt
    np.testing.assert_array_equal(found[is_sure], expected[is_sure])


def test_a_stroke_begins_a_mask_and_may_end_one():
    size = (10, 12)
    dab = shaping.painted(None, size, [(4.5, 5.5)], 0.5, False)
    assert np.argwhere(pixels(dab)).tolist() == [[4, 5]]
    assert shaping.painted(dab, size, [(4.2, 5.9)], 0.5, True) is None
    assert shaping.painted(None, size, [(4.5, 5.5)], 2, True) is None
    assert shaping.painted(None, size, [(-9, -9)], 2, False) is None


def test_what_is_taken_away_may_lie_anywhere():
    mask = random_mask(3)
    for other in (random_mask(4), np.zeros_like(mask), ~mask, mask):
        left = shaping.without(encoded(mask), encoded(other))
        np.testing.assert_array_equal(pixels(left), mask & ~other)


def blocks(*boxes, size=(20, 30)):
    mask = np.zeros(size, dtype=bool)
    for top, left, bottom, right in boxes:
        mask[top:bottom, left:right] = True
    return mask


def test_a_cut_from_side_to_side_divides():
    mask = blocks((5, 5, 15, 25))
    parts = shaping.cut(encoded(mask), [(2, 11.5), (18, 11.5)])
    left, right = (pixels(part) for part in parts)
    assert left.sum() + right.sum() == mask.sum() and not (left & right).any()
    np.testing.assert_array_equal(left | right, mask)
    # The larger one first; the column under the line is of one side or the other.
    assert set(np.flatnonzero(left.any(0))) >= set(range(12, 25))
    assert set(np.flatnonzero(right.any(0))) >= set(range(5, 11))


@pytest.mark.parametrize(
    "line", [[(2, 11.5), (9, 11.5)], [(2, 1), (18, 1)], [(10, 8), (10, 20)], [(0, 0), (0, 0)]]
)
def test_a_cut_that_ends_inside_or_misses_changes_nothing(line):
    mask = blocks((5, 5, 15, 25))
    (same,) = shaping.cut(encoded(mask), line)
    np.testing.assert_array_equal(pixels(same), mask)


def test_pieces_that_the_line_misses_stay_with_the_largest_part():
    mask = blocks((1, 1, 4, 4), (6, 5, 16, 27))
    large, small = (pixels(part) for part in shaping.cut(encoded(mask), [(4, 9), (18, 9)]))
    assert large[2, 2] and large[10, 20] and not large[10, 6]
    assert small[10, 6] and small.sum() + large.sum() == mask.sum()


def test_a_steep_line_does_not_leak_at_corners_nor_leave_splinters():
    """A diagonal of pixels that touch at corners would let the halves hang together."""
    mask = blocks((2, 2, 18, 28))
    for end in range(3, 28, 3):
        parts = shaping.cut(encoded(mask), [(0, 3), (19, end + 0.5)])
        assert len(parts) == 2
        assert sum(pixels(part).sum() for part in parts) == mask.sum()
    # Along the border, where single pixels lie beyond the line.
    jagged = blocks((5, 5, 15, 25))
    jagged[4, 8] = jagged[4, 16] = True
    assert len(shaping.cut(encoded(jagged), [(5, 4), (5, 26)])) == 1
    # And where the line then turns and divides.
    parts = shaping.cut(encoded(jagged), [(5, 4), (5, 15), (18, 15)])
    assert len(parts) == 2 and sum(pixels(part).sum() for part in parts) == jagged.sum()


def test_two_lines_at_once_make_three():
    mask = blocks((5, 5, 15, 25))
    line = [(2, 10), (18, 10), (18, 19), (2, 19)]
    parts = [pixels(part) for part in shaping.cut(encoded(mask), line)]
    assert len(parts) == 3
    np.testing.assert_array_equal(np.sum(parts, axis=0), mask)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_outlines_filled_by_even_and_odd_are_the_mask(seed):
    mask = random_mask(seed)
    if not mask.any():
        return
    scale = 8
    canvas = np.zeros([side * scale for side in mask.shape], np.uint8)
    lines = [np.array(line).reshape(-1, 2) for line in shaping.outline(encoded(mask))]
    # Quarters of a pixel to pixels of the canvas.
    cv2.fillPoly(
        canvas, [(line * scale // shaping.OUTLINE_UNITS).astype(np.int32) for line in lines], 1
    )
    centres = canvas[scale // 2 :: scale, scale // 2 :: scale].astype(bool)
    np.testing.assert_array_equal(centres, mask)


def test_boxes_and_areas():
    rle = encoded(blocks((5, 6, 15, 25)))
    assert shaping.box_of(rle) == [6, 5, 19, 10] and shaping.area_of(rle) == 190
