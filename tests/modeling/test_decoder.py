import pytest
import torch
from detectron2.layers import ShapeSpec

from dml_instance.modeling.decoder import TopDownDecoder

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
    with pytest.raises(ValueError, match="IN_FEATURES names"):
        decode(4, ("fine", "none"))
