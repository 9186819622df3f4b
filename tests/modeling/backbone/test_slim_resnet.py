"""The slim ResNet: strides, channels and depth are those of its keys."""

import pytest
import torch
from detectron2.layers import FrozenBatchNorm2d
from detectron2.modeling import build_backbone
from torch import nn

from toy_models import config

ALL = ["stem", "res2", "res3", "res4", "res5"]


def backbone_of(*overrides):
    return build_backbone(config(*overrides))


def test_features_have_the_strides_and_channels_of_the_keys():
    backbone, channels = backbone_of(), [8, 12, 16, 20, 24]
    shapes = backbone.output_shape()
    assert [shapes[name].stride for name in ALL] == [2, 4, 8, 16, 32]
    assert [shapes[name].channels for name in ALL] == channels
    features = backbone(torch.randn(2, 3, 64, 96))
    for name, count, stride in zip(ALL, channels, (2, 4, 8, 16, 32), strict=True):
        assert features[name].shape == (2, count, 64 // stride, 96 // stride)


def test_blocks_and_features_are_those_asked_for():
    blocks = ("MODEL.DML.BACKBONE.BLOCKS", [1, 3, 2, 1])
    backbone = backbone_of(*blocks, "MODEL.RESNETS.OUT_FEATURES", ["res3", "res5"])
    assert [len(getattr(backbone, name)) for name in ALL[1:]] == [1, 3, 2, 1]
    assert set(backbone(torch.randn(1, 3, 64, 64))) == {"res3", "res5"}


@pytest.mark.parametrize("channels", [1, 5])
def test_images_of_any_number_of_channels_are_seen(channels):
    numbers = ("MODEL.PIXEL_MEAN", [0.0] * channels, "MODEL.PIXEL_STD", [1.0] * channels)
    assert backbone_of(*numbers)(torch.randn(2, channels, 32, 32))["stem"].shape[1] == 8


def test_norms_and_frozen_stages_are_those_of_the_keys():
    plain = backbone_of("MODEL.RESNETS.NORM", "")
    assert not any(isinstance(module, nn.BatchNorm2d) for module in plain.modules())
    backbone = backbone_of("MODEL.BACKBONE.FREEZE_AT", 2)
    for name in ALL:
        stage, is_frozen = getattr(backbone, name), name in ("stem", "res2")
        assert all(parameter.requires_grad != is_frozen for parameter in stage.parameters())
        assert any(isinstance(part, FrozenBatchNorm2d) for part in stage.modules()) == is_frozen


@pytest.mark.parametrize(
    ("channels", "message"),
    [
        ([8, 12, 16], "needs the stem's channels and one entry for each of BLOCKS"),
        ([8, 12, 12, 20, 24], "must differ from one stage to the next"),
    ],
)
def test_channels_that_cannot_be_are_refused(channels, message):
    with pytest.raises(ValueError, match=message):
        backbone_of("MODEL.DML.BACKBONE.CHANNELS", channels)
