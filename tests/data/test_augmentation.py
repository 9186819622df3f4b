import numpy as np
import pytest
from detectron2.data import DatasetCatalog, DatasetMapper

from dml_instance.data import build_test_mapper, build_train_mapper
from dml_instance.data.augmentation import RandomScale, build_train_augmentation
from toy_scenes import data_config, square_and_disc, write_coco


def kinds_of(augmentations):
    return [type(a).__name__ for a in augmentations]


def test_augmentation_is_stock_when_nothing_is_set():
    cfg = data_config()
    stock = DatasetMapper.from_config(cfg)["augmentations"]
    assert kinds_of(build_train_augmentation(cfg)) == kinds_of(stock)
    assert kinds_of(stock) == ["ResizeShortestEdge", "RandomFlip"]


def test_a_crop_is_cut_out_of_the_resized_image_and_not_before_as_in_the_stock_mapper():
    cfg = data_config("INPUT.CROP.ENABLED", True)
    ours, stock = build_train_augmentation(cfg), DatasetMapper.from_config(cfg)["augmentations"]
    assert kinds_of(ours) == ["ResizeShortestEdge", "RandomCrop", "RandomFlip"]
    assert kinds_of(stock) == ["RandomCrop", "ResizeShortestEdge", "RandomFlip"]


def test_all_augmentations_come_in_the_stated_order():
    cfg = data_config(
        *("INPUT.CROP.ENABLED", True, "INPUT.CROP.TYPE", "absolute", "INPUT.CROP.SIZE", [80, 80]),
        *("INPUT.AUG.SCALE_RANGE", [0.7, 1.5], "INPUT.AUG.ROTATION", 10.0),
        *("INPUT.AUG.RIGHT_ANGLES", True, "INPUT.AUG.COLOR_JITTER", 0.2),
        *("INPUT.AUG.INVERT_PROBABILITY", 0.5),
    )
    augmentations = build_train_augmentation(cfg)
    assert kinds_of(augmentations) == [
        *("ResizeShortestEdge", "RandomScale", "RandomRotation", "RandomCrop", "RandomRotation"),
        *("RandomFlip", "RandomBrightness", "RandomContrast", "RandomSaturation", "RandomApply"),
    ]
    free, right = (a for a in augmentations if type(a).__name__ == "RandomRotation")
    assert (free.angle, right.angle) == ([-10.0, 10.0], [0, 90, 180, 270])


def test_augmented_masks_follow_the_image(tmp_path, registered):
    """Objects are drawn in colours on black, so the picture tells where the masks must be."""
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


def test_scale_keeps_to_its_range_and_rejects_nonsense():
    image = np.zeros((100, 200, 3), np.uint8)
    heights = {RandomScale(0.5, 2.0).get_transform(image).new_h for _ in range(50)}
    assert 50 <= min(heights) < 90
    assert 110 < max(heights) <= 200
    with pytest.raises(ValueError, match="SCALE_RANGE"):
        RandomScale(0, 1)


def test_the_image_is_magnified_at_test_time_for_any_architecture(tmp_path, registered):
    registered("toy_set", *write_coco(tmp_path, "toy", [square_and_disc(64, 96)]))
    (record,) = DatasetCatalog.get("toy_set")
    x = build_test_mapper(data_config("INPUT.MIN_SIZE_TEST", 0, "INPUT.SCALE_TEST", 1.25))(record)
    assert x["image"].shape[1:] == (80, 120)
    assert (x["height"], x["width"]) == (64, 96)
