import pytest
import torch
from detectron2.config import get_cfg
from torch import nn

from dml_instance import add_dml_config, engine
from dml_instance.engine import Trainer, trains_in_bfloat16


def config(choice, device="cpu"):
    cfg = get_cfg()
    add_dml_config(cfg)
    cfg.MODEL.DEVICE = device
    cfg.SOLVER.AMP.CPU_BFLOAT16 = choice
    return cfg


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


@pytest.mark.parametrize(("power", "ours"), [(0.0, False), (0.5, True)])
def test_detectron2_chooses_the_training_images_unless_they_are_drawn_by_area(
    power, ours, monkeypatch
):
    """Its own choice knows keypoints and proposals as well, which other meta-architectures need."""
    monkeypatch.setattr(
        engine, "get_detection_dataset_dicts", lambda *_, **__: [{"height": 9, "width": 9}]
    )
    monkeypatch.setattr(engine, "build_detection_train_loader", lambda cfg, **given: given)
    cfg = config("off")
    cfg.INPUT.CROP.ENABLED, cfg.INPUT.CROP.TYPE, cfg.INPUT.CROP.SIZE = True, "absolute", [3, 3]
    cfg.DATALOADER.REPEAT_BY_AREA = power
    given = Trainer.build_train_loader(cfg)
    assert ("dataset" in given) == ("sampler" in given) == ours


class TinyModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Conv2d(1, 2, 1)
        self.head = nn.Sequential(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2))


def optimizer_config(name, factor):
    cfg = config("off")
    cfg.SOLVER.BASE_LR = 0.006
    cfg.SOLVER.OPTIMIZER = name
    cfg.SOLVER.BACKBONE_MULTIPLIER = factor
    return cfg


def test_the_backbone_alone_learns_at_a_factor_of_the_rate():
    model = TinyModel()
    optimizer = Trainer.build_optimizer(optimizer_config("AdamW", 0.25), model)
    rates = {
        parameter: group["lr"] for group in optimizer.param_groups for parameter in group["params"]
    }
    assert len(rates) == len(list(model.parameters()))
    for name, parameter in model.named_parameters():
        assert rates[parameter] == pytest.approx(0.0015 if name.startswith("backbone") else 0.006)


@pytest.mark.parametrize(("name", "factor"), [("SGD", 0.5), ("AdamW", 0.0)])
def test_a_factor_that_cannot_be_followed_is_refused(name, factor):
    with pytest.raises(ValueError, match="BACKBONE_MULTIPLIER"):
        Trainer.build_optimizer(optimizer_config(name, factor), TinyModel())
