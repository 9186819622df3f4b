import pytest
from torch import nn

from dml_instance.engine import NO_DATA, Trainer, load_config
from toy_scenes import data_config


class TinyModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Conv2d(1, 2, 1)
        self.head = nn.Sequential(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2))


def config(name, factor):
    return data_config(
        *("SOLVER.BASE_LR", 0.006, "SOLVER.OPTIMIZER", name, "SOLVER.BACKBONE_MULTIPLIER", factor)
    )


def test_the_backbone_alone_learns_at_a_factor_of_the_rate():
    model = TinyModel()
    optimizer = Trainer.build_optimizer(config("AdamW", 0.25), model)
    rates = {
        parameter: group["lr"] for group in optimizer.param_groups for parameter in group["params"]
    }
    assert len(rates) == len(list(model.parameters()))
    for name, parameter in model.named_parameters():
        assert rates[parameter] == pytest.approx(0.0015 if name.startswith("backbone") else 0.006)


@pytest.mark.parametrize(("name", "factor"), [("SGD", 0.5), ("AdamW", 0.0)])
def test_a_factor_that_cannot_be_followed_is_refused(name, factor):
    with pytest.raises(ValueError, match="BACKBONE_MULTIPLIER"):
        Trainer.build_optimizer(config(name, factor), TinyModel())


@pytest.mark.parametrize(
    ("own", "expected"), [((None, None), (0.1, 0.3)), ((0.02, 0.0), (0.02, 0.0))]
)
def test_adamw_has_a_rate_and_a_decay_of_its_own_where_they_are_given(own, expected):
    cfg = data_config(
        "SOLVER.OPTIMIZER", "AdamW", "SOLVER.BASE_LR", 0.1, "SOLVER.WEIGHT_DECAY", 0.3
    )
    cfg.merge_from_list(["SOLVER.ADAMW.BASE_LR", own[0], "SOLVER.ADAMW.WEIGHT_DECAY", own[1]])
    optimizer = Trainer.build_optimizer(cfg, nn.Conv2d(1, 2, 1))
    assert [(group["lr"], group["weight_decay"]) for group in optimizer.param_groups] == [expected]
    cfg.SOLVER.OPTIMIZER = "SGD"
    optimizer = Trainer.build_optimizer(cfg, nn.Conv2d(1, 2, 1))
    assert {(group["lr"], group["weight_decay"]) for group in optimizer.param_groups} == {
        (0.1, 0.3)
    }


@pytest.mark.parametrize("key", ["BASE_LR", "WEIGHT_DECAY"])
def test_an_override_that_would_change_nothing_is_refused(key):
    options = ["MODEL.DML.NUM_CLASSES", "6", f"SOLVER.{key}", "0.5"]
    config = "configs/Shapes/dml_slim_unet.yaml"
    with pytest.raises(
        ValueError, match=rf"SOLVER\.{key} is read by SGD.*give SOLVER\.ADAMW\.{key}"
    ):
        load_config(config, options, needs=NO_DATA)
    own = [*options, f"SOLVER.ADAMW.{key}", "0.25"]
    assert load_config(config, own, needs=NO_DATA).SOLVER.ADAMW[key] == 0.25
    sgd = [*options, "SOLVER.OPTIMIZER", "SGD"]
    assert load_config(config, sgd, needs=NO_DATA).SOLVER[key] == 0.5
