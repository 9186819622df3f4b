"""COCO files as data sets: what loads, what evaluators read, and what is said of it."""

import json
import logging

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from dml_instance.data import build_train_mapper, register_coco
from dml_instance.data.coco import parse_registration, register_checked
from dml_instance.data.images import ReadingRules
from fuzz.coco_files import ap_against_itself
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


def changed(where, change):
    """The annotation file with a change."""
    coco = json.loads(where[0].read_text())
    change(coco)
    where[0].write_text(json.dumps(coco))
    return where


def from_zero(coco):
    """Number annotations as many programs do: from 0."""
    for annotation in coco["annotations"]:
        annotation["id"] -= 1


def test_images_are_checked_by_the_rules_of_reading(tmp_path, registered):
    path, images = write_coco(tmp_path, "toy", [square_and_disc()])
    strict = ReadingRules(max_pixels=9)
    with pytest.raises(ValueError, match="more than 9: .* prepare writes a data set"):
        register_coco("strict_set", str(path), str(images), strict)
    registered("toy_set", path, images)


def test_what_looks_like_a_mistake_is_a_warning(tmp_path, registered, caplog):
    registered("toy_set", *write_coco(tmp_path, "toy", [square_and_disc()], class_names=["a", "A"]))
    warnings = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert [w.partition(" are ")[0] for w in warnings] == [f"{tmp_path / 'toy.json'}: 'a' and 'A'"]


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The folder of repaired copies."""
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "dml_instance" / "coco"


def test_a_file_without_repairs_is_itself_what_evaluators_read(tmp_path, registered, cache, caplog):
    where = write_coco(tmp_path, "toy", [square_and_disc()])
    with caplog.at_level(logging.INFO, "dml_instance"):
        registered("toy_set", *where)
    assert MetadataCatalog.get("toy_set").json_file == str(where[0])
    assert not cache.exists()
    assert caplog.messages == [f"{where[0]}: images 1, objects 2, classes 2"]


def test_a_repaired_copy_is_what_all_read(tmp_path, registered, cache, caplog):
    where = changed(write_coco(tmp_path, "toy", [square_and_disc()]), from_zero)
    before = where[0].read_bytes()
    registered("toy_set", *where)
    (copy,) = cache.iterdir()
    assert MetadataCatalog.get("toy_set").json_file == str(copy)
    assert [a["id"] for a in json.loads(copy.read_text())["annotations"]] == [1, 2]
    assert where[0].read_bytes() == before
    DatasetCatalog.get("toy_set")
    (line,) = (record for record in caplog.records if record.name.startswith("dml_instance"))
    assert line.levelname == "WARNING"
    assert line.getMessage() == (
        f"{where[0]}: images 1, objects 2, classes 2; repaired in a copy, which is read instead "
        f"({copy}): ids of annotations numbered anew (2)"
    )


def test_a_file_is_checked_anew_once_it_has_changed(tmp_path, registered, cache):
    where = write_coco(tmp_path, "toy", [square_and_disc()])
    registered("toy_set", *where)
    changed(where, lambda coco: coco["annotations"][0].update(image_id=99))
    with pytest.raises(ValueError, match="image_id 99"):
        DatasetCatalog.get("toy_set")
    changed(where, lambda coco: coco["annotations"].pop(0))
    changed(where, lambda coco: coco["categories"].reverse())
    ((annotation,),) = (r["annotations"] for r in DatasetCatalog.get("toy_set"))
    assert annotation["category_id"] == 1
    changed(where, lambda coco: coco["categories"].pop())
    with pytest.raises(ValueError, match="toy.json has the categories .*, but those of data set"):
        DatasetCatalog.get("toy_set")


def test_a_copy_that_cannot_be_written_is_said_with_the_cure(tmp_path, cache):
    where = changed(write_coco(tmp_path, "toy", [square_and_disc()]), from_zero)
    cache.parent.mkdir(parents=True)
    cache.write_text("no folder")
    with pytest.raises(ValueError, match="toy.json has to be repaired .*FVCORE_CACHE"):
        register_coco("toy_set", *map(str, where))


@pytest.mark.parametrize("change", [lambda coco: None, from_zero])
@pytest.mark.parametrize("as_polygons", [False, True])
def test_objects_scored_against_themselves_have_an_ap_of_100(
    tmp_path, registered, cache, change, as_polygons
):
    """pycocotools takes an object whose annotation has the id 0 for one that nothing found."""
    scenes = [square_and_disc(), square_and_disc(70, 90)]
    where = changed(write_coco(tmp_path, "toy", scenes, as_polygons=as_polygons), change)
    registered("toy_set", *where)
    records = DatasetCatalog.get("toy_set")
    assert ap_against_itself("toy_set", records, str(tmp_path)) == pytest.approx(100)


def test_keypoints_are_not_read_unless_the_model_wants_them(tmp_path, registered):
    """Some objects of a class have them, others none: Detectron2 cannot put these into one list."""

    def mark(coco):
        coco["annotations"][0]["keypoints"] = [10, 12, 2]

    registered("toy_set", *changed(write_coco(tmp_path, "toy", [square_and_disc()]), mark))
    (record,) = DatasetCatalog.get("toy_set")
    instances = build_train_mapper(data_config())(record)["instances"]
    assert set(instances.get_fields()) == {"gt_boxes", "gt_classes", "gt_masks"}


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
        ("/data/a:b/ann.JSON:/data/a:b/images", "/data/a:b/ann.JSON", "/data/a:b/images"),
        (r"C:\x\ann.json:D:\a:b", r"C:\x\ann.json", r"D:\a:b"),
        ("a:b/ann.txt:images", "a:b/ann.txt", "images"),
        (r"C:\ann.txt:D:\images", r"C:\ann.txt", r"D:\images"),
    ],
)
def test_a_registration_is_taken_apart_behind_the_ending_and_never_at_a_drive(
    where, json_file, image_root
):
    assert parse_registration(f"name={where}") == ("name", json_file, image_root)


def test_a_registration_is_taken_apart_behind_a_file_that_is_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for file in ("a.json", "b.json:c.json", "d", "e:f"):
        (tmp_path / file).touch()
        assert parse_registration(f"name={file}:x:y") == ("name", file, "x:y")


@pytest.mark.parametrize("text", ["", "name", "=a:b", "name=a", "name=:b", "name=a:", "a:b"])
def test_a_registration_without_a_part_is_refused(text):
    with pytest.raises(ValueError, match="NAME=ANNOTATIONS.json:IMAGE_DIR, got"):
        parse_registration(text)


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
