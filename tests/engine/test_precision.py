import pytest
import torch
from detectron2.engine import AMPTrainer
from torch import nn

from dml_instance.engine import Trainer, trains_in_bfloat16
from toy_scenes import data_config


def config(choice, device="cpu", *overrides):
    return data_config("MODEL.DEVICE", device, "SOLVER.AMP.CPU_BFLOAT16", choice, *overrides)


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


@pytest.mark.parametrize(
    ("enabled", "precision", "expected"),
    [(True, "bfloat16", True), (True, "float16", False), (False, "bfloat16", False)],
)
def test_on_a_gpu_mixed_precision_and_its_own_key_decide(enabled, precision, expected):
    keys = ("SOLVER.AMP.ENABLED", enabled, "SOLVER.AMP.PRECISION", precision)
    assert trains_in_bfloat16(config("auto", "cuda", *keys)) is expected


def test_another_choice_is_named_with_its_key():
    with pytest.raises(ValueError, match=r"CPU_BFLOAT16.*'yes'"):
        trains_in_bfloat16(config("yes"))
    with pytest.raises(ValueError, match=r"AMP\.PRECISION is one of .*'float64'"):
        Trainer(config("auto", "cpu", "SOLVER.AMP.PRECISION", "float64"))


@pytest.mark.filterwarnings("ignore:.*GradScaler")  # there is no GPU to scale gradients on
@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_detectron2s_mixed_precision_computes_in_what_the_key_says(
    precision, monkeypatch, tmp_path
):
    monkeypatch.setattr("detectron2.engine.defaults.build_model", lambda cfg: nn.Linear(2, 2))
    monkeypatch.setattr(Trainer, "build_train_loader", classmethod(lambda cls, cfg: []))
    keys = ("SOLVER.AMP.ENABLED", True, "SOLVER.AMP.PRECISION", precision)
    trainer = Trainer(config("auto", "cpu", *keys, "OUTPUT_DIR", str(tmp_path)))
    assert isinstance(trainer._trainer, AMPTrainer)
    assert trainer._trainer.precision == getattr(torch, precision)


@pytest.mark.parametrize("choice", ["on", "off"])
def test_only_training_runs_in_bfloat16(choice, monkeypatch):
    monkeypatch.setattr("detectron2.engine.defaults.build_model", lambda cfg: nn.Linear(2, 2))
    model = Trainer.build_model(config(choice))
    x = torch.ones(1, 2)
    assert model(x).dtype == (torch.bfloat16 if choice == "on" else torch.float32)
    assert model.eval()(x).dtype == torch.float32
    model.train()(x).sum().backward()
    assert model.weight.grad.dtype == torch.float32
