"""Annotations: what they refer to, and fields that follow from masks."""

import math

import pytest

from dml_instance.data.coco.check.annotations import checked_annotations, without_doubles
from dml_instance.data.coco.check.findings import Findings
from dml_instance.data.coco.check.images import ListedImage

# 12 pixels in columns 3 to 5 and rows 2 to 5 of 8 x 9.
MASK = {"size": [8, 9], "counts": [26, 4, 4, 4, 4, 4, 26]}
IMAGES = {1: ListedImage("a.png", 1, (8, 9)), "b": ListedImage("b.png", 2, None)}
CATEGORIES = {1: 1, "x": 2}


def annotation(**changes):
    plain = {"id": 1, "image_id": 1, "category_id": 1, "segmentation": MASK}
    return plain | {"bbox": [3, 2, 3, 4], "area": 12, "iscrowd": 0} | changes


def checked(*annotations):
    """What is left, the faults and the repairs."""
    findings = Findings()
    left = list(checked_annotations(annotations, IMAGES, CATEGORIES, findings))
    return left, str(findings.error("f")) if findings else "", findings.repaired()


def test_what_is_right_stays_as_it_is():
    assert checked(annotation()) == ([annotation()], "", "")
    crowd = annotation(iscrowd=1, score=0.5, caption=None, ignore=0, keypoints=[1, 2, 2])
    assert checked(crowd) == ([crowd], "", "")


@pytest.mark.parametrize(
    ("changes", "left", "repair"),
    [
        ({"image_id": "1"}, annotation(), "image_id made numbers"),
        ({"category_id": "x"}, annotation(category_id=2), "category_id made numbers"),
        *(({"iscrowd": i}, annotation(), "iscrowd made 0 or 1") for i in (None, "0", 0.0, False)),
        *(({"iscrowd": i}, annotation(iscrowd=1), "iscrowd made 0 or 1") for i in ("1", True)),
        *(
            ({"bbox": box}, annotation(), "boxes taken from the masks")
            for box in (
                *(None, [], "3 2 3 4", [3, 2, 3], [3, 2, "3", 4], [3, 2, 0, 4], [3, 2, 3, -4]),
                *([3, 2, 3, math.nan], [[3, 2, 3, 4]]),
            )
        ),
        *(
            ({"bbox": box}, annotation(), "boxes that contradict their masks taken from these")
            for box in (
                [3, 2, 6, 6],
                [5, 2, 3, 4],
                [3, -0.1, 3, 6.1],
                [0.4, 2, 3, 4],
                [30, 2, 3, 4],
            )
        ),
        *(
            ({"area": area}, annotation(), "areas taken from the masks")
            for area in (None, "12", 0, -12, math.inf, True, [])
        ),
        ({"area": 65}, annotation(), "areas that contradict their masks taken from these"),
        (
            {"segmentation": {"counts": MASK["counts"]}},
            annotation(),
            "masks given the size of their image",
        ),
    ],
)
def test_what_follows_from_the_mask_is_repaired(changes, left, repair):
    (repaired,), faults, repairs = checked(annotation(**changes))
    assert repaired == left
    assert {type(repaired[key]) for key in ("image_id", "category_id", "iscrowd")} == {int}
    assert (faults, repairs) == ("", f"{repair} (1)")


def test_fields_that_are_not_there_are_filled_in():
    lone = {key: annotation()[key] for key in ("image_id", "category_id", "segmentation")}
    ((left,), faults, _) = checked(lone)
    assert not faults
    assert {**left, "id": 1} == annotation()


@pytest.mark.parametrize("box", [[3.4, 1.6, 2.8, 4.2], [2, 1, 4, 6], [3, 2, 2, 3]])
def test_boxes_may_be_rounded_and_count_borders_in_or_out(box):
    assert checked(annotation(bbox=box)) == ([annotation(bbox=box)], "", "")


@pytest.mark.parametrize(("off", "is_taken"), [(2, False), (2.1, True), (-2.1, True)])
def test_boxes_of_large_objects_may_be_two_pixels_off(off, is_taken):
    large = {"size": [8, 9], "counts": [0, 72]}
    box = [0, off, 9, 8 - off]
    ((left,), _, _) = checked(annotation(segmentation=large, bbox=box, area=72))
    assert left["bbox"] == ([0, 0, 9, 8] if is_taken else box)


@pytest.mark.parametrize("area", [9.7, 14, 60])
def test_areas_may_be_those_of_outlines_or_boxes(area):
    assert checked(annotation(area=area)) == ([annotation(area=area)], "", "")


def test_a_tiny_area_of_a_large_mask_is_none():
    large = {"size": [8, 9], "counts": [0, 72]}
    ((left,), _, repairs) = checked(annotation(segmentation=large, bbox=[0, 0, 9, 8], area=0.07))
    assert left["area"] == 72
    assert repairs == "areas that contradict their masks taken from these (1)"


def test_the_box_of_a_polygon_may_be_that_of_its_points():
    thorn = [[1, 1, 4, 1, 4, 4, 1.1, 1.2, 1.0, 7.9]]
    fits = annotation(segmentation=thorn, bbox=[1, 1, 3, 6.9], area=6)
    assert checked(fits) == ([fits], "", "")


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"image_id": 9}, "annotation 1 has image_id 9, which no entry of images has; "),
        ({"image_id": None}, "annotation 1 has image_id None, which no entry of images has; "),
        (
            {"category_id": 9},
            "annotation 1 (image a.png) has category_id 9, but categories lists [1, 'x']; ",
        ),
        ({"iscrowd": 2}, "annotation 1 (image a.png) has iscrowd 2; "),
        ({"iscrowd": "no"}, "annotation 1 (image a.png) has iscrowd 'no'; "),
        ({"segmentation": None}, "annotation 1 (image a.png) has no segmentation; "),
        ({"id": "u-7", "segmentation": [[]]}, "annotation 'u-7' (image a.png) has a polygon of 0"),
    ],
)
def test_what_cannot_be_repaired_is_refused_by_name(changes, fault):
    _, faults, _ = checked(annotation(**changes))
    assert faults.startswith(f"f: {fault}")


def test_masks_are_not_looked_at_where_the_size_of_the_image_is_not_known():
    assert checked(annotation(image_id="b", segmentation=None))[1] == ""


def test_objects_without_a_pixel_are_left_out_and_counted():
    empty = annotation(segmentation={"size": [8, 9], "counts": [72]})
    left, faults, repairs = checked(empty, annotation(id=2))
    assert left == [annotation(id=2)]
    assert (faults, repairs) == ("", "objects without a single pixel left out (1)")


@pytest.mark.parametrize("points", [None, [], "x", [1, 2], [1, 2, None], [1, 2, math.nan], 3])
def test_what_detectron2_would_stumble_over_is_dropped(points):
    ((left,), faults, repairs) = checked(annotation(keypoints=points))
    assert left == annotation()
    assert (faults, repairs) == ("", "keypoints dropped that are none (1)")
    ((left,), faults, repairs) = checked(annotation(ignore=1))
    assert left == annotation()
    assert (faults, repairs) == ("", "marks to ignore dropped, of objects that stay (1)")


def test_annotations_that_are_equal_with_their_ids_are_one():
    findings = Findings()
    other = annotation(area=13)
    left = without_doubles([annotation(), annotation(id=2), annotation(), other, {}, {}], findings)
    assert left == [annotation(), annotation(id=2), other, {}, {}]
    assert findings.repaired() == "annotations that stand there twice left out (1)"
