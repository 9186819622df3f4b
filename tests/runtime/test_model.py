"""An exported model finds what the model of torch finds, in a process of its own without torch."""

import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dml_instance.data import build_test_mapper
from dml_instance.errors import FileError
from dml_instance.grouping import group
from dml_instance.images import to_eight_bit
from dml_instance.mask_classes import is_likeliest
from dml_instance.modeling.grouping import class_probability
from dml_instance.runtime import Result, load
from toy_scenes import crowd_of_cells

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def loaded(pair):
    return load(pair.folder)


def image(height=70, width=90, seed=0):
    """Cells on noise, in colours."""
    cells = crowd_of_cells(height, width, 18, seed=seed)
    noise = np.random.default_rng(seed).integers(0, 60, cells.shape)
    return (cells * [0.7, 0.5, 0.3] + noise).astype(np.uint8)


@torch.no_grad()
def by_torch(pair, path):
    """Instances of a file by the way that tools/predict.py goes."""
    (result,) = pair.model([build_test_mapper(pair.cfg)({"file_name": str(path)})])
    return result["instances"][result["instances"].scores >= 0.1]


def saved(pixels, folder, name="a.png"):
    Image.fromarray(pixels).save(folder / name)
    return folder / name


def full_masks(result):
    """(N, H, W) bool."""
    masks = np.zeros((len(result), *result.image_size), bool)
    for full, mask in zip(masks, result.masks, strict=True):
        full[mask.window] = mask.pixels
    return masks


def assert_same(result, expected):
    """Alike but for rounding: two of nearly one score may have changed places."""
    assert isinstance(result, Result)
    expected = expected[is_likeliest(expected)]
    assert len(result) == len(expected) > 5
    masks, others = full_masks(result), expected.pred_masks.numpy()
    scores, classes = expected.scores.numpy(), expected.pred_classes.numpy()
    for index, mask in enumerate(masks):
        iou = (mask & others).sum((1, 2)) / (mask | others).sum((1, 2))
        other = iou.argmax()
        assert iou[other] > 0.99
        assert result.scores[index] == pytest.approx(scores[other], abs=1e-4)
        assert result.classes[index] == classes[other]
    assert result.scores.dtype == np.float32 and (np.diff(result.scores) <= 0).all()
    assert result.class_names == [("square", "disc")[index] for index in result.classes]


@pytest.mark.parametrize("size", [(33, 41), (70, 90), (150, 64)])
def test_objects_are_those_of_the_model_of_torch(pair, loaded, tmp_path, size):
    """At a scale of 1.25 the last two are seen in tiles of 96 pixels."""
    path = saved(image(*size), tmp_path)
    expected = by_torch(pair, path)
    assert_same(loaded(str(path)), expected)
    assert_same(loaded(image(*size)), expected)
    assert set(expected.pred_classes.tolist()) == {0, 1}


def test_the_grouping_is_given_what_the_model_of_torch_gives_it(pair, loaded, monkeypatch):
    given = []

    def spy(pyramid, *arguments):
        given.append((pyramid, arguments))
        return group(pyramid, *arguments)

    pixels = image(70, 91)
    monkeypatch.setattr("dml_instance.runtime.model.group", spy)
    loaded(pixels)
    (((maps,), (size, settings, limits, _)),) = given
    bgr = torch.from_numpy(np.ascontiguousarray(pixels[..., ::-1].transpose(2, 0, 1)))
    with torch.no_grad():
        ((expected,),) = pair.model.pyramids([{"image": bgr}])
    assert (maps.stride, maps.scale, maps.image_size) == (2, 1.25, expected.image_size)
    found = torch.from_numpy(maps.embedding).permute(2, 0, 1)
    torch.testing.assert_close(found, expected.embedding, rtol=1e-3, atol=1e-3)
    assert maps.distance_scale.shape == tuple(expected.distance_scale.shape)
    probability = class_probability(expected.class_logits)
    torch.testing.assert_close(torch.from_numpy(maps.probability), probability, rtol=0, atol=1e-3)
    assert size == (70, 91) and limits is loaded.limits
    for name, value in vars(pair.model.grouping.settings).items():
        if name != "min_score":
            assert np.array_equal(getattr(settings, name), value), name


