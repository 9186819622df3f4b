import pytest
import torch
from detectron2.layers import ShapeSpec
from torch import nn

from dml_instance.modeling.decoder import SingleFeature, TopDownDecoder
from toy_models import convolutions

SHAPES = {
    "fine": ShapeSpec(channels=4, stride=2),
    "mid": ShapeSpec(channels=6, stride=8),
    "top": ShapeSpec(channels=8, stride=16),
}


def decode(stride, names=("fine", "mid", "top")):
    decoder = TopDownDecoder(SHAPES, in_features=names, channels=5, stride=stride, norm="BN")
    features = {
        name: torch.randn(2, s.channels, 64 // s.stride, 96 // s.stride)
        for name, s in SHAPES.items()
    }
    return decoder, features


@pytest.mark.parametrize("stride", [1, 2, 4, 8, 16])
def test_the_output_has_the_stride_asked_for(stride):
    decoder, features = decode(stride)
    assert decoder(features).shape == (2, 5, 64 // stride, 96 // stride)


def test_every_feature_that_is_not_finer_than_the_output_has_a_say():
    decoder, features = decode(4)
    decoder.eval()
    before = decoder(features)
    for name in features:
        changed = decoder({**features, name: features[name] + 1})
        assert torch.equal(changed, before) == (name == "fine")


def test_strides_that_no_doubling_joins_and_missing_features_are_errors():
    with pytest.raises(ValueError, match=r"DECODER\.STRIDE 3"):
        decode(3)
    with pytest.raises(ValueError, match=r"DECODER\.STRIDE 32"):
        decode(32)
    with pytest.raises(ValueError, match=r"DECODER\.STRIDE 0"):
        decode(0)
    with pytest.raises(ValueError, match="IN_FEATURES names"):
        decode(4, ("fine", "none"))
    odd = {"fine": ShapeSpec(channels=4, stride=6), "top": ShapeSpec(channels=4, stride=16)}
    with pytest.raises(ValueError, match=r"IN_FEATURES \['fine'\] lie at no stride"):
        TopDownDecoder(odd, channels=5, stride=4, norm="BN")


def test_no_names_are_all_features():
    assert set(decode(2, ())[0].lateral) == set(SHAPES)
    assert set(decode(8, ())[0].lateral) == {"mid", "top"}


def test_sums_and_doublings_by_hand():
    """Convolutions that do nothing: what is left are sums of features at double size."""
    shapes = {name: ShapeSpec(channels=1, stride=s) for name, s in (("a", 2), ("b", 4))}
    decoder = TopDownDecoder(shapes, channels=1, stride=1, norm="")
    for conv in convolutions(decoder):
        conv.weight.data.zero_()
        conv.weight.data[..., conv.kernel_size[0] // 2, conv.kernel_size[1] // 2] = 1
    decoder.lateral["b"].weight.data *= 3
    a, b = torch.rand(1, 1, 4, 6), torch.rand(1, 1, 2, 3)
    double = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
    torch.testing.assert_close(decoder({"a": a, "b": b}), double(double(3 * b) + a))


def test_without_a_decoder_one_feature_is_passed_on():
    single = SingleFeature(SHAPES, in_features=["mid"])
    features = decode(8)[1]
    assert single(features) is features["mid"]
    assert (single.stride, single.channels) == (8, 6)
    only = SingleFeature({"only": SHAPES["top"]}, in_features=[])
    assert (only.in_features, only.stride) == (["only"], 16)


def test_two_features_of_one_stride_are_refused():
    shapes = {name: ShapeSpec(channels=4, stride=8) for name in ("res4", "res5")}
    with pytest.raises(ValueError, match=r"one stride do not join: .*IN_FEATURES"):
        TopDownDecoder(shapes, channels=8, stride=4, norm="BN")
    assert TopDownDecoder(shapes, in_features=["res5"], channels=8, stride=4, norm="BN").stride == 4


@pytest.mark.parametrize("names", [[], ["fine", "mid"], ["none"]])
def test_without_a_decoder_there_is_exactly_one_feature(names):
    with pytest.raises(ValueError, match=r"DECODER\.CHANNELS 0.*IN_FEATURES names one feature"):
        SingleFeature(SHAPES, in_features=names)
