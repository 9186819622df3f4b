import json

import cv2
import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, DatasetMapper, MetadataCatalog

from dml_instance.data import build_test_mapper, build_train_mapper, register_coco, set_num_classes
from dml_instance.data.augmentation import RandomScale, build_train_augmentation
from dml_instance.data.builtin import _dev_part, _fit_part
from dml_instance.data.coco import check_coco_file
from toy_scenes import CLASS_NAMES, data_config, rle, square_and_disc, write_coco


@pytest.fixture
def registered():
    """Register data sets that are forgotten after the test."""
    names = []

    def register(name, *where):
        register_coco(name, *map(str, where))
        names.append(name)

    yield register
    for name in names:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


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


def truncate(path):
    path.write_bytes(path.read_bytes()[:200])


def empty(path):
    path.write_bytes(b"")


def shrink(path):
    cv2.imwrite(str(path), np.zeros((10, 10, 3), np.uint8))


@pytest.mark.parametrize("spoiling", [truncate, empty, shrink, lambda path: path.unlink()])
@pytest.mark.parametrize("build", [build_train_mapper, build_test_mapper])
def test_a_bad_image_is_named_with_the_cure(tmp_path, registered, spoiling, build):
    path, images = write_coco(tmp_path, "toy", [square_and_disc()])
    registered("toy_set", path, images)
    (record,) = DatasetCatalog.get("toy_set")
    spoiling(images / "001.png")
    with pytest.raises(RuntimeError, match=r"001\.png.*[Mm]end or replace"):
        build(data_config())(record)


def test_a_built_in_set_that_is_not_there_says_how_to_get_it(tmp_path, monkeypatch):
    from dml_instance.data.coco import register_checked

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


def test_the_number_of_classes_follows_from_the_data(tmp_path, registered):
    registered("toy_set", *write_coco(tmp_path, "toy", [square_and_disc()]))
    cfg = data_config("DATASETS.TRAIN", ("toy_set",), "DATASETS.TEST", ("toy_set",))
    set_num_classes(cfg)
    assert cfg.MODEL.DML.NUM_CLASSES == cfg.MODEL.ROI_HEADS.NUM_CLASSES == 2


@pytest.mark.parametrize("key", ["MODEL.DML.NUM_CLASSES", "MODEL.ROI_HEADS.NUM_CLASSES"])
def test_a_contradicting_number_of_classes_is_an_error(tmp_path, registered, key):
    registered("toy_set", *write_coco(tmp_path, "toy", [square_and_disc()]))
    with pytest.raises(ValueError, match=f"{key} is 3.*toy_set.*square, disc"):
        set_num_classes(data_config("DATASETS.TRAIN", ("toy_set",), key, 3))


def test_sets_of_different_classes_and_unknown_sets_are_errors(tmp_path, registered):
    registered("toy_set", *write_coco(tmp_path, "toy", [square_and_disc()]))
    registered(
        "other_set", *write_coco(tmp_path, "other", [square_and_disc()], class_names=["a", "b"])
    )
    with pytest.raises(ValueError, match="toy_set and other_set"):
        set_num_classes(
            data_config("DATASETS.TRAIN", ("toy_set",), "DATASETS.TEST", ("other_set",))
        )
    with pytest.raises(KeyError, match="no_such_set.*--register-coco"):
        set_num_classes(data_config("DATASETS.TRAIN", ("no_such_set",)))


def test_fit_and_dev_share_no_image_and_lose_none():
    records = [{"file_name": f"{name}.png"} for name in "qwertzuiopasdfghjkl"]
    fit, dev = _fit_part(records), _dev_part(records)
    names = [record["file_name"] for record in fit + dev]
    assert sorted(names) == sorted(record["file_name"] for record in records)
    assert len(dev) == 4


def test_augmentation_is_stock_when_nothing_is_set():
    kinds = [type(a).__name__ for a in build_train_augmentation(data_config())]
    assert kinds == ["ResizeShortestEdge", "RandomFlip"]


def test_augmented_masks_follow_the_image(tmp_path, registered):
    """The objects are drawn in two colours on black, so the picture itself tells where the masks must be."""
    registered("toy_set", *write_coco(tmp_path, "toy", [square_and_disc(96, 128)]))
    (record,) = DatasetCatalog.get("toy_set")
    cfg = data_config(
        *("INPUT.MIN_SIZE_TRAIN", (0,), "INPUT.CROP.ENABLED", True, "INPUT.CROP.TYPE", "absolute"),
        *("INPUT.CROP.SIZE", [80, 80], "INPUT.AUG.SCALE_RANGE", [0.7, 1.5]),
        *("INPUT.AUG.ROTATION", 10.0, "INPUT.AUG.RIGHT_ANGLES", True),
    )
    mapper = build_train_mapper(cfg)
    np.random.seed(0)
    agreement = []
    for _ in range(30):
        x = mapper(record)
        assert max(x["image"].shape[1:]) <= 80
        if not len(x["instances"]):
            continue
        drawn = x["image"].numpy().max(0) > 110
        masks = x["instances"].gt_masks.tensor.numpy().any(0)
        agreement.append((drawn & masks).sum() / (drawn | masks).sum())
    assert len(agreement) > 15
    assert np.median(agreement) > 0.93


