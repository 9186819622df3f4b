"""Convolutions in one pass give what the layers one after the other give, and are taken only where
nothing is lost by it."""

import copy
import pickle

import pytest
import torch
import torch.nn.functional as F
from detectron2.layers import FrozenBatchNorm2d
from torch import nn

from dml_instance.modeling import layers
from dml_instance.modeling.backbone.efficientnet_lite import DepthwiseConv2d
from dml_instance.modeling.layers import Conv2d, conv_norm_relu
from dml_instance.modeling.test_time import fuse_conv_norms

needs_library = pytest.mark.skipif(
    layers._CONVOLUTION is None or not torch.backends.mkldnn.is_available(),
    reason="a build of torch without oneDNN",
)


@pytest.fixture
def passes(monkeypatch):
    """A list that grows by an entry with every convolution in one pass."""
    seen, convolution = [], layers._CONVOLUTION

    def counted(*args):
        seen.append(args)
        return convolution(*args)

    monkeypatch.setattr(layers, "_CONVOLUTION", counted)
    return seen


def spread(conv):
    """Weights so large that activations cut on both sides."""
    with torch.no_grad():
        for parameter in conv.parameters():
            parameter.uniform_(-2, 2)
    return conv.eval()


CONVOLUTIONS = {
    "relu": lambda: Conv2d(5, 8, 3, padding=1, activation=F.relu_),
    "relu6": lambda: Conv2d(5, 8, 1, bias=False, activation=nn.ReLU6(inplace=True)),
    "none": lambda: Conv2d(5, 8, 3, stride=2, padding=1),
    "dilated": lambda: conv_norm_relu(5, 8, 3, "", dilation=2),
    "depthwise": lambda: DepthwiseConv2d(5, 5, 5, groups=5, activation=nn.ReLU6(inplace=True)),
    "depthwise 3, stride 2": lambda: DepthwiseConv2d(5, 5, 3, stride=2, groups=5),
    "depthwise 5, stride 2": lambda: DepthwiseConv2d(
        5, 5, 5, stride=2, groups=5, activation=nn.ReLU6(inplace=True)
    ),
}


@needs_library
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("size", [(12, 16), (11, 13)], ids=["even", "odd"])
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_one_pass_gives_what_the_layers_give(name, size, layout, passes):
    torch.manual_seed(0)
    conv = spread(CONVOLUTIONS[name]())
    x = torch.randn(2, 5, *size).contiguous(memory_format=layout)
    before = x.clone()
    expected = conv(x)  # gradients are recorded
    assert passes == []
    assert expected.requires_grad
    with torch.no_grad():
        found = conv(x)
    # An odd size at stride 2 is padded otherwise.
    assert len(passes) == (0 if "stride 2" in name and size == (11, 13) else 1)
    torch.testing.assert_close(found, expected.detach(), rtol=1e-5, atol=1e-4)
    assert torch.equal(x, before)
    if conv.activation is not None:
        assert found.min() == 0
    with torch.no_grad(), torch.backends.mkldnn.flags(enabled=False):
        torch.testing.assert_close(conv(x), found, rtol=1e-5, atol=1e-4)


@needs_library
def test_a_norm_that_is_not_fused_is_asked(passes):
    conv, x = conv_norm_relu(3, 8, 3, "BN").eval(), torch.randn(1, 3, 8, 8)
    with torch.no_grad():
        conv.norm.running_mean.fill_(1.0)
        expected = F.relu(conv.norm(F.conv2d(x, conv.weight, None, padding=1)))
        assert torch.equal(conv(x), expected)
    assert passes == []


@needs_library
@pytest.mark.parametrize("name", ["none", "relu6", "depthwise", "depthwise 5, stride 2"])
def test_a_frozen_norm_is_part_of_the_pass(name, passes):
    """In training too, where nothing of it is trained; in bfloat16 where autocast wants that."""
    torch.manual_seed(0)
    conv, x = CONVOLUTIONS[name](), torch.randn(2, 5, 8, 12)
    conv.norm = FrozenBatchNorm2d(conv.out_channels)
    conv.norm.running_mean.uniform_(-1, 1)
    conv.norm.running_var.uniform_(0.5, 2)
    spread(conv).train().requires_grad_(False)
    expected = conv(x.clone().requires_grad_()).detach()
    assert passes == []
    with torch.no_grad():
        torch.testing.assert_close(conv(x), expected, rtol=1e-5, atol=1e-4)
        with torch.autocast("cpu", torch.bfloat16):
            found = conv(x)
    assert len(passes) == 2
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), expected, rtol=0.05, atol=0.2)


@needs_library
def test_without_bfloat16_a_frozen_norm_is_no_part_of_a_pass_under_autocast(passes, monkeypatch):
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
    conv, x = CONVOLUTIONS["relu6"]().requires_grad_(False), torch.randn(1, 5, 8, 8)
    conv.norm = FrozenBatchNorm2d(8)
    for dtype in (torch.bfloat16, torch.float16):
        with torch.no_grad(), torch.autocast("cpu", dtype):
            assert conv(x).dtype == dtype
    assert passes == []


@needs_library
def test_weights_may_change_at_any_time(passes):
    """There is nothing beside the weights that could be out of date: after a step of training, and
    after loading others."""
    conv, x = fuse_conv_norms(conv_norm_relu(3, 8, 3, "BN").eval()), torch.randn(1, 3, 8, 8)
    other = spread(copy.deepcopy(conv))
    with torch.no_grad():
        conv(x)
        conv.weight.mul_(2)
        conv.bias.add_(1)
        torch.testing.assert_close(
            conv(x), F.relu(F.conv2d(x, conv.weight, conv.bias, padding=1)), rtol=1e-5, atol=1e-5
        )
        conv.load_state_dict(other.state_dict())
        assert torch.equal(conv(x), other(x))
        for copied in (copy.deepcopy(conv), pickle.loads(pickle.dumps(conv))):
            assert torch.equal(copied(x), other(x))
    assert len(passes) == 8


@needs_library
def test_training_goes_on_where_it_was(passes):
    """Steps of training with inference in between are the steps without."""
    losses = []
    for looks in (False, True):
        torch.manual_seed(0)
        conv, x = conv_norm_relu(3, 4, 3, "BN"), torch.randn(2, 3, 8, 8)
        of_run = []
        for _ in range(3):
            loss = conv.train()(x).square().mean()
            of_run.append(loss.item())
            conv.zero_grad()
            loss.backward()
            with torch.no_grad():
                for parameter in conv.parameters():
                    parameter -= 0.1 * parameter.grad
                if looks:
                    fuse_conv_norms(copy.deepcopy(conv).eval())(x)
        losses.append(of_run)
    assert losses[0] == losses[1]
    assert len(passes) == 3


@needs_library
@pytest.mark.filterwarnings("ignore:.*torch.jit.trace.*")
def test_a_trace_holds_operations_that_others_know(passes):
    conv = fuse_conv_norms(conv_norm_relu(3, 8, 3, "BN").eval())
    with torch.no_grad():
        graph = str(torch.jit.trace(conv, torch.randn(1, 3, 8, 8)).inlined_graph)
    assert "aten::_convolution" in graph
    assert "mkldnn::" not in graph


def test_other_dtypes_are_taken_as_ever(passes):
    conv = CONVOLUTIONS["relu"]().double()
    with torch.no_grad():
        assert conv(torch.randn(1, 5, 8, 8, dtype=torch.float64)).dtype == torch.float64
    assert passes == []
