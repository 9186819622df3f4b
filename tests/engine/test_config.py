"""What a config says of the machine that it is loaded on."""

import logging

import pytest
import torch

from dml_instance.engine import load_config
from dml_instance.engine.config import _warn_of_the_cpu

YAML = "configs/Shapes/dml_slim_unet.yaml"


@pytest.fixture(autouse=True)
def new_process(monkeypatch):
    """One that has no GPU and has warned of nothing."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    _warn_of_the_cpu.cache_clear()


def test_a_gpu_that_is_not_there_is_warned_of_once(caplog):
    with caplog.at_level(logging.WARNING):
        assert [load_config(YAML).MODEL.DEVICE for _ in range(2)] == ["cpu", "cpu"]
    (message,) = caplog.messages
    assert "torch finds no GPU: the CPU is used" in message


def test_a_cpu_that_was_asked_for_is_no_warning(caplog):
    with caplog.at_level(logging.WARNING):
        assert load_config(YAML, ["MODEL.DEVICE", "cpu"]).MODEL.DEVICE == "cpu"
    assert not caplog.messages
