"""Steps of Muon beside singular values, and beside AdamW's."""

import copy

import pytest
import torch
from detectron2.layers import Conv2d
from torch import nn

from dml_instance.engine import NO_DATA, Trainer, load_config
from dml_instance.engine.muon import MuonAdamW, orthogonalized
from dml_instance.engine.optimizer import hidden_kernels
from toy_scenes import data_config


class TinyModel(nn.Module):
    """Two hidden convolutions, one of a channel a group, one that is frozen, and a predictor."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.backbone = Conv2d(3, 4, 3, padding=1, norm=nn.BatchNorm2d(4))
        self.wide = Conv2d(4, 12, 1, norm=nn.BatchNorm2d(12))
        self.depthwise = Conv2d(12, 12, 3, padding=1, groups=12, norm=nn.BatchNorm2d(12))
        self.tall = Conv2d(12, 6, 3, padding=1, activation=nn.ReLU())
        self.frozen = Conv2d(6, 6, 1, norm=nn.BatchNorm2d(6)).requires_grad_(False)
        self.predictor = Conv2d(6, 2, 1)

    def forward(self, x):
        for layer in (self.backbone, self.wide, self.depthwise, self.tall, self.frozen):
            x = layer(x)
        return self.predictor(x).square().mean()


def config(*options):
    cfg = data_config("SOLVER.OPTIMIZER", "Muon", "SOLVER.BASE_LR", 0.01)
    cfg.SOLVER.WEIGHT_DECAY = 0.1
    cfg.SOLVER.MUON.BASE_LR = 0.05
    cfg.merge_from_list(list(options))
    return cfg


def batch(seed):
    return torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(seed))


def steps(model, optimizer, seeds):
    for seed in seeds:
        optimizer.zero_grad()
        model(batch(seed)).backward()
        optimizer.step()


@pytest.mark.parametrize("shape", [(6, 30), (30, 6), (9, 9), (1, 5)])
def test_singular_vectors_stay_and_singular_values_become_about_one(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    inner = left.T @ orthogonalized(matrix).double() @ right.T
    values = inner.diagonal()
    assert values.min() > 0.68 and values.max() < 1.21
    assert (inner - values.diag()).abs().max() < 1e-4


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_the_scale_of_a_matrix_does_not_matter(scale):
    matrix = torch.randn(4, 7, generator=torch.Generator().manual_seed(2))
    assert torch.allclose(orthogonalized(matrix * scale), orthogonalized(matrix), atol=1e-4)


def test_zeros_stay():
    assert torch.equal(orthogonalized(torch.zeros(3, 4)), torch.zeros(3, 4))


def test_hidden_kernels_are_those_that_a_norm_or_an_activation_follows():
    model = TinyModel()
    assert [id(kernel) for kernel in hidden_kernels(model)] == [
        id(model.wide.weight),
        id(model.tall.weight),
    ]


def test_every_parameter_is_in_one_group_and_has_its_rate():
    model = TinyModel()
    optimizer = Trainer.build_optimizer(config("SOLVER.BACKBONE_MULTIPLIER", 0.5), model)
    names = {id(p): name for name, p in model.named_parameters()}
    rates = [
        (names[id(p)], group["lr"], group["weight_decay"])
        for group in optimizer.param_groups
        for p in group["params"]
    ]
    trained = sorted(name for name, p in model.named_parameters() if p.requires_grad)
    assert sorted(name for name, *_ in rates) == trained
    of_name = {name: rate for name, *rate in rates}
    assert of_name["wide.weight"] == of_name["tall.weight"] == [0.05, 0.1]
    assert of_name["backbone.weight"] == [0.005, 0.1]
    assert of_name["depthwise.weight"] == of_name["predictor.weight"] == [0.01, 0.1]
    assert of_name["wide.norm.weight"] == [0.01, 0.0]


def test_a_step_is_orthogonal_for_kernels_and_adamws_for_all_else():
    model = TinyModel()
    other = copy.deepcopy(model)
    optimizer = Trainer.build_optimizer(config(), model)
    plain = Trainer.build_optimizer(config("SOLVER.OPTIMIZER", "AdamW"), other)
    before = copy.deepcopy(model)
    model(batch(0)).backward()
    other(batch(0)).backward()
    gradients = {name: getattr(model, name).weight.grad.clone() for name in ("wide", "tall")}
    optimizer.step()
    plain.step()
    for (name, ours), theirs in zip(model.named_parameters(), other.parameters(), strict=True):
        if name not in ("wide.weight", "tall.weight"):
            assert torch.equal(ours, theirs), name
    for name, gradient in gradients.items():
        old, new = getattr(before, name).weight.detach(), getattr(model, name).weight.detach()
        step = ((1 - 0.05 * 0.1) * old - new).flatten(1) / 0.05
        rows, columns = step.shape
        values = torch.linalg.svdvals(step / max(1, rows / columns) ** 0.5)
        large = torch.linalg.svdvals(gradient.flatten(1))
        is_large = large > 1e-2 * large.max()
        assert is_large.sum() > 2
        assert values[is_large].min() > 0.6 and values.max() < 1.3
        assert (step * gradient.flatten(1)).sum() > 0, "downhill"


def test_the_momentum_is_that_of_nesterov():
    weight = nn.Parameter(torch.randn(3, 5, generator=torch.Generator().manual_seed(3)))
    group = {"params": [weight], "is_orthogonal": True}
    optimizer = MuonAdamW([group], lr=0.1, weight_decay=0.0)
    expected, mean = weight.detach().clone(), torch.zeros(3, 5)
    for seed in range(4):
        weight.grad = torch.randn(3, 5, generator=torch.Generator().manual_seed(seed))
        optimizer.step()
        mean = 0.95 * mean + 0.05 * weight.grad
        expected -= 0.1 * orthogonalized(0.05 * weight.grad + 0.95 * mean)
        assert torch.allclose(weight.detach(), expected, atol=1e-5)


def test_a_training_goes_on_from_a_checkpoint_as_if_nothing_had_happened():
    whole = TinyModel()
    optimizer = Trainer.build_optimizer(config(), whole)
    steps(whole, optimizer, range(2))
    resumed = copy.deepcopy(whole)
    state = copy.deepcopy(optimizer.state_dict())
    steps(whole, optimizer, range(2, 5))
    again = Trainer.build_optimizer(config(), resumed)
    again.load_state_dict(state)
    steps(resumed, again, range(2, 5))
    for ours, theirs in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_model_without_hidden_kernels_and_a_rate_of_zero_are_refused():
    with pytest.raises(ValueError, match='"Muon" is for convolutions.*set it to "AdamW"'):
        Trainer.build_optimizer(config(), nn.Conv2d(1, 2, 1))
    with pytest.raises(ValueError, match="MUON.BASE_LR is positive"):
        Trainer.build_optimizer(config("SOLVER.MUON.BASE_LR", 0.0), TinyModel())


def model_and_taken(yaml, *options):
    """A model, and the names of its hidden kernels."""
    options = [*options, "SOLVER.OPTIMIZER", "Muon", "MODEL.DEVICE", "cpu"]
    model = Trainer.build_model(load_config(yaml, options, needs=NO_DATA))
    taken = {id(kernel) for kernel in hidden_kernels(model)}
    return model, {name for name, weight in model.named_parameters() if id(weight) in taken}


def test_of_this_projects_network_only_predictors_and_the_backbone_are_left_to_adamw():
    model, taken = model_and_taken("configs/Shapes/dml_slim_unet.yaml", "MODEL.DML.NUM_CLASSES", 6)
    weights = dict(model.named_parameters())
    left = {
        name
        for name, weight in weights.items()
        if weight.dim() == 4 and name not in taken and not name.startswith("network.backbone.")
    }
    assert taken and left
    # A predictor has a bias, where the others have a norm.
    assert {name.replace(".weight", ".bias") for name in left} <= weights.keys()


def test_of_mask_rcnn_fpn_proposals_and_masks_are_taken():
    model, taken = model_and_taken(
        "configs/Shapes/mask_rcnn_R_18_FPN.yaml", "MODEL.ROI_HEADS.NUM_CLASSES", 6
    )
    count = len(model.roi_heads.mask_head.conv_norm_relus)
    masks = {f"roi_heads.mask_head.mask_fcn{i + 1}" for i in range(count)}
    pyramid = {f"backbone.fpn_{kind}{level}" for kind in ("lateral", "output") for level in "2345"}
    modules = {"proposal_generator.rpn_head.conv", *masks, *pyramid}
    assert taken == {f"{name}.weight" for name in modules}
