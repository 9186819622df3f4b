import logging

import pytest
import torch

from dml_instance.engine import for_each_image, list_of_skipped, metadata_of
from dml_instance.images import ImageFileError
from toy_scenes import data_config, square_and_disc, write_coco


def test_the_metadata_are_those_of_a_known_set(registered, tmp_path):
    registered("known_set", *write_coco(tmp_path, "toy", [square_and_disc()]))
    cfg = data_config("DATASETS.TEST", ("unknown_set", "known_set"))
    assert metadata_of(cfg).thing_classes == ["square", "disc"]
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
        skipped = for_each_image([{"file_name": name} for name in names], act, "testing")
    assert skipped == {"refused.png": "refused.png: this one not"}
    assert list_of_skipped(skipped) == ["1 files skipped:", "  refused.png: this one not"]
    assert list_of_skipped({}) == []
    assert "skipped refused.png: this one not" in caplog.text
    assert seen == ["a.png", "b.png"]


THREE_IMAGES = [{"file_name": f"{name}.png"} for name in "abc"]


def failing_at_b(error):
    def act(record):
        if record["file_name"].endswith("b.png"):
            raise error

    return act


@pytest.mark.parametrize("error", [ValueError("a bug"), OSError("full"), FileNotFoundError(2, "a")])
def test_an_error_that_is_not_of_a_file_ends_the_loop(error, caplog):
    with pytest.raises(type(error)) as caught:
        for_each_image(THREE_IMAGES, failing_at_b(error), "testing")
    assert caught.value is error
    assert "stopped at b.png, image 2 of 3" in caplog.text


def test_too_little_memory_ends_the_loop_with_the_file_and_the_cure():
    error = torch.cuda.OutOfMemoryError("CUDA out\n  of memory")
    with pytest.raises(MemoryError, match=r"b\.png: CUDA out of memory\. .*MODEL.DML.TILES.SIZE"):
        for_each_image(THREE_IMAGES, failing_at_b(error), "testing")
