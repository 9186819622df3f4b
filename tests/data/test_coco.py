"""COCO files: what loads, and that whatever is wrong is said by name."""

import json

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from dml_instance.data import build_train_mapper
from dml_instance.data.coco import check_coco_file, parse_registration, register_checked
from toy_scenes import CLASS_NAMES, data_config, square_and_disc, write_coco


@pytest.mark.parametrize("as_polygons", [False, True])
def test_a_coco_set_loads_with_its_class_names_and_ids(tmp_path, registered, as_polygons):
    where = write_coco(
        tmp_path, "toy", [square_and_disc()], as_polygons=as_polygons, first_category=7
    )
    registered("toy_set", *where)
    (record,) = DatasetCatalog.get("toy_set")
    assert MetadataCatalog.get("toy_set").thing_classes == CLASS_NAMES
    assert [annotation["category_id"] for annotation in record["annotations"]] == [0, 1]
    instances = build_train_mapper(
        data_config("INPUT.MIN_SIZE_TRAIN", (0,), "INPUT.RANDOM_FLIP", "none")
    )(record)["instances"]
    for mask, truth in zip(instances.gt_masks.tensor.numpy(), square_and_disc()[1], strict=True):
        assert (mask & truth).sum() / (mask | truth).sum() > 0.9


def spoil(path, **changes):
    """Change keys of the annotation file; a callable changes the value in place."""
    coco = json.loads(path.read_text())
    for key, change in changes.items():
        if callable(change):
            change(coco[key])
        elif change is None:
            del coco[key]
    path.write_text(json.dumps(coco))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"annotations": None}, "not a COCO annotation file.*annotations"),
        (
            {"annotations": lambda a: a[1].update(category_id=9)},
            r"annotation 2 .*category_id 9.*\[1, 2\]",
        ),
        ({"annotations": lambda a: a[1].update(image_id=9)}, "annotation 2 .*image_id 9"),
        (
            {"annotations": lambda a: a[0]["segmentation"].update(size=[5, 6])},
            "annotation 1 .*5 x 6.*64 x 96",
        ),
        ({"annotations": lambda a: a[0].update(segmentation=[])}, "annotation 1 .*no segmentation"),
        ({"images": lambda i: i[0].pop("height")}, "images has an entry without height.*001"),
        ({"categories": lambda c: c[0].pop("name")}, "categories has an entry without name"),
        ({"annotations": lambda a: a[1].pop("bbox")}, "annotations has an entry without bbox: "),
        (
            {"annotations": lambda a: a[1].pop("area")},
            r"an entry without area \(area is the pixels of its mask\): ",
        ),
    ],
)
def test_a_spoilt_annotation_file_is_named_with_the_entry(tmp_path, changes, message):
    path, images = write_coco(tmp_path, "toy", [square_and_disc()])
    spoil(path, **changes)
    with pytest.raises(ValueError, match=message) as caught:
        check_coco_file(str(path), str(images))
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("text", ["", "image,x,y", "[1, 2]", "null"])
def test_what_is_no_coco_file_is_said_to_be_none(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ValueError, match="not a COCO annotation file"):
        check_coco_file(str(tmp_path / "a.json"), str(tmp_path))


@pytest.mark.parametrize(
    ("where", "json_file", "image_root"),
    [
        ("ann.json:images", "ann.json", "images"),
        ("/data/a:b/ann.json:/data/images", "/data/a:b/ann.json", "/data/images"),
        ("a=b.json:images", "a=b.json", "images"),
        (r"C:\x\ann.json:D:\images", r"C:\x\ann.json", r"D:\images"),
        (r"C:\x\ann.json:images", r"C:\x\ann.json", "images"),
        ("ann.json:D:/images", "ann.json", "D:/images"),
        ("ann.json:d", "ann.json", "d"),
    ],
)
def test_a_registration_is_taken_apart_at_its_last_colon_but_that_of_a_drive(
    where, json_file, image_root
):
    assert parse_registration(f"name={where}") == ("name", json_file, image_root)


@pytest.mark.parametrize("text", ["", "name", "=a:b", "name=a", "name=:b", "name=a:", "a:b"])
def test_a_registration_without_a_part_is_refused(text):
    with pytest.raises(ValueError, match="NAME=ANNOTATIONS.json:IMAGE_DIR, got"):
        parse_registration(text)


def test_missing_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.json"):
        check_coco_file(str(tmp_path / "nowhere.json"), str(tmp_path))
    path, images = write_coco(tmp_path, "toy", [square_and_disc()])
    (images / "001.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"001\.png"):
        check_coco_file(str(path), str(images))


def test_a_taken_name_is_refused(tmp_path, registered):
    where = write_coco(tmp_path, "toy", [square_and_disc()])
    registered("toy_set", *where)
    with pytest.raises(ValueError, match="toy_set"):
        registered("toy_set", *where)


def test_a_built_in_set_that_is_not_there_says_how_to_get_it(tmp_path):
    register_checked(
        "absent_set",
        str(tmp_path / "a.json"),
        str(tmp_path),
        category_ids={1: "x"},
        hint="Draw it with: this",
    )
    with pytest.raises(FileNotFoundError, match="absent_set.*Draw it with: this"):
        DatasetCatalog.get("absent_set")
    DatasetCatalog.remove("absent_set")
    MetadataCatalog.remove("absent_set")
