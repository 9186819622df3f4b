"""A loss or a gradient that is not finite: before a step, with its name and its images."""

import pytest
import torch
from torch import nn

from dml_instance.engine.finite import finite_step


class Net(nn.Module):
    """Losses of two weights; ``spoil`` is what is wrong."""

    def __init__(self, spoil=""):
        super().__init__()
        self.good, self.bad = (nn.Parameter(torch.tensor([1.0, 2.0])) for _ in range(2))
        self.spoil = spoil

    def forward(self, batch):
        losses = {"loss_a": self.good.sum(), "loss_b": self.bad.square().sum()}
        if self.spoil == "gradient":
            losses["loss_b"] = (self.bad - self.bad.detach()).sqrt().sum()  # 0, of slope infinity
        elif self.spoil:
            losses["loss_b"] = losses["loss_b"] * float(self.spoil)
        return losses


BATCH = [{"file_name": "a.png"}, {"file_name": "b.png"}, {}]


def step(model, folder, batch=BATCH):
    """As Detectron2's ``SimpleTrainer`` takes it."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    with finite_step(model, optimizer, 41, str(folder)):
        losses = sum(model(batch).values())
        losses.backward()
        optimizer.step()


@pytest.mark.parametrize("spoil", ["nan", "inf", "-inf", "gradient"])
def test_the_error_names_what_is_bad_the_iteration_and_the_images(tmp_path, spoil):
    model = Net(spoil)
    (tmp_path / "last_checkpoint").write_text("model_0000030.pth")
    with pytest.raises(FloatingPointError) as error:
        step(model, tmp_path)
    text = str(error.value)
    what = "the gradient of bad" if spoil == "gradient" else "the loss loss_b"
    assert text.startswith(f"{what} is not finite (loss_a 3, loss_b ")
    assert (
        ") in iteration 42, whose images are a.png, b.png, an image in memory; no step was taken"
        in text
    )
    assert f"The last checkpoint, {tmp_path / 'model_0000030.pth'}, is good" in text
    assert "--resume alone comes to the same" in text and "\n" not in text
    assert model.good.tolist() == model.bad.tolist() == [1.0, 2.0]


def test_what_a_model_says_of_itself_is_said_with_the_same(tmp_path):
    model = Net()
    model.register_forward_hook(lambda *_: raised("Training\nhas diverged."))
    with pytest.raises(FloatingPointError) as error:
        step(model, tmp_path)
    assert str(error.value).startswith(
        "Training has diverged in iteration 42, whose images are a.png, b.png, an image in memory;"
    )


def raised(text):
    raise FloatingPointError(text)


def test_without_a_checkpoint_and_with_many_images(tmp_path):
    with pytest.raises(FloatingPointError) as error:
        step(Net("nan"), tmp_path, [{"file_name": f"{n}.png"} for n in range(20)])
    assert "6.png, 7.png and 12 more;" in str(error.value)
    assert "No checkpoint was saved yet" in str(error.value)


def test_a_good_step_is_taken_and_nothing_stays_on_the_model(tmp_path):
    model = Net()
    step(model, tmp_path)
    assert model.good.tolist() == [0.5, 1.5]
    assert not model._forward_hooks
    with pytest.raises(FloatingPointError):
        step(Net("nan"), tmp_path)
    assert not model._forward_hooks


def test_a_loss_may_be_a_tensor_and_a_weight_without_gradient(tmp_path):
    model = nn.Linear(2, 1)
    model.bias.requires_grad = False
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    model.forward = lambda batch: model.weight.sum() * batch[0]["factor"]
    for factor in (1.0, float("nan")):
        with finite_step(model, optimizer, 0, str(tmp_path)):
            if factor == 1.0:
                model([{"factor": factor}]).backward()
                optimizer.step()
                continue
            with pytest.raises(FloatingPointError, match="the loss total_loss is not finite"):
                model([{"factor": factor}])
