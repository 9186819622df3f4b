"""A whole COCO file: that it is one, and that something is left of it."""

import json

import numpy as np
import pytest
from PIL import ExifTags, Image

from dml_instance.data.coco_check import check_coco
from toy_scenes import square_and_disc, write_coco


@pytest.fixture
def written(tmp_path):
    """A COCO file of two images, and its images."""
    return write_coco(tmp_path, "toy", [square_and_disc(), square_and_disc(70, 90)])


def spoil(path, change):
    coco = json.loads(path.read_text())
    change(coco)
    path.write_text(json.dumps(coco))
    return coco


def refused(path, images):
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        check_coco(str(path), str(images))
    assert str(caught.value).startswith((f"{path}: ", f"{path} "))
    return str(caught.value).removeprefix(str(path))


@pytest.mark.parametrize("as_polygons", [False, True])
def test_a_file_without_faults_stays_as_it_is(tmp_path, as_polygons):
    blank = (np.zeros((9, 8, 3), np.uint8), np.zeros((0, 9, 8), bool), np.zeros(0, int))
    scenes = [square_and_disc(), blank]
    path, images = write_coco(tmp_path, "toy", scenes, as_polygons=as_polygons, first_category=7)
    spoil(path, lambda coco: coco.update(info=None, licenses=[None]))
    coco = check_coco(str(path), str(images))
    assert coco.content == json.loads(path.read_text())
    assert coco.repairs == ""
    assert coco.counts == "images 2, images without objects 1, objects 2, classes 2"
    assert coco.class_names == {7: "square", 8: "disc"}


@pytest.mark.parametrize(
    "content", [b"", b"image,x,y", b"[1, 2]", b"null", b"[" * 10**5, b'{"a": "\xff"}']
)
def test_what_is_no_coco_file_is_said_to_be_none(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    assert refused(tmp_path / "a.json", tmp_path).startswith(" is not a COCO annotation file: ")


@pytest.mark.parametrize("key", ["images", "annotations", "categories"])
@pytest.mark.parametrize("value", [None, {}, "x"])
def test_a_list_that_is_not_there_is_named(written, key, value):
    spoil(written[0], lambda coco: coco.update({key: value}))
    assert refused(*written) == f" is not a COCO annotation file: it has no list under {key}"


@pytest.mark.parametrize("key", ["images", "annotations", "categories"])
def test_an_entry_that_is_none_is_named(written, key):
    spoil(written[0], lambda coco: coco[key].append([1]))
    assert f"entry {3 if key != 'annotations' else 5} of {key} is [1]; " in refused(*written)


def test_missing_files_are_told_from_other_faults(written):
    path, images = written
    with pytest.raises(FileNotFoundError, match=r"nowhere\.json does not exist"):
        check_coco(str(path.with_name("nowhere.json")), str(images))
    (images / "001.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"image 001\.png is not in "):
        check_coco(str(path), str(images))
    spoil(path, lambda coco: coco["annotations"][0].update(category_id=9))
    with pytest.raises(ValueError, match="has 2 faults"):
        check_coco(str(path), str(images))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_other_encodings_of_json_are_read(written, encoding):
    path, images = written
    path.write_text(path.read_text(), encoding=encoding)
    coco = check_coco(str(path), str(images))
    assert coco.repairs == "file read that is not in plain UTF-8 (1)"
    assert len(coco.content["annotations"]) == 4


def test_ids_of_all_kinds_lead_to_the_same_objects(written):
    """Images by names, categories by names, annotations by texts: masks stay with their image."""
    path, images = written
    plain = json.loads(path.read_text())

    def rename(coco):
        for image in coco["images"]:
            image["id"] = f"field-{image['id']}"
        for category in coco["categories"]:
            category["id"] = category["name"]
        for annotation in coco["annotations"]:
            annotation["id"] = f"{annotation['id']:032x}"
            annotation["image_id"] = f"field-{annotation['image_id']}"
            annotation["category_id"] = ["square", "disc"][annotation["category_id"] - 1]

    spoil(path, rename)
    coco = check_coco(str(path), str(images))
    assert coco.class_names == {1: "disc", 2: "square"}
    assert [image["id"] for image in coco.content["images"]] == [1, 2]
    for found, annotation in zip(coco.content["annotations"], plain["annotations"], strict=True):
        expected = annotation | {"category_id": 3 - annotation["category_id"]}
        assert found == expected


def test_all_faults_are_found_at_once(written):
    def change(coco):
        coco["images"][1]["height"] = 7
        coco["annotations"][0]["segmentation"] = [[1, 2]]
        coco["annotations"][1]["iscrowd"] = "x"
        coco["categories"].append({"id": 9})

    spoil(written[0], change)
    heading, *faults = refused(*written).splitlines()
    assert heading == " has 4 faults:"
    for what in ("listed as 7 x", "polygon of 1 points", "iscrowd 'x'", "the id 9 and the name"):
        assert sum(what in fault for fault in faults) == 1
    assert all("; " in fault for fault in faults)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda coco: coco["annotations"].clear(), "it lists 2 images and 0 objects"),
        (lambda coco: [c.clear() for c in coco.values()], "it lists 0 images and 0 objects"),
        (lambda coco: [a.update(iscrowd=1) for a in coco["annotations"]], "all of its 4 masks are"),
    ],
)
def test_a_file_without_an_object_is_refused(written, change, what):
    spoil(written[0], change)
    message = refused(*written)
    assert message.startswith(f": {what}")
    assert "; nothing is left to train on or to score; " in message


@pytest.mark.parametrize(("count", "is_fine"), [(4, False), (3, False), (2, True), (1, True)])
def test_a_file_whose_masks_mostly_have_no_pixel_is_in_other_units(written, count, is_fine):
    def empty(coco):
        for annotation in coco["annotations"][:count]:
            size = annotation["segmentation"]["size"]
            annotation["segmentation"]["counts"] = [size[0] * size[1]]

    spoil(written[0], empty)
    if is_fine:
        assert len(check_coco(*map(str, written)).content["annotations"]) == 4 - count
    else:
        message = refused(*written)
        assert f"{count} of its 4 masks have no pixel; coordinates are pixels" in message


def test_what_looks_like_a_mistake_is_said_and_changes_nothing(tmp_path):
    """Classes of one name but for case and blanks, and turns that sizes do not show."""
    scenes = [square_and_disc(64, 64)] * 4 + [square_and_disc()] * 4
    path, images = write_coco(tmp_path, "toy", scenes, class_names=["Cell", "cell "])
    coco = json.loads(path.read_text())
    for entry, orientation in zip(coco["images"], (1, 3, 6, 8, 1, 6, 2, 4), strict=True):
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = orientation
        picture = Image.open(images / entry["file_name"])
        if orientation > 4:
            picture = picture.transpose(Image.Transpose.ROTATE_90)
        picture.save(images / entry["file_name"], exif=exif)
    checked = check_coco(str(path), str(images))
    assert checked.content == coco
    classes, turned = checked.doubts
    assert classes.startswith("'Cell' and 'cell ' are classes of their own")
    assert turned.startswith("EXIF turns 002.png (5 such images)")
    assert checked.may_lie_turned == {2, 3, 4, 7, 8}


def test_nothing_is_doubted_of_a_plain_file(written):
    assert check_coco(*map(str, written)).doubts == []
