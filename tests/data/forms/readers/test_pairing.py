"""Label images find their images by name, never themselves, and what is unclear is refused."""

import cv2
import numpy as np
import pytest

from dml_instance.data.forms.readers.pairing import labelled_images
from dml_instance.errors import FileError


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / name), np.zeros((4, 4), np.uint8))
    return folder


def pairs_of(images, labels, class_names=("object",)):
    """{image: [(label file, class name, whether it is one object)]}, relative to the folders."""
    pairs = labelled_images(images and str(images), str(labels), class_names)
    root = str(labels) + "/"
    return {
        pair.image.relative: [
            (label.file.replace(root, ""), label.class_name, label.is_one_object)
            for label in pair.labels
        ]
        for pair in pairs
    }


NAMES = [
    ("a.tif", "a.png"),
    ("a.tif", "a_cp_masks.png"),  # Cellpose
    ("a_img.tif", "a_masks.tif"),  # Cellpose, to train on
    ("a_img.tif", "a_img_cp_masks.tif"),
    ("a.tif", "a-lbl.tif"),  # MorphoLibJ
    ("a.tif", "Mask of a.tif"),  # Fiji
    ("a.tif", "Count Masks of a.tif"),
    ("a.tif", "LblImg_a.tif"),  # TrackMate
    ("a.tif", "a_Object Identities.tif"),  # ilastik
    ("a.tif", "a-labels.png"),  # QuPath
    ("t001.tif", "man_seg001.tif"),  # Cell Tracking Challenge
    ("a.tif", "a_label.tiff"),
    ("a.tif", "a_gt.png"),
    ("a.tif", "a_instances.png"),
    ("a.tif", "a_instanceIds.png"),
    ("a_mask.tif", "a_mask_mask.tif"),  # an image that is called so
    ("well A01/a.tif", "well A01/a_mask.tif"),
]


@pytest.mark.parametrize(("image", "label"), NAMES)
def test_names_of_programs_in_two_folders_and_in_one(tmp_path, image, label):
    images, labels = touch(tmp_path / "raw", image), touch(tmp_path / "masks", label)
    assert pairs_of(images, labels) == {image: [(label, None, False)]}
    if image.rpartition(".")[0] != label.rpartition(".")[0]:
        both = touch(tmp_path / "both", image, label)
        assert pairs_of(None, both) == pairs_of(both, both) == {image: [(label, None, False)]}


def test_letters_with_accents_are_the_same_in_one_piece_or_two(tmp_path):
    images, labels = touch(tmp_path / "raw", "\u00e9.tif"), touch(tmp_path / "masks", "e\u0301.png")
    assert pairs_of(images, labels) == {"\u00e9.tif": [("e\u0301.png", None, False)]}


def test_a_folder_inside_the_other(tmp_path):
    touch(tmp_path / "images_above", "a.tif", "marks/a.tif")
    assert pairs_of(tmp_path / "images_above", tmp_path / "images_above" / "marks") == {
        "a.tif": [("a.tif", None, False)]
    }
    touch(tmp_path / "labels_above", "a.tif", "photos/a.tif")
    assert pairs_of(tmp_path / "labels_above" / "photos", tmp_path / "labels_above") == {
        "a.tif": [("a.tif", None, False)]
    }


def test_one_folder_with_more_than_pairs(tmp_path):
    """What Cellpose writes beside is no image; an image may end as another's mask does."""
    touch(tmp_path, "a.tif", "a_cp_masks.tif", "a_flows.tif", "b.tif", "b_cp_masks.tif")
    assert list(pairs_of(None, tmp_path)) == ["a.tif", "b.tif"]


@pytest.mark.parametrize("names", [("images", "masks"), ("img", "labels"), ("raw", "gt")])
def test_folders_that_say_what_they_hold(tmp_path, names):
    images, labels = names
    for split in ("train", "test"):
        touch(tmp_path, f"{split}/{images}/a.tif", f"{split}/{labels}/a.tif")
    assert pairs_of(None, tmp_path) == {
        f"{split}/{images}/a.tif": [(f"{split}/{labels}/a.tif", None, False)]
        for split in ("test", "train")
    }


