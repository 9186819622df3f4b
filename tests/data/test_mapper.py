import cv2
import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, DatasetMapper
from detectron2.structures import BitMasks
from PIL import Image

from dml_instance.data import build_test_mapper, build_train_mapper
from dml_instance.data.augmentation import build_train_augmentation
from dml_instance.data.mapper import FileNamingMapper
from dml_instance.errors import FileError
from dml_instance.object_masks import ObjectMasks
from toy_scenes import data_config, rle, square_and_disc, write_coco


def truncate(path):
    path.write_bytes(path.read_bytes()[:200])


def empty(path):
    path.write_bytes(b"")


def shrink(path):
    cv2.imwrite(str(path), np.zeros((10, 10, 3), np.uint8))


def stack(path):
    frames = [Image.fromarray(np.full((64, 96), value, np.uint8)) for value in (1, 2)]
    frames[0].save(path, save_all=True, append_images=frames[1:])


MEND = "Mend or replace this file"


@pytest.mark.parametrize(
    ("spoiling", "cure"),
    [
        (truncate, MEND),
        (empty, MEND),
        (lambda path: path.unlink(), MEND),
        (shrink, "check the width/height"),
        (stack, "choose one by --page"),
    ],
)
@pytest.mark.parametrize("build", [build_train_mapper, build_test_mapper])
def test_a_bad_image_is_named_with_its_cure(tmp_path, registered, spoiling, cure, build):
    path, images = write_coco(tmp_path, "toy", [square_and_disc()])
    registered("toy_set", path, images)
    (record,) = DatasetCatalog.get("toy_set")
    spoiling(images / "001.png")
    with pytest.raises(FileError, match=rf"001\.png.*{cure}") as caught:
        build(data_config())(record)
    assert (MEND in str(caught.value)) == (cure == MEND)


def test_an_error_that_is_not_of_the_file_does_not_blame_it(tmp_path, registered):
    registered("toy_set", *write_coco(tmp_path, "toy", [square_and_disc()]))
    (record,) = DatasetCatalog.get("toy_set")

    def fail(_):
        raise ValueError("a bug")

    with pytest.raises(RuntimeError, match=r"001\.png: ValueError: a bug$"):
        FileNamingMapper(fail)(record)


@pytest.mark.parametrize(
    ("objects_a_layer", "architecture", "kind"),
    [(255, "DMLInstance", ObjectMasks), (2, "GeneralizedRCNN", BitMasks)],
)
def test_masks_transformed_together_are_those_transformed_one_by_one(
    tmp_path, registered, monkeypatch, objects_a_layer, architecture, kind
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
        *("MODEL.META_ARCHITECTURE", architecture),
    )
    stock = DatasetMapper(cfg, augmentations=build_train_augmentation(cfg), recompute_boxes=True)
    for seed in range(20):
        np.random.seed(seed)
        expected = stock(record)["instances"]
        np.random.seed(seed)
        instances = build_train_mapper(cfg)(record)["instances"]
        assert 0 < len(instances) < 30
        assert isinstance(instances.gt_masks, kind)
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


def test_crowds_and_void_are_transformed_with_the_image_and_handed_on(tmp_path, registered):
    """The ignored pixels are drawn in the picture, which so tells where they must be."""
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


def test_records_that_would_be_read_by_another_reader_are_refused(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), square_and_disc()[0])
    record = {"file_name": str(tmp_path / "a.png"), "sem_seg_file_name": "a_classes.png"}
    with pytest.raises(RuntimeError, match=r"NotImpl.*a\.png comes with sem_seg_file_name"):
        build_test_mapper(data_config())(record)
