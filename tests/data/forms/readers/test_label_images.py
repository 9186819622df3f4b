"""Numbers of label images become masks to the pixel, with classes; what looks wrong is said."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco_mask

from dml_instance.data.forms.annotated import FormError
from dml_instance.data.forms.readers import SourceRules, form_of
from dml_instance.data.forms.readers.label_images import numbered
from dml_instance.images import ImageFileError
from toy_layouts import write_palette_png


@pytest.fixture
def folders(tmp_path):
    for name in ("raw", "masks"):
        (tmp_path / name).mkdir()
    cv2.imwrite(str(tmp_path / "raw" / "a.tif"), np.zeros((40, 60), np.uint8))
    return tmp_path / "raw", tmp_path / "masks"


def read(folders, labels=None, **options):
    images, masks = folders
    if labels is not None:
        cv2.imwrite(str(masks / "a.tif"), labels)
    rules = SourceRules(str(masks), str(images), **options)
    (image,) = form_of(rules).read(rules)
    return image


def masks_of(image):
    return [coco_mask.decode(item.mask).astype(bool) for item in image.objects]


@settings(deadline=None)
@given(arrays(np.int64, (5, 6), elements=st.sampled_from([0, 1, 2, 7, 2**31, 2**40])))
def test_every_number_comes_once_with_all_its_pixels(labels):
    found = dict(numbered(labels))
    assert sorted(found) == [n for n in np.unique(labels) if n]
    for number, window in found.items():
        assert (labels[window] == number).sum() == (labels == number).sum()


def two_squares(first=3, second=70_000, dtype=np.int32):
    labels = np.zeros((40, 60), dtype)
    labels[5:15, 10:30] = first
    labels[20:35, 40:55] = second
    return labels


@pytest.mark.parametrize(
    ("second", "dtype"), [(200, np.uint8), (70_000, np.int32), (9, np.float32)]
)
def test_masks_are_those_of_the_numbers(folders, second, dtype):
    labels = two_squares(3, second, dtype)
    image = read(folders, labels)
    assert image.size == (40, 60) and image.doubt == ""
    for mask, number in zip(masks_of(image), (3, second), strict=True):
        np.testing.assert_array_equal(mask, labels == number)


def test_the_numbers_of_palette_images_are_read(folders):
    labels = two_squares(1, 2, np.uint8)
    write_palette_png(folders[1] / "a.png", labels)
    for mask, number in zip(masks_of(read(folders)), (1, 2), strict=True):
        np.testing.assert_array_equal(mask, labels == number)


@pytest.mark.parametrize("value", [1, 255])
def test_a_binary_mask_is_doubted_and_can_be_numbered(folders, value):
    labels = two_squares(value, value, np.uint8)
    image = read(folders, labels)
    assert len(image.objects) == 1
    assert image.doubt == (
        f"{folders[1] / 'a.tif'}: {value} is in 2 pieces, as in masks of 0 and 255; "
        "--number-pieces makes each piece an object"
    )
    image = read(folders, labels, number_pieces=True)
    assert image.doubt == ""
    first, second = masks_of(image)
    np.testing.assert_array_equal(first | second, labels > 0)
    assert not (first & second).any()


def test_pieces_of_one_object_that_lie_close_are_not_doubted(folders):
    labels = np.zeros((40, 60), np.uint8)
    labels[10:14, 5:55] = 1
    labels[5:35, 28:32] = 2  # crosses it
    assert read(folders, labels).doubt == ""
    labels[30:32, 5:7] = labels[5:7, 50:52] = 3  # far apart
    assert "3 is in 2 pieces" in read(folders, labels).doubt


def test_specks_are_no_pieces(folders):
    labels = two_squares(1, 0, np.uint8)
    labels[35:37, 50:52] = 1
    assert read(folders, labels).doubt == "", "4 of 204 pixels"
    labels[37, 50] = 1
    assert "1 is in 2 pieces" in read(folders, labels).doubt, "5 of 205"


def test_a_background_that_has_a_number_is_doubted(folders):
    labels = two_squares(2, 3, np.uint8)
    labels[labels == 0] = 1
    assert read(folders, labels).doubt.endswith(
        "a.tif has no 0: make 0 what is no object, or each number is one"
    )


@pytest.mark.parametrize("blur", [0, 1])
def test_a_mask_that_was_blurred_is_doubted(folders, blur):
    """Of discs with a number each nothing is said, not even where they are small."""
    labels = np.zeros((40, 60), np.uint8)
    for number in range(15):
        row, column = divmod(number, 5)
        cv2.circle(labels, (6 + 12 * column, 6 + 13 * row), 4, 255 if blur else number + 1, -1)
    if blur:
        labels = cv2.GaussianBlur(labels, (0, 0), blur)
    doubt = read(folders, labels).doubt
    assert ("rings or dust" in doubt) == bool(blur), doubt


def test_pieces_touch_at_corners_and_numbers_stay_apart(folders):
    labels = np.zeros((40, 60), np.uint8)
    labels[2, 2] = labels[3, 3] = 5
    labels[4, 4] = 6
    labels[9, 9] = 5
    sizes = sorted(int(mask.sum()) for mask in masks_of(read(folders, labels, number_pieces=True)))
    assert sizes == [1, 1, 2]


@pytest.mark.parametrize(
    "text",
    [
        "label,class\n3,cell\n70000,egg\n",
        "Label;Class;note\n3;cell;x\n70000;egg;y\n",
        '"image"\t"label"\t"class"\nother/a\t3\tegg\na.tif\t3\tcell\na.tif\t70000\tegg\n',
    ],
)
def test_a_table_names_the_classes(folders, tmp_path, text):
    table = tmp_path / "classes.csv"
    table.write_text(text, encoding="utf-8-sig")
    image = read(folders, two_squares(), class_table=str(table))
    assert [item.class_name for item in image.objects] == ["cell", "egg"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("label,class\n3,cell\n", "has a label 70000"),
        ("number,class\n3,cell\n", "line 2, is not as a table of label and class writes it"),
        ("label,class\n3,cell\n3,egg\n", "line 3"),
        ("label,class\nthree,cell\n", "line 2"),
        ("label,class\n3\n", "line 2"),
        ("label,class\n3, \n", "of no class"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(folders, tmp_path, text, words):
    table = tmp_path / "classes.csv"
    table.write_text(text)
    with pytest.raises(FormError, match=words) as error:
        read(folders, two_squares(), class_table=str(table))
    assert str(table) in str(error.value)


def test_what_is_no_label_image_is_refused_by_name(folders):
    labels = two_squares(1, 2, np.float32)
    for bad, words in (
        (labels / 255, "whole number"),
        (-labels, "-2"),
        (labels[:30], r"\(40, 60\).*\(30, 60\)"),
        (np.zeros((40, 60, 3), np.uint8), "3 channels"),
    ):
        with pytest.raises((FormError, ImageFileError), match=words) as error:
            read(folders, bad)
        assert str(folders[1] / "a.tif") in str(error.value)
    (folders[1] / "a.tif").rename(folders[1] / "a_1.tif")
    cv2.imwrite(str(folders[1] / "a_1.tif"), labels)
    with pytest.raises(FormError, match="a_1.tif has several numbers"):
        read(folders)
    (folders[1] / "a_1.tif").unlink()
    with pytest.raises(FormError, match="do not end in cell, egg"):
        read(folders, labels, class_names=("cell", "egg"))
