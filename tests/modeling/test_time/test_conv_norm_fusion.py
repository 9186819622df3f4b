"""Fusion of norms: an explicit step, in place, that changes results by rounding only."""

import pytest
import torch
from detectron2.layers import Conv2d, FrozenBatchNorm2d, get_norm
from torch import nn

from dml_instance.modeling.test_time import fuse_conv_norms, fused_copy
from toy_models import model_of

NORMS = (nn.BatchNorm2d, FrozenBatchNorm2d)


def spread_norms(module):
    """Norms that are far from doing nothing."""
    for norm in (part for part in module.modules() if isinstance(part, NORMS)):
        for values in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
            with torch.no_grad():
                values.uniform_(0.5, 2.0)
    return module


def network(norm):
    """Two convolutions with norms, one of them with a bias of its own, and one without a norm."""
    torch.manual_seed(0)
    layers = nn.Sequential(
        Conv2d(3, 8, 3, bias=False, norm=get_norm(norm, 8), activation=nn.functional.relu_),
        Conv2d(8, 4, 1, norm=get_norm(norm, 4)),
        Conv2d(4, 2, 1),
    )
    return spread_norms(layers).eval()


def count_norms(module):
    return sum(isinstance(part, NORMS) for part in module.modules())


@pytest.mark.parametrize("norm", ["BN", "FrozenBN"])
def test_fusion_is_in_place_and_changes_results_by_rounding_only(norm):
    module, x = network(norm), torch.randn(2, 3, 9, 11)
    expected = module(x)
    assert count_norms(module) == 2
    assert fuse_conv_norms(module) is module
    assert count_norms(module) == 0
    torch.testing.assert_close(module(x), expected, rtol=1e-5, atol=1e-5)
    assert not any(parameter.requires_grad for parameter in module[:2].parameters())
    # What has no norm stays as it is.
    assert all(parameter.requires_grad for parameter in module[2].parameters())


def test_fusion_by_hand():
    conv = Conv2d(1, 1, 1, norm=nn.BatchNorm2d(1, eps=0.0)).eval()
    conv.weight.data.fill_(3.0)
    conv.bias.data.fill_(1.0)
    for values, number in zip(
        (conv.norm.running_mean, conv.norm.running_var, conv.norm.weight, conv.norm.bias),
        (5.0, 4.0, 8.0, 7.0),
        strict=True,
    ):
        values.data.fill_(number)
    fuse_conv_norms(conv)
    # (3 x + 1 - 5) / 2 * 8 + 7
    assert conv.weight.item() == pytest.approx(12.0)
    assert conv.bias.item() == pytest.approx(-9.0)


def test_a_module_in_training_mode_is_refused_and_left_alone():
    module = network("BN").train()
    with pytest.raises(ValueError, match=r"call model\.eval\(\) first"):
        fuse_conv_norms(module)
    assert count_norms(module) == 2


def test_norms_of_each_image_stay():
    module = nn.Sequential(Conv2d(3, 32, 1, norm=get_norm("GN", 32))).eval()
    x = torch.randn(1, 3, 4, 4)
    expected = module(x)
    torch.testing.assert_close(fuse_conv_norms(module)(x), expected)
    assert isinstance(module[0].norm, nn.GroupNorm)


@pytest.mark.parametrize("training", [False, True])
def test_a_fused_copy_leaves_the_original_as_it_was(training):
    original = network("BN").train(training)
    before = {name: value.clone() for name, value in original.state_dict().items()}
    copied, x = fused_copy(original), torch.randn(2, 3, 9, 11)
    assert count_norms(copied) == 0
    assert not copied.training
    assert original.training == training
    assert count_norms(original) == 2
    assert all(parameter.requires_grad for parameter in original.parameters())
    after = original.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(value, before[name]) for name, value in after.items())
    torch.testing.assert_close(copied(x), original.eval()(x), rtol=1e-5, atol=1e-5)
    # It is a copy of now: what the original learns later is not in it.
    original[0].weight.data.mul_(2)
    assert not torch.allclose(copied(x), original(x))


@pytest.mark.parametrize("fuse", [fuse_conv_norms, fused_copy])
def test_a_whole_model_gives_the_same_maps(fuse):
    model = spread_norms(model_of()).eval()
    x = {"image": torch.randint(0, 255, (3, 64, 64))}
    with torch.no_grad():
        maps = model.pyramids([x])[0][0]
        fused = fuse(model)
        assert (fused is model) == (fuse is fuse_conv_norms)
        found = fused.pyramids([x])[0][0]
    assert count_norms(fused) == 0
    for name in ("embedding", "distance_scale", "class_logits"):
        one, other = getattr(found, name), getattr(maps, name)
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)
        assert not torch.equal(one, other)


def test_nothing_is_fused_that_the_user_did_not_ask_for():
    model = model_of().eval()
    before = count_norms(model)
    assert before > 10
    with torch.no_grad():
        model([{"image": torch.randint(0, 255, (3, 64, 64))}])
    assert count_norms(model) == before
