"""Masks encoded from the part that holds them are those encoded as a whole; their areas."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco_mask

from dml_instance.rle import (
    areas,
    as_rle,
    decoded_part,
    encoded,
    encoded_inside,
    encoded_part,
    of_likeliest_class,
    run_lengths,
    union,
)

SIDES = st.integers(1, 6)


@settings(deadline=None)
@given(st.tuples(SIDES, SIDES).flatmap(lambda size: arrays(bool, size)), st.data())
def test_a_part_encodes_as_the_whole(part, data):
    above, left, below, right = (data.draw(st.integers(0, 3)) for _ in range(4))
    whole = np.pad(part, ((above, below), (left, right)))
    assert encoded_part(part, (above, left), whole.shape) == encoded(whole)


@pytest.mark.parametrize("value", [False, True])
def test_a_full_and_an_empty_mask_encode_as_a_whole(value):
    mask = np.full((5, 7), value)
    assert encoded_part(mask, (0, 0), mask.shape) == encoded(mask)
    assert encoded_part(mask[:0], (0, 0), mask.shape) == encoded(np.zeros_like(mask))


@settings(deadline=None)
@given(st.tuples(SIDES, SIDES).flatmap(lambda size: arrays(bool, size)))
def test_the_decoded_part_holds_all_of_a_mask(mask):
    part, (top, left) = decoded_part(encoded(mask))
    whole = np.zeros_like(mask)
    whole[top : top + part.shape[0], left : left + part.shape[1]] = part
    np.testing.assert_array_equal(whole, mask)
    assert part.any() or (part.size, top, left) == (0, 0, 0)


def test_of_one_mask_the_likeliest_class_is_kept():
    """In the order of the predictions; two of one class are two, and so are two masks."""
    one, other = (encoded(np.eye(3, dtype=bool)[rows]) for rows in ([0, 1, 2], [2, 1, 0]))
    kept = of_likeliest_class(
        [one, other, one, one, one, other], [0, 1, 2, 2, 0, 3], [0.4, 0.3, 0.5, 0.2, 0.1, 0.3]
    )
    assert kept == [1, 2, 3]
    assert of_likeliest_class([], [], []) == []
    nothing = encoded(np.zeros((3, 3), dtype=bool))
    assert of_likeliest_class([nothing, nothing], [0, 1], [0.4, 0.3]) == [0, 1]


def test_runs_of_any_length_are_read():
    """Long and short in turn, so that differences have either sign and many characters."""
    counts = [0, 1, 70_000, 3, 2, 40_000, 31, 32, 1, 29_899, 16, 15]
    rle = coco_mask.frPyObjects({"size": [1000, 140], "counts": counts}, 1000, 140)
    assert run_lengths(rle).tolist() == counts and sum(counts) == 140_000


def test_any_form_of_a_mask_becomes_text():
    mask = np.zeros((5, 6), bool)
    mask[1:3, 2:5] = True
    polygon, runs = [[2, 1, 5, 1, 5, 3, 2, 3]], [11, 2, 3, 2, 3, 2, 7]
    of_bytes = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    for segmentation in (polygon, {"size": [5, 6], "counts": runs}, of_bytes, encoded(mask)):
        assert as_rle(segmentation, 5, 6) == encoded(mask)


def test_a_union_has_the_pixels_of_all():
    masks = np.random.default_rng(0).random((3, 5, 6)) < 0.3
    assert union([encoded(mask) for mask in masks]) == encoded(masks.any(axis=0))
    assert union([encoded(masks[0])]) == encoded(masks[0])


def test_pixels_of_masks_are_counted_however_many_there_are():
    mask = encoded(np.eye(3, dtype=bool))
    for number in (0, 1, 300):
        np.testing.assert_array_equal(areas([mask] * number), np.full(number, 3.0))


@given(
    st.tuples(SIDES, SIDES).flatmap(lambda size: arrays(bool, size)),
    st.tuples(st.integers(-4, 7), st.integers(-4, 7)),
)
def test_what_sticks_out_of_a_mask_is_cut_off(part, corner):
    whole = np.zeros((7, 7), dtype=bool)
    for row, column in zip(*np.nonzero(part), strict=True):
        at = row + corner[0], column + corner[1]
        if min(at) >= 0 and max(at) < 7:
            whole[at] = True
    assert encoded_inside(part, corner, whole.shape) == encoded(whole)
