import pytest
import torch
from detectron2.layers import Conv2d, FrozenBatchNorm2d, get_norm
from torch import nn

from dml_instance.modeling.folding import FoldedCopy


def network(norm):
    """Two convolutions, one of them with a bias of its own, and norms that are far from doing nothing."""
    torch.manual_seed(0)
    layers = nn.Sequential(
        Conv2d(3, 8, 3, bias=False, norm=get_norm(norm, 8), activation=nn.functional.relu_),
        Conv2d(8, 4, 1, norm=get_norm(norm, 4)),
        Conv2d(4, 2, 1),
    )
    for conv in layers[:2]:
        for values in (
            conv.norm.weight,
            conv.norm.bias,
            conv.norm.running_mean,
            conv.norm.running_var,
        ):
            with torch.no_grad():
                values.uniform_(0.5, 2.0)
    return layers.eval()


@pytest.mark.parametrize("norm", ["BN", "FrozenBN"])
def test_a_folded_copy_gives_the_same_without_norms_and_leaves_the_original_alone(norm):
    original = network(norm)
    before = {name: value.clone() for name, value in original.state_dict().items()}
    folded = FoldedCopy(layers=original, nothing=None).get()
    x = torch.randn(2, 3, 9, 11)
    torch.testing.assert_close(folded.layers(x), original(x))
    assert folded.nothing is None
    assert not any(
        isinstance(m, nn.BatchNorm2d | FrozenBatchNorm2d) for m in folded.layers.modules()
    )
    assert all(torch.equal(value, before[name]) for name, value in original.state_dict().items())
    assert not any(parameter.requires_grad for parameter in folded.layers.parameters())
    assert all(parameter.requires_grad for parameter in original.parameters())


@pytest.mark.parametrize("change", ["a step", "loaded weights", "statistics"])
def test_a_changed_weight_makes_a_new_copy_and_nothing_else_does(change):
    original = network("BN")
    cache = FoldedCopy(layers=original)
    old = cache.get().layers
    assert cache.get().layers is old
    x = torch.randn(2, 3, 9, 11)
    if change == "a step":
        original(x).sum().backward()
        torch.optim.SGD(original.parameters(), lr=0.1).step()
    elif change == "loaded weights":
        original.load_state_dict(
            {name: value * 1.5 for name, value in original.state_dict().items()}
        )
    else:
        original.train()(x)
        original.eval()
    assert cache.get().layers is not old
    torch.testing.assert_close(cache.get().layers(x), original(x))
