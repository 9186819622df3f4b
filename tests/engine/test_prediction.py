import logging

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


def test_files_that_fail_are_skipped(caplog):
    seen = []

    def act(record):
        assert not torch.is_grad_enabled()
        if record["file_name"] == "refused.png":
            raise ImageFileError("this one not")
        seen.append(record["file_name"])

    names = ("a.png", "refused.png", "b.png")
    with caplog.at_level(logging.WARNING):
        assert for_each_image([{"file_name": name} for name in names], act, "testing") == 1
    assert "skipped refused.png: this one not" in caplog.text
    assert seen == ["a.png", "b.png"]


@pytest.mark.parametrize(
    "error",
    [torch.cuda.OutOfMemoryError("CUDA out of memory"), ValueError("a bug"), OSError("full")],
)
def test_an_error_that_is_not_of_a_file_ends_the_loop(error):
    def act(_):
        raise error

    with pytest.raises(type(error)) as caught:
        for_each_image([{"file_name": "a.png"}], act, "testing")
    assert caught.value is error
