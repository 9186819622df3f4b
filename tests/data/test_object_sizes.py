"""Sizes of objects against those that were drawn."""

import math

import numpy as np
import pytest

from dml_instance.data import object_sizes
from dml_instance.data.object_sizes import measure_objects
from dml_instance.rle import encoded


def record(*masks, crowd=()):
    """Masks (H, W) of one image as a Detectron2 record."""
    annotations = [{"segmentation": encoded(mask), "iscrowd": 0} for mask in masks]
    annotations += [{"segmentation": encoded(mask), "iscrowd": 1} for mask in crowd]
    height, width = (masks or crowd)[0].shape
    return {"height": height, "width": width, "annotations": annotations}


def box(top, left, height, width, size=(80, 100)):
    mask = np.zeros(size, dtype=bool)
    mask[top : top + height, left : left + width] = True
    return mask


def test_diameters_are_those_of_discs_of_the_same_area():
    sides = (4, 8, 12, 16, 20)
    sizes = measure_objects([record(*(box(0, 0, s, s) for s in sides), crowd=[box(0, 0, 80, 80)])])
    expected = [round(2 * s / math.sqrt(math.pi), 1) for s in (8, 12, 16)]
    assert sizes.diameter == tuple(expected)
    assert (sizes.images, sizes.objects, sizes.extent, sizes.short_side) == (1, 5, 12.0, 80.0)
    assert (sizes.in_pieces, sizes.gap) == (0.0, 0.0)


def test_the_fullest_image_counts_whether_it_is_measured_or_not(monkeypatch):
    monkeypatch.setattr(object_sizes, "_IMAGES", 1)
    crowd = [box(40, 40, 4, 4)] * 3
    records = [record(*[box(0, 0, 5, 5)] * count, crowd=crowd) for count in (1, 4, 2)]
    sizes = measure_objects(records)
    assert (sizes.images, sizes.most) == (1, 4)


@pytest.mark.parametrize("gap", [1, 5, 12])
def test_a_gap_is_what_lies_between_two_pieces(gap):
    whole = box(0, 0, 10, 10)
    cut = box(20, 0, 10, 10) | box(20, 10 + gap, 10, 10)
    sizes = measure_objects([record(whole, cut)])
    assert (sizes.in_pieces, sizes.gap) == (0.5, gap)


def test_a_gap_is_measured_to_the_nearest_piece():
    cut = box(0, 0, 10, 10) | box(0, 14, 10, 10) | box(0, 30, 10, 10)
    # 4, 4 and 6 pixels; nine of ten are below 5.6.
    assert measure_objects([record(cut)]).gap == 5.6


def test_pieces_that_touch_at_a_corner_and_specks_are_none():
    corner = box(0, 0, 10, 10) | box(10, 10, 10, 10)
    speck = box(0, 40, 10, 10) | box(30, 40, 1, 1)
    assert measure_objects([record(corner, speck)]).in_pieces == 0


def test_polygons_and_hundreds_of_objects_are_measured():
    square = {"segmentation": [[0, 0, 20, 0, 20, 20, 0, 20]], "iscrowd": 0}
    sizes = measure_objects([{"height": 50, "width": 60, "annotations": [square] * 300}])
    assert sizes.objects == 300
    assert sizes.diameter[1] == pytest.approx(2 * 20 / math.sqrt(math.pi), abs=0.1)


def test_large_sets_are_measured_in_part():
    records = [record(box(0, 0, 10, 10))] * 700 + [record(box(0, 0, 30, 30))] * 1300
    sizes = measure_objects(records)
    assert sizes.images == 1000
    assert sizes.diameter == (pytest.approx(11.3), pytest.approx(33.9), pytest.approx(33.9))


def test_nothing_to_measure_is_said():
    with pytest.raises(ValueError, match="no object with a mask"):
        measure_objects([{"height": 5, "width": 5, "annotations": []}])
