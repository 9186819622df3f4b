import logging

import cv2
import numpy as np
import pytest
import torch

from dml_instance.data.images import ImageFileError
from dml_instance.engine import for_each_image, list_of_skipped, metadata_of
from toy_scenes import data_config, square_and_disc, write_coco


def test_the_metadata_are_those_of_a_known_set(registered, tmp_path):
    registered("known_set", *write_coco(tmp_path, "toy", [square_and_disc()]))
    cfg = data_config("DATASETS.TEST", ("unknown_set", "known_set"))
    assert metadata_of(cfg).thing_classes == ["square", "disc"]
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
        skipped = for_each_image(records, act, "testing")
    assert list(skipped) == [str(tmp_path / f"{n}.png") for n in ("broken", "refused", "absent")]
    assert skipped[str(tmp_path / "refused.png")] == "this one not"
    count, *lines = list_of_skipped(skipped)
    assert count == "3 files skipped:" and list_of_skipped({}) == []
    for line, (file, why) in zip(lines, skipped.items(), strict=True):
        assert line in (f"  {why}", f"  {file}: {why}") and file in line
        assert f"skipped {file}: {why}" in caplog.text
    assert set(seen) == {str(tmp_path / "deep.tif"), str(tmp_path / "plain.png")}
    stretched = seen[str(tmp_path / "deep.tif")]
    assert stretched.dtype == np.uint8 and (stretched.min(), stretched.max()) == (0, 255)
    assert (seen[str(tmp_path / "plain.png")] == 7).all()


@pytest.fixture
def three_images(tmp_path):
    for name in "abc":
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.zeros((9, 9, 3), np.uint8))
    return [{"file_name": str(tmp_path / f"{name}.png")} for name in "abc"]


def failing_at_b(error):
    def act(record):
        if record["source"].endswith("b.png"):
            raise error

    return act


@pytest.mark.parametrize("error", [ValueError("a bug"), OSError("full"), FileNotFoundError(2, "a")])
def test_an_error_that_is_not_of_a_file_ends_the_loop(three_images, error, caplog):
    with pytest.raises(type(error)) as caught:
        for_each_image(three_images, failing_at_b(error), "testing")
    assert caught.value is error
    assert f"stopped at {three_images[1]['file_name']}, image 2 of 3" in caplog.text


def test_too_little_memory_ends_the_loop_with_the_file_and_the_cure(three_images):
    error = torch.cuda.OutOfMemoryError("CUDA out of memory")
    with pytest.raises(MemoryError, match=r"b\.png: CUDA out of memory\. .*MODEL.DML.TILES.SIZE"):
        for_each_image(three_images, failing_at_b(error), "testing")
