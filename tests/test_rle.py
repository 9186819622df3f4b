"""Masks encoded from the part that holds them are those encoded as a whole; their areas."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dml_instance.rle import areas, encoded, encoded_part

SIDES = st.integers(1, 6)


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


@pytest.mark.parametrize("count", [0, 1, 255, 256, 1000])
def test_areas_of_any_number_of_masks_are_their_pixels(count):
    masks = [np.arange(30).reshape(5, 6) < index % 31 for index in range(count)]
    assert areas([encoded(mask) for mask in masks]).tolist() == [mask.sum() for mask in masks]
