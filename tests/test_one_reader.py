"""The same file gives the same pixels wherever it is read: every kind by every way in."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
import torch
from detectron2.data import Metadata
from detectron2.structures import Instances

from dml_instance.data import build_test_mapper, build_train_mapper
from dml_instance.data.forms.readers import SourceRules
from dml_instance.data.preparing import SplitRules, prepare
from dml_instance.engine import pictures
from dml_instance.images import read_image
from tool_runner import load_tool
from toy_images import KINDS
from toy_scenes import data_config

AS_IT_IS = ("INPUT.MIN_SIZE_TRAIN", (0,), "INPUT.MIN_SIZE_TEST", 0, "INPUT.RANDOM_FLIP", "none")


class Watching(torch.nn.Module):
    """A model that finds nothing, and remembers the images by file name."""

    def __init__(self):
        super().__init__()
        self.seen = {}

    def forward(self, inputs):
        size = inputs[0]["height"], inputs[0]["width"]
        self.seen[inputs[0]["file_name"]] = inputs[0]["image"]
        nothing = Instances(size, pred_masks=torch.zeros(0, *size, dtype=torch.bool))
        nothing.scores = torch.zeros(0)
        nothing.pred_classes = torch.zeros(0, dtype=torch.int64)
        return [{"instances": nothing}]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """One file of each kind; the number before it keeps the names without endings apart."""
    folder = tmp_path_factory.mktemp("kinds")
    for number, (name, (write, _)) in enumerate(KINDS.items()):
        write(folder / f"{number}_{name}")
    return sorted(map(str, folder.iterdir()))


@pytest.fixture(scope="module")
def expected(files):
    return {file: read_image(file) for file in files}


def picture(image, image_format):
    """(H, W, 3) red, green, blue of a model's input."""
    pixels = image.permute(1, 2, 0).numpy()
    return pixels[..., ::-1] if image_format == "BGR" else pixels


@pytest.mark.parametrize("image_format", ["RGB", "BGR"])
@pytest.mark.parametrize("build", [build_train_mapper, build_test_mapper])
def test_both_mappers(expected, build, image_format):
    mapper = build(data_config("INPUT.FORMAT", image_format, *AS_IT_IS))
    for file, pixels in expected.items():
        height, width = pixels.shape[:2]
        record = {"file_name": file, "height": height, "width": width}
        assert (picture(mapper(record)["image"], image_format) == pixels).all(), file


def test_predict(expected, tmp_path, monkeypatch):
    predict, model = load_tool("predict"), Watching()
    cfg = data_config("MODEL.DML.NUM_CLASSES", 1, *AS_IT_IS)
    monkeypatch.setattr(predict, "given_model", lambda _: (cfg, "any"))
    monkeypatch.setattr(predict, "load_model", lambda *_: model)
    words = ["--config-file", "any", "--output", str(tmp_path / "out"), "--input", *expected]
    assert predict.main(predict.argument_parser().parse_args(words)) == 0
    assert set(model.seen) == set(expected)
    for file, pixels in expected.items():
        assert (picture(model.seen[file], "BGR") == pixels).all(), file


def test_pictures(expected, monkeypatch):
    monkeypatch.setattr(pictures, "panel", dict)
    for file, pixels in expected.items():
        record = {"file_name": file}
        drawn, _ = pictures.picture_of(Watching(), data_config(*AS_IT_IS), record, Metadata(), 0.5)
        assert (drawn["input"] == pixels).all(), file


def test_preparing(files, expected, tmp_path):
    labels, root = tmp_path / "labels", tmp_path / "out"
    labels.mkdir()
    for file, pixels in expected.items():
        stem = Path(file).stem
        tifffile.imwrite(labels / f"{stem}.tif", np.ones(pixels.shape[:2], np.uint16))
    source = SourceRules(str(labels), str(Path(files[0]).parent))
    prepare(source, str(root), splits=SplitRules(val_fraction=0))
    written = {path.stem: path for path in (root / "images").iterdir()}
    assert len(written) == len(expected)
    for file, pixels in expected.items():
        assert (cv2.imread(str(written[Path(file).stem]))[..., ::-1] == pixels).all(), file
