"""bfloat16 at inference: in place, for all convolutions but the last of each head."""

import copy
import pickle

import pytest
import torch
from detectron2.layers import Conv2d
from torch import nn

from dml_instance.modeling.test_time import compute_in_bfloat16, fused_copy
from toy_models import model_of

MAPS = ("embedding", "distance_scale", "class_logits")


def maps_of(network):
    torch.manual_seed(0)
    with torch.no_grad():
        return network(torch.randn(1, 3, 64, 96))


def test_the_last_layer_of_each_head_stays_and_all_others_are_converted():
    network = fused_copy(model_of()).network
    assert compute_in_bfloat16(network) is network
    last = [network.embedding_head.layers[-1], network.seed_head.layers[-1]]
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            is_last = any(module is one for one in last)
            assert module.weight.dtype == (torch.float32 if is_last else torch.bfloat16)
            assert isinstance(module, Conv2d) is not is_last


def test_maps_are_float32_and_off_by_bfloat16s_digits():
    full = fused_copy(model_of()).network
    half = compute_in_bfloat16(copy.deepcopy(full))
    for name, found, expected in zip(MAPS, maps_of(half), maps_of(full), strict=True):
        assert found.dtype == torch.float32, name
        error = (found - expected).abs().max() / expected.std().clamp(min=1e-3)
        assert 0 < error < 0.2, name
    # The last layers compute in float32 on what the layers before rounded: there are more values
    # than bfloat16 has.
    logits = maps_of(half)[2]
    assert not torch.equal(logits, logits.bfloat16().float())


def test_copies_compute_alike():
    half = compute_in_bfloat16(fused_copy(model_of()).network)
    expected = maps_of(half)
    for copied in (copy.deepcopy(half), pickle.loads(pickle.dumps(half))):
        for one, other in zip(maps_of(copied), expected, strict=True):
            assert torch.equal(one, other)


@pytest.mark.parametrize("norm", ["BN", "GN"])
def test_layers_that_are_no_convolutions_are_refused_before_anything_is_converted(norm):
    model = model_of("MODEL.DML.NORM", norm).eval()
    network = model.network if norm == "BN" else fused_copy(model).network
    with pytest.raises(ValueError, match=r"TEST\.CPU_BFLOAT16 .*Norm.*set it to 'off'"):
        compute_in_bfloat16(network)
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}
