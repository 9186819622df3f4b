import pytest
from torch import nn

from dml_instance.engine import Trainer
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
