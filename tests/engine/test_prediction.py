import logging

import cv2
import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog

from dml_instance.data.images import ImageFileError
from dml_instance.engine import class_names_of, for_each_image, metadata_of
from toy_scenes import data_config


@pytest.fixture
def two_sets():
    for name in ("first_set", "second_set"):
        DatasetCatalog.register(name, list)
        MetadataCatalog.get(name).set(thing_classes=[f"{name} a", f"{name} b"])
    yield
    for name in ("first_set", "second_set"):
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


@pytest.mark.parametrize(
    ("architecture", "key"),
    [
        ("DMLInstance", "MODEL.DML.NUM_CLASSES"),
        ("GeneralizedRCNN", "MODEL.ROI_HEADS.NUM_CLASSES"),
    ],
)
def test_classes_are_named_by_a_known_set_of_as_many(two_sets, architecture, key):
    sets = ("DATASETS.TEST", ("unknown_set", "second_set"), "DATASETS.TRAIN", ("first_set",))
    cfg = data_config("MODEL.META_ARCHITECTURE", architecture, key, 2, *sets)
    assert class_names_of(cfg) == ["second_set a", "second_set b"]
    cfg.merge_from_list([key, 3])
    assert class_names_of(cfg) == ["class 0", "class 1", "class 2"]
    assert metadata_of(data_config("DATASETS.TEST", ("unknown_set",))).as_dict() == {}


def test_files_that_fail_are_skipped_and_deep_ones_are_stretched(tmp_path, caplog):
    deep = np.linspace(0, 4000, 600).reshape(20, 30).astype(np.uint16)
    cv2.imwrite(str(tmp_path / "deep.tif"), deep)
    cv2.imwrite(str(tmp_path / "plain.png"), np.full((20, 30, 3), 7, np.uint8))
    cv2.imwrite(str(tmp_path / "refused.png"), np.zeros((9, 9, 3), np.uint8))
    (tmp_path / "broken.png").write_bytes(b"no image")
    seen = {}

    def act(record):
        if record["file_name"].endswith("refused.png"):
            raise ImageFileError("this one not")
        assert not torch.is_grad_enabled()
        seen[record["source"]] = cv2.imread(record["file_name"], cv2.IMREAD_UNCHANGED)

    names = ("deep.tif", "broken.png", "plain.png", "refused.png", "absent.png")
    with caplog.at_level(logging.WARNING):
        records = [{"file_name": str(tmp_path / name)} for name in names]
        assert for_each_image(records, act, "testing") == 3
    for name in ("broken.png", "refused.png: this one not", "absent.png"):
        assert f"skipped {tmp_path / name}" in caplog.text
    assert set(seen) == {str(tmp_path / "deep.tif"), str(tmp_path / "plain.png")}
    stretched = seen[str(tmp_path / "deep.tif")]
    assert stretched.dtype == np.uint8 and (stretched.min(), stretched.max()) == (0, 255)
    assert (seen[str(tmp_path / "plain.png")] == 7).all()


@pytest.mark.parametrize(
    "error",
    [torch.cuda.OutOfMemoryError("CUDA out of memory"), ValueError("a bug"), OSError("full")],
)
def test_an_error_that_is_not_of_a_file_ends_the_loop(tmp_path, error):
    cv2.imwrite(str(tmp_path / "plain.png"), np.zeros((9, 9, 3), np.uint8))

    def act(_):
        raise error

    with pytest.raises(type(error)) as caught:
        for_each_image([{"file_name": str(tmp_path / "plain.png")}], act, "testing")
    assert caught.value is error
