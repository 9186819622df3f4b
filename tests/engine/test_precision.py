import pytest
import torch
from detectron2.engine import AMPTrainer
from torch import nn

from dml_instance.engine import (
    Trainer,
    infers_in_bfloat16,
    load_model,
    precision,
    trains_in_bfloat16,
)
from toy_models import config as model_config
from toy_models import model_of
from toy_scenes import data_config


def config(choice, device="cpu", *overrides):
    return data_config("MODEL.DEVICE", device, "SOLVER.AMP.CPU_BFLOAT16", choice, *overrides)


@pytest.fixture
def seconds(monkeypatch):
    """Set what a convolution takes in bfloat16 and in float32; what is not set fails to be asked
    for."""
    precision._all_are_quicker_in_bfloat16.cache_clear()
    yield lambda half, full: monkeypatch.setattr(
        precision, "_convolution_seconds", {torch.bfloat16: half, torch.float32: full}.__getitem__
    )
    precision._all_are_quicker_in_bfloat16.cache_clear()


@pytest.mark.parametrize(
    ("choice", "capabilities", "half", "device", "expected"),
    [
        ("on", {}, 3, "cpu", True),
        ("off", {"avx512_bf16": True}, 1, "cpu", False),
        ("auto", {"avx512_bf16": True}, 1, "cpu", True),
        ("auto", {"amx_bf16": True}, 1, "cpu", True),
        ("auto", {"avx512_bf16": True}, 3, "cpu", False),  # Intel's, without AMX
        ("auto", {"avx512_bf16": True}, 1.9, "cpu", False),
        ("auto", {"avx512_f": True, "avx512_bf16": False}, 1, "cpu", False),
        ("on", {"avx512_bf16": True}, 1, "cuda", False),
    ],
)
def test_bfloat16_follows_the_key_the_processor_its_speed_and_the_device(
    choice, capabilities, half, device, expected, seconds, monkeypatch
):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    seconds(half, 2)
    assert trains_in_bfloat16(config(choice, device)) is expected
    assert infers_in_bfloat16(config("off", device, "TEST.CPU_BFLOAT16", choice)) is expected


def test_where_torch_does_not_say_what_the_processor_can_its_speed_does(seconds, monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    seconds(1, 2)
    assert trains_in_bfloat16(config("auto"))


def test_the_speed_is_measured_once(seconds, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True}, raising=False)
    seconds(1, 2)
    assert trains_in_bfloat16(config("auto"))
    seconds(2, 1)
    assert trains_in_bfloat16(config("auto"))


def test_a_convolution_takes_time_in_both():
    assert precision._convolution_seconds(torch.float32) > 0
    assert precision._convolution_seconds(torch.bfloat16) > 0


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
    with pytest.raises(ValueError, match=r"^TEST\.CPU_BFLOAT16 .*'yes'"):
        Trainer(config("off", "cpu", "TEST.CPU_BFLOAT16", "yes"))
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


def dtypes(model):
    return {parameter.dtype for parameter in model.parameters()}


@pytest.mark.parametrize(("choice", "expected"), [("on", True), ("off", False)])
def test_a_loaded_model_infers_in_what_the_key_says(choice, expected, tmp_path):
    path = str(tmp_path / "model.pth")
    torch.save({"model": model_of().state_dict()}, path)
    model = load_model(model_config("TEST.CPU_BFLOAT16", choice), path)
    assert (torch.bfloat16 in dtypes(model)) is expected
    assert torch.float32 in dtypes(model)


@pytest.mark.parametrize(("choice", "expected"), [("on", True), ("off", False)])
def test_what_is_scored_is_what_will_be_used_and_training_goes_on_in_float32(
    choice, expected, monkeypatch, tmp_path
):
    scored = []
    monkeypatch.setattr(
        "detectron2.engine.DefaultTrainer.test",
        classmethod(lambda cls, cfg, model, evaluators=None: scored.append(model) or {}),
    )
    model, keys = model_of(), ("TEST.CPU_BFLOAT16", choice, "TEST.MIN_SCORE", 0.5)
    options = ("OUTPUT_DIR", str(tmp_path), "DATASETS.TEST", ("toys",))
    Trainer.test(model_config(*keys, *options), model)
    assert (torch.bfloat16 in dtypes(scored[0])) is expected
    assert dtypes(model) == {torch.float32}
    assert model.training


def test_a_network_that_cannot_is_refused_before_it_is_trained(monkeypatch):
    monkeypatch.setattr(Trainer, "build_train_loader", classmethod(lambda cls, cfg: []))
    with pytest.raises(ValueError, match=r"TEST\.CPU_BFLOAT16 .*GroupNorm"):
        Trainer(model_config("TEST.CPU_BFLOAT16", "on", "MODEL.DML.NORM", "GN"))
