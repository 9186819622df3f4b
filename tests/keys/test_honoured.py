"""Keys that Detectron2's own trainer does not read are named once, when it takes a model."""

import logging

import pytest
from detectron2.modeling import build_model
from torch import nn

from dml_instance.keys.honoured import honouring_keys, note_on_unread_keys, unread_keys
from toy_models import config, config_of_file

# Every key, with a value that changes something.
VALUES = {
    "SOLVER.OPTIMIZER": "AdamW",
    "SOLVER.BACKBONE_MULTIPLIER": 0.5,
    "DATALOADER.REPEAT_BY_AREA": 0.5,
    "INPUT.SCALE_TEST": 2.0,
    "INPUT.AUG.SCALE_RANGE": [0.5, 2.0],
    "INPUT.AUG.ROTATION": 10.0,
    "INPUT.AUG.RIGHT_ANGLES": True,
    "INPUT.AUG.COLOR_JITTER": 0.2,
    "INPUT.AUG.INVERT_PROBABILITY": 0.1,
    "TEST.INSTANCE_METRICS.ENABLED": True,
}


@pytest.fixture
def lines(caplog):
    caplog.set_level(logging.WARNING)
    name = "dml_instance.modeling.meta_arch"
    return lambda: [r.getMessage() for r in caplog.records if r.name == name]


def test_defaults_need_no_word(lines):
    assert unread_keys(config()) == []
    build_model(config()).train()
    assert lines() == []


@pytest.mark.parametrize("key", VALUES)
def test_each_key_is_named_with_its_value(key):
    assert unread_keys(config(key, VALUES[key])) == [f"{key} {VALUES[key]}"]


def test_a_range_may_be_a_tuple():
    cfg = config()
    cfg.INPUT.AUG.SCALE_RANGE = (1.0, 1.0)
    assert unread_keys(cfg) == []


def test_one_line_is_said_when_a_trainer_takes_the_model_and_none_before(lines):
    model = build_model(config(*(part for pair in VALUES.items() for part in pair)))
    model.eval()  # as a predictor does
    assert lines() == []
    nn.Sequential(model).train()  # as Detectron2's trainers do, whatever the model is wrapped in
    (line,) = lines()
    assert all(f"{key} {value}" in line for key, value in VALUES.items())
    assert "DefaultTrainer" in line and "dml_instance.engine.Trainer" in line
    model.eval().train()
    assert len(lines()) == 1, "once"


def test_who_honours_the_keys_is_not_warned(lines):
    cfg = config("SOLVER.OPTIMIZER", "AdamW")
    with honouring_keys():
        build_model(cfg).train()
        assert note_on_unread_keys(cfg) == ""
    assert lines() == []
    with pytest.raises(RuntimeError), honouring_keys():
        raise RuntimeError
    assert note_on_unread_keys(cfg).startswith("SOLVER.OPTIMIZER AdamW: ")


@pytest.mark.parametrize("path", ["Shapes/dml_slim_unet.yaml", "DSB2018/dml_slim_unet.yaml"])
def test_shipped_yamls_name_what_they_rely_on(path):
    cfg = config_of_file(path, "MODEL.DML.NUM_CLASSES", 1)
    assert note_on_unread_keys(cfg).startswith("SOLVER.OPTIMIZER AdamW, ")
