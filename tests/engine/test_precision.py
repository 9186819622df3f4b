import pytest
import torch
from torch import nn

from dml_instance.engine import Trainer, trains_in_bfloat16
from toy_scenes import data_config


def config(choice, device="cpu"):
    return data_config("MODEL.DEVICE", device, "SOLVER.AMP.CPU_BFLOAT16", choice)


@pytest.mark.parametrize(
    ("choice", "capabilities", "device", "expected"),
    [
        ("on", {}, "cpu", True),
        ("off", {"avx512_bf16": True}, "cpu", False),
        ("auto", {"avx512_bf16": True}, "cpu", True),
        ("auto", {"amx_bf16": True}, "cpu", True),
        ("auto", {"avx512_f": True, "avx512_bf16": False}, "cpu", False),
        ("on", {"avx512_bf16": True}, "cuda", False),
    ],
)
def test_bfloat16_follows_the_key_the_processor_and_the_device(
    choice, capabilities, device, expected, monkeypatch
):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert trains_in_bfloat16(config(choice, device)) is expected


def test_another_choice_is_named_with_its_key():
    with pytest.raises(ValueError, match=r"CPU_BFLOAT16.*'yes'"):
        trains_in_bfloat16(config("yes"))


@pytest.mark.parametrize("choice", ["on", "off"])
def test_only_training_runs_in_bfloat16(choice, monkeypatch):
    monkeypatch.setattr("detectron2.engine.defaults.build_model", lambda cfg: nn.Linear(2, 2))
    model = Trainer.build_model(config(choice))
    x = torch.ones(1, 2)
    assert model(x).dtype == (torch.bfloat16 if choice == "on" else torch.float32)
    assert model.eval()(x).dtype == torch.float32
    model.train()(x).sum().backward()
    assert model.weight.grad.dtype == torch.float32