@pytest.mark.parametrize("objects_a_layer", [255, 2])
def test_masks_transformed_together_are_those_transformed_one_by_one(
    tmp_path, registered, monkeypatch, objects_a_layer
):
    monkeypatch.setattr("dml_instance.data.mapper._OBJECTS_A_LAYER", objects_a_layer)
    discs = np.zeros((30, 90, 120), np.uint8)  # many of them overlap
    for disc, (row, column) in zip(
        discs, np.random.default_rng(0).integers(0, [90, 120], (30, 2)), strict=True
    ):
        cv2.circle(disc, (int(column), int(row)), 9, 1, -1)
    image = np.repeat(discs.max(0)[..., None] * 200, 3, axis=2)
    registered(
        "toy_set", *write_coco(tmp_path, "toy", [(image, discs.astype(bool), np.arange(30) % 2)])
    )
    (record,) = DatasetCatalog.get("toy_set")
    record["annotations"][3]["iscrowd"] = 1
    cfg = data_config(
        *("INPUT.MIN_SIZE_TRAIN", (0,), "INPUT.CROP.ENABLED", True, "INPUT.CROP.TYPE", "absolute"),
        *("INPUT.CROP.SIZE", [60, 60], "INPUT.AUG.SCALE_RANGE", [0.7, 1.5]),
        *("INPUT.AUG.ROTATION", 10.0, "INPUT.AUG.RIGHT_ANGLES", True),
    )
    stock = DatasetMapper(cfg, augmentations=build_train_augmentation(cfg), recompute_boxes=True)
    for seed in range(20):
        np.random.seed(seed)
        expected = stock(record)["instances"]
        np.random.seed(seed)
        instances = build_train_mapper(cfg)(record)["instances"]
        assert 0 < len(instances) < 30
        assert torch.equal(instances.gt_masks.tensor, expected.gt_masks.tensor)
        assert torch.equal(instances.gt_boxes.tensor, expected.gt_boxes.tensor)
        assert torch.equal(instances.gt_classes, expected.gt_classes)


@pytest.mark.parametrize("crowd", [None, "polygon", "rle"])
def test_an_image_without_objects_is_loaded_under_a_crop(tmp_path, registered, crowd):
    scene = square_and_disc(96, 128)
    registered("toy_set", *write_coco(tmp_path, "toy", [scene], as_polygons=crowd == "polygon"))
    (record,) = DatasetCatalog.get("toy_set")
    record["annotations"] = [{**a, "iscrowd": 1} for a in record["annotations"]] if crowd else []
    x = build_train_mapper(data_config("INPUT.CROP.ENABLED", True, "INPUT.MIN_SIZE_TRAIN", (0,)))(
        record
    )
    assert len(x["instances"]) == 0
    assert ("ignored" in x) == bool(crowd)


def test_scale_keeps_to_its_range_and_rejects_nonsense():
    image = np.zeros((100, 200, 3), np.uint8)
    heights = {RandomScale(0.5, 2.0).get_transform(image).new_h for _ in range(50)}
    assert 50 <= min(heights) < 90
    assert 110 < max(heights) <= 200
    with pytest.raises(ValueError, match="SCALE_RANGE"):
        RandomScale(0, 1)


def test_crowds_and_void_are_transformed_with_the_image_and_handed_on(tmp_path, registered):
    """The ignored pixels are drawn in the picture, so the picture itself tells where they must be."""
    image, masks, classes = square_and_disc(96, 128)
    void = np.zeros((96, 128), bool)
    void[60:90, 5:45] = True
    image[void] = (40, 90, 250)
    registered("toy_set", *write_coco(tmp_path, "toy", [(image, masks, classes)]))
    (record,) = DatasetCatalog.get("toy_set")
    record["annotations"][1]["iscrowd"] = 1
    record["void"] = rle(void)
    cfg = data_config(
        *("INPUT.MIN_SIZE_TRAIN", (0,), "INPUT.AUG.SCALE_RANGE", [0.7, 1.5]),
        *("INPUT.AUG.ROTATION", 10.0, "INPUT.FORMAT", "RGB"),
    )
    np.random.seed(0)
    for _ in range(10):
        x = build_train_mapper(cfg)(
            dict(record, annotations=[dict(a) for a in record["annotations"]])
        )
        assert x["ignored"].dtype == torch.bool
        assert len(x["instances"]) == 1
        assert "void" not in x
        green_or_blue = (x["image"][1:].amax(0) > 80).numpy() & (x["image"][0] < 120).numpy()
        ignored = x["ignored"].numpy()
        assert (green_or_blue & ignored).sum() / (green_or_blue | ignored).sum() > 0.9
    as_polygon = dict(
        record["annotations"][1], segmentation=[[98 - 14, 70 - 14, 98 + 14, 70 - 14, 98, 70 + 14.0]]
    )
    del record["void"]
    x = build_train_mapper(data_config("INPUT.RANDOM_FLIP", "none"))(
        dict(record, annotations=[record["annotations"][0], as_polygon])
    )
    assert x["ignored"].float().mean().item() == pytest.approx(28 * 28 / 2 / (96 * 128), rel=0.1)
    plain = build_train_mapper(data_config())(dict(record, annotations=record["annotations"][:1]))
    assert "ignored" not in plain


def test_the_image_is_magnified_at_test_time_for_any_architecture(tmp_path, registered):
    registered("toy_set", *write_coco(tmp_path, "toy", [square_and_disc(64, 96)]))
    (record,) = DatasetCatalog.get("toy_set")
    x = build_test_mapper(data_config("INPUT.MIN_SIZE_TEST", 0, "INPUT.SCALE_TEST", 1.25))(record)
    assert x["image"].shape[1:] == (80, 120)
    assert (x["height"], x["width"]) == (64, 96)