def test_a_file_or_a_folder_for_each_class(tmp_path):
    images = touch(tmp_path / "raw", "a.tif", "b.tif")
    folders = touch(tmp_path / "folders", *(f"{c}/{i}.png" for c in ("cell", "egg") for i in "ab"))
    assert pairs_of(images, folders)["a.tif"] == [
        ("cell/a.png", "cell", False),
        ("egg/a.png", "egg", False),
    ]
    files = touch(tmp_path / "files", *(f"{i}_{c}.png" for c in ("cell", "egg") for i in "ab"))
    assert pairs_of(images, files, ("cell", "egg"))["b.tif"] == [
        ("b_cell.png", "cell", False),
        ("b_egg.png", "egg", False),
    ]


def test_a_file_for_each_object(tmp_path):
    images = touch(tmp_path / "raw", "a1.tif", "b1.tif")
    folders = touch(tmp_path / "folders", "a1/x.png", "a1/y.png", "b1/z.png")
    assert pairs_of(images, folders)["a1.tif"] == [
        ("a1/x.png", None, True),
        ("a1/y.png", None, True),
    ]
    files = touch(tmp_path / "files", "a1_mask_0.png", "a1_mask_1.png", "b1_mask_0.png")
    assert [len(of) for of in pairs_of(images, files).values()] == [2, 1]
    bbbc = touch(tmp_path / "bbbc", "x/images/x.png", "x/masks/0.png", "x/masks/1.png")
    assert pairs_of(None, bbbc) == {
        "x/images/x.png": [("x/masks/0.png", None, True), ("x/masks/1.png", None, True)]
    }


def test_images_may_lack_labels_where_that_is_said(tmp_path):
    """By the layout that fits, and no label image may be left over."""
    images = touch(tmp_path / "raw", "a.tif", "b.tif", "c.tif")
    labels = touch(tmp_path / "masks", "a_mask_0.png", "a_mask_1.png", "c_mask_0.png")
    pairs = labelled_images(str(images), str(labels), ("object",), may_lack_labels=True)
    assert [(pair.image.relative, len(pair.labels)) for pair in pairs] == [
        ("a.tif", 2),
        ("c.tif", 1),
    ]
    touch(labels, "z_mask_0.png")
    with pytest.raises(FileError, match=r"z_mask_0.png stand"):
        labelled_images(str(images), str(labels), ("object",), may_lack_labels=True)


def refused(images, labels, *words):
    with pytest.raises(FileError) as error:
        pairs_of(images, labels)
    assert all(word in str(error.value) for word in words), error.value


def test_what_is_unclear_names_the_files(tmp_path):
    images = touch(tmp_path / "raw", "a.tif", "b.tif")
    labels = touch(tmp_path / "masks", "a.png")
    refused(images, labels, "b.tif stands alone")
    touch(labels, "b.png", "c.png")
    refused(images, labels, "c.png stands alone")
    (labels / "c.png").unlink()
    touch(labels, "b_mask.png")
    refused(images, labels, "b.tif has several", "b.png", "b_mask.png")
    (labels / "b_mask.png").unlink()
    touch(images, "b.png")
    refused(images, labels, "b.png may belong to", "raw/b.png", "raw/b.tif")
    refused(images / "a.tif", images / "a.tif", "given as image and as its label image")
    refused(None, images, "raw/b.png and", "raw/b.tif are of one name: where one is the label")
    (images / "b.png").unlink()
    refused(None, images, "stand alone")


def test_a_file_is_never_its_own_label_image(tmp_path):
    """As where the label images were written over the images, or linked to them."""
    images = touch(tmp_path / "raw", "a.tif")
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "a.tif").symlink_to(images / "a.tif")
    refused(images, tmp_path / "masks", "a.tif stand")


def test_a_pickle_of_cellpose_is_not_opened(tmp_path):
    images = touch(tmp_path, "a.tif")
    (tmp_path / "a_seg.npy").write_bytes(b"")
    refused(images, tmp_path, "a_seg.npy is Cellpose's own", "--save_png")
