"""One segmentation: areas and boxes against NumPy's, and all that pycocotools cannot take."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools import mask as coco_mask

from dml_instance.data.coco.check.masks import MaskError, check_mask
from dml_instance.rle import as_rle
from toy_scenes import rle

SQUARE = [2.0, 1.0, 7.0, 1.0, 7.0, 5.0, 2.0, 5.0]


def runs_of(mask):
    """Run lengths down the columns, counted one pixel after the other."""
    runs, value = [0], False
    for pixel in mask.T.ravel().tolist():
        if pixel != value:
            runs, value = [*runs, 0], pixel
        runs[-1] += 1
    return runs


def box_of(mask):
    rows, columns = np.nonzero(mask)
    if not len(rows):
        return (0, 0, 0, 0)
    left, top = columns.min(), rows.min()
    return (left, top, columns.max() + 1 - left, rows.max() + 1 - top)


masks = arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=40))


@given(mask=masks)
def test_area_and_box_of_an_rle_are_those_of_its_pixels(mask):
    for counts in (rle(mask)["counts"], runs_of(mask)):
        given_mask = {"size": list(mask.shape), "counts": counts}
        checked = check_mask(given_mask, *mask.shape)
        assert (checked.area, checked.box) == (mask.sum(), box_of(mask))
        assert checked.drawn_box == checked.box
        assert checked.segmentation == given_mask
        assert checked.repairs == ()


@given(mask=masks, data=st.data())
def test_a_text_of_counts_with_an_error_is_refused_or_another_mask_of_the_size(mask, data):
    counts = rle(mask)["counts"]
    place = data.draw(st.integers(0, len(counts) - 1))
    inserted = data.draw(st.text(st.characters(min_codepoint=40, max_codepoint=130), max_size=2))
    spoilt = counts[:place] + inserted + counts[place + 1 :]
    try:
        checked = check_mask({"size": list(mask.shape), "counts": spoilt}, *mask.shape)
    except MaskError:
        return
    pixels = coco_mask.decode(as_rle(checked.segmentation, *mask.shape))
    assert pixels.shape == mask.shape
    assert (checked.area, checked.box) == (pixels.sum(), box_of(pixels))


@given(mask=masks, place=st.integers(0, 100), number=st.integers(1, 3))
def test_runs_of_no_pixels_are_taken_out(mask, place, number):
    runs = runs_of(mask)
    place %= len(runs)
    runs[place : place + 1] = [runs[place]] + [0] * (2 * number)
    checked = check_mask({"size": list(mask.shape), "counts": runs}, *mask.shape)
    pixels = coco_mask.decode(as_rle(checked.segmentation, *mask.shape))
    assert (pixels == mask).all()
    assert (checked.area, checked.box) == (mask.sum(), box_of(mask))
    assert checked.repairs == ("masks rid of runs of no pixels",)


@pytest.mark.parametrize(
    ("changes", "repair"),
    [
        ({"size": None}, "masks given the size of their image"),
        ({"size": ["8", 9.0]}, "sizes of masks read as whole numbers"),
        ({"counts": ["10", 3.0, 59]}, "run lengths read as whole numbers"),
    ],
)
def test_what_an_rle_lacks_is_filled_in(changes, repair):
    checked = check_mask({"size": [8, 9], "counts": [10, 3, 59]} | changes, 8, 9)
    assert json.dumps(checked.segmentation) == '{"size": [8, 9], "counts": [10, 3, 59]}'
    assert (checked.area, checked.box) == (3, (1, 2, 1, 3))
    assert checked.repairs == (repair,)


@pytest.mark.parametrize(
    ("segmentation", "fault"),
    [
        *((nothing, "has no segmentation") for nothing in (None, [], {}, "", 0)),
        *(("PP", "has a segmentation 'PP'"), (3, "has a segmentation 3")),
        (SQUARE, "no list of lists"),
        ([SQUARE, {"size": [8, 9]}], "no list of lists"),
        *(([[]], "polygon of 0 points"), ([[1, 2]], "polygon of 1 points")),
        *(([[1, 2, 3, 4]], "polygon of 2 points"), ([[*SQUARE, 3]], "polygon of 9 numbers")),
        ([SQUARE, [1.0]], "polygon of 1 numbers"),
        *(
            ([[*SQUARE[:-1], value]], "no finite number")
            for value in (math.nan, math.inf, None, "5", True, [5], 10**400)
        ),
        ([[10**400, 10**400, -(10**400), 1, -(10**400), 1]], "no finite number"),
        ([[math.inf, 1, -math.inf, 1, 2, 2]], "no finite number"),
        ([[9, 0, 12, 0, 12, 3]], r"from \(9, 0\) to \(12, 3\), but its image is 9 x 8 "),
        ([[0, 8, 3, 8, 3, 12]], "but its image is 9 x 8 "),
        ([[-3, 1, 0, 1, -3, 3]], "but its image is 9 x 8 "),
        ([[1, 1, 100, 1, 100, 8]], "but its image is 9 x 8 "),
        *(
            ({"size": size, "counts": [72]}, rf"mask of {shown}, but its image is 8 x 9 \(height")
            for size, shown in (
                *(([9, 8], "9 x 8"), ([8], "8"), ([8, 9.5], "8 x 9.5"), ("8x9", "'8x9'")),
                ([8, None], "8 x None"),
            )
        ),
        *(
            ({"size": [8, 9], "counts": counts}, "no run lengths")
            for counts in (
                *(
                    None,
                    72,
                    [],
                    "",
                    "é",
                    "\x7f",
                    "P",
                    "`",
                    "p8",
                    {},
                    [[72]],
                    [70, None],
                    [70.5, 1.5],
                ),
                *([80, -8], "PPPPPPPPPPPP2"),
            )
        ),
        ({"size": [8, 9], "counts": [70]}, "run lengths for 70 pixels, but its image has 72"),
        ({"size": [8, 9], "counts": [10, 2**70]}, "run lengths for"),
        ({"counts": [70]}, "run lengths for 70 pixels"),
    ],
)
def test_what_cannot_be_read_is_refused(segmentation, fault):
    with pytest.raises(MaskError, match=fault) as caught:
        check_mask(segmentation, 8, 9)
    assert caught.value.cure in str(caught.value)


def test_polygons_are_measured_in_pixels_and_by_their_points():
    checked = check_mask([SQUARE, [-4.0, 6.0, 3.0, 6.0, 3.0, 20.0, -4.0, 20.0]], 8, 9)
    assert checked.area == 5 * 4 + 3 * 2
    assert checked.box == (0, 1, 7, 7)
    assert checked.drawn_box == (0, 1, 7, 7)
    assert check_mask([[2.4, 1.4, 6.6, 1.4, 6.6, 4.6]], 8, 9).drawn_box == pytest.approx(
        (2.4, 1.4, 4.2, 3.2)
    )


def test_of_several_polygons_those_of_one_or_two_points_are_left_out():
    checked = check_mask([[1, 1, 2, 2], SQUARE, [3, 3]], 8, 9)
    assert checked.segmentation == [SQUARE]
    assert checked.area == 20
    assert checked.repairs == ("objects rid of polygons of one or two points",)


@pytest.mark.parametrize(
    "segmentation", [[[3, 3, 3, 3, 3, 3]], [[1.1, 2, 1.2, 2, 1.2, 2.1]], {"counts": [72]}]
)
def test_a_mask_in_the_image_may_be_without_a_pixel(segmentation):
    assert check_mask(segmentation, 8, 9).area == 0


def test_a_polygon_on_the_last_pixels_is_in_the_image():
    assert check_mask([[8, 7, 9, 7, 9, 8, 8, 8]], 8, 9).box == (8, 7, 1, 1)
