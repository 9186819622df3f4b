"""Keys that Detectron2's own trainer does not read are named once, when a model is built for it."""

import logging

import pytest
from detectron2.modeling import build_model

from dml_instance.honoured_keys import honouring_keys, unread_keys, warn_of_unread_keys
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
}


@pytest.fixture
def lines(caplog):
    caplog.set_level(logging.WARNING)
    name = "dml_instance.honoured_keys"
    return lambda: [r.getMessage() for r in caplog.records if r.name == name]


def test_defaults_need_no_word(lines):
    assert unread_keys(config()) == []
    build_model(config())
    assert lines() == []


@pytest.mark.parametrize("key", VALUES)
def test_each_key_is_named_with_its_value(key):
    assert unread_keys(config(key, VALUES[key])) == [f"{key} {VALUES[key]}"]


def test_a_range_may_be_a_tuple():
    cfg = config()
    cfg.INPUT.AUG.SCALE_RANGE = (1.0, 1.0)
    assert unread_keys(cfg) == []


def test_one_line_is_said_when_a_model_is_built(lines):
    cfg = config(*(part for pair in VALUES.items() for part in pair))
    build_model(cfg)
    (line,) = lines()
    assert all(f"{key} {value}" in line for key, value in VALUES.items())
    assert "DefaultTrainer" in line and "dml_instance.engine.Trainer" in line


def test_who_honours_the_keys_is_not_warned(lines):
    cfg = config("SOLVER.OPTIMIZER", "AdamW")
    with honouring_keys():
        build_model(cfg)
        warn_of_unread_keys(cfg)
        assert lines() == []
    build_model(cfg)
    assert len(lines()) == 1


def test_after_an_error_the_keys_are_honoured_no_more(lines):
    with pytest.raises(KeyError), honouring_keys():
        raise KeyError
    warn_of_unread_keys(config("SOLVER.OPTIMIZER", "AdamW"))
    assert len(lines()) == 1


def test_a_yaml_of_this_project_relies_on_them():
    keys = unread_keys(config_of_file("Shapes/dml_slim_unet.yaml"))
    assert keys == ["SOLVER.OPTIMIZER AdamW", "INPUT.AUG.RIGHT_ANGLES True"]
