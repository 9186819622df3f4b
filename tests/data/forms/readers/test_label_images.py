"""Numbers of label images become masks to the pixel, with classes; what looks wrong is said."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco_mask
from scipy import ndimage

from dml_instance.data.forms.readers import SourceRules, read_annotations
from dml_instance.data.forms.readers.label_images import numbered
from dml_instance.data.forms.readers.smooth_masks import hardened, is_smooth
from dml_instance.errors import FileError
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
    (image,) = read_annotations(rules)[1]
    return image


def said_of(folders, labels):
    (doubt,) = read(folders, labels).doubts.values()
    return doubt


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
    assert image.size == (40, 60) and not image.doubts
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
    (doubt,) = image.doubts.values()
    assert doubt.startswith(f"{folders[1] / 'a.tif'}: {value} is in 2 pieces, as in masks of 0 and")
    assert "--number-pieces makes each piece an object" in doubt
    image = read(folders, labels, number_pieces=True)
    assert not image.doubts
    first, second = masks_of(image)
    np.testing.assert_array_equal(first | second, labels > 0)
    assert not (first & second).any()


def test_pieces_of_one_object_that_lie_close_are_not_doubted(folders):
    labels = np.zeros((40, 60), np.uint8)
    labels[10:14, 5:55] = 1
    labels[5:35, 28:32] = 2  # crosses it
    assert not read(folders, labels).doubts
    labels[30:32, 5:7] = labels[5:7, 50:52] = 3  # far apart
    assert "3 is in 2 pieces" in said_of(folders, labels)


def test_specks_are_no_pieces(folders):
    labels = two_squares(1, 0, np.uint8)
    labels[35:37, 50:52] = 1
    assert not read(folders, labels).doubts, "4 of 204 pixels"
    labels[37, 50] = 1
    assert "1 is in 2 pieces" in said_of(folders, labels), "5 of 205"


@pytest.mark.parametrize("number", [1, 9])
def test_a_background_that_has_a_number_is_doubted_by_that_number(folders, number):
    labels = two_squares(2, 3, np.uint8)
    share = (labels == 0).mean()
    labels[labels == 0] = number
    assert f"a.tif has no 0, so that {number}, which covers {share:.0%}" in said_of(folders, labels)


DISC = np.zeros((40, 60), np.uint8)
cv2.circle(DISC, (30, 20), 12, 255, -1)
SMALL_DISCS = np.zeros((40, 60), np.uint8)
for place in range(15):
    cv2.circle(SMALL_DISCS, (6 + 12 * (place % 5), 6 + 13 * (place // 5)), 4, 255, -1)


def shrunk_and_back(mask, how, scale):
    small = cv2.resize(mask, None, fx=scale, fy=scale, interpolation=how)
    return cv2.resize(small, mask.shape[::-1], interpolation=how)


def as_jpeg(mask, quality):
    return cv2.imdecode(cv2.imencode(".jpg", mask, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], 0)


@pytest.mark.parametrize(
    "soften",
    [
        *(lambda mask, s=s: cv2.GaussianBlur(mask, (0, 0), s) for s in (0.5, 1, 2)),
        lambda mask: cv2.GaussianBlur(mask, (3, 3), 0),
        *(
            lambda mask, how=how, scale=scale: shrunk_and_back(mask, how, scale)
            for how in (cv2.INTER_LINEAR, cv2.INTER_AREA, cv2.INTER_CUBIC)
            for scale in (0.6, 1.7)
        ),
        *(lambda mask, q=q: as_jpeg(mask, q) for q in (95, 50)),
        lambda mask: cv2.GaussianBlur(mask, (0, 0), 1).astype(np.int32) * 70_000,
    ],
)
@pytest.mark.parametrize("mask", [DISC, SMALL_DISCS], ids=["one disc", "small discs"])
def test_a_mask_with_smooth_edges_is_refused_or_taken_at_half(folders, mask, soften):
    soft = soften(mask)
    with pytest.raises(FileError, match=r"a.tif has smooth edges.* --number-pieces takes what is"):
        read(folders, soft)
    image = read(folders, soft, number_pieces=True)
    assert [*image.doubts] == ["smooth"]
    half = soft >= soft.max() / 2
    np.testing.assert_array_equal(np.any(masks_of(image), axis=0), half)
    assert len(image.objects) == ndimage.label(half, np.ones((3, 3)))[1]


def test_half_of_the_largest_number_is_inside():
    assert hardened(np.arange(6)[None] * 2).tolist() == [[0, 0, 0, 10, 10, 10]]
    assert hardened(np.arange(5)[None]).tolist() == [[0, 0, 4, 4, 4]]


def discs(radii, count):
    labels = np.zeros((160, 200), np.int32)
    rng = np.random.default_rng(0)
    for number in range(1, count + 1):
        x, y = map(int, rng.integers(0, (200, 160)))
        cv2.circle(labels, (x, y), int(rng.integers(*radii)), number, -1)
    return labels


def lines(count):
    labels = np.zeros((160, 200), np.int32)
    rng = np.random.default_rng(0)
    for number in range(1, count + 1):
        (x, y), (u, v) = rng.integers(0, (200, 160), (2, 2)).tolist()
        cv2.line(labels, (x, y), (u, v), number, int(rng.integers(1, 5)))
    return labels


def nested():
    labels = np.zeros((160, 200), np.int32)
    for number in range(1, 20):
        cv2.circle(labels, (100, 80), 80 - 4 * number, number, -1)
    return labels


@pytest.mark.parametrize(
    "labels",
    [discs((4, 10), 200), discs((1, 3), 300), lines(30), lines(250), nested(), DISC, SMALL_DISCS],
    ids=["crowd", "dots", "wires", "many wires", "nested", "a mask", "a mask of several"],
)
def test_label_images_have_no_smooth_edges(labels):
    assert not is_smooth(labels)


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
    with pytest.raises(FileError, match=words) as error:
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
        with pytest.raises(FileError, match=words) as error:
            read(folders, bad)
        assert str(folders[1] / "a.tif") in str(error.value)
    (folders[1] / "a.tif").rename(folders[1] / "a_1.tif")
    cv2.imwrite(str(folders[1] / "a_1.tif"), labels)
    with pytest.raises(FileError, match="a_1.tif has several numbers"):
        read(folders)
    soft = cv2.GaussianBlur(DISC, (0, 0), 1)
    cv2.imwrite(str(folders[1] / "a_1.tif"), soft)
    image = read(folders)
    np.testing.assert_array_equal(masks_of(image)[0], soft >= 128)
    assert [*image.doubts] == ["smooth"]
    (folders[1] / "a_1.tif").unlink()
    with pytest.raises(FileError, match="do not end in cell, egg"):
        read(folders, labels, class_names=("cell", "egg"))


def test_an_empty_file_among_masks_of_one_object_is_left_out_and_counted(folders):
    _, masks = folders
    for number in (1, 2):
        cv2.imwrite(str(masks / f"a_{number}.tif"), two_squares(255, 0, np.uint8) * (number == 1))
    image = read(folders)
    assert len(image.objects) == 1 and image.left_out == {"mask file without a pixel": 1}
    cv2.imwrite(str(masks / "a_2.tif"), two_squares(1, 2, np.uint8))
    with pytest.raises(FileError, match="a_2.tif has several numbers"):
        read(folders)


@pytest.mark.parametrize("one_object", [False, True])
def test_an_inverted_mask_is_doubted(folders, one_object):
    """From border to border; an object of half the image that leaves a border free is none."""
    name = str(folders[1] / ("a_1.tif" if one_object else "a.tif"))
    options = {} if one_object else {"number_pieces": True}
    labels = two_squares(255, 255, np.uint8)
    cv2.imwrite(name, 255 - labels)
    (doubt,) = read(folders, **options).doubts.values()
    share = (labels == 0).mean()
    assert doubt.startswith(f"{name} has an object that covers {share:.0%} of its image")
    large = np.full((40, 60), 255, np.uint8)
    large[0] = 0
    for no_doubt in (large, labels, np.eye(40, 60, dtype=np.uint8) + np.eye(40, 60, 20, np.uint8)):
        cv2.imwrite(name, (no_doubt > 0).astype(np.uint8))
        assert "inverted" not in read(folders, **options).doubts


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("numbers", [(3, 9), ("3.0", "9.0")])
def test_a_table_of_classes_of_any_program(folders, tmp_path, encoding, numbers):
    table = tmp_path / "classes.csv"
    lines = ["label\tclass", *(f"{n}\t{c}" for n, c in zip(numbers, ("Zähe", "egg"), strict=True))]
    table.write_text("\n".join(lines), encoding=encoding)
    image = read(folders, two_squares(3, 9), class_table=str(table))
    assert [item.class_name for item in image.objects] == ["Zähe", "egg"]
    table.write_text("label,class\n1.5,egg")
    with pytest.raises(FileError, match="line 2, .*label 1.5 is no whole number"):
        read(folders, class_table=str(table))
    table.write_text("label,class\n3,Zähe", encoding="latin-1")
    with pytest.raises(FileError, match=r"classes.csv .*not in UTF-8: save it so"):
        read(folders, class_table=str(table))