def test_grey_is_three_equal_colours(loaded):
    grey = image()[..., 0]
    one, other = loaded(grey), loaded(np.dstack([grey] * 3))
    np.testing.assert_array_equal(one.labels, other.labels)
    assert one.labels.max() == len(one)


def test_files_are_read_by_the_one_reader(loaded, tmp_path):
    """A file of 16 bits, by a path that is no string."""
    deep = image()[..., 1].astype(np.uint16) * 200
    found = loaded(saved(deep, tmp_path, "deep.tif"))
    np.testing.assert_array_equal(found.labels, loaded(to_eight_bit(deep)).labels)
    (tmp_path / "no_image.png").write_text("text")
    with pytest.raises(FileError, match=r"no_image\.png"):
        loaded(tmp_path / "no_image.png")


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (np.zeros((4, 5, 3), np.float32), r"\(4, 5, 3\) float32.*to_eight_bit"),
        (np.zeros((4, 5, 4), np.uint8), r"\(4, 5, 4\) uint8"),
        (np.zeros((1, 4, 5, 3), np.uint8), r"\(1, 4, 5, 3\) uint8"),
        (np.zeros(3, np.uint8), r"\(3,\) uint8"),
        (np.zeros((0, 5, 3), np.uint8), r"\(0, 5, 3\) uint8"),
    ],
)
def test_other_arrays_are_refused(loaded, wrong, told):
    with pytest.raises(ValueError, match=told):
        loaded(wrong)


def test_the_least_score_is_that_of_the_file_or_the_one_that_is_given(pair, loaded):
    assert loaded.rules.grouping.min_score == 0.1
    everything = load(pair.folder, min_score=0.0)(image())
    middle = float(np.median(everything.scores))
    few = load(pair.folder, min_score=middle, threads=1)(image())
    for result, least in ((loaded(image()), 0.1), (few, middle)):
        count = int((everything.scores >= least).sum())
        assert len(result) == count > 0
        np.testing.assert_array_equal(result.scores, everything.scores[:count])
    assert len(few) < len(everything)
    for name, value in (("min_score", 1.5), ("min_score", -0.1), ("threads", 0)):
        with pytest.raises(ValueError, match=f"{name} is .*, got {value}"):
            load(pair.folder, **{name: value})


def test_an_image_without_objects_has_none(pair):
    result = load(pair.folder, min_score=1.0)(image())
    assert len(result) == 0 and result.class_names == [] and not result.labels.any()
    assert result.labels.shape == (70, 90) and result.scores.dtype == np.float32


def test_limits_are_told_of(pair, tmp_path, caplog):
    folder = shutil.copytree(pair.folder, tmp_path / "copy")
    rules = json.loads((folder / "rules.json").read_text())
    rules["grouping"]["max_instances"] = 2
    (folder / "rules.json").write_text(json.dumps(rules))
    model = load(folder)
    with caplog.at_level(logging.WARNING, "dml_instance.grouping"):
        result = model(saved(image(), tmp_path, "a.png"))
    assert len(result) == 2
    (record,) = caplog.records
    assert record.getMessage().startswith(f"{tmp_path / 'a.png'}: the best 2 of ")
    assert model.limits.remarks == ["TEST.DETECTIONS_PER_IMAGE was reached in 1 image"]


def test_without_torch_and_detectron2_it_works_and_with_them_it_imports_neither(
    pair, loaded, tmp_path
):
    """Whether they are installed, or hidden."""
    np.save(tmp_path / "expected.npy", loaded(saved(image(), tmp_path)).labels)
    code = f"""
import sys
for name in sys.argv[1:]:
    sys.modules[name] = None
import numpy as np
from dml_instance.runtime import load
labels = load({pair.folder!r})({str(tmp_path / "a.png")!r}).labels
np.testing.assert_array_equal(labels, np.load({str(tmp_path / "expected.npy")!r}))
there = ("torch", "detectron2", "fvcore", "iopath", "matplotlib", "onnx", "onnxscript")
print(*(name for name in there if sys.modules.get(name)), labels.max())
"""
    for hidden in ((), ("torch", "detectron2")):
        command = [sys.executable, "-W", "error::ImportWarning", "-c", code, *hidden]
        result = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, env={**os.environ}, check=False
        )
        assert result.returncode == 0, result.stderr
        assert result.stdout.split() == [str(len(loaded(image())))]
