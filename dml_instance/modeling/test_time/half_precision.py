"""Inference in bfloat16: half the traffic of memory, and several times the arithmetic where a
processor has instructions for it."""

import torch
from detectron2.layers import Conv2d
from torch import Tensor, nn


def compute_in_bfloat16(network: nn.Module) -> nn.Module:
    """Have a network compute in bfloat16, in place, but for the last layer of each head.

    What a head says, embeddings and class logits, keeps float32's digits: it is compared with
    thresholds and with that of other cells. As ``fuse_conv_norms``, which comes first, a step for a
    model that is not trained any more.

    Args:
        network: in evaluation mode, its norms fused. Of its convolutions those of Detectron2 are
            converted; PyTorch's own, which nothing follows, are not.

    Returns:
        The same module. It takes images of any floating dtype.

    Raises:
        ValueError: for a network with other layers that have weights, before anything is converted.
    """
    layers = [m for m in network.modules() if any(True for _ in m.parameters(recurse=False))]
    for layer in layers:
        if not isinstance(layer, nn.Conv2d):
            raise ValueError(
                "TEST.CPU_BFLOAT16 is for networks of convolutions whose norms are fused, and this "
                f"one has a {type(layer).__name__}; set it to 'off'"
            )
    for conv in layers:
        if isinstance(conv, Conv2d):
            conv.to(torch.bfloat16)
        conv.register_forward_pre_hook(_in_dtype_of_weight)
    return network


def _in_dtype_of_weight(conv: nn.Conv2d, inputs: tuple[Tensor]) -> tuple[Tensor]:
    return (inputs[0].to(conv.weight.dtype),)
