"""Tiles cover an image once, and hold of each object what lies in them."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco_mask

from dml_instance.data.annotated import AnnotatedImage, AnnotatedObject
from dml_instance.data.preparing.tiles import CutObjects, tiles
from toy_scenes import rle


def test_tiles_cover_every_pixel_once():
    covered = np.zeros((103, 250), int)
    for window in tiles(covered.shape, 64):
        covered[window] += 1
        assert max(covered[window].shape) <= 70
    assert (covered == 1).all()
    assert len(tiles((10, 10), 0)) == len(tiles((10, 10), 64)) == 1


@settings(deadline=None)
@given(arrays(bool, (7, 9)), st.integers(2, 9))
def test_objects_are_cut_at_the_borders(mask, side):
    item = AnnotatedObject(rle(mask), "cell", is_crowd=True)
    objects = CutObjects(AnnotatedImage("a.png", mask.shape, (item,) * int(mask.any())))
    for window in tiles(mask.shape, side):
        found = objects.inside(window)
        assert len(found) == mask[window].any()
        for part in found:
            np.testing.assert_array_equal(coco_mask.decode(part.mask), mask[window])
            assert (part.class_name, part.is_crowd) == ("cell", True)
