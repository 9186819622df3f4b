"""Detectron2's counters of operations and activations see the network, and nothing of it twice.

fvcore counts the multiplications of convolutions, and as operations beside them those of batch
norms and bilinear interpolations. It knows no count for padding, and for the subtractions, squares
and sums of ``self_similarity``: it leaves them out, with a warning.
"""

import pytest
import torch
from detectron2.utils.analysis import (
    FlopCountAnalysis,
    activation_count_operators,
    flop_count_operators,
)

from toy_models import convolutions, model_of

pytestmark = [
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
    pytest.mark.filterwarnings("ignore:.*torch.jit.trace.*:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*torch.jit.trace.*:FutureWarning"),
]

INPUTS = [{"image": torch.zeros(3, 61, 97), "height": 61, "width": 97}]


def by_hand(model):
    """Multiplications and outputs of all convolutions, from the shapes that pass through them."""
    counts = {"multiplications": 0, "outputs": 0}

    def count(conv, inputs, output):
        kernel = conv.weight.shape[1] * conv.weight.shape[2] * conv.weight.shape[3]
        counts["multiplications"] += output.numel() * kernel
        counts["outputs"] += output.numel()

    handles = [conv.register_forward_hook(count) for conv in convolutions(model)]
    with torch.no_grad():
        model.pyramids(INPUTS)
    for handle in handles:
        handle.remove()
    return counts


@pytest.mark.parametrize("options", [(), ("MODEL.DML.DECODER.CHANNELS", 8)])
def test_operations_are_those_of_the_convolutions_and_a_little_more(options):
    model = model_of(*options).eval()
    counted, expected = FlopCountAnalysis(model, INPUTS), by_hand(model)["multiplications"]
    assert counted.by_operator()["conv"] == expected
    assert set(counted.by_operator()) == {"conv", "batch_norm", "upsample_bilinear2d"}
    assert counted.total() == pytest.approx(expected, rel=0.05)
    assert sum(flop_count_operators(model, INPUTS).values()) == pytest.approx(
        expected / 1e9, rel=0.05
    )


def test_operations_are_counted_by_module():
    by_module = FlopCountAnalysis(model_of().eval(), INPUTS).by_module()
    parts = ["backbone", "decoder", "seed_decoder", "embedding_head", "seed_head"]
    of_parts = [by_module[f"model.network.{part}"] for part in parts]
    assert min(of_parts) > 0
    assert sum(of_parts) == pytest.approx(by_module["model.network"], rel=0.05)
    assert by_module["model.grouping"] == 0


def test_activations_are_the_outputs_of_the_convolutions():
    model = model_of().eval()
    counted = activation_count_operators(model, INPUTS)
    assert sum(counted.values()) == pytest.approx(by_hand(model)["outputs"] / 1e6, rel=0.05)
